"""What the servers and processes themselves count, twice a second: loads, Redis commands, CPU time, memory."""

import contextlib
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pymysql
import redis

from loadtests.worlds import LoadWorld

EVERY_S = 0.5
TIMEOUT_S = 3
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_LOADS = "SELECT SELECT_COMMANDS AS n FROM information_schema.USER_STATISTICS WHERE USER = 'toc'"


@dataclass
class Sample:
    at_s: float
    loads: int
    """SELECTs of the ToCs on MySQL B, ever."""
    redis_commands: int
    """On Redis B, ever; those of its own restarts begin again at 0."""
    wan_bytes: int
    """Redis A to whoever reads it over the WAN, ever."""
    wan_entries: int
    """Appended to the stream in A, ever."""
    load_average: float
    """Of this machine, over the last minute."""
    cpu_s: dict[str, float] = field(default_factory=dict)
    """Process -> CPU seconds."""


class Sampler:
    """Samples from `start` to the end of the block. A server that is down leaves a gap, not an error."""

    def __init__(self, world: LoadWorld) -> None:
        self.samples: list[Sample] = []
        self._world = world
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self._connection: Any = None
        self._lock = threading.Lock()
        """Samples are taken by the thread, and for the edges of phases by the conductor."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._hang_up()

    def now(self) -> Sample | None:
        """Take a sample of this moment."""
        with self._lock:
            return self._take()

    def _take(self) -> Sample | None:
        try:
            return Sample(
                time.time(), self._loads(), self._redis_commands(), *self._wan(), os.getloadavg()[0], self._cpu_s()
            )
        except (pymysql.err.MySQLError, redis.RedisError, OSError):
            self._hang_up()
            return None

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            sample = self.now()
            if sample is not None:
                self.samples.append(sample)

    def _loads(self) -> int:
        if self._connection is None:
            self._connection = self._world.mysql_b.connect(read_timeout=TIMEOUT_S)
        with self._connection.cursor() as cursor:
            cursor.execute(_LOADS)
            row = cursor.fetchone()
        return int(row["n"]) if row else 0

    def _redis_commands(self) -> int:
        with self._world.redis_b.client(socket_timeout=TIMEOUT_S) as client:
            stats: dict[str, Any] = client.info("commandstats")
        return sum(int(one["calls"]) for name, one in stats.items() if name not in _OWN)

    def _wan(self) -> tuple[int, int]:
        with self._world.redis_a.client(socket_timeout=TIMEOUT_S) as client:
            stats: dict[str, Any] = client.info("stats")
            commands: dict[str, Any] = client.info("commandstats")
        return int(stats["total_net_output_bytes"]), int(commands.get("cmdstat_xadd", {}).get("calls", 0))

    def _cpu_s(self) -> dict[str, float]:
        world = self._world
        pids = {name: process.pid for name, process in world.processes.items()}
        pids |= {server.name: server.process.pid for server in (world.mysql_a, world.mysql_b, world.redis_b)}
        found = {name: cpu_s(pid) for name, pid in pids.items() if pid is not None}
        return {name: seconds for name, seconds in found.items() if seconds is not None}

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(pymysql.err.Error, OSError):
                connection.close()


_OWN = {"cmdstat_info", "cmdstat_client|setinfo", "cmdstat_hello"}
"""The sampler's own."""


def cpu_s(pid: int) -> float | None:
    """Return the CPU seconds of a process and of all its threads; None when it is gone."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(after_name[11]) + int(after_name[12])) / _TICKS_PER_S
