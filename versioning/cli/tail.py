"""``stampline tail``: the entries of the stream as they come."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Annotated

import typer

from versioning import stamp as stamps
from versioning.backends.base import StreamBackend, UnavailableError
from versioning.cli.backends import open_stream
from versioning.cli.describe import entry_fields, entry_line, kind_name
from versioning.cli.help import explained
from versioning.cli.options import ConfigOption, JsonOption
from versioning.cli.sections import StreamSection
from versioning.cli.settings import Settings
from versioning.entries import Change, Entry, Generation, Heartbeat
from versioning.keys import namespace_of

PAGE_ENTRIES = 500
LOOK_BACK_MAX = 200_000
"""Entries: a few seconds of reading; a window of heartbeats alone has 5,000."""
BLOCK_MS = 1_000
AGAIN_S = 1.0
COLOURS = {"gap": typer.colors.RED, "replayed": typer.colors.YELLOW, "generation": typer.colors.YELLOW}


@explained(
    "stampline tail --config stampline.toml                     # the last ten, then what comes, until Ctrl-C",
    "stampline tail --namespace tracker_web --heartbeats -n 0",
    "stampline tail --no-follow -n 1000 --json | jq -r 'select(.kind == \"change\") | .keys[]'",
)
def tail(
    *,
    config: ConfigOption = None,
    count: Annotated[
        int, typer.Option("--lines", "-n", min=0, max=10_000, help="Show this many first, of those wanted.")
    ] = 10,
    follow: Annotated[bool, typer.Option(help="Go on with what comes.")] = True,
    namespace: Annotated[str, typer.Option(metavar="NAME", help="Only entries that touch this namespace.")] = "",
    heartbeats: Annotated[bool, typer.Option("--heartbeats", help="Show heartbeats as well.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the entries of the stream, oldest first."""
    section = Settings.load(config).one(StreamSection)

    def wanted(entry: Entry) -> bool:
        return is_wanted(entry, namespace, heartbeats=heartbeats)

    async def run() -> None:
        stream = open_stream(section, version_keys=False)
        try:
            async for entry in entries(stream, count, wanted, follow=follow, note=_note):
                typer.echo(json.dumps(entry_fields(entry)) if as_json else _styled(entry))
        finally:
            await stream.aclose()

    asyncio.run(run())


def is_wanted(entry: Entry, namespace: str, *, heartbeats: bool) -> bool:
    match entry.body:
        case Heartbeat():
            return heartbeats
        case Change() as body if namespace:
            return namespace in map(namespace_of, body.keys)
        case Generation() as body if namespace:
            return namespace in body.namespaces
    return True


async def entries(
    stream: StreamBackend,
    count: int,
    wanted: Callable[[Entry], bool],
    *,
    follow: bool,
    note: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[Entry]:
    """Yield the last ``count`` wanted entries, then what comes of them.

    A lost connection is noted and tried again, not raised.
    """
    newest = await stream.read_before(None, count=1)
    last = newest[0].stamp if newest else stamps.ZERO
    for entry in reversed(await _last(stream, last + 1, count, wanted, note)):
        yield entry
    while follow:
        try:
            page = await stream.read_after(last, count=PAGE_ENTRIES, block_ms=BLOCK_MS)
            if not page and await _ends_before(stream, last):
                note("the stream has been set back: what follows may have been shown before")
                last = stamps.ZERO
        except UnavailableError as error:
            note(f"{error}; trying again")
            await asyncio.sleep(AGAIN_S)
            continue
        for entry in page:
            last = entry.stamp
            if wanted(entry):
                yield entry


async def _last(
    stream: StreamBackend, before: int, count: int, wanted: Callable[[Entry], bool], note: Callable[[str], None]
) -> list[Entry]:
    """Return up to ``count`` wanted entries, newest first."""
    found: list[Entry] = []
    looked_at = 0
    while len(found) < count:
        if looked_at >= LOOK_BACK_MAX:
            note(f"only the last {looked_at} entries were looked at")
            break
        page = await stream.read_before(before, count=PAGE_ENTRIES)
        if not page:
            break
        found += filter(wanted, page)
        looked_at += len(page)
        before = page[-1].stamp
    return found[:count]


async def _ends_before(stream: StreamBackend, stamp: int) -> bool:
    """A read past the end of a stream that was flushed or failed over stays empty for ever (P2)."""
    newest = await stream.read_before(None, count=1)
    return bool(newest) and newest[0].stamp < stamp


def _note(text: str) -> None:
    typer.echo(f"stampline: {text}", err=True)


def _styled(entry: Entry) -> str:
    colour = COLOURS.get(kind_name(entry))
    return entry_line(entry) if colour is None else typer.style(entry_line(entry), fg=colour)
