"""A web process of its own, which a test can stop: it reads one key whenever it is told to."""

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any, Self

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
        ends_at = time.monotonic() + DEADLINE_S
        while True:
            answer = self.read(row)
            if answer.items() >= wanted.items():
                return answer
            assert time.monotonic() < ends_at, answer
            time.sleep(0.01)

    def pause(self) -> None:
        """Returns when the kernel has stopped it."""
        os.kill(self._process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)
