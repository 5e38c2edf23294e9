"""The cache for threads: performs the read plan by blocking. Its follower runs in a daemon thread."""

import functools
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, Self, TypeVar

from versioning.backends.base import BackendError, Fill, StreamBackend, ValueBackend
from versioning.backends.redis_connect import RedisAddress
from versioning.backends.redis_stream import RedisStream
from versioning.backends.redis_values import TIMEOUT_MS, RedisValues
from versioning.backends.tls import TlsFiles
from versioning.client import forks
from versioning.client.backend import LEFT_BEHIND, OPEN_AGAIN_S, Opened
from versioning.client.clock import system_clock
from versioning.client.core import CacheCore, Found
from versioning.client.decorator import CallKey, key_template
from versioning.client.follower import START_MAX_S, FollowerStats
from versioning.client.follower_thread import FollowerThread
from versioning.client.info import CacheInfo
from versioning.client.singleflight import Flight, Flights
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
from versioning.errors import LoadFailedError
from versioning.index import Index
from versioning.keys import check_key
from versioning.liveness import Now
from versioning.options import CacheOptions, check_stream_name, check_whole
from versioning.read import Read
from versioning.reading import Serializer
from versioning.readplan import Answers, Plan, Reads, plan_read, plan_refresh

P = ParamSpec("P")
T = TypeVar("T")
Loader = Callable[[], T]
ManyLoader = Callable[[tuple[str, ...]], Mapping[str, T]]

_log = logging.getLogger("stampline.cache")


class VersionedCache:
    """Checkable values in three tiers: this process, Redis, the loader. Safe to share between threads.

    ``stream`` and ``values`` are backends, or callables that open them; only with callables (as ``from_url`` does) can
    a cache that has started be used in a forked child. Values are shared: whoever gets one must not change it.
    """

    def __init__(
        self,
        *,
        stream: StreamBackend | Callable[[], StreamBackend],
        values: ValueBackend | Callable[[], ValueBackend],
        options: CacheOptions | None = None,
        serializer: Serializer | None = None,
        clock: Callable[[], Now] = system_clock,
    ) -> None:
        self.options = options or CacheOptions()
        self._core = CacheCore(self.options, serializer, clock)
        self._hit = self._core.hit
        self._stream: Opened[StreamBackend] = Opened(stream)
        # A blocking Redis client notices a fork by itself.
        self._values: Opened[ValueBackend] = Opened(values, is_fork_safe=True)
        self._flights = Flights()
        self._starting = threading.RLock()  # a signal may close the cache in the middle of its start
        self._follower: FollowerThread | None = None
        self._ending: weakref.finalize[[], VersionedCache] | None = None
        """Ends the follower's thread: with ``close``, else with the cache, and at interpreter exit."""
        self._starts_again_s = 0.0
        """Monotonic: who could not start to follow does not try again before. Every miss would, with a line of log."""
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
            values=lambda: RedisValues(values, prefix=checked.prefix, timeout_ms=values_timeout_ms),
            options=checked,
            serializer=serializer,
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, wait_s: float = START_MAX_S) -> None:
        """Follow the stream; returns when the window is covered, or after ``wait_s``. Then reads do not wait for it."""
        self._is_closed = False
        follower = self._following()
        if follower is not None:
            follower.wait_started(wait_s)

    def close(self) -> None:
        """End follower and connections. ``start`` opens the cache again."""
        with self._starting:
            self._is_closed = True
            ending, self._follower, self._ending = self._ending, None, None
        if ending is not None:
            ending()
        values = self._values.take()
        if values is not None:
            values.close()

    def get(self, key: str, loader: Loader[T]) -> T:
        """Return the value of ``key``; ``loader`` loads it on a miss. None from the loader is "not found", cached too.

        The loader's exception reaches every reader that waited for it, and nothing is cached. Raises KeyFormatError,
        LoadBudgetError, LoadFailedError, SerializeError, and RuntimeError once the cache is closed.
        """
        held = self._hit(key)
        if held is not None:
            return held.value  # type: ignore[no-any-return]
        return self._find(key, loader).value  # type: ignore[no-any-return]

    def read(self, key: str, loader: Loader[Any]) -> Read:
        """Like ``get``, and says how new the value is and where it came from."""
        return self._core.read_fresh(key) or self._core.read_of(self._find(key, loader))

    def peek(self, key: str, default: Any = None) -> Any:
        """Return a value only if it is in this process and FRESH. Never waits."""
        held = self._hit(key)
        return default if held is None else held.value

    def get_many(self, keys: Iterable[str], loader: ManyLoader[T]) -> dict[str, T | None]:
        """Return the values of all keys. ``loader`` gets a tuple of those that miss, and maps them to their values; a
        key that is absent there is "not found". Raises what ``get`` does.
        """
        keys = tuple(dict.fromkeys(keys))
        found: dict[str, Found] = {**self._core.hits(keys)}
        if len(found) < len(keys):
            found = self._find_many(keys, loader, found)
        return {key: found[key].value for key in keys}

    def read_many(self, keys: Iterable[str], loader: ManyLoader[Any]) -> Reads:
        """Like ``get_many``, and says of each value how new it is and where it came from."""
        keys = tuple(dict.fromkeys(keys))
        found = self._find_many(keys, loader, {})
        return {key: self._core.read_of(found[key]) for key in keys}

    def refresh(self, key: str, loader: Loader[T]) -> T:
        """Load now, whatever is cached, and store it. Other processes keep their copies; a bump reaches those.

        Raises what ``get`` does.
        """
        self._follow_lazily()
        for _ in range(2):
            began_ms = self._core.clock().monotonic_ms
            read = self._drive(plan_refresh(self._core.reading, (check_key(key),)), _of_one(loader))[key]
            if self._core.is_in_time(key, read, began_ms):
                break
        return read.value  # type: ignore[no-any-return]

    def cached(self, template: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
        """Decorate a loader: ``@cache.cached("tracker_web:{id}")``. The key is made from the call's arguments.

        Raises ConfigError for a template that names no parameter. The function itself stays at ``__wrapped__``.
        """
        parsed = key_template(template)

        def decorate(function: Callable[P, T]) -> Callable[P, T]:
            key_of = CallKey(parsed, function)

            @functools.wraps(function)
            def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
                return self.get(key_of(*args, **kwargs), lambda: function(*args, **kwargs))

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
        LEFT_BEHIND.append(self._follower)
        self._follower, self._ending, self._flights, self._starting = None, None, Flights(), threading.RLock()
        self._starts_again_s = 0.0
        self._core.after_fork()
        self._stream.after_fork()
        self._values.after_fork()

    def _find(self, key: str, loader: Loader[Any]) -> Found:
        self._follow_lazily()
        if (read := self._core.serve_local(key)) is not None:
            return read
        looked, arrived = None, self._core.clock()
        if not self._flights.has(key):
            looked = self._look((key,))
            if hits := self._core.take_hits(looked):
                return hits[key]
        return self._fly((key,), _of_one(loader), looked, arrived)[key]

    def _find_many(self, keys: tuple[str, ...], load: ManyLoader[Any], hits: dict[str, Found]) -> dict[str, Found]:
        self._follow_lazily()
        reads, missing = self._core.read_local(key for key in keys if key not in hits)
        found: dict[str, Found] = {**hits, **reads}
        looked: Answers | None = None
        arrived = self._core.clock()
        if alone := tuple(key for key in missing if not self._flights.has(key)):
            looked = self._look(alone)
            found |= self._core.take_hits(looked)
        missing = tuple(key for key in missing if key not in found)
        flown = self._fly(missing, load, looked, arrived) if missing else {}
        if late := self._core.late(found, arrived.monotonic_ms):
            flown |= self._fly(late, load, None, self._core.clock())
        return found | flown

    def _look(self, keys: tuple[str, ...]) -> Answers:
        answer = self._ask_redis(GetValues(keys))
        return FAILED if answer is FAILED else dict(zip(keys, answer, strict=True))

    def _follow_lazily(self) -> None:
        if self._is_closed:
            raise RuntimeError("the cache is closed; start() opens it again")
        follower = self._following()
        if follower is not None:
            follower.wait_begun()

    def _following(self) -> FollowerThread | None:
        if self._follower is None and not self._stream.is_lost:
            with self._starting:
                if self._follower is None and not self._is_closed and time.monotonic() >= self._starts_again_s:
                    self._start_following()
        return self._follower

    def _start_following(self) -> None:
        follower = FollowerThread(self._stream, self._core.index, self._core.clock)
        # Kept first: a greenlet's start is waited for, others come in meanwhile, and the lock is of their thread too.
        self._follower, self._ending = follower, weakref.finalize(self, follower.stop)
        try:
            self._stream.get()
            follower.start()
        except (BackendError, RuntimeError) as error:
            # Not opened, no more threads, or the interpreter is about to end: reads go on without.
            _log.warning("the follower cannot start: %s", error)
            self._starts_again_s = time.monotonic() + OPEN_AGAIN_S
            self._give_up_following(follower)
        except BaseException:  # the reader's time is over (SIGALRM, KeyboardInterrupt): the next one starts it
            self._give_up_following(follower)
            raise

    def _give_up_following(self, follower: FollowerThread) -> None:
        if not follower.has_begun and self._ending is not None:
            self._ending.detach()
            self._follower = self._ending = None

    def _fly(self, keys: tuple[str, ...], load: ManyLoader[Any], looked: Answers | None, arrived: Now) -> Reads:
        """Refill, or wait for who does. What others have brought in since this reader arrived is for it too."""
        reads: Reads = {}
        for is_last in (False, True):
            refill = functools.partial(self._refill, load=load, looked=looked)
            began_ms = self._core.clock().monotonic_ms
            own, joined = self._flights.fly(keys, began_ms, refill)
            superseded = {key: read for key in joined if (read := self._core.join(key)) is not None}
            landed = {key: flight.landed(key) for key, flight in joined.items() if key not in superseded}
            late = () if is_last else self._core.late(own, began_ms)
            reads |= {key: read for key, read in own.items() if key not in late} | superseded
            for key, read in landed.items():
                # One of the second round took off after the key had landed in the first, so after this reader came.
                if read and (is_last or self._core.accepts(key, read, joined[key].began_ms, arrived)):
                    reads[key] = read
            keys, looked = tuple(key for key in keys if key not in reads), None
            if not keys:
                return reads
        raise LoadFailedError(f"the loads of {keys[0]!r} were abandoned twice", hint="their threads were interrupted")

    def _refill(self, flight: Flight, load: ManyLoader[Any], looked: Answers | None) -> None:
        flight.reads.update(self._core.landed(flight.keys))
        if missing := tuple(key for key in flight.keys if key not in flight.reads):
            self._drive(plan_read(self._core.reading, missing, looked, reads=flight.reads), load, flight)

    def _drive(self, plan: Plan, load: ManyLoader[Any], flight: Flight | None = None) -> Reads:
        answer: Any = None
        while True:
            try:
                effect = plan.send(answer)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            if flight is not None and isinstance(effect, Wait):
                self._flights.land_some(flight)
            answer = self._perform(effect, load)

    def _perform(self, effect: Effect, load: ManyLoader[Any]) -> Any:
        match effect:
            case Load(keys):
                try:
                    return load(keys)
                except BaseException as error:  # noqa: BLE001 - the plan gives the lease back and raises it again
                    return Raised(error)
            case Wait(ms):
                return time.sleep(ms / 1000)
        return self._ask_redis(effect)

    def _ask_redis(self, effect: Effect) -> Any:
        if self._is_closed and not self._values.is_used:
            return FAILED  # a read that outlives the cache must not open what nobody would close
        try:
            return self._perform_on_redis(effect, self._values.get())
        except BackendError:
            return FAILED

    def _perform_on_redis(self, effect: Effect, values: ValueBackend) -> Any:
        match effect:
            case GetValues((key,)):
                return [values.get(key)]
            case GetValues(keys):
                return values.get_many(keys)
            case TryLeases(seen, token, ttl_ms):
                return values.try_lease(seen, token, ttl_ms)
            case FillValues(stored, token):
                return values.fill([Fill(value.key, value.data, value.life_ms, token) for value in stored])
            case ReleaseLeases(keys, token):
                return values.release(keys, token)


def _of_one(loader: Loader[Any]) -> ManyLoader[Any]:
    return lambda keys: {keys[0]: loader()}
