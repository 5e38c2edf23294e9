"""Locust against the reference services: reads of ToC, writes of ToB, lookups of versions, forced bumps.

An open workload: a Locust "user" is no person but a source of arrivals, `--arrivals` of them a second; it sends each
request when it is due, however long the others take, and latency counts from then. Every answer of a ToC is checked for
staleness against what the writers of the same run committed. The exit code is 1 when a bound is broken: see
`loadtests/README.md`.
"""

import functools
import random
import time
from typing import Any, ClassVar

import gevent
from gevent.pool import Pool
from geventhttpclient.client import HTTPClientPool
from locust import FastHttpUser, LoadTestShape, events, task
from locust.argument_parser import LocustArgumentParser
from locust.exception import StopUser

from loadtests import gate
from loadtests.arrivals import Arrivals
from loadtests.profile import PLAN_SHARE, TENANT_SHARE
from loadtests.reads import ABSENT, FAILED, NO_TIER, PLAN, PLAN_ROW, ROW, TENANT, TRACKER, Reading, versions_in
from loadtests.shapes import SHAPES, users_at
from loadtests.zipf import Zipf

IN_FLIGHT_MAX = 100
"""Of one user. A request that would be one more is not sent, and counts as failed: the server is far behind."""

CONNECTIONS = 64
TIMEOUT_S = 5.0
BATCH_KEYS = 100
HTTP_OK, HTTP_CREATED, NOT_FOUND = 200, 201, 404
RETRIED = "ToC: sent to the next one"


@events.init_command_line_parser.add_listener
def _add_arguments(parser: LocustArgumentParser) -> None:
    parser.add_argument("--toc", required=True, help="URLs of the ToCs, with commas between them")
    parser.add_argument("--tob", default="", help="URL of the ToB")
    parser.add_argument("--service", default="", help="URL of a version service")
    parser.add_argument("--token", default="", is_secret=True, help="for bumps")
    parser.add_argument("--trackers", type=int, default=200, help="how many there are: ids 1 to N")
    parser.add_argument("--plans", type=int, default=0, help="rows of the table plan; 0: it is not read")
    parser.add_argument("--tenants", type=int, default=10, help="tracker n belongs to tenant n modulo this")
    parser.add_argument("--arrivals", type=float, default=10.0, help="requests per second of one user")
    parser.add_argument("--writes", type=float, default=5.0, help="updates per second of a ToB writer")
    parser.add_argument("--shape", choices=sorted(SHAPES), default="plateau", help="how the number of users changes")
    parser.add_argument("--record", default="", help="folder to write every read to; it is then judged elsewhere")
    gate.add_arguments(parser)


@events.init.add_listener
def _open_gate(environment: Any, **_: Any) -> None:
    environment.gate = gate.Gate(environment)


class Shape(LoadTestShape):
    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        options = self.runner.environment.parsed_options
        users = users_at(options.shape, self.get_run_time(), float(options.run_time or 60), int(options.num_users or 1))
        return None if users is None else (users, max(users, 1))


class _Open(FastHttpUser):
    abstract = True
    network_timeout = connection_timeout = TIMEOUT_S
    client_pool = HTTPClientPool(concurrency=CONNECTIONS, network_timeout=TIMEOUT_S, connection_timeout=TIMEOUT_S)
    host = "http://127.0.0.1"
    needs: ClassVar[str] = "toc"
    """The option without which there is nothing to ask."""

    def on_start(self) -> None:
        options = self.environment.parsed_options
        if not getattr(options, self.needs):
            raise StopUser
        self.options = options
        self.chance = random.Random()
        self.flights = Pool(IN_FLIGHT_MAX)
        self.arrivals = Arrivals(self.per_s(), self.chance, time.time())
        self.due_s = self.arrivals.next_s()

    def on_stop(self) -> None:
        self.flights.join(timeout=TIMEOUT_S)

    def per_s(self) -> float:
        return float(self.environment.parsed_options.arrivals)

    def wait_time(self) -> float:
        return max(self.due_s - time.time(), 0.0)

    @task
    def arrive(self) -> None:
        due_s, self.due_s = self.due_s, self.arrivals.next_s()
        if time.time() < due_s:
            gevent.sleep(due_s - time.time())
        if self.flights.full():
            self.overrun(due_s)
        else:
            self.flights.spawn(self.send, due_s)

    def send(self, due_s: float) -> None:
        raise NotImplementedError

    def overrun(self, _due_s: float) -> None:
        self.environment.events.request.fire(
            request_type="-", name="not sent: too many under way", response_time=0, response_length=0,
            exception=TimeoutError(f"{IN_FLIGHT_MAX} requests under way"), context={},
        )  # fmt: skip


class TocReader(_Open):
    weight = 10

    def on_start(self) -> None:
        super().on_start()
        self.tocs = str(self.options.toc).split(",")
        self.zipf = _zipf(self.options.trackers)

    def send(self, due_s: float) -> None:
        kind, row, path = self._pick()
        first = self.chance.randrange(len(self.tocs))
        for toc in (first, (first + 1) % len(self.tocs)):
            is_last = toc != first or len(self.tocs) == 1
            if self._ask(kind, row, path, toc, due_s, is_last=is_last) or is_last:
                return

    def overrun(self, due_s: float) -> None:
        super().overrun(due_s)
        self.environment.gate.take(Reading(TRACKER, 0, FAILED, due_s, due_s, time.time(), NO_TIER, "0"))

    def _pick(self) -> tuple[str, int, str]:
        point = self.chance.random()
        if point < PLAN_SHARE and self.options.plans:
            plan = self.chance.randint(1, self.options.plans)
            return PLAN, PLAN_ROW + plan, f"/plans/{plan}"
        tracker = self.zipf.pick(self.chance)
        if point > 1 - TENANT_SHARE:
            tenant = tracker % self.options.tenants
            return TENANT, tenant, f"/trackers?tenant_id={tenant}"
        return TRACKER, tracker, f"/trackers/{tracker}"

    def _ask(self, kind: str, row: int, path: str, toc: int, due_s: float, *, is_last: bool) -> bool:
        """Read once; return whether there was an answer. As a balancer does, an unreachable ToC is passed over."""
        sent_s = time.time()
        with self.client.get(self.tocs[toc] + path, name=f"ToC: one {kind}", catch_response=True) as answer:
            answered_s = time.time()
            if not answer.status_code and not is_last:
                answer.request_meta["name"] = RETRIED
                answer.success()
                return False
            answer.request_meta["response_time"] = (answered_s - due_s) * 1000
            if answer.status_code == NOT_FOUND:
                answer.success()
            said = answer.headers or {}
            tier, verdict = (str(said.get(f"x-stampline-{name}") or NO_TIER) for name in ("tier", "verdict"))
            times = (due_s, sent_s, answered_s)
            for number, (seen, version) in enumerate(_seen(kind, row, answer)):
                reading = Reading(ROW if number else kind, seen, version, *times, tier, str(toc + 1), verdict)
                self.environment.gate.take(reading)
            return bool(answer.status_code)


class TobWriter(_Open):
    """Each of its rows has this one writer, in this process: its versions are dense."""

    fixed_count = 1
    needs = "tob"

    def per_s(self) -> float:
        return float(self.environment.parsed_options.writes)

    def on_start(self) -> None:
        super().on_start()
        self.flights = Pool(1)
        self.zipf = _zipf(self.options.trackers)
        self.part, self.parts = self.environment.gate.part()

    def overrun(self, _due_s: float) -> None:
        """A write still under way: the next one waits for its turn, for versions are dense."""

    def send(self, _due_s: float) -> None:
        tracker = self.zipf.pick(self.chance)
        if tracker % self.parts != self.part:
            tracker = min(max(tracker - tracker % self.parts + self.part, 1), self.options.trackers)
        url = f"{self.options.tob}/trackers/{tracker}"
        writes = self.environment.gate.writes
        if not writes.knows(tracker):
            with self.client.get(url, name="ToB: the row as it is", catch_response=True) as answer:
                found = versions_in(answer.content or b"")
                if not found:
                    answer.failure(f"no version in the row: {answer.status_code}")
                    return
                writes.base(tracker, found[0][1], time.time())
        version = writes.begin(tracker, time.time())
        body = {"name": f"tracker {tracker}, version {version}", "extra": {"version": version}}
        with self.client.request("PATCH", url, json=body, name="ToB: one update", catch_response=True) as answer:
            if answer.status_code == HTTP_OK:
                writes.commit(tracker, time.time())
            else:
                writes.forget(tracker)


class VersionLookup(_Open):
    """What clients that do not follow ask a version service."""

    fixed_count = 1
    needs = "service"

    def send(self, due_s: float) -> None:
        self.chance.choice((self._one, self._batch, self._check))(due_s)

    def _one(self, due_s: float) -> None:
        self._ask("GET", f"/v1/versions/{self._key()}", None, "service: one version", due_s)

    def _batch(self, due_s: float) -> None:
        keys = [self._key() for _ in range(BATCH_KEYS)]
        self._ask("POST", "/v1/versions", {"keys": keys}, f"service: {BATCH_KEYS} versions", due_s)

    def _check(self, due_s: float) -> None:
        items = [{"key": self._key(), "fill_stamp": f"{int(time.time() * 1000)}-0"} for _ in range(BATCH_KEYS)]
        self._ask("POST", "/v1/check", {"items": items}, f"service: check of {BATCH_KEYS}", due_s)

    def _key(self) -> str:
        return f"tracker_web:{self.chance.randint(1, self.options.trackers)}"

    def _ask(self, method: str, path: str, body: Any, name: str, due_s: float) -> None:
        with self.client.request(
            method, self.options.service + path, json=body, name=name, catch_response=True
        ) as answer:
            answer.request_meta["response_time"] = (time.time() - due_s) * 1000


class Bumper(_Open):
    """Forced bumps of single keys, now and then."""

    fixed_count = 1
    needs = "token"

    def per_s(self) -> float:
        return 0.5

    def send(self, _due_s: float) -> None:
        body = {"keys": [f"tracker_web:{self.chance.randint(1, self.options.trackers)}"], "reason": "load test"}
        headers = {"Authorization": f"Bearer {self.options.token}"}
        self.client.post(f"{self.options.service}/v1/bump", json=body, headers=headers, name="service: bump of a key")


@functools.cache
def _zipf(count: int) -> Zipf:
    """One for all users of this process: its table is large."""
    return Zipf(count)


def _seen(kind: str, row: int, answer: Any) -> list[tuple[int, int]]:
    """Return the rows and versions that an answer shows."""
    if answer.status_code == NOT_FOUND and kind == PLAN:
        return [(row, ABSENT)]
    found = versions_in(answer.content or b"") if answer.status_code == HTTP_OK else []
    if kind == TENANT:
        return found or [(row, FAILED)]
    return [(row, found[0][1] if found else FAILED)]
