"""``stampline status``: both datacenters as a version service sees them, or what a follower of the stream knows now.

Once, or again and again. rich, which shows the latter, comes with typer.
"""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, nullcontext
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.live import Live
from rich.text import Text

from versioning import stamp as stamps
from versioning.backends.base import BackendError, StreamState
from versioning.backends.tls import TlsFiles
from versioning.cli import picture
from versioning.cli.backends import open_stream
from versioning.cli.describe import time_text
from versioning.cli.duration import parse_duration_s
from versioning.cli.help import explained
from versioning.cli.masked import mask_url
from versioning.cli.options import CaOption, CertOption, ConfigOption, JsonOption, KeyOption, UrlOption
from versioning.cli.sections import StreamSection
from versioning.cli.service import ask
from versioning.cli.settings import Settings
from versioning.client.clock import system_clock
from versioning.client.follower import Follower
from versioning.errors import StamplineError
from versioning.index import Index

SITE: Final = "/v1/site"
EVERY_LEAST_S: Final = 0.2

Report = dict[str, Any]


@explained(
    "stampline status --url http://127.0.0.1:8700           # both datacenters, as on the dashboard",
    "stampline status --url http://127.0.0.1:8700 --watch   # until Ctrl-C",
    "stampline status --config stampline.toml --json | jq .lag_ms",
    exits={0: "shown, however it looks"},
)
def status(
    *,
    url: UrlOption = "",
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Again and again, until Ctrl-C.")] = False,
    every_s: Annotated[
        float, typer.Option("--every", metavar="DURATION", parser=parse_duration_s, help="For --watch: how often.")
    ] = 2.0,
    ssl_ca: CaOption = None,
    ssl_cert: CertOption = None,
    ssl_key: KeyOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show both datacenters (with --url), or the configured stream and the lag a follower of it sees."""
    tls = TlsFiles.of(ssl_ca, ssl_cert, ssl_key)
    reports = _of_service(url, tls) if url else _of_stream(config)
    if watch:
        asyncio.run(_watch(reports, max(every_s, EVERY_LEAST_S), as_json=as_json))
    else:
        report = asyncio.run(_first(reports))
        typer.echo(json.dumps(report) if as_json else "\n".join(lines(report)))


def lines(report: Report) -> list[str]:
    """Return styled lines of a site, of a stream, or of why there is neither."""
    if "error" in report:
        return [f"{picture.state_word('critical')}  {report['error']}"]
    return picture.lines(report) if "flow" in report else _stream_lines(report)


async def _first(reports: AsyncGenerator[Report]) -> Report:
    async with aclosing(reports):
        return await anext(reports)


async def _watch(reports: AsyncGenerator[Report], every_s: float, *, as_json: bool) -> None:
    """The first report may fail; a later failure is shown in its place, for that is what one watches for."""
    is_screen = sys.stdout.isatty() and not as_json
    async with aclosing(reports):
        with Live(screen=True, auto_refresh=False) if is_screen else nullcontext() as screen:
            async for report in reports:
                if screen is not None:
                    screen.update(Text.from_ansi("\n".join(lines(report))), refresh=True)
                else:
                    typer.echo(json.dumps(report) if as_json else "\n".join([*lines(report), ""]))
                await asyncio.sleep(every_s)


async def _of_service(url: str, tls: TlsFiles) -> AsyncGenerator[Report]:
    yield await asyncio.to_thread(ask, url, SITE, tls)
    while True:
        try:
            report = await asyncio.to_thread(ask, url, SITE, tls)
        except StamplineError as error:
            report = {"error": str(error)}
        yield report


async def _of_stream(config: Path | None) -> AsyncGenerator[Report]:
    section = Settings.load(config).one(StreamSection)
    stream, index = open_stream(section, version_keys=False), Index(window_ms=section.window_ms)
    follower = Follower(stream, index)
    try:
        # First by itself: an unreachable or refusing Redis is an error here, not a follower that waits.
        state = await stream.state()
        await follower.start()
        head = {"stream": mask_url(section.url), "name": section.name}
        yield head | _of_state(state) | _of_follower(follower)
        while True:
            try:
                yield head | _of_state(await stream.state()) | _of_follower(follower)
            except BackendError as error:
                yield {"error": str(error)}
    finally:
        await follower.aclose()
        await stream.aclose()


def _of_state(state: StreamState) -> Report:
    now_ms = system_clock().ms
    return {
        "last": stamps.text(state.last),
        "last_time": time_text(stamps.ms_of(state.last)),
        "complete_since": time_text(stamps.ms_of(state.since)),
        "templates_digest": state.digest or None,
        "checkpoints": {
            # 0: no heartbeat of it has come yet.
            writer: {"position": at.position, "read_age_ms": now_ms - at.read_ms if at.read_ms else None}
            for writer, at in sorted(state.checkpoints.items())
        },
    }


def _of_follower(follower: Follower) -> Report:
    now, index = system_clock(), follower.index
    return {
        "lag_ms": index.liveness.lag_ms(now),
        "replica_lag_ms": index.liveness.replica_lag_ms(now),
        "is_lagging": index.is_lagging(now),
        "keys_in_window": len(index),
        "pending": index.pending_count,
        "breaks": follower.stats.breaks,
        "poisoned": follower.stats.poisoned,
    }


def _stream_lines(report: Report) -> list[str]:
    found: list[str] = []
    for name, value in report.items():
        if isinstance(value, dict):
            found += [f"{name}:", *(f"  {inner}: {json.dumps(fields)}" for inner, fields in value.items())]
        else:
            found.append(f"{name}: {'-' if value is None else value}")
    return found
