"""I2: no value older than a stamp is kept beyond its provisional life with a fill stamp at or above that stamp.

Looked for in Redis, in every process, and among all that might have been loaded. A value that a later entry
supersedes is not kept: nobody is served it. That is also how a replica that went back is mended, so a value gets the
time that takes. As long as a gap is pending nothing that was loaded since is vouched for. What was loaded while its
namespace was pending may be kept, but not vouched for. What a stream that was lost had said of a commit does not count
while the mirrors have yet to copy that commit, or the sources to stamp it once more: it gets a stamp above, and that
supersedes the value whatever else it lacks.
"""

from itertools import pairwise

from replicator.mirror.position import MirrorPosition
from replicator.position import Flavor
from replicator.source.progress import Progress
from tests.simulation import limits
from tests.simulation.checkers.base import Checker
from tests.simulation.fills import Kept, judges, kept_values
from tests.simulation.streams import at_once
from tests.simulation.world import World
from versioning import stamp as stamps
from versioning.checkpoint import source_writer
from versioning.pending import word_of
from versioning.verdict import Verdict

NOTICED_MS = 3_000
"""A replica that went back is noticed by then: a wait of the gate, a pause, an append, clocks a second apart."""

MENDED_S = (limits.CACHE.provisional_ttl_ms + NOTICED_MS) / 1000 + limits.BACKOFF_MAX_S


class NoPoisonedFill(Checker):
    name = "I2"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._hindered_s = -MENDED_S
        self._hidden_s: float | None = None
        """Since when what is pending is hidden."""

    def scan(self) -> None:
        if self._is_hindered():
            self._hindered_s = self.world.loop.time()
        if (
            self.world.history.pending_gap.stamp
            or self._is_gap_owed()
            or self.world.loop.time() - self._hindered_s < MENDED_S
        ):
            return
        for kept in kept_values(self.world):
            if kept.age_ms > limits.CACHE.provisional_ttl_ms + NOTICED_MS:
                self._check(kept)

    def _is_hindered(self) -> bool:
        """Whether a replica has gone back, or what is pending is hidden from who starts now, and no mirror can say so.

        Nor could yet. The lag tells readers meanwhile.
        """
        world = self.world
        if self._is_pending_hidden():
            self._hidden_s = world.loop.time() if self._hidden_s is None else self._hidden_s
            if not world.is_watched() or world.loop.time() - self._hidden_s < NOTICED_MS / 1000:
                return True
        else:
            self._hidden_s = None
        replicas = world.read_replicas
        if not any(replica.has_gone_back for replica in replicas):
            return False
        is_away = any(replica.is_away for replica in replicas)
        is_deaf = world.stream_b.loses_answers or not world.is_watched(*replicas)
        return is_away or is_deaf or self._is_gap_owed()  # Before that nothing is said.

    def _is_pending_hidden(self) -> bool:
        """Whether it is not in the stream, or in front of a link that is missing."""
        history, stream = self.world.history, self.world.stream_b.store
        links = pairwise(reversed(stream.entries))
        begins = next((newer.stamp for newer, older in links if newer.previous != older.nonce), stamps.ZERO)
        last = [(namings[-1].stamp, namings[-1].is_pending) for namings in history.namings.values()]
        last += [(stamp, body.pending) for stamp, body in history.agings if word_of(body) is not None][-1:]
        return any(is_pending and (stamp < begins or stream.one(stamp) is None) for stamp, is_pending in last)

    def _check(self, kept: Kept) -> None:
        history, primary = self.world.history, self.world.primary
        if history.last_word(kept.key) > kept.fill_stamp:
            return
        if doubt := history.doubt_of(kept.key, kept.fill_stamp):
            self._check_doubted(kept, doubt)
            return
        written = primary.number_of_value(kept.key, kept.value)
        lacking = list(history.missed(kept.key, written, kept.fill_stamp))
        if any(self._is_owed(missed.number) for missed in lacking):
            return
        for missed in lacking:
            if missed.stamp > history.returned:
                self.violate(
                    f"{kept.where} keeps {kept.key} = {kept.value} under fill stamp {kept.fill_stamp}, "
                    f"without commit {missed.number} of stamp {missed.stamp}"
                )

    def _check_doubted(self, kept: Kept, doubt: int) -> None:
        """It may be kept, but whoever knows that the namespace was pending must not vouch for it."""
        stream_b = self.world.stream_b
        if stream_b.store.one(doubt) is None:
            return
        verdicts = [
            (name, index.verdict(kept.key, kept.fill_stamp, now))
            for name, index, now in judges(self.world)
            if index.horizon <= doubt <= index.watermark
        ]
        since = stream_b.store.since
        if not stream_b.is_away and since is not None and since <= doubt:
            verdicts.append(("a client of version keys", stream_b.judge(kept.key, kept.fill_stamp)[0]))
        for name, verdict in verdicts:
            if verdict is Verdict.FRESH:
                self.violate(
                    f"{name} vouches for {kept.key} = {kept.value} under fill stamp {kept.fill_stamp}, "
                    f"loaded while the namespace was pending at {doubt}"
                )

    def _is_gap_owed(self) -> bool:
        """Whether stream A does not go on from where the mirrors are: the next they write is a gap."""
        position, origin = self._mirrored(), self.world.stream_a
        if position is None or position.stamp == stamps.ZERO:
            return position is None
        entry, following = origin.store.one(position.stamp), origin.read_after(position.stamp, 1, 0)
        is_torn = bool(following) and following[0].previous != position.nonce
        return entry is None or entry.nonce != position.nonce or is_torn

    def _is_owed(self, number: int) -> bool:
        origin, stamp = self.world.stream_a.store, self.world.history.origins.get(number, stamps.ZERO)
        position = self._mirrored()
        if stamp > (position.stamp if position else stamps.ZERO):
            return True  # By its entry; or where that was deleted, by a gap in its place.
        return origin.one(stamp) is None and self._sourced() < number

    def _sourced(self) -> int:
        """Return the number of the last commit that stream A says it has, of those that are left."""
        stored = at_once(self.world.stream_a.store.checkpoint(source_writer("a")))
        position = str(Progress.decode(stored.position, Flavor.MARIADB).position) if stored else ""
        return self.world.history.number_of(position)

    def _mirrored(self) -> MirrorPosition | None:
        return MirrorPosition.of(at_once(self.world.stream_b.store.checkpoint(limits.MIRROR.writer)))
