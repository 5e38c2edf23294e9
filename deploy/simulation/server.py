"""A server of the simulation: one process, one folder, one port of 127.0.0.1.

Ready means answering, not started: `start` returns when the server has answered a request.
"""

import abc
import copy
from pathlib import Path
from typing import Self

from deploy.simulation.ports import LOOPBACK, free_port
from deploy.simulation.processes import STOP_DEADLINE_S, ManagedProcess, ProcessError

READY_DEADLINE_S = 60.0  # Two busy cores: generous, and a server that dies is noticed at once.


class MissingServerError(ProcessError):
    """The server's binary is not on this machine."""


class Server(abc.ABC):
    """Start, stop, kill, pause: the same words for every server."""

    host = LOOPBACK

    def __init__(self, name: str, folder: Path, port: int | None = None) -> None:
        self.name = name
        self.folder = folder
        self.port = free_port() if port is None else port
        self._process: ManagedProcess | None = None

    @abc.abstractmethod
    def _prepare(self) -> None:
        """Create what the first start needs; called before every start."""

    @abc.abstractmethod
    def _command(self) -> list[str | Path]: ...

    @abc.abstractmethod
    def _is_ready(self) -> bool: ...

    @property
    def process(self) -> ManagedProcess:
        if self._process is None:
            self._process = ManagedProcess(self.name, self._command(), self.folder / "server.log", cwd=self.folder)
        return self._process

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def behind(self, port: int) -> Self:
        """Return this server as it is seen through a relay that listens on `port`: for its address only."""
        view = copy.copy(self)
        view.port = port
        return view

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.is_running

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._prepare()
        self.process.start()
        self.process.wait_until(self._is_ready, READY_DEADLINE_S)

    def stop(self, deadline_s: float = STOP_DEADLINE_S) -> None:
        self.process.stop(deadline_s)

    def kill(self) -> None:
        self.process.kill()

    def pause(self) -> None:
        self.process.pause()

    def resume(self) -> None:
        self.process.resume()

    def restart(self) -> None:
        self.stop()
        self.start()

    def ensure_running(self) -> None:
        """Undo whatever was done to it: killed, stopped or paused before, it runs after."""
        if self.is_running:
            self.resume()
        else:
            self.start()
