"""When a GTID counts as applied, and when a database is asked."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable

import pytest

from replicator.mirror.board import GateBoard
from replicator.mirror.gate import GateError, Wanted
from replicator.mirror.gtids import (
    answer_includes,
    domain_of,
    is_beyond,
    position_of,
    reaches,
    with_own,
    writes_itself,
)
from replicator.mirror.options import MirrorStats

UUID = "3e11fa47-71ca-11e1-9e33-c80aa9429562"


@pytest.mark.parametrize(
    ("answer", "gtid"),
    [
        ("0-1-15", "0-1-15"),
        ("0-1-15", "0-1-3"),
        ("0-2-16", "0-1-15"),
        ("0-1-15,1-1-7", "1-1-7"),
        ("0-1-15,1-1-7", "0-1-15,1-1-2"),
        ("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-7", "3E11FA47-71CA-11E1-9E33-C80AA9429562:5"),
        ("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-7", "3e11fa47-71ca-11e1-9e33-c80aa9429562:2-7"),
        ("binlog.000003/400", "binlog.000003/400"),
        ("binlog.000010/4", "binlog.000009/900"),
        ("binlog.000003/400", "1:binlog.000003/17"),
    ],
)
def test_a_position_that_includes_it_says_so(answer: str, gtid: str) -> None:
    assert answer_includes(answer, gtid)


@pytest.mark.parametrize(
    ("answer", "gtid"),
    [
        ("", "0-1-1"),
        ("0-1-15", "0-1-16"),
        ("0-1-15", "1-1-2"),
        ("0-1-15", "0-1-15,1-1-2"),
        ("0-1-15", "3e11fa47-71ca-11e1-9e33-c80aa9429562:5"),
        ("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-4:6-9", "3e11fa47-71ca-11e1-9e33-c80aa9429562:5"),
        ("binlog.000003/400", "binlog.000003/401"),
        ("binlog.000003/400", "0-1-15"),
        ("0-1-15", "nonsense"),
    ],
)
def test_anything_else_is_not_applied(answer: str, gtid: str) -> None:
    assert not answer_includes(answer, gtid)


class Recording:
    """A database that is down when the test says so, and remembers what it was asked."""

    name = "replica"

    def __init__(self) -> None:
        self.is_down = False
        self.applied = "0-1-4"
        self.asked: list[tuple[str, bool]] = []
        """And whether it answered."""

    async def wait(self, gtid: str, limit_ms: int) -> str:
        await asyncio.sleep(0)
        self.asked.append((gtid, not self.is_down))
        if self.is_down:
            raise GateError("down")
        return self.applied

    async def aclose(self) -> None:
        """Nothing to close."""


@contextlib.asynccontextmanager
async def watched(
    gate: Recording, stats: MirrorStats | None = None, *, monotonic_ms: Callable[[], int] = lambda: 0
) -> AsyncIterator[GateBoard]:
    """Ask it, again and again, for what it does not have."""
    board = GateBoard(
        [gate],
        stats or MirrorStats(),
        lambda has: Wanted("0-1-5"),
        lambda: None,
        lambda: None,
        monotonic_ms=monotonic_ms,
        answer_life_ms=10_000,
    )
    task = asyncio.ensure_future(board.run())
    try:
        yield board
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What was slept, though no time passes."""
    slept: list[float] = []
    pass_on = asyncio.sleep

    async def sleep(delay_s: float) -> None:
        slept.append(delay_s)
        await pass_on(0)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return slept


def says_unapplied(board: GateBoard, gtid: str) -> bool:
    return board.says_unapplied(gtid, came_ms=0, committed_ms=board._monotonic_ms())


async def asked_again(gate: Recording, count: int) -> None:
    count += len(gate.asked)
    while len(gate.asked) < count:
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("position", "read", "is_so"),
    [
        ("0-2-6", "0-1-5", True),
        ("0-1-5", "0-1-5", False),
        ("0-1-4", "0-1-5", False),
        ("0-1-5,3-9-9", "0-1-5", False),
        ("0-1-5,3-9-9", "0-1-5,3-9-8", True),
        ("", "0-1-5", False),
        ("0-1-5", "", False),
        (f"{UUID}:1-9", f"{UUID}:1-5", False),
        ("0-1-5", f"{UUID}:1-5", False),
    ],
)
def test_a_replica_is_beyond_its_source_where_it_has_more_of_a_domain_that_is_read(
    position: str,
    read: str,
    is_so: bool,  # noqa: FBT001
) -> None:
    assert is_beyond(position_of(position), read) is is_so


@pytest.mark.parametrize(
    ("position", "gtid", "is_so"),
    [
        ("0-1-5,1-1-9", "0-1-6", False),
        ("0-1-5,1-1-9", "0-1-5", True),
        (f"{UUID}:1-5", f"{UUID}:6", False),
        (f"{UUID}:1-5:7", f"{UUID}:6", True),
        (f"{UUID}:1-5:7", f"{UUID}:8", False),
        (f"{UUID}:1-5", f"{UUID[::-1]}:1", False),
        ("b.000001/500", "b.000001/900", False),
    ],
)
def test_a_database_reaches_what_it_has_and_what_it_has_something_behind(
    position: str,
    gtid: str,
    is_so: bool,  # noqa: FBT001
) -> None:
    assert reaches(position_of(position), gtid) is is_so


@pytest.mark.parametrize(
    ("gtid", "of_primary", "of_former_replica"),
    [
        ("", "0-2-9,3-2-7", "0-1-4"),
        ("0-1-4", "0-2-9,3-2-7", "0-1-4"),
        ("0-1-5", "0-1-4,3-2-7", "0-1-4"),
        ("0-2-8", "0-2-9,3-2-7", "0-2-9"),
        ("0-2-8,3-2-7", "0-2-9,3-2-7", "0-2-9,3-2-7"),
        ("0-1-10", "0-2-9,3-2-7", "0-1-4"),
    ],
)
def test_what_a_server_wrote_itself_is_not_what_another_wrote_under_that_number(
    gtid: str, of_primary: str, of_former_replica: str
) -> None:
    applied, current = "0-1-4", "0-2-9,3-2-7"
    known = writes_itself(2, applied, current, gtid)
    assert with_own(applied, current, known, is_own=True) == of_primary
    assert with_own(applied, current, known, is_own=False) == of_former_replica


def test_each_domain_and_each_server_has_an_order_of_its_own() -> None:
    assert [domain_of(gtid) for gtid in ("3-1-5", f"{UUID}:6", "b.000001/500")] == ["3", UUID, ""]


async def test_a_database_that_comes_back_is_asked_what_it_has_before_any_wait(pauses: list[float]) -> None:
    gate = Recording()
    async with watched(gate):
        for is_down in (False, True, False, True, False):
            gate.is_down = is_down
            await asked_again(gate, 5)
    assert gate.asked[0] == ("", True)
    for (_, was_answered), (gtid, _) in itertools.pairwise(gate.asked):
        assert gtid == ("0-1-5" if was_answered else "")


async def test_an_answer_says_nothing_once_it_is_old(pauses: list[float]) -> None:
    """The mirror may have been stopped since, and another one may have seen the database go back."""
    gate, now_ms = Recording(), 0
    async with watched(gate, monotonic_ms=lambda: now_ms) as board:
        await asked_again(gate, 2)
        gate.is_down = True
        await asked_again(gate, 2)
        for now_ms, is_believed in ((10_000, True), (10_001, False)):  # noqa: B007
            assert board.has_applied("0-1-4") is is_believed
            assert not says_unapplied(board, "0-1-4")
        assert board.has_applied("")


async def test_a_database_that_is_down_is_tried_every_second_however_long(pauses: list[float]) -> None:
    """It may come back as an older copy, and catch up within seconds: then nobody else tells."""
    gate = Recording()
    gate.is_down = True
    async with watched(gate):
        await asked_again(gate, 30)
    assert 0.5 <= max(pauses) <= 1.0


async def test_what_a_database_lost_is_not_taken_for_what_it_has_not_applied_yet(pauses: list[float]) -> None:
    """Values with it have been served: whoever is told "read up to now" would vouch for older ones."""
    gate = Recording()
    async with watched(gate) as board:
        await asked_again(gate, 2)
        assert says_unapplied(board, "0-1-5")
        gate.applied = "0-1-2"
        await asked_again(gate, 2)
        assert not says_unapplied(board, "0-1-4")
        assert says_unapplied(board, "0-1-5")
        gate.applied = "0-1-4"
        await asked_again(gate, 2)
        gate.applied = "0-1-6"
        await asked_again(gate, 2)
        assert says_unapplied(board, "0-1-7")


async def test_an_answer_in_another_notation_is_no_step_back_but_an_empty_one_is(pauses: list[float]) -> None:
    """While GTIDs are switched on in MySQL, offsets and sets come from one database."""
    gate, stats = Recording(), MirrorStats()
    gate.applied = "b.000001/500"
    async with watched(gate, stats) as board:
        await asked_again(gate, 2)
        board.promise([("b.000001/900", 0)])
        gate.applied = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-7"
        await asked_again(gate, 2)
        assert stats.gates["replica"].rewinds == 0
        gate.applied = ""
        await asked_again(gate, 2)
        assert stats.gates["replica"].rewinds == 1


async def test_what_another_mirror_was_told_a_database_has_it_had(pauses: list[float]) -> None:
    gate = Recording()
    async with watched(gate) as board:
        await asked_again(gate, 2)
        board.promise([("0-1-6", 0), ("0-1-7", 0)])
        await asked_again(gate, 2)
        assert not board.has_kept("0-1-6")
        assert not says_unapplied(board, "0-1-6")
        assert not says_unapplied(board, "0-1-7")


@pytest.mark.parametrize(("age_ms", "had_gone_back"), [(5_000, True), (500, False)])
async def test_a_database_that_had_gone_back_and_caught_up_before_the_word_was_read_is_found_by_its_answers(
    pauses: list[float],
    age_ms: int,
    had_gone_back: bool,  # noqa: FBT001
) -> None:
    """Of what entered while it was asked, it need not have known; a clock may be a second off."""
    gate = Recording()
    async with watched(gate) as board:
        await asked_again(gate, 2)
        gate.applied = "0-1-6"
        await asked_again(gate, 2)
        board.promise([("0-1-6", age_ms)])
        assert board.has_kept("0-1-6") is not had_gone_back
        assert board.has_applied("0-1-6")
