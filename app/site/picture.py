"""The picture: facts and findings put together. A part is as bad as the worst finding that names it."""

from collections.abc import Callable, Iterable, Sequence

from app.site import tiers
from app.site.findings import find
from app.site.models import (
    AuditPart,
    Finding,
    GatePart,
    MirrorPart,
    ServicePart,
    ServiceProcess,
    SiteAnswer,
    SourcePart,
    State,
    StreamPart,
    TocPart,
    WanPart,
)
from app.site.view import View
from app.site.words import count
from versioning.cli.words import spoken

NOT_LISTED = "Not listed in [[serve.component]]: nothing is known of it."


def draw(view: View, dc: str) -> SiteAnswer:
    findings = find(view)
    worst = findings[0] if findings else None
    flow = view.flow
    return SiteAnswer(
        time_ms=view.time_ms,
        dc=dc,
        origin_dc=view.origin_dc,
        state=worst.state if worst else State.OK,
        is_degraded=view.doubt is not None,
        degraded_reason=view.doubt,
        headline=worst.text if worst else _all_is_well(view),
        effect=worst.effect
        if worst
        else f"Every value in {view.here} is checked at every read, and served while current.",
        findings=findings,
        flow=flow,
        source=_source(view, findings),
        stream_a=_stream_a(view, findings),
        wan=_wan(view, findings),
        mirror=_mirror(view, findings),
        gates=[_gate(gate, view, findings) for gate in view.gates],
        stream_b=_stream_b(view, findings),
        service=_service(view, findings),
        toc=_toc(view, findings),
        audit=_audit(view, findings),
    )


def _all_is_well(view: View) -> str:
    if view.flow.lag_ms is None:
        return "All is well."
    return f"All is well: {view.here} knows every change up to {spoken(view.flow.lag_ms)} ago."


Judged = dict[str, object]
"""State and text of a part."""


def _judge(state: State, text: str) -> Judged:
    return {"state": state, "text": text}


def _judged(findings: Iterable[Finding], part: str, well: Callable[[], Judged]) -> Judged:
    """Return what the worst finding says of a part; without any, what there is to say of it anyway."""
    mine = [finding for finding in findings if finding.part == part]
    return _judge(mine[0].state, mine[0].text) if mine else well()


_UNLISTED = _judge(State.UNKNOWN, NOT_LISTED)


def _source(view: View, findings: Sequence[Finding]) -> SourcePart:
    def well() -> Judged:
        if view.source_age_ms is None:
            return _judge(State.UNKNOWN, "No source tells.")
        return _judge(State.OK, f"Binlog read up to {spoken(view.source_age_ms)} ago.")

    judged = _judged(findings, "source", well) if view.sources else _UNLISTED
    return SourcePart.model_validate({**judged, "processes": view.sources})


def _stream_a(view: View, findings: Sequence[Finding]) -> StreamPart:
    age_ms = view.source_age_ms if view.is_source_alive else view.heard_age_ms

    def well() -> Judged:
        if not (view.is_source_alive or view.is_wan_up):
            return _judge(State.UNKNOWN, "Nobody that answers can see it.")
        return _judge(State.OK, f"Newest heartbeat {spoken(age_ms)} ago.")

    return StreamPart.model_validate({**_judged(findings, "stream_a", well), "age_ms": age_ms})


def _wan(view: View, findings: Sequence[Finding]) -> WanPart:
    def well() -> Judged:
        if not view.is_wan_up:
            return _judge(State.UNKNOWN, "No mirror tells.")
        return _judge(State.OK, "The mirror hears stream A.")

    return WanPart.model_validate({**_judged(findings, "wan", well), "heard_age_ms": view.heard_age_ms})


def _mirror(view: View, findings: Sequence[Finding]) -> MirrorPart:
    def well() -> Judged:
        if not view.is_wan_up:
            return _judge(State.WARNING, "Runs, and waits for stream A.")
        held = f"Holds {count(view.held, 'entry', 'entries')} at the gate." if view.held else "Copies as it comes."
        return _judge(State.OK, held)

    judged = _judged(findings, "mirror", well) if view.mirrors else _UNLISTED
    return MirrorPart.model_validate({**judged, "processes": view.mirrors})


def _gate(gate: GatePart, view: View, findings: Sequence[Finding]) -> GatePart:
    def well() -> Judged:
        if gate.is_up is None:
            return _judge(State.UNKNOWN, "No mirror tells.")
        waiting = f"{count(view.held, 'entry waits', 'entries wait')} for the replicas."
        return _judge(State.OK, waiting if view.held else "Has applied all that it was asked for.")

    return gate.model_copy(update=_judged(findings, f"gate:{gate.name}", well))


def _stream_b(view: View, findings: Sequence[Finding]) -> StreamPart:
    lag_ms = view.flow.lag_ms

    def well() -> Judged:
        if lag_ms is None:
            return _judge(State.WARNING, "Silent: no heartbeat of the source was ever seen.")
        if view.doubt is not None:
            return _judge(State.WARNING, f"Silent: the newest heartbeat of the source is {spoken(lag_ms)} old.")
        return _judge(State.OK, f"Newest heartbeat of the source is {spoken(lag_ms)} old.")

    return StreamPart.model_validate({**_judged(findings, "stream_b", well), "age_ms": lag_ms})


def _service(view: View, findings: Sequence[Finding]) -> ServicePart:
    me = ServiceProcess(name="this service", is_up=True, reason=None, seen_age_ms=0, is_self=True, figures=view.own)

    def well() -> Judged:
        keys = f"{count(view.flow.keys, 'changed key')} of the last {spoken(view.flow.window_ms)} in memory"
        if view.doubt is not None:
            return _judge(State.WARNING, f"{keys}, but vouches for nothing now.")
        return _judge(State.OK, f"{keys}, and vouches for them.")

    return ServicePart.model_validate({**_judged(findings, "service", well), "processes": [me, *view.services]})


def _toc(view: View, findings: Sequence[Finding]) -> TocPart:
    figures = [process.figures for process in view.tocs if process.is_up and process.figures]

    def well() -> Judged:
        reads = f"{sum(figure.reads_per_s or 0.0 for figure in figures):.0f} reads/s"
        if view.doubt is not None or any(figure.is_lagging for figure in figures):
            return _judge(
                State.WARNING, f"{reads}, served for {spoken(view.flow.degraded_ttl_ms)} at most since the last proof."
            )
        return _judge(State.OK, f"{reads}, each value checked.")

    judged = _judged(findings, "toc", well) if view.tocs else _UNLISTED
    total = tiers.total([figure.tiers for figure in figures])
    return TocPart.model_validate({**judged, "processes": view.tocs, "tiers": total})


def _audit(view: View, findings: Sequence[Finding]) -> AuditPart:
    def well() -> Judged:
        compared = sum(row.consistent + row.wrong for row in view.audit_rows)
        lately = " within the last hour" if any(row.wrong for row in view.audit_rows) else ""
        text = f"{count(compared, 'value')} compared, none wrong{lately}."
        return _judge(State.OK, text if compared else "Runs; it has not compared any value yet.")

    judged = _judged(findings, "audit", well) if view.audits else _UNLISTED
    return AuditPart.model_validate({**judged, "processes": view.audits, "rows": view.audit_rows})
