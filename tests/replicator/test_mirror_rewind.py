"""What is said again of a stream that was trimmed too soon, when a replica lacks what it had."""

import pytest

from replicator.mirror.reasons import OWN, REWOUND
from replicator.mirror.rewind import unapplied_again
from replicator.mirror.words import LOST_KEY
from versioning import stamp as stamps
from versioning.backends.base import Append
from versioning.backends.memory import MemoryStream
from versioning.entries import Body, Change, Gap, Heartbeat, NewEntry, Origin, Replayed

NOW_MS = 1_700_000_000_000
HERE = Origin("a", stamps.text(stamps.make(99)), "here")


def plain(number: int) -> Change:
    return Change((f"t:{number}",), f"0-1-{number}")


def settled(number: int) -> Change:
    return Change((f"t:{number}",), f"0-1-{number}", settled=True)


async def said_again(kept: int, *left: Body) -> list[Body]:
    """Return what is said of a trimmed stream, when the replicas kept no more than the ``kept`` first transactions."""
    stream = MemoryStream(lambda: NOW_MS)
    first, *_ = await written(stream, Heartbeat(1), *left)
    stream.trim(first + 1)
    return await said_again_of(stream, kept)


async def written(stream: MemoryStream, *bodies: Body) -> list[int]:
    entries = tuple(NewEntry(f"n{place}", body, origin_of(body)) for place, body in enumerate(bodies))
    return await stream.append(Append(entries, clock_ms=0))


async def said_again_of(stream: MemoryStream, kept: int) -> list[Body]:
    def is_kept(gtid: str) -> bool:
        return not gtid or int(gtid.rpartition("-")[2]) <= kept

    state = await stream.state()
    agains = await unapplied_again(stream, state.last, state.nonce, HERE, is_kept, window_ms=60_000)
    return [again.body for again in agains]


def origin_of(body: Body) -> Origin | None:
    """The origin stamps its entries in the order of their transactions; a heartbeat that passed others names none."""
    if isinstance(body, Heartbeat) and not body.applied_ms:
        return None
    if isinstance(body, Gap) and body.reason.startswith(OWN):
        return Origin("a", "0-0", "")
    assert isinstance(body, Change | Gap | Replayed | Heartbeat)
    return Origin("a", stamps.text(stamps.make(int(body.gtid.rpartition("-")[2] or 0))), "n")


async def test_what_came_before_an_entry_that_was_kept_was_kept_too() -> None:
    assert await said_again(26, plain(20), plain(26)) == []


async def test_the_gap_waits_for_what_replicas_had_in_every_domain() -> None:
    beat = Heartbeat(1, 1, "0-1-5,1-1-9")
    assert await said_again(9, beat, plain(6)) == []
    assert await said_again(7, beat, plain(6)) == [Gap(REWOUND, "0-1-6,1-1-9", pending=True)]


async def test_what_was_settled_late_tells_nothing_of_what_was_trimmed_before_it() -> None:
    """Its transaction is old; those settled with it, and trimmed, need not be."""
    assert await said_again(26, settled(21)) == [Gap(REWOUND, pending=True)]
    *_, gap = reversed(await said_again(26, settled(21), plain(31)))
    assert gap == Gap(REWOUND, "0-1-31", pending=True)


async def test_the_gap_waits_for_the_furthest_transaction_not_for_the_last_one_said() -> None:
    gap, again = await said_again(26, plain(31), settled(21))
    assert gap == Gap(REWOUND, "0-1-31", pending=True)
    assert again == Change(("t:31",), "0-1-31", pending=True)


async def test_of_a_key_the_furthest_transaction_counts_not_the_one_said_last() -> None:
    *_, again = await said_again(26, plain(20), Change(("k",), "0-1-31"), Change(("k",), "0-1-21", settled=True))
    assert again == Change(("k",), "0-1-31", pending=True)


async def test_of_an_idle_database_the_heartbeats_tell() -> None:
    beats = (Heartbeat(1, 1, "0-1-26"), Heartbeat(2, 2, "0-1-26"))
    assert await said_again(26, *beats) == []
    assert await said_again(25, *beats) == [Gap(REWOUND, "0-1-26", pending=True)]


async def test_a_heartbeat_that_passed_what_a_replica_lacked_tells_of_an_earlier_one_only() -> None:
    """Its place is its own: what was in front of it, and is trimmed, need not be in the GTID it has."""
    passed = Heartbeat(2, 1, "0-1-26")
    assert await said_again(26, passed, passed) == [Gap(REWOUND, pending=True)]


async def test_an_entry_that_was_kept_tells_of_its_own_domain_alone() -> None:
    beat, other = Heartbeat(2, 1, "0-1-5,1-1-9"), Change(("t",), "1-1-20")
    assert await said_again(26, beat, other) == [Gap(REWOUND, pending=True)]
    assert await said_again(26, beat, other, plain(6)) == []


async def test_nothing_waits_for_what_a_replica_may_have_lost_for_ever() -> None:
    lost = Change((LOST_KEY,), "0-1-15", pending=True)
    gap, _ = await said_again(4, plain(14), lost)
    assert gap == Gap(REWOUND, "0-1-14", pending=True)


async def test_a_heartbeat_tells_nothing_of_entries_that_were_ahead_of_it() -> None:
    """It says how far all replicas were when it passed; what had entered one by one may have been further."""
    assert await said_again(26, Heartbeat(1, 0, "0-1-26")) == [Gap(REWOUND, pending=True)]


@pytest.mark.parametrize("gtid", ["0-1-20", ""])
async def test_what_a_gap_hid_that_a_replay_has_ended_may_be_lost_again(gtid: str) -> None:
    gap = Gap("flushed", gtid, pending=True)
    ended, open_ = (Replayed(0, "0-1-21", settled=is_settled) for is_settled in (True, False))
    lost, *_ = await said_again(10, plain(5), gap, plain(21), ended)
    assert lost == Gap(REWOUND, "0-1-21", pending=True)
    assert not [body for body in await said_again(10, plain(5), gap, plain(21), open_) if isinstance(body, Gap)]
    assert await said_again(21, plain(5), gap, plain(21), ended) == []


async def test_a_gap_of_the_mirror_s_own_may_be_further_than_all_that_was_copied_since() -> None:
    """It stands for what is in front of the origin's last heartbeat, which others need not have told yet (248820)."""
    own = Gap(OWN + "flushed", "0-1-9")
    assert (await said_again(4, plain(3), own, plain(5)))[0] == Gap(REWOUND, "0-1-9", pending=True)


async def test_of_what_was_deleted_in_the_middle_no_entry_says_that_a_replica_lacks_it() -> None:
    stream = MemoryStream(lambda: NOW_MS)
    _, _, deleted, _ = await written(stream, Heartbeat(1, 1, "0-1-20"), plain(21), plain(25), plain(30))
    stream.drop(lambda entry: entry.stamp == deleted)
    assert await said_again_of(stream, 30) == []
    again = Change(("t:30",), "0-1-30", pending=True)
    assert await said_again_of(stream, 24) == [Gap(REWOUND, "0-1-30", pending=True), again]


async def test_nor_of_what_was_deleted_from_the_end() -> None:
    stream = MemoryStream(lambda: NOW_MS)
    first, *_ = await written(stream, plain(21), plain(25), plain(30))
    stream.drop(lambda entry: entry.stamp > first)
    assert await said_again_of(stream, 24) == [Gap(REWOUND, pending=True)]
    stream.drop(lambda entry: True)
    assert await said_again_of(stream, 24) == [Gap(REWOUND, pending=True)]


async def test_nor_of_what_was_trimmed_behind_an_entry_of_someone_elses() -> None:
    """The next one follows none, as the first one of a history does; that is a mirror's gap."""
    stream = MemoryStream(lambda: NOW_MS)
    await written(stream, plain(21))
    stream.poison()
    behind, *_ = await written(stream, plain(25), Heartbeat(1))
    stream.trim(behind)
    assert await said_again_of(stream, 25) == []
    assert Gap(REWOUND, "0-1-25", pending=True) in await said_again_of(stream, 20)
    stream.trim(behind)
    stream.drop(lambda entry: True)
    stream.poison()
    assert await said_again_of(stream, 20) == [Gap(REWOUND, pending=True)]
    [bump] = await stream.append(Append((NewEntry("b", Change(("t:1",))),), clock_ms=0))
    stream.trim(bump)
    assert await said_again_of(stream, 20) == [Gap(REWOUND, pending=True)]
    stream.flush()
    await written(stream, Gap(OWN + "flushed", "0-1-24"), plain(25))
    assert await said_again_of(stream, 24) == [Change(("t:25",), "0-1-25", pending=True)]
