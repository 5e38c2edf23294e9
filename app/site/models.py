"""Bodies of ``/v1/site`` and ``/v1/history``: both datacenters in one picture, for page and `stampline status` alike.

Every part has a state and says in words what it is about. Figures of a process that does not answer are its last
known ones; ``seen_age_ms`` tells how old they are.
"""

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, Field


class State(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """Needs a look; readers notice nothing, or little."""
    CRITICAL = "critical"
    """Readers notice, or will soon."""
    UNKNOWN = "unknown"
    """Nothing tells: no process of it is listed in ``[[serve.component]]``, or what would tell is itself away."""


class Finding(BaseModel):
    """One thing that is wrong, as one would say it to a colleague who was just woken up."""

    code: str = Field(description="For programs; never changes its meaning.")
    state: State
    part: str = Field(description="Where in the picture: `source`, `wan`, `gate:replica-b1`, `toc`...")
    text: str = Field(description="What is wrong.")
    effect: str = Field(description="What that means for readers.")
    action: str = Field(description="What to look at.")


class Part(BaseModel):
    state: State
    text: str


class Process(BaseModel):
    name: str
    is_up: bool
    reason: str | None = Field(description="Why it counts as down.")
    seen_age_ms: int | None = Field(description="Age of its figures; null: it has not answered yet.")


class SourceFigures(BaseModel):
    is_connected: bool = Field(description="It reads the binlog.")
    read_age_ms: int | None = Field(description="Age of what it has read and appended last.")
    transactions: int
    keys: int
    last_error: str


class SourceProcess(Process):
    figures: SourceFigures | None


class SourcePart(Part):
    processes: list[SourceProcess]


class StreamPart(Part):
    age_ms: int | None = Field(description="Age of the newest heartbeat in it.")


class WanPart(Part):
    heard_age_ms: int | None = Field(description="How long ago a mirror last heard of stream A.")


class MirrorFigures(BaseModel):
    is_connected: bool = Field(description="It reads stream A.")
    read_age_ms: int | None = Field(description="Age of the last heartbeat in stream B.")
    applied_age_ms: int | None = Field(description="Age of what every listed replica has applied.")
    entries: int
    held: int = Field(description="Entries that wait at the gate.")
    pending: int = Field(description="Keys and namespaces that are pending.")
    last_error: str
    last_reason: str = Field(description="Of its last break or lost link, as its metrics name it.")


class MirrorProcess(Process):
    figures: MirrorFigures | None


class MirrorPart(Part):
    processes: list[MirrorProcess]


class GatePart(Part):
    """The gate at one replica, as the mirrors that answer see it."""

    name: str
    is_up: bool | None = Field(description="The replica answers the gate; null: no mirror tells.")
    is_ahead: bool = Field(description="It has what the source does not read: it follows another primary.")
    applied: str = Field(description="Position the replica has applied, as it names it.")
    still_ms: int | None = Field(description="How long that position has not moved.")
    held: int = Field(description="Entries that wait for the replicas.")
    errors: int
    rewinds: int = Field(description="Times the replica had less than before: restored from an older copy.")
    last_error: str


class ServiceFigures(BaseModel):
    is_connected: bool = Field(description="It reads stream B.")
    vouches: bool
    lag_ms: int | None
    keys: int
    pending: int
    listeners: int
    last_error: str


class ServiceProcess(Process):
    is_self: bool = Field(description="The service that answers this request.")
    figures: ServiceFigures | None


class ServicePart(Part):
    processes: list[ServiceProcess]


class TierRate(BaseModel):
    tier: str = Field(description="local, redis, loaded, or stale (a superseded value, on purpose)")
    reads_per_s: float
    share: float = Field(description="Of all reads, 0 to 1.")


class TocFigures(BaseModel):
    is_connected: bool = Field(description="It follows stream B.")
    is_lagging: bool = Field(description="It vouches for nothing, and serves values for a while only.")
    lag_ms: int | None
    reads_per_s: float | None = Field(description="Over the last minute; null: not seen long enough.")
    tiers: list[TierRate] = Field(description="Over the last minute.")
    fresh_share: float | None = Field(description="Of all reads, those served as FRESH or just loaded, 0 to 1.")
    loads_per_s: float | None
    last_error: str


class TocProcess(Process):
    figures: TocFigures | None


class TocPart(Part):
    """The web processes that report."""

    processes: list[TocProcess]
    tiers: list[TierRate] = Field(description="All that report together, over the last minute.")


class AuditRow(BaseModel):
    namespace: str
    after_s: float = Field(description="How long after a change its key was looked at.")
    consistent: int
    wrong: int
    nines: str = Field(description="`3.0` is 99.9 %; `>2.4` what so many looks can prove; `-` nothing was compared.")


class AuditProcess(Process):
    wrong: int | None = Field(description="Wrong values seen since its start.")
    is_wrong: bool = Field(description="It found another one within the last hour.")
    is_blind: bool = Field(description="All its looks of the last minute ended in a doubt.")
    compares_nothing: bool = Field(description="It looks, and has compared no value for three hours.")


class AuditPart(Part):
    processes: list[AuditProcess]
    rows: list[AuditRow]


class Flow(BaseModel):
    """How the stream flows, as this service's own follower sees it."""

    lag_ms: int | None = Field(description="Age of the source's last heartbeat; null: none was ever seen.")
    lag_max_ms: int = Field(description="Above it nothing is vouched for.")
    replica_lag_ms: int | None = Field(description="Age of what every listed replica has applied.")
    changes_per_s: float = Field(description="Changed transactions, over the last 10 s.")
    keys_per_s: float = Field(description="Changed keys, over the last 10 s.")
    keys: int = Field(description="Keys changed within the window.")
    pending: int = Field(description="Keys and namespaces some replica has not applied; a gap counts as one.")
    is_gap_pending: bool = Field(description="No value that was loaded since the last gap is vouched for.")
    window_ms: int
    degraded_ttl_ms: int = Field(description="For how long a value is served at most since it was last proven current.")
    watermark: str = Field(description="The last stamp taken in.")
    complete_since_ms: int | None = Field(description="Every change since then is known; null: nothing is.")


class SiteAnswer(BaseModel):
    """Both datacenters, as this service sees them now."""

    time_ms: int
    dc: str = Field(description="The datacenter that reads: this service's own.")
    origin_dc: str | None = Field(description="The datacenter that writes; null: no source has said.")
    state: State
    is_degraded: bool = Field(description="Nothing is vouched for: values are served for a while only.")
    degraded_reason: str | None
    headline: str = Field(description="The picture in one sentence.")
    effect: str = Field(description="What that means for readers, in one or two more.")
    findings: list[Finding] = Field(description="What is wrong, the worst first.")
    flow: Flow
    source: SourcePart
    stream_a: StreamPart
    wan: WanPart
    mirror: MirrorPart
    gates: list[GatePart]
    stream_b: StreamPart
    service: ServicePart
    toc: TocPart
    audit: AuditPart


class HistoryPoint(BaseModel):
    time_ms: int = Field(description="End of the interval.")
    lag_ms: int | None = Field(description="The largest in the interval; null: unknown at some moment of it.")
    replica_lag_ms: int | None
    changes_per_s: float
    keys_per_s: float
    pending: int


class HistoryAnswer(BaseModel):
    """The last minutes of this service's own follower, oldest first. Empty intervals were not observed."""

    step_ms: int
    span_ms: int
    points: list[HistoryPoint]


class RecentAnswer(BaseModel):
    entries: list[dict[str, Any]] = Field(description="As the data of the events of `/v1/stream`.")


class NamespaceCount(BaseModel):
    namespace: str
    keys: int = Field(description="Keys of it that changed within the window. A bump ages out these, and all others.")


class NamespacesAnswer(BaseModel):
    window_ms: int
    namespaces: list[NamespaceCount] = Field(description="The largest first, at most 1,000.")
