"""R7: wide rows with JSON, a thousand a transaction, from the binlog into stream A; only their keys need decoding."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from loadtests.bench.backlog import backlog
from loadtests.bench.contract import Benchmark, Better, Contender, Reach

TABLE: Final = "wide"
INSERTS: Final = 100
ROWS: Final = 1_000
_WIDE: Final = """
CREATE TABLE wide (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, tenant_id INT NOT NULL,
  name VARCHAR(100) NOT NULL, email VARCHAR(255) NULL, status ENUM('active', 'paused') NOT NULL,
  price DECIMAL(12,4) NOT NULL, score DOUBLE NULL, created DATETIME(6) NOT NULL, updated TIMESTAMP NOT NULL,
  flags SET('a', 'b', 'c'), note TEXT, tags VARCHAR(400), extra JSON, config JSON, hash BINARY(16), big BIGINT,
  tiny TINYINT, day DATE) ENGINE = InnoDB
"""
_INSERT: Final = """
INSERT INTO wide (id, tenant_id, name, email, status, price, score, created, updated, flags, note, tags, extra,
  config, hash, big, tiny, day)
SELECT %d + seq, seq %% 100, CONCAT('name ', seq), CONCAT(seq, '@example.com'), 1 + seq %% 2, seq / 7,
  IF(seq %% 3, seq / 3, NULL), NOW(6), NOW(), 'a,c', REPEAT('n', seq %% 300), 'x,y,z',
  CONCAT('{"a":', seq, ',"b":["x","y",{"c":1.5}],"text":"', REPEAT('lorem ', 20), '"}'), '{}',
  'abcdefghij', seq, 1, '2024-01-01' FROM seq_1_to_1000
"""
_UPDATE: Final = "UPDATE wide SET big = big + 1 WHERE id BETWEEN %d AND %d"


@contextmanager
def contenders() -> Iterator[Sequence[Contender]]:
    with backlog(TABLE) as binlog:
        binlog.run(_WIDE)
        inserts = [_INSERT % (number * ROWS) for number in range(INSERTS)]
        updates = [_UPDATE % (number * ROWS + 1, (number + 1) * ROWS) for number in range(INSERTS // 2)]
        binlog.fill(*inserts, *updates, keys=(len(inserts) + len(updates)) * ROWS)
        yield [
            binlog.source(),
            binlog.library("mysql-replication"),
            binlog.library("mysql-replication, frozen schema", freeze_schema=True),
            binlog.mariadb_binlog(),
        ]


BENCHMARK: Final = Benchmark(
    "r7-bulk-rows",
    "wide rows with JSON, 1,000 a transaction: from the binlog into stream A; the library only decodes them",
    "rows/s",
    Better.HIGHER,
    (Reach(3.0, ("mysql-replication", "mysql-replication, frozen schema")),),
    contenders,
)
