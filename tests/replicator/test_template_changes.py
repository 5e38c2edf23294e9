"""Key templates changed in a stream that fails over: the change is made again where it is lost, and only there."""

from dataclasses import replace
from unittest import mock

import pytest

from replicator.position import Flavor, parse
from replicator.source.appender import Appender, Identity, RewoundError
from replicator.source.batch import Rules
from replicator.source.progress import Progress
from replicator.source.stats import SourceStats
from versioning.backends.base import Append, NotReplicatedError, UnavailableError
from versioning.backends.memory import MemoryStream
from versioning.entries import Generation

NOW_MS = 1_700_000_000_000
BEGIN = parse("0-1-1", Flavor.MARIADB)
RULES = Rules(heartbeat_ms=500, keys_per_entry=2, generation_spread_ms=30_000, window_ms=60_000)


class World:
    """A stream that was written with the templates "old", and sources that share one checkpoint in it."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS
        self.stream = MemoryStream(lambda: self.now_ms)

    async def source(self, digest: str = "old") -> Appender:
        """One that may change the stream's templates."""
        made = Appender(
            self.stream, Identity("source:a", digest, True), RULES, now_ms=lambda: self.now_ms, stats=SourceStats()
        )
        stored = await made.stored()
        if stored is None:
            await made.begin(None, Progress(BEGIN), "first start", Flavor.MARIADB, end=BEGIN)
        else:
            made.resume(stored, Flavor.MARIADB)
        return made

    async def changed(self, before: str, after: str) -> Appender:
        """A source that was asked for these templates, and has changed the stream to them."""
        source = await self.source(after)
        await source.change_templates(("item",), "changed", before=before)
        return source

    async def may_change_again(self, source: Appender) -> bool:
        return await source.may_change_again(await self.stream.state())


@pytest.fixture
async def world() -> World:
    world = World()
    await world.source()
    return world


async def test_a_change_that_the_stream_lost_may_be_made_again(world: World) -> None:
    kept = world.stream.snapshot()
    changing = await world.changed("old", "new")
    assert not await world.may_change_again(changing)
    world.stream.restore(kept)
    assert await world.may_change_again(changing)
    assert not await world.may_change_again(await world.source("new")), "this one has changed nothing"
    await changing.change_templates(("item",), "changed", before="old")
    assert not await world.may_change_again(changing)
    world.stream.restore(kept)
    assert await world.may_change_again(changing)


async def test_another_entry_in_its_place_is_not_the_change(world: World) -> None:
    """Its stamp was handed out again, which takes two losses within seconds."""
    kept = world.stream.snapshot()
    changing = await world.changed("old", "new")
    (lost,) = await world.stream.read_before(None, count=1)
    world.stream.restore(kept)
    with mock.patch.object(world.stream, "read_one", mock.AsyncMock(return_value=replace(lost, nonce="f" * 16))):
        assert await world.may_change_again(changing)


async def test_a_change_that_somebody_has_undone_is_not_made_again(world: World) -> None:
    """Nor where both are lost later: the last word was the other one."""
    kept = world.stream.snapshot()
    changing = await world.changed("old", "new")
    await world.changed("new", "old")
    assert not await world.may_change_again(changing)
    world.stream.restore(kept)
    assert not await world.may_change_again(changing)


@pytest.mark.parametrize("is_own", [True, False], ids=["its own gap", "that of another source"])
async def test_nor_is_one_that_a_gap_stands_for_since_the_stream_was_flushed(world: World, *, is_own: bool) -> None:
    """The entry is gone, but what somebody undoes later is what that gap began."""
    changing, other = await world.changed("old", "new"), await world.source("new")
    world.stream.flush()
    first = changing if is_own else other
    await first.begin(None, Progress(BEGIN), "flushed", Flavor.MARIADB, end=BEGIN)
    assert not await world.may_change_again(changing)
    await world.changed("new", "old")
    assert not await world.may_change_again(changing)


@pytest.mark.parametrize(("after", "later_ms"), [("third", 0), ("old", 70_000)], ids=["other templates", "trimmed"])
async def test_a_change_is_made_again_only_where_it_is_surely_the_stream_that_lost_it(
    world: World, after: str, later_ms: int
) -> None:
    changing = await world.changed("old", "new")
    world.now_ms += later_ms
    await world.changed("new", after)
    world.stream.drop(lambda entry: isinstance(entry.body, Generation) and entry.body.start_ms == NOW_MS)
    assert not await world.may_change_again(changing)


@pytest.mark.parametrize("is_seen", [True, False], ids=["seen", "lost at once"])
async def test_a_change_that_got_no_answer_is_known_where_it_is_written(world: World, *, is_seen: bool) -> None:
    """As with `wait_replicas`, where a replica lags: a failover to that one loses it."""
    kept, append = world.stream.snapshot(), world.stream.append

    async def unanswered(batch: Append) -> list[int]:
        await append(batch)
        raise NotReplicatedError("no replica has it")

    changing = await world.source("new")
    with mock.patch.object(world.stream, "append", unanswered), pytest.raises(NotReplicatedError):
        await changing.change_templates(("item",), "changed", before="old")
    if is_seen:
        assert not await world.may_change_again(changing)
    world.stream.restore(kept)
    assert await world.may_change_again(changing)


async def test_a_change_that_got_no_answer_and_is_not_written_is_forgotten_where_another_source_makes_it(
    world: World,
) -> None:
    kept = world.stream.snapshot()
    changing = await world.source("new")
    refused = mock.AsyncMock(side_effect=UnavailableError("cut off"))
    with mock.patch.object(world.stream, "append", refused), pytest.raises(UnavailableError):
        await changing.change_templates(("item",), "changed", before="old")
    world.now_ms += 1
    await world.changed("old", "new")
    assert not await world.may_change_again(changing)
    world.stream.restore(kept)
    assert not await world.may_change_again(changing)


async def test_what_ages_out_is_told_anew_where_somebody_changes_to_yet_other_templates_meanwhile(world: World) -> None:
    changing = await world.source("new")
    await world.changed("old", "third")
    with pytest.raises(RewoundError, match="yet other key templates"):
        await changing.change_templates(("item",), "changed", before="old")
