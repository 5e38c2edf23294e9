"""Where a replay (P3) starts: the newest binlog file surely begun before the window, else the oldest there is.

Behind a damaged file: nobody gets past its damage, and what it hides is below the gap in front of the replay.

A promoted replica without log_slave_updates has what it applied in its tables and not in its binlog. Its replay stamps
what there is, and says nothing of the time before it. A MySQL counts that as purged, and no binlog file says that it
was in an older one; so it is with the GTIDs of a copy that it was made from, which surely is older than its own logs.
"""

import re
from dataclasses import dataclass
from typing import Final

from replicator.binlog.stream import FIRST_EVENT_OFFSET, LinkOptions, file_began_ms
from replicator.mysql import MySqlClient, ServerFacts, binlog_files, is_on
from replicator.position import FilePosition, Flavor, MariaDbPosition, MySqlPosition, Position, parse
from replicator.source.anchor import BinlogFile
from replicator.source.commit_times import HEADER_LAG_MS

# A file's beginning is known to the second; what was committed in that second may be in the file before.
_SECOND_MS = 1_000
_NEVER_MS: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class ReplayStart:
    position: Position
    file: BinlogFile
    """Behind all of `position`."""
    since_ms: int
    """Everything committed from then on is behind `position`. May be later than now."""


def find_replay_start(
    client: MySqlClient, facts: ServerFacts, options: LinkOptions, *, wanted_ms: int, damaged_file: str = ""
) -> ReplayStart:
    """Reads the beginning of binlog files, newest first, until one was begun before `wanted_ms`. Raises SourceError."""
    files = names = [name for name, _ in binlog_files(client)]
    if facts.flavor is not Flavor.FILE:  # There it may be our offset that is none, and not the file.
        names = _behind(damaged_file, names)
    began_ms, chosen = 0, names[0]
    for name in reversed(names):
        began_ms, chosen = file_began_ms(client.address, facts, name, options), name
        if began_ms + HEADER_LAG_MS <= wanted_ms:
            break
    position, file = _position_before(client, facts, chosen), BinlogFile(facts.server_id, chosen, began_ms)
    if isinstance(position, MariaDbPosition) and hides_applied(client, position):
        return ReplayStart(position, file, _NEVER_MS)
    if isinstance(position, MySqlPosition) and hides_purged(client, facts, files[0], chosen, began_ms):
        return ReplayStart(position, file, _NEVER_MS)
    # Where nothing was ever before it, its first event has the time of the server's start.
    lag_ms = _SECOND_MS if _is_first(position) and not damaged_file else HEADER_LAG_MS
    return ReplayStart(position, file, max(began_ms + lag_ms, wanted_ms))


def may_have_begun(
    client: MySqlClient, facts: ServerFacts, options: LinkOptions, file: BinlogFile, position: Position
) -> bool:
    """Whether this server may be the one that began this file, behind this position. Raises SourceError.

    Where it is purged, nothing was committed between it and the oldest one that is left. A file of another server tells
    nothing of this one: two sources that read two servers would take turns.
    """
    if file.server_id != facts.server_id:
        return True
    names = [name for name, _ in binlog_files(client)]
    if file.name in names:
        return file_began_ms(client.address, facts, file.name, options) == file.began_ms
    return _position_before(client, facts, names[0]) == position


def hides_applied(client: MySqlClient, position: MariaDbPosition) -> bool:
    """Whether a MariaDB may have applied, behind this position, what its binlog does not have."""
    ((applied, logged_text),) = client.query("SELECT @@GLOBAL.gtid_slave_pos, @@GLOBAL.gtid_binlog_state")
    logged = {
        (domain, server): sequence
        for gtid in logged_text.split(",")
        for domain, server, sequence in MariaDbPosition.parse(gtid).domains
    }
    missing = (gtid for gtid in MariaDbPosition.parse(applied).domains if logged.get(gtid[:2], -1) < gtid[2])
    return not position.covers(MariaDbPosition(tuple(missing)))


def hides_purged(client: MySqlClient, facts: ServerFacts, oldest: str, file: str, began_ms: int) -> bool:
    """Whether a MySQL may have applied, since this file was begun, what its binlog does not have."""
    purged = _purged(client)  # First: more may be purged meanwhile, but then the oldest file is gone.
    in_purged_files, logged = _previous_gtids(client, oldest), dict(_previous_gtids(client, file).sets)
    hidden = [one for one in purged.sets if not in_purged_files.covers(MySqlPosition((one,)))]
    if all(uuid in logged and intervals[-1][1] <= logged[uuid][-1][1] for uuid, intervals in hidden):
        return False  # the same server's later ones were logged before this file
    return not (_logs_applied(facts) and _started_ms(client) <= began_ms + _SECOND_MS)


def _logs_applied(facts: ServerFacts) -> bool:
    """Since it was started, which alone changes that."""
    return any(is_on(facts.variables.get(name, "")) for name in ("log_slave_updates", "log_replica_updates"))


def _started_ms(client: MySqlClient) -> int:
    """By its own clock, as the times in its binlog are."""
    ((_, uptime_s),) = client.query("SHOW GLOBAL STATUS LIKE 'Uptime'")
    ((now_s,),) = client.query("SELECT UNIX_TIMESTAMP()")
    return (int(now_s) - int(uptime_s)) * 1000


def _behind(damaged_file: str, names: list[str]) -> list[str]:
    """All of them where none is behind it: the next look at the newest file may find more."""
    return names[names.index(damaged_file) + 1 :] or names if damaged_file in names else names


def _is_first(position: Position) -> bool:
    """Whether nothing was ever before it, purged or not."""
    if isinstance(position, FilePosition):
        return int(position.file.rpartition(".")[2]) == 1
    return not str(position)


def _position_before(client: MySqlClient, facts: ServerFacts, file: str) -> Position:
    if facts.flavor is Flavor.FILE:
        return FilePosition(facts.server_id, file, FIRST_EVENT_OFFSET)
    if facts.flavor is Flavor.MARIADB:
        return parse(_gtids_before(client, file), facts.flavor)
    return MySqlPosition.parse(f"{_purged(client)},{_previous_gtids(client, file)}")


def _purged(client: MySqlClient) -> MySqlPosition:
    return MySqlPosition.parse(_without_space(client.query("SELECT @@GLOBAL.gtid_purged")[0][0]))


def _gtids_before(client: MySqlClient, file: str) -> str:
    """MariaDB's of everything before this file."""
    return client.query("SELECT BINLOG_GTID_POS(%s, %s)", (file, FIRST_EVENT_OFFSET))[0][0] or ""


def _previous_gtids(client: MySqlClient, file: str) -> MySqlPosition:
    """Of what was logged before this file."""
    if re.fullmatch(r"[^'\\]+", file):  # SHOW BINLOG EVENTS takes no parameter
        for row in client.query(f"SHOW BINLOG EVENTS IN '{file}' LIMIT 4"):
            if row[2] == "Previous_gtids":
                return MySqlPosition.parse(_without_space(str(row[5])))
    return MySqlPosition()


def _without_space(text: str) -> str:
    return re.sub(r"\s+", "", text)
