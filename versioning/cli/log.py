"""Logs go to stderr: readable on a terminal, one JSON object per line everywhere else. Called once, by a command.

A line that cannot be written, since the disk is full or whoever read them has gone, is lost; its writer goes on.
"""

import contextlib
import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final, TextIO, cast

import structlog

from versioning.client.named import RECORD_FIELD
from versioning.errors import StamplineError

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(level: str = "info") -> None:
    before: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    output = _Output(sys.stderr)
    renderer: list[Any]
    if sys.stderr.isatty():
        renderer = [structlog.dev.ConsoleRenderer()]
    else:
        renderer = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    structlog.configure(
        processors=[*before, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", output)),
        cache_logger_on_first_use=False,
    )
    _route_standard_logging(output, before, renderer)
    logging.getLogger("stampline").setLevel(LEVELS[level])


def is_json() -> bool:
    """Whether ``configure`` was called, and somebody else than a person reads: then every line is one object."""
    return any(isinstance(each, structlog.processors.JSONRenderer) for each in structlog.get_config()["processors"])


def role_failed(error: StamplineError, code: int) -> None:
    """The last line of a role, as every other one of its log."""
    structlog.get_logger().error("role_failed", error=error.message, hint=error.hint, exit_code=code)


class _Output:
    """As much of a file as loggers use."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._file.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._file.flush()


def _route_standard_logging(output: _Output, before: list[Any], renderer: list[Any]) -> None:
    """What other libraries log takes the same form; only their warnings are worth a line of ours."""
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[_name, *before],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)


def _name(_: Any, __: str, event_dict: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What our library logs says its event and fields beside its text."""
    event_dict.update(getattr(event_dict["_record"], RECORD_FIELD, {}))
    return event_dict
