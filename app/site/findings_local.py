"""What is wrong in datacenter B behind the mirrors: replicas, stream B, readers, and what the audit has seen."""

from collections.abc import Iterator
from typing import Final

from app.site.findings_common import first_error, reasons, some_down, staleness
from app.site.models import Finding, State
from app.site.view import ALIVE_MS, View
from app.site.words import count, ended, names
from versioning.cli.words import spoken
from versioning.limits import GATE_LIMIT_MS, PROVISIONAL_TTL_MS

REPLICA_LATE_MS: Final = 10_000
REPLICA_BAD_MS: Final = 60_000

PROVISIONAL: Final = f"Values of keys that change meanwhile live {spoken(PROVISIONAL_TTL_MS)} and are loaded again."
UNCHECKED: Final = "None, but nobody checks what is served."


def gates(view: View) -> Iterator[Finding]:
    down = [gate for gate in view.gates if gate.is_up is False]
    for gate in down:
        yield Finding(
            code="replica_unreachable",
            state=State.CRITICAL,
            part=f"gate:{gate.name}",
            text=f"The replica {gate.name} does not answer the gate: each change waits {spoken(GATE_LIMIT_MS)} for it.",
            effect=f"Changes are seen {spoken(GATE_LIMIT_MS)} late. {PROVISIONAL}",
            action=f"Is it up? If it is gone for good, take it out of [[mirror.gate]]. It says: {gate.last_error}",
        )
    # Of several, the one whose position has stood still for longest.
    suspect = max(down or view.gates, key=lambda gate: gate.still_ms or 0, default=None)
    part = f"gate:{suspect.name}" if suspect else "mirror"
    if not down and _is_late(view):
        yield Finding(
            code="replica_lagging",
            state=State.CRITICAL if (view.flow.replica_lag_ms or 0) > REPLICA_BAD_MS else State.WARNING,
            part=part,
            text=f"The replica {suspect.name if suspect else ''} lags by {spoken(view.flow.replica_lag_ms)}.",
            effect=f"Values are as old as the replica: the data itself is not there yet. {PROVISIONAL}",
            action="SHOW REPLICA STATUS on it: is its SQL thread running, is it busy?",
        )
    if view.flow.is_gap_pending:
        yield Finding(
            code="gap_pending",
            state=State.WARNING,
            part=part,
            text="A gap is pending: a replica may lack changes that are not known by key.",
            effect=f"Values loaded since are served only while younger than {spoken(view.flow.degraded_ttl_ms)}.",
            action="It ends by itself once every listed replica has caught up. `stampline tail` shows the gap.",
        )
    if keys := view.flow.pending - view.flow.is_gap_pending:
        yield Finding(
            code="keys_pending",
            state=State.WARNING,
            part=part,
            text=f"{count(keys, 'key is', 'keys are')} pending: a replica has not applied the change yet.",
            effect=f"Values of keys live {spoken(PROVISIONAL_TTL_MS)} only; of whole namespaces none is vouched for.",
            action="It ends by itself once every listed replica has caught up.",
        )


def _is_late(view: View) -> bool:
    """Whether replicas lag, and not only because nothing is heard of the source at all."""
    is_heard = view.flow.lag_ms is not None and view.flow.lag_ms <= ALIVE_MS
    return is_heard and (view.flow.replica_lag_ms or 0) > REPLICA_LATE_MS


def stream_b(view: View) -> Iterator[Finding]:
    if not view.own.is_connected:
        others = [toc.figures for toc in view.tocs if toc.is_up] + [s.figures for s in view.services if s.is_up]
        has_others = any(figures is not None and figures.is_connected for figures in others)
        yield Finding(
            code="stream_b_unread" if has_others else "stream_b_lost",
            state=State.WARNING if has_others else State.CRITICAL,
            part="stream_b",
            text=f"This service cannot read stream B: {ended(view.own.last_error or 'no connection yet')}",
            effect="Others can: web processes go on, only this service does not vouch."
            if has_others
            else staleness(view),
            action="Check the Redis of stream B, and what is between it and this service.",
        )
    elif not view.is_covered:
        yield Finding(
            code="starting",
            state=State.WARNING,
            part="service",
            text="This service has just started and still reads the window of changes.",
            effect="None for web processes: each reads the stream by itself.",
            action="Wait some seconds.",
        )


def readers(view: View) -> Iterator[Finding]:
    yield from some_down(view.services, "service", called="other version service")
    down = [toc for toc in view.tocs if not toc.is_up]
    if down:
        yield Finding(
            code="web_processes_down",
            state=State.CRITICAL if len(down) == len(view.tocs) else State.WARNING,
            part="toc",
            text=f"{len(down)} of {count(len(view.tocs), 'web process', 'web processes')} "
            f"{'does' if len(down) == 1 else 'do'} not answer ({reasons(down)}).",
            effect="Its readers must be served by the others.",
            action="Is it up? It needs nothing of stampline to answer.",
        )
    cut_off = [t for t in view.tocs if t.is_up and t.figures and (t.figures.is_lagging or not t.figures.is_connected)]
    if cut_off and view.doubt is None:
        words = first_error([toc.figures.last_error for toc in cut_off if toc.figures])
        yield Finding(
            code="web_processes_cut_off",
            state=State.WARNING,
            part="toc",
            text=f"{names([toc.name for toc in cut_off])} cannot follow stream B, though this service can.",
            effect=f"It serves values for {spoken(view.flow.degraded_ttl_ms)} at most since their last proof.",
            action=f"Check its way to Redis B. It says: {words}" if words else "Check its way to Redis B.",
        )


def audit(view: View) -> Iterator[Finding]:
    wrong = [row for row in view.audit_rows if row.wrong]
    if wrong and any(audit.is_wrong for audit in view.audits):
        where = names([f"{row.wrong} of {row.namespace} after {row.after_s:g} s" for row in wrong])
        yield Finding(
            code="audit_wrong",
            state=State.WARNING,
            part="audit",
            text=f"The audit has seen wrong values within the last hour. Since it started: {where}.",
            effect="Readers were served a value that differs from the row.",
            action="`stampline audit --key KEY` explains one value; its log names the keys.",
        )
    if blind := [audit.name for audit in view.audits if audit.is_up and audit.is_blind]:
        yield Finding(
            code="audit_blind",
            state=State.WARNING,
            part="audit",
            text=ended(f"Every look of the last minute ended in a doubt: {names(blind)}"),
            effect=UNCHECKED,
            action="Its log says why (look_inconclusive): does its database answer, and the Redis of the values?",
        )
    if elsewhere := [audit.name for audit in view.audits if audit.is_up and audit.compares_nothing]:
        yield Finding(
            code="audit_compares_nothing",
            state=State.WARNING,
            part="audit",
            text=ended(f"No look of the last three hours could compare a value with its row: {names(elsewhere)}"),
            effect=UNCHECKED,
            action="Are the Redis and the prefix of its [values] those of the readers? Does anybody read what changes?",
        )
    down = [audit for audit in view.audits if not audit.is_up]
    if down:
        yield Finding(
            code="audit_down",
            state=State.WARNING,
            part="audit",
            text=f"The audit does not answer ({reasons(down)}).",
            effect=UNCHECKED,
            action="Start `stampline audit`.",
        )
