"""What readers might have loaded: the fills that no reader happened to make, each at the worst moment for it.

A fill from a replica is worst just before that replica applies a commit: the value lacks it, and the fill stamp is the
highest that such a value can have. So at each such moment, and once a second from every replica that is behind, every
reader has loaded every key concerned, and so has one that starts this very moment, and a client of the version keys.
Nothing in the world knows of these values; checkers ask what would be served.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from tests.simulation import limits
from tests.simulation.process import BASE_MS
from tests.simulation.replica import Replica
from versioning import header
from versioning import stamp as stamps
from versioning.follow import Follow
from versioning.index import Index
from versioning.liveness import Now

if TYPE_CHECKING:
    from tests.simulation.world import World


class Fill(NamedTuple):
    """One that is not provisional: those are over before they could do harm."""

    key: str
    value: int
    fill_stamp: int


class Kept(NamedTuple):
    where: str
    key: str
    value: int
    fill_stamp: int
    age_ms: int


class PossibleFills:
    def __init__(self, world: "World") -> None:
        self._world = world
        self._filled_s: dict[Fill, float] = {}
        """When each was made last, in the order of the first time."""
        self._index, self._read = Index(), (-1, stamps.ZERO, "")
        """Of the newcomer, and when it read what: it is asked for several times at one moment."""

    def newcomer(self) -> tuple[Index, Now]:
        """Return the index of a process that has read at once all that stream B has, and its clocks."""
        entries, at_ms = self._world.stream_b.store.entries, int(self._world.loop.time() * 1000)
        now = Now(BASE_MS + at_ms, at_ms)
        read = at_ms, entries[0].stamp if entries else stamps.ZERO, entries[-1].nonce if entries else ""
        if self._read != read:
            self._index = Index(window_ms=limits.CACHE.window_ms, max_lag_ms=limits.CACHE.max_lag_ms)
            follow = Follow(self._index)
            follow.begin(entries[::-1], now)
            follow.take_older((), now)
            self._read = read
        return self._index, now

    def before(self, replica: Replica, domain: int, number: int) -> None:
        """Take what may be loaded from a replica that is about to apply all of a domain up to a commit."""
        if replica.is_away or not replica.is_read or number <= replica.applied[domain]:
            return
        commits = self._world.primary.commits[replica.applied[domain] : number]
        keys = dict.fromkeys(key for commit in commits if commit.domain == domain for key in commit.keys)
        now_s = self._world.loop.time()
        for _, index, _ in judges(self._world):
            for key in keys:
                if not index.is_key_pending(key):
                    self._filled_s[Fill(key, replica.row(key), index.fill_stamp(key))] = now_s
        stream_b = self._world.stream_b
        if not stream_b.is_away:
            for key in keys:
                if not stream_b.is_key_pending(key):
                    self._filled_s[Fill(key, replica.row(key), stream_b.versions.last)] = now_s

    def scan(self) -> None:
        """Drop what no cache holds any more, and load again what is behind."""
        oldest_s = self._world.loop.time() - limits.CACHE.redis_ttl_ms / 1000
        self._filled_s = {fill: at_s for fill, at_s in self._filled_s.items() if at_s >= oldest_s}
        for replica in self._world.replicas:
            for domain in self._world.domains:
                self.before(replica, domain, self._world.primary.last)

    def held(self) -> Iterator[tuple[Fill, int]]:
        """Yield each and its age in ms."""
        now_s = self._world.loop.time()
        for fill, at_s in self._filled_s.items():
            yield fill, int((now_s - at_s) * 1000)


def judges(world: "World") -> Iterator[tuple[str, Index, Now]]:
    """Yield whoever may judge a value now, with its index and its clocks: the readers, and one that just starts."""
    for name, reader in world.readers.items():
        if not reader.process.is_halted:
            yield name, reader.cache.index, reader.process.now()
    if not world.stream_b.is_away:
        yield "a newcomer", *world.fills.newcomer()


def kept_values(world: "World") -> Iterator[Kept]:
    """Yield what Redis has, what each reader has, and what might have been loaded."""
    for key, data in world.values.store.stored().items():
        head, payload = header.unpack(data)
        yield Kept("Redis", key, orjson.loads(payload), head.fill_stamp, world.values.now_ms() - head.fill_ms)
    for name, reader in world.readers.items():
        if not reader.process.is_halted:
            yield from _local(name, reader)
    for fill, age_ms in world.fills.held():
        yield Kept("a possible fill", *fill, age_ms)


def _local(name: str, reader: Any) -> Iterator[Kept]:
    now = reader.process.now()
    for key, held in reader.cache._core.local.held.items():
        if not held.is_expired(now):
            yield Kept(name, key, held.value, held.fill_stamp, now.ms - held.fill_ms)
