"""R11: a million changed keys: how soon a follower knows them, what they weigh, and what a lookup costs then."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from loadtests.bench import feeder, long_stream
from loadtests.bench.contract import Benchmark, Better, Contender, Reach, Sample
from loadtests.bench.servers import CHECKOUT, redis

KEYS: Final = 1_000_000
FEW_KEYS: Final = 1_000
"""What a lookup is compared with: an index that fits into the processor's cache."""

SMOKE_S: Final = 0.5
SMOKE_SHARE: Final = 50
"""Asked for less than that, a fiftieth of the keys must do."""


@contextmanager
def contenders() -> Iterator[Sequence[Contender]]:
    with redis() as many, redis() as few:
        filled = {many.url: 0, few.url: 0}

        def told(mode: str, seconds: float) -> dict[str, float]:
            for server, keys in ((many, KEYS), (few, FEW_KEYS)):
                wanted = keys if seconds >= SMOKE_S else keys // SMOKE_SHARE
                if filled[server.url] < wanted:
                    server.flush()
                    with server.client() as client:
                        long_stream.fill(client, wanted, feeder.now_ms())
                    filled[server.url] = wanted
            return _ask(mode, many.url, few.url)

        def ours(seconds: float) -> Sample:
            facts = told("follow", seconds)
            return Sample(facts.pop("start_s"), facts)

        def plain(seconds: float) -> Sample:
            facts = told("read", seconds)
            return Sample(facts.pop("start_s"), facts)

        yield [Contender("stampline follower", ours), Contender("redis-py, reading the same", plain)]


def _ask(mode: str, many: str, few: str) -> dict[str, float]:
    """A process of its own, because its memory is measured."""
    command = [sys.executable, "-m", "loadtests.bench.index_subject", mode, many, few]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, check=True, text=True)  # noqa: S603
    found: dict[str, Any] = json.loads(done.stdout)
    return found


BENCHMARK: Final = Benchmark(
    "r11-index",
    f"{KEYS:,} changed keys: from start to covered",
    "s",
    Better.LOWER,
    (
        Reach(4.0),
        Reach(200, fact="memory_mb"),
        Reach(2.0, fact="lookup_ratio"),
    ),
    contenders,
    rounds_max=3,
)
