"""Commands of stampline as processes of their own, with a settings file as a user writes it."""

import http.client
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from deploy.simulation.ports import LOOPBACK, free_port
from deploy.simulation.processes import ManagedProcess

STAMPLINE = Path(sys.executable).parent / "stampline"
DEADLINE_S = 60.0


@dataclass(frozen=True)
class Finished:
    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The last line, which says what to do: plain, or of a role that had begun to log one of its log."""
        last = self.err.splitlines()[-1]
        if not last.startswith("{"):
            return last
        said = json.loads(last)
        assert said["event"] == "role_failed", self.err
        return f"{said['error']} ({said['hint']})"


def run(*arguments: str, config: Path | None = None) -> Finished:
    command = [str(STAMPLINE), *arguments, *(["--config", str(config)] if config else [])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    return Finished(done.returncode, done.stdout, done.stderr)


def write_config(folder: Path, text: str, name: str = "stampline.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


class Role:
    """A role that serves HTTP, from the block's begin (ready) to its end (stopped). ``files``: how many it may open."""

    def __init__(
        self,
        command: Sequence[str],
        config: Path,
        port: int | None = None,
        *,
        ready: str = "/livez",
        files: int | None = None,
    ) -> None:
        self.port = port or free_port()
        self._ready = ready
        arguments = [part.replace("PORT", str(self.port)) for part in (*command, "--config", str(config))]
        limit = ["sh", "-c", f'ulimit -n {files} && exec "$0" "$@"'] if files else []
        self.process = ManagedProcess(command[0], [*limit, STAMPLINE, *arguments], config.with_suffix(".log"))

    def __enter__(self) -> Self:
        self.process.start()
        self.process.wait_until(lambda: self.is_answering(self._ready), DEADLINE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()

    def is_answering(self, path: str) -> bool:
        with suppress(OSError, http.client.HTTPException):
            return self.request("GET", path)[0] == 200
        return False

    def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        connection = self._connection()
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, path, payload, {"Content-Type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(LOOPBACK, self.port, timeout=DEADLINE_S)

    def get(self, path: str) -> Any:
        return json.loads(self.request("GET", path)[1])
