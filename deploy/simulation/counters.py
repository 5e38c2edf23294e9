"""What the processes and Redis B themselves counted, read from outside."""

import asyncio
import threading
from dataclasses import dataclass
from typing import Any, Self

from deploy.simulation.configs import TOCS
from deploy.simulation.http import Client
from deploy.simulation.load import TRACKERS
from deploy.simulation.redis_server import RedisServer
from deploy.simulation.world import World

PROBE = "toc-probe"


@dataclass(frozen=True)
class CacheCounts:
    """Of all ToCs with stampline, added up."""

    hits: int
    misses: int
    loads: int

    def since(self, before: "CacheCounts") -> "CacheCounts":
        return CacheCounts(self.hits - before.hits, self.misses - before.misses, self.loads - before.loads)

    @property
    def hit_rate(self) -> float:
        reads = self.hits + self.misses
        return self.hits / reads if reads else 0.0


async def cache_counts(world: World) -> CacheCounts:
    infos = [await _cache_info(world, name) for name in TOCS]
    hits = sum(sum(info["served"].get(tier, {}).values()) for info in infos for tier in ("local", "redis"))
    return CacheCounts(hits, sum(info["misses"] for info in infos), sum(info["loads"] for info in infos))


async def _cache_info(world: World, name: str) -> dict[str, Any]:
    async with Client(world.http_ports[name], world.client_context) as client:
        answer: dict[str, Any] = (await client.get("/status")).json()
    return answer


async def redis_commands_per_read(world: World) -> float:
    """Start one more ToC, whose memory is empty, and count what its reads cost Redis B while nothing is written."""
    others = _connections(world.redis_b)  # The audit looks at values too.
    await asyncio.to_thread(world.start_toc, PROBE)
    with Monitor(world.redis_b, "tracker_web:", ignored=others) as monitor:
        async with Client(world.http_ports[PROBE], world.client_context) as client:
            answers = [await client.get(f"/trackers/{number}") for number in range(1, TRACKERS + 1)]
    served = sum(answer.headers.get("x-stampline-tier") == "redis" for answer in answers)
    return monitor.commands / served if served else float("inf")


def _connections(server: RedisServer) -> frozenset[str]:
    with server.client(decode_responses=True) as client:
        return frozenset(str(found["addr"]) for found in client.client_list())


class Monitor:
    """Counts commands that clients send to a Redis and that hold one of the texts, and not what a script runs.

    ``ignored``: connections, as ``host:port``, whose commands do not count.
    """

    END = "stampline-monitor-end"

    def __init__(self, server: RedisServer, *texts: str, ignored: frozenset[str] = frozenset()) -> None:
        self._server = server
        self._texts = texts
        self._ignored = ignored
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._count, daemon=True)
        self.commands = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        with self._server.client() as client:
            client.echo(self.END)
        self._thread.join()

    def _count(self) -> None:
        with self._server.client(decode_responses=True) as client, client.monitor() as monitor:
            self._ready.set()
            for seen in monitor.listen():
                if self.END in seen["command"]:
                    return
                is_sent = seen["client_type"] != "lua"
                is_counted = f"{seen['client_address']}:{seen['client_port']}" not in self._ignored
                self.commands += is_sent and is_counted and any(text in seen["command"] for text in self._texts)
