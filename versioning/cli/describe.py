"""An entry as a person or a program outside reads it: plain fields, the stamp as text."""

from datetime import UTC, datetime
from typing import Any

from versioning import stamp as stamps
from versioning.entries import Change, Entry, Gap, Generation, Heartbeat, Poisoned, Replayed, kind_of
from versioning.printable import escaped


def kind_name(entry: Entry) -> str:
    """Return the entry's kind; an entry that cannot be decoded counts as a gap, and is named so."""
    return "gap" if isinstance(entry.body, Poisoned) else kind_of(entry.body)


def entry_fields(entry: Entry) -> dict[str, Any]:
    body = entry.body
    fields = {name: getattr(body, name) for name in type(body).__slots__}
    origin = entry.origin
    return {
        "stamp": stamps.text(entry.stamp),
        "kind": kind_name(entry),
        **fields,
        "origin": {"dc": origin.dc, "id": origin.id, "nonce": origin.nonce} if origin else None,
    }


def entry_line(entry: Entry) -> str:
    """Return one line that is safe to print, whoever wrote the entry."""
    words = escaped(_words(entry))
    return "  ".join((time_text(stamps.ms_of(entry.stamp)), stamps.text(entry.stamp), f"{kind_name(entry):<10}", words))


def _words(entry: Entry) -> str:
    match entry.body:
        case Change() as body:
            marks = [mark for mark, is_on in (("pending", body.pending), ("settled", body.settled)) if is_on]
            return " ".join([*body.keys, *(f"[{mark}]" for mark in marks), body.gtid])
        case Generation() as body:
            return f"{' '.join(body.namespaces)} spread {body.spread_ms} ms: {body.reason} {body.gtid}"
        case Heartbeat() as body:
            return f"read {time_text(body.read_ms)} applied {time_text(body.applied_ms)} {body.gtid}"
        case Replayed() as body:
            return f"since {time_text(body.since_ms)} {body.gtid}"
        case Gap() as body:
            return f"{body.reason}{' [pending]' * body.pending} {body.gtid}"
        case Poisoned() as body:
            return body.reason


def time_text(ms: int) -> str:
    """Return the time; as a number where no calendar has it: a writer's clock, or a foreign entry, may say anything."""
    if not ms:
        return "-"
    try:
        at = datetime.fromtimestamp(ms / 1000, UTC)
    except (ValueError, OverflowError):
        return f"{ms} ms"
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
