# Sourced once by the MariaDB image when the replica's data directory is new. It names the primary; replication starts with
# the server itself, from the primary's first GTID: databases and accounts come that way.
# shellcheck shell=bash
docker_process_sql <<SQL
CHANGE MASTER TO MASTER_HOST = 'mysql-a', MASTER_USER = 'repl', MASTER_PASSWORD = '$(cat /run/secrets/mysql)',
  MASTER_CONNECT_RETRY = 2, MASTER_USE_GTID = slave_pos;
SQL
