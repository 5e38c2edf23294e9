"""The cache inside the process: bounded, and what is used stays."""

from versioning.client.local import LocalCache
from versioning.held import Held

HELD = Held("value", 1, 0, 0, 0, 0)


def test_the_least_used_goes_first_and_what_is_read_often_stays() -> None:
    local = LocalCache(3)
    for key in ("t:hot", "t:1", "t:2"):
        local.put(key, HELD)
    local.touch("t:hot")
    local.put("t:3", HELD)
    assert local.find("t:1") is None
    assert local.find("t:hot") is HELD
    assert len(local) == 3


def test_a_forked_child_begins_empty_with_a_lock_of_its_own() -> None:
    local = LocalCache(3)
    local.put("t:1", HELD)
    local._lock.acquire()
    local.after_fork()
    local.put("t:2", HELD)
    assert local.find("t:1") is None
    assert local.find("t:2") is HELD
