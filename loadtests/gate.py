"""Whether a Locust run passes: a broken bound of staleness, a slow p99 or too many errors end it with exit code 1.

Any number of Locust processes read and write. Each folds its reads (of consecutive reads of one version of a row, the
last is the stalest and stands for all) and hands them to the master with its regular report, its writes beside them.
The master judges when the run is over: only then is it known when each version was superseded. With `--record` reads
are written to files instead, and whoever wrote the rows judges them.
"""

import contextlib
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deploy.simulation.chaos.tally import Seen, Tally
from deploy.simulation.staleness import Audit, History
from loadtests.reads import Reading, to_line

READ_NAMES = "ToC: one "
FLUSH_LINES = 200


def add_arguments(parser: Any) -> None:
    parser.add_argument("--bound-s", type=float, default=300.0, help="no read may be staler than this; 0: not checked")
    parser.add_argument("--p99-ms", type=float, default=0.0, help="p99 of ToC reads; 0: not checked")
    parser.add_argument("--error-rate", type=float, default=0.0001, help="share of requests that may fail; 1: any")


@dataclass
class Write:
    """A committed version of a row; `begun_s` and `acknowledged_s` bracket its commit."""

    row: int
    version: int
    begun_s: float
    acknowledged_s: float


class Writes:
    """Of one process, which is the only writer of its rows."""

    def __init__(self) -> None:
        self.made: list[Write] = []
        self._versions: dict[int, int] = {}
        self._begun_s: dict[int, float] = {}

    def knows(self, row: int) -> bool:
        return row in self._versions

    def base(self, row: int, version: int, seen_s: float) -> None:
        """The version that was there before this run, seen at the primary."""
        self._versions[row] = version
        self.made.append(Write(row, version, seen_s, seen_s))

    def begin(self, row: int, sent_s: float) -> int:
        self._begun_s[row] = sent_s
        return self._versions[row] + 1

    def commit(self, row: int, acknowledged_s: float) -> None:
        self._versions[row] += 1
        self.made.append(Write(row, self._versions[row], self._begun_s.pop(row), acknowledged_s))

    def forget(self, row: int) -> None:
        """The outcome of a write is unknown: what the row is now is to be asked."""
        self._versions.pop(row, None)


class Gate:
    """One per Locust process. `environment.gate` of every user."""

    def __init__(self, environment: Any) -> None:
        self.writes = Writes()
        self._environment = environment
        self._options = environment.parsed_options
        self._folded: list[Seen] = []
        self._tally = Tally(self._folded.append)
        self._lines: list[str] = []
        self._reported: list[dict[str, Any]] = []
        """Of the workers; on the master only."""
        environment.events.report_to_master.add_listener(self._report)
        environment.events.worker_report.add_listener(self._collect)
        environment.events.quitting.add_listener(self._quit)

    def part(self) -> tuple[int, int]:
        """Return which part of the rows this process writes, and of how many parts."""
        runner = self._environment.runner
        index = max(getattr(runner, "worker_index", 0), 0)
        return index, max(getattr(self._options, "processes", 0) or 1, index + 1)

    def take(self, reading: Reading) -> None:
        if self._options.record:
            self._lines.append(to_line(reading))
            if len(self._lines) >= FLUSH_LINES:
                self._flush()
        elif reading.version >= 0:
            self._tally.take([(reading.row, reading.version)], reading.sent_s, reading.answered_s)

    def _flush(self) -> None:
        index, _ = self.part()
        with (Path(self._options.record) / f"{index}.reads").open("a", encoding="ascii") as file:
            file.writelines(self._lines)
        self._lines.clear()

    def _report(self, data: dict[str, Any], **_: Any) -> None:
        data["stampline"] = self._drain()

    def _collect(self, data: dict[str, Any], **_: Any) -> None:
        self._reported.append(data.pop("stampline", {}))

    def _drain(self) -> dict[str, Any]:
        self._tally.close()
        drained = {"seen": [asdict(seen) for seen in self._folded], "writes": [asdict(w) for w in self.writes.made]}
        self._folded.clear()
        self.writes.made.clear()
        return drained

    def _quit(self, environment: Any, **_: Any) -> None:
        if self._lines:
            self._flush()
        if type(environment.runner).__name__ == "WorkerRunner":
            return
        reports = [*self._reported, self._drain()]
        audit = judge(reports, self._options.bound_s or float("inf"))
        total = environment.stats.total
        p99_ms = max(
            (e.get_response_time_percentile(0.99) or 0.0 for e in environment.stats.entries.values() if _is_read(e)),
            default=0.0,
        )
        failures = verdict(audit, p99_ms, total.fail_ratio, total.num_requests, self._options)
        print(
            f"stampline: {audit.reads} reads checked, {audit.stale} of them stale, at most {audit.certain_max_s:.3f} s;"
            f" p99 of reads {p99_ms:.0f} ms; {total.num_failures} of {total.num_requests} requests failed"
        )
        print("\n".join(f"stampline: BROKEN: {failure}" for failure in failures) or "stampline: KEPT")
        environment.process_exit_code = 1 if failures else 0


def judge(reports: list[dict[str, Any]], bound_s: float) -> Audit:
    """Judge what all processes saw by what all of them wrote. Rows that nobody wrote cannot be stale."""
    history = History()
    base: dict[int, int] = {}
    written: dict[int, list[Write]] = defaultdict(list)
    for write in (Write(**one) for report in reports for one in report.get("writes", ())):
        written[write.row].append(write)
    for row, writes in written.items():
        writes.sort(key=lambda write: write.version)
        base[row] = writes[0].version
        for write in writes:
            with contextlib.suppress(ValueError):  # after an unknown outcome the row was asked again: a version twice
                history.begin(row, write.begun_s)
                history.commit(row, write.version - base[row], write.acknowledged_s)
    audit = Audit(bound_s)
    for seen in (Seen(**one) for report in reports for one in report.get("seen", ())):
        version = seen.version - base.get(seen.row, seen.version)
        audit.take(history.judge(seen.row, version, seen.sent_s, seen.answered_s))
        audit.reads += seen.reads - 1
    return audit


def verdict(audit: Audit, p99_ms: float, error_rate: float, requests: int, options: Any) -> list[str]:
    """Return what is broken, in words; empty when the run passes."""
    broken = []
    if options.bound_s and audit.violations:
        broken.append(f"{audit.violations} reads staler than {options.bound_s:g} s, up to {audit.certain_max_s:.1f} s")
    if options.p99_ms and p99_ms > options.p99_ms:
        broken.append(f"p99 of ToC reads {p99_ms:.0f} ms, allowed {options.p99_ms:g} ms")
    if error_rate > options.error_rate:
        broken.append(f"{error_rate:.4%} of the requests failed, allowed {options.error_rate:.4%}")
    if not requests:
        broken.append("no request was made")
    return broken


def _is_read(entry: Any) -> bool:
    return str(entry.name).startswith(READ_NAMES)
