"""Origin entries between their reading and their append, in order.

Law: an entry leaves when every replica has applied its GTID, or at its time limit, then marked pending; never before
the entry in front of it. So an entry of an origin in the target stream proves that everything before it is there too.
Heartbeats wait here only to keep their place: whichever is dropped, no later entry becomes wrong.
"""

from collections import Counter, defaultdict, deque
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from replicator.mirror import reasons
from replicator.mirror.beats import Beats, Place
from replicator.mirror.gate import IsApplied
from replicator.mirror.gtids import domain_of
from replicator.mirror.options import BATCH_ENTRIES_MAX, BATCH_KEYS_MAX, Break
from replicator.mirror.position import MirrorPosition, hides_more
from replicator.mirror.words import as_pending, is_own_gap, spreading_from
from versioning import stamp as stamps
from versioning.entries import Body, Change, Entry, Gap, Generation, Heartbeat, Origin, Poisoned, Replayed
from versioning.errors import StamplineError

NAMESPACE_KEYS: Final = 10
"""What a namespace counts for in an append: its version key has up to 32 generations, which the script takes apart."""


class BrokenOriginError(StamplineError):
    """The origin's stream is not the one that was read before. ``name`` is the kind of break, for counting."""

    def __init__(self, name: Break, message: str) -> None:
        super().__init__(message)
        self.name = name


@dataclass(slots=True, eq=False)
class Queued:
    position: MirrorPosition
    """The checkpoint once this is appended."""
    body: Body
    came_ms: int
    """Monotonic time."""
    gtid: str | None
    """What the gate waits for. None: not known before the next heartbeat names a position."""
    is_urgent: bool = False
    """It does not wait for its time limit."""

    @property
    def domain(self) -> str | None:
        """Those of one are applied in order. None of what names no data of one transaction."""
        return domain_of(self.gtid) if self.gtid and isinstance(self.body, Change | Generation) else None

    @property
    def keys_count(self) -> int:
        match self.body:
            case Change(keys=keys):
                return len(keys)
            case Generation(namespaces=namespaces):
                return NAMESPACE_KEYS * len(namespaces)
        return 1


@dataclass(frozen=True, slots=True)
class Released:
    bodies: tuple[tuple[Body, Origin], ...] = ()
    position: MirrorPosition | None = None
    """None where nothing is taken."""
    taken: int = 0
    beat: Heartbeat | None = None
    """The last of the origin's heartbeats with nothing held before it, of those taken."""
    ends_with_heartbeat: bool = False
    is_cut: bool = False
    """More could leave than one append holds."""
    held: Queued | None = None
    """The first entry that has to wait."""

    def spreading_from(self, now_ms: int) -> "Released":
        """Return it with generations that spread from this Unix time on, if they would have begun before.

        One that was on its way for longer than its spread would age its whole namespace out at once (P9).
        """
        if not any(isinstance(body, Generation) for body, _ in self.bodies):
            return self
        told = tuple(
            (spreading_from(body, now_ms) if isinstance(body, Generation) else body, origin)
            for body, origin in self.bodies
        )
        return replace(self, bodies=told)


class MirrorQueue:
    """``position``: the origin entry to go on behind. Pure: monotonic times in ms are arguments."""

    def __init__(self, dc: str, position: MirrorPosition, *, until: int = stamps.ZERO, is_torn: bool = False) -> None:
        self._until = until
        """Up to there the origin may have been trimmed before the first entry is read (``Resume``). So no heartbeat
        below places a gap that is in the target stream already."""
        self._is_torn = is_torn
        """No gap of the origin came after the last of ours: what the origin says to have replayed is not all here."""
        self.beats = Beats()
        self.keys_count = 0
        self.gaps_count = 0
        self._waiting = 0
        self._poisoned = 0
        self._dc = dc
        self._items: deque[Queued] = deque()
        self._of_domain: defaultdict[str, deque[Queued]] = defaultdict(deque)
        self._unplaced: list[Queued] = []
        self.place: Place | None = None
        """The last one; None before there is one."""
        self._floor = position
        self._is_floor_seen = True
        self._newest = position
        self._claim = position.claim

    def __len__(self) -> int:
        """Entries that wait; heartbeats are none."""
        return self._waiting

    def put_gap(self, reason: str, gtid: str | None, now_ms: int) -> None:
        """Say that what was before is unknown. ``gtid``: what replicas must have for that; None: unknown yet."""
        self._is_torn = True
        self._put(Queued(self._newest, Gap(reasons.OWN + reason, gtid=gtid or ""), now_ms, gtid))

    def put_tear(self, entry: Entry, now_ms: int) -> None:
        """Say that entries in front of this one were deleted from the origin."""
        if entry.stamp <= self._floor.stamp:
            return  # Another mirror has gone on from there: it has said so, or has read them.
        # Of what a replay was to repeat some is gone: that debt cannot be paid any more.
        self._claim, self._newest = None, self._newest.without_claim()
        self.put_gap("entries were deleted in the middle of the origin's stream", None, now_ms)

    def put(self, entry: Entry, now_ms: int) -> None:
        """Take in the origin's next entry; raises BrokenOriginError where another mirror read something else.

        And for one that a mirror wrote: two that read each other's stream would copy each other's copies without end.
        """
        if entry.stamp <= self._floor.stamp:
            self._check_floor(entry)
            return
        if not self._is_floor_seen:
            raise BrokenOriginError(
                Break.FLOOR_MISSING, "another mirror has gone on from an origin entry that is not there"
            )
        if entry.origin is not None:
            raise BrokenOriginError(
                Break.ORIGIN_MIRRORED, f"the origin's stream is itself a mirror's, of datacenter {entry.origin.dc}"
            )
        if self._newest.stamp == stamps.ZERO:
            self._begin_with(entry)
        self._newest = MirrorPosition(entry.stamp, entry.nonce, self._claim)
        body, gtid = self._readable(entry.body)
        self._is_torn &= not isinstance(entry.body, Gap)
        if not (self._is_torn and isinstance(body, Replayed)):
            self._put(Queued(self._newest, body, now_ms, gtid))
        if isinstance(body, Heartbeat):
            self.beats.take(body)
            self._place(body.gtid)
            if entry.stamp >= self._until:
                self.place = Place(entry.stamp, body.gtid)
        if self._claim is not None and entry.stamp >= self._claim.until:
            self._put_claim(self._claim.since_ms, now_ms)

    def _begin_with(self, entry: Entry) -> None:
        if hides_more(entry, self._until):
            raise BrokenOriginError(Break.ORIGIN_HOLE, "origin entries were trimmed before they were copied")
        if self._claim is not None:
            self._claim = self._claim.beginning_with(entry)

    def _check_floor(self, entry: Entry) -> None:
        if entry.stamp == self._floor.stamp:
            if entry.nonce != self._floor.nonce:
                raise BrokenOriginError(
                    Break.STAMP_REUSED, "an origin entry has another nonce than another mirror has seen"
                )
            self._is_floor_seen = True

    def _readable(self, body: Body | Poisoned) -> tuple[Body, str | None]:
        if isinstance(body, Poisoned):
            self._poisoned += 1
            return Gap(reasons.UNREADABLE + body.reason), None
        return body, body.gtid

    def _put_claim(self, since_ms: int, now_ms: int) -> None:
        self._claim = None
        self._newest = self._newest.without_claim()
        gtid = self.beats.newest.gtid
        self._put(Queued(self._newest, Replayed(since_ms, gtid), now_ms, gtid))

    def _put(self, item: Queued) -> None:
        self._items.append(item)
        if (domain := item.domain) is not None:
            self._of_domain[domain].append(item)
        self.keys_count += item.keys_count
        self.gaps_count += isinstance(item.body, Gap)
        self._waiting += not isinstance(item.body, Heartbeat)
        if item.gtid is None:
            self._unplaced.append(item)

    def hurry(self) -> None:
        """No heartbeat can come, since the queue is full: gaps of unknown position leave without."""
        for item in self._unplaced:
            item.is_urgent = True

    def _place(self, gtid: str) -> None:
        for item in self._unplaced:
            item.gtid = gtid
            item.body = replace(item.body, gtid=gtid)
        self._unplaced = []

    def count_poisoned(self) -> int:
        """Unreadable entries since the last call."""
        count, self._poisoned = self._poisoned, 0
        return count

    def release(self, now_ms: int, limit_ms: int, is_applied: IsApplied, *, has_gates: bool) -> Released:
        """Say what may leave now. It stays until ``drop``: the append may be refused."""
        bodies: list[tuple[Body, Origin]] = []
        position, taken, keys, beat, last, held = None, 0, 0, None, None, None
        for item in self._items:
            is_late = item.is_urgent or now_ms - item.came_ms >= limit_ms
            body = _leaving(item, is_late, is_applied, has_gates=has_gates)
            if body is None:
                held = item
                break
            if len(bodies) >= BATCH_ENTRIES_MAX or keys + item.keys_count > max(BATCH_KEYS_MAX, item.keys_count):
                return Released(tuple(bodies), position, taken, is_cut=True)
            if isinstance(body, Heartbeat):
                beat = body
            else:
                bodies.append((body, item.position.origin(self._dc)))
                keys += item.keys_count
            position, taken, last = item.position, taken + 1, body
        ends_with_heartbeat = beat is not None and last is beat
        return Released(tuple(bodies), position, taken, beat, ends_with_heartbeat=ends_with_heartbeat, held=held)

    def fronts(self, taken: int) -> list[Queued]:
        """Return of what stays, if so many leave, the first entry of each domain."""
        gone = Counter(item.domain for item in islice(self._items, taken))
        return [items[gone[domain]] for domain, items in self._of_domain.items() if len(items) > gone[domain]]

    @property
    def floor(self) -> MirrorPosition:
        """The last origin entry that is known to be in the target stream."""
        return self._floor

    def drop(self, count: int) -> list[Queued]:
        """Forget what has been appended, and return it."""
        return [self._drop_first() for _ in range(count)]

    def drop_through(self, position: MirrorPosition) -> int:
        """Forget what another mirror has appended; raises BrokenOriginError where it was not what this one has read."""
        dropped = 0
        while self._items and _is_passed(self._items[0], position):
            dropped += not isinstance(self._drop_first().body, Heartbeat)
        if position.stamp > self._newest.stamp:
            self._floor, self._is_floor_seen, self._claim = position, False, position.claim
            self._newest = position
        elif not position.is_same_entry(self._floor):
            raise BrokenOriginError(
                Break.HISTORIES_DIFFER, "another mirror has gone on from an origin entry that was not read here"
            )
        return dropped

    def _drop_first(self) -> Queued:
        item = self._items.popleft()
        if (domain := item.domain) is not None:
            self._of_domain[domain].popleft()
        self._floor = item.position
        self.keys_count -= item.keys_count
        self.gaps_count -= isinstance(item.body, Gap)
        self._waiting -= not isinstance(item.body, Heartbeat)
        if item.gtid is None:
            self._unplaced.remove(item)
        return item

    def wait_ms(self, now_ms: int, limit_ms: int) -> int | None:
        """Time until the first entry reaches its limit; None where none waits."""
        first = next((item for item in self._items if not isinstance(item.body, Heartbeat)), None)
        return None if first is None else max(first.came_ms + limit_ms - now_ms, 0)

    def awaited(self, is_applied: IsApplied) -> str:
        """Return the oldest GTID here that is not applied; empty where all are.

        Positions ascend along the queue, so the boundary is found by halving; with several domains it is *a* boundary.
        """
        low, high = 0, len(self._items)
        while low < high:
            middle = (low + high) // 2 if low else 0  # The first one decides most of the time.
            if is_applied(self._items[middle].gtid or ""):
                low = middle + 1
            else:
                high = middle
        return (self._items[low].gtid or "") if low < len(self._items) else ""


def _is_passed(item: Queued, position: MirrorPosition) -> bool:
    """Whether whoever is at ``position`` has no need of it. A gap of a mirror's own has that of the entry before it."""
    return position.reaches(item.position) and not (is_own_gap(item.body) and position.is_same_entry(item.position))


def _leaving(item: Queued, is_late: bool, is_applied: IsApplied, *, has_gates: bool) -> Body | None:  # noqa: FBT001
    """Return the body as it may enter the target stream now, None where it has to wait."""
    body = item.body
    if isinstance(body, Heartbeat):
        return body
    if not has_gates:
        return as_pending(body)
    if item.gtid is not None and is_applied(item.gtid):
        return body
    return as_pending(body) if is_late else None
