"""One key, explained: what is cached, what the stream says of it, and which layer is to blame when it is wrong."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from replicator.audit.judge import Result
from replicator.audit.look import Sight
from versioning import stamp as stamps
from versioning.cli.describe import entry_fields, time_text
from versioning.entries import Change, Entry, Generation
from versioning.index import Index
from versioning.keys import namespace_of
from versioning.limits import DEGRADED_JITTER_MIN
from versioning.liveness import Now
from versioning.spread import scaled
from versioning.verdict import Verdict

HISTORY_MAX: Final = 10


@dataclass(frozen=True, slots=True)
class Trace:
    key: str
    sight: Sight
    now: Now
    watermark: int
    horizon: int
    lag_ms: int | None
    replica_lag_ms: int | None
    is_lagging: bool
    is_pending: bool
    degraded_ttl_ms: int
    history: tuple[Entry, ...]
    """Entries that name the key or its namespace, newest first."""

    @property
    def layer(self) -> str:
        return self._blame()[0]

    @property
    def why(self) -> str:
        return self._blame()[1]

    def _blame(self) -> tuple[str, str]:
        sight = self.sight
        if sight.outcome.result is not Result.WRONG or sight.header is None:
            return "none", sight.outcome.reason
        if sight.verdict is Verdict.UNKNOWN:
            return self._blame_of_doubt(sight.header.fill_stamp)
        if self.is_pending:
            return (
                "gate",
                "the key is pending: a listed replica has not applied its change; see SHOW REPLICA STATUS there",
            )
        if not self.history:
            return "source", (
                "the stream names the key nowhere in the window: no template makes it of the changed row, the change "
                "bypassed the binlog, or the source has not read it; compare stampline tail with the binlog"
            )
        return "load", (
            f"the value was filled above the key's last stamp {stamps.text(self.history[0].stamp)}: its load read a "
            "database that the gate does not list, or inside an older transaction; else a later change has no stamp"
        )

    def _blame_of_doubt(self, fill_stamp: int) -> tuple[str, str]:
        limit_s = scaled(self.key, self.degraded_ttl_ms, DEGRADED_JITTER_MIN) // 1000
        if self.is_lagging:
            lag = "for ever" if self.lag_ms is None else f"by {self.lag_ms} ms"
            return (
                "pipeline",
                f"the stream lags {lag}: values are served for {limit_s} s since the last proof; see stampline status",
            )
        if fill_stamp < self.horizon:
            horizon = stamps.text(self.horizon)
            return (
                "stream",
                f"filled below the horizon {horizon}: a gap in the stream; served for {limit_s} s since its last proof",
            )
        return (
            "value",
            "its fill stamp is ahead of the stream: it was filled from another stream, or the stream was lost",
        )

    def as_json(self) -> dict[str, Any]:
        head = self.sight.header
        return {
            "key": self.key,
            "result": self.sight.outcome.result.value,
            "reason": self.sight.outcome.reason,
            "layer": self.layer,
            "why": self.why,
            "verdict": self.sight.verdict.value if self.sight.verdict else None,
            "fill_stamp": stamps.text(head.fill_stamp) if head else None,
            "fill_time": time_text(head.fill_ms) if head else None,
            "age_ms": self.now.ms - head.fill_ms if head else None,
            "is_provisional": head.is_provisional if head else None,
            "is_absent": head.is_absent if head else None,
            "last_stamp": stamps.text(self.history[0].stamp) if self.history else None,
            "is_pending": self.is_pending,
            "watermark": stamps.text(self.watermark),
            "horizon": stamps.text(self.horizon) if self.horizon <= self.watermark else None,
            "lag_ms": self.lag_ms,
            "replica_lag_ms": self.replica_lag_ms,
            "history": [entry_fields(entry) for entry in self.history],
        }


def names(entry: Entry, key: str) -> bool:
    match entry.body:
        case Change() as body:
            return key in body.keys
        case Generation() as body:
            return namespace_of(key) in body.namespaces
    return False


def make_trace(
    key: str, sight: Sight, index: Index, now: Now, *, history: tuple[Entry, ...], degraded_ttl_ms: int
) -> Trace:
    return Trace(
        key=key,
        sight=sight,
        now=now,
        watermark=index.watermark,
        horizon=index.horizon,
        lag_ms=index.liveness.lag_ms(now),
        replica_lag_ms=index.liveness.replica_lag_ms(now),
        is_lagging=index.is_lagging(now),
        is_pending=index.is_pending(key),
        degraded_ttl_ms=degraded_ttl_ms,
        history=history,
    )


def lines(trace: Trace) -> Iterator[str]:
    for name, value in trace.as_json().items():
        if name == "history":
            for entry in value:
                yield f"  {entry['stamp']}  {entry['kind']}  {entry.get('gtid', '')}"
        else:
            yield f"{name}: {'-' if value is None else value}"
