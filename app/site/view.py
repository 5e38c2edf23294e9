"""The facts of the picture: figures of every process with their ages, and what follows from them. No judgement here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.site import figures
from app.site.board import Sighting
from app.site.models import (
    AuditProcess,
    AuditRow,
    Flow,
    GatePart,
    MirrorFigures,
    MirrorProcess,
    ServiceFigures,
    ServiceProcess,
    SourceFigures,
    SourceProcess,
    TocProcess,
)
from versioning.liveness import Now

ALIVE_MS: Final = 5_000
"""Heartbeats come twice a second: one that has been silent for this long does not only hesitate."""


@dataclass(frozen=True, slots=True)
class View:
    here: str
    """Name of the datacenter that reads, as it is said."""
    time_ms: int
    flow: Flow
    doubt: str | None
    """Why this service vouches for nothing, or None."""
    is_covered: bool
    own: ServiceFigures
    origin_dc: str | None
    sources: Sequence[SourceProcess]
    mirrors: Sequence[MirrorProcess]
    gates: Sequence[GatePart]
    services: Sequence[ServiceProcess]
    """The others."""
    tocs: Sequence[TocProcess]
    audits: Sequence[AuditProcess]
    audit_rows: Sequence[AuditRow]

    @property
    def live_sources(self) -> list[SourceFigures]:
        return [process.figures for process in self.sources if process.is_up and process.figures]

    @property
    def live_mirrors(self) -> list[MirrorFigures]:
        return [process.figures for process in self.mirrors if process.is_up and process.figures]

    @property
    def source_age_ms(self) -> int | None:
        """Age of what the best source has appended to stream A."""
        return min((f.read_age_ms for f in self.live_sources if f.read_age_ms is not None), default=None)

    @property
    def is_source_alive(self) -> bool:
        return self.source_age_ms is not None and self.source_age_ms <= ALIVE_MS

    @property
    def is_wan_up(self) -> bool:
        return any(mirror.is_connected for mirror in self.live_mirrors)

    @property
    def is_in_doubt(self) -> bool:
        """Whether stream B is read, and vouches for nothing."""
        return self.doubt is not None and self.is_covered and self.own.is_connected

    @property
    def heard_age_ms(self) -> int | None:
        """Age of the newest word of stream A in datacenter B; as this service knows it, while it reads stream B."""
        if self.own.is_connected and self.flow.lag_ms is not None:
            return self.flow.lag_ms
        return min((f.read_age_ms for f in self.live_mirrors if f.read_age_ms is not None), default=None)

    @property
    def held(self) -> int:
        return max((mirror.held for mirror in self.live_mirrors), default=0)


def make_view(
    sightings: Sequence[Sighting],
    now: Now,
    *,
    dc: str,
    flow: Flow,
    doubt: str | None,
    is_covered: bool,
    own: ServiceFigures,
) -> View:
    def of(role: str) -> list[Sighting]:
        return [sighting for sighting in sightings if sighting.role == role]

    def of_process(sighting: Sighting) -> dict[str, Any]:
        return figures.process(sighting, now)

    return View(
        here=dc.upper() if len(dc) == 1 else dc,
        time_ms=now.ms,
        flow=flow,
        doubt=doubt,
        is_covered=is_covered,
        own=own,
        origin_dc=next((s.report.dc for s in of("source") if s.report and s.report.dc), None),
        sources=[SourceProcess(**of_process(s), figures=figures.source(s, now)) for s in of("source")],
        mirrors=[MirrorProcess(**of_process(s), figures=figures.mirror(s, now)) for s in of("mirror")],
        gates=figures.gates(of("mirror"), now),
        services=[ServiceProcess(**of_process(s), is_self=False, figures=figures.service(s)) for s in of("serve")],
        tocs=[TocProcess(**of_process(s), figures=figures.toc(s)) for s in of("toc")],
        audits=[
            AuditProcess(
                **of_process(s),
                wrong=figures.wrong(s),
                is_wrong=figures.is_wrong(s, now),
                is_blind=figures.is_blind(s),
                compares_nothing=figures.compares_nothing(s, now),
            )
            for s in of("audit")
        ],
        audit_rows=figures.audit_rows(of("audit")),
    )
