"""The rules of reading (P5, P6, P10): what may be served of what is held. Decides; performs nothing."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from versioning import header
from versioning import stamp as stamps
from versioning.budget import LoadBudget
from versioning.errors import HeaderFormatError
from versioning.held import Held, hold
from versioning.index import Index
from versioning.limits import COLD_MS, DEGRADED_JITTER_MIN
from versioning.liveness import Now
from versioning.options import CacheOptions
from versioning.read import Counters, Read, Tier
from versioning.spread import scaled
from versioning.verdict import Verdict


def may_serve(key: str, verdict: Verdict, age_ms: int | None, proven_ago_ms: int | None, degraded_ttl_ms: int) -> bool:
    """Whether a value may be served (P6); ``proven_ago_ms`` as of ``Index.judge``.

    An UNKNOWN value was current when its load began, and when it was last proven to be. It is served until the later of
    the two is ``degraded_ttl`` ago, shortened per key: so nothing ends when a lag begins, nor everything at once.
    """
    if verdict is not Verdict.UNKNOWN:
        return verdict is Verdict.FRESH
    limit_ms = scaled(key, degraded_ttl_ms, DEGRADED_JITTER_MIN)
    return any(ago_ms is not None and ago_ms <= limit_ms for ago_ms in (age_ms, proven_ago_ms))


class Serializer(Protocol):
    """Values to bytes and back. Whatever ``loads`` raises makes the value a miss."""

    def dumps(self, value: Any, /) -> bytes: ...

    def loads(self, data: bytes, /) -> Any: ...


class LocalValues(Protocol):
    """The cache inside the process."""

    @property
    def remembers_since_ms(self) -> int: ...

    def find(self, key: str) -> Held | None: ...

    def put(self, key: str, held: Held) -> None: ...

    def put_many(self, helds: Mapping[str, Held]) -> None: ...


@dataclass(frozen=True, slots=True)
class Reading:
    """All that the reads of one cache share."""

    index: Index
    local: LocalValues
    options: CacheOptions
    serializer: Serializer
    budget: LoadBudget
    counters: Counters
    clock: Callable[[], Now]
    jitter: Callable[[], float]
    new_token: Callable[[], str]

    def serve_local(self, key: str, now: Now) -> Read | None:
        held = self.local.find(key)
        if held is None or held.is_expired(now):
            return None
        read, verdict = self.serve(key, held, Tier.LOCAL, now)
        if read is None:
            self.counters.count_refused(Tier.LOCAL, verdict)
        return read

    def serve(self, key: str, held: Held, tier: Tier, now: Now) -> tuple[Read | None, Verdict]:
        """Return what may be served under P6, and the verdict on it."""
        verdict, proven_ago_ms = self.index.judge(key, held.fill_stamp, now)
        if may_serve(key, verdict, held.age_ms(now), proven_ago_ms, self.options.degraded_ttl_ms):
            return self.read_of(held, tier, verdict, now), verdict
        return None, verdict

    def read_of(self, held: Held, tier: Tier, verdict: Verdict, now: Now) -> Read:
        """Serve it, whatever the verdict."""
        self.counters.count_served(tier, verdict)
        return Read(held.value, tier, held.fill_stamp, verdict, held.age_ms(now))

    def serve_superseded(self, key: str, held: Held | None, now: Now) -> Read | None:
        """Return the old value for a reader whose key another one refills (``serve_stale_ms``).

        The index knows a key's latest change only, so the time is counted from that; the age bounds the rest.
        """
        if held is None or self.superseded_left_ms(key, held, now) <= 0:
            return None
        return self.serve_old(key, held, now)

    def superseded_left_ms(self, key: str, held: Held, now: Now) -> int:
        """Return for how long that may go on."""
        age_ms = held.age_ms(now)
        # Zero is never: a stamp may be ahead of this process's clock.
        if not self.options.serve_stale_ms or age_ms is None or held.is_expired(now):
            return 0
        changed_ms = stamps.ms_of(self.index.last_stamp(key))
        since_change_ms = self.options.serve_stale_ms - (now.ms - changed_ms)
        return min(since_change_ms, self.options.degraded_ttl_ms - age_ms, held.expires_ms - now.ms)

    def serve_old(self, key: str, held: Held | None, now: Now) -> Read | None:
        """Return an old value where its age alone keeps the promise (I1)."""
        if held is None or held.is_expired(now) or not held.is_younger(self.options.degraded_ttl_ms, now):
            return None
        return self.read_of(held, Tier.STALE, self.index.verdict(key, held.fill_stamp, now), now)

    def take_hits(self, answers: Mapping[str, bytes | None], now: Now) -> dict[str, Held]:
        """Serve and keep what Redis has and is FRESH: the common case, and no decision. All else is the plan's."""
        loads, options = self.serializer.loads, self.options
        heads = header.plain_heads(answers)
        hits: dict[str, Held] = {}
        for key in self.index.fresh(heads, now):
            fill_stamp, fill_ms, payload = heads[key]
            try:
                value = None if payload is None else loads(payload)
            except Exception:  # noqa: BLE001, S112 - the plan reads it again, and counts it
                continue
            if (held := hold(value, fill_stamp, fill_ms, now, options)) is not None:
                hits[key] = held
        if hits:
            self.counters.count_served(Tier.REDIS, Verdict.FRESH, len(hits))
            if options.local_ttl_ms:
                self.local.put_many({key: held for key, held in hits.items() if not self._holds_newer(key, held, now)})
        return hits

    def keep(self, key: str, held: Held, now: Now) -> None:
        """Keep a value in the process, if it keeps any, but not where a refresh has overtaken it on its way here."""
        if self.options.local_ttl_ms and not self._holds_newer(key, held, now):
            self.local.put(key, held)

    def _holds_newer(self, key: str, held: Held, now: Now) -> bool:
        """Whether what the process holds is current, and was loaded later."""
        known = self.local.find(key)
        if known is None or (known.fill_stamp, known.fill_ms) <= (held.fill_stamp, held.fill_ms):
            return False
        return not known.is_expired(now) and self.index.verdict(key, known.fill_stamp, now) is Verdict.FRESH

    def take_in(self, data: bytes, now: Now) -> Held | None:
        """Read a stored value; None, counted, for one that is not ours or cannot be read."""
        try:
            head, payload = header.unpack(data)
        except HeaderFormatError:
            self.counters.foreign_headers += 1
            return None
        try:
            value = None if head.is_absent else self.serializer.loads(payload)
        except Exception:  # noqa: BLE001 - the serializer is the user's; a value it cannot read is a miss
            self.counters.unreadable_values += 1
            return None
        return hold(value, head.fill_stamp, head.fill_ms, now, self.options, is_provisional=head.is_provisional)

    def is_cold(self, key: str, now: Now) -> bool:
        """Whether others are not likely to load the key at this moment, given that Redis does not have it.

        No change of its own is known (it may be new, and everybody may want it), and this process, which remembers what
        it has read (without a local TTL it does not), did not read it lately. A generation made nobody want what nobody
        had.
        """
        return (
            self.options.local_ttl_ms > 0
            and self.local.find(key) is None
            and now.monotonic_ms - self.local.remembers_since_ms >= COLD_MS
            and key not in self.index.stamps
            and self.index.verdict(key, self.index.watermark, now) is Verdict.FRESH
        )

    def still_usable(self, keys: Iterable[str]) -> dict[str, Held]:
        """Return what the local cache holds and P5 has not ended, whatever its verdict."""
        now = self.clock()
        found = ((key, self.local.find(key)) for key in keys)
        return {key: held for key, held in found if held is not None and not held.is_expired(now)}
