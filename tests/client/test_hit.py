"""The hit against its dumb twin: it serves what Held and Index would have served, and nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from tests.versioning.world import START_MS, stamp_at
from versioning import stamp as stamps
from versioning.client.clock import ticks_of
from versioning.client.hit import TOUCHED, Hit, make_hit, make_hits
from versioning.client.local import LocalCache
from versioning.entries import Change, Entry, Gap, Generation, Heartbeat, ReadBody
from versioning.held import Held, hold
from versioning.index import Index
from versioning.liveness import Now
from versioning.options import CacheOptions
from versioning.read import Counters
from versioning.verdict import Verdict

KEY = "t:1"
MAX_LAG_MS = 3_000
OPTIONS = CacheOptions(local_ttl_ms=8_000, redis_ttl_ms=20_000, max_lag_ms=MAX_LAG_MS)

moments_ms = st.integers(0, 12_000)
bodies = st.one_of(
    st.builds(Change, st.sampled_from([(KEY,), ("t:2",), (KEY, "u:1")])),
    st.builds(lambda at_ms: Heartbeat(START_MS + at_ms), moments_ms),
    st.builds(
        lambda name, at_ms, spread_ms, word: Generation((name,), START_MS + at_ms, spread_ms, "why", **word),
        st.sampled_from(["t", "u"]),
        moments_ms,
        st.integers(0, 5_000),
        st.sampled_from([{}, {"pending": True}, {"settled": True}]),
    ),
    st.just(Gap("why")),
)


class World:
    """One key in one process, at a time of its own. The wall clock goes at the pace of the monotonic one."""

    def __init__(self) -> None:
        self.at_ms = 0
        self.index = Index(max_lag_ms=MAX_LAG_MS)
        self.index.horizon = stamp_at(0)
        self.local, self.counters = LocalCache(4, lambda: self.at_ms), Counters()
        seen = (self.index, self.local, self.counters, ticks_of(self.now), lambda: self.now().ms)
        self.hit: Hit = make_hit(*seen)
        self.hits = make_hits(*seen)

    def now(self) -> Now:
        return Now(START_MS + self.at_ms, 50_000 + self.at_ms)

    def apply(self, at_ms: int, body: ReadBody) -> None:
        self.at_ms = at_ms
        self.index.apply(Entry(stamps.make(START_MS + at_ms), "n", "p", body), self.now())

    def fill(self, at_ms: int, stamp: int) -> None:
        self.at_ms = at_ms
        held = hold("value", stamp, START_MS + at_ms, self.now(), OPTIONS)
        assert held is not None
        self.local.put(KEY, held)

    def would_serve(self) -> bool:
        held, now = self.local.find(KEY), self.now()
        if held is None or held.is_expired(now):
            return False
        return self.index.verdict(KEY, held.fill_stamp, now) is Verdict.FRESH


@given(
    history=st.lists(st.tuples(moments_ms, bodies), max_size=8),
    filled_ms=st.none() | moments_ms,
    ahead_ms=st.sampled_from([0, 0, 0, 1, 59_000, 100_000]),
    reads_ms=st.lists(st.integers(0, 20_000), min_size=1, max_size=5),
)
def test_it_serves_what_held_and_index_would_have_served(history, filled_ms, ahead_ms, reads_ms) -> None:
    world = World()
    if filled_ms is not None:
        world.fill(filled_ms, stamps.make(START_MS + filled_ms + ahead_ms))
    for at_ms, body in sorted(history, key=lambda pair: pair[0]):
        world.apply(at_ms, body)
    for world.at_ms in reads_ms:
        assert (world.hit(KEY) is not None) is world.would_serve()
        assert (KEY in world.hits(("t:none", KEY))) is world.would_serve()


def served(world: World) -> bool:
    return world.hit(KEY) is not None


def test_a_hit_is_counted_and_a_miss_is_not() -> None:
    world = World()
    world.apply(0, Heartbeat(START_MS))
    assert not served(world)
    world.fill(1, stamp_at(0.001))
    assert served(world)
    assert world.counters.local_fresh == 1


def test_a_wall_clock_set_back_makes_nothing_younger() -> None:
    """The lag and the life go by the monotonic clock."""
    world = World()
    world.apply(0, Heartbeat(START_MS))
    world.fill(0, stamp_at(0))
    world.at_ms = MAX_LAG_MS
    assert served(world)
    world.now = lambda: Now(START_MS, 50_000 + MAX_LAG_MS + 1)  # type: ignore[method-assign]
    hit = make_hit(world.index, world.local, world.counters, ticks_of(world.now), lambda: START_MS)
    assert hit(KEY) is None


def test_a_wall_clock_set_back_holds_up_no_generation() -> None:
    world = World()
    world.fill(0, stamp_at(0))
    world.apply(1, Generation(("t",), START_MS, 500, "TRUNCATE"))
    world.apply(500, Heartbeat(START_MS + 500))
    seen = (world.index, world.local, world.counters, ticks_of(world.now), lambda: START_MS - 3_600_000)
    assert make_hit(*seen)(KEY) is None
    assert not make_hits(*seen)([KEY])


def test_a_heartbeat_from_the_future_vouches_no_longer_than_one_of_now() -> None:
    world = World()
    world.apply(0, Heartbeat(START_MS + 3_600_000))
    world.fill(0, stamp_at(0))
    world.at_ms = MAX_LAG_MS
    assert served(world)
    world.at_ms += 1
    assert not served(world)


def full_world() -> tuple[World, Held]:
    """The local cache is full, and KEY would be the next to go."""
    world = World()
    world.apply(0, Heartbeat(START_MS))
    world.fill(0, stamp_at(0))
    held = world.local.find(KEY)
    assert held is not None
    for number in range(3):
        world.local.put(f"t:other{number}", held)
    return world, held


def test_what_is_hit_often_stays() -> None:
    world, held = full_world()
    for _ in range(TOUCHED):
        assert served(world)
    world.local.put("t:newest", held)
    assert world.local.find(KEY) is held
    assert world.local.find("t:other0") is None


def test_what_is_hit_often_together_with_others_stays_too() -> None:
    world, held = full_world()
    for _ in range(TOUCHED):
        assert list(world.hits((KEY, "t:none"))) == [KEY]
    world.local.put("t:newest", held)
    assert world.local.find(KEY) is held
    assert world.counters.local_fresh == TOUCHED
