"""Reads of a ToC and writes of a ToB, by Locust, against a world that `deploy/demo.sh --keep` leaves running.

    pip install --group loadtest
    locust -f loadtests/locustfile.py --headless -u 20 -t 30s \\
        --toc http://127.0.0.1:PORT --tob http://127.0.0.1:PORT

Tracker popularity is Zipf-like, as in the demo. `--host` is not used.
"""

import itertools
import random
from typing import Any

from locust import FastHttpUser, between, constant_throughput, events, task
from locust.argument_parser import LocustArgumentParser

TRACKERS = range(1, 201)
_WEIGHTS = list(itertools.accumulate(1 / rank for rank in TRACKERS))


@events.init_command_line_parser.add_listener
def _add_arguments(parser: LocustArgumentParser) -> None:
    parser.add_argument("--toc", required=True, help="URL of a ToC")
    parser.add_argument("--tob", required=True, help="URL of the ToB")


def _pick() -> int:
    return random.choices(TRACKERS, cum_weights=_WEIGHTS)[0]


class _User(FastHttpUser):
    abstract = True
    option = ""

    def __init__(self, environment: Any) -> None:
        type(self).host = getattr(environment.parsed_options, self.option)
        super().__init__(environment)


class TocReader(_User):
    option = "toc"
    weight = 19
    wait_time = between(0.0, 0.02)

    @task
    def read(self) -> None:
        self.client.get(f"/trackers/{_pick()}", name="ToC: one tracker")


class TobWriter(_User):
    option = "tob"
    weight = 1
    wait_time = constant_throughput(5)

    @task
    def update(self) -> None:
        tracker = _pick()
        self.client.patch(
            f"/trackers/{tracker}", json={"name": f"written by locust, {random.random():.6f}"}, name="ToB: update"
        )
