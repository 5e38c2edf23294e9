"""R9: one lookup at the version service over HTTP, beside a handler that does nothing on the same server."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from loadtests.bench.contract import Benchmark, Better, Contender, Reach
from loadtests.bench.http_load import Subject, get, make_complete, start_subject
from loadtests.bench.servers import fed_redis, process_group

CHANGES_PER_S: Final = 10.0
"""A lively site: the service follows while it answers."""


@contextmanager
def contenders() -> Iterator[Sequence[Contender]]:
    with fed_redis(CHANGES_PER_S) as redis, process_group() as (group, folder):
        make_complete(redis.url)
        yield [
            _lookup("stampline lookup", start_subject(group, folder, "service", redis.url)),
            _lookup("bare ASGI handler", start_subject(group, folder, "bare", redis.url)),
            _lookup("FastAPI route with a model", start_subject(group, folder, "typed", redis.url)),
        ]


def _lookup(name: str, subject: Subject) -> Contender:
    request = get("/v1/versions/bench:42")
    return Contender(name, lambda seconds: subject.measure(request, seconds))


BENCHMARK: Final = Benchmark(
    "r9-lookup-http",
    "one lookup over HTTP, 16 connections",
    "requests per CPU-second",
    Better.HIGHER,
    (Reach(0.7, ("bare ASGI handler",)),),
    contenders,
)
