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
            # What a full disk took of a line, of whichever process, would make this one unreadable.
            # It is ended and not cut off: somebody's whole line may be behind it by now.
            if _ends_inside_a_line(self._descriptor):
                line = b"\n" + line
            # One write call: lines of several processes on one file do not mix.
            if os.write(self._descriptor, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._descriptor)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _opened(file: Path) -> int:
    return os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)


def _ends_inside_a_line(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"


def _is_at(file: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(file.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
