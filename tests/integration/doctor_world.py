"""Two proper datacenters for the doctor, ways to break them, and what it says then."""

import asyncio
import contextlib
import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from deploy.simulation.mariadb import MariaDb
from deploy.simulation.redis_server import RedisServer
from tests.eventually import now_ms
from tests.integration.source_world import watch
from versioning.backends.base import Append
from versioning.backends.redis_stream import RedisStream
from versioning.checkpoint import Checkpoint
from versioning.cli import program
from versioning.entries import Heartbeat, NewEntry

PROPER_TABLE = """
CREATE TABLE item (id BIGINT UNSIGNED NOT NULL PRIMARY KEY, shelf INT NOT NULL DEFAULT 0,
  code VARCHAR(32) CHARACTER SET ascii COLLATE ascii_general_ci NOT NULL DEFAULT '') ENGINE = InnoDB
"""
PROPER_KEYS = ["item:{id}", "item:code:{code|lower|trim}"]
# What the simulation's servers leave off for speed, and a real primary must not.
DURABLE = {"sync_binlog": "1", "innodb_flush_log_at_trx_commit": "1"}
_STATEMENTS = re.compile(r"(?:SET GLOBAL|GRANT|REVOKE|ALTER TABLE|START|STOP|CHANGE)\b[^;]*;")


@dataclass(frozen=True)
class Diagnosis:
    code: int
    out: str

    @property
    def findings(self) -> list[dict[str, str]]:
        return list(json.loads(self.out)["findings"])

    @property
    def checks(self) -> set[str]:
        return {finding["check"] for finding in self.findings}

    def of(self, check: str) -> dict[str, str]:
        found = [finding for finding in self.findings if finding["check"] == check]
        assert len(found) == 1, self.findings
        return found[0]


@dataclass
class DoctorWorld:
    a: MariaDb
    b: MariaDb
    redis_a: RedisServer
    redis_b: RedisServer
    database: str
    folder: Path
    capsys: pytest.CaptureFixture[str]
    keys: list[str] = field(default_factory=lambda: list(PROPER_KEYS))
    settings: dict[str, Any] = field(default_factory=dict)
    """``stream.window_s`` and the like."""
    gate_user: str = "stampline_gate"
    source_user: str = "stampline_source"

    @classmethod
    @contextlib.contextmanager
    def open(cls, **parts: Any) -> Iterator[Self]:
        world = cls(**parts)
        with contextlib.ExitStack() as undo:
            for name, value in DURABLE.items():
                undo.enter_context(world.set_global(world.a, name, value))
            for redis in (world.redis_a, world.redis_b):
                undo.enter_context(world.configured(redis, "appendonly", "yes"))
            world.a.execute(PROPER_TABLE, database=world.database)
            world.write_checkpoints()
            yield world

    def write_checkpoints(self, *, age_ms: int = 0) -> None:
        read_ms = now_ms() - age_ms
        digest = watch(self.database, item=self.keys).digest()
        asyncio.run(_append(self.redis_a, "source:mysql-a", read_ms, digest))
        asyncio.run(_append(self.redis_b, "mirror:a", read_ms, ""))

    def config(self) -> Path:
        set_ = {"stream.window_s": 2100, "stream.wait_replicas": 0, "source.server_id": 4_000_000_000, **self.settings}
        path = self.folder / "stampline.toml"
        path.write_text(
            f'[stream]\nurl = "{self.redis_b.url}"\nwindow_s = {set_["stream.window_s"]}\n'
            f"wait_replicas = {set_['stream.wait_replicas']}\n"
            f'[values]\nurl = "{self.redis_b.url}"\n'
            f'[source]\nname = "mysql-a"\nserver_id = {set_["source.server_id"]}\n'
            f'[source.mysql]\nurl = "{self.a.url(self.source_user)}"\n'
            f'[[table]]\nname = "{self.database}.item"\nkeys = {json.dumps(self.keys)}\n'
            f'[mirror]\norigin_url = "{self.redis_a.url}"\n'
            f'[[mirror.gate]]\nname = "b1"\nurl = "{self.b.url(self.gate_user)}"\n'
            f'[toc.mysql]\nurl = "{set_.get("toc.mysql", self.b.url("toc", self.database))}"\n'
        )
        return path

    def examine(self, *flags: str) -> Diagnosis:
        self.capsys.readouterr()
        code = program.run(["doctor", *flags, "--config", str(self.config())])
        shown = self.capsys.readouterr()
        assert not shown.err, shown.err
        return Diagnosis(code, shown.out)

    def apply(self, fix: str, server: MariaDb) -> None:
        """Type what the fix says: it must work as it stands."""
        statements = _STATEMENTS.findall(fix)
        assert statements, fix
        for statement in statements:
            server.execute(statement)

    @contextlib.contextmanager
    def set_global(self, server: MariaDb, name: str, value: str) -> Iterator[None]:
        before = server.scalar(f"SELECT @@GLOBAL.{name}")
        server.execute(f"SET GLOBAL {name} = %s", (_typed(value),))
        try:
            yield
        finally:
            server.execute(f"SET GLOBAL {name} = %s", (before,))

    @contextlib.contextmanager
    def configured(self, redis: RedisServer, name: str, value: str) -> Iterator[None]:
        with redis.client(decode_responses=True) as client:
            before = client.config_get(name)[name]
            client.config_set(name, value)
            try:
                yield
            finally:
                client.config_set(name, before)


def _typed(value: str) -> int | str:
    return int(value) if value.isdecimal() else value


async def _append(redis: RedisServer, writer: str, read_ms: int, digest: str) -> None:
    stream = RedisStream.from_url(redis.url)
    try:
        nonce = secrets.token_hex(8)
        await stream.append(
            Append(
                (NewEntry(nonce, Heartbeat(read_ms)),),
                clock_ms=0,
                writer=writer,
                expected=await stream.checkpoint(writer),
                checkpoint=Checkpoint("0-1-1", read_ms, nonce),
                digest=digest,
                adopt_digest=True,
            )
        )
    finally:
        await stream.aclose()
