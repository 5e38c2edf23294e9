"""One process that does nothing but read through the cache, in memory where it can, and says what it saw.

    python -m deploy.simulation.chaos.reader STREAM_URL VALUES_URL MYSQL_URL READS SCALE

Its output is one JSON line for each run of reads of one version: row, version, reads, sent, answered of the last one.
"""

import asyncio
import json
import sys
import time
from typing import Any

from app.mysql_pool import MySqlPool
from deploy.simulation.chaos.limits import Limits
from deploy.simulation.chaos.tally import Seen, Tally
from deploy.simulation.chaos.writers import ROWS
from versioning import AsyncVersionedCache
from versioning.cli.sections import MySqlSection
from versioning.errors import StamplineError

SELECT = "SELECT extra FROM tracker_web WHERE id = %s"
PREFIX = "mass:"
RETRY_S = 0.1

_KEYS = {row: f"tracker_web:{row}" for row in range(1, ROWS + 1)}


class Reader:
    def __init__(self, cache: AsyncVersionedCache, pool: MySqlPool) -> None:
        self._cache = cache
        self._pool = pool
        self._tally = Tally(_say)

    async def run(self, reads: int) -> None:
        """Read all rows in turn until so many reads have been answered."""
        while reads > 0:
            answered = self._peek_all()
            reads -= len(_KEYS) - len(answered)
            for row in answered:
                reads -= await self._get(row)
            await asyncio.sleep(0)
        self._tally.close()

    def _peek_all(self) -> list[int]:
        """Read every row that is in this process and FRESH; return the others."""
        peek = self._cache.peek
        sent_s = time.time()
        versions = [(row, peek(key, -1)) for row, key in _KEYS.items()]
        self._tally.take([seen for seen in versions if seen[1] >= 0], sent_s, time.time())
        return [row for row, version in versions if version < 0]

    async def _get(self, row: int) -> int:
        """Read a row by whatever way; return how many reads were answered."""
        sent_s = time.time()
        try:
            version = await self._cache.get(_KEYS[row], lambda: self._load(row))
        except StamplineError:
            await asyncio.sleep(RETRY_S)
            return 0
        self._tally.take([(row, version)], sent_s, time.time())
        return 1

    async def _load(self, row: int) -> int:
        rows = await self._pool.select(SELECT, (row,))
        return int(json.loads(rows[0]["extra"])["version"])


def _say(seen: Seen) -> None:
    print(json.dumps([seen.row, seen.version, seen.reads, seen.sent_s, seen.answered_s]), flush=True)


async def _run(stream_url: str, values_url: str, mysql_url: str, reads: int, limits: Limits) -> None:
    pool = MySqlPool(MySqlSection(url=mysql_url).full_address(), 4)
    settings = limits.settings("toc")
    options: dict[str, Any] = {key.partition(".")[2]: value for key, value in settings.items() if key[:4] == "toc."}
    cache = AsyncVersionedCache.from_url(
        stream_url, values_url, window_ms=limits.window_s * 1000, prefix=PREFIX, **options
    )
    async with cache:
        await Reader(cache, pool).run(reads)
    await pool.aclose()


if __name__ == "__main__":
    _stream_url, _values_url, _mysql_url, _reads, _scale = sys.argv[1:]
    asyncio.run(_run(_stream_url, _values_url, _mysql_url, int(_reads), Limits(float(_scale))))
