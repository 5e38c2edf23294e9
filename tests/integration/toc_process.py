"""A web process of its own, which a test can stop: it reads one key whenever it is told to."""

import json
import os
import signal
import subprocess
import sys
from typing import Any, Self

from tests.eventually import until

KEY = "tracker_web:1"
DEADLINE_S = 30.0

SCRIPT = """
import dataclasses, json, sys
from versioning import VersionedCache

url, options = sys.argv[1], json.loads(sys.argv[2])
with VersionedCache.from_url(url, values_timeout_ms=5000, **options) as cache:
    for line in sys.stdin:
        read = cache.read(KEY, lambda: line.strip())
        info = cache.info()
        answer = {"value": read.value, "tier": read.tier.value, "verdict": read.verdict.value, "breaks": info.breaks}
        print(json.dumps(answer | {"last_error": info.last_error}), flush=True)
"""


class TocProcess:
    """``read(row)`` reads the key, whose row in the database is ``row`` at that moment."""

    def __init__(self, url: str, **options: Any) -> None:
        command = [sys.executable, "-c", SCRIPT.replace("KEY", repr(KEY)), url, json.dumps(options)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, start_new_session=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.resume()
        self._process.stdin.close()  # type: ignore[union-attr]
        try:
            self._process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(DEADLINE_S)
        self._process.stdout.close()  # type: ignore[union-attr]

    def ask(self, row: str) -> None:
        """The question is there before the process runs again: the read is the first thing it does."""
        self._process.stdin.write(f"{row}\n")  # type: ignore[union-attr]
        self._process.stdin.flush()  # type: ignore[union-attr]

    def answer(self) -> dict[str, Any]:
        return json.loads(self._process.stdout.readline())  # type: ignore[union-attr, no-any-return]

    def read(self, row: str) -> dict[str, Any]:
        self.ask(row)
        return self.answer()

    def read_until(self, row: str, **wanted: Any) -> dict[str, Any]:
        answer: dict[str, Any] = {}

        def is_so() -> bool:
            answer.clear()
            answer.update(self.read(row))
            return answer.items() >= wanted.items()

        until(is_so, f"row {row} with {wanted}", show=lambda: answer, every_s=0.01)
        return answer

    def pause(self) -> None:
        """Returns when the kernel has stopped it."""
        os.kill(self._process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)
