"""Fork, as gunicorn and uwsgi do with preload: the child follows by itself, and the parent never notices."""

import pytest

from deploy.simulation.redis_server import RedisServer
from tests.integration.silent import check_silent

HEAD = """
import os, sys, threading
from tests.eventually import until
from versioning import VersionedCache, Verdict

def never():
    raise AssertionError("this value is cached")

def in_child(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
            sys.stdout.flush()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return pid

def join(*pids):
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0, "a child failed"

cache = VersionedCache.from_url(sys.argv[1], values_timeout_ms=5000)
"""

STARTED_IN_PARENT = """
cache.start()
assert cache.get("t:1", lambda: "parent") == "parent"
assert cache.peek("t:1") == "parent"

def child():
    assert cache.peek("t:1") is None
    read = cache.read("t:1", never)
    assert (read.value, read.tier) == ("parent", "redis"), read
    until(lambda: cache.read("t:1", never).verdict is Verdict.FRESH, "the child follows", 20)
    assert [thread.name for thread in threading.enumerate()].count("stampline-follower") == 1
    cache.close()

for _ in range(2):
    join(in_child(child), in_child(child))
before = cache.info().watermark
until(lambda: cache.info().watermark > before, "the parent follows", 20)
assert cache.info().reconnects == cache.info().breaks == 0, cache.info()
assert cache.peek("t:1") == "parent"
print("done")
"""

PRELOADED = """
def worker():
    assert cache.get("t:1", lambda: os.getpid())
    until(lambda: not cache.info().is_lagging and cache.info().watermark, "the worker follows", 20)
    cache.get("t:2", lambda: os.getpid())
    assert cache.peek("t:2")
    cache.close()

assert threading.active_count() == 1
join(*[in_child(worker) for _ in range(4)])
print("done")
"""

FORKED_WHILE_BUSY = """
cache.start()
is_over = threading.Event()

def keep_busy():
    number = 0
    while not is_over.is_set():
        number += 1
        cache.get(f"t:{number % 500}", lambda: number)

threads = [threading.Thread(target=keep_busy) for _ in range(4)]
for thread in threads:
    thread.start()

def child():
    for number in range(50):
        assert cache.get(f"t:{number}", lambda: number) is not None
    until(lambda: cache.info().is_connected, "the child follows", 20)

for _ in range(10):
    join(in_child(child))
is_over.set()
for thread in threads:
    thread.join()
print("done")
"""

EXIT_WITHOUT_CLOSE = """
cache.start()
cache.get("t:1", lambda: 1)
if os.fork() == 0:
    cache.get("t:1", lambda: 1)
    sys.exit(0)
os.wait()
print("done")
"""

FORKED_AMID_ASYNCIO = """
import asyncio
from versioning import AsyncVersionedCache

async def value():
    return "value"

async def serve(cache):
    async with cache:
        assert await cache.get("t:1", value) == "value"
        assert cache.peek("t:1") == "value"

preloaded = AsyncVersionedCache.from_url(sys.argv[1], values_timeout_ms=5000)
join(*[in_child(lambda: asyncio.run(serve(preloaded))) for _ in range(3)])
asyncio.run(serve(preloaded))
join(in_child(lambda: asyncio.run(serve(preloaded))))
print("done")
"""


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(STARTED_IN_PARENT, id="started in the parent"),
        pytest.param(PRELOADED, id="preloaded, started in the workers"),
        pytest.param(FORKED_WHILE_BUSY, id="forked while threads read"),
        pytest.param(EXIT_WITHOUT_CLOSE, id="exit without close"),
        pytest.param(FORKED_AMID_ASYNCIO, id="asyncio, before and after a loop"),
    ],
)
def test_a_forked_process_reads_and_ends_in_silence(script: str, redis_b: RedisServer) -> None:
    check_silent(HEAD + script, redis_b)
