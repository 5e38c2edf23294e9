"""What may go wrong. Every fault is a rate, in events per minute of virtual time; zero: never."""

import random
from dataclasses import dataclass, fields, replace
from typing import Final


@dataclass(frozen=True, slots=True)
class Faults:
    redis_a_outage: float = 0.0
    redis_a_failover: float = 0.0
    """Loses up to 900 ms of acknowledged writes."""
    redis_a_flush: float = 0.0
    redis_a_trim: float = 0.0
    """Loses the older part of the stream."""
    redis_a_tear: float = 0.0
    """Somebody deletes some of the newest entries."""
    redis_a_clock_back: float = 0.0
    redis_b_outage: float = 0.0
    redis_b_failover: float = 0.0
    redis_b_flush: float = 0.0
    redis_b_trim: float = 0.0
    redis_b_clock_back: float = 0.0
    values_outage: float = 0.0
    values_flush: float = 0.0
    values_failover: float = 0.0
    wan_cut: float = 0.0
    wan_slow: float = 0.0
    push_lost: float = 0.0
    """An entry is missing from a subscription that lives on."""
    answer_lost: float = 0.0
    """For a second, one in three requests to any Redis is carried out and not answered."""
    binlog_cut: float = 0.0
    binlog_purge: float = 0.0
    primary_failover: float = 0.0
    """Loses up to 900 ms of commits, all that no replica has got; the new primary has a clock of its own."""
    replica_lag: float = 0.0
    replica_stop: float = 0.0
    replica_down: float = 0.0
    """Neither loads nor the gate reach it; it applies on."""
    gate_cut: float = 0.0
    """One mirror does not reach one replica; loads and the other mirror do."""
    replica_rewind: float = 0.0
    """Restored from an older copy."""
    replica_pause: float = 0.0
    replica_swap: float = 0.0
    """No fault: one is taken out of loads and gates, and put back later, whatever has become of it meanwhile."""
    load_slow: float = 0.0
    """For a second, loads take up to two, before or after they read the row."""
    source_crash: float = 0.0
    source_pause: float = 0.0
    mirror_crash: float = 0.0
    mirror_pause: float = 0.0
    reader_crash: float = 0.0
    reader_pause: float = 0.0
    readers_away: float = 0.0
    """All of them at once, for longer than a value takes to be superseded: Redis keeps what nobody checks."""
    clock_step: float = 0.0
    """Of any process, within the second that is assumed."""
    truncate: float = 0.0
    """No fault: a transaction that names no keys and ages out both namespaces."""
    source_end: float = 0.0
    """As before an upgrade: it appends what it has read, ends, and is started again."""
    mirror_end: float = 0.0
    bump: float = 0.0
    """No fault: a person forces a key or a namespace through, in either datacenter."""
    link_cut: float = 0.0
    """One process does not reach one of its servers; all others do."""
    link_slow: float = 0.0
    """Up to three seconds each way, on one of them: what was asked is carried out after the asker gave up on it."""
    redis_a_pause: float = 0.0
    """All that is asked meanwhile is carried out when it goes on."""
    redis_b_pause: float = 0.0
    values_pause: float = 0.0
    redis_b_tear: float = 0.0
    redis_a_full: float = 0.0
    """It answers, and takes no entry."""
    redis_b_full: float = 0.0
    redis_a_poison: float = 0.0
    """Somebody adds an entry that is none."""
    redis_b_poison: float = 0.0
    redis_a_forget: float = 0.0
    """Either the checkpoints are gone, or the whole state, or the stream and not its state."""
    redis_b_forget: float = 0.0
    truncate_lists: float = 0.0
    """No fault: of one namespace of the two."""
    write_wide: float = 0.0
    """No fault: a transaction with rows of both namespaces."""
    source_left: float = 0.0
    """At a primary that the replicas follow no more. Never drawn: a mirror that does not run cannot notice it."""

    def without(self, name: str) -> "Faults":
        return replace(self, **{name: 0.0})


NAMES: Final = tuple(field.name for field in fields(Faults))
DRAWN: Final = tuple(name for name in NAMES if name != "source_left")
CALM: Final = Faults()

HARMLESS: Final = frozenset({"write", "write_wide", "truncate", "truncate_lists"})
"""What the bounds of a healthy system hold with."""

_RATES: Final = {
    "readers_away": 0.5,
    "binlog_purge": 1.0,
    "redis_a_flush": 1.0,
    "redis_b_flush": 1.0,
    "truncate": 2.0,
    "truncate_lists": 2.0,
    "bump": 4.0,
    "push_lost": 6.0,
}
_RATE: Final = 2.5


CROWDED: Final = frozenset(
    {
        "redis_a_outage", "redis_a_failover", "redis_a_trim", "redis_a_tear", "wan_cut", "answer_lost",
        "redis_b_outage", "redis_b_failover", "redis_b_flush", "redis_b_trim", "redis_b_clock_back",
        "replica_lag", "replica_stop", "replica_down", "gate_cut", "replica_rewind",
        "mirror_crash", "mirror_pause", "mirror_end", "bump", "link_cut", "link_slow",
        "redis_a_pause", "redis_b_pause", "redis_b_tear", "replica_pause", "replica_swap",
    }
)  # fmt: skip


LAGGING: Final = frozenset({"replica_lag", "replica_stop", "replica_pause", "replica_rewind"})
"""Where mirrors know of no databases these break what is promised: a replica lags by seconds at most."""


def draw_dense(rng: random.Random) -> Faults:
    """Many kinds at once, up to four times as often, most of them around stream B, the mirrors and the replicas.

    What takes four faults within seconds shows a hundred times as often as with ``draw``.
    """
    chosen = {
        name: _RATES.get(name, _RATE) * rng.choice((1.0, 2.0, 4.0))
        for name in DRAWN
        if rng.random() < (0.55 if name in CROWDED else 0.15)
    }
    return Faults(**chosen)


def draw_sparse(rng: random.Random) -> Faults:
    """Few at a time, since each lasts for long."""
    chosen = {name: _RATES.get(name, _RATE) * rng.choice((0.1, 0.2, 0.4)) for name in DRAWN if rng.random() < 0.4}
    return Faults(**chosen)


def draw(rng: random.Random) -> Faults:
    """A swarm: each seed has some kinds of faults only, since one kind often hides what another would show."""
    if rng.random() < 0.08:
        return CALM
    chance = rng.choice((0.08, 0.2, 0.4))
    intensity = rng.choice((0.7, 1.5))
    chosen = {name: _RATES.get(name, _RATE) * intensity for name in DRAWN if rng.random() < chance}
    return Faults(**chosen)
