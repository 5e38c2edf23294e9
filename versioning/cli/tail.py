"""``stampline tail``: the entries of the stream as they come."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated

import typer

from versioning import stamp as stamps
from versioning.backends.base import StreamBackend
from versioning.cli.backends import open_stream
from versioning.cli.describe import entry_fields, entry_line
from versioning.cli.options import ConfigOption, JsonOption
from versioning.cli.sections import StreamSection
from versioning.cli.settings import Settings
from versioning.entries import Change, Entry, Generation, Heartbeat

PAGE_ENTRIES = 500
BLOCK_MS = 1_000


def tail(
    *,
    config: ConfigOption = None,
    count: Annotated[int, typer.Option("--lines", "-n", min=0, max=10_000, help="Begin this many entries back.")] = 10,
    follow: Annotated[bool, typer.Option(help="Go on with what comes.")] = True,
    namespace: Annotated[str, typer.Option(metavar="NAME", help="Only entries that touch this namespace.")] = "",
    heartbeats: Annotated[bool, typer.Option("--heartbeats", help="Show heartbeats as well.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the entries of the stream, oldest first."""
    section = Settings.load(config).one(StreamSection)

    async def run() -> None:
        stream = open_stream(section, version_keys=False)
        try:
            async for entry in entries(stream, count, follow=follow):
                if is_wanted(entry, namespace, heartbeats=heartbeats):
                    typer.echo(json.dumps(entry_fields(entry)) if as_json else entry_line(entry))
        finally:
            await stream.aclose()

    asyncio.run(run())


def is_wanted(entry: Entry, namespace: str, *, heartbeats: bool) -> bool:
    match entry.body:
        case Heartbeat():
            return heartbeats
        case Change() as body if namespace:
            return any(key.partition(":")[0] == namespace for key in body.keys)
        case Generation() as body if namespace:
            return namespace in body.namespaces
    return True


async def entries(stream: StreamBackend, count: int, *, follow: bool) -> AsyncIterator[Entry]:
    newest = await stream.read_before(None, count=max(count, 1))
    last = newest[0].stamp if newest else stamps.ZERO
    for entry in reversed(newest[:count]):
        yield entry
    while follow:
        for entry in await stream.read_after(last, count=PAGE_ENTRIES, block_ms=BLOCK_MS):
            last = entry.stamp
            yield entry
