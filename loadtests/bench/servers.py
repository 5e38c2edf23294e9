"""Servers of a benchmark's own: on free ports, in a folder of their own, gone at the end whatever happens."""

import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from deploy.simulation.processes import ManagedProcess, ProcessGroup
from deploy.simulation.redis_server import RedisServer
from loadtests.bench import feeder

CHECKOUT: Final = Path(__file__).resolve().parents[2]


@contextmanager
def process_group() -> Iterator[tuple[ProcessGroup, Path]]:
    """Yield a group whose processes end with the block, and a folder for them."""
    with tempfile.TemporaryDirectory(prefix="stampline-bench-") as folder, ProcessGroup() as group:
        yield group, Path(folder)


@contextmanager
def redis(**options: Any) -> Iterator[RedisServer]:
    with process_group() as (group, folder):
        yield start_redis(group, folder, "redis", **options)


def start_redis(group: ProcessGroup, folder: Path, name: str, **options: Any) -> RedisServer:
    server = group.add(RedisServer(name, folder / name, **options))
    server.start()
    return server


def start_python(group: ProcessGroup, folder: Path, name: str, module: str, *arguments: str) -> ManagedProcess:
    """Run ``python -m module`` beside us, until the group ends."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-m", module, *arguments]
    process = group.add(ManagedProcess(name, command, folder / f"{name}.log", env=environment))
    process.start()
    return process


@contextmanager
def fed_redis(changes_per_s: float = 0.0, keys: int = 1_000) -> Iterator[RedisServer]:
    """A Redis whose stamp stream another process keeps alive."""
    with process_group() as (group, folder):
        server = start_redis(group, folder, "redis")
        asyncio.run(feeder.begin(server.url))
        arguments = [server.url, "--changes-per-s", str(changes_per_s), "--keys", str(keys)]
        start_python(group, folder, "feeder", "loadtests.bench.feeder", *arguments)
        yield server
