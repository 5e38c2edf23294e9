"""Both datacenters as the version service may find them: all well, until a test says what is not."""

from dataclasses import dataclass, field
from typing import Any

from app.site.board import Sighting
from app.site.models import Flow, ServiceFigures, SiteAnswer
from app.site.picture import draw
from app.site.reports import REPORTS
from app.site.view import make_view
from tests.app.worlds import START_MS
from versioning.cli.words import lag_text
from versioning.liveness import Now

NOW = Now(START_MS, 100_000)
UP: dict[str, Any] = {"is_connected": True}


def sighting(role: str, name: str = "", *, is_up: bool = True, age_ms: int = 500, **report: Any) -> Sighting:
    """A process that said this ``age_ms`` ago; without a report it has never answered."""
    seen = Sighting(name or f"{role}-1", role, "http://127.0.0.1:1")
    if report:
        said_at = Now(NOW.ms - age_ms, NOW.monotonic_ms - age_ms)
        seen.took(REPORTS[role].model_validate(report), said_at)
    seen.reason = None if is_up else "nothing listens there"
    return seen


def source(name: str = "source-1", *, read_age_ms: int = 300, **more: Any) -> Sighting:
    said: dict[str, Any] = {"dc": "a", "read_ms": START_MS - 500 - read_age_ms}
    return sighting("source", name, **(said | UP | more))


def mirror(name: str = "mirror-1", *, read_age_ms: int = 400, **more: Any) -> Sighting:
    gates = {"mysql-b": {"is_up": True, "applied": "0-1-15"}}
    said: dict[str, Any] = {"read_ms": START_MS - 500 - read_age_ms, "gates": gates}
    return sighting("mirror", name, **(said | UP | more))


def toc(name: str = "toc-1", **more: Any) -> Sighting:
    return sighting("toc", name, **(UP | {"lag_ms": 400} | more))


@dataclass
class Site:
    sources: list[Sighting] = field(default_factory=lambda: [source(), source("source-2")])
    mirrors: list[Sighting] = field(default_factory=lambda: [mirror(), mirror("mirror-2")])
    others: list[Sighting] = field(default_factory=lambda: [toc(), toc("toc-2")])
    lag_ms: int | None = 400
    replica_lag_ms: int | None = 500
    pending: int = 0
    is_gap_pending: bool = False
    is_connected: bool = True
    is_covered: bool = True
    last_error: str = ""

    def draw(self) -> SiteAnswer:
        is_lagging = self.lag_ms is None or self.lag_ms > 15_000
        flow = Flow(
            lag_ms=self.lag_ms,
            lag_max_ms=15_000,
            replica_lag_ms=self.replica_lag_ms,
            changes_per_s=1.0,
            keys_per_s=3.0,
            keys=10,
            pending=self.pending,
            is_gap_pending=self.is_gap_pending,
            window_ms=2_100_000,
            degraded_ttl_ms=240_000,
            watermark="1-0",
            complete_since_ms=1,
        )
        own = ServiceFigures(
            is_connected=self.is_connected,
            vouches=not is_lagging,
            lag_ms=self.lag_ms,
            keys=10,
            pending=self.pending,
            listeners=1,
            last_error=self.last_error,
        )
        view = make_view(
            [*self.sources, *self.mirrors, *self.others],
            NOW,
            dc="b",
            flow=flow,
            doubt=lag_text(self.lag_ms) if is_lagging else None,
            is_covered=self.is_covered,
            own=own,
        )
        return draw(view, "b")

    def codes(self) -> list[str]:
        return [finding.code for finding in self.draw().findings]
