"""How each count of a source or a mirror is called outside, and what it means. Tables only."""

from typing import Final

from replicator.mirror.options import Break, LostLink
from replicator.source.stats import Failure

COUNTERS: Final = {
    "transactions": "Transactions read from the binlog, watched or not",
    "rows": "Row changes of watched tables",
    "keys": "Keys appended",
    "entries": "Entries appended (of a mirror: of its origin, heartbeats not counted)",
    "appends": "Appends",
    "appends_refused": "Appends refused because another writer was first: normal with two of them",
    "appends_failed": "Appends that Redis did not answer or did not replicate",
    "transactions_covered": "Transactions dropped because another source had stamped them",
    "heartbeats": "Heartbeats appended",
    "generations": "Generations appended: namespaces aged out by DDL, TRUNCATE or a huge transaction",
    "gaps": "Gaps appended: everything before them is unknown",
    "replays": "Replays ended",
    "connections": "Binlog connections begun",
    "keys_underivable": "Rows without a column their key needs: each aged out a namespace",
    "keys_too_long": "Keys over 512 bytes, which no reader can hold",
    "rows_undecodable": "Row events that could not be decoded for sure: each aged out its table's namespaces",
    "xa_unknown": "XA COMMITs of rows prepared before this process read the binlog",
    "entries_pending": "Entries that left the gate at its time limit",
    "entries_settled": "Pending entries that every replica has applied since",
    "entries_renewed": "Pending entries said again before they would be forgotten",
    "entries_covered": "Entries dropped because another mirror had appended them",
    "poisoned": "Entries of the origin that could not be decoded",
    "replays_not_claimed": "Replays left out: an unreadable entry or a lost gap lies in what they would vouch for",
}

RENAMED: Final = {"poisoned": "poisoned_entries"}
"""One word per thing: followers count the same."""

GAUGES: Final = {
    "is_connected": ("connected", "1: the binlog (of a mirror: the origin's stream) is being read"),
    "held": ("held_entries", "Entries that wait at the gate now"),
    "pending": ("pending_keys", "Keys and namespaces some replica has not applied"),
}

TIMES: Final = {
    "read_ms": (
        "read_timestamp_seconds",
        "Unix time up to which the binlog is read and stamped (of a mirror: by the last heartbeat in its own stream)",
    ),
    "applied_ms": ("applied_timestamp_seconds", "Unix time up to which every replica has applied; 0: none is listed"),
}
"""Unix times: their age is the lag, and Prometheus has the better clock for that."""

HISTOGRAMS: Final = {
    "commit_latency": ("commit_latency_seconds", "From a commit until its entry was in this stream"),
    "stream_latency": ("stream_latency_seconds", "From an entry's stamp in the origin until it was in this stream"),
    "gate_hold": ("gate_hold_seconds", "From an entry's arrival in the mirror until it was in the stream"),
}

BY_REASON: Final = {
    "failures_by_reason": ("failures", "What went wrong and is tried again, or ended the source, by reason", Failure),
    "reconnects_by_reason": ("reconnects", "Links lost, by reason", LostLink),
    "breaks_by_reason": ("breaks", "Breaks of a stream's continuity, by reason", Break),
}

GATE: Final = {
    "is_up": ("up", "1: the replica answers"),
    "is_ahead": ("ahead", "1: the replica has what the source does not read, and follows another primary"),
    "waits": ("waits", "Blocking waits asked of the replica"),
    "errors": ("errors", "Questions to the replica that failed"),
    "rewinds": ("rewinds", "Times the replica had less than before: restored from an older copy"),
}
