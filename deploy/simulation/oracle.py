"""The oracle for "nothing is lost" (I3): MariaDB's own reading of its binlog files against what a stream says.

`mariadb-binlog` prints every row change; nothing of our reader has a part in it. From each change come the keys of the
image before and of the image after it (or the namespace, where a partial row image hides a key's column). Each must
have a stamp of the same position or a later one in the stream, and each stamp with a position must have a change
behind it. The rows of an XA transaction count from its XA COMMIT, those of a transaction without an end not at all.
Statements without rows (DDL, TRUNCATE) are not judged.

    findings = compare(changes(server, templates), read_stamps(redis))
    assert not findings.lost
"""

import json
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import redis

from deploy.simulation.mariadb import MariaDb
from versioning.keys import KeyTemplate, namespace_of

_GTID: Final = re.compile(r"#\d{6} .*\tGTID (\d+)-\d+-(\d+)")
_TABLE: Final = re.compile(r"### (INSERT INTO|UPDATE|DELETE FROM) `(.+)`\.`(.+)`$")
_XA: Final = re.compile(r"XA (START|PREPARE|COMMIT|ROLLBACK) (X'[^']*',X'[^']*',\d+)")
_VALUE: Final = re.compile(r"###   @(\d+)=(.*)$", re.DOTALL)
_INTEGER: Final = re.compile(r"(-?\d+)(?: \((\d+)\))?")
_CONTROL: Final = re.compile(rb"\\x([01][0-9a-fA-F])")  # the only thing it escapes in a text, quotes included
_PAGE_ENTRIES: Final = 5_000

Row = dict[str, object]
Templates = Mapping[str, Sequence[KeyTemplate]]
"""By `database.table`."""


@dataclass(frozen=True, slots=True)
class Change:
    """What must be stamped: a key, or a namespace where a partial image hides the key (`what` ends in a colon)."""

    domain: int
    sequence: int
    what: str


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    is_unsigned: bool


def changes(server: MariaDb, templates: Templates) -> Iterator[Change]:
    """All row changes of these tables that the server's binlog files hold, oldest first."""
    columns = {table: _columns(server, table) for table in templates}
    files = [server.data_folder / str(row["Log_name"]) for row in server.query("SHOW BINARY LOGS")]
    return _Reading(columns, templates).of(dump_files(files))


def _columns(server: MariaDb, table: str) -> list[Column]:
    database, _, name = table.partition(".")
    rows = server.query(
        "SELECT column_name AS name, column_type AS kind FROM information_schema.columns"
        " WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position",
        (database, name),
    )
    return [Column(str(row["name"]), "unsigned" in str(row["kind"])) for row in rows]


def dump_files(files: Sequence[str | Path]) -> Iterator[str]:
    """The lines `mariadb-binlog` prints; raises CalledProcessError when it cannot read the files."""
    command = ["mariadb-binlog", "-v", "--base64-output=DECODE-ROWS", "--skip-gtid-strict-mode", *files]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None  # noqa: S101
        assert process.stderr is not None  # noqa: S101
        for line in process.stdout:
            yield line.decode("utf-8", errors="surrogateescape").rstrip("\n")
        complaint = process.stderr.read()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, stderr=complaint)


class _Reading:
    """Goes through the printed lines once; holds the transaction it is in, and prepared ones."""

    def __init__(self, columns: Mapping[str, Sequence[Column]], templates: Templates) -> None:
        self._columns = columns
        self._templates = templates
        self._gtid = (0, 0)
        self._named: list[str] = []
        self._prepared: dict[str, list[str]] = {}
        self._table = ""
        self._images: list[Row] = []

    def of(self, lines: Iterable[str]) -> Iterator[Change]:
        for line in lines:
            if line.startswith("###"):
                self._take_row_line(line)
                continue
            self._end_row()
            for what in self._take(line):
                yield Change(*self._gtid, what)

    def _take_row_line(self, line: str) -> None:
        if line.startswith("###   @"):
            if self._table in self._columns:
                name, value = _value(line, self._columns[self._table])
                self._images[-1][name] = value
            return
        found = _TABLE.match(line)
        if found is None:  # WHERE or SET: an image follows
            self._images.append({})
            return
        self._end_row()
        self._table = f"{found[2]}.{found[3]}"

    def _end_row(self) -> None:
        if self._images and self._table in self._columns:
            self._named += _named(self._images, self._templates[self._table])
        self._images = []

    def _take(self, line: str) -> list[str]:
        """What is committed by this line."""
        if line.startswith("COMMIT"):
            named, self._named = self._named, []
            return named
        if line.startswith("XA "):
            return self._take_xa(line)
        found = _GTID.match(line)
        if found is not None:
            self._gtid, self._named = (int(found[1]), int(found[2])), []
        return []

    def _take_xa(self, line: str) -> list[str]:
        found = _XA.match(line)
        step, xid = (found[1], found[2]) if found is not None else ("", "")
        if step == "PREPARE":
            self._prepared[xid], self._named = self._named, []
        ended = self._prepared.pop(xid, []) if step in {"COMMIT", "ROLLBACK"} else []
        return ended if step == "COMMIT" else []


def _value(line: str, columns: Sequence[Column]) -> tuple[str, object]:
    found = _VALUE.match(line)
    assert found is not None, line  # noqa: S101
    column, text = columns[int(found[1]) - 1], found[2]
    if text == "NULL":
        return column.name, None
    if text.startswith("'"):
        raw = text[1:-1].encode("utf-8", errors="surrogateescape")
        return column.name, _CONTROL.sub(lambda found: bytes([int(found[1], 16)]), raw).decode()
    number = _INTEGER.fullmatch(text)
    if number is None:
        return column.name, text
    return column.name, int(number[2] if number[2] and column.is_unsigned else number[1])


def _named(images: Sequence[Row], templates: Sequence[KeyTemplate]) -> Iterator[str]:
    """Keys before and after; what an update's after image leaves out is as before."""
    first = images[0]
    for image in (first, {**first, **images[1]}) if len(images) > 1 else (first,):
        for template in templates:
            yield template.render(image) or f"{template.namespace}:"


@dataclass(slots=True)
class Stamps:
    exact: set[Change] = field(default_factory=set)
    latest: dict[tuple[int, str], int] = field(default_factory=dict)
    """Highest sequence by domain and key, or namespace and a colon."""

    def add(self, stamp: Change) -> None:
        self.exact.add(stamp)
        at = (stamp.domain, stamp.what)
        self.latest[at] = max(self.latest.get(at, 0), stamp.sequence)

    def covers(self, change: Change) -> bool:
        if change in self.exact:
            return True
        names = (change.what, f"{namespace_of(change.what)}:")
        return any(self.latest.get((change.domain, name), 0) >= change.sequence for name in names)


def read_stamps(url: str, name: str = "stampline") -> Stamps:
    """Every stamp of a stream that has a position, read as plain JSON."""
    stamps, after = Stamps(), "-"
    with redis.Redis.from_url(url, decode_responses=True) as client:
        while page := client.xrange(f"{{{name}}}:stream", min=after, count=_PAGE_ENTRIES):
            for _, fields in page:
                for stamp in _stamps_of(fields):
                    stamps.add(stamp)
            after = f"({page[-1][0]}"
    return stamps


def _stamps_of(fields: Mapping[str, str]) -> Iterator[Change]:
    if fields.get("t") not in {"change", "generation"}:
        return
    body = json.loads(fields["b"])
    for gtid in filter(None, body.get("gtid", "").split(",")):
        domain, _, sequence = (int(part) for part in gtid.split("-"))
        for key in body.get("keys", ()):
            yield Change(domain, sequence, key)
        for namespace in body.get("namespaces", ()):
            yield Change(domain, sequence, f"{namespace}:")


@dataclass(frozen=True, slots=True)
class Findings:
    changes: int
    """Keys and namespaces that had to be stamped, each once per transaction."""
    late: int
    """Of these, stamped under a later position only."""
    lost: tuple[Change, ...]
    """Of these, not stamped at all: I3 is violated."""
    foreign: tuple[Change, ...]
    """Keys stamped though no change of them came before: a wrong key."""


def compare(required: Iterable[Change], stamps: Stamps) -> Findings:
    seen: set[Change] = set()
    first: dict[tuple[int, str], int] = {}
    for change in required:
        seen.add(change)
        at = (change.domain, change.what)
        first[at] = min(first.get(at, change.sequence), change.sequence)
    lost = sorted((change for change in seen if not stamps.covers(change)), key=_order)
    late = sum(change not in stamps.exact for change in seen) - len(lost)
    foreign = sorted((stamp for stamp in stamps.exact if _is_foreign(stamp, first)), key=_order)
    return Findings(len(seen), late, tuple(lost), tuple(foreign))


def _is_foreign(stamp: Change, first: Mapping[tuple[int, str], int]) -> bool:
    if stamp.what.endswith(":"):
        return False  # a generation may always be said
    return first.get((stamp.domain, stamp.what), stamp.sequence + 1) > stamp.sequence


def _order(change: Change) -> tuple[int, int, str]:
    return change.domain, change.sequence, change.what
