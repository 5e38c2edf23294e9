"""``python -m loadtests.bench.hot_reader URL RECORDS GO``: one of many processes whose readers all read the same key.

While the file GO is there, each reader reads, waits its pace, and reads again. RECORDS gets when each read began and
how long it took, and each call of the loader; it ends with its parent.
"""

import argparse
import asyncio
import os
import random
import struct
import time
from pathlib import Path
from typing import Any, BinaryIO, Final

from loadtests.bench.redis_reads import TIMEOUT_MS
from versioning import AsyncVersionedCache

KEY: Final = "tracker_web:hot"
RECORD: Final = struct.Struct("<dd")
"""Monotonic time in s, and the time a read took in s; ``LOAD`` for a load."""
LOAD: Final = -1.0
LOOKED_S: Final = 0.02


class Readers:
    def __init__(self, arguments: argparse.Namespace, records: BinaryIO) -> None:
        self._arguments = arguments
        self._records = records
        self._is_on = asyncio.Event()

    async def run(self) -> None:
        options = self._arguments
        cache = AsyncVersionedCache.from_url(
            options.url, values_timeout_ms=TIMEOUT_MS, serve_stale_ms=options.serve_stale_ms
        )
        async with cache:
            reading = [asyncio.create_task(self._read(cache)) for _ in range(options.readers)]
            parent = os.getppid()
            while os.getppid() == parent:
                await asyncio.sleep(LOOKED_S)
                self._records.flush()
                if options.go.exists():
                    self._is_on.set()
                else:
                    self._is_on.clear()
            for task in reading:
                task.cancel()

    async def _read(self, cache: AsyncVersionedCache) -> None:
        pace_s = self._arguments.pace_ms / 1000
        while True:
            await self._is_on.wait()
            await asyncio.sleep(pace_s * random.uniform(0.5, 1.5))
            began_s = time.monotonic()
            await cache.get(KEY, self._load)
            self._records.write(RECORD.pack(began_s, time.monotonic() - began_s))

    async def _load(self) -> Any:
        self._records.write(RECORD.pack(time.monotonic(), LOAD))
        await asyncio.sleep(self._arguments.load_ms / 1000)
        return {"id": 1, "at": time.time()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("records", type=Path)
    parser.add_argument("go", type=Path)
    parser.add_argument("--readers", type=int, default=64)
    parser.add_argument("--pace-ms", type=float, default=25)
    parser.add_argument("--load-ms", type=float, default=20)
    parser.add_argument("--serve-stale-ms", type=int, default=0)
    arguments = parser.parse_args()
    with arguments.records.open("wb") as records:
        asyncio.run(Readers(arguments, records).run())


if __name__ == "__main__":
    main()
