"""The two datacenters with TLS on every link and the least rights: they work, and who is wrong hears why at once."""

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deploy.simulation.certificates import DAYS, Authority, Certificate
from deploy.simulation.configs import TOKEN
from deploy.simulation.http import Answer, Client
from deploy.simulation.world import World
from tests.eventually import until
from tests.integration.roles import Finished
from versioning.backends import tls_dates
from versioning.backends.base import LoginRefusedError
from versioning.backends.redis_values import RedisValues
from versioning.cli import program

pytestmark = [pytest.mark.usefixtures("tls_leftovers"), pytest.mark.filterwarnings("ignore::ResourceWarning")]

FOR_SPEED = {"sync_binlog", "innodb_flush_log_at_trx_commit", "persistence"}
"""What the simulation's servers leave off, since nothing here outlives a run."""

OF_THE_TABLE = {"collation_padding", "collation_accents"}
LOGINS_MAX = 6
"""Of one start: two of counting, one or two at each server, and what the processes at work may open meanwhile."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("secure"), wan_ms=5, is_secure=True) as started:
        started.start()
        yield started
        for process in started.processes.values():
            process.kill()  # nothing here needs a clean end, and one after the other takes its time


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Finished]:
    def run(*arguments: str) -> Finished:
        capsys.readouterr()
        code = program.run(arguments)
        shown = capsys.readouterr()
        return Finished(code, shown.out, shown.err)

    return run


def ask(world: World, name: str, method: str, path: str, body: Any = None) -> Answer:
    async def work() -> Answer:
        async with Client(world.http_ports[name], world.client_context) as client:
            return await client.request(method, path, body)

    return asyncio.run(work())


def test_a_row_written_in_a_is_served_in_b_and_superseded_there(world: World) -> None:
    row = {"tracker_id": "T1", "status": "active", "tenant_id": 1, "extra": {}}
    assert ask(world, "tob", "POST", "/trackers", row | {"name": "old"}).status == 201
    until(lambda: served(world) == "old", "the row is served in B")
    assert ask(world, "tob", "PATCH", "/trackers/1", {"name": "new"}).status == 200
    until(lambda: served(world) == "new", "the new value is served in B")


def served(world: World) -> object:
    return json.loads(ask(world, "toc-1", "GET", "/trackers/1").body).get("name")


def test_the_doctor_finds_nothing_wrong_with_its_security(world: World, run: Callable[..., Finished]) -> None:
    done = run("doctor", "--json", "--config", str(world.write_doctor()))
    assert done.code == 0, done.out
    assert {finding["check"] for finding in json.loads(done.out)["findings"]} <= FOR_SPEED | OF_THE_TABLE


def test_the_doctor_names_every_certificate_that_ends_soon(
    world: World, run: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    late = SimpleNamespace(time=lambda: time.time() + (DAYS - 0.1) * 86_400)
    monkeypatch.setattr(tls_dates, "time", late)
    done = run("doctor", "--json", "--config", str(world.write_doctor()))
    found = [finding for finding in json.loads(done.out)["findings"] if finding["check"] == "tls_expiry"]
    kinds = {finding["subject"].split()[0] for finding in found}
    assert kinds == {"source", "gate", "toc", "origin", "stream", "values", "certificate"}, done.out
    assert all("in 2 hours" in finding["what"] for finding in found)


def test_no_secret_is_in_a_log_or_in_the_list_of_processes(world: World) -> None:
    users = [server.users for server in (world.redis_a, world.redis_b)]
    held = {password for each in users if each is not None for password in each.passwords.values()}
    held |= {TOKEN, world.mysql_a.password}
    for name, process in world.processes.items():
        shown = Path(f"/proc/{process.pid}/cmdline").read_text() + process.log_path.read_text()
        assert shown
        assert not [secret for secret in held if secret in shown], name


def test_a_missing_token_is_refused_at_once(world: World) -> None:
    answer = ask(world, "service-1", "POST", "/v1/bump", {"keys": ["a:1"], "reason": "why"})
    assert (answer.status, answer.json()["error"]["code"]) == (401, "token_missing")


def wrong_password(_: World, folder: Path) -> dict[str, Path]:
    file = folder / "password"
    file.write_text(secrets.token_hex(16))
    return {"password_file": file}


def expired(world: World, _: Path) -> dict[str, Path]:
    assert world.authority is not None
    return of(world.authority.issue("expired", days=-1))


def foreign(_: World, folder: Path) -> dict[str, Path]:
    return of(Authority(folder / "foreign").issue("role"))


def of(certificate: Certificate) -> dict[str, Path]:
    return {"ssl_ca": certificate.ca, "ssl_cert": certificate.cert, "ssl_key": certificate.key}


Fault = Callable[[World, Path], dict[str, Path]]


@pytest.mark.parametrize(
    ("section", "fault", "reason"),
    [
        ("[stream]", wrong_password, "check user, password"),
        ("[stream]", expired, "certificate expired"),
        ("[stream]", foreign, "self-signed certificate"),
        ("[source.mysql]", wrong_password, "refused stampline_source"),
        ("[source.mysql]", expired, "expired"),
        ("[source.mysql]", foreign, "self-signed certificate"),
    ],
)
def test_who_is_refused_says_why_in_one_line_and_does_not_try_again(
    world: World, run: Callable[..., Finished], tmp_path: Path, section: str, fault: Fault, reason: str
) -> None:
    given = (world.folder / "source-1.toml").read_text()
    before, own, after = given.partition(section)
    changed = with_values(own + after, fault(world, tmp_path))
    config = tmp_path / "source.toml"
    config.write_text(before + changed)
    logins = count_logins(world)
    done = run("source", "--config", str(config))
    assert done.code == 2, done.err
    assert reason in done.line
    assert world.mysql_a.password not in done.err
    assert count_logins(world) - logins <= LOGINS_MAX


def with_values(text: str, changed: dict[str, Path]) -> str:
    """Change keys in the first section of the text."""
    head, bracket, rest = text[1:].partition("\n[")
    lines = [line for line in head.splitlines() if line.partition(" = ")[0] not in changed]
    lines += [f'{key} = "{path}"' for key, path in changed.items()]
    return "[" + "\n".join(lines) + "\n" + bracket.lstrip("\n") + rest


def count_logins(world: World) -> int:
    """Count the connections that Redis A and MySQL A have seen; those that ask are two more each time."""
    with world.redis_a.client() as client:
        seen = int(client.info("stats")["total_connections_received"])
    return seen + int(world.mysql_a.query("SHOW GLOBAL STATUS LIKE 'Connections'")[0]["Value"])


def test_readers_with_a_wrong_password_are_no_storm_of_logins(world: World) -> None:
    url = f"rediss://stampline_toc:wrong@{world.redis_b.address}/0"
    assert world.certificate is not None
    values = RedisValues.from_url(url + world.certificate.query, timeout_ms=5_000)
    with world.redis_b.client(decode_responses=True) as admin:
        admin.acl_log_reset()
        for number in range(200):
            with pytest.raises(LoginRefusedError, match="check user, password"):
                values.get(f"tracker_web:{number}")
        refused = [entry for entry in admin.acl_log() if entry["username"] == "stampline_toc"]
    values.close()
    assert sum(entry["count"] for entry in refused) <= 2
