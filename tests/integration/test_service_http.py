"""The version service as a process of its own, over a real Redis."""

import http.client
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from deploy.simulation.ports import LOOPBACK
from deploy.simulation.redis_server import RedisServer
from tests.eventually import until
from tests.integration.feed import Feed
from tests.integration.roles import DEADLINE_S, Role, run, write_config
from versioning import stamp as stamps

TOKEN = "token-of-alice-0123456789"


@pytest.fixture
def config(tmp_path: Path, redis_b: RedisServer) -> Path:
    (tmp_path / "tokens").write_text(f"alice {TOKEN}\n")
    return write_config(
        tmp_path,
        f'[stream]\nurl = "{redis_b.url}"\ndc = "b"\n'
        f'[serve]\ntoken_file = "{tmp_path}/tokens"\naudit_log = "{tmp_path}/audit.jsonl"\nmax_lag_ms = 3000\n',
    )


@pytest.fixture
def service(config: Path) -> Iterator[Role]:
    with Role(["serve", "--port", "PORT"], config) as role:
        yield role


class Listener:
    """An EventSource, as a browser or a client in another language is one."""

    def __init__(self, role: Role, last_id: str | None = None) -> None:
        self._connection = http.client.HTTPConnection(LOOPBACK, role.port, timeout=DEADLINE_S)
        self._connection.request("GET", "/v1/stream", headers={} if last_id is None else {"Last-Event-ID": last_id})
        self._answer = self._connection.getresponse()

    def next(self, *names: str) -> tuple[str, dict[str, Any]]:
        """Return id and data of the next event of one of these names."""
        while True:
            fields = dict(self._fields())
            if fields.get("event") in names:
                return fields["id"], json.loads(fields["data"])

    def _fields(self) -> Iterator[tuple[str, str]]:
        while (line := self._answer.readline().decode().rstrip("\n")) != "":
            name, _, value = line.partition(": ")
            yield name, value

    def is_over(self) -> bool:
        return not self._answer.read1()

    def close(self) -> None:
        self._connection.close()


def test_a_change_is_told_with_its_origin_and_vouched_for(service: Role, redis_b: RedisServer) -> None:
    with Feed(redis_b.url) as feed:
        stamp = stamps.text(feed.change("tracker_web:1"))
        until(lambda: service.get("/v1/versions/tracker_web:1")["stamp"] == stamp, "the change is told")
        found = service.get("/v1/versions/tracker_web:1")
    assert (found["origin_gtid"], found["vouches"]) == ("0-1-1", True)


def test_a_bump_by_the_command_line_is_stamped_audited_and_written_for_clients_that_do_not_follow(
    service: Role, redis_b: RedisServer, tmp_path: Path, config: Path
) -> None:
    (tmp_path / "token").write_text(TOKEN)
    url = f"http://{LOOPBACK}:{service.port}"
    done = run("bump", "tracker_web:1", "--reason", "by hand", "--url", url, "--token-file", str(tmp_path / "token"))
    stamp = done.out.strip()
    assert done.code == 0, done.err
    assert service.get("/v1/versions/tracker_web:1")["stamp"] == stamp
    assert json.loads((tmp_path / "audit.jsonl").read_text())["stamps"] == [stamp]
    with redis_b.client() as client:
        assert client.get("{stampline}:v:tracker_web:1") == stamp.encode()
    shown = run("tail", "--no-follow", "--json", config=config)
    assert json.loads(shown.out.splitlines()[-1])["keys"] == ["tracker_web:1"]


def test_a_bump_the_service_refuses_is_one_line_and_exit_2(service: Role) -> None:
    done = run("bump", "tracker_web:1", "--reason", "by hand", "--url", f"http://{LOOPBACK}:{service.port}")
    assert done.code == 2
    assert "401" in done.line


def test_events_resume_after_the_last_id(service: Role, redis_b: RedisServer) -> None:
    with Feed(redis_b.url) as feed:
        first = Listener(service)
        first.next("opened")
        feed.change("tracker_web:1")
        seen, event = first.next("change")
        assert event["keys"] == ["tracker_web:1"]
        first.close()
        missed = stamps.text(feed.change("tracker_web:2"))
        again = Listener(service, last_id=seen)
        assert again.next("change", "gap")[0] == missed
        again.close()


def test_with_redis_down_it_answers_and_does_not_vouch_until_it_is_back(service: Role, redis_b: RedisServer) -> None:
    with Feed(redis_b.url) as feed:
        feed.change("tracker_web:1")
        until(lambda: service.get("/v1/versions/tracker_web:1")["vouches"], "the service vouches")
    redis_b.stop()
    until(lambda: not service.get("/v1/versions/tracker_web:1")["vouches"], "the service stops vouching")
    found = service.get("/v1/versions/tracker_web:1")
    assert found["stamp"] is not None
    assert found["reason"].startswith(f"unreachable: Redis {redis_b.address}")
    status, body = service.request("GET", "/readyz")
    assert (status, json.loads(body)["error"]["message"]) == (503, found["reason"])
    assert service.request("GET", "/livez")[0] == 200
    headers = {"Authorization": f"Bearer {TOKEN}"}
    status, body = service.request("POST", "/v1/bump", {"keys": ["a:1"], "reason": "why"}, headers)
    assert (status, json.loads(body)["error"]["code"]) == (503, "stream_unavailable")
    redis_b.start()
    with Feed(redis_b.url) as feed:
        stamp = stamps.text(feed.change("tracker_web:1"))
        until(lambda: service.get("/v1/versions/tracker_web:1")["stamp"] == stamp, "the change is told")
        until(lambda: service.is_answering("/readyz"), "the service is ready")


def test_a_service_that_starts_without_redis_says_so_and_heals(config: Path, redis_b: RedisServer) -> None:
    redis_b.stop()
    with Role(["serve", "--port", "PORT"], config) as service:
        found = service.get("/v1/versions/tracker_web:1")
        assert (found["stamp"], found["vouches"]) == (None, False)
        assert found["reason"].startswith("unreachable: Redis")
        redis_b.start()
        with Feed(redis_b.url):
            until(lambda: service.is_answering("/readyz?max_lag=10"), "the service is ready")


def test_sigterm_ends_it_with_0_although_a_client_listens(service: Role) -> None:
    listener = Listener(service)
    listener.next("opened")
    service.process.stop(DEADLINE_S)
    assert service.process.exit_code == 0
    listener.close()


@pytest.mark.parametrize("path", ["/livez", "/v1/stream"])
def test_probes_are_answered_however_many_connections_clients_keep_open(path: str, config: Path) -> None:
    kept: list[http.client.HTTPConnection] = []
    with Role(["serve", "--port", "PORT"], config, files=128) as service:
        for _ in range(200):
            kept.append(http.client.HTTPConnection(LOOPBACK, service.port, timeout=DEADLINE_S))
            with suppress(OSError, http.client.HTTPException):
                kept[-1].request("GET", path)
                kept[-1].getresponse().read1()
        until(lambda: service.is_answering("/livez"), "the service answers")
    for connection in kept:
        connection.close()
