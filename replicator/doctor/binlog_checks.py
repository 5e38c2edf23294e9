"""Is this server's binlog fit for a source? One function, or one line of SETTINGS, a check."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from replicator.doctor.findings import Finding, Findings, Severity
from replicator.doctor.mysql_facts import MySqlFacts
from replicator.mysql import hides_applied_changes

DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Retention:
    """How far back the binlog must reach."""

    window_s: int
    outage_s: int
    """The longest outage that must not cost a window of UNKNOWN values."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A global variable with one good value."""

    name: str
    good: str
    severity: Severity
    why: str
    accepted: tuple[str, ...] = ()
    """Other values that will do, in lower case."""

    def check(self, facts: MySqlFacts) -> Findings:
        found = facts.variable(self.name)  # empty: this version does not know it, and does well
        if found and found not in {self.good.lower(), *self.accepted}:
            what = f"{self.name} is {found.upper()}: {self.why}"
            yield Finding(self.severity, facts.subject.name, self.name, what, self.fix)

    @property
    def fix(self) -> str:
        value = self.good if self.good.isdecimal() else f"'{self.good}'"
        return f"SET GLOBAL {self.name} = {value}; and {self.name} = {self.good} in my.cnf"


_ERROR, _WARNING = Severity.ERROR, Severity.WARNING
_ON: Final = ("1", "yes")

SETTINGS: Final = (
    Setting("binlog_format", "ROW", _ERROR, "statements do not say which rows they changed"),
    Setting("mysql56_temporal_format", "ON", _ERROR, "old temporal columns cannot be read", accepted=_ON),
    Setting("binlog_row_image", "FULL", _WARNING, "keys of columns it leaves out become invalidations of a namespace"),
    Setting("binlog_row_metadata", "FULL", _WARNING, "names and signedness come from the schema of now, not then"),
    Setting("binlog_checksum", "CRC32", _WARNING, "an event damaged on the way is not noticed"),
    Setting("sync_binlog", "1", _WARNING, "a crash of the server may lose commits that are stamped already"),
    Setting("innodb_flush_log_at_trx_commit", "1", _WARNING, "a crash may lose commits that are stamped already",
            accepted=("3",)),
    Setting("log_bin_compress", "OFF", _WARNING, "every event is unpacked on the way, which slows the source down",
            accepted=("0",)),
    Setting("binlog_transaction_compression", "OFF", _WARNING,
            "a transaction is held in memory whole to unpack it, and one too large stops the source", accepted=("0",)),
)  # fmt: skip


def binlog_is_written(facts: MySqlFacts) -> Findings:
    if not facts.is_on("log_bin"):
        fix = "write log_bin = binlog into my.cnf and restart the server"
        yield facts.subject.error("log_bin", "it writes no binlog", fix)


def partial_updates(facts: MySqlFacts) -> Findings:
    options = facts.variable("binlog_row_value_options")
    if options:
        what = f"binlog_row_value_options is {options.upper()}: after-images lack what a JSON update left alone"
        fix = "SET GLOBAL binlog_row_value_options = ''; and the same in my.cnf"
        yield facts.subject.warning("binlog_row_value_options", what, fix)


def databases_left_out(facts: MySqlFacts) -> Findings:
    for line in facts.binlog_filters or ():
        fix = f"take {line.partition('=')[0]} out of my.cnf and restart the server"
        yield facts.subject.error("binlog_filters", f"{line} leaves databases out of the binlog", fix)


def updates_of_others(facts: MySqlFacts) -> Findings:
    name = hides_applied_changes(facts.variables, is_replica=bool(facts.replication))
    if name:
        role = "a replica itself" if facts.replication else "a node of a Galera cluster"
        what = f"it is {role}, and what it applies for others never reaches its binlog"
        yield facts.subject.error(name, what, f"write {name} = ON into my.cnf and restart the server")


def gtids(facts: MySqlFacts) -> Findings:
    if facts.is_mariadb:
        yield from strictness(facts)
    elif facts.variable("gtid_mode", "off") != "on":
        what = "gtid_mode is not ON: a failover of the primary needs a replay, and gates need direct replicas"
        fix = "write gtid_mode = ON and enforce_gtid_consistency = ON into my.cnf and restart the server"
        yield facts.subject.warning("gtid_mode", what, fix)


def strictness(facts: MySqlFacts) -> Findings:
    if facts.is_mariadb and not facts.is_on("gtid_strict_mode"):
        what = (
            "gtid_strict_mode is OFF: a sequence number may be used twice, and the second commit is taken for the first"
        )
        fix = "SET GLOBAL gtid_strict_mode = 'ON'; and gtid_strict_mode = ON in my.cnf"
        yield facts.subject.warning("gtid_strict_mode", what, fix)


def retention(facts: MySqlFacts, wanted: Retention) -> Findings:
    kept_s = _kept_s(facts)
    if kept_s is None or kept_s >= wanted.window_s + wanted.outage_s:
        return
    days = -(-(wanted.window_s + wanted.outage_s) // DAY_S)
    if "binlog_expire_logs_seconds" in facts.variables:
        setting = f"binlog_expire_logs_seconds = {days * DAY_S}"
    else:
        setting = f"expire_logs_days = {days}"
    fix = f"SET GLOBAL {setting}; and {setting} in my.cnf"
    if kept_s < wanted.window_s:
        what = f"binlogs are purged after {kept_s} s, the window is {wanted.window_s} s: nothing lost can be replayed"
        yield facts.subject.error("binlog_retention", what, fix)
    else:
        what = f"binlogs are purged after {kept_s} s: an outage of {wanted.outage_s} s ends in a gap, not a replay"
        yield facts.subject.warning("binlog_retention", what, fix)


def size_limit(facts: MySqlFacts) -> Findings:
    limit = facts.variable("max_binlog_total_size", "0")
    if limit != "0":
        what = f"max_binlog_total_size is {limit}: a burst of writes may purge what the source has not read"
        fix = "SET GLOBAL max_binlog_total_size = 0; and the same in my.cnf"
        yield facts.subject.warning("binlog_total_size", what, fix)


def _kept_s(facts: MySqlFacts) -> int | None:
    """None: for ever."""
    if facts.variable("binlog_expire_logs_auto_purge", "on") in {"off", "0"}:
        return None
    seconds = int(facts.variable("binlog_expire_logs_seconds", "0"))
    return seconds or int(float(facts.variable("expire_logs_days", "0")) * DAY_S) or None


CHECKS: Final[tuple[Callable[[MySqlFacts], Findings], ...]] = (
    binlog_is_written,
    *(setting.check for setting in SETTINGS),
    partial_updates,
    databases_left_out,
    updates_of_others,
    gtids,
    size_limit,
)


def check_binlog(facts: MySqlFacts, wanted: Retention) -> Findings:
    for check in CHECKS:
        yield from check(facts)
    yield from retention(facts, wanted)
