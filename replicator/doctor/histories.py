"""One history: what a replica has, the primary has too. Else one of the two is not what the settings take it for."""

from collections.abc import Iterator, Sequence

from replicator.doctor.findings import Findings
from replicator.doctor.mysql_facts import MySqlFacts
from replicator.position import MariaDbPosition, MySqlPosition, PositionFormatError


def check_histories(source: MySqlFacts, gates: Sequence[MySqlFacts]) -> Findings:
    """``source`` was asked after the gates: what it has not by then, it did not write."""
    if source.replication != ():
        return  # It may be behind a replica; or we may not see whether it is one itself.
    for gate in gates:
        is_of_several = len(gate.replication or ()) > 1
        foreign = "" if is_of_several else next(_beyond(gate, source), "")
        if foreign:
            what = (
                f"it has {foreign}, and {source.address} has not: either that is the primary no more, and the source "
                "vouches for what nobody writes to, or this replica has what a failover lost"
            )
            fix = "let [source.mysql] name the primary; where it does, rebuild this replica from it"
            yield gate.subject.error("replica_ahead", what, fix)


def _beyond(gate: MySqlFacts, source: MySqlFacts) -> Iterator[str]:
    try:
        yield from _beyond_mariadb(gate, source) if gate.is_mariadb else _beyond_mysql(gate, source)
    except PositionFormatError:  # Tagged GTIDs: the source refuses to start with them.
        return


def _beyond_mariadb(gate: MySqlFacts, source: MySqlFacts) -> Iterator[str]:
    """Domains that the source does not know are other primaries' (or the replica's own)."""
    applied = MariaDbPosition.parse(gate.variable("gtid_slave_pos"))
    of_source = MariaDbPosition.parse(source.variable("gtid_binlog_pos"))
    written = {domain: (server, last) for domain, server, last in of_source.domains}
    for domain, server, last in applied.domains:
        writer, newest = written.get(domain, (server, last))
        if last > newest or (last == newest and server != writer):
            yield f"{domain}-{server}-{last}"


def _beyond_mysql(gate: MySqlFacts, source: MySqlFacts) -> Iterator[str]:
    executed = MySqlPosition.parse(gate.variable("gtid_executed"))
    if "gtid_executed" not in source.variables:
        return
    written = MySqlPosition.parse(source.variable("gtid_executed"))
    for uuid, intervals in executed.sets:
        if uuid == gate.variable("server_uuid"):
            continue  # Written there: ``read_only`` is another finding.
        for interval in intervals:
            lone = MySqlPosition(((uuid, (interval,)),))
            if not written.covers(lone):
                yield str(lone)
