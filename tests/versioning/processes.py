"""Processes in miniature: an index, a local cache and the read plan each, over cached values that they share."""

import itertools
import json
from collections.abc import Callable, Generator, Mapping
from typing import Any

from tests.versioning.world import START_MS, history, stamp_at
from versioning.backends.base import Fill
from versioning.backends.memory import MemoryValues
from versioning.budget import LoadBudget
from versioning.effects import FAILED, Effect, FillValues, GetValues, Load, Raised, ReleaseLeases, TryLeases, Wait
from versioning.entries import Change, Gap, Heartbeat, ReadBody
from versioning.header import SIZE, ValueHeader, pack
from versioning.held import Held
from versioning.index import Index
from versioning.liveness import Now
from versioning.options import CacheOptions
from versioning.read import Counters, Read
from versioning.reading import Reading
from versioning.readplan import Plan, plan_read

KEY = "t:1"
Steps = Generator[Effect, None, dict[str, Read]]


class Json:
    def dumps(self, value: Any) -> bytes:
        return json.dumps(value).encode()

    def loads(self, data: bytes) -> Any:
        return json.loads(data)


class Local(dict[str, Held]):
    remembers_since_ms = START_MS
    """In the future: no process has run for long."""

    def find(self, key: str) -> Held | None:
        return self.get(key)

    def put(self, key: str, held: Held) -> None:
        self[key] = held

    def put_many(self, helds: Mapping[str, Held]) -> None:
        self.update(helds)


class Datacenter:
    """The time, and what all processes share. Times are seconds since the start."""

    def __init__(self, second: float = 100) -> None:
        self.now = Now(START_MS + int(second * 1000), int(second * 1000))
        self.values = MemoryValues(lambda: self.now.ms)
        self.database: dict[str, Any] = {}
        self.is_redis_up = True

    def pass_s(self, seconds: float) -> None:
        self.now = Now(self.now.ms + int(seconds * 1000), self.now.monotonic_ms + int(seconds * 1000))

    @property
    def second(self) -> float:
        return (self.now.ms - START_MS) / 1000

    def put(self, value: Any, *, key: str = KEY, stamp: int, fill_second: float, **flags: bool) -> None:
        """Put a value into Redis as some other process would have."""
        header = ValueHeader(stamp, START_MS + int(fill_second * 1000), **flags)
        self.values.fill([Fill(key, pack(header, json.dumps(value).encode()), 3_600_000)])

    def lease(self, key: str = KEY, *, ttl_ms: int = 60_000) -> bool:
        """Take the lease as some other process would that has seen what there is."""
        head = (self.values.get(key) or b"")[:SIZE]
        return self.values.try_lease({key: head}, "someone", ttl_ms) == [True]


class Process:
    def __init__(self, datacenter: Datacenter, **options: Any) -> None:
        self.at = datacenter
        self.index = Index()
        self.local = Local()
        self.counters = Counters()
        self.loads = 0
        self.effects: list[type[Effect]] = []
        self._tokens = itertools.count()
        self._previous = ""
        self.options = CacheOptions(**options)
        self.reading = Reading(
            self.index,
            self.local,
            self.options,
            Json(),
            LoadBudget(self.options.max_loads_per_s),
            self.counters,
            lambda: self.at.now,
            lambda: 0.5,
            lambda: f"{id(self)}-{next(self._tokens)}",
        )
        self.index.horizon = stamp_at(0)
        self.learn(Gap("start"), at_second=0)
        self.hear()

    def learn(self, body: ReadBody, *, at_second: float | None = None) -> int:
        """Follow one more entry, of now; return its stamp."""
        second = self.at.second if at_second is None else at_second
        (entry,) = history((second, body))
        stamp = max(entry.stamp, self.index.watermark + 1)
        self.index.apply(type(entry)(stamp, entry.nonce, entry.previous, body), self.at.now)
        return stamp

    def hear(self) -> None:
        self.learn(Heartbeat(self.at.now.ms))

    def change(self, key: str = KEY) -> int:
        return self.learn(Change((key,), gtid="0-1-1"))

    def load(self, keys: tuple[str, ...]) -> dict[str, Any]:
        self.loads += 1
        return {key: self.at.database[key] for key in keys if key in self.at.database}

    def read(self, key: str = KEY, load: Callable[[tuple[str, ...]], Any] | None = None) -> Read:
        return self.read_many(key, load=load)[key]

    def read_many(self, *keys: str, load: Callable[[tuple[str, ...]], Any] | None = None) -> dict[str, Read]:
        now = self.at.now
        reads = {key: read for key in keys if (read := self.reading.serve_local(key, now))}
        if missing := [key for key in keys if key not in reads]:
            reads |= finish(self.step(plan_read(self.reading, missing), load or self.load))
        return reads

    def begin(self, key: str = KEY) -> Steps:
        """Return the steps of a read: each effect is performed when the next one is asked for."""
        return self.step(plan_read(self.reading, [key]), self.load)

    def step(self, plan: Plan, load: Callable[[tuple[str, ...]], Any]) -> Steps:
        answer: Any = None
        while True:
            try:
                effect = plan.send(answer)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            self.effects.append(type(effect))
            yield effect
            answer = self._perform(effect, load)

    def _perform(self, effect: Effect, load: Callable[[tuple[str, ...]], Any]) -> Any:
        match effect:
            case Load(keys):
                try:
                    return load(keys)
                except Exception as error:
                    return Raised(error)
            case Wait(ms):
                self.at.pass_s(ms / 1000)
                return None
        return self._perform_on_redis(effect) if self.at.is_redis_up else FAILED

    def _perform_on_redis(self, effect: Effect) -> Any:
        values = self.at.values
        match effect:
            case GetValues(keys):
                return values.get_many(keys)
            case TryLeases(seen, token, ttl_ms):
                return values.try_lease(seen, token, ttl_ms)
            case FillValues(stored, token):
                return values.fill([Fill(value.key, value.data, value.life_ms, token) for value in stored])
            case ReleaseLeases(keys, token):
                return values.release(keys, token)


def advance(steps: Steps, kind: type[Effect]) -> None:
    """Go on until an effect of this kind is about to be performed."""
    for effect in steps:
        if isinstance(effect, kind):
            return
    raise AssertionError(f"the read ended before {kind.__name__}")


def finish(steps: Steps) -> dict[str, Read]:
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
