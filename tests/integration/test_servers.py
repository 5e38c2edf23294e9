"""The servers of the simulation do what the tests and the demo take for granted."""

from collections.abc import Callable

import redis

from deploy.simulation.mariadb import MariaDb
from deploy.simulation.mysql56 import MySql56
from deploy.simulation.redis_server import RedisServer
from deploy.simulation.redis_sets import RedisCluster, RedisSentinel
from deploy.simulation.relay import Relay

INSERT = "INSERT INTO tracker_web (tracker_id, tenant_id) VALUES ('t-1', 7)"


def test_a_write_in_a_reaches_the_replica(mariadb_a: MariaDb, replica_b: MariaDb, database: str) -> None:
    mariadb_a.execute(INSERT, database=database)
    replica_b.catch_up_with(mariadb_a)
    assert replica_b.scalar("SELECT tenant_id FROM tracker_web", database=database) == 7


def test_a_replica_behind_the_wan_follows_by_gtid_across_a_cut(
    mariadb_a: MariaDb, new_mariadb: Callable[..., MariaDb], database: str, relay: Relay
) -> None:
    relay.set_delay(one_way_ms=20)
    replica = new_mariadb()
    replica.replicate_from(relay.add_link("mysql", mariadb_a.port))
    mariadb_a.execute(INSERT, database=database)
    replica.catch_up_with(mariadb_a)
    relay.cut()
    mariadb_a.execute("UPDATE tracker_web SET tenant_id = 8", database=database)
    relay.heal()
    replica.catch_up_with(mariadb_a)
    assert replica.scalar("SELECT tenant_id FROM tracker_web", database=database) == 8
    assert replica.replication_status()["Using_Gtid"] == "Slave_Pos"


def test_a_killed_primary_starts_again_with_every_commit(mariadb_a: MariaDb, database: str) -> None:
    mariadb_a.execute(INSERT, database=database)
    position = mariadb_a.gtid_position()
    mariadb_a.kill()
    mariadb_a.start()
    assert mariadb_a.gtid_position() == position
    assert mariadb_a.scalar("SELECT COUNT(*) FROM tracker_web", database=database) == 1


def test_each_account_logs_in(mariadb_a: MariaDb, database: str) -> None:
    for user in ("repl", "stampline_source", "stampline_gate", "toc", "tob"):
        with mariadb_a.connect(user) as connection:
            assert connection.open
    with mariadb_a.connect("toc", database=database) as connection, connection.cursor() as cursor:
        assert cursor.execute("SELECT * FROM tracker_web") == 0


def test_redis_is_handed_out_empty_and_never_evicts(redis_a: RedisServer, redis_b: RedisServer) -> None:
    with redis_a.client() as a, redis_b.client() as b:
        assert a.dbsize() == b.dbsize() == 0
        assert a.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        a.set("left", "over")


def test_redis_asks_for_the_password_it_was_given(new_redis: Callable[..., RedisServer]) -> None:
    server = new_redis(requirepass="secret")
    with redis.Redis.from_url(server.url) as client:
        assert client.ping()


def test_the_sentinels_replace_a_dead_source(sentinel: RedisSentinel) -> None:
    assert sentinel.current_source is sentinel.source
    sentinel.source.kill()
    sentinel.wait_for_source(sentinel.replica)


def test_the_cluster_serves_every_slot(redis_cluster: RedisCluster) -> None:
    seed = redis_cluster.nodes[0]
    with redis.RedisCluster(host=seed.host, port=seed.port) as client:
        for number in range(50):
            assert client.set(f"key:{number}", number)


def test_mysql_logs_rows_with_gtids(mysql56: MySql56) -> None:
    mysql56.create_database("shop_mysql")
    before = mysql56.gtid_position()
    mysql56.execute(INSERT, database="shop_mysql")
    assert mysql56.gtid_position() != before
    assert mysql56.scalar("SELECT @@binlog_format") == "ROW"
