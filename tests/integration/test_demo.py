"""The whole path, as a newcomer meets it: two datacenters, eleven processes of ours, one of them killed on the way."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REPORT_KEYS = {
    "updates",
    "reads",
    "propagation_ms",
    "wan_one_way_ms",
    "stale_reads",
    "max_staleness_ms",
    "bound_violations",
    "hit_rate",
    "db_loads_per_update",
    "redis_commands_per_redis_read",
}


@pytest.mark.timeout(240)
def test_every_update_is_seen_by_every_web_process_though_a_mirror_and_a_source_are_killed(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [
        sys.executable,
        "-m",
        "deploy.simulation",
        "demo",
        "--seconds",
        "6",
        "--wan-ms",
        "50",
        "--jitter-ms",
        "5",
    ]
    command += ["--kill", "mirror-1", "--kill", "source-2", "--report", str(report)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "KEPT" in done.stdout
    measured = json.loads(report.read_text())
    assert measured.keys() >= REPORT_KEYS
    assert measured["updates"] >= 25
    assert measured["updates_unseen"] == measured["bound_violations"] == measured["read_errors"] == 0
    assert measured["redis_commands_per_redis_read"] == 1
    assert measured["ttl_only"]["stale_reads"] > 0
    assert list(tmp_path.glob("stampline-demo-*")) == []
