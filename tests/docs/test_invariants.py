"""The design says every rule and invariant that code cites, and each invariant has a checker of its own."""

import re

from tests.docs.pages import ROOT
from tests.simulation.checkers import KINDS
from tests.simulation.removals import REMOVALS

DESIGN = (ROOT / "versioning" / "DESIGN.md").read_text()
RULES = set(re.findall(r"(?m)^\*\*(P\d+) ", DESIGN))
INVARIANTS = set(re.findall(r"(?m)^- \*\*(I\d+) ", DESIGN))


def test_every_invariant_has_a_checker_in_a_file_of_its_own() -> None:
    assert {kind.name for kind in KINDS} == {*INVARIANTS, "P11"}
    files = {path.name.partition("_")[0].upper() for path in (ROOT / "tests/simulation/checkers").glob("i[0-9]_*.py")}
    assert files == INVARIANTS


def test_what_is_cited_is_in_the_design() -> None:
    cited = set[str]()
    for folder in ("versioning", "replicator", "app", "loadtests", "deploy", "tests/simulation", "tests/versioning"):
        for path in (ROOT / folder).rglob("*.py"):
            cited.update(re.findall(r"\b[PI]\d{1,2}\b", path.read_text()))
    assert cited <= RULES | INVARIANTS
    assert len(RULES) == 12
    assert len(INVARIANTS) == 8


def test_each_rule_has_a_removal_that_checkers_notice() -> None:
    assert RULES - {removal.rule for removal in REMOVALS} <= {"P11"}, "whose checker is its own"
