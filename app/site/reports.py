"""What the other processes say of themselves under ``/status``, as far as the picture needs it.

Lenient on purpose: a process of another version may say more or less. What it leaves out counts as nothing.
"""

from typing import Final

from pydantic import BaseModel


class Report(BaseModel):
    dc: str = ""
    last_error: str = ""


class SourceReport(Report):
    is_connected: bool = False
    read_ms: int = 0
    transactions: int = 0
    keys: int = 0


class GateReport(BaseModel):
    is_up: bool = False
    is_ahead: bool = False
    applied: str = ""
    errors: int = 0
    rewinds: int = 0
    last_error: str = ""


ACCESS_DENIED: Final = "access_denied"
"""A mirror's ``last_reason`` where Redis A refuses it, its certificate or its login."""

TARGET_DENIED: Final = "target_denied"
"""The same where Redis B does."""

TARGET_LOST: Final = "target_lost"
"""The same where Redis B does not answer."""


class MirrorReport(Report):
    is_connected: bool = False
    read_ms: int = 0
    applied_ms: int = 0
    entries: int = 0
    held: int = 0
    pending: int = 0
    last_reason: str = ""
    gates: dict[str, GateReport] = {}


class ServeReport(Report):
    is_connected: bool = False
    vouches: bool = False
    lag_ms: int | None = None
    keys: int = 0
    pending: int = 0
    listeners: int = 0


class TocReport(Report):
    is_connected: bool = False
    is_lagging: bool = False
    lag_ms: int | None = None
    served: dict[str, dict[str, int]] = {}
    """Tier to verdict to count."""
    loads: int = 0

    def counts(self) -> dict[str, int]:
        """Return its counters by names of their own: ``served/local/fresh``, ``loads``."""
        served = {f"{tier}/{verdict}": n for tier, by in self.served.items() for verdict, n in by.items()}
        return {**served, "loads": self.loads}


class AuditRowReport(BaseModel):
    namespace: str
    after_s: float
    consistent: int = 0
    wrong: int = 0
    unserved: int = 0
    inconclusive: int = 0
    nines: str = "-"


class AuditReport(Report):
    wrong: int = 0
    rows: list[AuditRowReport] = []

    @property
    def compared(self) -> int:
        return sum(row.consistent + row.wrong for row in self.rows)

    def counts(self) -> dict[str, int]:
        """Return its looks by what they could tell."""
        return {
            "compared": self.compared,
            "unserved": sum(row.unserved for row in self.rows),
            "inconclusive": sum(row.inconclusive for row in self.rows),
        }


REPORTS: Final[dict[str, type[Report]]] = {
    "source": SourceReport,
    "mirror": MirrorReport,
    "serve": ServeReport,
    "toc": TocReport,
    "audit": AuditReport,
}
