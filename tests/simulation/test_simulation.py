"""The whole system in virtual time, under faults: no invariant gives way, and the same seed is the same run."""

import hashlib
import os
import subprocess
import sys

import pytest

from tests.simulation.faults import CALM
from tests.simulation.play import Played, play
from tests.simulation.report import report
from tests.simulation.scenario import Scenario, make
from tests.simulation.seeds import KEPT, Kept

SEEDS = 2_000
CHUNK = 50


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_seed_violates_an_invariant(first: int) -> None:
    for seed in range(first, first + CHUNK):
        played = play(make(seed))
        if played.violation is not None:
            pytest.fail(report(played))


@pytest.mark.parametrize("kept", KEPT, ids=lambda kept: kept.story)
def test_what_was_mended_stays_mended(kept: Kept) -> None:
    played = play(Scenario(kept.seed, kept.active_s, CALM, kept.ops, kept.page_entries))
    assert played.violation is None, report(played)


def test_the_same_seed_is_the_same_run_in_any_process() -> None:
    code = "import sys; from tests.simulation.test_simulation import digest; print(digest(int(sys.argv[1])))"
    told = {
        subprocess.run(
            [sys.executable, "-c", code, "17"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": "."},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    }
    assert told == {digest(17)}


def test_different_seeds_are_different_runs() -> None:
    assert digest(17) != digest(18)


def digest(seed: int) -> str:
    return hashlib.sha256(repr(_trace(play(make(seed)))).encode()).hexdigest()


def _trace(played: Played) -> list[object]:
    return [*played.history.trace, played.events]
