"""R10: lookups and checks of 100 keys in one request, over HTTP, and what a server that only parses could do."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import orjson

from loadtests.bench.contract import Benchmark, Better, Contender, Reach, Sample
from loadtests.bench.http_load import Subject, make_complete, post, start_subject
from loadtests.bench.servers import fed_redis, process_group

BATCH: Final = 100
CHANGES_PER_S: Final = 10.0
KEYS: Final = [f"bench:{number}" for number in range(BATCH // 2)] + [f"idle:{number}" for number in range(BATCH // 2)]
"""Half of them change all the time, half of them never did."""

LOOKUP: Final = orjson.dumps({"keys": KEYS})
CHECK: Final = orjson.dumps({"items": [{"key": key, "fill_stamp": "1800000000000-1"} for key in KEYS]})


@contextmanager
def contenders() -> Iterator[Sequence[Contender]]:
    with fed_redis(CHANGES_PER_S) as redis, process_group() as (group, folder):
        make_complete(redis.url)
        service = start_subject(group, folder, "service", redis.url)
        yield [
            _asked("stampline POST /v1/versions", service, post("/v1/versions", LOOKUP)),
            _asked("stampline POST /v1/check", service, post("/v1/check", CHECK)),
            _asked(
                "orjson in, dicts of the same fields out",
                start_subject(group, folder, "parsing", redis.url),
                post("/v1/versions", LOOKUP),
            ),
            _asked(
                "FastAPI route with models",
                start_subject(group, folder, "typed", redis.url),
                post("/v1/versions", LOOKUP),
            ),
        ]


def _asked(name: str, subject: Subject, request: bytes) -> Contender:
    def measure(seconds: float) -> Sample:
        sample = subject.measure(request, seconds)
        return Sample(sample.value * BATCH, sample.facts)

    return Contender(name, measure)


BENCHMARK: Final = Benchmark(
    "r10-batch-http",
    f"{BATCH} keys in one request over HTTP, 16 connections",
    "keys per CPU-second",
    Better.HIGHER,
    (Reach(1_000_000),),
    contenders,
)
