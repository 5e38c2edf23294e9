"""The audit: which keys are looked at, what a look says, and what the looks amount to."""

import asyncio
import itertools
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from prometheus_client import generate_latest

from replicator.audit import look
from replicator.audit.check import Check, Checks
from replicator.audit.judge import BUSY, EQUAL, FOREIGN, MISSING, WRONG_FRESH, WRONG_UNKNOWN, Result, is_equal
from replicator.audit.look import Looker, Sight
from replicator.audit.metrics import registry
from replicator.audit.observer import LOOKS_MAX, Observer
from replicator.audit.schedule import Schedule
from replicator.audit.tally import Tally
from replicator.audit.trace import Trace, lines, make_trace, names
from replicator.errors import MySqlUnavailableError
from versioning import stamp as stamps
from versioning.entries import Body, Change, Entry, Generation, Heartbeat
from versioning.errors import ConfigError
from versioning.header import ValueHeader, pack
from versioning.index import Index
from versioning.limits import CLOCK_ERROR_MS
from versioning.liveness import Now
from versioning.verdict import Verdict

NOW_MS = 1_800_000_000_000
KEY = "item:1"
SQL = "SELECT JSON_OBJECT('id', id) FROM shop.item WHERE id = {id}"


# --- from a key back to the row


@pytest.mark.parametrize(
    ("template", "sql", "key", "arguments"),
    [
        ("item:{id}", "... {id}", "item:42", ("42",)),
        ("item:{id}", "... {id}", "item:1:2", None),
        ("item:{id}", "... {id}", "items:1", None),
        ("a:{x}:b:{y}", "... {y} {x} {y}", "a:1:b:2", ("2", "1", "2")),
        ("a:{name|lower}", "... {name}", "a:caf%C3%A9%20x", ("caf\u00e9 x",)),
        ("a:{name}", "... {name}", "a:%N", (None,)),
        ("a:{raw}", "... {raw}", "a:%x00ff", (b"\x00\xff",)),
        ("a:{raw}", "... {raw}", "a:%xzz", None),
        ("a:{x}", "... {x}", "a:%FF", None),
    ],
)
def test_a_key_gives_back_what_it_was_made_of(
    template: str, sql: str, key: str, arguments: tuple[object, ...] | None
) -> None:
    assert Check.parse(template, sql).arguments(key) == arguments


def test_a_statement_keeps_its_own_percent_signs() -> None:
    assert Check.parse("a:{x}", "SELECT 'b%' LIKE {x}").sql == "SELECT 'b%%' LIKE %s"


def test_a_statement_may_only_ask_for_what_the_key_has() -> None:
    with pytest.raises(ConfigError, match=r"names \{name\}.*the template has id"):
        Check.parse("item:{id}", "SELECT {name}")


def test_of_two_templates_in_a_namespace_the_one_that_fits_is_taken() -> None:
    by_id, by_code = Check.parse("item:{id}", "{id}"), Check.parse("item:code:{code}", "{code}")
    checks = Checks([by_id, by_code])
    assert checks.of("item:code:x") == (by_code, ("x",))
    assert checks.of("item:7") == (by_id, ("7",))
    assert checks.of("other:7") is None


# --- when


def test_every_sampled_change_is_looked_at_after_each_delay() -> None:
    schedule = Schedule((1, 10), samples_per_s=1, choose=lambda keys: keys[-1])
    schedule.take(["a:1", "a:2"], stamp=5, now_ms=1000)
    assert schedule.due(1999) == []
    assert [(look.key, look.after_s) for look in schedule.due(2000)] == [("a:2", 1)]
    assert [look.after_s for look in schedule.due(60_000)] == [10]
    assert schedule.due(math.inf) == []


def test_the_rate_bounds_the_sample() -> None:
    schedule = Schedule((1,), samples_per_s=2, choose=lambda keys: keys[0])
    schedule.take(["a:1"], stamp=5, now_ms=1000)
    assert not schedule.is_open(1499)
    assert schedule.is_open(1500)


# --- one look


@dataclass
class World:
    """A value in Redis, a row, and an index that knows one window and a heartbeat."""

    row: Any = None
    data: bytes | None = None
    index: Index = field(default_factory=Index)
    now: Now = field(default_factory=lambda: Now(NOW_MS, 0))
    replies: list[Any] = field(default_factory=list)
    """Rows of the next looks; then ``row``."""

    def __post_init__(self) -> None:
        self.index.horizon = stamps.make(NOW_MS - 60_000)
        self.apply(NOW_MS - 30_000, Change((KEY,)))
        self.apply(NOW_MS, Heartbeat(NOW_MS))

    def apply(self, ms: int, body: Body) -> None:
        self.index.apply(Entry(stamps.make(ms), "n", "p", body), self.now)

    def cache(self, value: Any, *, age_ms: int = 20_000, is_absent: bool = False) -> None:
        head = ValueHeader(stamps.make(NOW_MS - age_ms), NOW_MS - age_ms, is_absent=is_absent)
        self.data = pack(head, b"" if is_absent else json.dumps(value).encode())

    async def get(self, key: str) -> bytes | None:
        assert key == KEY
        return self.data

    async def value(self, check: Check, arguments: tuple[object, ...]) -> Any:
        assert (check.template.text, arguments) == ("item:{id}", ("1",))
        answer = self.replies.pop(0) if self.replies else self.row
        if isinstance(answer, Exception):
            raise answer
        return answer

    def clock(self) -> Now:
        """Every reading is a tenth of a second later by the monotonic clock."""
        self.now = Now(self.now.ms, self.now.monotonic_ms + 100)
        return self.now

    def looker(self) -> Looker:
        checks = Checks([Check.parse("item:{id}", SQL)])
        return Looker(self.index, self, self, checks, clock=self.clock, degraded_ttl_ms=240_000)

    async def look(self, confirm_ms: int = 0) -> Sight:
        return await self.looker().look(KEY, confirm_ms)


async def reason_of(world: World, confirm_ms: int = 0) -> tuple[Result, str]:
    outcome = (await world.look(confirm_ms)).outcome
    return outcome.result, outcome.reason


async def test_a_value_that_is_not_there_tells_nothing() -> None:
    assert (await World().look()).outcome.result is Result.UNSERVED


async def test_a_value_that_readers_refuse_is_not_compared_whatever_it_says() -> None:
    world = World(row={"id": 2})
    world.cache({"id": 1}, age_ms=40_000)
    assert await reason_of(world) == (Result.UNSERVED, "superseded, and readers refuse it")
    world.data = b"not ours"
    assert (await world.look()).outcome.result is Result.UNSERVED


async def test_a_fresh_value_is_compared_with_the_row() -> None:
    world = World(row={"id": 1})
    world.cache({"id": 1, "more": "than the statement gives"})
    assert (await world.look()).outcome == EQUAL
    world.row = {"id": 2}
    assert (await world.look()).outcome == WRONG_FRESH


async def test_not_found_is_a_value_like_any() -> None:
    world = World(row=None)
    world.cache(None, is_absent=True)
    assert (await world.look()).outcome == EQUAL
    world.row = {"id": 1}
    assert (await world.look()).outcome == WRONG_FRESH


async def test_an_unknown_value_is_wrong_only_while_readers_serve_it() -> None:
    world = World(row={"id": 2})
    world.index.horizon = stamps.make(NOW_MS)
    world.cache({"id": 1})
    assert (await reason_of(world))[0] is Result.WRONG
    world.index = Index()
    world.apply(NOW_MS, Heartbeat(NOW_MS))
    world.cache({"id": 1}, age_ms=250_000)
    assert await reason_of(world) == (Result.UNSERVED, "UNKNOWN for too long to be served")


async def test_an_audit_that_lags_cannot_say_what_readers_refuse_but_by_a_proof() -> None:
    world = World(row={"id": 2}, now=Now(NOW_MS + 260_000, 260_000))
    world.cache({"id": 1})
    assert await reason_of(world) == (Result.INCONCLUSIVE, "the audit lags: readers that do not may serve it")
    world.cache({"id": 1}, age_ms=40_000)
    assert await reason_of(world) == (Result.UNSERVED, "superseded, and readers refuse it")


async def test_a_difference_must_last() -> None:
    world = World(row={"id": 2}, replies=[{"id": 2}, {"id": 1}])
    world.cache({"id": 1})
    assert await reason_of(world, 5_000) == (Result.INCONCLUSIVE, "a newer change was on its way")


async def test_what_cannot_be_compared_is_a_doubt() -> None:
    world = World()
    world.data = pack(ValueHeader(stamps.make(NOW_MS), NOW_MS), b"\x00not json")
    assert await reason_of(world) == (Result.INCONCLUSIVE, "the cached value is not JSON")
    world.cache({"id": 1})
    world.row = MySqlUnavailableError("gone")
    assert await reason_of(world) == (Result.INCONCLUSIVE, "gone")


@pytest.mark.parametrize(
    ("cached", "row", "are_equal"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"b": 2}, {"a": None}, False),
        ([{"a": 1, "b": 2}], [{"a": 1}], True),
        ([1], [1, 2], False),
        ({"a": {"b": [1.0]}}, {"a": {"b": [1]}}, True),
        (None, {}, False),
        ([], None, True),
        ([1], None, False),
        (0, None, False),
    ],
)
def test_fields_that_the_statement_leaves_out_are_not_compared(
    cached: Any,
    row: Any,
    are_equal: bool,  # noqa: FBT001
) -> None:
    assert is_equal(cached, row) is are_equal


async def test_a_fresh_value_is_wrong_only_where_the_stamp_of_what_it_lacks_cannot_be_stuck(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(look, "CONFIRM_EVERY_S", 0.0)
    world = World(row={"id": 2})
    world.cache({"id": 1})
    stuck = await world.look(1_000)
    assert (stuck.outcome, stuck.verdict) == (WRONG_UNKNOWN, Verdict.UNKNOWN), "readers know that they lag"

    world = World(row={"id": 2})
    world.cache({"id": 1})
    world.apply(NOW_MS + 1, Heartbeat(NOW_MS + CLOCK_ERROR_MS))
    assert (await world.look(1_000)).outcome == WRONG_FRESH


# --- all looks


def tally_of(consistent: int, wrong: int) -> Tally:
    tally = Tally()
    for outcome, count in ((EQUAL, consistent), (WRONG_FRESH, wrong), (BUSY, 3)):
        for _ in range(count):
            tally.add("item", 1.0, outcome)
    return tally


@pytest.mark.parametrize(
    ("consistent", "wrong", "nines"),
    [
        (999, 1, "3.0"),
        (90, 10, "1.0"),
        (0, 5, "0.0"),
        (1000, 0, ">3.0"),
        (0, 0, "-"),
        (8_999, 1, "3.9"),
        (9_000, 0, ">3.9"),
    ],
)
def test_consistency_is_given_as_nines_and_never_as_more_than_was_looked_at(
    consistent: int, wrong: int, nines: str
) -> None:
    (row,) = tally_of(consistent, wrong).rows()
    assert (row.nines, row.inconclusive) == (nines, 3)


def test_an_audit_that_sees_no_value_of_the_readers_claims_nothing() -> None:
    """Its ``[values]`` name another Redis than theirs, or another prefix."""
    tally = Tally()
    for outcome in (MISSING, FOREIGN):
        tally.add("item", 1.0, outcome)
    (row,) = tally.rows()
    assert (row.unserved, row.fraction, row.nines) == (2, None, "-")
    assert "stampline_audit_consistent_ratio{" not in generate_latest(registry(tally, "b")).decode()
    tally.add("item", 1.0, EQUAL)
    assert tally.as_json()["rows"][0]["nines"] == ">0.0"


def test_the_report_has_a_line_a_namespace_and_delay() -> None:
    tally = tally_of(999, 1)
    tally.add("a_longer_namespace", 10.0, EQUAL)
    assert [line.split() for line in tally.lines()[1:]] == [
        ["a_longer_namespace", "10", "s", "1", "0", "0", "0", ">0.0"],
        ["item", "1", "s", "1000", "1", "0", "3", "3.0"],
    ]
    assert tally.as_json()["wrong"] == 1


def test_metrics_name_namespace_delay_and_result() -> None:
    shown = generate_latest(registry(tally_of(999, 1), "b")).decode()
    assert 'stampline_audit_looks_total{after_s="1",dc="b",namespace="item",result="wrong"} 1.0' in shown
    assert 'stampline_audit_consistent_ratio{after_s="1",dc="b",namespace="item"} 0.999' in shown


# --- the loop


@dataclass
class Stuck:
    """Looks at whatever it is asked, and never comes back."""

    seen: list[str] = field(default_factory=list)

    async def look(self, key: str, confirm_ms: int) -> Sight:
        self.seen.append(key)
        await asyncio.Event().wait()
        raise AssertionError(confirm_ms)


def observer_of(looker: Any) -> Observer:
    schedule = Schedule((0,), samples_per_s=1e9, choose=lambda keys: keys[0])
    checks = Checks([Check.parse("item:{id}", SQL)])
    clock_ms = itertools.count()
    return Observer(looker, schedule, checks, clock=lambda: Now(NOW_MS, next(clock_ms)), confirm_ms=0)


async def test_only_changes_of_keys_that_a_check_knows_are_looked_at() -> None:
    looker = Stuck()
    observer = observer_of(looker)
    bodies: list[Body] = [Heartbeat(1), Generation(("item",), 0, 0, "ddl"), Change(("other:1",)), Change(("b:1", KEY))]
    for body in bodies:
        observer.offer(Entry(1, "n", "p", body))
    await run_until(observer, lambda: bool(looker.seen))
    assert looker.seen == [KEY]


async def test_looks_at_one_time_are_bounded_and_the_rest_is_counted_as_unsure() -> None:
    observer = observer_of(Stuck())
    for _ in range(LOOKS_MAX + 5):
        observer.offer(Entry(1, "n", "p", Change((KEY,))))
    await run_until(observer, lambda: bool(list(observer.tally.rows())))
    (row,) = observer.tally.rows()
    assert (row.consistent, row.wrong, row.inconclusive) == (0, 0, 5)


@pytest.mark.parametrize(
    ("lag_ms", "changed_ms", "result"),
    [
        (100_000, NOW_MS, Result.INCONCLUSIVE),
        (100_000, NOW_MS + 1, Result.WRONG),
        (0, NOW_MS, Result.WRONG),
    ],
    ids=["unknown-has-it", "unknown-lacks-it", "fresh"],
)
async def test_an_unknown_value_that_has_the_change_is_not_blamed_for_what_is_stuck_behind_it(
    lag_ms: int, changed_ms: int, result: Result
) -> None:
    world = World(row={"id": 2}, now=Now(NOW_MS + lag_ms, lag_ms))
    world.cache({"id": 1}, age_ms=0)
    observer = observer_of(world.looker())
    observer.offer(Entry(stamps.make(changed_ms), "n", "p", Change((KEY,))))
    await run_until(observer, lambda: bool(observer.tally.counts))
    assert [found for _, _, found in observer.tally.counts] == [result]


async def run_until(observer: Observer, is_done: Callable[[], bool]) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(observer.run(stop))
    async with asyncio.timeout(30):
        while not is_done():
            await asyncio.sleep(0)
        stop.set()
        await running


# --- why


async def traced(world: World, *history: Body) -> Trace:
    sight = await world.look()
    entries = tuple(Entry(stamps.make(NOW_MS - 30_000), "n", "p", body) for body in history)
    return make_trace(KEY, sight, world.index, world.now, history=entries, degraded_ttl_ms=240_000)


async def test_a_wrong_value_without_a_stamp_is_the_sources() -> None:
    world = World(row={"id": 2})
    world.cache({"id": 1})
    trace = await traced(world)
    assert trace.layer == "source"
    assert "no template makes it" in trace.why


async def test_where_no_history_is_known_there_is_no_horizon() -> None:
    world = World()
    world.index.horizon = stamps.STAMP_MAX
    assert (await traced(world)).as_json()["horizon"] is None


async def test_a_value_filled_above_its_stamp_is_the_loads() -> None:
    world = World(row={"id": 2})
    world.cache({"id": 1})
    assert (await traced(world, Change((KEY,)))).layer == "load"


async def test_a_pending_key_is_the_gates() -> None:
    world = World(row={"id": 2})
    world.apply(NOW_MS, Change((KEY,), gtid="0-1-5", pending=True))
    world.cache({"id": 1}, age_ms=0)
    assert (await traced(world, Change((KEY,)))).layer == "gate"


async def test_a_lagging_stream_is_the_pipelines_and_a_horizon_the_streams() -> None:
    world = World(row={"id": 2})
    world.cache({"id": 1})
    world.index.horizon = stamps.make(NOW_MS)
    assert (await traced(world)).layer == "stream"
    world.index.liveness.beat(NOW_MS - 60_000, 0, Now(NOW_MS, 0))
    trace = await traced(world)
    assert trace.layer == "pipeline"
    assert "lags by 60000 ms" in trace.why


async def test_a_consistent_key_blames_nobody() -> None:
    world = World(row={"id": 1})
    world.cache({"id": 1})
    trace = await traced(world, Change((KEY,), gtid="0-1-4"))
    assert (trace.layer, trace.why) == ("none", "equal to the row")
    shown = list(lines(trace))
    assert "result: consistent" in shown
    assert shown[-1].endswith("change  0-1-4")


@pytest.mark.parametrize(
    ("body", "does"),
    [
        (Change(("item:2", KEY)), True),
        (Change(("item:11",)), False),
        (Generation(("item",), 0, 0, "ddl"), True),
        (Heartbeat(1), False),
    ],
)
def test_history_is_what_names_the_key_or_its_namespace(body: Body, does: bool) -> None:  # noqa: FBT001
    assert names(Entry(1, "n", "p", body), KEY) is does
