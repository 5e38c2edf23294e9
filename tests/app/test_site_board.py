"""Asking the listed processes: what they said last, why one is down, and how fast their counters go."""

from typing import Any

import pytest
from pydantic import ValidationError

from app.settings import COMPONENTS_MAX, ComponentSection, ServeSection
from app.site.board import Board, Sighting
from app.site.fetch import FetchError
from app.site.figures import toc
from app.site.reports import SourceReport
from tests.app.worlds import Clock
from versioning.errors import ConfigError


def board(clock: Clock, answers: dict[str, Any], **roles: str) -> Board:
    async def fetch(url: str) -> Any:
        answer = answers[url]
        if isinstance(answer, Exception):
            raise answer
        return answer

    components = [
        ComponentSection.model_validate({"name": n, "role": r, "url": f"http://{n}:1"}) for n, r in roles.items()
    ]
    return Board(components, clock, fetch=fetch)


async def asked(answers: dict[str, Any], **roles: str) -> list[Sighting]:
    asking = board(Clock(), answers, **roles)
    await asking.ask_all()
    return asking.sightings


async def test_each_process_is_asked_for_its_status_and_shown_as_it_said() -> None:
    [seen] = await asked({"http://s1:1/status": {"dc": "a", "keys": 7, "new_field": [1]}}, s1="source")
    assert isinstance(seen.report, SourceReport)
    assert (seen.report.keys, seen.reason) == (7, None)


async def test_one_that_does_not_answer_is_down_with_the_reason_and_the_others_are_not() -> None:
    lost = FetchError("silent for 500 ms")
    silent, fine = await asked({"http://m1:1/status": lost, "http://m2:1/status": {}}, m1="mirror", m2="mirror")
    assert (silent.reason, silent.report) == ("silent for 500 ms", None)
    assert fine.reason is None


async def test_one_that_cannot_be_asked_is_asked_again_and_so_are_the_others() -> None:
    answers: dict[str, Any] = {"http://m1:1/status": ConfigError("cannot read a.key"), "http://m2:1/status": {}}
    asking = board(Clock(), answers, m1="mirror", m2="mirror")
    await asking.ask_all()
    first, second = asking.sightings
    assert (first.reason, second.reason) == ("this service cannot ask it: cannot read a.key", None)
    answers["http://m1:1/status"] = {}
    await asking.ask_all()
    assert first.reason is None


async def test_what_it_said_last_is_kept_while_it_is_silent() -> None:
    clock, answers = Clock(), {"http://s1:1/status": {"keys": 7}}
    asking = board(clock, answers, s1="source")
    await asking.ask_all()
    answers["http://s1:1/status"] = FetchError("nothing listens there")  # type: ignore[assignment]
    clock.ms += 12_000
    await asking.ask_all()
    [seen] = asking.sightings
    assert (seen.reason, seen.age_ms(clock())) == ("nothing listens there", 12_000)
    assert isinstance(seen.report, SourceReport)


@pytest.mark.parametrize("document", [[], {"keys": "many"}, {"read_ms": None}, "fine"], ids=str)
async def test_a_status_of_something_else_is_a_reason_not_a_crash(document: Any) -> None:
    [seen] = await asked({"http://s1:1/status": document}, s1="source")
    assert seen.reason == "its /status is not that of a source"


async def test_hit_rates_are_those_between_two_looks_and_a_restart_begins_anew() -> None:
    clock, answers = Clock(), {"http://t1:1/status": {"served": {"local": {"fresh": 1_000}}, "loads": 5}}
    asking = board(clock, answers, t1="toc")
    [seen] = asking.sightings
    await asking.ask_all()
    first = toc(seen)
    assert first is not None
    assert (first.tiers, first.reads_per_s) == ([], None)
    clock.ms += 2_000
    answers["http://t1:1/status"] = {
        "served": {"local": {"fresh": 1_160, "unknown": 20}, "redis": {"fresh": 20}},
        "loads": 9,
    }
    await asking.ask_all()
    found = toc(seen)
    assert found is not None
    assert (found.reads_per_s, found.loads_per_s, found.fresh_share) == (100.0, 2.0, 0.9)
    assert {tier.tier: tier.share for tier in found.tiers} == {"local": 0.9, "redis": 0.1, "loaded": 0.0, "stale": 0.0}
    answers["http://t1:1/status"] = {"served": {"local": {"fresh": 3}}, "loads": 1}
    clock.ms += 2_000
    await asking.ask_all()
    restarted = toc(seen)
    assert restarted is not None
    assert restarted.reads_per_s is None


async def test_a_gates_position_is_known_to_stand_still() -> None:
    clock, gate = Clock(), {"is_up": 1, "applied": "0-1-5"}
    answers = {"http://m1:1/status": {"gates": {"b": gate}}}
    asking = board(clock, answers, m1="mirror")
    for _ in range(3):
        await asking.ask_all()
        clock.ms += 1_000
    [seen] = asking.sightings
    assert seen.moved_ms == {"b": 0}
    answers["http://m1:1/status"] = {"gates": {"b": {**gate, "applied": "0-1-6"}}}
    await asking.ask_all()
    assert seen.moved_ms == {"b": 3_000}


@pytest.mark.parametrize(
    "component",
    [
        {"url": "10.0.0.1:8700"},
        {"url": "redis://10.0.0.1"},
        {"url": "http://user:secret@host:1"},
        {"url": "http://host:1/?a=b"},
        {"url": "http://host:70000"},
        {"role": "tob"},
        {"name": "a b"},
    ],
    ids=str,
)
def test_a_component_that_cannot_be_asked_is_refused_at_the_start(component: dict[str, str]) -> None:
    fine = {"name": "source-1", "role": "source", "url": "http://10.0.0.1:9101/"}
    assert ComponentSection.model_validate(fine).url == "http://10.0.0.1:9101"
    with pytest.raises(ValidationError):
        ComponentSection.model_validate(fine | component)


def test_components_have_names_of_their_own_and_are_bounded() -> None:
    fine = {"role": "toc", "url": "http://10.0.0.1:9101"}
    for names in (["a", "a"], [f"a{n}" for n in range(COMPONENTS_MAX + 1)]):
        with pytest.raises(ValidationError):
            ServeSection.model_validate({"component": [{"name": name, **fine} for name in names]})
