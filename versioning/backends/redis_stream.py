"""The stamp stream on Redis: stream, state and version keys in one hash slot, written by ``append.lua`` alone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from importlib.resources import files
from typing import Any, Final, Self

import orjson
import redis.exceptions

from versioning import stamp as stamps
from versioning.backends.base import (
    Append,
    BackendError,
    CheckpointRefusedError,
    DigestRefusedError,
    History,
    NotReplicatedError,
    StreamState,
    UnavailableError,
)
from versioning.backends.redis_border import leads_no_more, translated
from versioning.backends.redis_cluster import ClusterClient
from versioning.backends.redis_connect import RedisAddress, aclose
from versioning.backends.redis_wait import run_and_wait
from versioning.checkpoint import Checkpoint
from versioning.entries import Entry, encode_body, kind_of, read
from versioning.errors import FormatError
from versioning.limits import LOSS_LEAD_MS, REPLAY_SLACK_MS, WINDOW_MS

RETENTION_SLACK_MS: Final = 5 * 60_000
"""Entries are kept a little longer than the window, so that a follower which covers it never races the trimming."""

TIMEOUT_MS: Final = 5_000
BLOCK_MAX_MS: Final = TIMEOUT_MS - 1_000
"""A blocking read must answer before the socket gives up on it."""

WAIT_TIMEOUT_MS: Final = 1_000

ROWS_AT_ONCE: Final = 50
"""Entries of a page decoded between two turns of the loop: each may name hundreds of keys."""

_NAMES: Final = [b"t", b"n", b"p", b"b"]
"""Fields of an entry, in the order of ``append.lua``."""

_Fields = list[bytes] | dict[bytes, bytes]

_APPEND: Final = (files("versioning.backends") / "lua" / "append.lua").read_text()


class RedisStream:
    """A ``StreamBackend`` on a standalone Redis, one behind Sentinel, or a Redis Cluster."""

    def __init__(
        self,
        address: RedisAddress,
        *,
        name: str = "stampline",
        window_ms: int = WINDOW_MS,
        version_keys: bool = False,
        wait_replicas: int = 0,
        timeout_ms: int = TIMEOUT_MS,
    ) -> None:
        self.address = address
        self.name = name
        self._prefix = f"{{{name}}}:"
        self._stream, self._state = f"{self._prefix}stream", f"{self._prefix}state"
        self._channel = f"{self._prefix}push"
        self._window_ms = window_ms
        self._version_ms = window_ms if version_keys else 0
        self._wait_replicas = wait_replicas
        self._is_unproven = False
        """A checkpoint may be stored that replicas do not have: it does not count, and nothing may build on it."""
        self._timeout_ms = timeout_ms
        self._client = address.connect_async(timeout_ms)
        self._cluster = ClusterClient(self._client) if address.kind == "cluster" else None
        for command in ("XRANGE", "XREVRANGE"):
            self._client.set_response_callback(command, _as_it_came)
        self._script = self._client.register_script(_APPEND)

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        return cls(RedisAddress.parse(url), **options)

    async def _ask(self, command: Callable[[], Awaitable[Any]]) -> Any:
        return await (command() if self._cluster is None else self._cluster.ask(command))

    async def append(self, batch: Append) -> list[int]:
        has_checkpoint = batch.writer is not None
        if has_checkpoint and self._is_unproven:
            # Else the writer that tries again is refused, finds the checkpoint to be its own, and goes on.
            await self._append(Append((), batch.clock_ms))
            self._is_unproven = False
        try:
            return await self._append(batch)
        except BackendError:
            self._is_unproven |= has_checkpoint and bool(self._wait_replicas)
            raise

    async def _append(self, batch: Append) -> list[int]:
        keys = [self._stream, self._state, self._prefix]
        with translated(str(self.address)):
            try:
                reply, replicas = await self._ask(partial(self._evaluate, keys, self._arguments(batch)))
            except redis.exceptions.ResponseError as error:
                if leads_no_more(error):
                    await self._leave()
                raise
        if reply[0] == b"ok" and replicas < self._wait_replicas:
            raise NotReplicatedError(
                f"appended to Redis {self.address}, but only {replicas} of {self._wait_replicas} replicas have it",
                hint="check the replicas of the stream's Redis, or lower wait_replicas",
            )
        return self._outcome(batch, reply)

    async def _evaluate(self, keys: list[str], arguments: list[str | int | bytes]) -> tuple[Sequence[bytes], int]:
        """Return the script's reply, and how many replicas have what it wrote, if that was asked for."""
        if not self._wait_replicas:
            return await self._script(keys=keys, args=arguments), 0
        return await run_and_wait(
            self._client, self._script, keys, arguments, replicas=self._wait_replicas, wait_ms=WAIT_TIMEOUT_MS
        )

    async def _leave(self) -> None:
        """Close the connections to a Redis that leads no more: its address may lead to another one by now."""
        if self._cluster is None:  # whose client learns by itself where its slots have gone
            await self._client.connection_pool.disconnect(inuse_connections=False)

    def _arguments(self, batch: Append) -> list[str | int | bytes]:
        expected, checkpoint = batch.expected, batch.checkpoint
        arguments: list[str | int | bytes] = [
            batch.writer or "",
            _bytes_of(expected) if expected else "",
            checkpoint.encode() if checkpoint else "",
            batch.clock_ms,
            stamps.text(batch.above),
            batch.digest,
            int(batch.adopt_digest),
            self._window_ms + RETENTION_SLACK_MS,
            self._version_ms if batch.has_readers else 0,
            self._channel,
            REPLAY_SLACK_MS,
            LOSS_LEAD_MS,
        ]
        for entry in batch.entries:
            # As bytes: what the driver would make of them, at a third of the cost.
            arguments += (entry.nonce.encode(), kind_of(entry.body).encode(), encode_body(entry).encode())
        return arguments

    def _outcome(self, batch: Append, reply: Sequence[bytes]) -> list[int]:
        match reply:
            case [b"ok", *ids]:
                return [stamps.parse(_text(id_)) for id_ in ids]
            case [b"digest", stored]:
                raise DigestRefusedError(_text(stored), batch.digest)
            case [b"checkpoint", stored]:
                raise CheckpointRefusedError(batch.writer or "", _checkpoint(stored))
        raise BackendError(f"append script on Redis {self.address} answered {reply!r}")

    async def read_after(self, after: int, *, count: int, block_ms: int = 0) -> list[Entry]:
        block = min(block_ms, BLOCK_MAX_MS) or None
        places = {self._stream: stamps.text(after)}
        with translated(str(self.address)):
            reply = await self._ask(partial(self._client.xread, places, count=count, block=block))
        return await self._decode([item for items in (reply or {}).values() for item in items])

    async def read_before(self, before: int | None, *, count: int) -> list[Entry]:
        end = "+" if before is None else f"({stamps.text(before)}"
        with translated(str(self.address)):
            rows = await self._ask(partial(self._client.xrevrange, self._stream, end, "-", count=count))
        return await self._decode(rows)

    async def read_one(self, stamp: int) -> Entry | None:
        text = stamps.text(stamp)
        with translated(str(self.address)):
            rows = await self._ask(partial(self._client.xrange, self._stream, text, text))
        found = await self._decode(rows)
        return found[0] if found else None

    async def checkpoint(self, writer: str) -> Checkpoint | None:
        with translated(str(self.address)):
            stored = await self._ask(partial(self._client.hget, self._state, f"cp:{writer}"))
        return _checkpoint(stored)

    async def history(self) -> History:
        with translated(str(self.address)):
            found = await self._ask(partial(self._client.hmget, self._state, "history", "torn", "last"))
        server, torn, last = found
        return History(_text(server or b""), self._stamp("torn", torn), self._stamp("last", last))

    async def state(self) -> StreamState:
        with translated(str(self.address)):
            stored = await self._ask(partial(self._client.hgetall, self._state))
        fields: dict[str, bytes] = {_text(k): v for k, v in stored.items()}
        written = ((k[3:], _checkpoint(v)) for k, v in fields.items() if k.startswith("cp:"))
        checkpoints = {writer: found for writer, found in written if found is not None}
        last, since, torn = (self._stamp(name, fields.get(name)) for name in ("last", "since", "torn"))
        nonce, digest = (_text(fields.get(name, b"")) for name in ("nonce", "digest"))
        return StreamState(last, nonce, since, digest, checkpoints, torn)

    def _stamp(self, field: str, stored: bytes | None) -> int:
        """Return that in a field of the state."""
        try:
            return stamps.parse(_text(stored)) if stored else stamps.ZERO
        except FormatError as error:
            what = f"{field} of {self._state} on Redis {self.address}: {error.message}"
            raise BackendError(what, hint=f"redis-cli HDEL '{self._state}' {field}") from error

    @asynccontextmanager
    async def subscribe(self, *, silence_ms: int = 0) -> AsyncIterator[AsyncIterator[Entry | None]]:
        with translated(str(self.address)):
            if self._cluster is not None:
                await self._cluster.learn()  # its subscriptions do not by themselves ask who has the slot
            try:
                async with self._client.pubsub() as pubsub:
                    await pubsub.subscribe(self._channel)
                    await pubsub.get_message(timeout=self._timeout_ms / 1000)
                    yield self._pushed(pubsub, silence_ms / 1000 or None)
            except Exception:
                if self._cluster is not None:
                    self._cluster.forget()  # nor do they notice that it was lost: a follower asks nothing else
                raise

    async def _pushed(self, pubsub: Any, silence_s: float | None) -> AsyncIterator[Entry | None]:
        while True:
            with translated(str(self.address)):
                message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=silence_s)
            if message is not None:
                yield decode_push(message["data"])
            elif silence_s is not None:
                yield None

    async def aclose(self) -> None:
        if self._cluster is not None:
            await self._cluster.aclose()
        await aclose(self._client)

    async def _decode(self, rows: Sequence[tuple[bytes, _Fields]]) -> list[Entry]:
        found: list[Entry] = []
        try:
            for first in range(0, len(rows), ROWS_AT_ONCE):
                if first:
                    await asyncio.sleep(0)
                found += (_decode_row(id_, fields) for id_, fields in rows[first : first + ROWS_AT_ONCE])
        except FormatError as error:
            raise BackendError(f"stream {self._stream} on Redis {self.address}: {error}", hint="XDEL it") from error
        return found


def _as_it_came(reply: Any, **_: Any) -> Any:
    """Keep a row's fields a flat list, as Redis sent them: a dict for each of a million costs a second."""
    return reply


def _decode_row(id_: bytes, fields: _Fields) -> Entry:
    if type(fields) is list and fields[::2] == _NAMES:
        _, kind, _, nonce, _, previous, _, body = fields
    else:
        found = fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2], strict=True))
        kind, nonce, previous, body = (found.get(name, b"") for name in _NAMES)
    ms, _, sequence = id_.partition(b"-")
    # Bytes that are no UTF-8 must not take the good entries of the page with them; in a body they poison the entry.
    return read(
        stamps.make(int(ms), int(sequence)),
        kind.decode(errors="replace"),
        nonce.decode(errors="replace"),
        previous.decode(errors="replace"),
        body,
        loads=orjson.loads,
    )


def decode_push(data: bytes) -> Entry:
    """Raises UnavailableError for what is no push of ours: the subscriber starts over and reads the stream instead."""
    try:
        id_, nonce, previous, kind, body = data.split(b" ", 4)
        before = "" if previous == b"-" else _text(previous)
        return read(stamps.parse(_text(id_)), _text(kind), _text(nonce), before, body, loads=orjson.loads)
    except ValueError as error:
        raise UnavailableError(f"a foreign message on the push channel: {data[:80]!r}") from error


def _checkpoint(stored: bytes | None) -> Checkpoint | None:
    """Whatever is in it: its writer must be able to name it, to replace it."""
    return Checkpoint.decode(stored.decode(errors="surrogateescape")) if stored else None


def _bytes_of(checkpoint: Checkpoint) -> bytes:
    return checkpoint.encode().encode(errors="surrogateescape")


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
