"""``stampline status``: what a follower of the configured stream knows right now."""

import asyncio
import json
from typing import Any

import typer

from versioning import stamp as stamps
from versioning.backends.base import StreamBackend, StreamState
from versioning.cli.backends import open_stream
from versioning.cli.describe import time_text
from versioning.cli.masked import mask_url
from versioning.cli.options import ConfigOption, JsonOption
from versioning.cli.sections import StreamSection
from versioning.cli.settings import Settings
from versioning.client.clock import system_clock
from versioning.client.follower import Follower
from versioning.index import Index


def status(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show the stream, its checkpoints, and the lag a follower sees."""
    section = Settings.load(config).one(StreamSection)
    report = {"stream": mask_url(section.url), "name": section.name} | asyncio.run(_ask(section))
    if as_json:
        typer.echo(json.dumps(report))
        return
    for name, value in report.items():
        if isinstance(value, dict):
            typer.echo(f"{name}:")
            for inner, fields in value.items():
                typer.echo(f"  {inner}: {json.dumps(fields)}")
        else:
            typer.echo(f"{name}: {'-' if value is None else value}")


async def _ask(section: StreamSection) -> dict[str, Any]:
    stream = open_stream(section, version_keys=False)
    try:
        # First by itself: an unreachable or refusing Redis is an error here, not a follower that waits.
        state = await stream.state()
        return _of_state(state) | await _of_follower(stream, Index(window_ms=section.window_ms))
    finally:
        await stream.aclose()


def _of_state(state: StreamState) -> dict[str, Any]:
    now_ms = system_clock().ms
    return {
        "last": stamps.text(state.last),
        "last_time": time_text(stamps.ms_of(state.last)),
        "complete_since": time_text(stamps.ms_of(state.since)),
        "templates_digest": state.digest or None,
        "checkpoints": {
            writer: {"position": at.position, "read_age_ms": now_ms - at.read_ms}
            for writer, at in sorted(state.checkpoints.items())
        },
    }


async def _of_follower(stream: StreamBackend, index: Index) -> dict[str, Any]:
    follower = Follower(stream, index)
    await follower.start()
    await follower.aclose()
    now = system_clock()
    return {
        "lag_ms": index.liveness.lag_ms(now),
        "replica_lag_ms": index.liveness.replica_lag_ms(now),
        "is_lagging": index.is_lagging(now),
        "keys_in_window": len(index),
        "pending": index.pending_count,
        "breaks": follower.stats.breaks,
        "poisoned": follower.stats.poisoned,
    }
