"""What the files of tests of the whole mirror share."""

from collections.abc import AsyncIterator

import pytest

from tests.replicator.mirror_world import MirrorWorld


@pytest.fixture
async def world() -> AsyncIterator[MirrorWorld]:
    world = MirrorWorld()
    yield world
    await world.close()
