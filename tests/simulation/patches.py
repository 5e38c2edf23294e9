"""What is exchanged under the real code for a run: MySQL, chance, logs, and limits that are constants.

Nothing else is: what a run executes between these borders is what production executes.
"""

import contextlib
import gc
import random
import secrets
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

from replicator.mirror import board, counting, fold, gtids, lags, reader, resume, rewind, settle, target, words, writer
from replicator.mirror import run as mirror_run
from replicator.source import appender as source_appender
from replicator.source import batch, templates
from replicator.source import beginning as source_beginning
from replicator.source import run as source_run
from tests.simulation import binlog, limits
from tests.simulation.process import current
from versioning import backoff, index
from versioning.backends import memory
from versioning.client import core, follower

_LOGGERS = (
    (board, "log"),
    (counting, "log"),
    (gtids, "log"),
    (reader, "log"),
    (target, "log"),
    (writer, "log"),
    (mirror_run, "log"),
    (source_appender, "log"),
    (source_beginning, "log"),
    (source_run, "log"),
    (templates, "_log"),
    (follower, "_log"),
)


class _Silent:
    """A logger of either kind that says nothing."""

    def bind(self, **_: Any) -> "_Silent":
        return self

    @staticmethod
    def exception(what: str, **_: Any) -> None:
        """A bug that a role survives."""
        current().world.violate("roles go on", f"{what}: {sys.exception()!r}")

    def __getattr__(self, name: str) -> Any:
        return _nothing


def _nothing(*_: Any, **__: Any) -> None:
    pass


def _patches(rng: random.Random, page_entries: int) -> Iterator[Any]:
    def token_hex(size: int = 8) -> str:
        return f"{rng.getrandbits(size * 8):0{size * 2}x}"

    silent = _Silent()
    for module, name in _LOGGERS:
        yield mock.patch.object(module, name, silent)
    yield mock.patch.object(secrets, "token_hex", token_hex)
    yield mock.patch.object(core, "new_token", token_hex)
    for name in ("server_facts", "check_server", "find_replay_start", "may_have_begun"):
        yield mock.patch.object(source_beginning, name, getattr(binlog, name))
    yield mock.patch.object(source_beginning, "MySqlClient", binlog.SimulatedClient)
    yield mock.patch.object(source_run, "BinlogReader", binlog.SimulatedReader)
    for module in (source_beginning, source_run):
        yield mock.patch.object(module, "unix_ms", binlog.now_ms)
    for module in (source_beginning, source_run, templates):
        yield mock.patch.object(module, "asyncio", binlog.ASYNCIO_WITHOUT_THREADS)
    for module in (index, lags, memory):
        yield mock.patch.object(module, "REPLAY_SLACK_MS", limits.REPLAY_SLACK_MS)
    yield mock.patch.object(words, "SPREAD_LATE_MS", limits.SPREAD_LATE_MS)
    yield mock.patch.object(batch, "HEADER_LAG_MS", limits.HEADER_LAG_MS)
    yield mock.patch.object(backoff, "LONGEST_S", limits.BACKOFF_MAX_S)
    for module in (follower, fold, target, resume, reader, rewind):
        yield mock.patch.object(module, "PAGE_ENTRIES", page_entries)
    yield mock.patch.object(follower, "OLDER_ENTRIES", page_entries)
    yield mock.patch.object(follower, "PART_ENTRIES", (page_entries + 1) // 2)
    yield mock.patch.object(settle, "LOOK_ENTRIES", page_entries)


@contextlib.contextmanager
def simulated(seed: int, page_entries: int) -> Iterator[None]:
    """Within it the product runs in the simulated world, and its own chance follows the seed."""
    state = random.getstate()
    random.seed(seed)
    # A run is short and lives on: looking through it for garbage again and again costs a tenth of the time.
    gc.disable()
    gtids.position_at.cache_clear()
    with contextlib.ExitStack() as stack:
        for patch in _patches(random.Random(seed), page_entries):
            stack.enter_context(patch)
        try:
            yield
        finally:
            random.setstate(state)
            gc.enable()
