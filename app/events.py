"""The stamp stream as server-sent events, for clients that cannot reach Redis.

Law: a client that keeps the id of the last event misses nothing. It gets every entry after that id, or an event ``gap``
(everything before it is unknown to the client now). Events: ``opened`` first, then entries under the names of their
kinds, ``slow`` before a client that does not keep up is let go, ``unavailable`` before one that must come back.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Response
from fastapi.responses import StreamingResponse

from app.errors import ApiError
from app.fanout import SILENCE, Event, Listener, event_of, gap_before, own_event
from app.knowledge import Knowledge
from app.versions import horizon_text, parse_stamp
from versioning import stamp as stamps
from versioning.backends.base import BackendError

PAGE_ENTRIES: Final = 500
RETRY_MS: Final = 1_000

_KIND: Final = "text/event-stream"
_HEADERS: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
"""Neither a cache nor a proxy may keep events back."""

_DOCUMENTED: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {_KIND: {"schema": {"type": "string"}}}}}


def router(knowledge: Knowledge) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["stream"])

    # A dependency, because it may still refuse: the first line of the stream itself says 200.
    def resume_after(last_event_id: Annotated[str | None, Header()] = None) -> int | None:
        if knowledge.fanout.is_full:
            raise ApiError(503, "too_many_listeners", "no more listeners fit", hint="ask another service")
        return parse_stamp(last_event_id) if last_event_id else None

    # Another one, because it ends with the request. The generator of a client that goes away with events on their way
    # to it stays where it is, and would listen on until the garbage collector comes by.
    async def told(
        after: Annotated[int | None, Depends(resume_after)], namespace: str = ""
    ) -> AsyncIterator[AsyncIterator[Event]]:
        async with aclosing(events(knowledge, namespace, after)) as found:
            yield found

    # Not FastAPI's own events: theirs end in a traceback for each client that goes away like that.
    @routes.get("/stream", response_class=Response, responses=_DOCUMENTED)
    async def stream(found: Annotated[AsyncIterator[Event], Depends(told)]) -> StreamingResponse:
        """Entries as they come; with `Last-Event-ID` (a stamp), all since that one first. `namespace` filters."""
        return StreamingResponse((_text(event) async for event in found), media_type=_KIND, headers=_HEADERS)

    return routes


def _text(event: Event) -> str:
    """Data is JSON, which has no line breaks."""
    if event is SILENCE:
        return ": ping\n\n"
    lines = f"event: {event.name}\ndata: {event.data}\nid: {stamps.text(event.stamp)}\n"
    return f"{lines}retry: {RETRY_MS}\n\n" if event.name == "opened" else f"{lines}\n"


async def events(knowledge: Knowledge, namespace: str, after: int | None) -> AsyncGenerator[Event]:
    # Listening begins before the past is read: what comes meanwhile waits, and what is in both is sent once.
    with knowledge.fanout.listen(namespace) as listener:
        sent = knowledge.index.watermark if after is None else after
        has_begun = knowledge.follower.has_begun
        yield own_event("opened", sent, horizon=horizon_text(knowledge), doubt=knowledge.doubt(knowledge.clock()))
        if not has_begun:
            # What the follower begins with is told to nobody: this listener would miss it without a word.
            yield own_event("unavailable", sent, reason=knowledge.loss or "starting: the stream has not been read yet")
            return
        try:
            if after is not None:
                async for event in _past(knowledge, after):
                    sent = event.stamp
                    if event.is_for(namespace):
                        yield event
        except BackendError as error:
            yield own_event("unavailable", sent, reason=str(error))
            return
        async for event in _live(listener, sent):
            yield event


async def _live(listener: Listener, sent: int) -> AsyncIterator[Event]:
    is_joined = False
    async for event in listener.events():
        if event is SILENCE:
            yield event
            continue
        # Only the first ones can be in both. Later stamps may even be lower: then a gap has said so.
        is_joined = is_joined or event.stamp > sent or event.name == "gap"
        if is_joined:
            sent = event.stamp
            yield event
    if listener.is_slow:
        yield own_event("slow", sent, reason="the client did not keep up; come back with the last id")


async def _past(knowledge: Knowledge, after: int) -> AsyncIterator[Event]:
    stream, until = knowledge.stream, knowledge.index.watermark
    async with knowledge.past_reads:
        held = await stream.read_one(after)
    nonce = held.nonce if held else ""
    if held is None:
        # The reader's history is not in the stream (any more): it starts over, from now.
        yield own_event("gap", until, reason="the stream does not hold that id")
        return
    while after < until:
        async with knowledge.past_reads:
            page = await stream.read_after(after, count=PAGE_ENTRIES)
        if not page:
            return
        for entry in page:
            if entry.previous != nonce:
                yield gap_before(entry, "the stream's history was broken")
            yield event_of(entry)
            after, nonce = entry.stamp, entry.nonce
