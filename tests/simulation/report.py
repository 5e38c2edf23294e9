"""What a person needs when a seed fails: the violation, the shortest run found, and how to see it again."""

from tests.simulation.play import Played
from tests.simulation.shrink import shrink

TRACE_LINES = 60


def report(failed: Played, *, budget_s: float = 20.0) -> str:
    assert failed.violation is not None
    scenario = failed.scenario
    shortest = shrink(failed, budget_s=budget_s)
    lines = [
        str(failed.violation),
        *([f"again: python -m tests.simulation {scenario.again} --trace"] if scenario.again else []),
        f"shortest run found ({len(shortest.scenario.ops)} of {len(scenario.ops)} operations): {shortest.violation}",
        *(f"    {op}" for op in shortest.scenario.ops),
        "the end of its trace:",
        *trace(shortest, TRACE_LINES),
    ]
    return "\n".join(lines)


def trace(played: Played, last: int | None = None) -> list[str]:
    lines = [f"    {event}" for event in played.history.trace]
    return lines[-last:] if last else lines
