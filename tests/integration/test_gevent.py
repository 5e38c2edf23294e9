"""gevent: the follower is a greenlet of the application's own thread, and nobody there may notice."""

import pytest

from deploy.simulation.redis_server import RedisServer
from tests.integration.silent import check_silent

pytest.importorskip("gevent")

HEAD = """
import asyncio, os, sys, threading

def patch():
    from gevent import monkey
    monkey.patch_all()

def read_all(cache):
    import gevent
    from tests.eventually import until
    gevent.joinall([gevent.spawn(cache.get, f"t:{number}", lambda: number) for number in range(20)])
    until(lambda: cache.info().is_connected and not cache.info().is_lagging, "the cache follows", 20)
    assert cache.info().breaks == 0, cache.info()

def followers():
    return [thread.name for thread in threading.enumerate()].count("stampline-follower")
"""

BESIDE_ASYNCIO = """
patch()
from versioning import VersionedCache

caches = [VersionedCache.from_url(sys.argv[1].replace("127.0.0.1", "localhost"), prefix=f"{n}:") for n in range(2)]
for cache in caches:
    read_all(cache)
    assert asyncio._get_running_loop() is None
    asyncio.run(asyncio.sleep(0.2))
assert followers() == 2
for cache in caches:
    cache.close()
assert followers() == 0
print("done")
"""

BEGUN_AMID_ASYNCIO = """
patch()
import gevent
from versioning import VersionedCache

async def application():
    await asyncio.sleep(1)
    return asyncio.get_running_loop()

async def main():
    loop = asyncio.get_running_loop()
    cache = VersionedCache.from_url(sys.argv[1])
    assert cache.get("t:1", lambda: 1) == 1  # blocks as any library would, and the follower begins meanwhile
    assert asyncio.get_running_loop() is loop
    assert await application() is loop
    return cache

cache = asyncio.run(main())
assert asyncio._get_running_loop() is None
read_all(cache)
cache.close()
print("done")
"""

PRELOADED = """
from versioning import VersionedCache

cache = VersionedCache.from_url(sys.argv[1])
if os.fork() == 0:
    patch()  # as gunicorn's workers do, after the fork
    read_all(cache)
    assert followers() == 1
    cache.close()
    assert followers() == 0
    print("done", flush=True)
    os._exit(0)
os.wait()
"""


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(BESIDE_ASYNCIO, id="asyncio and a second cache beside it"),
        pytest.param(BEGUN_AMID_ASYNCIO, id="begun inside asyncio"),
        pytest.param(PRELOADED, id="preloaded, patched in the worker"),
    ],
)
def test_a_follower_in_a_greenlet_leaves_the_thread_to_the_application(script: str, redis_b: RedisServer) -> None:
    check_silent(HEAD + script, redis_b, "ignore:Monkey-patching ssl")
