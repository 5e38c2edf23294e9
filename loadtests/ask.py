"""Questions to the services of a world, one at a time, for what is not measured."""

import http.client
import json
from typing import Any

from deploy.simulation import configs
from deploy.simulation.ports import LOOPBACK
from deploy.simulation.world import World

TIMEOUT_S = 5.0
HTTP_OK = 200


class RefusedError(RuntimeError):
    """A service answered, and not with what was asked for."""


def ask(port: int, method: str, path: str, body: Any = None, token: str = "") -> Any:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=TIMEOUT_S)
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        data = answer.read()
    finally:
        connection.close()
    if answer.status != HTTP_OK:
        raise RefusedError(f"{method} {path}: {answer.status} {data[:300]!r}")
    return json.loads(data)


def toc_status(world: World, name: str) -> dict[str, Any]:
    status: dict[str, Any] = ask(world.http_ports[name], "GET", "/status")
    return status


def bump_namespace(world: World, namespace: str, spread_ms: int) -> None:
    body = {"namespace": namespace, "spread_ms": spread_ms, "reason": "load test"}
    ask(world.http_ports["service-1"], "POST", "/v1/bump", body, configs.TOKEN)
