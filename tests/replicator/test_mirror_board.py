"""What the gates say of databases that go back, fall silent, or are spoken of by other mirrors."""

import asyncio

from replicator.mirror.board import GateBoard
from replicator.mirror.gate import LATELY_MS, GateError, Wanted
from replicator.mirror.options import GateStats, MirrorStats
from replicator.mirror.view import View
from replicator.position import MariaDbPosition
from tests.replicator.mirror_world import ScriptedGate
from versioning.entries import Heartbeat

ANSWER_LIFE_MS = 10_000


class Site:
    """A replica behind a gate, at a clock of its own."""

    def __init__(self, gate: ScriptedGate) -> None:
        self.now_ms = 100_000
        self.gate = gate
        self.board = GateBoard(
            [gate],
            MirrorStats(),
            lambda has: Wanted() if has("0-1-9") else Wanted("0-1-9"),
            lambda: None,
            lambda: None,
            monotonic_ms=lambda: self.now_ms,
            answer_life_ms=ANSWER_LIFE_MS,
        )

    def says_unapplied(self, gtid: str, came_ms: int) -> bool:
        return self.board.says_unapplied(gtid, came_ms=came_ms, committed_ms=came_ms)

    async def ask(self) -> None:
        [view] = self.board._views
        self.board._accept(view, await self.board._ask(view, Wanted()))


async def asked(site: Site, waits: list[str], count: int) -> None:
    """Let the board ask until so many questions are noted."""
    watching = asyncio.ensure_future(site.board.run())
    async with asyncio.timeout(10):
        while len(waits) < count:
            await asyncio.sleep(0.01)
    watching.cancel()


def at(sequence: int) -> MariaDbPosition:
    return MariaDbPosition.parse(f"0-1-{sequence}")


def view_of(sequence: int) -> View:
    return View(ScriptedGate(), GateStats(), position=at(sequence))


def go_back(view: View, sequence: int) -> None:
    view.go_back(at(sequence), "")
    view.position = at(sequence)


async def test_what_a_database_had_counts_while_it_was_asked_lately() -> None:
    site = Site(ScriptedGate(applied="0-1-5"))
    await site.ask()
    site.now_ms += ANSWER_LIFE_MS
    assert site.board.has_applied("0-1-5")
    site.now_ms += 1
    assert not site.board.has_applied("0-1-5")


async def test_a_database_that_has_fallen_silent_says_no_more_what_it_lacks() -> None:
    site = Site(ScriptedGate(applied="0-1-5"))
    await site.ask()
    since_ms = site.now_ms
    site.now_ms += LATELY_MS
    assert site.says_unapplied("0-1-6", since_ms)
    site.now_ms += 1
    assert not site.says_unapplied("0-1-6", since_ms)


async def test_a_database_may_have_had_and_lost_what_was_committed_before_it_was_asked_all_the_time() -> None:
    site = Site(ScriptedGate(applied="0-1-5"))
    site.now_ms += 1
    began_ms = site.now_ms
    for pause_ms in (0, LATELY_MS, LATELY_MS + 1):
        site.now_ms += pause_ms
        await site.ask()
        began_ms = site.now_ms if pause_ms > LATELY_MS else began_ms
        for committed_ms in (began_ms - 1, began_ms):
            is_told = site.board.says_unapplied("0-1-6", came_ms=site.now_ms, committed_ms=committed_ms)
            assert is_told is (committed_ms == began_ms)


async def test_a_database_that_is_in_doubt_does_not_say_that_it_lacks_what_it_has() -> None:
    site = Site(ScriptedGate(applied="0-1-5"))
    await site.ask()
    site.board.doubt("0-1-5")
    for gtid in ("0-1-5", "0-1-6"):
        assert not site.says_unapplied(gtid, site.now_ms)
    await site.ask()
    assert site.board.has_applied("0-1-5")
    assert site.says_unapplied("0-1-6", site.now_ms)


async def test_a_database_that_was_away_is_asked_what_it_has_before_it_is_waited_for() -> None:
    waits: list[str] = []

    class Returning(ScriptedGate):
        async def wait(self, gtid: str, limit_ms: int) -> str:
            waits.append(gtid)
            if len(waits) == 3:
                raise GateError("it was restarted")
            if len(waits) == 6:
                await asyncio.Event().wait()
            return "0-1-5"

    await asked(Site(Returning()), waits, 6)
    assert waits == ["", "0-1-9", "0-1-9", "", "0-1-9", "0-1-9"]


async def test_a_database_that_is_said_to_have_more_is_asked_for_that_before_it_is_waited_for() -> None:
    """When the wait is over, it may have caught up."""
    waits: list[str] = []

    class Behind(ScriptedGate):
        async def wait(self, gtid: str, limit_ms: int) -> str:
            waits.append(gtid)
            if len(waits) == 3:
                site.now_ms += 1
                site.board.promise([("0-1-9", 0)])
            if len(waits) == 5:
                await asyncio.Event().wait()
            return "0-1-5"

    site = Site(Behind())
    await asked(site, waits, 5)
    assert waits == ["", "0-1-9", "0-1-9", "", "0-1-9"]


def test_an_answer_to_what_was_asked_before_a_doubt_does_not_end_it() -> None:
    view = view_of(5)
    view.doubt("0-1-5", 11)
    view.answered(10, at(5))
    assert not view.end_doubt()
    assert not view.has("0-1-5")
    view.answered(11, at(5))
    assert view.end_doubt()
    assert view.has("0-1-5")


def test_of_a_database_that_went_back_twice_the_least_and_the_most_it_had_count() -> None:
    view = view_of(9)
    for sequence in (5, 3, 4):
        go_back(view, sequence)
    assert [view.kept(f"0-1-{number}") for number in (3, 4, 5)] == [True, False, False]
    assert not view.never_had("0-1-9")
    view.position = at(8)
    view.note_caught_up()
    assert not view.never_had("0-1-9")
    assert view.never_had("0-1-10")


async def test_of_several_domains_all_counts_that_a_database_had_by_any_word() -> None:
    site = Site(ScriptedGate(applied="0-1-9,1-1-5"))
    await site.ask()
    site.board.promise([("1-1-6", 0), ("0-1-8", 0), ("1-1-7", 0)])
    site.now_ms += 2_000
    site.gate.apply("0-1-3,1-1-4")
    await site.ask()
    assert site.board.lost == "0-1-9,1-1-7"


def test_the_least_that_a_database_had_is_told_of_each_domain() -> None:
    view = View(ScriptedGate(), GateStats(), position=MariaDbPosition.parse("0-1-10,1-1-10"))
    for text in ("0-1-5,1-1-3", "0-1-2,1-1-9"):
        view.go_back(MariaDbPosition.parse(text), "")
        view.position = MariaDbPosition.parse(text)
    assert [view.kept(gtid) for gtid in ("0-1-2", "0-1-3", "1-1-3", "1-1-4")] == [True, False, True, False]


def test_what_a_database_had_by_its_own_word_and_by_another_s_count_both() -> None:
    view = View(ScriptedGate(), GateStats(), position=MariaDbPosition.parse("0-1-5,1-1-7"))
    view.note_lost("0-1-9")
    view.go_back(MariaDbPosition.parse("0-1-5,1-1-3"), "")
    assert str(view.had) == "0-1-9,1-1-7"


def test_a_database_may_be_a_little_ahead_of_every_heartbeat_of_the_source() -> None:
    view = view_of(1)
    assert not view.contradicts(Heartbeat(0, gtid="0-1-1"), 0, 10_000)
    for second in range(1, 60):
        view.position = at(second + 1)
        assert not view.contradicts(Heartbeat(second * 1_000, gtid=f"0-1-{second}"), second * 1_000, 10_000)
