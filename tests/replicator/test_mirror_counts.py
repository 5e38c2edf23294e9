"""What a mirror counts of its appends: those in the stream, those refused, those that failed; and nothing else."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.eventually import now_ms
from tests.replicator.mirror_world import Link, MirrorWorld
from versioning.backends.base import Append, UnavailableError
from versioning.backends.memory import MemoryStream
from versioning.checkpoint import Checkpoint


class CountingStream(MemoryStream):
    taken = 0

    async def append(self, batch: Append) -> list[int]:
        given = await super().append(batch)
        self.taken += 1
        return given


@pytest.fixture
async def world() -> AsyncIterator[MirrorWorld]:
    world = MirrorWorld(target=CountingStream(now_ms))
    yield world
    await world.close()


def taken(world: MirrorWorld) -> int:
    assert isinstance(world.target, CountingStream)
    return world.target.taken


def fail_next_reads(monkeypatch: pytest.MonkeyPatch, link: Link, count: int) -> None:
    read: Any = link.checkpoint
    left = iter(range(count))

    async def checkpoint(writer: str) -> Checkpoint | None:
        if next(left, None) is not None:
            raise UnavailableError("no answer")
        return await read(writer)  # type: ignore[no-any-return]

    monkeypatch.setattr(link, "checkpoint", checkpoint)


async def test_an_append_counts_when_it_is_in_the_stream_and_a_failed_read_is_no_failed_append(
    world: MirrorWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = world.start()
    await world.change(1)
    await world.until(lambda view: view.keys == ["t:1"])
    fail_next_reads(monkeypatch, mirror.link, 2)
    mirror.link.is_broken = True
    await world.change(2)
    await world.until(lambda view: view.keys == ["t:1", "t:2"])
    await mirror.kill()
    assert mirror.stats.appends == taken(world)
    assert mirror.stats.appends_failed == 1
    assert mirror.stats.reconnects_by_reason == {"target_lost": 3}


async def test_a_refused_append_counts_as_refused_only(world: MirrorWorld) -> None:
    mirrors = [world.start(), world.start()]
    number = 0
    while not any(mirror.stats.appends_refused for mirror in mirrors):
        number += 1
        await world.change(number)
        await world.until(lambda view: len(view.keys) == number)  # noqa: B023  awaited before the next round
    for mirror in mirrors:
        await mirror.kill()
    assert sum(mirror.stats.appends for mirror in mirrors) == taken(world)
    assert not any(mirror.stats.appends_failed for mirror in mirrors)
