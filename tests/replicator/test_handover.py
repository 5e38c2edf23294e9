"""The bounded queue between the reader thread and the loop."""

import asyncio
import threading

import pytest

from replicator.errors import MySqlUnavailableError
from replicator.position import Flavor, parse
from replicator.source.handover import Handover, Item, ReadUpTo
from replicator.source.transaction import Transaction

DEADLINE_S = 20.0
POSITION = parse("0-1-1", Flavor.MARIADB)


def changed(keys: int) -> Transaction:
    return Transaction("0-1-1", POSITION, 0, tuple(f"item:{number}" for number in range(keys)))


async def test_everything_waiting_is_taken_at_once_in_order() -> None:
    handover = Handover(asyncio.get_running_loop(), weight_max=100)
    items: list[Item] = [changed(1), ReadUpTo(5, POSITION), changed(2)]
    for item in items:
        handover.put(item)
    assert await handover.take() == items


async def test_an_error_comes_behind_everything_that_was_read() -> None:
    handover = Handover(asyncio.get_running_loop(), weight_max=100)
    handover.put(changed(1))
    handover.fail(MySqlUnavailableError("gone"))
    assert await handover.take() == [changed(1)]
    with pytest.raises(MySqlUnavailableError):
        await handover.take()


async def test_the_reader_waits_while_too_many_keys_are_waiting() -> None:
    handover = Handover(asyncio.get_running_loop(), weight_max=10)
    handover.put(changed(20))
    reader = threading.Thread(target=handover.put, args=(changed(1),))
    reader.start()
    assert await handover.take() == [changed(20)]
    async with asyncio.timeout(DEADLINE_S):
        assert await handover.take() == [changed(1)]
    reader.join(DEADLINE_S)


async def test_a_closed_queue_keeps_no_reader_waiting() -> None:
    handover = Handover(asyncio.get_running_loop(), weight_max=10)
    handover.put(changed(20))
    reader = threading.Thread(target=handover.put, args=(changed(1),))
    reader.start()
    handover.close()
    reader.join(DEADLINE_S)
    assert not reader.is_alive()
