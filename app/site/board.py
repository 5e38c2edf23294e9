"""The board: what every listed process said last, and for how long it has been silent. No request ever asks one.

Law: one that does not answer is down, with the reason; its last figures stay, and so does their age.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError

from app.settings import ComponentSection
from app.site.fetch import FetchError, get_json
from app.site.rates import Rates
from app.site.reports import REPORTS, AuditReport, MirrorReport, Report, TocReport
from versioning.liveness import Now

RATES_SPAN_MS: Final = 60_000
NEVER: Final = Now(0, 0)
NEVER_ASKED: Final = "not asked yet"

Fetch = Callable[[str], Awaitable[Any]]


@dataclass(slots=True)
class Sighting:
    """One process, as seen from here."""

    name: str
    role: str
    url: str
    report: Report | None = None
    seen: Now = NEVER
    """When the report came."""
    reason: str | None = NEVER_ASKED
    """Why it counts as down, or None."""
    rates: Rates = field(default_factory=lambda: Rates(RATES_SPAN_MS))
    moved_ms: dict[str, int] = field(default_factory=dict)
    """Gate of a mirror to when its position was last seen to move, by the monotonic clock."""
    wrong_ms: int | None = None
    """When an audit was last seen to have found another wrong value, by the same clock."""
    compared_ms: int | None = None
    """When it was last seen to have compared another value, or was first seen."""

    def took(self, report: Report, now: Now) -> None:
        if isinstance(report, TocReport | AuditReport):
            self.rates.add(now.monotonic_ms, report.counts())
        if isinstance(report, MirrorReport):
            self._note_moves(report, now.monotonic_ms)
        if isinstance(report, AuditReport):
            self._note_looks(report, now.monotonic_ms)
        self.report, self.seen, self.reason = report, now, None

    def _note_moves(self, report: MirrorReport, at_ms: int) -> None:
        before = self.report.gates if isinstance(self.report, MirrorReport) else {}
        self.moved_ms = {
            name: self.moved_ms[name] if name in before and before[name].applied == gate.applied else at_ms
            for name, gate in report.gates.items()
        }

    def _note_looks(self, report: AuditReport, at_ms: int) -> None:
        before = self.report if isinstance(self.report, AuditReport) else AuditReport()
        if report.wrong > before.wrong:
            self.wrong_ms = at_ms
        if self.compared_ms is None or report.compared != before.compared:
            self.compared_ms = at_ms

    def age_ms(self, now: Now) -> int | None:
        return None if self.report is None else max(now.monotonic_ms - self.seen.monotonic_ms, 0)


class Board:
    def __init__(
        self, components: Sequence[ComponentSection], clock: Callable[[], Now], *, fetch: Fetch = get_json
    ) -> None:
        self.sightings = [Sighting(item.name, item.role, item.url) for item in components]
        self._clock = clock
        self._fetch = fetch

    async def ask_all(self) -> None:
        """Ask every process once, all at the same time."""
        await asyncio.gather(*(self._ask(sighting) for sighting in self.sightings))

    async def _ask(self, sighting: Sighting) -> None:
        try:
            document = await self._fetch(f"{sighting.url}/status")
            report = REPORTS[sighting.role].model_validate(document)
        except FetchError as error:
            sighting.reason = str(error)
        except ValidationError:
            sighting.reason = f"its /status is not that of a {sighting.role}"
        except Exception as error:  # noqa: BLE001 - files of TLS that are away, no thread to look a name up: not for ever
            sighting.reason = f"this service cannot ask it: {error}"
        else:
            sighting.took(report, self._clock())
