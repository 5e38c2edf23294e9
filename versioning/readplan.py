"""The read plan (P5, P6, P10): every decision of a read, and none of its I/O.

A plan is a generator. It yields effects, one at a time, and is sent what came of each; the shells
(``client.async_cache``, ``client.sync_cache``) only perform. The order of a miss is this:

1. ``GetValues`` from Redis, which the shell may have done already: it serves plain hits by itself. What may be served
   is served: FRESH, or UNKNOWN for a while; or what was FRESH when the reader came.
2. ``TryLeases`` for the rest, which also looks again: another process may have filled the value and given the lease
   back since step 1, and one change means one load. A cold key (``Reading.is_cold``) needs no lease: it would cost a
   command for each of the many keys that are read once in a while, to save a load that hardly ever happens.
3. ``Load``; the fill stamp and the fill time are read BEFORE it begins.
4. ``FillValues``, which also gives the leases back; ``ReleaseLeases`` where there is nothing to fill, or that failed.
5. Who did not get the lease: the superseded value where that is allowed and somebody waits for it, else ``Wait`` and
   step 1 again, up to ``lease_wait_ms``, and then a load without lease.

FAILED for an effect on Redis leads to a load without lease: a reader never waits for a Redis that is down (I7).
"""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any

from versioning import header, lease
from versioning import stamp as stamps
from versioning.effects import (
    FAILED,
    Effect,
    Failed,
    FillValues,
    GetValues,
    Load,
    Raised,
    ReleaseLeases,
    StoredValue,
    TryLeases,
    Wait,
)
from versioning.errors import LoadBudgetError, SerializeError
from versioning.header import ValueHeader
from versioning.held import Held, hold
from versioning.liveness import Now
from versioning.read import Read, Tier
from versioning.reading import Reading
from versioning.verdict import Verdict

Reads = dict[str, Read]

Plan = Generator[Effect, Any, Reads]

Answers = Mapping[str, bytes | None] | Failed

_Loaded = tuple[str, ValueHeader, bytes, Any]
"""A key, and what was loaded for it: as it is stored, and as it is read back."""


def plan_read(
    reading: Reading, keys: Sequence[str], looked: Answers | None = None, *, reads: Reads | None = None
) -> Plan:
    """Read keys that the local cache could not serve. ``looked``: what Redis has answered to the shell, if it asked.

    ``reads``, which is returned, gets each read as soon as it is made: before the plan waits, or raises for others.
    """
    return _Refill(reading, keys, reading.still_usable(keys), reads).run(looked)


def plan_renewal(reading: Reading, keys: Sequence[str], *, reads: Reads | None = None) -> Plan:
    """The same for keys whose superseded values are served meanwhile: nobody waits, so the plan waits for the fill."""
    return _Refill(reading, keys, reading.still_usable(keys), reads, is_awaited=False).run(None)


def plan_refresh(reading: Reading, keys: Sequence[str]) -> Plan:
    """Load and store whatever is cached."""
    return _Refill(reading, keys, {}).load_unleased(tuple(keys), is_wanted=True)


class _Refill:
    """One run of a plan over some keys: one token, one deadline, one load for each key at most."""

    def __init__(
        self,
        reading: Reading,
        keys: Sequence[str],
        old: dict[str, Held],
        reads: Reads | None = None,
        *,
        is_awaited: bool = True,
    ) -> None:
        self._reading = reading
        self._keys = tuple(keys)
        self._old = old
        self._is_awaited = is_awaited
        self._judged: dict[str, bytes] = {}
        self._reads: Reads = {} if reads is None else reads
        self._token = reading.new_token()
        now = reading.clock()
        self._deadline_ms = now.monotonic_ms + reading.options.lease_wait_ms
        # What was known when the reader came. Of one that lagged then, changes of long before are still to come; as
        # they are where the history is given up at this moment, so that there is no watermark, or none any more.
        watermark = reading.index.watermark
        self._since = stamps.STAMP_MAX if not watermark or reading.index.is_lagging(now) else watermark
        self._has_waited = False
        self._is_redis_down = False

    def run(self, looked: Answers | None) -> Plan:
        reading = self._reading
        waits_ms = lease.waits_ms(reading.jitter)
        if looked is None:
            missing = yield from self._read_redis(self._keys)
        else:
            missing = self._take(self._keys, looked)
        reading.counters.misses += len(missing)
        while missing and not self._is_redis_down:
            yield from self._refill(missing)
            missing = self._without_read(missing)
            if self._is_awaited:
                missing = self._without_superseded(missing)
            left_ms = self._deadline_ms - reading.clock().monotonic_ms
            if not missing or left_ms <= 0 or self._is_redis_down:
                break
            self._count_wait(len(missing))
            yield Wait(min(next(waits_ms), left_ms))
            missing = yield from self._read_redis(missing)
        if missing:
            yield from self.load_unleased(missing)
        return self._reads

    def _count_wait(self, keys: int) -> None:
        if not self._has_waited:
            self._reading.counters.lease_waits += keys
            self._has_waited = True

    def load_unleased(self, keys: tuple[str, ...], *, is_wanted: bool = False) -> Plan:
        """``is_wanted``: the caller asked for just that, so it is no sign of trouble, and not counted as one."""
        reading = self._reading
        while not reading.budget.take((now := reading.clock()).monotonic_ms):
            left_ms = self._deadline_ms - now.monotonic_ms
            if left_ms <= 0:
                self._serve_old_or_refuse(keys, now)
                return self._reads
            reading.counters.budget_waits += 1
            yield Wait(min(reading.budget.wait_ms(), left_ms))
        reading.counters.unleased_loads += not is_wanted
        yield from self._load(keys)
        return self._reads

    def _read_redis(self, keys: tuple[str, ...]) -> Generator[Effect, Any, tuple[str, ...]]:
        """Serve what Redis has; return the keys that still miss."""
        answer = yield GetValues(keys)
        return self._take(keys, answer if answer is FAILED else dict(zip(keys, answer, strict=True)))

    def _take(self, keys: tuple[str, ...], answers: Answers) -> tuple[str, ...]:
        reading = self._reading
        if isinstance(answers, Failed):
            self._note_failure()
            return keys
        now = reading.clock()
        for key in keys:
            data = answers.get(key)
            if data is None or data == self._judged.get(key):
                continue
            self._judged[key] = data
            if (held := reading.take_in(data, now)) is not None:
                self._take_held(key, held, now)
        return self._without_read(keys)

    def _without_read(self, keys: Iterable[str]) -> tuple[str, ...]:
        return tuple(key for key in keys if key not in self._reads)

    def _take_held(self, key: str, held: Held, now: Now) -> None:
        read, verdict = self._reading.serve(key, held, Tier.REDIS, now)
        if read is not None:
            self._reads[key] = read
            self._reading.keep(key, held, now)
            return
        if verdict is Verdict.STALE and self._reading.index.was_fresh(key, held.fill_stamp, self._since, now):
            # A load of our own would be no newer. Of a key that changes faster than it is loaded none is ever FRESH
            # when it is found, and each process would wait until it had loaded by itself.
            self._reads[key] = self._reading.read_of(held, Tier.REDIS, verdict, now)
            return
        self._reading.counters.count_refused(Tier.REDIS, verdict)
        if key not in self._old or self._old[key].fill_ms < held.fill_ms:
            self._old[key] = held

    def _refill(self, keys: tuple[str, ...]) -> Generator[Effect, Any, None]:
        """Load those keys that are ours to load, in one load that has a place in the load budget."""
        reading = self._reading
        now = reading.clock()
        if not reading.budget.take(now.monotonic_ms):
            reading.counters.budget_waits += 1
            return
        cold = dict.fromkeys(key for key in keys if key not in self._judged and reading.is_cold(key, now))
        leased = yield from self._try_leases(tuple(key for key in keys if key not in cold))
        if (cold or leased) and not self._is_redis_down:
            yield from self._load((*cold, *leased), leased)
        else:
            reading.budget.give_back()

    def _try_leases(self, keys: tuple[str, ...]) -> Generator[Effect, Any, tuple[str, ...]]:
        """Return the keys whose lease we have; serve what somebody has filled meanwhile."""
        if not keys:
            return ()
        seen = {key: self._judged.get(key, b"")[: header.SIZE] for key in keys}
        answer = yield TryLeases(seen, self._token, self._reading.options.lease_ttl_ms)
        if answer is FAILED:
            self._note_failure()
            return ()
        answers = dict(zip(keys, answer, strict=True))
        filled = {key: data for key, data in answers.items() if isinstance(data, bytes)}
        self._take(tuple(filled), filled)
        return tuple(key for key, granted in answers.items() if granted is True)

    def _load(self, keys: tuple[str, ...], leased: tuple[str, ...] = ()) -> Generator[Effect, Any, None]:
        reading = self._reading
        # Behind the stamps: a key that becomes pending between the lines is then provisional without need. The other
        # way round alone it would be taken for settled at a stamp that already covers the pending entry (I2). And
        # before them too: else one whose history is given up between the lines would be, and others still believe it.
        # Where one was lost and the next one too, each of the three looks may have been at another one.
        losses = reading.index.losses
        provisional = {key for key in keys if reading.index.is_key_pending(key)}
        fill_stamps = {key: reading.index.fill_stamp(key) for key in keys}
        provisional.update(key for key in keys if reading.index.is_key_pending(key))
        if reading.index.losses != losses:
            provisional.update(keys)
        fill_ms = reading.clock().ms
        loaded = yield Load(keys)
        try:
            values = self._values_of(loaded)
            heads = {
                key: ValueHeader(fill_stamps[key], fill_ms, key in provisional, values.get(key) is None) for key in keys
            }
            fills = [(key, heads[key], *self._packed(key, heads[key], values.get(key))) for key in keys]
        except BaseException:
            reading.counters.load_errors += 1
            if leased:
                yield from self._release(leased)
            raise
        reading.counters.loads += 1
        yield from self._fill(fills, leased)

    def _values_of(self, loaded: Any) -> Mapping[str, Any]:
        if isinstance(loaded, Raised):
            raise loaded.error
        if not isinstance(loaded, Mapping):
            raise TypeError(f"a loader of many keys returned {type(loaded).__name__}; return a mapping of key to value")
        return loaded

    def _packed(self, key: str, head: ValueHeader, value: Any) -> tuple[bytes, Any]:
        """Return what is stored, and the value as every other reader will find it: one shape in every tier."""
        if head.is_absent:
            return header.pack(head, b""), None
        serializer = self._reading.serializer
        try:
            data = header.pack(head, serializer.dumps(value))
            return data, serializer.loads(data[header.SIZE :])
        except Exception as error:
            raise SerializeError(key, error) from error

    def _fill(self, fills: Sequence[_Loaded], leased: tuple[str, ...]) -> Generator[Effect, Any, None]:
        reading = self._reading
        now = reading.clock()
        values = tuple(self._stored(key, data, head, now) for key, head, data, _ in fills)
        stored = yield FillValues(values, self._token if leased else "")
        if stored is FAILED:
            self._note_failure()
        else:
            reading.counters.newer_kept += sum(not is_stored for is_stored in stored)
        now = reading.clock()
        for key, head, _, value in fills:
            self._keep(key, head, value, now)
        if stored is FAILED and leased:
            # A value too large for its link, say: Redis answers, and other processes would wait for the lease to end.
            yield from self._release(leased)

    def _stored(self, key: str, data: bytes, head: ValueHeader, now: Now) -> StoredValue:
        """A value's life counts from its fill time, so a slow load has used up some of it."""
        life_ms = self._reading.options.life_ms(is_provisional=head.is_provisional)
        return StoredValue(key, data, max(life_ms - max(now.ms - head.fill_ms, 0), 1))

    def _keep(self, key: str, head: ValueHeader, value: Any, now: Now) -> None:
        reading = self._reading
        verdict = reading.index.verdict(key, head.fill_stamp, now)
        held = hold(value, head.fill_stamp, head.fill_ms, now, reading.options, is_provisional=head.is_provisional)
        if held is not None:
            reading.keep(key, held, now)
        reading.counters.count_served(Tier.LOADED, verdict)
        self._reads[key] = Read(value, Tier.LOADED, head.fill_stamp, verdict, max(now.ms - head.fill_ms, 0))

    def _release(self, keys: tuple[str, ...]) -> Generator[Effect, Any, None]:
        if (yield ReleaseLeases(keys, self._token)) is FAILED:
            self._note_failure()

    def _without_superseded(self, keys: tuple[str, ...]) -> tuple[str, ...]:
        """Serve the old values of keys that others are refilling, where that is allowed; return the rest."""
        return self._without_old(keys, self._reading.serve_superseded, self._reading.clock())

    def _without_old(
        self, keys: tuple[str, ...], serve: Callable[[str, Held | None, Now], Read | None], now: Now
    ) -> tuple[str, ...]:
        """Serve what may be served of the old values; return the rest."""
        served = {key: serve(key, self._old.get(key), now) for key in keys}
        self._reads.update({key: read for key, read in served.items() if read is not None})
        return self._without_read(keys)

    def _serve_old_or_refuse(self, keys: tuple[str, ...], now: Now) -> None:
        if lacking := self._without_old(keys, self._reading.serve_old, now):
            raise LoadBudgetError(
                f"the load budget of {self._reading.options.max_loads_per_s} loads per second is used up",
                hint=f"no value of {lacking[0]!r} is young enough to serve instead; raise max_loads_per_s",
            )

    def _note_failure(self) -> None:
        self._is_redis_down = True
        self._reading.counters.redis_errors += 1
