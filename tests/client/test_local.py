"""The cache inside the process: bounded, and what is used stays."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from versioning.client.local import LocalCache
from versioning.held import Held

HELD = Held("value", 1, 0, 0, 0, 0)


def never() -> int:
    return 0


def test_the_least_used_goes_first_and_what_is_read_often_stays() -> None:
    local = LocalCache(3, never)
    for key in ("t:hot", "t:1", "t:2"):
        local.put(key, HELD)
    local.touch("t:hot")
    local.put("t:3", HELD)
    assert local.find("t:1") is None
    assert local.find("t:hot") is HELD
    assert len(local) == 3


def test_what_is_read_often_pushes_out_what_was_put_lately_and_that_is_not_remembered() -> None:
    seconds = iter(range(10_000))
    local = LocalCache(10, lambda: next(seconds))
    for number in range(30):
        local.put(f"t:{number}", HELD)
        for hot in range(9):
            local.put(f"t:hot {hot}", HELD) if local.find(f"t:hot {hot}") is None else local.touch(f"t:hot {hot}")
    since = local.remembers_since_ms
    local.put("t:last", HELD)
    assert local.find("t:29") is None
    assert since > 0
    assert next(seconds) - local.remembers_since_ms <= 3


def test_a_forked_child_begins_empty_with_a_lock_of_its_own() -> None:
    local = LocalCache(3, never)
    local.put("t:1", HELD)
    local._lock.acquire()
    local.after_fork()
    local.put("t:2", HELD)
    assert local.find("t:1") is None
    assert local.find("t:2") is HELD


@pytest.mark.parametrize("last", ["t:1", "t:2"], ids=["replaced", "evicted"])
def test_a_value_may_read_and_fill_the_cache_when_it_ends(last: str) -> None:
    local = LocalCache(1, never)

    class Value:
        def __del__(self) -> None:
            local.put("t:last", HELD)

    def work() -> None:
        local.put("t:1", Held(Value(), 1, 0, 0, 0, 0))
        local.put(last, HELD)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(timeout=20)
    assert local.find("t:last") is HELD


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 12)), max_size=40), st.integers(2, 10))
def test_what_was_put_since_it_remembers_is_held(batches: list[tuple[int, int]], max_entries: int) -> None:
    now_ms = 0
    local = LocalCache(max_entries, lambda: now_ms)
    put_ms: dict[str, int] = {}
    for passed_ms, size in batches:
        now_ms += passed_ms
        fresh = {f"t:{len(put_ms) + number}": HELD for number in range(size)}
        put_ms |= dict.fromkeys(fresh, now_ms)
        local.put_many(fresh)
        assert {key for key, at_ms in put_ms.items() if at_ms > local.remembers_since_ms} <= local.held.keys()
