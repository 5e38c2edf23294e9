"""REFERENCE.md holds every setting, option, exit code, error and API error code, and nothing else."""

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import fields
from http import HTTPStatus

import app
import replicator
import versioning
from app import tob
from app.errors import CODES
from tests.docs.pages import ROOT, code, rows
from tests.docs.settings import settings
from versioning.errors import StamplineError
from versioning.options import CacheOptions

PAGE = ROOT / "deploy" / "REFERENCE.md"
PACKAGES = (versioning, replicator, app)


def test_every_setting_is_listed_with_its_default() -> None:
    listed = {code(row[0]): row[1] for row in rows(PAGE, "## Settings")}
    real = settings()
    missing = [f"| `{name}` | {default} | ... |" for name, default in real.items() if name not in listed]
    assert not missing, "add to deploy/REFERENCE.md:\n" + "\n".join(missing)
    assert listed == real


def test_every_option_of_a_cache_is_listed_with_its_default() -> None:
    listed = {code(row[0]): row[1] for row in rows(PAGE, "## Options of a cache")}
    assert listed == {field.name: "-" if field.default == "" else str(field.default) for field in fields(CacheOptions)}


def test_every_exit_code_is_listed() -> None:
    used = {0}
    for _, tree in _trees():
        used |= {number for node in ast.walk(tree) if isinstance(node, ast.Call) for number in _exit_codes(node)}
    program = (ROOT / "versioning" / "cli" / "program.py").read_text()
    used |= {int(number) for number in re.findall(r"return (\d+)$", program, re.MULTILINE)}
    used |= {int(number) for number in re.findall(r"_fail\(.*?, (\d+) if .*? else \d+\)", program)}
    assert {int(code(row[0])) for row in rows(PAGE, "## Exit codes")} == used


def test_every_error_is_listed() -> None:
    for package in PACKAGES:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    assert {code(row[0]) for row in rows(PAGE, "## Errors")} == {kind.__name__ for kind in _kinds(StamplineError)}


def test_every_api_error_code_is_listed_with_its_status() -> None:
    used: dict[str, str] = {name: str(status) for status, name in CODES.items()}
    used |= {name: str(status) for status, name in tob.REFUSED_BY_DATA.values()}
    used |= {"http_error": "any", "refused_by_database": str(HTTPStatus.UNPROCESSABLE_ENTITY.value)}
    for _, tree in _trees():
        used |= {name: status for node in ast.walk(tree) if isinstance(node, ast.Call) for name, status in _api(node)}
    listed = {code(row[0]): row[1] for row in rows(PAGE, "## API error codes")}
    assert listed == used


def _kinds(kind: type[Exception]) -> Iterator[type[Exception]]:
    if kind.__module__.partition(".")[0] in {package.__name__ for package in PACKAGES}:
        yield kind
        for child in kind.__subclasses__():
            yield from _kinds(child)


def _trees() -> Iterator[tuple[str, ast.AST]]:
    for package in PACKAGES:
        for path in (ROOT / package.__name__).rglob("*.py"):
            yield str(path), ast.parse(path.read_text())


def _name(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _exit_codes(node: ast.Call) -> Iterator[int]:
    if _name(node) in {"Exit", "exit"} and node.args and isinstance(node.args[0], ast.Constant):
        yield node.args[0].value  # type: ignore[misc]


def _api(node: ast.Call) -> Iterator[tuple[str, str]]:
    arguments = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
    if _name(node) in {"ApiError", "error_answer"} and len(arguments) > 1 and isinstance(arguments[1], str):
        yield arguments[1], str(arguments[0])
    elif _name(node) == "RequestError" and arguments:
        yield str(arguments[0]), str(HTTPStatus.UNPROCESSABLE_ENTITY.value)
