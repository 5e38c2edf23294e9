"""The read plan (P10): one refill per change, nobody waits for long, and no fault of Redis stops a read."""

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.versioning.processes import KEY, Datacenter, Process, advance, finish
from versioning.effects import FillValues, GetValues, Load, ReleaseLeases, TryLeases, Wait
from versioning.entries import Change, Gap, Generation
from versioning.errors import LoadBudgetError, SerializeError
from versioning.header import unpack
from versioning.index import Index
from versioning.limits import COLD_MS
from versioning.read import Read, Tier
from versioning.readplan import plan_read, plan_renewal
from versioning.verdict import Verdict


@pytest.fixture
def at() -> Datacenter:
    datacenter = Datacenter()
    datacenter.database[KEY] = "new"
    return datacenter


def filled(at: Datacenter, process: Process) -> int:
    """Put a current value into Redis; return its stamp."""
    stamp = process.index.watermark
    at.put("old", stamp=stamp, fill_second=at.second)
    return stamp


def test_a_fresh_value_in_redis_costs_one_command_and_is_kept(at: Datacenter) -> None:
    process = Process(at)
    stamp = filled(at, process)
    at.pass_s(1)
    read = process.read()
    assert (read.value, read.tier, read.stamp, read.verdict, read.age_ms) == (
        "old",
        Tier.REDIS,
        stamp,
        Verdict.FRESH,
        1000,
    )
    assert process.read().tier is Tier.LOCAL
    assert process.effects == [GetValues]


def test_a_superseded_value_is_loaded_again_and_overwritten(at: Datacenter) -> None:
    process = Process(at)
    filled(at, process)
    process.change()
    read = process.read()
    assert (read.value, read.tier, read.verdict) == ("new", Tier.LOADED, Verdict.FRESH)
    assert process.effects == [GetValues, TryLeases, Load, FillValues]
    assert Process(at).read().value == "new"


def test_the_fill_stamp_is_the_watermark_before_the_load(at: Datacenter) -> None:
    process = Process(at)
    before = process.index.watermark

    def load_while_the_row_changes(keys: tuple[str, ...]) -> dict[str, str]:
        process.change()
        at.pass_s(3)
        return {KEY: "old"}

    read = process.read(load=load_while_the_row_changes)
    assert (read.stamp, read.verdict, read.age_ms) == (before, Verdict.STALE, 3000)
    assert process.read().value == "new"


def test_a_value_loaded_while_the_window_is_covered_is_not_vouched_for(at: Datacenter) -> None:
    process = Process(at)
    process.index.begin_covering()
    read = process.read()
    assert (read.stamp, read.verdict) == (0, Verdict.UNKNOWN)
    assert process.read().tier is Tier.LOCAL


def test_a_key_that_is_pending_as_its_history_is_given_up_is_not_taken_for_settled(
    at: Datacenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The follower's thread forgets all behind the look at the watermark."""
    process, fill_stamp = Process(at), Index.fill_stamp
    pending = process.learn(Change((KEY,), gtid="0-1-1", pending=True))

    def interrupted(index: Index, key: str) -> int:
        stamp = fill_stamp(index, key)
        index.forget()
        return stamp

    monkeypatch.setattr(Index, "fill_stamp", interrupted)
    process.read()
    head, _ = unpack(at.values.stored()[KEY])
    assert head.fill_stamp >= pending
    assert head.is_provisional


def test_a_key_of_which_parts_of_two_histories_were_seen_is_not_taken_for_settled(
    at: Datacenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look whether it is pending fell between a loss and what came next, the one at the watermark did not."""
    process, fill_stamp = Process(at), Index.fill_stamp

    def interrupted(index: Index, key: str) -> int:
        stamp = fill_stamp(index, key)
        index.forget()
        return stamp

    monkeypatch.setattr(Index, "fill_stamp", interrupted)
    monkeypatch.setattr(Index, "is_key_pending", lambda *_: False)
    process.read()
    assert unpack(at.values.stored()[KEY])[0].is_provisional


def test_who_comes_as_a_history_is_given_up_takes_nothing_superseded_for_what_was_current_then(at: Datacenter) -> None:
    process = Process(at)
    filled(at, process)
    changed = process.change()
    process.index.reach(0)
    steps = process.begin()
    advance(steps, GetValues)
    process.index.reach(changed)
    assert finish(steps)[KEY].value == "new"


def test_a_value_loaded_while_its_key_is_pending_lives_for_the_provisional_ttl(at: Datacenter) -> None:
    process = Process(at)
    process.learn(Change((KEY,), gtid="0-1-1", pending=True))
    process.read()
    at.pass_s(1.9)
    assert process.read().tier is Tier.LOCAL
    assert Process(at).read().tier is Tier.REDIS
    at.pass_s(0.2)
    assert at.values.get(KEY) is None
    assert process.read().tier is Tier.LOADED


def test_a_key_that_becomes_pending_as_the_load_begins_is_not_taken_for_settled(
    at: Datacenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for the last time, it is not; then it is, at once."""
    process = Process(at)
    pending: list[int] = []
    looks = iter((None, lambda: pending.append(process.learn(Change((KEY,), gtid="0-1-1", pending=True)))))

    def asked_too_early(_: str) -> bool:
        if (become_pending := next(looks)) is not None:
            become_pending()
        return False

    monkeypatch.setattr(process.index, "is_key_pending", asked_too_early)
    assert process.read().stamp < pending[0]


def test_what_is_loaded_replaces_a_copy_of_a_lost_history_that_no_one_can_vouch_for(at: Datacenter) -> None:
    process = Process(at)
    lost = process.read().stamp
    process.index.forget()
    at.pass_s(241)
    process.learn(Gap("flushed"), at_second=50)
    at.values.flush()
    read = process.read()
    assert (read.tier, read.stamp < lost) == (Tier.LOADED, True)
    assert process.read().tier is Tier.LOCAL


def test_not_found_is_cached_like_a_value(at: Datacenter) -> None:
    process = Process(at)
    assert process.read("t:9").value is None
    assert process.read("t:9").tier is Tier.LOCAL
    stored = at.values.get("t:9")
    assert stored is not None
    assert unpack(stored)[0].is_absent
    assert Process(at).read("t:9").tier is Tier.REDIS


def test_who_gets_no_lease_waits_for_the_fill_of_who_has_it(at: Datacenter) -> None:
    leader, waiter = Process(at), Process(at)
    leading, waiting = leader.begin(), waiter.begin()
    advance(leading, Load)
    advance(waiting, Wait)
    finish(leading)
    assert finish(waiting)[KEY].tier is Tier.REDIS
    assert (leader.loads, waiter.loads, waiter.counters.lease_waits) == (1, 0, 1)


def test_a_fill_between_the_read_and_the_lease_is_not_loaded_again(at: Datacenter) -> None:
    first, second = Process(at), Process(at)
    late = second.begin()
    advance(late, TryLeases)
    first.read()
    assert finish(late)[KEY].tier is Tier.REDIS
    assert second.loads == 0
    assert second.effects == [GetValues, TryLeases]
    assert at.lease()


def test_a_fill_that_lacks_a_change_we_know_is_loaded_again(at: Datacenter) -> None:
    behind, ahead = Process(at), Process(at)
    ahead.change()
    leading, waiting = behind.begin(), ahead.begin()
    advance(leading, Load)
    advance(waiting, Wait)
    finish(leading)
    read = finish(waiting)[KEY]
    assert (read.tier, read.verdict, ahead.loads) == (Tier.LOADED, Verdict.FRESH, 1)


def overtaken(at: Datacenter, reader: Process) -> Read:
    """Let another process fill what changes again before the reader finds it."""
    leader = Process(at)
    leader.change()
    leading, waiting = leader.begin(), reader.begin()
    advance(leading, Load)
    advance(waiting, Wait)
    finish(leading)
    at.pass_s(0.001)
    reader.change()
    reader.hear()
    return finish(waiting)[KEY]


def test_a_value_that_was_current_when_the_reader_came_is_for_it_though_it_has_changed_meanwhile(
    at: Datacenter,
) -> None:
    """Else each process that reads a key which changes faster than it is loaded waits for a load of its own."""
    reader = Process(at)
    read = overtaken(at, reader)
    assert (read.tier, read.verdict, reader.loads) == (Tier.REDIS, Verdict.STALE, 0)
    assert reader.read().tier is Tier.LOADED


def lagging(at: Datacenter, reader: Process) -> None:
    at.pass_s(60)


def covering(at: Datacenter, reader: Process) -> None:
    reader.index.begin_covering()


def gap_pending(at: Datacenter, reader: Process) -> None:
    reader.learn(Gap("lost", gtid="0-1-1", pending=True))


@pytest.mark.parametrize("make", [lagging, covering, gap_pending])
def test_a_reader_that_did_not_know_what_was_current_when_it_came_loads(
    at: Datacenter, make: Callable[[Datacenter, Process], None]
) -> None:
    reader = Process(at)
    make(at, reader)
    assert overtaken(at, reader).tier is Tier.LOADED


def settled(at: Datacenter, **options: Any) -> Process:
    """A process that remembers long enough to know which keys it does not read."""
    process = Process(at, **options)
    process.local.remembers_since_ms = at.now.monotonic_ms - COLD_MS
    return process


def test_a_cold_key_is_loaded_without_a_lease(at: Datacenter) -> None:
    process = settled(at)
    process.learn(Generation(("t",), at.now.ms, 0, "truncated"))
    assert process.read().value == "new"
    assert process.effects == [GetValues, Load, FillValues]
    assert process.counters.unleased_loads == 0


def in_redis(at: Datacenter, process: Process) -> None:
    filled(at, process)
    at.pass_s(600)
    process.learn(Gap("lost"))
    process.hear()


def changed(at: Datacenter, process: Process) -> None:
    process.change()


def read_before(at: Datacenter, process: Process) -> None:
    process.read()
    at.pass_s(3600)
    process.hear()


def deaf(at: Datacenter, process: Process) -> None:
    at.pass_s(60)


def young(at: Datacenter, process: Process) -> None:
    process.local.remembers_since_ms += 1


@pytest.mark.parametrize("make", [in_redis, changed, read_before, deaf, young])
def test_a_key_that_others_may_be_loading_is_not_cold(
    at: Datacenter, make: Callable[[Datacenter, Process], None]
) -> None:
    process = settled(at)
    make(at, process)
    assert process.read().tier is Tier.LOADED
    assert process.effects[-4:] == [GetValues, TryLeases, Load, FillValues]


def test_without_local_ttl_no_key_is_cold_since_nothing_tells_what_was_read(at: Datacenter) -> None:
    process = settled(at, local_ttl_ms=0)
    filled(at, process)
    assert process.reading.take_hits({KEY: at.values.get(KEY)}, at.now)
    at.values.flush()
    assert process.read().tier is Tier.LOADED
    assert process.effects == [GetValues, TryLeases, Load, FillValues]


def test_cold_keys_and_leased_ones_are_loaded_together(at: Datacenter) -> None:
    process = settled(at)
    process.change()
    at.database["t:2"] = 2
    reads = process.read_many(KEY, "t:2")
    assert {key: read.value for key, read in reads.items()} == {KEY: "new", "t:2": 2}
    assert process.effects == [GetValues, TryLeases, Load, FillValues]
    assert process.loads == 1
    assert at.lease()


def test_waiting_is_bounded_and_ends_in_a_load_without_lease(at: Datacenter) -> None:
    process = Process(at, lease_wait_ms=300)
    at.lease()
    began = at.second
    assert process.read().tier is Tier.LOADED
    assert at.second - began == pytest.approx(0.3)
    assert process.effects.count(Wait) < 15
    assert process.counters.unleased_loads == 1


def test_of_all_who_wait_for_a_dead_leader_one_takes_its_lease_over(at: Datacenter) -> None:
    processes = [Process(at, lease_wait_ms=1_000) for _ in range(3)]
    at.lease(ttl_ms=200)
    waiting = [process.begin() for process in processes]
    for steps in waiting:
        advance(steps, Wait)
    for steps in waiting:
        finish(steps)
    assert sum(process.loads for process in processes) == 1


def test_a_loaders_error_is_raised_and_not_cached_and_the_lease_is_free(at: Datacenter) -> None:
    process = Process(at)

    def fail(keys: tuple[str, ...]) -> dict[str, str]:
        raise LookupError("the database is away")

    with pytest.raises(LookupError):
        process.read(load=fail)
    assert process.effects[-1] is ReleaseLeases
    assert at.values.get(KEY) is None
    assert process.read().value == "new"


def test_a_value_that_cannot_be_serialised_names_its_key_and_frees_the_lease(at: Datacenter) -> None:
    process = Process(at)
    with pytest.raises(SerializeError, match="t:1"):
        process.read(load=lambda keys: {KEY: object()})
    assert process.read().value == "new"


def test_a_value_that_cannot_be_read_back_is_not_stored(at: Datacenter, monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process(at)
    with monkeypatch.context() as patched:
        patched.setattr(process.reading.serializer, "loads", lambda data: json.loads(data + b"!"))
        with pytest.raises(SerializeError, match="t:1"):
            process.read()
    assert (process.counters.loads, process.counters.load_errors) == (0, 1)
    assert at.values.get(KEY) is None
    assert at.lease()


def test_without_redis_reads_go_to_the_loader_at_once_and_are_kept_in_the_process(at: Datacenter) -> None:
    process = Process(at)
    at.is_redis_up = False
    assert process.read().tier is Tier.LOADED
    assert process.effects == [GetValues, Load, FillValues]
    assert process.read().tier is Tier.LOCAL
    assert process.counters.redis_errors == 2


@pytest.mark.parametrize("kind", [TryLeases, FillValues])
def test_redis_may_go_down_at_any_step(at: Datacenter, kind: type) -> None:
    process = Process(at)
    steps = process.begin()
    advance(steps, kind)
    at.is_redis_up = False
    assert finish(steps)[KEY].value == "new"


def test_a_value_that_cannot_be_stored_leaves_no_lease_that_others_wait_for(at: Datacenter) -> None:
    process = Process(at)
    steps = process.begin()
    advance(steps, FillValues)
    at.is_redis_up = False
    advance(steps, ReleaseLeases)
    at.is_redis_up = True
    assert finish(steps)[KEY].value == "new"
    assert at.values.get(KEY) is None
    assert at.lease()


def test_a_superseded_value_is_served_to_those_who_do_not_refill_it(at: Datacenter) -> None:
    leader, reader = (Process(at, serve_stale_ms=5_000, lease_ttl_ms=60_000) for _ in range(2))
    filled(at, leader)
    leader.change()
    stamp = reader.change()
    leading = leader.begin()
    advance(leading, Load)
    at.pass_s(4)
    read = reader.read()
    assert (read.value, read.tier, read.verdict) == ("old", Tier.STALE, Verdict.STALE)
    assert read.stamp < stamp
    assert Wait not in reader.effects
    at.pass_s(1)
    steps = reader.begin()
    advance(steps, Wait)


def test_a_refill_that_nobody_waits_for_waits_for_the_one_under_way_elsewhere(at: Datacenter) -> None:
    leader, renewing = (Process(at, serve_stale_ms=5_000, lease_ttl_ms=60_000) for _ in range(2))
    filled(at, leader)
    leader.change()
    renewing.change()
    leading = leader.begin()
    advance(leading, Load)
    steps = renewing.step(plan_renewal(renewing.reading, [KEY]), renewing.load)
    advance(steps, Wait)
    finish(leading)
    read = finish(steps)[KEY]
    assert (read.value, read.tier, renewing.loads) == ("new", Tier.REDIS, 0)


def test_a_superseded_value_that_is_too_old_is_not_served_to_anyone(at: Datacenter) -> None:
    process = Process(at, serve_stale_ms=5_000)
    filled(at, process)
    at.pass_s(241)
    process.hear()
    process.change()
    at.lease()
    advance(process.begin(), Wait)


@pytest.mark.parametrize("make", [Process, settled], ids=["leased", "cold"])
def test_over_the_load_budget_a_reader_waits_for_the_next_token(at: Datacenter, make: Callable[..., Process]) -> None:
    process = make(at, max_loads_per_s=2, lease_wait_ms=1_000)
    began = at.second
    for number in range(3):
        assert process.read(f"t:{number}").tier is Tier.LOADED
    assert 0.5 <= at.second - began <= 1
    assert process.counters.budget_waits


def test_over_the_load_budget_an_old_value_is_served_while_its_age_keeps_the_promise(at: Datacenter) -> None:
    process = Process(at, max_loads_per_s=0.001)
    filled(at, process)
    process.read("t:2")
    process.change()
    assert process.read().tier is Tier.STALE
    at.pass_s(241)
    with pytest.raises(LoadBudgetError):
        process.read()


def test_over_the_load_budget_a_refill_that_nobody_waits_for_serves_the_old_value_of_the_process_too(
    at: Datacenter,
) -> None:
    """Readers join it once the old value is not served without waiting any more."""
    process = Process(at, max_loads_per_s=0.001)
    process.read()
    process.change()
    at.is_redis_up = False
    read = finish(process.step(plan_renewal(process.reading, [KEY]), process.load))[KEY]
    assert (read.value, read.tier) == ("new", Tier.STALE)


def test_over_the_load_budget_a_reader_waits_no_longer_than_for_a_lease_when_redis_is_down(at: Datacenter) -> None:
    process = Process(at, max_loads_per_s=0.001)
    at.is_redis_up = False
    process.read("t:2")
    began = at.second
    with pytest.raises(LoadBudgetError):
        process.read()
    assert at.second - began == pytest.approx(process.options.lease_wait_ms / 1000)


def test_over_the_load_budget_no_value_is_served_past_its_own_life(at: Datacenter) -> None:
    process = Process(at, max_loads_per_s=0.001)
    at.put("old", stamp=process.index.watermark, fill_second=at.second, is_provisional=True)
    process.read("t:2")
    process.change()
    with pytest.raises(LoadBudgetError):
        process.read()


def test_over_the_load_budget_the_younger_of_two_old_values_is_served(at: Datacenter) -> None:
    process = Process(at, max_loads_per_s=0.001)
    process.read()
    at.pass_s(200)
    process.change()
    at.put("later", stamp=process.index.watermark, fill_second=at.second)
    at.pass_s(100)
    process.change()
    assert process.read().value == "later"


def test_a_lease_that_is_not_granted_costs_nothing_of_the_load_budget(at: Datacenter) -> None:
    process = Process(at, max_loads_per_s=1, lease_wait_ms=300)
    at.lease("t:2")
    waiting = process.begin("t:2")
    advance(waiting, Wait)
    assert process.read().tier is Tier.LOADED


def test_many_keys_cost_one_look_one_lease_call_and_one_load(at: Datacenter) -> None:
    process = Process(at)
    filled(at, process)
    at.database |= {"t:2": 2, "t:3": 3}
    asked: list[tuple[str, ...]] = []

    def load(keys: tuple[str, ...]) -> dict[str, object]:
        asked.append(keys)
        return process.load(keys)

    reads = process.read_many(KEY, "t:2", "t:3", "t:4", load=load)
    assert {key: read.value for key, read in reads.items()} == {KEY: "old", "t:2": 2, "t:3": 3, "t:4": None}
    assert asked == [("t:2", "t:3", "t:4")]
    assert process.effects == [GetValues, TryLeases, Load, FillValues]


def test_of_many_keys_those_refilled_elsewhere_are_waited_for_and_the_rest_loaded(at: Datacenter) -> None:
    other, process = Process(at), Process(at)
    at.database["t:2"] = 2
    elsewhere = other.begin("t:2")
    advance(elsewhere, Load)
    steps = process.step(plan_read(process.reading, [KEY, "t:2"]), process.load)
    advance(steps, Wait)
    finish(elsewhere)
    assert {key: read.tier for key, read in finish(steps).items()} == {KEY: Tier.LOADED, "t:2": Tier.REDIS}
    assert process.loads == 1


@pytest.mark.parametrize("seed", range(40))
def test_one_change_means_one_load_in_whatever_order_processes_take_their_steps(at: Datacenter, seed: int) -> None:
    chance = random.Random(seed)
    processes = [Process(at, lease_ttl_ms=600_000, lease_wait_ms=600_000) for _ in range(5)]
    filled(at, processes[0])
    for process in processes:
        process.change()
    reading = {process: process.begin() for process in processes}
    reads = []
    while reading:
        process = chance.choice(list(reading))
        try:
            next(reading[process])
        except StopIteration as done:
            reads.append(done.value[KEY])
            del reading[process]
    assert {(read.value, read.verdict) for read in reads} == {("new", Verdict.FRESH)}
    assert sum(process.loads for process in processes) == 1


@pytest.mark.parametrize("steps_taken", range(1, 5))
def test_a_process_may_die_after_any_step_and_the_next_one_refills(at: Datacenter, steps_taken: int) -> None:
    dying, next_one = Process(at), Process(at, lease_wait_ms=10_000)
    steps = dying.begin()
    for _ in range(steps_taken):
        next(steps)
    steps.close()
    began = at.second
    assert next_one.read().value == "new"
    assert at.second - began < 3
    assert next_one.counters.unleased_loads == 0
