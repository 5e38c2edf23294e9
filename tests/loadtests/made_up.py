"""The results of a run that never was: every requirement just reached. Tests worsen one figure at a time."""

from dataclasses import asdict
from typing import Any

from loadtests.profile import FULL
from loadtests.worlds import DELETE, MODES, STAMPLINE, TITLES, TTL

PHASES = ("hot key", "steady", "500 updates/s", "bulk", "namespace bump", "fault: wan-cut", "fault: redis-restart")


def phase(name: str, begin_s: float, **changes: Any) -> dict[str, Any]:
    made = {
        "name": name,
        "failure": "",
        "begin_s": begin_s,
        "end_s": begin_s + 10,
        "event_s": begin_s + 2,
        "notes": {"changes": 10, "reads": 5_000},
        "said": [],
        "reads": 10_000,
        "failed": 0,
        "hit_rate": 0.92,
        "local_rate": 0.7,
        "unknown_rate": 0.0,
        "p50_ms": 1.0,
        "p95_ms": 3.0,
        "p99_ms": 10.0,
        "p999_ms": 20.0,
        "p99_windows_ms": [9.0, 11.0, 60.0],
        "loads": 10 if name == "hot key" else 800,
        "redis_commands": 4_000,
        "wan_bytes": 100_000,
        "wan_entries": 100,
        "sampled_s": 10.0,
        "cpu_s": {"toc": 2.0, "pipeline": 0.3, "mysql-b": 0.2, "redis-b": 0.1},
        "loads_per_s_peak": 110.0,
        "staleness": {"judged": 10_000, "stale": 3, "p99_s": 0.0, "max_s": 0.2, "worst_s": 0.3, "violations": 0},
        "delay_ms": {"count": 100, "unseen": 0, "p50": 110.0, "p99": 140.0, "max": 150.0},
    }
    return made | changes


def world(mode: str) -> dict[str, Any]:
    phases = [phase(name, 10.0 * number) for number, name in enumerate(PHASES)]
    seconds = [(float(second), 80.0) for second in range(70)]
    return {
        "mode": mode,
        "title": TITLES[mode],
        "phases": phases,
        "ccdf_single_rows": [(0.001, 0.05), (0.1, 0.01), (1.0, 0.0)],
        "series": dict.fromkeys(("loads_per_s", "redis_per_s", "staleness_max_s", "p99_ms"), seconds),
    }


def side(cpu_ms: float, per_read: float) -> dict[str, Any]:
    tiers = {"local": 700, "redis": 220, "loaded": 80}
    made = phase("paired", 0.0)
    return made | {"cpu_ms_per_read": cpu_ms, "commands_per_read": per_read, "commands": 600, "tiers": tiers}


def results() -> dict[str, Any]:
    return {
        "profile": asdict(FULL),
        "command": "loadtests/run.sh",
        "date": "2026-01-01 00:00 UTC",
        "machine": "2 cores",
        "load_before": 0.1,
        "seconds": 900.0,
        "failures": [],
        "worlds": {mode: world(mode) for mode in MODES},
        "paired": {STAMPLINE: side(0.41, 0.402), TTL: side(0.40, 0.400)},
        "helper": {TTL: helper(), STAMPLINE: helper()},
        "scale": {},
    }


def helper() -> dict[str, float]:
    return {"reads": 10**6, "reads_per_s": 250_000.0, "p50_us": 2.0, "p99_us": 4.0, "p999_us": 9.0}


def change(made: dict[str, Any], mode: str, name: str, **changes: Any) -> None:
    """Worsen figures of one phase of one world."""
    found = next(phase for phase in made["worlds"][mode]["phases"] if phase["name"] == name)
    for key, value in changes.items():
        found[key] = found[key] | value if isinstance(value, dict) else value


__all__ = ["DELETE", "STAMPLINE", "TTL", "change", "results"]
