"""Every rule of the protocol is needed: without it the checkers find a violation, and with it the same run is clean."""

import pytest

from tests.simulation.play import Played, play
from tests.simulation.removals import REMOVALS, Removal
from tests.simulation.report import report
from tests.simulation.scenario import make

RULES = {f"P{number}" for number in range(1, 12)}


@pytest.mark.parametrize("removal", REMOVALS, ids=lambda removal: f"{removal.rule} {removal.name}")
def test_the_checkers_notice_a_missing_rule(removal: Removal) -> None:
    shown = _shown(removal)
    played = play(shown.scenario)
    assert played.violation is None, report(played)


def test_every_rule_has_a_removal() -> None:
    assert {removal.rule for removal in REMOVALS} >= RULES


def _shown(removal: Removal) -> Played:
    with removal.applied():
        for seed in range(removal.first, removal.first + removal.seeds):
            played = play(make(seed, removal.faults, removal.active_s, is_timed=removal.is_timed))
            # A removal that only breaks the code shows nothing.
            if played.violation is not None and played.violation.invariant != "roles go on":
                return played
    pytest.fail(f"{removal.seeds} seeds without {removal.rule} ({removal.name}), and no violation")
