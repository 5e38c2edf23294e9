"""Entries of the stamp stream: five kinds, one byte-exact form (PROTOCOL.md, section "Entries").

An entry is four stream fields: ``t`` the kind, ``n`` its nonce, ``p`` the nonce of the entry before it (set by the
append script, which alone knows it), ``b`` a JSON body. The body names its fields in full: on call one reads it with
redis-cli.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, Final

from versioning.errors import EntryFormatError
from versioning.records import record

NONCE_CHARS: Final = 16


@record(frozen=True, slots=True)
class Change:
    """Keys of one transaction, or of a part of it."""

    keys: tuple[str, ...]
    gtid: str = ""
    """The commit's position in the source's own notation; what the gate waits for. Empty: nothing to wait for."""
    committed_ms: int = 0
    pending: bool = False
    """Left the gate at its time limit: some replica has not applied it."""
    settled: bool = False
    """Ends the pending state of these keys."""


@record(frozen=True, slots=True)
class Heartbeat:
    read_ms: int
    """Unix time in ms up to which the source has read the binlog."""
    applied_ms: int = 0
    """Unix time in ms up to which every listed replica has applied; 0 in stream A, where nobody waits."""
    gtid: str = ""


@record(frozen=True, slots=True)
class Generation:
    """Ages out whole namespaces: an older value is STALE from ``start_ms + spread_ms * u(key)`` on (P9)."""

    namespaces: tuple[str, ...]
    start_ms: int
    spread_ms: int
    reason: str
    gtid: str = ""
    committed_ms: int = 0
    pending: bool = False
    settled: bool = False


@record(frozen=True, slots=True)
class Gap:
    """Everything before this entry is unknown."""

    reason: str
    gtid: str = ""
    pending: bool = False
    """Left the gate at its time limit: some replica may lack what it stands for, whatever the key."""


@record(frozen=True, slots=True)
class Replayed:
    """Everything committed since ``since_ms`` has been stamped again, above the last gap."""

    since_ms: int
    gtid: str = ""
    settled: bool = False
    """Ends a pending gap: the replicas have what that hid, or it is named again, and pending where they do not."""


@record(frozen=True, slots=True)
class Poisoned:
    """What a reader makes of an entry it cannot decode. Never written; taken as a gap."""

    reason: str


Body = Change | Heartbeat | Generation | Gap | Replayed
ReadBody = Body | Poisoned


@record(frozen=True, slots=True)
class Origin:
    """Which entry of which other stream an entry was mirrored from."""

    dc: str
    id: str
    """That entry's stamp as text."""
    nonce: str


@record(frozen=True, slots=True)
class NewEntry:
    nonce: str
    """Random, ``NONCE_CHARS`` lowercase hex digits."""
    body: Body
    origin: Origin | None = None


@record(frozen=True, slots=True)
class Entry:
    """An entry as read back."""

    stamp: int
    nonce: str
    previous: str
    """Nonce of the entry before; empty for the first of a stream's history."""
    body: ReadBody
    origin: Origin | None = None


KINDS: Final[dict[str, type[Body]]] = {
    "change": Change,
    "heartbeat": Heartbeat,
    "generation": Generation,
    "gap": Gap,
    "replayed": Replayed,
}
_NAMES: Final = {kind: name for name, kind in KINDS.items()}
_REQUIRED: Final[dict[str, frozenset[str]]] = {
    name: frozenset(field.name for field in fields(kind) if field.default is MISSING) for name, kind in KINDS.items()
}
_TYPES_BY_NAME: Final[dict[str, type]] = {
    "keys": list,
    "namespaces": list,
    "gtid": str,
    "reason": str,
    "read_ms": int,
    "applied_ms": int,
    "committed_ms": int,
    "start_ms": int,
    "spread_ms": int,
    "since_ms": int,
    "pending": bool,
    "settled": bool,
}
_TYPES: Final[dict[str, dict[str, type]]] = {
    name: {field.name: _TYPES_BY_NAME[field.name] for field in fields(kind)} for name, kind in KINDS.items()
}


Loads = Callable[[Any], Any]
"""Parses JSON text or bytes; raises ValueError for anything else."""


def kind_of(body: Body) -> str:
    return _NAMES[type(body)]


_encode: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_quoted: Final = json.encoder.encode_basestring
"""What the encoder does with a string."""


def encode_body(entry: NewEntry) -> str:
    """Return field ``b``. Fields at their default are left out; the order is that of the dataclass, ``origin`` last."""
    body = entry.body
    # Nearly all entries are changes, and for one the general encoder would cost more than all else.
    text = _encode_change(body) if type(body) is Change else _encode(_fields(body))
    origin = entry.origin
    return text if origin is None else text[:-1] + _encode_origin(origin)


def _encode_origin(origin: Origin) -> str:
    dc, id_, nonce = _quoted(origin.dc), _quoted(origin.id), _quoted(origin.nonce)
    return f',"origin":{{"dc":{dc},"id":{id_},"nonce":{nonce}}}}}'


def _fields(body: Body) -> dict[str, Any]:
    required = _REQUIRED[kind_of(body)]
    values = ((name, getattr(body, name)) for name in type(body).__slots__)
    return {name: value for name, value in values if name in required or value}


def _encode_change(body: Change) -> str:
    text = '{"keys":[' + ",".join(map(_quoted, body.keys)) + "]"
    if body.gtid:
        text += ',"gtid":' + _quoted(body.gtid)
    if body.committed_ms:
        text += f',"committed_ms":{body.committed_ms}'
    if body.pending:
        text += ',"pending":true'
    if body.settled:
        text += ',"settled":true'
    return text + "}"


def decode(stamp: int, fields: Mapping[str, str]) -> Entry:
    """Never raises: what cannot be decoded comes back as Poisoned, with whatever nonces it shows."""
    return read(stamp, fields.get("t", ""), fields.get("n", ""), fields.get("p", ""), fields.get("b", ""))


def read(stamp: int, kind: str, nonce: str, previous: str, text: str | bytes, *, loads: Loads = json.loads) -> Entry:
    """``decode`` for fields already apart."""
    if kind == "change":
        with_origin = _usual_change(text, loads)
        if with_origin is not None:
            return Entry(stamp, nonce, previous, with_origin[0], with_origin[1])
    origin = None
    try:
        found = _parsed(kind, text, loads)
        if "origin" in found:
            origin = _read_origin(found.pop("origin"))
        body: ReadBody = _checked(kind, found)
    except EntryFormatError as error:
        return Entry(stamp, nonce, previous, Poisoned(str(error)))
    return Entry(stamp, nonce, previous, body, origin)


def _usual_change(text: str | bytes, loads: Loads) -> tuple[Change, Origin] | None:
    """Return, in half the time, what the checks below would, of what nearly all entries are: a commit's keys, mirrored.

    None for anything else; whether that is wrong, and how, is not said here.
    """
    try:
        found = loads(text)
        keys, gtid, committed_ms, origin = found["keys"], found["gtid"], found["committed_ms"], found["origin"]
        dc, id_, nonce = origin["dc"], origin["id"], origin["nonce"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    is_change = type(keys) is list and _are_names(keys) and type(gtid) is str and type(committed_ms) is int
    if is_change and committed_ms >= 0 and len(found) == 4 and type(dc) is type(id_) is type(nonce) is str:
        return Change(tuple(keys), gtid, committed_ms), Origin(dc, id_, nonce)
    return None


def _parsed(kind: str, text: str | bytes, loads: Loads) -> dict[str, Any]:
    if kind not in KINDS:
        raise EntryFormatError(f"unknown kind of entry {kind[:40]!r}", hint="written by a newer stampline?")
    try:
        found = loads(text)
    except (ValueError, RecursionError) as error:
        raise EntryFormatError(f"body of a {kind} entry is not JSON: {text[:80]!r}") from error
    if type(found) is not dict:
        raise EntryFormatError(f"body of a {kind} entry is no object with {sorted(_REQUIRED[kind])}: {text[:80]!r}")
    return found


def _checked(kind: str, found: dict[str, Any]) -> Body:
    if not _REQUIRED[kind] <= found.keys():
        raise EntryFormatError(f"body of a {kind} entry lacks {sorted(_REQUIRED[kind] - found.keys())}")
    # Fields of a newer minor version are skipped: only a new kind changes what a reader must do.
    known = _TYPES[kind]
    arguments = {name: _value(kind, name, known[name], value) for name, value in found.items() if name in known}
    return KINDS[kind](**arguments)


def _value(kind: str, name: str, wanted: type[Any], value: Any) -> Any:
    if type(value) is not wanted or (wanted is int and value < 0) or (wanted is list and not _are_names(value)):
        raise EntryFormatError(f"field {name} of a {kind} entry has a wrong value: {str(value)[:80]!r}")
    return tuple(value) if wanted is list else value


def _are_names(values: list[Any]) -> bool:
    for value in values:  # Not ``all``: one name is the rule, and the generator would cost more than the check.
        if type(value) is not str or not value:
            return False
    return bool(values)


def _read_origin(value: Any) -> Origin | None:
    if value is None:
        return None
    if type(value) is dict:
        dc, id_, nonce = value.get("dc"), value.get("id"), value.get("nonce")
        if type(dc) is str and type(id_) is str and type(nonce) is str:
            return Origin(dc, id_, nonce)
    raise EntryFormatError(f"origin of an entry has a wrong value: {str(value)[:80]!r}")
