"""A line of the library's log for two readers: text for any logging, an event with fields for our programs."""

from typing import Any, Final

RECORD_FIELD: Final = "stampline"
"""Attribute of a log record: the event's name and its fields."""


def named(event: str, **fields: Any) -> dict[str, Any]:
    """Return the ``extra`` of a call of ``logging``."""
    return {RECORD_FIELD: {"event": event, **fields}}
