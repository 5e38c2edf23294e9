"""Alerts and dashboard ask for metrics that exist, in queries that Prometheus takes; alerts fire when they should."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from replicator.metric_names import BY_REASON
from tests.docs.exported import exported
from tests.docs.pages import ROOT
from versioning.client.follower import FollowerStats

PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"
OTHERS = {"process_start_time_seconds", "process_resident_memory_bytes", "process_cpu_seconds_total", "up"}


def promtool(*arguments: str | Path) -> None:
    if shutil.which("promtool") is None:
        missing = "promtool is missing: deploy/setup.sh --test"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return json.loads((GRAFANA / "dashboards" / "stampline.json").read_text())["panels"]  # type: ignore[no-any-return]


def queries() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    yield from (target["expr"] for panel in panels() for target in panel.get("targets", ()))


def test_every_metric_that_is_asked_for_exists() -> None:
    metrics = exported()
    series = set(metrics) | OTHERS
    series |= {f"{name}_bucket" for name, metric in metrics.items() if metric.kind == "histogram"}
    for query in queries():
        without_strings = re.sub(r'"[^"]*"', '""', query)
        asked = set(re.findall(r"\b(?:stampline|process)_\w+", without_strings))
        assert asked <= series, query
        assert asked or "up{" in query, query


def test_every_reason_that_is_asked_for_exists() -> None:
    known = {reason for _, _, reasons in BY_REASON.values() for reason in reasons} | set(
        FollowerStats().reconnects_by_reason
    )
    asked = {
        reason
        for query in queries()
        for found in re.findall(r'reason=~?"([^"]+)"', query)
        for reason in found.split("|")
    }
    assert asked
    assert asked <= known


def test_prometheus_takes_the_example() -> None:
    promtool("check", "config", PROMETHEUS / "prometheus.yml")


def test_alerts_fire_when_they_should_and_only_then() -> None:
    promtool("test", "rules", PROMETHEUS / "alerts_test.yml")


def test_every_alert_is_seen_firing() -> None:
    text = (PROMETHEUS / "alerts_test.yml").read_text()
    assert set(re.findall(r'\{alertname="(\w+)"\}', text)) == {rule["alert"] for rule in rules()}


def test_the_dashboard_asks_in_queries_that_prometheus_takes(tmp_path: Path) -> None:
    asked = [target["expr"] for panel in panels() for target in panel.get("targets", ())]
    asked = [expr.replace("$__rate_interval", "5m").replace("$dc", ".*") for expr in asked]
    recorded = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(asked)]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))
    promtool("check", "rules", file)


def test_panels_do_not_overlap_and_have_ids_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in panels()}) == len(panels())


def test_grafana_is_provisioned_with_what_is_there() -> None:
    source = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text())
    assert [item["type"] for item in source["datasources"]] == ["prometheus"]
    provider = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "stampline.yml").read_text())
    compose = yaml.safe_load((ROOT / "deploy" / "docker" / "compose.yml").read_text())
    mounted = [volume.split(":")[1] for volume in compose["services"]["grafana"]["volumes"]]
    assert provider["providers"][0]["options"]["path"] in mounted
