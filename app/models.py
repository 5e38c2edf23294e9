"""Bodies of the version service's API. Stamps travel as text (JavaScript has no 64-bit integer), times as ms."""

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, FailFast, Field

from versioning.bump import REASON_CHARS_MAX

Strict = ConfigDict(extra="forbid", strict=True, frozen=True)

FILL_STAMP = "Fill stamp for a value of this key whose load begins after this answer; 0-0: it will never be fresh."


Item = TypeVar("Item")
Items = Annotated[list[Item], FailFast()]
"""Half a million of the wrong kind fit into a body: an error is made of the first, and not of each."""


def _example(body: dict[str, Any]) -> ConfigDict:
    """For ``/docs``."""
    return ConfigDict(json_schema_extra={"examples": [body]})


class VersionAnswer(BaseModel):
    """The last change of a key, and whether the service can vouch that there is none after it."""

    key: str
    stamp: str | None = Field(description="Last stamp of the key; null: no change since `since`.")
    time_ms: int | None = Field(description="Time of that stamp, Unix ms.")
    committed_ms: int | None = Field(description="Time of the commit at its origin, Unix ms, where known.")
    origin_gtid: str | None = Field(description="GTID of the commit; null for a bump, or where not known.")
    is_pending: bool = Field(
        description="Some replica may lack this change of the key or its namespace: keep what is loaded now for 2 s."
    )
    fill_stamp: str = Field(description=FILL_STAMP)
    since: str | None = Field(description="Stamp since which the service knows every change; null: none yet.")
    vouches: bool = Field(description="False: a later change may exist. Never take such an answer for 'unchanged'.")
    reason: str | None = Field(description="Why it does not vouch.")


class LookupRequest(BaseModel):
    model_config = Strict | _example({"keys": ["tracker_web:42", "trackers_by_tenant:7"]})

    keys: Items[str]


class LookupAnswer(BaseModel):
    versions: list[VersionAnswer]


class CheckItem(BaseModel):
    model_config = Strict

    key: str
    fill_stamp: str


class CheckRequest(BaseModel):
    model_config = Strict | _example({"items": [{"key": "tracker_web:42", "fill_stamp": "1700000000000-0"}]})

    items: Items[CheckItem]


class CheckVerdict(BaseModel):
    key: str
    verdict: str = Field(description="fresh, stale or unknown")
    stamp: str | None
    proven_ago_ms: int | None = Field(description="How long ago the value was proven current; null: it never was.")
    stale_at_ms: int | None = Field(
        description="When (Unix ms) the value ages out by a generation that is known by now; null: by none."
    )
    is_pending: bool = Field(
        description="Some replica may lack the last change of the key itself: keep what is loaded now for 2 s."
    )
    fill_stamp: str = Field(description=FILL_STAMP)


class CheckAnswer(BaseModel):
    verdicts: list[CheckVerdict]
    watermark: str = Field(description="The last stamp the service has taken in. A value gets its key's `fill_stamp`.")
    reason: str | None = Field(description="Why nothing is fresh at the moment.")


class BumpRequest(BaseModel):
    model_config = Strict | _example({"keys": ["tracker_web:42"], "reason": "row mended by hand"})

    keys: Items[str] = []
    namespace: str = ""
    spread_ms: int | None = None
    reason: Annotated[str, Field(description=f"Why, 1 to {REASON_CHARS_MAX} characters.")] = ""


class BumpAnswer(BaseModel):
    stamps: list[str]


class StatusAnswer(BaseModel):
    dc: str
    vouches: bool
    reason: str | None
    is_connected: bool
    is_covered: bool
    lag_ms: int | None
    replica_lag_ms: int | None
    watermark: str
    watermark_ms: int
    horizon: str | None
    horizon_ms: int | None
    window_ms: int
    keys: int
    pending: int
    entries: int
    breaks: int
    poisoned: int
    reconnects: int
    listeners: int
    slow_listeners: int
    last_error: str
