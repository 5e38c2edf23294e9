"""Is this Redis fit for a stamp stream, and does the stream in it hold what it should?"""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from replicator.doctor.findings import Findings, Subject
from replicator.source.preflight import other_writers
from versioning import stamp as stamps
from versioning.backends.base import StreamState
from versioning.backends.redis_facts import RedisFacts
from versioning.entries import Entry
from versioning.limits import MAX_LAG_MS

VERSION_MIN: Final = (7, 0)
MEMORY_FULL: Final = 0.9
FENCE_S: Final = 5
"""Sooner than a Sentinel promotes: below its ``down-after-milliseconds``."""
HANDS_OFF: Final = (
    "let nothing but stampline write there (no XADD, XTRIM, XDEL, FLUSHALL); it heals by itself within one window"
)


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """One ``[stream]``, or the origin of a mirror, with its Redis."""

    role: str
    address: str
    servers: tuple[RedisFacts, ...] = ()
    state: StreamState | None = None
    oldest: Entry | None = None
    newest: Entry | None = None
    """Read after ``state``: never below it in a healthy stream."""
    now_ms: int = 0
    window_ms: int = 0
    wait_replicas: int | None = 0
    """None: what its writers wait for is in the settings of another datacenter."""
    writers: tuple[str, ...] = ()
    """Whose checkpoints should be in it: ``source:mysql-a``."""
    name: str = "stampline"
    digest: str = ""
    """Of the configured key templates; empty where they are not known here."""

    @property
    def subject(self) -> Subject:
        return Subject(f"{self.role} {self.address}")

    def server(self, facts: RedisFacts) -> Subject:
        """One of a Cluster has an address of its own."""
        return Subject(f"{self.role} {facts.address}")


def check_server(subject: Subject, facts: RedisFacts) -> Findings:
    """Hold for any Redis we use, that of the cached values included."""
    version = tuple(int(part) for part in facts.version.split(".")[:2] if part.isdecimal())
    if version < VERSION_MIN:
        what = f"Redis {facts.version or 'of unknown version'} is older than 7.0"
        yield subject.error("redis_version", what, "install Redis 7.0 or newer")
    if facts.is_saving_failed:
        what = "its last write to disk failed: it refuses writes, or a restart will lose them"
        yield subject.error("redis_saving", what, "free its disk, then redis-cli BGSAVE")
    if facts.role != "master":
        yield subject.error(
            "redis_role", "it is a replica, and takes no writes", "name the primary, or use sentinel://"
        )


def eviction(subject: Subject, stream: StreamFacts, facts: RedisFacts) -> Findings:
    del stream
    if facts.policy != "noeviction":
        what = f"maxmemory-policy is {facts.policy}: it may evict stamps that were acknowledged"
        fix = "redis-cli CONFIG SET maxmemory-policy noeviction; and the same in redis.conf"
        yield subject.error("eviction", what, fix)


def memory(subject: Subject, stream: StreamFacts, facts: RedisFacts) -> Findings:
    del stream
    if facts.memory_limit_bytes and facts.memory_used_bytes > MEMORY_FULL * facts.memory_limit_bytes:
        what = f"{facts.memory_used_bytes} of {facts.memory_limit_bytes} bytes are used: appends fail when it is full"
        fix = f"redis-cli CONFIG SET maxmemory {facts.memory_limit_bytes * 2}; and the same in redis.conf"
        yield subject.warning("memory", what, fix)


def persistence(subject: Subject, stream: StreamFacts, facts: RedisFacts) -> Findings:
    del stream
    if not facts.has_aof:
        what = "appendonly is no: a restart loses stamps, and all values are UNKNOWN until one window is replayed"
        fix = "redis-cli CONFIG SET appendonly yes; and appendonly yes in redis.conf"
        yield subject.warning("persistence", what, fix)


def replicas(subject: Subject, stream: StreamFacts, facts: RedisFacts) -> Findings:
    if stream.wait_replicas is None:
        return
    if stream.wait_replicas > facts.replicas:
        what = f"wait_replicas is {stream.wait_replicas}, and {facts.replicas} replicas are online: no append counts"
        fix = f"start the missing replicas, or write wait_replicas = {facts.replicas} into [stream]"
        yield subject.error("replicas", what, fix)
    elif facts.replicas and not stream.wait_replicas:
        what = f"{facts.replicas} replicas are online and wait_replicas is 0: a failover loses acknowledged stamps"
        yield subject.warning("replicas", what, "write wait_replicas = 1 into [stream]")


def split_brain(subject: Subject, stream: StreamFacts, facts: RedisFacts) -> Findings:
    del stream
    if facts.replicas and not facts.is_fenced:
        what = "min-replicas-to-write is 0: cut off from its replicas it goes on beside the one promoted meanwhile"
        fix = f"redis-cli CONFIG SET min-replicas-to-write 1 min-replicas-max-lag {FENCE_S}; and the same in redis.conf"
        if facts.replicas == 1:
            fix = f"add a second replica, or a failure of this one stops the stream; then {fix}"
        yield subject.warning("split_brain", what, fix)


def ends(stream: StreamFacts) -> Findings:
    state, newest = stream.state, stream.newest
    if state is None or (state.last == stamps.ZERO and newest is None):
        return
    if newest is None or newest.stamp < state.last:
        found = "nothing" if newest is None else stamps.text(newest.stamp)
        what = f"the stream ends at {found}, and {stamps.text(state.last)} was handed out: entries were removed"
        yield stream.subject.error("stream_end", what, HANDS_OFF)
    elif state.last == stamps.ZERO:
        yield stream.subject.error("stream_state", "its state is gone, and the entries are not", HANDS_OFF)


def torn(stream: StreamFacts) -> Findings:
    if stream.state is None:
        return
    ago_ms = stream.now_ms - stamps.ms_of(stream.state.torn)
    if ago_ms <= stream.window_ms:
        what = f"somebody deleted entries from it, or added some, until {max(ago_ms, 0) // 1000} s ago"
        yield stream.subject.warning("stream_torn", what, HANDS_OFF)


def trimmed(stream: StreamFacts) -> Findings:
    oldest, newest = stream.oldest, stream.newest
    if oldest is None or newest is None or not oldest.previous:
        return
    kept_ms = stamps.ms_of(newest.stamp) - stamps.ms_of(oldest.stamp)
    if kept_ms < stream.window_ms:
        what = f"entries are trimmed after {kept_ms // 1000} s, and the window is {stream.window_ms // 1000} s"
        fix = f"write window_s = {stream.window_ms // 1000} into [stream] of every process; let nothing else XTRIM it"
        yield stream.subject.error("stream_trimmed", what, fix)


def checkpoints(stream: StreamFacts) -> Findings:
    if stream.state is None:
        return
    for writer in stream.writers:
        role = writer.partition(":")[0]
        found = stream.state.checkpoints.get(writer)
        if found is None:
            what = f"{writer} has never written to it"
            yield stream.subject.warning("checkpoint", what, f"stampline {role} --config FILE")
            continue
        if found.damaged is not None:
            continue
        age_ms = stream.now_ms - found.read_ms
        fix = f"stampline {role} --config FILE; if it runs, its log names the reason"
        if not found.read_ms:
            what = f"{writer} has written to it, and no heartbeat yet: followers vouch for nothing"
            yield stream.subject.warning("checkpoint", what, f"wait for the end of its replay, up to 240 s; else {fix}")
        elif age_ms > stream.window_ms:
            what = f"{writer} was last heard of {age_ms // 1000} s ago, longer than the window: nothing is vouched for"
            yield stream.subject.error("checkpoint", what, fix)
        elif age_ms > MAX_LAG_MS:
            what = f"{writer} was last heard of {age_ms // 1000} s ago: followers vouch for nothing"
            yield stream.subject.warning("checkpoint", what, fix)


def damaged(stream: StreamFacts) -> Findings:
    written = stream.state.checkpoints if stream.state is not None else {}
    for writer, found in written.items():
        if found.damaged is not None:
            delete = f"redis-cli HDEL '{{{stream.name}}}:state' {shlex.quote(f'cp:{writer}')}"
            what = f"checkpoint of {writer}: {found.position}"
            fix = f"{delete}; while {writer} runs it does so itself, and replays one window"
            yield stream.subject.warning("checkpoint_damaged", what, fix)


def writers(stream: StreamFacts) -> Findings:
    if stream.state is None or not stream.writers:
        return
    for name in other_writers(stream.state.checkpoints, stream.writers, stream.now_ms):
        what = f"{name} writes to it too: the heartbeats of one writer vouch for the keys of the other"
        yield stream.subject.error("writers", what, "one source.name for every MySQL, and a stream.name of its own")


def templates(stream: StreamFacts) -> Findings:
    if stream.state is None or not stream.digest or stream.state.digest in {"", stream.digest}:
        return
    what = f"it was written with key templates {stream.state.digest[:12]}, these are {stream.digest[:12]}"
    fix = "give every source the same [[table]] sections, or: stampline source --adopt-templates"
    yield stream.subject.error("templates", what, fix)


SERVER_CHECKS: Final[tuple[Callable[[Subject, StreamFacts, RedisFacts], Findings], ...]] = (
    eviction, memory, persistence, replicas, split_brain,
)  # fmt: skip
STREAM_CHECKS: Final[tuple[Callable[[StreamFacts], Findings], ...]] = (
    ends, torn, trimmed, checkpoints, damaged, writers, templates,
)  # fmt: skip


def check_stream(stream: StreamFacts) -> Findings:
    for facts in stream.servers:
        subject = stream.server(facts)
        yield from check_server(subject, facts)
        for check_one in SERVER_CHECKS:
            yield from check_one(subject, stream, facts)
    for check in STREAM_CHECKS:
        yield from check(stream)
