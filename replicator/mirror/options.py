"""How a mirror runs, and what it has counted since its start."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from versioning.checkpoint import mirror_writer
from versioning.errors import ConfigError
from versioning.histogram import Histogram
from versioning.limits import GATE_LIMIT_MS, WINDOW_MS

BATCH_ENTRIES_MAX: Final = 500
"""Entries in one append: Redis runs the script in a few ms."""

BATCH_KEYS_MAX: Final = 5_000
"""Keys in one append: about 300 KiB, for the same reason."""

PROMISED_MAX: Final = 1_000
"""GTIDs that a database is known to have, kept until it has been asked: those below the newest say little more."""

QUEUE_KEYS_MAX: Final = 50_000
"""Keys (or entries without any) waiting in the mirror. More stay in the origin's stream, which is made to hold them."""

FULL_LIMIT_MS: Final = 1_000
"""Longest wait for the replicas where so many wait. With ``gate_limit_ms`` no more than 5,000 keys a second would pass
while a replica is down, and the heartbeats behind them ever later."""


@dataclass(frozen=True, slots=True)
class MirrorOptions:
    origin_dc: str = "a"
    gate_limit_ms: int = GATE_LIMIT_MS
    """Longest wait of an entry for the replicas; then it enters as pending."""
    heartbeat_ms: int = 500
    """Least time between two heartbeats in the target stream."""
    settle_delays_ms: tuple[int, ...] = (1_000, 5_000)
    """With no database listed: when a pending entry is stamped again; the last time, it is settled."""
    window_ms: int = WINDOW_MS
    silence_ms: int = 5_000
    """An origin that pushes nothing for this long (ten heartbeats) is a dead link."""
    check_ms: int = 5_000
    """How often the end of the origin's stream is compared with what was read (P2)."""
    source_late_ms: int = 10_000
    """A heartbeat of the origin may lack what a replica had this long before the time up to which it says to have read
    all: their clocks differ, and an event was on its way to the source."""
    queue_keys_max: int = QUEUE_KEYS_MAX

    def __post_init__(self) -> None:
        if not self.settle_delays_ms or list(self.settle_delays_ms) != sorted(self.settle_delays_ms):
            raise ConfigError("settle_delays_ms must ascend and not be empty", hint="for example 1000, 5000")
        if min(self.gate_limit_ms, self.heartbeat_ms, self.window_ms, self.silence_ms, self.check_ms) <= 0:
            raise ConfigError("a mirror's times must be above zero")

    @property
    def writer(self) -> str:
        return mirror_writer(self.origin_dc)


@dataclass(slots=True)
class GateStats:
    is_up: int = 0
    applied: str = ""
    """Position the replica has applied, as it names it; empty before its first answer."""
    waits: int = 0
    errors: int = 0
    rewinds: int = 0
    """Times the replica had less than it had before (restored from an older copy): look at it."""
    is_ahead: int = 0
    """Whether it has what the origin's source says there is not: that reads another primary than this follows."""
    last_error: str = ""


class LostLink(StrEnum):
    """Why a link was lost: the first four to the origin, the others to the target."""

    LINK_LOST = "link_lost"
    SILENT = "silent"
    ACCESS_DENIED = "access_denied"
    ORIGIN_LOST = "origin_lost"
    TARGET_LOST = "target_lost"
    TARGET_DENIED = "target_denied"


class Break(StrEnum):
    """How a stream's continuity broke."""

    FIRST_START = "first_start"
    ORIGIN_CHANGED = "origin_changed"
    ORIGIN_TORN = "origin_torn"
    ORIGIN_HOLE = "origin_hole"
    ORIGIN_SHORTENED = "origin_shortened"
    ORIGIN_MIRRORED = "origin_mirrored"
    STAMP_REUSED = "stamp_reused"
    FLOOR_MISSING = "floor_missing"
    HISTORIES_DIFFER = "histories_differ"
    CHECKPOINT_LOST = "checkpoint_lost"
    CHECKPOINT_BEHIND = "checkpoint_behind"
    CHECKPOINT_UNREADABLE = "checkpoint_unreadable"
    TARGET_SHORT = "target_short"


@dataclass(slots=True)
class MirrorStats:
    """Plain numbers, read by whoever exports them."""

    entries: int = 0
    """Origin entries appended, heartbeats not counted."""
    keys: int = 0
    heartbeats: int = 0
    entries_pending: int = 0
    """Entries that left the gate at its time limit (or at once, with no database listed)."""
    entries_settled: int = 0
    entries_renewed: int = 0
    held: int = 0
    """Entries that wait for the gate now."""
    pending: int = 0
    """Keys and namespaces that are pending now."""
    appends: int = 0
    appends_refused: int = 0
    appends_failed: int = 0
    entries_covered: int = 0
    """Entries dropped because another mirror had appended them."""
    breaks: int = 0
    breaks_by_reason: dict[str, int] = field(default_factory=dict)
    reconnects_by_reason: dict[str, int] = field(default_factory=dict)
    gaps: int = 0
    poisoned: int = 0
    replays_not_claimed: int = 0
    read_ms: int = 0
    """Unix time in ms of the last heartbeat in the target stream: up to which the source has read."""
    applied_ms: int = 0
    """Unix time in ms up to which every listed replica has applied; 0 with none listed."""
    is_connected: int = 0
    """Whether the origin is being read now."""
    last_error: str = ""
    last_reason: str = ""
    """Of the last break or lost link, as it is counted above."""
    gates: dict[str, GateStats] = field(default_factory=dict)
    stream_latency: Histogram = field(default_factory=Histogram)
    """From the origin's stamp of each change and generation until this mirror had appended it."""
    gate_hold: Histogram = field(default_factory=Histogram)
    """From the arrival of the same here until then: mostly what they waited for the replicas."""

    def count_break(self, reason: Break) -> None:
        self.breaks += 1
        self.last_reason = reason
        self.breaks_by_reason[reason] = self.breaks_by_reason.get(reason, 0) + 1

    def count_reconnect(self, reason: LostLink) -> None:
        self.last_reason = reason
        self.reconnects_by_reason[reason] = self.reconnects_by_reason.get(reason, 0) + 1
