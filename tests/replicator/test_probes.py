"""The replicator's probes: as much HTTP as an orchestrator speaks."""

import asyncio
import json
from dataclasses import asdict

import pytest
from prometheus_client import CollectorRegistry

from replicator.commands import readiness
from replicator.mirror.options import GateStats, MirrorStats
from replicator.probes import Probes
from replicator.source.stats import SourceStats
from tests.eventually import now_ms
from versioning.errors import ConfigError

STATS = MirrorStats(held=3, gates={"mysql-b": GateStats(is_up=1, applied="0-1-15")})


def probes(reason: str | None = None) -> Probes:
    return Probes(CollectorRegistry(), lambda: reason, lambda: {"role": "mirror", **asdict(STATS)})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/livez", "200 OK"),
        ("GET", "/readyz", "200 OK"),
        ("GET", "/metrics?name=x", "200 OK"),
        ("GET", "/status", "200 OK"),
        ("GET", "/", "404 Not Found"),
        ("POST", "/metrics", "405 Method Not Allowed"),
    ],
)
def test_each_path_has_its_answer(method: str, path: str, status: str) -> None:
    assert probes().answer(method, path)[0] == status


async def test_no_address_is_not_every_address() -> None:
    with pytest.raises(ConfigError, match="--metrics-host is empty"):
        async with probes().serve("", 0):
            pass


def test_a_role_that_is_not_ready_says_why() -> None:
    assert probes("behind").answer("GET", "/readyz") == ("503 Not Ready", "text/plain; charset=utf-8", b"behind\n")


def test_a_role_whose_loop_does_not_turn_is_not_alive_though_its_server_answers() -> None:
    stuck = Probes(CollectorRegistry(), lambda: None, dict, liveness=lambda: "not turned for 31 s")
    assert stuck.answer("GET", "/livez") == ("503 Not Alive", "text/plain; charset=utf-8", b"not turned for 31 s\n")


@pytest.mark.parametrize("kind", [SourceStats, MirrorStats])
def test_ready_is_who_is_connected_and_has_caught_up(kind: type[SourceStats] | type[MirrorStats]) -> None:
    read_ms = now_ms()
    assert readiness(kind()) == "starting: not connected yet"
    assert readiness(kind(last_error="Redis a:1 is not available")) == "Redis a:1 is not available"
    assert readiness(kind(is_connected=1)) == "behind: no heartbeat yet"
    assert (readiness(kind(is_connected=1, read_ms=read_ms - 60_000)) or "").startswith("behind: ")
    assert readiness(kind(is_connected=1, read_ms=read_ms)) is None


def test_the_status_is_all_that_is_counted_gates_included_and_why_it_is_not_ready() -> None:
    _, media_type, body = probes("behind").answer("GET", "/status")
    status = json.loads(body)
    assert media_type == "application/json"
    assert (status["role"], status["not_ready"], status["held"]) == ("mirror", "behind", 3)
    assert status["gates"]["mysql-b"]["applied"] == "0-1-15"


@pytest.mark.parametrize(("method", "body"), [("GET", b"alive\n"), ("HEAD", b"")])
async def test_an_answer_closes_its_connection(method: str, body: bytes) -> None:
    async with probes().serve("127.0.0.1", 0) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"{method} /livez HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), 20)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-length: 6\r\n" in answer
    assert answer.partition(b"\r\n\r\n")[2] == body


async def test_a_request_without_end_is_cut_off() -> None:
    async with probes().serve("127.0.0.1", 0) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x" * 20_000)
        assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()


async def test_a_port_that_is_taken_is_a_config_error() -> None:
    async with probes().serve("127.0.0.1", 0) as port:
        with pytest.raises(ConfigError, match=str(port)):
            async with probes().serve("127.0.0.1", port):
                pass
