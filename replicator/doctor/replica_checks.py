"""Will this database open the gate? What keeps a replica from applying, or from saying that it has (P4)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from replicator.doctor.binlog_checks import strictness
from replicator.doctor.findings import Findings
from replicator.doctor.mysql_facts import MySqlFacts

_ELSEWHERE: Final = "HOST = '<the primary>', ..."
_FILTERS: Final = (
    "Replicate_Do_DB", "Replicate_Ignore_DB", "Replicate_Do_Table", "Replicate_Ignore_Table", "Replicate_Wild_Do_Table",
    "Replicate_Wild_Ignore_Table", "Replicate_Rewrite_DB",
)  # fmt: skip
_IDS_LEFT_OUT: Final = ("Do_Domain_Ids", "Ignore_Domain_Ids", "Ignore_Server_Ids")
_REBUILD: Final = "and rebuild it: what was left out stays away"


@dataclass(frozen=True, slots=True)
class GateContext:
    limit_ms: int
    """Longest time an entry waits at the gate."""
    max_lag_ms: int
    source_id: int = 0
    """server_id of the source's MySQL; 0: not known here."""


def check_gate(facts: MySqlFacts, context: GateContext) -> Findings:
    for check in CHECKS:
        yield from check(facts, context)


def is_a_replica(facts: MySqlFacts, context: GateContext) -> Findings:
    if facts.replication is None or facts.replication or facts.server_id == context.source_id:
        return
    what = "it replicates from nowhere: entries wait for it until the gate's limit, unless it is the primary itself"
    follow = f"{_changed(facts, {}, _ELSEWHERE)} {_start(facts, {})}"
    fix = f"is it the primary by now? then point [source.mysql] at it; else {follow}"
    if context.source_id:
        yield facts.subject.error("replication", what, fix)
    else:
        yield facts.subject.warning("replication", what, fix)


def semi_sync_primary(facts: MySqlFacts, context: GateContext) -> Findings:
    del context
    is_primary = facts.replication == ()
    is_late = (
        facts.is_on("rpl_semi_sync_master_enabled")
        and facts.variable("rpl_semi_sync_master_wait_point") == "after_sync"
    )
    if is_primary and is_late:
        what = "a primary with semi-sync AFTER_SYNC names commits long before it shows them: loads may read the old row"
        yield facts.subject.warning("semi_sync", what, "SET GLOBAL rpl_semi_sync_master_wait_point = 'AFTER_COMMIT';")


def threads_running(facts: MySqlFacts, context: GateContext) -> Findings:
    del context
    for row in facts.replication or ():
        stopped = [word for word in ("IO", "SQL") if _of(row, f"{word}_Running", "Yes") != "Yes"]
        if not stopped:
            continue
        errors = _errors(row)
        said = f": {errors}" if errors else ""
        if _of(row, "IO_Running") == "Connecting":
            what = f"it does not reach its primary, and tries again{said}"
            moved = f"{_stop(facts, row)} {_changed(facts, row, _ELSEWHERE)} {_start(facts, row)}"
            yield facts.subject.error(
                "replication_stopped", what, f"start its primary, or where that has moved: {moved}"
            )
        else:
            what = f"replication is stopped ({' and '.join(stopped)} thread){said}"
            first = "mend what it says, or rebuild it; then " if errors else ""
            if _is_cut_loose(facts):
                what += ", and it takes writes: the gate never opens for those"
                first = f"where it is a primary now: {_reset(facts, row)} else "
            yield facts.subject.error("replication_stopped", what, f"{first}{_start(facts, row)}")


def _errors(row: Mapping[str, Any]) -> str:
    return " ".join(filter(None, (_of(row, f"Last_{word}_Error") for word in ("IO", "SQL"))))


def _is_cut_loose(facts: MySqlFacts) -> bool:
    """Whether somebody stopped all replication by a statement, and lets it be written: promoted, half-way."""
    stopped = [
        _of(row, "IO_Running") == _of(row, "SQL_Running") == "No" and not _errors(row)
        for row in facts.replication or ()
    ]
    return any(stopped) and all(stopped) and _takes_writes(facts)


def lag(facts: MySqlFacts, context: GateContext) -> Findings:
    for row in facts.replication or ():
        behind = _of(row, "Seconds_Behind_Master") or _of(row, "Seconds_Behind_Source")
        if behind.isdecimal() and int(behind) * 1000 > context.max_lag_ms:
            what = f"it is {behind} s behind: everything it has not applied passes the gate as pending"
            yield facts.subject.warning("replica_lag", what, "find the slow statement: SHOW PROCESSLIST;")


def delay(facts: MySqlFacts, context: GateContext) -> Findings:
    for row in facts.replication or ():
        wanted = _of(row, "SQL_Delay")
        if wanted.isdecimal() and int(wanted) * 1000 >= context.limit_ms:
            fix = f"{_stop(facts, row)} {_changed(facts, row, 'DELAY = 0')} {_start(facts, row)}"
            what = f"it is delayed by {wanted} s, more than the gate's limit: every entry enters as pending"
            yield facts.subject.error("replica_delay", what, fix)


def filters(facts: MySqlFacts, context: GateContext) -> Findings:
    del context
    for row in facts.replication or ():
        for name in _FILTERS:
            value = _of(row, name)
            if value:
                what = f"{name} is {value}: a GTID counts as applied though rows of it were left out"
                variable = name.lower()
                if facts.is_mariadb:
                    set_ = f"SET GLOBAL {_in_connection(row)}{variable} = '';"
                    fix = f"{_stop(facts, row)} {set_} {_start(facts, row)} and take it out of my.cnf"
                else:
                    fix = f"take {variable} out of my.cnf and restart the server"
                yield facts.subject.error("replica_filter", what, fix)


def transactions_left_out(facts: MySqlFacts, context: GateContext) -> Findings:
    del context
    left_out = "a GTID counts as applied though its transaction was left out"
    for row in facts.replication or ():
        for name in _IDS_LEFT_OUT:
            ids = _of(row, f"Replicate_{name}")
            if ids:
                none = _changed(facts, row, f"{name.upper()} = ()", has_prefix=False)
                fix = f"{_stop(facts, row)} {none} {_start(facts, row)} {_REBUILD}"
                yield facts.subject.error("replica_filter", f"{name.upper()} is ({ids}): {left_out}", fix)
    if facts.replication and facts.variable("replicate_events_marked_for_skip", "replicate") != "replicate":
        what = f"replicate_events_marked_for_skip leaves out what sessions with skip_replication = 1 write: {left_out}"
        fix = (
            f"STOP ALL SLAVES; SET GLOBAL replicate_events_marked_for_skip = 'REPLICATE'; START ALL SLAVES; {_REBUILD}"
        )
        yield facts.subject.error("replica_filter", what, fix)


def errors_passed_over(facts: MySqlFacts, context: GateContext) -> Findings:
    del context
    if not facts.replication:
        return
    what = "a GTID counts as applied though its rows may differ"
    skipped = _variable(facts, "skip_errors", "off")
    if skipped != "off":
        fix = (
            f"take {_spelled(facts, 'skip_errors')} out of my.cnf, restart the server, and compare or rebuild its rows"
        )
        yield facts.subject.error("replica_errors", f"it skips errors ({skipped}): {what}", fix)
    if _variable(facts, "exec_mode", "strict") == "idempotent":
        fix = f"SET GLOBAL {_spelled(facts, 'exec_mode')} = 'STRICT'; and take it out of my.cnf"
        yield facts.subject.warning("replica_errors", f"it passes over rows it does not find: {what}", fix)


def by_gtid(facts: MySqlFacts, context: GateContext) -> Findings:
    del context
    for row in facts.replication or ():
        if facts.is_mariadb and _of(row, "Using_Gtid", "No") == "No":
            fix = f"{_stop(facts, row)} {_changed(facts, row, 'USE_GTID = slave_pos')} {_start(facts, row)}"
            yield facts.subject.warning("replica_gtid", "it replicates by file and offset, and loses its place", fix)


def read_only(facts: MySqlFacts, context: GateContext) -> Findings:
    del context
    if facts.replication and _takes_writes(facts) and not _is_cut_loose(facts):
        what = "it takes writes, and nothing written there is ever stamped"
        yield facts.subject.warning("read_only", what, "SET GLOBAL read_only = ON; and read_only = ON in my.cnf")


def _takes_writes(facts: MySqlFacts) -> bool:
    # MariaDB from 11.8 on has words of its own for ON: whatever is not OFF refuses writers.
    return facts.variable("read_only", "on") in {"off", "0"}


def strict(facts: MySqlFacts, context: GateContext) -> Findings:
    del context
    yield from strictness(facts)


def _of(row: Mapping[str, Any], name: str, default: str = "") -> str:
    """Return a field of the replica status under its old name or its new one."""
    for known in (f"Slave_{name}", f"Replica_{name}", name):
        value = row.get(known)
        if value is not None:
            return str(value)
    return default


def _variable(facts: MySqlFacts, name: str, default: str) -> str:
    """Return a variable of replication under its old name or its new one."""
    return facts.variable(f"slave_{name}") or facts.variable(f"replica_{name}") or default


def _spelled(facts: MySqlFacts, name: str) -> str:
    return f"{_replica(facts).lower()}_{name}"


def _start(facts: MySqlFacts, row: Mapping[str, Any]) -> str:
    return f"START {_replica(facts)}{_for_one(facts, row)};"


def _stop(facts: MySqlFacts, row: Mapping[str, Any]) -> str:
    return f"STOP {_replica(facts)}{_for_one(facts, row)};"


def _reset(facts: MySqlFacts, row: Mapping[str, Any]) -> str:
    """Let it forget its primary."""
    whom = _for_one(facts, row)
    return f"RESET SLAVE{whom} ALL;" if facts.is_mariadb else f"RESET {_replica(facts)} ALL{whom};"


def _changed(facts: MySqlFacts, row: Mapping[str, Any], setting: str, *, has_prefix: bool = True) -> str:
    """``setting``: without MASTER_ or SOURCE_, with which all but a few begin."""
    is_new = facts.version.has_new_words
    setting = f"{'SOURCE' if is_new else 'MASTER'}_{setting}" if has_prefix else setting
    if facts.is_mariadb:
        return f"CHANGE MASTER{_for_one(facts, row)} TO {setting};"
    return f"CHANGE {'REPLICATION SOURCE' if is_new else 'MASTER'} TO {setting}{_for_one(facts, row)};"


def _replica(facts: MySqlFacts) -> str:
    return "REPLICA" if facts.version.has_new_words else "SLAVE"


def _for_one(facts: MySqlFacts, row: Mapping[str, Any]) -> str:
    """A statement without a name is about the connection without one, and fails where there is none."""
    quoted = _connection(row).replace("'", "''")
    if not quoted:
        return ""
    return f" '{quoted}'" if facts.is_mariadb else f" FOR CHANNEL '{quoted}'"


def _in_connection(row: Mapping[str, Any]) -> str:
    """MariaDB has variables of each connection."""
    name = _connection(row).replace("`", "``")
    return f"`{name}`." if name else ""


def _connection(row: Mapping[str, Any]) -> str:
    return str(row.get("Connection_name") or row.get("Channel_Name") or "")


Check = Callable[[MySqlFacts, GateContext], Findings]
CHECKS: Final[tuple[Check, ...]] = (
    is_a_replica, semi_sync_primary, threads_running, lag, delay, filters, transactions_left_out, errors_passed_over,
    by_gtid, read_only, strict,
)  # fmt: skip
