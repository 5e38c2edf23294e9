"""Key templates read again: what is taken, what is refused, and which namespaces a change ages out."""

import asyncio
import threading
from typing import Any

import pytest
import structlog

from replicator.source import templates as module
from replicator.source.templates import GIVE_WAY_LOOKS, Templates
from replicator.tables import TableSpec, WatchedTables
from tests.eventually import until_async
from versioning.errors import ConfigError
from versioning.keys import KeyTemplate

DEADLINE_S = 20.0


def tables(**keys: tuple[str, ...]) -> WatchedTables:
    return WatchedTables(
        tuple(TableSpec("shop", name, tuple(map(KeyTemplate.parse, texts))) for name, texts in keys.items())
    )


OLD = tables(item=("item:{id}", "by_code:{code}"), user=("user:{id}",))
NEW = tables(item=("item:{id}", "by_code:{code|lower}", "shelf:{shelf}"), user=("user:{id}",))


class Settings:
    """A settings file that a test writes."""

    def __init__(self, found: WatchedTables | Exception) -> None:
        self.found = found

    def read(self) -> WatchedTables:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


async def within_deadline(work: Any) -> Any:
    async with asyncio.timeout(DEADLINE_S):
        return await work


async def test_what_was_asked_for_is_taken_and_may_change_the_stream() -> None:
    templates = Templates(OLD, Settings(NEW).read)
    templates.ask()
    await within_deadline(templates.asked_for())
    assert (templates.current.tables, templates.current.may_adopt) == (NEW, True)


@pytest.mark.parametrize("found", [ConfigError("table user is gone"), OLD], ids=["bad", "unchanged"])
async def test_what_is_bad_or_unchanged_leaves_the_old_ones_in_force(found: WatchedTables | Exception) -> None:
    settings = Settings(found)
    templates = Templates(OLD, settings.read)
    templates.ask()
    asked = asyncio.create_task(templates.asked_for())
    with structlog.testing.capture_logs() as logs:
        await until_async(lambda: logs, "the refusal is logged")
    assert len(logs) == 1
    assert (templates.current.tables, templates.current.may_adopt, asked.done()) == (OLD, False, False)
    settings.found = NEW
    templates.ask()
    await within_deadline(asked)
    assert templates.current.tables is NEW


async def test_who_asks_while_the_connection_ends_is_heard_by_the_next_one() -> None:
    """MySQL is down: the connection fails sooner than the settings are read and looked at."""
    began, may_end = threading.Event(), threading.Event()

    def read() -> WatchedTables:
        began.set()
        may_end.wait(DEADLINE_S)
        return NEW

    templates = Templates(OLD, read)
    templates.ask()
    cut_off = asyncio.create_task(templates.asked_for())
    await asyncio.to_thread(began.wait, DEADLINE_S)
    cut_off.cancel()
    await asyncio.wait({cut_off})
    assert templates.current.tables is OLD
    may_end.set()
    await within_deadline(templates.asked_for())
    assert (templates.current.tables, templates.current.may_adopt) == (NEW, True)


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [(NEW.digest(), NEW), ("of a third one", OLD)],
    ids=["the stream's", "not the stream's"],
)
async def test_unasked_only_the_templates_of_the_stream_are_taken(
    wanted: str, taken: WatchedTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_AGAIN_S", 0.001)
    templates = Templates(OLD, Settings(NEW).read)
    await within_deadline(templates.look_again(wanted))
    assert (templates.current.tables, templates.current.may_adopt) == (taken, False)


async def test_asking_a_refused_source_insists_on_its_tables_though_they_are_what_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The stream has lost them, and nobody is left who would know: what ages out is still what they change."""
    monkeypatch.setattr(module, "LOOK_AGAIN_S", 0.001)
    templates = Templates(OLD, Settings(NEW).read)
    await within_deadline(templates.look_again(NEW.digest()))
    templates.done(templates.current)
    await within_deadline(templates.look_again(OLD.digest()))
    templates.ask()
    await within_deadline(templates.asked_for())
    assert (templates.current.tables, templates.current.may_adopt) == (NEW, True)
    assert templates.current.change_from(OLD.digest()).namespaces == ("by_code", "shelf")


async def test_a_file_that_stays_bad_is_one_line_however_often_it_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_AGAIN_S", 0.001)
    templates = Templates(OLD, Settings(ConfigError("not TOML")).read)
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            await within_deadline(templates.look_again("of another"))
    assert [line["error"] for line in logs] == ["not TOML"]


async def test_a_refused_source_keeps_for_a_while_to_the_templates_of_a_stream_that_has_none_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LOOK_AGAIN_S", 0.001)
    templates = Templates(OLD, Settings(OLD).read)
    assert templates.standing("") == "", "this one was not refused"
    await within_deadline(templates.look_again("new"))
    assert [templates.standing("") for _ in range(GIVE_WAY_LOOKS + 1)] == ["new"] * GIVE_WAY_LOOKS + [""]
    assert [templates.standing(digest) for digest in ("new", "")] == ["new", "new"]
    templates.done(templates.current)
    assert templates.standing("") == ""


async def test_a_change_ages_out_the_namespaces_that_some_row_is_named_in_differently() -> None:
    templates = Templates(OLD, Settings(NEW).read)
    templates.ask()
    await within_deadline(templates.asked_for())
    assert templates.current.change_from(OLD.digest()).namespaces == ("by_code", "shelf")


async def test_of_templates_that_are_not_known_every_namespace_may_differ() -> None:
    assert Templates(NEW, may_adopt=True).current.change_from("unknown").namespaces == (
        "by_code",
        "item",
        "shelf",
        "user",
    )


async def test_a_namespace_that_is_no_longer_watched_is_aged_out_too() -> None:
    templates = Templates(NEW, Settings(OLD).read)
    templates.ask()
    await within_deadline(templates.asked_for())
    assert templates.current.change_from(NEW.digest()).namespaces == ("by_code", "shelf")


async def test_the_right_to_change_a_stream_is_spent_by_the_state_it_was_given_to() -> None:
    templates = Templates(OLD, Settings(NEW).read)
    earlier = templates.current
    templates.ask()
    await within_deadline(templates.asked_for())
    templates.done(earlier)
    assert templates.current.may_adopt
    templates.done(templates.current)
    assert not templates.current.may_adopt
