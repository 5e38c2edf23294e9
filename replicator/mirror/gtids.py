"""GTIDs in the notation of an entry, and whether a position that a database has named includes one."""

from collections.abc import Mapping
from functools import lru_cache

import structlog

from replicator.position import FilePosition, Flavor, MariaDbPosition, MySqlPosition, Position, parse
from versioning.errors import FormatError

log = structlog.get_logger()


def flavor_of(gtid: str) -> Flavor:
    if "/" in gtid:
        return Flavor.FILE
    return Flavor.MYSQL if ":" in gtid else Flavor.MARIADB


def without_server(gtid: str) -> str:
    """An offset in the binlog of the primary, as a replica names it: ``file/offset``."""
    return gtid.partition(":")[2] or gtid


def position_of(answer: str) -> Position:
    """Return the position that a database has named; raises PositionFormatError."""
    if flavor_of(answer) is Flavor.FILE:
        return FilePosition.parse(_with_server(answer))
    return parse(answer, flavor_of(answer))


@lru_cache(maxsize=1024)  # A set of a MySQL with a long history of failovers takes tens of kilobytes.
def position_at(gtid: str) -> Position | None:
    """Return the least position that includes a GTID; None for what no server ever names: it is never applied."""
    try:
        return position_of(gtid)
    except FormatError:
        log.warning("gtid_unreadable", gtid=gtid[:80])
        return None


def includes(position: Position, gtid: str) -> bool:
    wanted = position_at(gtid)
    return wanted is not None and position.covers(wanted)


def domain_of(gtid: str) -> str:
    """Return what its transactions are in one order of: a MariaDB's domain, a MySQL that writes, or a binlog ("")."""
    match flavor_of(gtid):
        case Flavor.MARIADB:
            return gtid.partition("-")[0]
        case Flavor.MYSQL:
            return gtid.rpartition(":")[0]
    return ""


def domains_in(gtid: str) -> set[str]:
    """Return those of a position, as ``domain_of`` names them."""
    position = position_at(gtid) if gtid else None
    if isinstance(position, MariaDbPosition):
        return {str(domain) for domain, _, _ in position.domains}
    if isinstance(position, MySqlPosition):
        return {server for server, _ in position.sets}
    return {""} if position is not None else set()


def reaches(position: Position, gtid: str) -> bool:
    """Whether it includes a GTID or one behind it: a MySQL without ``replica_preserve_commit_order`` may have holes."""
    wanted = position_at(gtid)
    if isinstance(position, MySqlPosition) and isinstance(wanted, MySqlPosition):
        ours = dict(position.sets)
        return any(server in ours and ours[server][-1][1] >= intervals[0][0] for server, intervals in wanted.sets)
    return includes(position, gtid)


def joined(one: str, other: str) -> str:
    """Return the least position that includes both: each may be further in a domain, or of a server, of its own.

    Either may be empty.
    """
    if not (one and other):
        return one or other
    first, second = position_at(one), position_at(other)
    if isinstance(first, MySqlPosition) and isinstance(second, MySqlPosition):
        return str(MySqlPosition.parse(f"{first},{second}"))
    if isinstance(first, MariaDbPosition) and isinstance(second, MariaDbPosition):
        for part in str(second).split(","):
            first = first.after(part)
        return str(first)
    return one if first is not None and includes(first, other) else other


def lacks(position: Position, gtid: str) -> bool:
    """Whether it surely does not include the GTID: in one notation with it, or empty.

    Servers change theirs one after the other when GTIDs are switched on.
    """
    wanted = position_at(gtid)
    is_comparable = wanted is None or not str(position) or type(wanted) is type(position)
    return is_comparable and not includes(position, gtid)


def is_beyond(position: Position, read: str) -> bool:
    """Whether a replica surely has what a position of the origin's source lacks.

    Told of MariaDB only, where a replica names no more than it has from its primary, and of the domains the source
    reads: others come from elsewhere. A MySQL names what was written on itself, too.
    """
    source = position_at(read) if read else None
    if not isinstance(position, MariaDbPosition) or not isinstance(source, MariaDbPosition):
        return False
    newest = {domain: sequence for domain, _, sequence in source.domains}
    return any(sequence > newest.get(domain, sequence) for domain, _, sequence in position.domains)


def writes_itself(server_id: int, applied: str, current: str, gtid: str) -> dict[int, bool]:
    """Say of a MariaDB without replication in which domains it wrote the GTID itself, and in which it only seems so.

    ``applied``: its ``gtid_slave_pos``; ``current``: its ``gtid_current_pos``, which has its own writes too.
    """
    found: dict[int, bool] = {}
    for part in filter(None, gtid.split(",")):
        ((domain, server, _),) = MariaDbPosition.parse(part).domains
        if server == server_id or (answer_includes(current, part) and not answer_includes(applied, part)):
            found[domain] = server == server_id
    return found


def with_own(applied: str, current: str, known: Mapping[int, bool], *, is_own: bool) -> str:
    """Return the position with its own writes in the domains that are its own; ``is_own``: of a domain not known."""
    own = (gtid for gtid in MariaDbPosition.parse(current).domains if known.get(gtid[0], is_own))
    others = (gtid for gtid in MariaDbPosition.parse(applied).domains if not known.get(gtid[0], is_own))
    return str(MariaDbPosition(tuple(sorted([*own, *others]))))


def answer_includes(answer: str, gtid: str) -> bool:
    """The same of a position as a database has named it; raises PositionFormatError."""
    return includes(position_of(answer), gtid)


def _with_server(gtid: str) -> str:
    return f"0:{without_server(gtid)}" if flavor_of(gtid) is Flavor.FILE else gtid
