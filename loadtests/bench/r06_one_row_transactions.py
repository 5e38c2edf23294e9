"""R6: a backlog of transactions of one row each, from the binlog into stream A, beside the library that only reads."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from loadtests.bench.backlog import backlog
from loadtests.bench.contract import Benchmark, Better, Contender, Reach

TRANSACTIONS: Final = 60_000
ROWS: Final = 2_000
TABLE: Final = "tracker_web"
_MANY: Final = """
CREATE PROCEDURE many(transactions INT, row_count INT) BEGIN DECLARE n INT DEFAULT 0;
  WHILE n < transactions DO
    UPDATE tracker_web SET tenant_id = tenant_id + 1 WHERE id = 1 + (n MOD row_count); SET n = n + 1;
  END WHILE; END
"""
_ROWS_SQL: Final = """
INSERT INTO tracker_web (id, tracker_id, tenant_id) SELECT seq, CONCAT('t-', seq), 1 FROM seq_1_to_100000 LIMIT %d
"""


@contextmanager
def contenders() -> Iterator[Sequence[Contender]]:
    with backlog(TABLE) as binlog:
        binlog.run(_ROWS_SQL % ROWS, _MANY)
        binlog.fill(f"CALL many({TRANSACTIONS}, {ROWS})", keys=TRANSACTIONS)
        yield [
            binlog.source(),
            binlog.library("mysql-replication, frozen schema", freeze_schema=True),
            binlog.library("mysql-replication"),
        ]


BENCHMARK: Final = Benchmark(
    "r6-one-row-transactions",
    "transactions of one row: from the binlog into stream A; the library only decodes them",
    "transactions/s",
    Better.HIGHER,
    (Reach(20_000), Reach(2.5, ("mysql-replication",))),
    contenders,
)
