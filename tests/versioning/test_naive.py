"""An index and its follower against a naive twin, on streams to which everything happens, for many windows.

They say the same of all that is younger than a window: no cached copy is older. An index that says more serves what is
superseded, and one that says less loads for nothing.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from unittest import mock

import pytest

from tests.versioning.naive import Naive, speaks
from tests.versioning.world import START_MS
from versioning import generations as generations_module
from versioning import index as index_module
from versioning import stamp as stamps
from versioning.entries import Change, Entry, Gap, Generation, Heartbeat, Poisoned, ReadBody, Replayed
from versioning.follow import ContinuityError, Follow
from versioning.generations import Generations
from versioning.index import Index
from versioning.limits import LOSS_LEAD_MS, MAX_LAG_MS
from versioning.liveness import Liveness, Now
from versioning.past import Past
from versioning.pending import Pending, PendingGap
from versioning.verdict import Verdict

WINDOW_MS: Final = 120_000
WINDOW: Final = WINDOW_MS << stamps.SEQUENCE_BITS
NAMESPACES: Final = ("t", "u")
KEYS: Final = tuple(f"{namespace}:{number}" for namespace in NAMESPACES for number in range(3))
WORDS: Final[Sequence[dict[str, Any]]] = (
    {},
    {"gtid": "0-1-5"},
    {"gtid": "0-1-5", "pending": True},
    {"gtid": "0-1-5", "settled": True},
)


class Stream:
    """A stream and what may befall it. Its writers keep the one rule that readers rely on: ``_say_again``."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.at_ms = START_MS
        self.entries: list[Entry] = []
        self._trimmed: list[Entry] = []
        self._written = 0
        self._lead_ms = 0
        self._is_torn = False

    def write(self) -> None:
        keys, names = (tuple(self.rng.sample(of, self.rng.randint(1, 2))) for of in (KEYS, NAMESPACES))
        start_ms, spread_ms = self.at_ms - self.rng.choice((0, 0, 20_000)), self.rng.choice((0, 5_000, 60_000))
        since_ms = self.at_ms - self.rng.choice((0, 90_000, 150_000, 10_000_000))
        bodies: dict[Callable[[], ReadBody], int] = {
            lambda: Change(keys, **self.rng.choice(WORDS)): 50,
            lambda: Generation(names, start_ms, spread_ms, "why", **self.rng.choice(WORDS)): 8,
            lambda: Gap("why", self.rng.choice(("", "0-1-5")), self.rng.random() < 0.3): 3,
            lambda: Replayed(since_ms, settled=self.rng.random() < 0.5): 8,
            lambda: Poisoned("why"): 2,
        }
        (body,) = self.rng.choices(list(bodies), list(bodies.values()))
        self._say_again()
        self.append(body())

    def append(self, body: ReadBody, nonce: str | None = None) -> None:
        last = self.entries[-1] if self.entries else None
        stamp = max(stamps.make(self.at_ms + self._lead_ms), last.stamp + 1 if last else 0)
        self._written += 1
        previous = last.nonce if last and not self._is_torn else ""
        self._lead_ms, self._is_torn = 0, False
        self.entries.append(Entry(stamp, f"n{self._written}" if nonce is None else nonce, previous, body))

    def beat(self) -> None:
        self._say_again()
        self.append(Heartbeat(self.at_ms - self.rng.choice((0, 500, 3_000, 14_000, 40_000))))

    def _say_again(self) -> None:
        """Whatever is pending is said again before readers may have forgotten it, and before they may vouch."""
        for name, (stamp, body) in self._pending().items():
            if stamps.make(self.at_ms) - stamp <= WINDOW // 3:
                continue
            if isinstance(body, Change):
                self.append(Change((name,), "0-1-5", pending=True))
            elif isinstance(body, Generation):
                self.append(Generation((name,), 0, 0, "said again", "0-1-5", pending=True))
            else:
                self.append(Gap("said again", name, pending=True))

    def _pending(self) -> Mapping[str, tuple[int, ReadBody]]:
        found: dict[str, tuple[int, ReadBody]] = {}
        gap: tuple[int, Gap] | None = None
        for entry in (*self._trimmed, *self.entries):
            body = entry.body
            if isinstance(body, Change | Generation) and speaks(body):
                names = body.keys if isinstance(body, Change) else body.namespaces
                found |= dict.fromkeys(names, (entry.stamp, body))
            if isinstance(body, Gap) and (body.pending or body.gtid or not (gap and gap[1].gtid)):
                gtid = gap[1].gtid if body.pending and gap and gap[1].pending and not body.gtid else body.gtid
                gap = (entry.stamp, replace(body, gtid=gtid))
            if isinstance(body, Replayed) and body.settled:
                gap = None
        words = {**found, **({gap[1].gtid: gap} if gap else {})}
        return {name: (stamp, body) for name, (stamp, body) in words.items() if getattr(body, "pending", False)}

    def suffer(self) -> None:
        count = self.rng.randint(1, 10)
        match self.rng.choice(("lose", "lose", "flush", "tear", "by hand", "trim", "trim")):
            case "lose":
                lost, self.entries = self.entries[-count:], self.entries[:-count]
                self._lead_ms = LOSS_LEAD_MS
                for entry in self.rng.sample(lost, len(lost) // 2):
                    if not isinstance(entry.body, Heartbeat):
                        self.append(entry.body)
            case "flush":
                self.entries, self._trimmed, self._lead_ms = [], [], LOSS_LEAD_MS
            case "tear":
                self._is_torn = True
            case "by hand":
                if self.rng.random() < 0.5:
                    self.entries, self._trimmed = [], []
                self._is_torn = True
                self.append(Poisoned("by hand"), nonce="")
                self._is_torn = True
            case "trim":
                self.trim(self.rng.randint(0, len(self.entries)))

    def trim(self, count: int) -> None:
        self._trimmed += self.entries[:count]
        del self.entries[:count]


class Readers:
    """A follower and its naive twin, who are handed the same."""

    def __init__(self, stream: Stream) -> None:
        self.stream, self.rng = stream, stream.rng
        self.ahead_ms = 0
        """Of the wall clock."""
        self.begin_process()

    def begin_process(self) -> None:
        self.index, self.naive = Index(window_ms=WINDOW_MS), Naive(WINDOW_MS, MAX_LAG_MS)
        self.follow = Follow(self.index)
        self.has_begun = False

    def begin_cache(self) -> None:
        self.naive.restart()
        self.follow = Follow(self.index)
        self.has_begun = False

    @property
    def now(self) -> Now:
        return Now(self.stream.at_ms + self.ahead_ms, self.stream.at_ms - START_MS)

    def read(self) -> None:
        entries, now = self.stream.entries, self.now
        if not self.has_begun:
            self.has_begun = True
            self.naive.begin(entries[-1] if entries else None, now)
            self.follow.begin(entries[-1:], now)
        elif self.follow.wants_older and self.rng.random() < 0.7:
            older = [entry for entry in reversed(entries) if entry.stamp < self.follow.oldest]
            page = older[: self.rng.choice((1, 5, 50))]
            self.naive.hear_older(page, now)
            self.follow.take_older(page, now)
        else:
            self._read_on([entry for entry in entries if entry.stamp > self.index.watermark])

    def _read_on(self, newer: list[Entry]) -> None:
        last = self.stream.entries[-1] if self.stream.entries else None
        is_whole = all(self.naive.hear(entry, self.now) for entry in newer) if newer else self.naive.is_end(last)
        try:
            self.follow.take(newer, self.now)
            if not newer:
                self.follow.check_tail(last)
        except ContinuityError:
            assert not is_whole
            self.follow.lose()
            self.naive.lose()
            self.has_begun = False
        else:
            assert is_whole, "a break of continuity that nobody noticed"

    def compare(self) -> None:
        watermark, now = self.index.watermark, self.now
        near = [entry.stamp for entry in self.stream.entries[-40:]] or [watermark]
        some = (self.rng.choice(near), self.rng.choice(near) - 1, watermark + self.rng.randint(-WINDOW, WINDOW))
        oldest = max(watermark, stamps.make(self.stream.at_ms)) - WINDOW
        for fill_stamp in some:
            if fill_stamp >= oldest:
                self._compare_verdicts(self.rng.choice(KEYS), fill_stamp, now)
        for key in KEYS:
            assert self.index.fill_stamp(key) <= self.naive.fill_stamp(key)
            if self.naive.last_word(key) >= watermark - WINDOW:
                assert self.index.is_key_pending(key) >= self.naive.is_pending(key)

    def _compare_verdicts(self, key: str, fill_stamp: int, now: Now) -> None:
        wanted, (verdict, ago_ms) = self.naive.verdict(key, fill_stamp, now), self.index.judge(key, fill_stamp, now)
        assert verdict is wanted
        assert self.index.verdict(key, fill_stamp, now) is wanted
        assert (wanted is Verdict.FRESH) is bool(self.index.fresh({key: (fill_stamp, 0, b"")}, now))
        # An index does not keep all of its pasts.
        if ago_ms is not None and ago_ms < WINDOW_MS // 3:
            proven_ago_ms = self.naive.proven_ago_ms(key, fill_stamp, now)
            assert proven_ago_ms is not None
            assert proven_ago_ms <= ago_ms


def play(seed: int, steps: int = 400) -> None:
    rng = random.Random(seed)
    stream = Stream(rng)
    readers = Readers(stream)
    chances: dict[Callable[[], object], float] = {
        stream.write: 0.5,
        stream.beat: 0.4,
        stream.suffer: 0.03,
        readers.begin_process: 0.01,
        readers.begin_cache: 0.004,
        readers.read: 0.8,
        readers.compare: 0.5,
    }
    for _ in range(steps):
        stream.at_ms += int(rng.expovariate(1 / 2_000))
        if rng.random() < 0.005:
            stream.at_ms += rng.choice((20_000, 100_000, 400_000))
        if rng.random() < 0.3:
            readers.ahead_ms = rng.choice((0, 900, -900, 60_000, 3_600_000))
        for step, chance in chances.items():
            if rng.random() < chance:
                step()


SEEDS: Final = range(20)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_index_vouches_for_what_its_naive_twin_does_and_for_nothing_else(seed: int) -> None:
    play(seed)


def _nothing(*_: Any, **__: Any) -> None:
    pass


def _forget_the_gap(index: Index, entry: Entry, now: Now, *, apply: Any = Index.apply) -> None:
    horizon = index.horizon
    apply(index, entry, now)
    index.horizon = horizon if isinstance(entry.body, Gap) else index.horizon


def _believe_a_spoiled_replay(follow: Follow, entry: Entry, *, note: Any = Follow._note) -> None:
    note(follow, entry)
    follow._history.is_spoiled = False


def _replay_without_its_gap(follow: Follow) -> None:
    if follow.is_covered:
        follow.index.horizon = min(follow.index.horizon, follow._history.replay_horizon)


def _lose_and_forget_that(follow: Follow) -> None:
    follow.index.forget()
    follow.wants_older = False


def _vouch_too_soon(index: Index) -> None:
    gap = index._pending_gap.stamp
    index.ceiling = gap - 1 if gap else index.watermark + index_module._FUTURE


def _lag_by_the_wall(liveness: Liveness, now: Now) -> int | None:
    return max(now.ms - liveness.read_ms, 0) if liveness.read_ms else None


def _prune_too_soon(generations: Generations, below: int, _: int, *, prune: Any = Generations.prune) -> None:
    prune(generations, below, stamps.MS_MAX)


def _proven_whatever_changed(past: Past, _: str, fill_stamp: int, now: Now) -> int | None:
    return past.liveness.lag_ms(now) if past.horizon <= fill_stamp <= past.ceiling else None


REMOVALS: Final[Mapping[str, tuple[Any, str, Any]]] = {
    "a gap hides nothing": (Index, "apply", _forget_the_gap),
    "an unreadable entry spoils no replay": (Follow, "_note", _believe_a_spoiled_replay),
    "a history begins with any entry": (Follow, "_note_link", _nothing),
    "a replay counts without its gap": (Follow, "_lower_horizon", _replay_without_its_gap),
    "a lost history is not remembered": (Follow, "lose", _lose_and_forget_that),
    "nobody looks at the end of the stream": (Follow, "check_tail", _nothing),
    "a pending gap is not heard": (PendingGap, "newer", _nothing),
    "a pending gap is not found": (PendingGap, "older", _nothing),
    "a pending key is not found": (Pending, "older", _nothing),
    "a pending namespace casts no doubt": (Generations, "doubts", lambda *_: False),
    "what pruned generations said is forgotten": (generations_module, "_speaking", lambda aging, _: aging),
    "generations end before their spread": (Generations, "prune", _prune_too_soon),
    "a heartbeat outlives its history": (Liveness, "forget", _nothing),
    "the monotonic clock does not count": (Liveness, "lag_ms", _lag_by_the_wall),
    "it vouches while the window is covered": (Index, "_set_ceiling", _vouch_too_soon),
    "it tags while the window is covered": (Index, "fill_stamp", lambda index, _: index.watermark),
    "a stamp from the future is believed": (index_module, "_FUTURE", WINDOW),
    "the past proves whatever has changed": (Past, "proven_ago_ms", _proven_whatever_changed),
}


@pytest.mark.parametrize("name", REMOVALS)
def test_each_rule_is_missed_when_it_is_taken_out(name: str) -> None:
    with mock.patch.object(*REMOVALS[name]), pytest.raises(AssertionError):  # noqa: PT012
        for seed in SEEDS:
            play(seed)
