"""From what was seen of a world to figures: plain data, which `loadtests.report` renders and `results.json` keeps."""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

from deploy.simulation.staleness import Audit, percentile
from loadtests.conduct import Phase, Run
from loadtests.phases import PhaseName
from loadtests.reads import Reading, judge
from loadtests.sample import Sample
from loadtests.worlds import BESIDE, PIPELINE, TITLES, TOCS

HITS = {"local", "redis"}
WINDOW_S = 5.0
"""Of the windows whose p99 shows how much p99 varies by itself."""

PEAK_S = 2.0
POINTS_PER_DECADE = 10
FIRST_POINT_S, LAST_POINT_S = 0.001, 1_000.0
SINGLE_ROWS = {PhaseName.STEADY, PhaseName.RAPID, PhaseName.BURST}
"""Phases in which rows change one by one."""

Json = dict[str, Any]


def world_result(run: Run) -> Json:
    """Return all figures of one world. ``run.writer`` holds the history; None: the world never started."""
    result: Json = {"mode": run.mode, "title": TITLES[run.mode], "phases": [], "series": {}}
    averages = [sample.load_average for sample in run.samples]
    result["load_average"] = sum(averages) / len(averages) if averages else None
    if run.writer is None:
        return result
    judged = [(reading, judge(run.writer.history, reading)) for reading in run.readings if reading.is_answered]
    begin_s = run.phases[0].begin_s if run.phases else 0.0
    result["phases"] = [phase_result(phase, run, judged, begin_s) for phase in run.phases]
    result["series"] = series(run, judged, begin_s)
    phases = [phase for phase in run.phases if phase.name in SINGLE_ROWS]
    certain = [b.certain_s for r, b in judged if any(p.begin_s <= r.due_s < p.end_s for p in phases)]
    result["ccdf_single_rows"] = ccdf(certain)
    return result


def phase_result(phase: Phase, run: Run, judged: Sequence[tuple[Reading, Any]], begin_s: float) -> Json:
    of_phase = [(r, b) for r, b in judged if phase.begin_s <= r.due_s < phase.end_s]
    requests = [r for r in run.readings if r.is_request and phase.begin_s <= r.due_s < phase.end_s]
    audit = Audit(run.profile.limits.promise_s)
    for _, bounds in of_phase:
        audit.take(bounds)
    return {
        "name": phase.name,
        "failure": phase.failure,
        "begin_s": phase.begin_s - begin_s,
        "end_s": phase.end_s - begin_s,
        "event_s": phase.event_s - begin_s if phase.event_s else None,
        "notes": phase.notes,
        "said": phase.said,
        **requests_result(requests, phase.begin_s),
        **counted(phase.before, phase.after, run.mode, len(requests)),
        "loads_per_s_peak": peak_per_s(run.samples, phase.begin_s, phase.end_s),
        "staleness": {
            "judged": audit.reads,
            "stale": audit.stale,
            "p99_s": percentile([b.certain_s for _, b in of_phase], 0.99),
            "max_s": audit.certain_max_s,
            "worst_s": audit.worst_max_s,
            "violations": audit.violations,
            "inconclusive": audit.inconclusive,
        },
        "delay_ms": delays(run, phase),
    }


def requests_result(requests: Sequence[Reading], begin_s: float) -> Json:
    answered = [r for r in requests if r.is_answered]
    latencies = [r.latency_ms for r in answered]
    windows: dict[int, list[float]] = {}
    for reading in answered:
        windows.setdefault(int((reading.due_s - begin_s) // WINDOW_S), []).append(reading.latency_ms)
    hits = sum(r.tier in HITS for r in answered)
    return {
        "reads": len(requests),
        "failed": len(requests) - len(answered),
        "hit_rate": hits / len(answered) if answered else None,
        "local_rate": sum(r.tier == "local" for r in answered) / len(answered) if answered else None,
        "unknown_rate": sum(r.verdict == "unknown" for r in answered) / len(answered) if answered else None,
        "p50_ms": percentile(latencies, 0.5),
        "p95_ms": percentile(latencies, 0.95),
        "p99_ms": percentile(latencies, 0.99),
        "p999_ms": percentile(latencies, 0.999),
        "p99_windows_ms": [percentile(window, 0.99) for window in windows.values() if len(window) >= 100],
    }


def counted(before: Sample | None, after: Sample | None, mode: str, reads: int) -> Json:
    """What the servers counted between two samples, and the CPU seconds of each group of processes."""
    if before is None or after is None:
        return {"loads": None, "redis_commands": None, "cpu_s": {}}
    groups = {"toc": TOCS, "pipeline": PIPELINE[mode], "mysql-b": ("mysql-b",), "redis-b": ("redis-b",)}
    cpu = {name: sum(_grown(before, after, member) for member in members) for name, members in groups.items()}
    return {
        "loads": after.loads - before.loads,
        "redis_commands": max(after.redis_commands - before.redis_commands, 0),
        "wan_bytes": after.wan_bytes - before.wan_bytes,
        "wan_entries": after.wan_entries - before.wan_entries,
        "sampled_s": after.at_s - before.at_s,
        "cpu_s": cpu,
        "cpu_by_toc_s": {name: _grown(before, after, name) for name in (*TOCS, BESIDE) if name in after.cpu_s},
        "cpu_ms_per_read": 1000 * cpu["toc"] / reads if reads else None,
    }


def _grown(before: Sample, after: Sample, process: str) -> float:
    """CPU seconds of a process; one that was restarted meanwhile began again at 0."""
    now_s, then_s = after.cpu_s.get(process, 0.0), before.cpu_s.get(process, 0.0)
    return now_s - then_s if now_s >= then_s else now_s


def rates(samples: Sequence[Sample], of: str) -> list[tuple[float, float]]:
    """Return (moment, per second) between each two samples; a counter that began again counts from 0."""
    found = []
    for before, after in itertools.pairwise(samples):
        grown = getattr(after, of) - getattr(before, of)
        if grown >= 0:
            found.append((after.at_s, grown / (after.at_s - before.at_s)))
    return found


def peak_per_s(samples: Sequence[Sample], begin_s: float, end_s: float) -> float:
    """Return the highest rate of loads over any two seconds."""
    inside = [sample for sample in samples if begin_s <= sample.at_s <= end_s]
    if len(inside) < 2:
        return 0.0
    best = (inside[-1].loads - inside[0].loads) / (inside[-1].at_s - inside[0].at_s)
    for first, before in enumerate(inside):
        after = next((sample for sample in inside[first:] if sample.at_s - before.at_s >= PEAK_S - 0.25), None)
        if after is not None:
            best = max(best, (after.loads - before.loads) / (after.at_s - before.at_s))
    return best


def delays(run: Run, phase: Phase) -> Json:
    """From commit to the first fresh read, of the updates followed in a phase; one that was never seen is infinite."""
    found = [seen.delay_ms for seen in run.seen if phase.begin_s <= seen.committed_s < phase.end_s]
    values = [math.inf if delay is None else delay for delay in found]
    shown = {name: _finite(percentile(values, share)) for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))}
    return {"count": len(found), "unseen": sum(delay is None for delay in found), **shown}


def _finite(value: float) -> float | None:
    return None if math.isinf(value) else value


def ccdf(values: Iterable[float]) -> list[tuple[float, float]]:
    """Return (x, share of the values above x) at points evenly spread on a log axis."""
    ordered = sorted(values, reverse=True)
    decades = round(math.log10(LAST_POINT_S / FIRST_POINT_S))
    points = [FIRST_POINT_S * 10 ** (n / POINTS_PER_DECADE) for n in range(decades * POINTS_PER_DECADE + 1)]
    above, shares = len(ordered), []
    for point in points:
        while above and ordered[above - 1] <= point:
            above -= 1
        shares.append((point, above / len(ordered) if ordered else 0.0))
    return shares


def series(run: Run, judged: Sequence[tuple[Reading, Any]], begin_s: float) -> Json:
    """Return what happened in each second since the first phase."""
    stale: dict[int, float] = {}
    for reading, bounds in judged:
        second = int(reading.due_s - begin_s)
        stale[second] = max(stale.get(second, 0.0), bounds.certain_s)
    latency: dict[int, list[float]] = {}
    for reading in run.readings:
        if reading.is_request and reading.is_answered:
            latency.setdefault(int(reading.due_s - begin_s), []).append(reading.latency_ms)
    return {
        "loads_per_s": [(at_s - begin_s, rate) for at_s, rate in rates(run.samples, "loads")],
        "redis_per_s": [(at_s - begin_s, rate) for at_s, rate in rates(run.samples, "redis_commands")],
        "staleness_max_s": sorted(stale.items()),
        "p99_ms": [(second, percentile(values, 0.99)) for second, values in sorted(latency.items())],
    }


def paired_result(run: Run) -> Json:
    """stampline (ToC 1) beside TTL alone (ToC 2), under the same load at the same time."""
    phase = next((phase for phase in run.phases if phase.name == PhaseName.PAIRED), None)
    if phase is None or not run.paired:
        return {}
    result: Json = {}
    for side, name, number in (("stampline", TOCS[0], "1"), ("ttl", BESIDE, "2")):
        requests = [r for r in run.paired if r.is_request and r.toc == number]
        timed = [r for r in requests if phase.begin_s <= r.due_s < phase.end_s]
        cpu_s = _grown(phase.before, phase.after, name) if phase.before and phase.after else 0.0
        result[side] = requests_result(timed, phase.begin_s)
        result[side]["cpu_ms_per_read"] = 1000 * cpu_s / len(timed) if timed else None
        result[side] |= _commands(phase, side, requests)
    return result


def _commands(phase: Phase, side: str, requests: Sequence[Reading]) -> Json:
    """Redis commands as clients sent them, in the part of the phase in which they were listened to."""
    begin_s, end_s = phase.notes.get("monitored_from_s", 0.0), phase.notes.get("monitored_to_s", 0.0)
    inside = [r for r in requests if begin_s <= r.due_s < end_s]
    tiers = {tier: sum(r.tier == tier for r in inside) for tier in ("local", "redis", "loaded")}
    commands = phase.notes.get(f"{side}_commands", 0.0)
    return {"commands_per_read": commands / len(inside) if inside else None, "commands": commands, "tiers": tiers}
