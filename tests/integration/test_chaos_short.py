"""A short selection of the fault matrix; all of it is `deploy/chaos.sh`."""

import pytest

from deploy.simulation.chaos.__main__ import run_matrix
from deploy.simulation.chaos.faults import MATRIX
from deploy.simulation.chaos.limits import Limits
from deploy.simulation.chaos.results import Cell

SELECTION = (("mirror", "kill"), ("wan", "cut"), ("replica", "stop"), ("redis-b", "flush"))
SCALE = 40.0


@pytest.mark.timeout(300)
def test_no_fault_of_a_short_selection_breaks_an_invariant() -> None:
    cells = [
        (Cell(component, name, "hot"), fault)
        for component, name in SELECTION
        for fault in MATRIX[component]
        if fault.name == name
    ]
    results = list(run_matrix(cells, Limits(SCALE), wan_ms=10.0))
    assert len(results) == len(SELECTION)
    assert {str(result.cell): result.violations for result in results if result.violations} == {}
    assert all(result.stamps.commits and result.reads for result in results)
    assert [result.detected_s is None for result in results[:3]] == [False, False, False]
