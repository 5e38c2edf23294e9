"""What one Redis and its followers cost at 10, 100 and 1,000 followers; what the sizing formulas say of it.

    python -m loadtests.scale [--followers 10,100,1000] [--seconds 8] [--json FILE]

The followers are real ones (`versioning.client.follower.Follower`), many in one process of their own; entries come at a
steady rate through the same append script as a mirror's, each naming one key: the
moment it was sent at.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploy.simulation.processes import ManagedProcess, ProcessGroup
from deploy.simulation.redis_server import RedisServer
from loadtests import sizing
from loadtests.sample import cpu_s
from loadtests.sizing import Measured
from versioning.backends.redis_stream import RedisStream
from versioning.bump import Bump
from versioning.client.bumps import append_bump

CHANGES_PER_S, FEW = 20.0, 10
"""So many changes for so few followers."""

MEMORY_KEYS = 20_000
READY_S = 60.0
EXAMPLE = {"instances": 500, "keys_per_s": 50.0, "window_s": 2_100.0, "heartbeats_per_s": 2.0, "mirrors": 2}
CPU_LIMIT = 0.7
"""Of the one core of a Redis: above it, latency grows."""


def measure(followers: int, seconds: float, folder: Path) -> Measured:
    """Start a Redis and a process of so many followers, append at a steady rate, and read what it cost."""
    with ProcessGroup() as group:
        redis = group.add(RedisServer("redis", folder / "redis"))
        redis.start()
        output = folder / "followers.json"
        command = [sys.executable, "-m", "loadtests.followers", redis.url, str(followers), str(output)]
        process = group.add(ManagedProcess("followers", command, folder / "followers.log"))
        process.start()
        process.wait_until(output.with_suffix(".ready").exists, READY_S)
        entries, passed_s, cpu, bytes_out = asyncio.run(_append_for(redis, seconds, rate(followers)))
        process.stop()
        seen = json.loads(output.read_text())
    return Measured(
        followers=followers,
        entries_per_s=entries / passed_s,
        bytes_out_per_s=bytes_out / passed_s,
        redis_cpu=cpu / passed_s,
        bytes_per_entry=bytes_out / max(entries * followers, 1),
        lag_p99_ms=seen["lag_p99_ms"],
    )


def rate(followers: int) -> float:
    """Return the changes per second for so many followers: ten times the deliveries for a hundred times as many.

    One process takes them all in: were it late, entries would come in batches and look cheap.
    """
    return CHANGES_PER_S * float((FEW / max(followers, FEW)) ** 0.5)


async def _append_for(redis: RedisServer, seconds: float, per_s: float) -> tuple[int, float, float, int]:
    stream = RedisStream.from_url(redis.url, name="stampline", window_ms=2_100_000, version_keys=True)
    entries = 0
    try:
        cpu_before, out_before, began_s = _cpu(redis), _bytes_out(redis), time.monotonic()
        while (passed_s := time.monotonic() - began_s) < seconds:
            await append_bump(stream, Bump("scale", (f"sent_ns:{time.time_ns()}",)), now_ms=_now_ms(), above=0)
            entries += 1
            await asyncio.sleep(max(began_s + entries / per_s - time.monotonic(), 0))
        return entries, passed_s, _cpu(redis) - cpu_before, _bytes_out(redis) - out_before
    finally:
        await stream.aclose()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _cpu(redis: RedisServer) -> float:
    return cpu_s(redis.process.pid or 0) or 0.0


def _bytes_out(redis: RedisServer) -> int:
    with redis.client() as client:
        stats: dict[str, Any] = client.info("stats")
    return int(stats["total_net_output_bytes"])


def memory_per_key(keys: int = MEMORY_KEYS) -> float:
    """Bytes of one key in a follower's index, measured in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="stampline-scale-") as folder, ProcessGroup() as group:
        output = Path(folder) / "memory.json"
        command = [sys.executable, "-m", "loadtests.followers", "--memory", str(keys), str(output)]
        process = group.add(ManagedProcess("memory", command, Path(folder) / "memory.log"))
        process.start()
        process.wait_until(lambda: not process.is_running, READY_S)
        return float(json.loads(output.read_text())["bytes_per_key"])


def run(followers: Sequence[int], seconds: float, say: Any = print) -> dict[str, Any]:
    measured = []
    for count in followers:
        say(f"{count} followers of one Redis")
        with tempfile.TemporaryDirectory(prefix="stampline-scale-") as folder:
            measured.append(measure(count, seconds, Path(folder)))
    return result(measured, memory_per_key())


def result(measured: Sequence[Measured], bytes_per_key: float) -> dict[str, Any]:
    """Compare every measurement with what the formulas say from the smallest one, and size an example."""
    few, many = measured[0], measured[-1]
    per_delivery_s = sizing.cpu_per_delivery(few, many)
    base_cpu = max(few.redis_cpu - per_delivery_s * few.entries_per_s * few.followers, 0.0)
    rows = []
    for one in measured:
        predicted = sizing.redis_out(one.followers, one.entries_per_s, few.bytes_per_entry)
        rows.append(
            {
                **vars(one),
                "predicted_bytes_out_per_s": predicted,
                "predicted_cpu": base_cpu + per_delivery_s * one.entries_per_s * one.followers,
            }
        )
    entries_per_s = EXAMPLE["keys_per_s"] + EXAMPLE["heartbeats_per_s"]
    example = {
        **EXAMPLE,
        "follower_bytes_per_s": sizing.follower_bandwidth(entries_per_s, many.bytes_per_entry),
        "redis_out_bytes_per_s": sizing.redis_out(int(EXAMPLE["instances"]), entries_per_s, many.bytes_per_entry),
        "wan_bytes_per_s": sizing.wan_bandwidth(int(EXAMPLE["mirrors"]), entries_per_s, many.bytes_per_entry),
        "index_bytes": sizing.index_bytes(EXAMPLE["keys_per_s"], EXAMPLE["window_s"], bytes_per_key),
        "stream_bytes": sizing.stream_bytes(entries_per_s, EXAMPLE["window_s"], many.bytes_per_entry),
        "followers_per_redis": sizing.followers_per_redis(CPU_LIMIT, base_cpu, entries_per_s, per_delivery_s),
    }
    return {
        "rows": rows,
        "bytes_per_key": bytes_per_key,
        "cpu_us_per_delivery": per_delivery_s * 1e6,
        "base_cpu": base_cpu,
        "cpu_limit": CPU_LIMIT,
        "example": example,
    }


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtests.scale", description=__doc__.splitlines()[0])
    parser.add_argument("--followers", default="10,100,1000", help="(default 10,100,1000)")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args(argv)
    found = run([int(count) for count in arguments.followers.split(",")], arguments.seconds)
    text = json.dumps(found, indent=1)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
