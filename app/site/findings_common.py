"""What several kinds of findings have in common."""

from collections.abc import Iterator, Sequence
from typing import Final

from app.site.models import Finding, Process, State
from app.site.view import View
from app.site.words import count, ended, names
from versioning.cli.words import spoken

NOBODY_NOTICES: Final = "Readers notice nothing: any number of them may run, and the others carry on."


def staleness(view: View) -> str:
    """Return what a pipeline that stands still means for readers, now and soon."""
    flow = view.flow
    limit = spoken(flow.degraded_ttl_ms)
    for_a_while = f"served for {limit} at most since they were last proven current, then loaded anew"
    if view.doubt is not None:
        return f"Values in {view.here} are {for_a_while}. Nothing is deleted, and no storm of loads comes."
    left_ms = flow.lag_max_ms - (flow.lag_ms or 0)
    return (
        f"Values in {view.here} are still vouched for. If this lasts {spoken(left_ms)} longer, they are {for_a_while}."
    )


def some_down(processes: Sequence[Process], part: str, *, called: str = "") -> Iterator[Finding]:
    """Yield what is to say where some of a role are down, and the others can do its work."""
    down = [process for process in processes if not process.is_up]
    if down:
        does = "does" if len(down) == 1 else "do"
        yield Finding(
            code=f"{part}_down",
            state=State.WARNING,
            part=part,
            text=f"{len(down)} of {count(len(processes), called or part)} {does} not answer ({reasons(down)}).",
            effect=NOBODY_NOTICES,
            action=f"Start {names([process.name for process in down])} again.",
        )


def reasons(processes: Sequence[Process]) -> str:
    return "; ".join(f"{process.name}: {process.reason}" for process in processes if process.reason)


def first_error(errors: Sequence[str]) -> str:
    return next((ended(error) for error in errors if error), "")
