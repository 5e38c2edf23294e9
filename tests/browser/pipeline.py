"""What the browser looks at: a primary, both Redis, a source, a mirror behind a WAN to cut, a version service."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.simulation.mariadb import MariaDb
from deploy.simulation.ports import LOOPBACK
from deploy.simulation.redis_server import RedisServer
from deploy.simulation.relay import Relay
from tests.integration.roles import Role, write_config

DATABASE = "shop_browser"
TOKEN = "token-of-alice-0123456789"

_numbers = itertools.count(1)


@dataclass
class Pipeline:
    primary: MariaDb
    wan: Relay
    source: Role
    service: Role

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.service.port}/"

    def change(self) -> str:
        """Commit one row in A; return a key it appears under."""
        number = next(_numbers)
        sql = "INSERT INTO tracker_web (id, tracker_id, tenant_id) VALUES (%s, %s, 1)"
        self.primary.execute(sql, (number, f"t-{number}"), database=DATABASE)
        return f"tracker_web:{number}"


@contextmanager
def pipeline(folder: Path, primary: MariaDb, redis_a: RedisServer, redis_b: RedisServer) -> Iterator[Pipeline]:
    primary.create_database(DATABASE)
    with ExitStack() as stack:
        wan = stack.enter_context(Relay())
        wan_port = wan.add_link("redis", redis_a.port)
        source, mirror = _source(folder, primary, redis_a), _mirror(folder, primary, redis_b, wan_port)
        service = _service(folder, redis_b, {"source": source, "mirror": mirror})
        roles = (source, mirror, service)
        for role in roles:
            stack.callback(role.process.kill)
        # Each becomes ready only once the one before it is; their starts need not wait for each other.
        with ThreadPoolExecutor() as threads:
            list(threads.map(Role.__enter__, roles))
        yield Pipeline(primary, wan, source, service)


def _source(folder: Path, primary: MariaDb, redis: RedisServer) -> Role:
    text = (
        f'[stream]\nurl = "{redis.url}"\ndc = "a"\n[source]\nname = "mysql-a"\n'
        f'[source.mysql]\nurl = "{primary.url("stampline_source")}"\n'
        f'[[table]]\nname = "{DATABASE}.tracker_web"\n'
        'keys = ["tracker_web:{id}", "trackers_by_tenant:{tenant_id}"]\n'
    )
    return Role(["source", "--metrics-port", "PORT"], write_config(folder, text, "source.toml"), ready="/readyz")


def _mirror(folder: Path, primary: MariaDb, redis: RedisServer, wan_port: int) -> Role:
    text = (
        f'[stream]\nurl = "{redis.url}"\ndc = "b"\n[mirror]\norigin_url = "redis://{LOOPBACK}:{wan_port}/0"\n'
        f'[[mirror.gate]]\nname = "mysql-b"\nurl = "{primary.url("stampline_gate")}"\n'
    )
    return Role(["mirror", "--metrics-port", "PORT"], write_config(folder, text, "mirror.toml"), ready="/readyz")


def _service(folder: Path, redis: RedisServer, listed: dict[str, Role]) -> Role:
    text = f'[stream]\nurl = "{redis.url}"\ndc = "b"\n[serve]\ntoken = "{TOKEN}"\n'
    for name, role in listed.items():
        url = f"http://{LOOPBACK}:{role.port}"
        text += f'[[serve.component]]\nname = "{name}-1"\nrole = "{name}"\nurl = "{url}"\n'
    return Role(["serve", "--port", "PORT"], write_config(folder, text, "service.toml"), ready="/readyz")
