"""METRICS.md lists what is exported: all of it, with its type and labels, and nothing else."""

import re

from tests.docs.exported import exported
from tests.docs.pages import ROOT, code, rows

PAGE = ROOT / "deploy" / "METRICS.md"


def test_the_page_lists_every_metric_with_its_type_and_labels() -> None:
    listed = {code(row[0]): (row[1], tuple(re.findall(r"`(\w+)`", row[2]))) for row in rows(PAGE) if len(row) == 4}
    real = {metric.name: (metric.kind, metric.labels) for metric in exported().values()}
    missing = [f"| `{name}` | {kind} | {labels} | ... |" for name, (kind, labels) in real.items() if name not in listed]
    assert not missing, "add to deploy/METRICS.md:\n" + "\n".join(missing)
    assert listed == real


def test_names_follow_the_rules_of_prometheus() -> None:
    for metric in exported().values():
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert metric.name.endswith("_seconds") or metric.kind != "histogram", metric.name
        assert set(metric.labels) <= {
            "dc", "namespace", "tier", "result", "reason", "gate", "after_s", "version", "python",
        }, metric.name  # fmt: skip
