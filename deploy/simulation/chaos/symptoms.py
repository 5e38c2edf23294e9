"""Who notices a fault: every ToC and version service is asked, many times a second, how it is.

Detected: the first moment after the fault at which one of them says so, or does not answer. Recovered: nobody does any
more.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from deploy.simulation.chaos.world import ChaosWorld
from deploy.simulation.configs import TOCS
from deploy.simulation.http import Client

POLL_S = 0.1
ANSWER_S = 1.0
HTTP_OK = 200
SILENT = "does not answer"


@dataclass(frozen=True)
class Symptom:
    seen_s: float
    text: str


class Monitor:
    def __init__(self, world: ChaosWorld) -> None:
        self.loads = 0
        """Calls of loaders by all ToCs, restarts included."""
        self._world = world
        self._states: dict[str, Symptom | None] = {}
        self._loads_of: dict[str, int] = {}
        self._first: Symptom | None = None
        self._armed_s = float("inf")

    def arm(self) -> None:
        """From now on, the first symptom counts."""
        self._armed_s, self._first = time.time(), None

    @property
    def detected(self) -> Symptom | None:
        return self._first

    @property
    def symptoms(self) -> dict[str, str]:
        """Return what is wrong now; empty once every process has said it is well."""
        names = (*TOCS, *self._services)
        states = {name: self._states.get(name, Symptom(0.0, "not asked yet")) for name in names}
        return {name: state.text for name, state in states.items() if state is not None}

    @property
    def _services(self) -> list[str]:
        return [name for name in self._world.http_ports if name.startswith("service")]

    async def run(self) -> None:
        """Ask until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for name in TOCS:
                tasks.create_task(self._watch(name, "/status"))
            for name in self._services:
                tasks.create_task(self._watch(name, "/readyz"))

    async def _watch(self, name: str, path: str) -> None:
        async with Client(self._world.http_ports[name]) as client:
            while True:
                self._note(name, await self._ask(client, name, path))
                await asyncio.sleep(POLL_S)

    async def _ask(self, client: Client, name: str, path: str) -> str | None:
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await client.get(path)
        except OSError:
            return SILENT
        if name not in TOCS:
            return None if answer.status == HTTP_OK else answer.body.decode(errors="replace")[:120]
        info = answer.json()
        self._count_loads(name, info["loads"])
        return complaint(info, self._world.limits.max_lag_ms)

    def _note(self, name: str, text: str | None) -> None:
        now_s = time.time()
        self._states[name] = None if text is None else Symptom(now_s, text)
        if text is not None and self._first is None and now_s >= self._armed_s:
            self._first = Symptom(now_s, f"{name}: {text}")

    def _count_loads(self, name: str, loads: int) -> None:
        before = self._loads_of.get(name, loads)
        self.loads += loads - before if loads >= before else loads
        self._loads_of[name] = loads


def complaint(info: dict[str, Any], max_lag_ms: int) -> str | None:
    """Return what a ToC's account of itself says is wrong."""
    if info["is_lagging"]:
        return f"lagging {info['lag_ms']} ms"
    if not info["is_connected"]:
        return "cut off from the stream"
    if (info["replica_lag_ms"] or 0) > max_lag_ms:
        return f"the replica lags {info['replica_lag_ms']} ms"
    return None
