"""The cache for asyncio: performs the read plan with ``await``. One per event loop."""

import asyncio
import functools
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any, ParamSpec, Self, TypeVar

from versioning.backends.base import AsyncValueBackend, BackendError, Fill, StreamBackend
from versioning.backends.redis_connect import RedisAddress
from versioning.backends.redis_stream import RedisStream
from versioning.backends.redis_values import TIMEOUT_MS, AsyncRedisValues
from versioning.backends.tls import TlsFiles
from versioning.client import forks
from versioning.client.backend import LEFT_BEHIND, Opened
from versioning.client.clock import system_clock
from versioning.client.core import CacheCore, Found
from versioning.client.decorator import CallKey, key_template
from versioning.client.follower import FIRST_READS_MAX_S, START_MAX_S, Follower, FollowerStats
from versioning.client.info import CacheInfo
from versioning.client.singleflight import AsyncFlight, AsyncFlights
from versioning.effects import (
    FAILED,
    Effect,
    FillValues,
    GetValues,
    Load,
    Raised,
    ReleaseLeases,
    TryLeases,
    Wait,
)
from versioning.index import Index
from versioning.keys import check_key
from versioning.liveness import Now
from versioning.options import CacheOptions, check_stream_name, check_whole
from versioning.read import Read
from versioning.reading import Serializer
from versioning.readplan import Answers, Plan, Reads, plan_read, plan_refresh, plan_renewal

P = ParamSpec("P")
T = TypeVar("T")
Loader = Callable[[], Awaitable[T]]
ManyLoader = Callable[[tuple[str, ...]], Awaitable[Mapping[str, T]]]
_PlanLoader = Callable[[tuple[str, ...]], Awaitable[Mapping[str, Any]]]
_PlanMaker = Callable[..., Plan]

_log = logging.getLogger("stampline.cache")

FINISH_MAX_S = 1.0
"""How long ``aclose`` lets loads under way arrive: their work is then not lost."""


class AsyncVersionedCache:
    """Checkable values in three tiers: this process, Redis, the loader.

    ``stream`` and ``values`` are backends, or callables that open them; only with callables (as ``from_url`` does) can
    a cache that has started be used in a forked child. Values are shared: whoever gets one must not change it.
    """

    def __init__(
        self,
        *,
        stream: StreamBackend | Callable[[], StreamBackend],
        values: AsyncValueBackend | Callable[[], AsyncValueBackend],
        options: CacheOptions | None = None,
        serializer: Serializer | None = None,
        clock: Callable[[], Now] = system_clock,
    ) -> None:
        self.options = options or CacheOptions()
        self._core = CacheCore(self.options, serializer, clock)
        self._hit = self._core.hit
        self._stream: Opened[StreamBackend] = Opened(stream)
        self._values: Opened[AsyncValueBackend] = Opened(values)
        self._flights = AsyncFlights()
        self._follower: Follower | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._has_begun = False
        """Somebody has waited for the window: reads wait no more."""
        self._reads_wait_until_ms = 0
        """Monotonic: how long they do where nobody has. One moment for all of them, since each may be cancelled."""
        self._is_closed = False
        forks.watch(self)

    @classmethod
    def from_url(
        cls,
        stream_url: str,
        values_url: str | None = None,
        *,
        stream_name: str = "stampline",
        values_timeout_ms: int = TIMEOUT_MS,
        ssl_ca: str | None = None,
        ssl_cert: str | None = None,
        ssl_key: str | None = None,
        serializer: Serializer | None = None,
        **options: Any,
    ) -> Self:
        """Connect by ``redis://``, ``sentinel://`` or ``cluster://`` URLs; ``options`` are those of CacheOptions.

        Without ``values_url`` the stream's Redis has the values too, and must hold them all: it may not evict.
        With TLS (``rediss://``) the server is verified by ``ssl_ca``, or the CAs of the system; the URLs may name the
        same files, each for itself. Files that are replaced count from the next connect on. Nothing is sent yet.
        Raises ConfigError.
        """
        checked = CacheOptions(**options)
        check_whole("values_timeout_ms", values_timeout_ms, least=1)
        check_stream_name(stream_name)
        tls = TlsFiles(ssl_ca, ssl_cert, ssl_key) if ssl_ca or ssl_cert or ssl_key else None
        stream, values = (RedisAddress.parse(url, tls=tls) for url in (stream_url, values_url or stream_url))
        stream.check_tls()
        values.check_tls()
        return cls(
            stream=lambda: RedisStream(stream, name=stream_name, window_ms=checked.window_ms),
            values=lambda: AsyncRedisValues(values, prefix=checked.prefix, timeout_ms=values_timeout_ms),
            options=checked,
            serializer=serializer,
        )

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def start(self, wait_s: float = START_MAX_S) -> None:
        """Follow the stream; returns when the window is covered, or after ``wait_s``. Then reads do not wait for it."""
        self._is_closed = False
        await self._begin_to_follow(wait_s)

    async def aclose(self) -> None:
        """End loads, follower and connections. ``start`` opens the cache again."""
        self._is_closed = True
        await self._flights.finish(FINISH_MAX_S)
        follower, self._follower, self._loop, self._has_begun = self._follower, None, None, False
        if follower is not None:
            await follower.aclose()
        for opened in (self._values, self._stream):
            backend = opened.take()
            if backend is not None:
                await backend.aclose()

    async def get(self, key: str, loader: Loader[T]) -> T:
        """Return the value of ``key``; ``loader`` loads it on a miss. None from the loader is "not found", cached too.

        The loader's exception reaches every reader that waited for it, and nothing is cached. Raises KeyFormatError,
        LoadBudgetError, LoadFailedError, SerializeError, and RuntimeError once the cache is closed.
        """
        held = self._hit(key) or self._core.renewed(key)
        if held is not None:
            return held.value  # type: ignore[no-any-return]
        return (await self._find(key, loader)).value  # type: ignore[no-any-return]

    async def read(self, key: str, loader: Loader[Any]) -> Read:
        """Like ``get``, and says how new the value is and where it came from."""
        return self._core.read_fresh(key) or self._core.read_of(await self._find(key, loader))

    def peek(self, key: str, default: Any = None) -> Any:
        """Return a value only if it is in this process and FRESH. Never waits."""
        held = self._hit(key)
        return default if held is None else held.value

    async def get_many(self, keys: Iterable[str], loader: ManyLoader[T]) -> dict[str, T | None]:
        """Return the values of all keys. ``loader`` gets a tuple of those that miss, and maps them to their values; a
        key that is absent there is "not found". Raises what ``get`` does.
        """
        keys = tuple(dict.fromkeys(keys))
        found: dict[str, Found] = {**self._core.hits(keys)}
        if len(found) < len(keys):
            found = await self._find_many(keys, loader, found)
        return {key: found[key].value for key in keys}

    async def read_many(self, keys: Iterable[str], loader: ManyLoader[Any]) -> Reads:
        """Like ``get_many``, and says of each value how new it is and where it came from."""
        keys = tuple(dict.fromkeys(keys))
        found = await self._find_many(keys, loader, {})
        return {key: self._core.read_of(found[key]) for key in keys}

    async def refresh(self, key: str, loader: Loader[T]) -> T:
        """Load now, whatever is cached, and store it. Other processes keep their copies; a bump reaches those.

        Raises what ``get`` does.
        """
        await self._follow_lazily()
        for _ in range(2):
            began_ms = self._core.clock().monotonic_ms
            plan = plan_refresh(self._core.reading, (check_key(key),))
            read = (await self._drive(plan, _of_one(loader)))[key]
            if self._core.is_in_time(key, read, began_ms):
                break
        return read.value  # type: ignore[no-any-return]

    def cached(self, template: str) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Coroutine[Any, Any, T]]]:
        """Decorate a loader: ``@cache.cached("tracker_web:{id}")``. The key is made from the call's arguments.

        Raises ConfigError for a template that names no parameter. The function itself stays at ``__wrapped__``.
        """
        parsed = key_template(template)

        def decorate(function: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
            key_of = CallKey(parsed, function)

            @functools.wraps(function)
            async def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
                return await self.get(key_of(*args, **kwargs), lambda: function(*args, **kwargs))

            return wrapper

        return decorate

    @property
    def index(self) -> Index:
        """What this process knows of the stream: the last stamps of keys and namespaces. To look at, not to change."""
        return self._core.index

    def info(self) -> CacheInfo:
        """What this cache has counted, and how far it follows the stream. Numbers only: cheap, and never waits."""
        return self._core.info(self._follower.stats if self._follower else FollowerStats())

    def after_fork(self) -> None:
        """Called in a forked child: nothing of the parent's is used; the follower starts anew with the first miss."""
        LEFT_BEHIND.append((self._follower, self._flights))
        self._follower, self._loop, self._has_begun, self._flights = None, None, False, AsyncFlights()
        self._core.after_fork()
        self._stream.after_fork()
        self._values.after_fork()

    async def _find(self, key: str, loader: Loader[Any]) -> Found:
        if not self._has_begun or self._loop is not asyncio.get_running_loop() or self._is_closed:
            await self._follow_lazily()
        if (read := self._core.serve_local(key)) is not None:
            return read
        if superseded := self._renew((key,), _of_one(loader)):
            return superseded[key]
        looked, arrived = None, self._core.clock()
        if not self._flights.has(key):
            looked = await self._look((key,))
            if hits := self._core.take_hits(looked):
                return hits[key]
        return (await self._fly((key,), _of_one(loader), looked, arrived))[key]

    async def _find_many(self, keys: tuple[str, ...], load: _PlanLoader, hits: dict[str, Found]) -> dict[str, Found]:
        await self._follow_lazily()
        reads, missing = self._core.read_local(key for key in keys if key not in hits)
        found: dict[str, Found] = {**hits, **reads, **self._renew(missing, load)}
        missing = tuple(key for key in missing if key not in found)
        looked: Answers | None = None
        arrived = self._core.clock()
        if alone := tuple(key for key in missing if not self._flights.has(key)):
            looked = await self._look(alone)
            found |= self._core.take_hits(looked)
        missing = tuple(key for key in missing if key not in found)
        flown = await self._fly(missing, load, looked, arrived) if missing else {}
        if late := self._core.late(found, arrived.monotonic_ms):
            flown |= await self._fly(late, load, None, self._core.clock())
        return found | flown

    def _renew(self, keys: tuple[str, ...], load: _PlanLoader) -> Reads:
        """Serve superseded values where that is allowed, and have them refilled while nobody waits."""
        reads = self._core.superseded(keys)
        if own := tuple(key for key in reads if not self._flights.has(key)):
            refill = functools.partial(self._refill, plan_renewal, load)
            flight = self._flights.take_off(own, self._core.clock().monotonic_ms, refill)
            self._core.begin_renewal(own)
            flight.task.add_done_callback(lambda _: self._core.end_renewal(own))
        return reads

    async def _look(self, keys: tuple[str, ...]) -> Answers:
        answer = await self._ask_redis(GetValues(keys))
        return FAILED if answer is FAILED else dict(zip(keys, answer, strict=True))

    def _following(self) -> Follower | None:
        loop = asyncio.get_running_loop()
        if self._follower is not None and self._loop is not loop:
            # Its connections wait on a loop that no longer turns, or in another thread: their replies would never come.
            raise RuntimeError("the cache belongs to another event loop; make one in each")
        if self._follower is None and not self._stream.is_lost:
            try:
                self._follower = Follower(self._stream.get(), self._core.index, clock=self._core.clock)
                self._loop = loop
                self._reads_wait_until_ms = self._core.clock().monotonic_ms + int(FIRST_READS_MAX_S * 1000)
            except BackendError as error:  # not opened: reads go on without, and the next miss tries again
                _log.warning("the follower cannot start: %s", error)
        return self._follower

    async def _follow_lazily(self) -> None:
        if self._is_closed:
            raise RuntimeError("the cache is closed; start() opens it again")
        if self._has_begun:
            self._following()
        else:
            await self._begin_to_follow()

    async def _begin_to_follow(self, wait_s: float | None = None) -> None:
        follower = self._following()
        if follower is not None:
            left_s = (self._reads_wait_until_ms - self._core.clock().monotonic_ms) / 1000
            await follower.start(max(left_s, 0) if wait_s is None else wait_s)
            self._has_begun = True

    async def _fly(self, keys: tuple[str, ...], load: _PlanLoader, looked: Answers | None, arrived: Now) -> Reads:
        """Refill, or wait for who does. What others have brought in since this reader arrived is for it too."""
        reads: Reads = {}
        for is_last in (False, True):
            own, joined = self._board(keys, load, reads, looked)
            landed = {key: (flight, await flight.landed(key)) for key, flight in (own | joined).items()}
            for key, (flight, read) in landed.items():
                # One of the second round took off after the key had landed in the first, so after this reader came.
                if is_last or (
                    self._core.is_in_time(key, read, flight.began_ms)
                    if key in own
                    else self._core.accepts(key, read, flight.began_ms, arrived)
                ):
                    reads[key] = read
            keys, looked = tuple(key for key in keys if key not in reads), None
            if not keys:
                break
        return reads

    def _board(
        self, keys: tuple[str, ...], load: _PlanLoader, reads: Reads, looked: Answers | None
    ) -> tuple[dict[str, AsyncFlight], dict[str, AsyncFlight]]:
        """Take off with the keys that have no flight; join those of the others, or serve what they are replacing."""
        own: dict[str, AsyncFlight] = {}
        joined: dict[str, AsyncFlight] = {}
        reads |= self._core.landed(keys)
        keys = tuple(key for key in keys if key not in reads)
        for key in keys:
            if (flight := self._flights.find(key)) is None:
                continue
            if (superseded := self._core.join(key)) is not None:
                reads[key] = superseded
            else:
                joined[key] = flight
        if alone := tuple(key for key in keys if key not in reads and key not in joined):
            refill = functools.partial(self._refill, functools.partial(plan_read, looked=looked), load)
            flight = self._flights.take_off(alone, self._core.clock().monotonic_ms, refill)
            own = dict.fromkeys(alone, flight)
        return own, joined

    async def _refill(self, plan_of: _PlanMaker, load: _PlanLoader, flight: AsyncFlight) -> None:
        await self._drive(plan_of(self._core.reading, flight.keys, reads=flight.reads), load, flight)

    async def _drive(self, plan: Plan, load: _PlanLoader, flight: AsyncFlight | None = None) -> Reads:
        answer: Any = None
        while True:
            try:
                effect = plan.send(answer)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            if flight is not None and isinstance(effect, Wait):
                flight.tell()
            answer = await self._perform(effect, load)

    async def _perform(self, effect: Effect, load: _PlanLoader) -> Any:
        match effect:
            case Load(keys):
                try:
                    return await load(keys)
                except BaseException as error:  # noqa: BLE001 - the plan gives the lease back and raises it again
                    return Raised(error)
            case Wait(ms):
                return await asyncio.sleep(ms / 1000)
        return await self._ask_redis(effect)

    async def _ask_redis(self, effect: Effect) -> Any:
        if self._is_closed and not self._values.is_used:
            return FAILED  # a read that outlives the cache must not open what nobody would close
        try:
            return await self._perform_on_redis(effect, self._values.get())
        except BackendError:
            return FAILED

    async def _perform_on_redis(self, effect: Effect, values: AsyncValueBackend) -> Any:
        match effect:
            case GetValues((key,)):
                return [await values.get(key)]
            case GetValues(keys):
                return await values.get_many(keys)
            case TryLeases(seen, token, ttl_ms):
                return await values.try_lease(seen, token, ttl_ms)
            case FillValues(stored, token):
                return await values.fill([Fill(value.key, value.data, value.life_ms, token) for value in stored])
            case ReleaseLeases(keys, token):
                return await values.release(keys, token)


def _of_one(loader: Loader[Any]) -> _PlanLoader:
    async def load(keys: tuple[str, ...]) -> Mapping[str, Any]:
        loaded: Any = loader()
        return {keys[0]: await loaded if inspect.isawaitable(loaded) else loaded}

    return load
