"""The audit log of bumps: one JSON line each, on disk before the answer leaves."""

import asyncio
import errno
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import structlog

from versioning.errors import ConfigError

_log = structlog.get_logger()


class AuditLog:
    """Without a file, the lines go to the log. A file that was renamed or removed (logrotate) is begun anew."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._one_at_a_time = threading.Lock()
        try:
            self._descriptor = -1 if file is None else _opened(file)
        except OSError as error:
            raise ConfigError(
                f"cannot write the audit log {file}: {error.strerror}",
                hint="create its folder, or change [serve] audit_log",
            ) from None

    async def write(self, record: Mapping[str, Any]) -> None:
        """Return once the line is on disk; raises OSError."""
        if self._file is None:
            _log.info("bump_audited", **record)
            return
        line = orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
        await asyncio.to_thread(self._write, self._file, line)

    def _write(self, file: Path, line: bytes) -> None:
        with self._one_at_a_time:
            if not _is_at(file, self._descriptor):
                moved, self._descriptor = self._descriptor, _opened(file)
                os.close(moved)
            # One write call: lines of several processes on one file do not mix.
            if os.write(self._descriptor, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._descriptor)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _opened(file: Path) -> int:
    return os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)


def _is_at(file: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(file.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
