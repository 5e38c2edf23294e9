"""``python -m loadtests.bench.writer PORT --per-s N --count C``: one-row commits in A, each of a key of its own.

A process of its own, so that what is measured shares no interpreter with it. It prints a line for each commit once all
are done: the row's id, when it was sent and when the server had acknowledged it (Unix time, ns).
"""

import argparse
import time
from typing import Final

from deploy.simulation.configs import DATABASE
from deploy.simulation.sql_server import PASSWORD

SQL: Final = "UPDATE tracker_web SET tenant_id = tenant_id + 1 WHERE id = %s"


def write(port: int, *, per_s: float, count: int, first_id: int) -> list[tuple[int, int, int]]:
    import pymysql  # noqa: PLC0415  of the replicator extra

    commits: list[tuple[int, int, int]] = []
    connection = pymysql.connect(
        host="127.0.0.1", port=port, user="root", password=PASSWORD, database=DATABASE, autocommit=True
    )
    with connection, connection.cursor() as cursor:
        began_s = time.monotonic()
        for number in range(count):
            time.sleep(max(began_s + number / per_s - time.monotonic(), 0))
            sent_ns = time.time_ns()
            cursor.execute(SQL, (first_id + number,))
            commits.append((first_id + number, sent_ns, time.time_ns()))
    return commits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--per-s", type=float, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--first-id", type=int, required=True)
    arguments = parser.parse_args()
    commits = write(arguments.port, per_s=arguments.per_s, count=arguments.count, first_id=arguments.first_id)
    print("\n".join(" ".join(map(str, commit)) for commit in commits))


if __name__ == "__main__":
    main()
