"""The doctor on two histories: a replica that has what the source's server lacks."""

from dataclasses import replace

import pytest

from replicator.doctor.histories import check_histories
from replicator.doctor.mysql_facts import MySqlFacts
from tests.replicator.doctor_facts import MYSQL, PRIMARY, PRIMARY_MYSQL, REPLICA, RUNNING, the_one, with_variables

OLD, NEW, OWN = (f"{digit * 8}-0000-0000-0000-000000000000" for digit in "abc")


def mariadb(written: str, applied: str) -> tuple[MySqlFacts, MySqlFacts]:
    return with_variables(PRIMARY, gtid_binlog_pos=written), with_variables(REPLICA, gtid_slave_pos=applied)


def mysql(written: str, applied: str) -> tuple[MySqlFacts, MySqlFacts]:
    gate = replace(REPLICA, variables=MYSQL | {"gtid_executed": applied, "server_uuid": OWN})
    return with_variables(PRIMARY_MYSQL, gtid_executed=written), gate


@pytest.mark.parametrize(
    ("facts", "foreign"),
    [
        (mariadb("0-1-9", "0-2-10"), "0-2-10"),
        (mariadb("0-1-9,5-1-3", "0-1-9,5-2-3"), "5-2-3"),
        (mysql(f"{OLD}:1-9", f"{OLD}:1-9,\n{NEW}:1-2"), f"{NEW}:1-2"),
        (mysql(f"{OLD}:1-9", f"{OLD}:1-12"), f"{OLD}:1-12"),
    ],
)
def test_a_replica_that_has_what_the_source_lacks_follows_another_primary_or_has_diverged(
    facts: tuple[MySqlFacts, MySqlFacts], foreign: str
) -> None:
    source, gate = facts
    found = the_one(check_histories(source, [gate]))
    assert (found.check, found.subject) == ("replica_ahead", "gate b1 b:3306")
    assert f"it has {foreign}, and a:3306 has not" in found.what
    assert "[source.mysql]" in found.fix


@pytest.mark.parametrize(
    ("source", "gate"),
    [
        mariadb("0-1-9", "0-1-9"),
        mariadb("0-1-9", "0-1-8"),
        mariadb("0-1-9", "0-1-9,7-3-100"),
        mariadb("", ""),
        mysql(f"{OLD}:1-9", f"{OLD}:1-4:6-9"),
        mysql(f"{OLD}:1-9", f"{OLD}:1-9,{OWN}:1-3"),
        mysql(f"{OLD}:1-9", f"{OLD}:tag:1-12"),
        (PRIMARY, mysql("", f"{OLD}:1-9")[1]),
    ],
)
def test_a_replica_that_is_behind_or_has_more_of_its_own_is_of_one_history(
    source: MySqlFacts, gate: MySqlFacts
) -> None:
    assert list(check_histories(source, [gate])) == []


def test_a_source_that_may_be_behind_the_replica_and_a_replica_of_several_primaries_are_not_judged() -> None:
    source, gate = mariadb("0-1-9", "0-2-10")
    for replication in ((RUNNING,), None):
        assert list(check_histories(replace(source, replication=replication), [gate])) == []
    assert list(check_histories(source, [replace(gate, replication=(RUNNING, RUNNING))])) == []
