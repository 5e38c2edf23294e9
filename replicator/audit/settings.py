"""Sections ``[audit]`` and ``[[audit.check]]``: what to compare cached values with."""

from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import Field, model_validator

from replicator.audit.check import Check
from versioning.cli.sections import MySqlSection
from versioning.cli.settings import Section
from versioning.errors import ConfigError
from versioning.limits import DEGRADED_TTL_MS

AFTER_S_MAX: Final = 86_400
"""No cached copy lives longer."""


class CheckSection(Section):
    section: ClassVar[str] = "audit.check"

    template: str
    """A key template, as ``tracker_web:{id}``."""
    sql: str
    """Gives the value as JSON in its first column; ``{id}`` stands for what the key has there."""

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        try:
            self.parsed()
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return self

    def parsed(self) -> Check:
        return Check.parse(self.template, self.sql)


class AuditSection(Section):
    section: ClassVar[str] = "audit"

    mysql: MySqlSection
    """A database that loads read from."""
    check: tuple[CheckSection, ...] = Field(min_length=1)
    after_s: tuple[Annotated[float, Field(ge=0, le=AFTER_S_MAX)], ...] = Field(
        default=(1.0, 10.0, 60.0, 300.0), min_length=1
    )
    """How long after a change its key is looked at."""
    samples_per_s: float = Field(default=1.0, gt=0, le=100)
    """Changes looked at; each costs one read of Redis and of the database per element of ``after_s``."""
    confirm_ms: int = Field(default=2_000, ge=0, le=60_000)
    """A difference counts when it lasts this long: longer than a change needs from its commit to the stream."""
    degraded_ttl_ms: int = Field(default=DEGRADED_TTL_MS, ge=1)
    """As the audited caches have it."""


SECTIONS: tuple[Any, ...] = (AuditSection,)
