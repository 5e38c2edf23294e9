"""Positions in a binlog: values that only grow, one transaction at a time.

Law: `includes` says yes only for a transaction that has surely been read. Three notations, one behaviour: a MariaDB
GTID list, a MySQL GTID set, and a file with an offset where a server has no GTIDs. They are never compared as text.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from operator import itemgetter
from typing import Self

from versioning.errors import FormatError


class PositionFormatError(FormatError):
    """Text that is no position of this server's notation."""

    def __init__(self, text: str, notation: str) -> None:
        super().__init__(f"{text[:80]!r} is not {notation}")


class Flavor(StrEnum):
    MARIADB = "mariadb"
    MYSQL = "mysql"
    FILE = "file"


Intervals = tuple[tuple[int, int], ...]

_NUMBER = r"(0|[1-9][0-9]{0,19})"
_MARIADB_GTID = re.compile(rf"{_NUMBER}-{_NUMBER}-{_NUMBER}")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_INTERVAL = re.compile(rf"{_NUMBER}(?:-{_NUMBER})?")
_FILE_GTID = re.compile(rf"([^/]+\.([0-9]{{1,19}}))/{_NUMBER}")
_FILE_POSITION = re.compile(rf"{_NUMBER}:(.+)")


@dataclass(frozen=True, slots=True)
class MariaDbPosition:
    """The last transaction of each domain, as (server id, sequence number)."""

    domains: tuple[tuple[int, int, int], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        found: dict[int, tuple[int, int, int]] = {}
        for gtid in filter(None, (part.strip() for part in text.split(","))):
            domain, server, sequence = _mariadb_gtid(gtid)
            found[domain] = (domain, server, sequence)
        return cls(tuple(found[domain] for domain in sorted(found)))

    def __str__(self) -> str:
        return ",".join(f"{domain}-{server}-{sequence}" for domain, server, sequence in self.domains)

    def includes(self, gtid: str) -> bool:
        domain, _, sequence = _mariadb_gtid(gtid)
        return self._reaches(domain, sequence)

    def after(self, gtid: str) -> "MariaDbPosition":
        domain, server, sequence = _mariadb_gtid(gtid)
        if self.includes(gtid):  # out of order, as servers without gtid_strict_mode allow
            return self
        if len(self.domains) == 1 and self.domains[0][0] == domain:  # nearly always
            return MariaDbPosition(((domain, server, sequence),))
        others = [entry for entry in self.domains if entry[0] != domain]
        return MariaDbPosition(tuple(sorted([*others, (domain, server, sequence)])))

    def before(self, gtid: str) -> str:
        """What `back_to` needs to undo `after`."""
        domain, _, _ = _mariadb_gtid(gtid)
        return next((f"{d}-{server}-{sequence}" for d, server, sequence in self.domains if d == domain), "")

    def back_to(self, before: str, gtid: str) -> "MariaDbPosition":
        domain, _, _ = _mariadb_gtid(gtid)
        others = [entry for entry in self.domains if entry[0] != domain]
        return MariaDbPosition(tuple(sorted([*others, _mariadb_gtid(before)] if before else others)))

    def covers(self, other: "Position") -> bool:
        return isinstance(other, MariaDbPosition) and all(
            self._reaches(domain, sequence) for domain, _, sequence in other.domains
        )

    def _reaches(self, domain: int, sequence: int) -> bool:
        for known, _, last in self.domains:
            if known == domain:
                return sequence <= last
        return False


@dataclass(frozen=True, slots=True)
class MySqlPosition:
    """For each server UUID the executed intervals, ends included, ascending and apart from each other."""

    sets: tuple[tuple[str, Intervals], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        found: dict[str, list[tuple[int, int]]] = {}
        for part in filter(None, (part.strip() for part in text.lower().split(","))):
            uuid, *intervals = part.split(":")
            if not _UUID.fullmatch(uuid) or not intervals:
                raise PositionFormatError(text, "a MySQL GTID set (uuid:1-5)")
            found.setdefault(uuid, []).extend(_interval(interval) for interval in intervals)
        return cls(tuple((uuid, _merged(found[uuid])) for uuid in sorted(found)))

    def __str__(self) -> str:
        return ",".join(f"{uuid}:{_intervals_text(intervals)}" for uuid, intervals in self.sets)

    def includes(self, gtid: str) -> bool:
        return self.covers(MySqlPosition.parse(gtid))

    def after(self, gtid: str) -> "MySqlPosition":
        uuid, _, number_text = gtid.partition(":")
        number = int(number_text)
        for place, (name, intervals) in enumerate(self.sets):
            if name == uuid and intervals[-1][1] == number - 1:  # nearly always
                *head, (first, _) = intervals
                grown = uuid, (*head, (first, number))
                return MySqlPosition((*self.sets[:place], grown, *self.sets[place + 1 :]))
        return MySqlPosition.parse(f"{self},{gtid}")

    def before(self, _gtid: str) -> str:
        return ""  # a set without one of its members needs no reminder

    def back_to(self, _before: str, gtid: str) -> "MySqlPosition":
        ((uuid, ((number, _),)),) = MySqlPosition.parse(gtid).sets
        sets = [(name, _without(number, intervals) if name == uuid else intervals) for name, intervals in self.sets]
        return MySqlPosition(tuple((name, intervals) for name, intervals in sets if intervals))

    def covers(self, other: "Position") -> bool:
        if not isinstance(other, MySqlPosition):
            return False
        ours = dict(self.sets)
        return all(_cover(ours.get(uuid, ()), intervals) for uuid, intervals in other.sets)


@dataclass(frozen=True, slots=True)
class FilePosition:
    """An offset in a file of one server: means nothing on any other."""

    server_id: int
    file: str
    offset: int

    @classmethod
    def parse(cls, text: str) -> Self:
        found = _FILE_POSITION.fullmatch(text)
        if found is None:
            raise PositionFormatError(text, "a binlog position (server_id:file/offset)")
        file, _, offset = _file_gtid(found[2])
        return cls(int(found[1]), file, offset)

    def __str__(self) -> str:
        return f"{self.server_id}:{self.file}/{self.offset}"

    def includes(self, gtid: str) -> bool:
        _, number, offset = _file_gtid(gtid)
        return (number, offset) <= (_file_number(self.file), self.offset)

    def after(self, gtid: str) -> "FilePosition":
        return self if self.includes(gtid) else self._at(gtid)

    def before(self, _gtid: str) -> str:
        return f"{self.file}/{self.offset}"

    def back_to(self, before: str, _gtid: str) -> "FilePosition":
        return self._at(before)

    def _at(self, gtid: str) -> "FilePosition":
        file, _, offset = _file_gtid(gtid)
        return FilePosition(self.server_id, file, offset)

    def covers(self, other: "Position") -> bool:
        return (
            isinstance(other, FilePosition)
            and other.server_id == self.server_id
            and self.includes(f"{other.file}/{other.offset}")
        )


Position = MariaDbPosition | MySqlPosition | FilePosition

_KINDS: dict[Flavor, type[Position]] = {
    Flavor.MARIADB: MariaDbPosition,
    Flavor.MYSQL: MySqlPosition,
    Flavor.FILE: FilePosition,
}


def place_of(end: str) -> tuple[int, int]:
    """Return the file's number and the offset of a `file/offset`: places in one binlog compare by them.

    Raises PositionFormatError.
    """
    _, number, offset = _file_gtid(end)
    return number, offset


def parse(text: str, flavor: Flavor) -> Position:
    """Reads a position in the notation of a flavor; raises PositionFormatError."""
    return _KINDS[flavor].parse(text)


@lru_cache(maxsize=64)  # each is asked about several times, shortly after each other
def _mariadb_gtid(gtid: str) -> tuple[int, int, int]:
    found = _MARIADB_GTID.fullmatch(gtid)
    if found is None:
        raise PositionFormatError(gtid, "a MariaDB GTID (domain-server-sequence)")
    return int(found[1]), int(found[2]), int(found[3])


def _interval(text: str) -> tuple[int, int]:
    found = _INTERVAL.fullmatch(text)
    first = int(found[1]) if found else 0
    last = int(found[2] or found[1]) if found else 0
    if not 0 < first <= last:
        raise PositionFormatError(text, "an interval of a MySQL GTID set (1-5; tagged GTIDs are not supported)")
    return first, last


def _merged(intervals: list[tuple[int, int]]) -> Intervals:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(intervals):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)


def _cover(ours: Intervals, intervals: Intervals) -> bool:
    # Of a server that has written nothing meanwhile both have the same.
    return ours == intervals or all(_covers(ours, start, end) for start, end in intervals)


def _covers(ours: Intervals, start: int, end: int) -> bool:
    place = bisect_right(ours, start, key=itemgetter(0))
    return place > 0 and end <= ours[place - 1][1]


def _without(number: int, intervals: Intervals) -> Intervals:
    parts = [part for first, last in intervals
             for part in ((first, min(last, number - 1)), (max(first, number + 1), last))]  # fmt: skip
    return _merged([(first, last) for first, last in parts if first <= last])


def _intervals_text(intervals: Intervals) -> str:
    return ":".join(str(first) if first == last else f"{first}-{last}" for first, last in intervals)


def _file_gtid(gtid: str) -> tuple[str, int, int]:
    found = _FILE_GTID.fullmatch(gtid)
    if found is None:
        raise PositionFormatError(gtid, "a binlog position (file/offset)")
    return found[1], int(found[2]), int(found[3])


def _file_number(file: str) -> int:
    return int(file.rpartition(".")[2])
