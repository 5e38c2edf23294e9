"""From one follower to any number of listeners. One that does not keep up is let go: it never slows the others."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from app.connections import files_max
from versioning import stamp as stamps
from versioning.cli.describe import entry_fields, kind_name
from versioning.client.waiting import wait
from versioning.entries import Change, Entry, Generation
from versioning.keys import namespace_of

QUEUE_EVENTS_MAX: Final = 10_000
"""Ten pages of the follower: one that catches up must not take its listeners for slow ones."""

CLIENTS_MAX: Final = min(1_000, files_max() // 2)
"""Each costs a file, for as long as it likes, and at worst a full queue of references to shared events."""

SILENCE_S: Final = 15.0
"""Heartbeats come twice a second. Without any, a listener is told so often that the connection still is one."""


class Event(NamedTuple):
    stamp: int
    name: str
    data: str
    """JSON, encoded once for all listeners."""
    namespaces: frozenset[str] | None
    """Namespaces the event is about; None: of interest to everyone."""

    def is_for(self, namespace: str) -> bool:
        return not namespace or self.namespaces is None or namespace in self.namespaces


SILENCE: Final = Event(stamps.ZERO, "silence", "", None)
"""Nothing came for ``SILENCE_S``."""


def event_of(entry: Entry) -> Event:
    match entry.body:
        case Change() as body:
            namespaces: frozenset[str] | None = frozenset(map(namespace_of, body.keys))
        case Generation() as body:
            namespaces = frozenset(body.namespaces)
        case _:
            namespaces = None
    return Event(entry.stamp, kind_name(entry), _json(entry_fields(entry)), namespaces)


def own_event(name: str, stamp: int, **fields: object) -> Event:
    return Event(stamp, name, _json({"stamp": stamps.text(stamp), "kind": name, **fields}), None)


def gap_before(entry: Entry, reason: str) -> Event:
    """Not with the entry's own stamp: a client that goes with that as its last id would not be sent the entry again."""
    return own_event("gap", entry.stamp - 1, reason=reason)


def _json(fields: dict[str, Any]) -> str:
    # Not orjson: it raises on a lone surrogate, and whatever the stream holds must not end the follower.
    return json.dumps(fields, separators=(",", ":"))


class Listener:
    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.is_slow = False
        self._events: deque[Event] = deque()
        self._wake = asyncio.Event()
        self._is_ended = False

    def offer(self, event: Event) -> None:
        if not event.is_for(self.namespace):
            return
        if len(self._events) >= QUEUE_EVENTS_MAX:
            self.is_slow = True
            self._events.clear()
            self.end()
            return
        self._events.append(event)
        self._wake.set()

    def end(self) -> None:
        self._is_ended = True
        self._wake.set()

    async def events(self) -> AsyncGenerator[Event]:
        """Yield what was offered, or SILENCE, until the end; then ``is_slow`` says whether that was its own fault."""
        while not self._is_ended or self._events:
            while self._events:
                yield self._events.popleft()
            if not (self._is_ended or await self._is_woken()):
                yield SILENCE

    async def _is_woken(self) -> bool:
        is_woken = await wait(self._wake, SILENCE_S)
        self._wake.clear()
        return is_woken


class Fanout:
    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self.slow_count = 0

    def __len__(self) -> int:
        return len(self._listeners)

    @property
    def is_full(self) -> bool:
        return len(self._listeners) >= CLIENTS_MAX

    def publish(self, event: Event) -> None:
        # One that is slow counts until its request ends: at the latest when its connection is owed for too long.
        for listener in self._listeners:
            if not listener.is_slow:
                listener.offer(event)
                self.slow_count += listener.is_slow

    @contextmanager
    def listen(self, namespace: str = "") -> Iterator[Listener]:
        listener = Listener(namespace)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def close(self) -> None:
        """End every listener's events, so that their connections end."""
        for listener in self._listeners:
            listener.end()
