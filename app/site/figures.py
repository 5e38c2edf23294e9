"""From what a process said of itself to the figures shown of it: ages instead of times, rates instead of counts."""

from collections.abc import Sequence
from typing import Any, Final, TypeVar

from app.site.board import Sighting
from app.site.models import AuditRow, GatePart, MirrorFigures, ServiceFigures, SourceFigures, State, TocFigures
from app.site.reports import AuditReport, MirrorReport, Report, ServeReport, SourceReport, TocReport
from app.site.tiers import fresh_share, tier_rates
from versioning.liveness import Now

ASKED_AGE_MS_MAX: Final = 5_000
"""Five rounds of questions missed: what was said before is no news any more."""

WRONG_LATELY_MS: Final = 3_600_000
"""An audit runs for months, and one wrong value is no reason to warn for as long."""

UNCOMPARED_MS_MAX: Final = 3 * 3_600_000
"""What changes at night may be read by day only; as StamplineAuditComparesNothing has it."""

AnyReport = TypeVar("AnyReport", bound=Report)


def process(sighting: Sighting, now: Now) -> dict[str, Any]:
    reason = _reason(sighting, now)
    return {"name": sighting.name, "is_up": reason is None, "reason": reason, "seen_age_ms": sighting.age_ms(now)}


def _reason(sighting: Sighting, now: Now) -> str | None:
    """Return why it counts as down, or None."""
    age_ms = sighting.age_ms(now)
    if sighting.reason is None and age_ms is not None and age_ms > ASKED_AGE_MS_MAX:
        return "this service has not come to ask it"
    return sighting.reason


def _report(sighting: Sighting, kind: type[AnyReport]) -> AnyReport | None:
    return sighting.report if isinstance(sighting.report, kind) else None


def _age(time_ms: int, sighting: Sighting, now: Now) -> int | None:
    """Return an age as it was when the process said it; that of a silent one goes on growing."""
    said = sighting.seen if _reason(sighting, now) is None else now
    return max(said.ms - time_ms, 0) if time_ms else None


def source(sighting: Sighting, now: Now) -> SourceFigures | None:
    report = _report(sighting, SourceReport)
    if report is None:
        return None
    return SourceFigures(
        is_connected=report.is_connected,
        read_age_ms=_age(report.read_ms, sighting, now),
        transactions=report.transactions,
        keys=report.keys,
        last_error=report.last_error,
    )


def mirror(sighting: Sighting, now: Now) -> MirrorFigures | None:
    report = _report(sighting, MirrorReport)
    if report is None:
        return None
    return MirrorFigures(
        is_connected=report.is_connected,
        read_age_ms=_age(report.read_ms, sighting, now),
        applied_age_ms=_age(report.applied_ms, sighting, now),
        entries=report.entries,
        held=report.held,
        pending=report.pending,
        last_error=report.last_error,
        last_reason=report.last_reason,
    )


def gates(mirrors: Sequence[Sighting], now: Now) -> list[GatePart]:
    """Each replica as the mirrors see it that answer; where none does, as it was seen last."""
    names = dict.fromkeys(name for s in mirrors if (report := _report(s, MirrorReport)) for name in report.gates)
    return [_gate(name, mirrors, now) for name in names]


def _gate(name: str, mirrors: Sequence[Sighting], now: Now) -> GatePart:
    known = [(s, report) for s in mirrors if (report := _report(s, MirrorReport)) and name in report.gates]
    live = [(s, report) for s, report in known if _reason(s, now) is None]
    sighting, report = max(live or known, key=lambda pair: (pair[1].gates[name].is_up, pair[0].seen.monotonic_ms))
    gate = report.gates[name]
    return GatePart(
        state=State.UNKNOWN,
        text="",
        name=name,
        is_up=any(report.gates[name].is_up for _, report in live) if live else None,
        is_ahead=any(report.gates[name].is_ahead for _, report in live),
        applied=gate.applied,
        still_ms=max(now.monotonic_ms - sighting.moved_ms.get(name, now.monotonic_ms), 0),
        held=max((report.held for _, report in live), default=0),
        errors=sum(report.gates[name].errors for _, report in live),
        rewinds=max((report.gates[name].rewinds for _, report in known), default=0),
        last_error=gate.last_error,
    )


def service(sighting: Sighting) -> ServiceFigures | None:
    report = _report(sighting, ServeReport)
    return ServiceFigures(**report.model_dump(exclude={"dc"})) if report else None


def toc(sighting: Sighting) -> TocFigures | None:
    report = _report(sighting, TocReport)
    if report is None:
        return None
    per_s = sighting.rates.per_s()
    tiers = tier_rates(per_s)
    return TocFigures(
        is_connected=report.is_connected,
        is_lagging=report.is_lagging,
        lag_ms=report.lag_ms,
        reads_per_s=sum(tier.reads_per_s for tier in tiers) if per_s is not None else None,
        tiers=tiers,
        fresh_share=fresh_share(per_s),
        loads_per_s=None if per_s is None else per_s["loads"],
        last_error=report.last_error,
    )


def wrong(sighting: Sighting) -> int | None:
    report = _report(sighting, AuditReport)
    return report.wrong if report else None


def is_wrong(sighting: Sighting, now: Now) -> bool:
    """Whether an audit was seen to find another wrong value within the last hour."""
    return sighting.wrong_ms is not None and now.monotonic_ms - sighting.wrong_ms <= WRONG_LATELY_MS


def is_blind(sighting: Sighting) -> bool:
    """Whether an audit has looked within the last minute, and could not tell anything of any value."""
    per_s = sighting.rates.per_s() or {}
    return per_s.get("inconclusive", 0) > 0 and not per_s["compared"] and not per_s["unserved"]


def compares_nothing(sighting: Sighting, now: Now) -> bool:
    """Whether an audit goes on looking, and has compared no value for hours."""
    per_s = sighting.rates.per_s() or {}
    is_late = sighting.compared_ms is not None and now.monotonic_ms - sighting.compared_ms > UNCOMPARED_MS_MAX
    return is_late and per_s.get("unserved", 0) > 0


def audit_rows(audits: Sequence[Sighting]) -> list[AuditRow]:
    """All rows of all audits. Two that look at the same namespace are two rows: nines do not add up."""
    return [
        AuditRow(**row.model_dump(exclude={"unserved", "inconclusive"}))
        for sighting in audits
        if (report := _report(sighting, AuditReport))
        for row in report.rows
    ]
