"""The import contracts name every module they are about, and INTEGRATION every event."""

import re
import tomllib

from tests.docs.pages import ROOT


def test_every_module_at_the_root_of_the_library_is_held_to_be_pure() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [pure] = [contract for contract in contracts if contract["name"].startswith("the pure root")]
    # The package itself hands out the clients.
    modules = [f"versioning.{path.stem}" for path in (ROOT / "versioning").glob("*.py") if path.stem != "__init__"]
    assert sorted(pure["source_modules"]) == sorted(modules)


def test_every_event_of_the_service_that_is_no_entry_is_explained() -> None:
    names = set()
    for file in ("events", "fanout"):
        names |= set(re.findall(r'own_event\(\s*"(\w+)"', (ROOT / "app" / f"{file}.py").read_text()))
    rows = re.findall(r"^\| (`.+?`) \|", (ROOT / "deploy" / "INTEGRATION.md").read_text(), re.MULTILINE)
    assert names == {name for row in rows for name in re.findall(r"`(\w+)`", row)}
