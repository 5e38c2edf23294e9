"""``stampline status --url``: both datacenters as text."""

import re
from typing import Any

from versioning.cli import picture

SITE: dict[str, Any] = {
    "time_ms": 1_700_000_000_123,
    "dc": "b",
    "origin_dc": "a",
    "state": "critical",
    "is_degraded": True,
    "headline": "The WAN is cut.",
    "effect": "Readers serve values for a while.",
    "findings": [
        {
            "code": "wan_cut",
            "state": "critical",
            "part": "wan",
            "text": "No mirror hears stream A.",
            "effect": "Changes do not arrive.",
            "action": "the link to redis-a",
        }
    ],
    "flow": {
        "lag_ms": 61_000, "lag_max_ms": 15_000, "replica_lag_ms": None, "changes_per_s": 1.25, "keys_per_s": 3.0,
        "keys": 10, "pending": 2, "window_ms": 2_100_000,
    },
    "source": {
        "state": "ok",
        "text": "Binlog read up to 0.3 s ago.",
        "processes": [
            {"name": "source-1", "is_up": True, "reason": None, "seen_age_ms": 500,
             "figures": {"is_connected": True, "read_age_ms": 300, "transactions": 12, "keys": 9, "last_error": ""}},
            {"name": "source-2", "is_up": False, "reason": "nothing listens there", "seen_age_ms": 61_000,
             "figures": None},
        ],
    },
    "stream_a": {"state": "ok", "text": "Newest heartbeat 0.3 s ago.", "age_ms": 300},
    "wan": {"state": "critical", "text": "No mirror hears stream A.", "heard_age_ms": 61_000},
    "mirror": {
        "state": "warning",
        "text": "Runs, and waits for stream A.",
        "processes": [
            {"name": "mirror-1", "is_up": True, "reason": None, "seen_age_ms": 500,
             "figures": {"held": 3, "pending": 2, "last_error": "the origin was silent"}},
        ],
    },
    "gates": [{"name": "replica-b1", "state": "ok", "text": "Has applied 0-1-15."}],
    "stream_b": {"state": "ok", "text": "Silent."},
    "service": {"state": "ok", "text": "Answers.", "processes": []},
    "toc": {
        "state": "ok",
        "text": "2 report.",
        "processes": [],
        "tiers": [{"tier": "local", "reads_per_s": 80.0, "share": 0.8}, {"tier": "redis", "share": 0.2}],
    },
    "audit": {
        "state": "ok",
        "text": "No wrong value.",
        "processes": [{"name": "audit-1", "is_up": True, "seen_age_ms": 1, "reason": None, "wrong": 0}],
        "rows": [{"namespace": "tracker_web", "after_s": 1.0, "consistent": 99, "wrong": 1, "nines": "2.0"}],
    },
}  # fmt: skip


def plain(site: dict[str, Any]) -> list[str]:
    return [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in picture.lines(site)]


def words(site: dict[str, Any]) -> list[str]:
    return [" ".join(line.split()) for line in plain(site)]


def test_the_worst_comes_first_and_every_part_in_the_order_a_change_travels() -> None:
    shown = words(SITE)
    assert shown[0] == "critical The WAN is cut."
    assert "lag 61 s of 15 s replica lag - 1.2 changes/s 3.0 keys/s 10 keys in 35 min 2 pending" in shown
    parts = ["source ok", "stream A ok", "WAN critical", "mirror warning", "gate replica-b1 ok", "stream B ok"]
    parts += ["version service ok", "web processes ok", "audit ok"]
    found = [next(number for number, line in enumerate(shown) if line.startswith(part)) for part in parts]
    assert found == sorted(found)


def test_a_process_shows_its_figures_or_why_it_has_none() -> None:
    shown = words(SITE)
    assert "source-1 up read 0.3 s ago, 12 transactions, 9 keys" in shown
    assert "source-2 down nothing listens there; seen 61 s ago" in shown
    assert "mirror-1 up 3 held, 2 pending; the origin was silent" in shown
    assert "audit-1 up 0 wrong" in shown


def test_a_process_that_never_answered_was_never_seen() -> None:
    silent = {"name": "source-3", "is_up": False, "reason": "nothing listens there", "seen_age_ms": None}
    assert "source-3 down nothing listens there; never seen" in words({"source": {"processes": [silent]}})


def test_tiers_audit_and_findings_are_shown() -> None:
    shown = words(SITE)
    assert "served from local 80.0% redis 20.0%" in shown
    assert "tracker_web after 1.0 s nines 2.0: 99 right, 1 wrong" in shown
    assert shown[-3:] == [
        "critical wan: No mirror hears stream A.",
        "Changes do not arrive.",
        "look: the link to redis-a",
    ]


def test_a_service_of_another_age_is_shown_as_far_as_it_is_understood() -> None:
    site = {"flow": {}, "source": {"state": "strange", "processes": [{}]}, "novelty": {"state": "ok"}, "findings": [{}]}
    shown = words(site)
    assert any(line.startswith("source strange") for line in shown)
