"""A script in a process of its own, which follows a stream and ends in silence."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from deploy.simulation.redis_server import RedisServer
from tests.integration.feed import Feed

ROOT = Path(__file__).parents[2]


def check_silent(script: str, redis: RedisServer, *ignored: str) -> None:
    """Run it with the URL of ``redis``; it must print ``done``, no more. ``ignored``: warnings that are no errors."""
    filters = [part for warning in ("error", *ignored) for part in ("-W", warning)]
    command = [sys.executable, *filters, "-c", script, redis.url]
    pipe = subprocess.PIPE
    # A session of its own: a child of the child that hangs must end with the test.
    with (
        Feed(redis.url),
        subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True, cwd=ROOT) as ran,
    ):
        try:
            printed, complained = ran.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(ran.pid, signal.SIGKILL)
            raise
    assert (ran.returncode, printed.strip(), complained) == (0, "done", "")
