"""Every invariant of the design has a checker of its own."""

from tests.docs.pages import ROOT
from tests.simulation.checkers import KINDS

INVARIANTS = {f"I{number}" for number in range(1, 9)}


def test_every_invariant_has_a_checker_in_a_file_of_its_own() -> None:
    assert {kind.name for kind in KINDS} == {*INVARIANTS, "P11"}
    files = {path.name.partition("_")[0].upper() for path in (ROOT / "tests/simulation/checkers").glob("i[0-9]_*.py")}
    assert files == INVARIANTS
