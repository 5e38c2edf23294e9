"""What is wrong in datacenter A, on the way to it, and with the mirrors. A finding names the hop that broke."""

from collections.abc import Iterator, Sequence
from typing import Final

from app.site.findings_common import NOBODY_NOTICES, first_error, reasons, some_down, staleness
from app.site.models import Finding, SourceFigures, State
from app.site.reports import ACCESS_DENIED, TARGET_DENIED, TARGET_LOST
from app.site.view import ALIVE_MS, View
from app.site.words import ended, names
from versioning.cli.words import spoken
from versioning.limits import SPREAD_MAX_MS

HESITATES_MS: Final = 2_500
"""A mirror that has just been started is not connected for a moment; that is no cut link."""

AHEAD_MS: Final = 1_500
"""Sources that have appended for this long since the mirrors last heard of A prove that Redis A works."""

UNSEEN: Final = "None as long as changes arrive: then one of them does run."
UNSEEN_WHY: Final = "Do they run? Can this service reach their --metrics-port?"
SILENT_WHY: Final = (
    "Does `stampline tail` show a generation that came late? Then it ends with its spread, within "
    f"{spoken(SPREAD_MAX_MS)}. Else: does Redis B take writes?"
)


def origin(view: View) -> Iterator[Finding]:
    """Datacenter A and the way to it."""
    live, mirrors = view.live_sources, view.live_mirrors
    is_heard = view.is_wan_up or not mirrors
    hesitates = view.heard_age_ms is not None and view.heard_age_ms < HESITATES_MS
    if not is_heard and not hesitates:
        yield _unheard(view)
    if live and not view.is_source_alive:
        yield _stalled(view, live)
    if view.sources and not live and (view.is_wan_up or (not mirrors and view.doubt is None)):
        yield _no_source(view)
    if live:
        yield from some_down(view.sources, "source")
        yield from _struggling(view, live)


def _unheard(view: View) -> Finding:
    told = next((mirror for mirror in view.live_mirrors if mirror.last_error), None)
    since, words = spoken(view.heard_age_ms), ended(told.last_error) if told else ""
    said = f" The mirror says: {words}" if words else ""
    heard = f"the mirror has heard nothing from stream A for {since}."
    if told and told.last_reason in {TARGET_DENIED, TARGET_LOST}:
        # It does not even ask stream A before it has agreed with stream B.
        code, part = "target_lost", "mirror"
        does = "refuses the mirror's login" if told.last_reason == TARGET_DENIED else "does not answer the mirror"
        text = f"Redis B {does}: nothing has entered stream B for {since}."
        action = f"Check [stream] url, its password and certificates, and the ACL of Redis B.{said}"
    elif told and told.last_reason == ACCESS_DENIED:
        code, part = "origin_refused", "wan"
        text = f"Redis A refuses the mirror's login: {heard}"
        action = f"Check [mirror] origin_url, its password and certificates, and the ACL of Redis A.{said}"
    elif _is_source_ahead(view):
        code, part = "wan_cut", "wan"
        text = f"The WAN link is cut: {heard}"
        action = f"Check the link between the datacenters; the sources still write stream A.{said}"
    elif view.live_sources:
        code, part = "stream_a_lost", "stream_a"
        text = f"Redis A does not answer: {heard} The sources cannot go on either."
        action = f"Check the Redis of stream A.{said}"
    else:
        code, part = "origin_unreachable", "wan"
        nor = "Nor does any source answer this service." if view.sources else ""
        text = ended(f"Datacenter A is not reached: {heard} {nor}".strip())
        action = f"Check the link between the datacenters first, then Redis A.{said}"
    return Finding(code=code, state=State.CRITICAL, part=part, text=text, effect=staleness(view), action=action)


def _is_source_ahead(view: View) -> bool:
    heard_ms, source_ms = view.heard_age_ms, view.source_age_ms
    return source_ms is not None and (heard_ms is None or heard_ms - source_ms > AHEAD_MS)


def _stalled(view: View, live: Sequence[SourceFigures]) -> Finding:
    words = first_error([source.last_error for source in live])
    if any(source.is_connected for source in live):
        text = f"The sources are behind: they have read the binlog up to {spoken(view.source_age_ms)} ago."
        action = "A backlog goes away by itself. Else: does Redis A answer them?"
    else:
        text = f"No source reads the binlog; the last heartbeat is {spoken(view.source_age_ms)} old."
        action = "Is the primary up, and may the source log in?"
    said = f" The source says: {words}" if words else ""
    return Finding(
        code="sources_stalled",
        state=State.CRITICAL,
        part="source",
        text=text,
        effect=staleness(view),
        action=f"{action}{said}",
    )


def _unseen(code: str, part: str, text: str) -> Finding:
    return Finding(code=code, state=State.WARNING, part=part, text=text, effect=UNSEEN, action=UNSEEN_WHY)


def _no_source(view: View) -> Finding:
    unanswered = f"No source tells this service how it does ({reasons(view.sources)})."
    if not _is_silent(view):
        return _unseen("sources_unseen", "source", unanswered)
    return Finding(
        code="sources_down",
        state=State.CRITICAL,
        part="source",
        text=f"{unanswered} No heartbeat has come {_since(view)}.",
        effect=staleness(view),
        action=f"Start `stampline source`: it goes on from where the last one was. {UNSEEN_WHY}",
    )


def _struggling(view: View, live: Sequence[SourceFigures]) -> Iterator[Finding]:
    lost = [p for p in view.sources if p.is_up and p.figures and not p.figures.is_connected]
    if not lost or len(lost) == len(live):
        return
    words = first_error([process.figures.last_error for process in lost if process.figures])
    yield Finding(
        code="source_struggling",
        state=State.WARNING,
        part="source",
        text=ended(f"{names([p.name for p in lost])} does not read the binlog"),
        effect=NOBODY_NOTICES,
        action=f"It says: {words}" if words else "Look at its log.",
    )


def mirrors(view: View) -> Iterator[Finding]:
    live = view.live_mirrors
    if live:
        yield from some_down(view.mirrors, "mirror")
    elif view.mirrors:
        yield _no_mirror(view)
    ahead = [gate.name for gate in view.gates if gate.is_ahead]
    if ahead:
        yield _left_behind(view, ahead)
    elif view.is_wan_up and view.is_source_alive and _is_silent(view):
        words = first_error([mirror.last_error for mirror in live])
        yield Finding(
            code="mirrors_stalled",
            state=State.CRITICAL,
            part="mirror",
            text=f"The mirrors read stream A, but no heartbeat has entered stream B {_since(view)}.",
            effect=staleness(view),
            action=f"{SILENT_WHY} The mirror says: {words}" if words else SILENT_WHY,
        )


def _is_silent(view: View) -> bool:
    return view.is_in_doubt if view.heard_age_ms is None else view.heard_age_ms > ALIVE_MS


def _since(view: View) -> str:
    """Nobody knows for how long where the stream, and with it all that was heard, was lost."""
    return "since it began" if view.heard_age_ms is None else f"for {spoken(view.heard_age_ms)}"


def _left_behind(view: View, ahead: Sequence[str]) -> Finding:
    return Finding(
        code="replica_ahead",
        state=State.CRITICAL,
        part="source",
        text=ended(f"The sources read a primary that {names(ahead)} follows no more"),
        effect=staleness(view),
        action="Was there a failover? Let [source.mysql] name the new primary, and restart the sources.",
    )


def _no_mirror(view: View) -> Finding:
    unanswered = f"No mirror answers ({reasons(view.mirrors)})."
    if view.doubt is None and (view.flow.lag_ms or 0) <= ALIVE_MS:
        return _unseen("mirrors_unseen", "mirror", unanswered)
    return Finding(
        code="mirrors_down",
        state=State.CRITICAL,
        part="mirror",
        text=f"{unanswered} Nothing has entered stream B for {spoken(view.flow.lag_ms)}.",
        effect=staleness(view),
        action="Start `stampline mirror`: it goes on from where the last one was.",
    )
