"""The runbook knows every alert and every finding of the doctor; links in all pages lead somewhere."""

import ast
import re
from typing import Any

import pytest
import yaml

from replicator.doctor.binlog_checks import SETTINGS
from tests.docs.pages import ROOT, anchors, links, pages, rows

RUNBOOK = ROOT / "deploy" / "RUNBOOK.md"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"


def alerts() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def findings() -> set[str]:
    """Names of the doctor's checks: the first argument of a subject's ``error`` or ``warning``, a finding's third."""
    found = {setting.name for setting in SETTINGS}
    for path in (ROOT / "replicator" / "doctor").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                place = {"error": 0, "warning": 0, "Finding": 2}.get(name)
                if place is not None and len(node.args) > place and isinstance(node.args[place], ast.Constant):
                    found.add(node.args[place].value)  # type: ignore[attr-defined]
    return found | {"log_slave_updates", "log_replica_updates"}


def test_every_alert_has_an_entry_of_its_own() -> None:
    entries = set(re.findall(r"^### (Stampline\w+)$", RUNBOOK.read_text(), re.MULTILINE))
    assert entries == {alert["alert"] for alert in alerts()}
    for alert in alerts():
        assert alert["annotations"]["runbook_url"] == f"deploy/RUNBOOK.md#{alert['alert'].lower()}"
        assert alert["annotations"]["summary"]
        assert alert["labels"]["severity"] in {"page", "ticket"}


def test_every_finding_of_the_doctor_is_explained() -> None:
    listed = {name for row in rows(RUNBOOK, "## Findings of the doctor") for name in re.findall(r"`(\w+)`", row[0])}
    assert listed == findings()


def test_commands_for_redis_show_no_password_and_use_what_the_page_defines() -> None:
    text = RUNBOOK.read_text()
    assert not re.search(r"redis-cli [^\n]*(-u |-a |--pass )", text)
    defined = set(re.findall(r"^    (redis_\w+)\(\) \{ REDISCLI_AUTH=", text, re.MULTILINE))
    assert set(re.findall(r"\b(redis_\w+)(?=\(\)| [A-Z-])", text)) == defined
    used = set(re.findall(r"\$\{?([A-Za-z_]\w*)", "\n".join(re.findall(r"^    .*$", text, re.MULTILINE))))
    assert used <= {"namespace", "rights"}, "variables that the page does not set"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page) -> None:
    for link in links(page):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
