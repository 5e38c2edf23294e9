"""Runs everything of a report, part by part. A part that fails is written down as failed; the others go on."""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.simulation.processes import ManagedProcess, ProcessGroup
from deploy.simulation.redis_server import RedisServer
from loadtests import measure, scale
from loadtests.conduct import Conductor, Run
from loadtests.profile import Profile
from loadtests.worlds import STAMPLINE, TTL, LoadWorld

Json = dict[str, Any]
Say = Callable[[str], None]

SCALE_S = 8.0
HELPER_EXTRA_S = 60.0


def run_all(profile: Profile, modes: Sequence[str], command: str, say: Say, keep: Path | None = None) -> Json:
    results: Json = {
        "profile": asdict(profile),
        "command": command,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(),
        "load_before": os.getloadavg()[0],
        "cores": os.cpu_count(),
        "worlds": {},
        "paired": {},
        "failures": [],
    }
    began_s = time.monotonic()
    for mode in modes:
        attempt(results, f"world {mode}", lambda mode=mode: _world(results, mode, profile, say, keep), say)  # type: ignore[misc]
    attempt(results, "helper", lambda: results.update(helper=helper(profile, say)), say)
    seconds = min(SCALE_S, profile.steady_s)
    attempt(results, "scale", lambda: results.update(scale=scale.run(profile.followers, seconds, say)), say)
    results["seconds"] = time.monotonic() - began_s
    return results


def attempt(results: Json, name: str, part: Callable[[], object], say: Say) -> None:
    try:
        part()
    except Exception as error:  # noqa: BLE001  what is lost is said, and the rest is measured
        text = f"{name}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        results["failures"].append(text)
        say(f"FAILED: {error}")


def _world(results: Json, mode: str, profile: Profile, say: Say, keep: Path | None) -> None:
    folder = Path(tempfile.mkdtemp(prefix=f"stampline-load-{mode}-"))

    def tell(text: str) -> None:
        say(f"{mode}: {text}")

    try:
        with LoadWorld(folder, mode, profile) as world:
            world.start(tell)
            conductor = Conductor(world, profile, tell)
            try:
                run = conductor.perform()
            finally:
                # Also of a run that broke off: what was measured until then.
                _note(results, conductor.run)
        tell(f"{len(run.readings)} reads recorded")
    finally:
        if keep is not None:
            _keep_logs(folder, keep / mode)
        shutil.rmtree(folder, ignore_errors=True)


def _note(results: Json, run: Run) -> None:
    results["worlds"][run.mode] = measure.world_result(run)
    if run.mode == STAMPLINE:
        results["paired"] = measure.paired_result(run)


def _keep_logs(folder: Path, to: Path) -> None:
    to.mkdir(parents=True, exist_ok=True)
    for log in folder.glob("*.log"):
        shutil.copy(log, to / log.name)


def helper(profile: Profile, say: Say) -> Json:
    """Drive the cache itself, both kinds, against a Redis of their own with one heartbeat in it."""
    found: Json = {}
    with tempfile.TemporaryDirectory(prefix="stampline-helper-") as folder, ProcessGroup() as group:
        redis = group.add(RedisServer("redis", Path(folder) / "redis"))
        redis.start()
        beat = group.add(_python("heartbeats", Path(folder), "loadtests.heartbeats", redis.url))
        beat.start()
        for mode in (TTL, STAMPLINE):
            say(f"helper by itself: {mode}")
            arguments = [redis.url, redis.url, mode, str(profile.helper_s), str(profile.trackers)]
            driver = group.add(_python(f"helper-{mode}", Path(folder), "loadtests.helper_load", *arguments))
            driver.start()
            driver.wait_until(lambda driver=driver: not driver.is_running, profile.helper_s + HELPER_EXTRA_S)  # type: ignore[misc]
            if driver.exit_code:
                raise RuntimeError(driver.log_tail())
            found[mode] = json.loads(driver.log_tail(1))
    return found


def _python(name: str, folder: Path, module: str, *arguments: str) -> ManagedProcess:
    return ManagedProcess(name, [sys.executable, "-m", module, *arguments], folder / f"{name}.log")


def machine() -> str:
    model = next(
        (line.partition(":")[2].strip() for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")),
        platform.processor() or "unknown processor",
    )
    memory_kb = next((int(line.split()[1]) for line in _lines(Path("/proc/meminfo")) if line.startswith("MemTotal")), 0)
    versions = ", ".join(filter(None, (_version("mariadbd"), _version("redis-server"))))
    return (
        f"{os.cpu_count()} cores ({model}), {memory_kb / 2**20:.0f} GiB, {platform.system()} {platform.release()},"
        f" Python {platform.python_version()}, {versions}"
    )


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _version(binary: str) -> str:
    found = shutil.which(binary) or shutil.which(binary, path="/usr/sbin")
    if found is None:
        return ""
    text = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    return " ".join([binary, *text.split()[1:3]])
