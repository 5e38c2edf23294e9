"""Whether a world has got over a fault: the replica has all that was written, and every ToC vouches for its values."""

import time

import pymysql
import redis

from loadtests.ask import RefusedError, toc_status
from loadtests.worlds import STAMPLINE, TOCS, LoadWorld

POLL_S = 0.1


def wait_well(world: LoadWorld, deadline_s: float) -> None:
    """Raises TimeoutError with what is wrong when the world is not well by the deadline."""
    give_up_at = time.monotonic() + deadline_s
    while (complaint := _complaint(world)) is not None:
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"not well after {deadline_s:g} s: {complaint}")
        time.sleep(POLL_S)


def _complaint(world: LoadWorld) -> str | None:
    try:
        if not world.mysql_b.is_replicating:
            return "the replica does not replicate"
        behind = world.mysql_b.replication_status().get("Seconds_Behind_Master")
        if behind is None or behind > 1:
            return f"the replica is {behind} s behind"
        for name in TOCS:
            status = toc_status(world, name)
            if world.mode == STAMPLINE and (status["is_lagging"] or not status["is_connected"]):
                return f"{name} lags {status['lag_ms']} ms"
    except (pymysql.err.MySQLError, redis.RedisError, RefusedError, OSError) as error:
        return str(error)
    return None
