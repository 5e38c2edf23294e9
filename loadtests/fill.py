"""Puts Redis B into the steady state of its TTL, so that a short run measures what a long one would.

Each value is stored as a ToC of the world would store it, with a fill time in the past and the rest of its life left.
The rows must not change meanwhile: the caller pauses the writers.
"""

import random
import time
from collections.abc import Iterator
from typing import Any

import orjson

from app import trackers, ttl_only
from deploy.simulation.configs import DATABASE
from loadtests.ask import toc_status
from loadtests.delete.messages import PREFIX
from loadtests.profile import TENANT_SHARE, Profile
from loadtests.worlds import DELETE, STAMPLINE, TOCS, TTL, LoadWorld
from loadtests.zipf import Zipf
from versioning import header, stamp
from versioning.header import ValueHeader

BATCH = 1_000
PREFIXES = {TTL: ttl_only.PREFIX, DELETE: PREFIX, STAMPLINE: ""}
SELECT = f"SELECT {trackers.COLUMNS} FROM tracker_web"  # noqa: S608 - constants only


def fill(world: LoadWorld, profile: Profile, mode: str | None = None, seed: int = 1) -> int:
    """Return how many values were stored. ``mode``: for a cache beside the world's own."""
    mode = mode or world.mode
    fill_stamp = stamp.parse(toc_status(world, TOCS[0])["watermark"]) if mode == STAMPLINE else stamp.ZERO
    rows = _rows(world)
    stored = 0
    with world.redis_b.client() as client, client.pipeline(transaction=False) as pipe:
        for key, value, left in _residents(profile, rows, random.Random(seed)):
            now_ms = time.time_ns() // 1_000_000
            life_ms = profile.limits.redis_ttl_ms
            left_ms = max(int(left * life_ms), 1)
            head = ValueHeader(fill_stamp, now_ms - life_ms + left_ms)
            pipe.set(PREFIXES[mode] + key, header.pack(head, value), px=left_ms)
            stored += 1
            if stored % BATCH == 0:
                pipe.execute()
        pipe.execute()
    return stored


def _residents(profile: Profile, rows: dict[int, bytes], chance: random.Random) -> Iterator[tuple[str, bytes, float]]:
    """Yield key, value and share of the TTL that is left, of trackers and of the lists of tenants."""
    zipf = Zipf(profile.trackers)
    for rank, left in zipf.residents(profile.reads_per_ttl, chance):
        yield f"tracker_web:{rank}", rows[rank], left
    lists_per_ttl = profile.reads_per_ttl * TENANT_SHARE
    for tenant in range(profile.tenants):
        members = range(tenant or profile.tenants, profile.trackers + 1, profile.tenants)
        expected = lists_per_ttl * sum(zipf.share(rank) for rank in members)
        if chance.random() < expected / (1 + expected):
            value = b"[" + b",".join(rows[rank] for rank in members) + b"]"
            yield f"trackers_by_tenant:{tenant}", value, 1.0 - chance.random()


def _rows(world: LoadWorld) -> dict[int, bytes]:
    rows: list[dict[str, Any]] = world.mysql_b.query(SELECT, database=DATABASE)
    return {row["id"]: orjson.dumps(trackers.tracker(row)) for row in rows}
