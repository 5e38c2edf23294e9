"""The tables of the report, as rows of text: Markdown and HTML show the same ones."""

from dataclasses import dataclass
from typing import Any

from loadtests.phases import PhaseName
from loadtests.report.requirements import Line
from loadtests.worlds import MODES, STAMPLINE, TITLES, TTL

Json = dict[str, Any]
NONE = "–"
NOT_SHOWN = {PhaseName.PAIRED, PhaseName.GATE, PhaseName.FILLING}


@dataclass(frozen=True)
class Table:
    title: str
    note: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def requirements(lines: list[Line]) -> Table:
    rows = tuple((line.requirement, line.reach, line.measured, line.verdict, line.reason or NONE) for line in lines)
    return Table(
        "Requirements",
        "Computed from the figures below.",
        ("requirement", "to reach", "measured", "verdict", "why"),
        rows,
    )


def phases(results: Json) -> list[Table]:
    """One table per kind of figure: phases down, worlds across."""
    names = phase_names(results)
    kinds = (
        ("Reads", "Failed of all reads.", lambda p: f"{p['failed']} of {p['reads']}"),
        ("Hit rate", "Share of reads answered by the process or by Redis.", lambda p: _share(p["hit_rate"])),
        (
            "Not vouched for",
            "Share of reads served UNKNOWN: all without stampline; with it, while the pipeline lags.",
            lambda p: _share(p["unknown_rate"]),
        ),
        ("Latency, ms", "p50 / p99 / p99.9, from the moment a read was due.", _latency),
        (
            "Staleness, s",
            "The stalest read (for certain), and reads above the scaled promise.",
            lambda p: f"{p['staleness']['max_s']:.2f} / {p['staleness']['violations']}",
        ),
        ("Commit to fresh, ms", "p50 / p99 of the updates followed; how many were not seen in time.", _delay),
        ("MySQL loads per second", "Mean, and the highest of any two seconds.", _loads),
        ("CPU, share of one core", "All ToCs / pipeline / MySQL B / Redis B.", _cpu),
    )
    return [
        Table(title, note, ("phase", *(TITLES[m] for m in MODES)), tuple(_row(results, name, show) for name in names))
        for title, note, show in kinds
    ]


def phase_names(results: Json) -> list[str]:
    names: dict[str, None] = {}
    for world in sorted(results["worlds"].values(), key=lambda world: -len(world["phases"])):
        names |= dict.fromkeys(phase["name"] for phase in world["phases"])
    return [name for name in names if name not in NOT_SHOWN]


def _row(results: Json, name: str, show: Any) -> tuple[str, ...]:
    return name, *(_cell(results, mode, name, show) for mode in MODES)


def _cell(results: Json, mode: str, name: str, show: Any) -> str:
    found = next((p for p in results["worlds"].get(mode, {"phases": []})["phases"] if p["name"] == name), None)
    if found is None:
        return NONE
    try:
        return f"failed: {found['failure'][:60]}" if found["failure"] else str(show(found))
    except (TypeError, KeyError, ZeroDivisionError):
        return NONE


def _share(value: float | None) -> str:
    return NONE if value is None else f"{value:.2%}"


def _latency(phase: Json) -> str:
    return f"{phase['p50_ms']:.1f} / {phase['p99_ms']:.1f} / {phase['p999_ms']:.1f}" if phase["reads"] else NONE


def _delay(phase: Json) -> str:
    delay = phase["delay_ms"]
    if not delay["count"]:
        return NONE
    p50, p99 = ("> limit" if delay[name] is None else f"{delay[name]:.0f}" for name in ("p50", "p99"))
    return f"{p50} / {p99}; {delay['unseen']} of {delay['count']}"


def _loads(phase: Json) -> str:
    return f"{phase['loads'] / phase['sampled_s']:.1f} / {phase['loads_per_s_peak']:.1f}"


def _cpu(phase: Json) -> str:
    groups = ("toc", "pipeline", "mysql-b", "redis-b")
    return " / ".join(f"{phase['cpu_s'][name] / phase['sampled_s']:.2f}" for name in groups)


def paired(results: Json) -> Table:
    sides = results["paired"]
    shows: tuple[tuple[str, Any], ...] = (
        ("reads", lambda s: str(s["reads"])),
        ("hit rate", lambda s: _share(s["hit_rate"])),
        ("p50 / p99 / p99.9, ms", _latency),
        ("CPU per read, ms", lambda s: f"{s['cpu_ms_per_read']:.3f}"),
        ("Redis commands per read", lambda s: f"{s['commands_per_read']:.3f}"),
    )
    rows = tuple((name, *(_shown(sides.get(side), show) for side in (TTL, STAMPLINE))) for name, show in shows)
    note = "Both caches in one world, under the same load at the same moment: what differs is the cache."
    return Table("Side by side", note, ("", "TTL only", "stampline"), rows)


def _shown(side: Json | None, show: Any) -> str:
    try:
        return NONE if side is None else str(show(side))
    except (TypeError, KeyError):
        return NONE


def helper(results: Json) -> Table:
    found = results.get("helper", {})
    rows = tuple(
        (
            TITLES[mode],
            f"{one['reads_per_s']:,.0f}",
            f"{one['p50_us']:.2f}",
            f"{one['p99_us']:.2f}",
            f"{one['p999_us']:.2f}",
        )
        for mode, one in found.items()
    )
    return Table(
        "The embedded helper by itself",
        "One asyncio process, one core, `await cache.get(...)` of popular trackers: what Locust cannot reach.",
        ("cache", "reads/s", "p50, µs", "p99, µs", "p99.9, µs"),
        rows,
    )


def scale_measured(results: Json) -> Table:
    found = results.get("scale", {})
    rows = tuple(
        (
            str(row["followers"]),
            f"{row['entries_per_s']:.0f}",
            f"{row['bytes_per_entry']:.0f}",
            f"{row['bytes_out_per_s'] / 1000:,.0f}",
            f"{row['predicted_bytes_out_per_s'] / 1000:,.0f}",
            f"{row['redis_cpu']:.1%}",
            f"{row['predicted_cpu']:.1%}",
            f"{row['lag_p99_ms']:.0f}",
        )
        for row in found.get("rows", ())
    )
    note = "Predicted: from the smallest row (bandwidth), and by the line through the first and the last (CPU)."
    head = ("followers", "entries/s", "bytes/entry", "kB/s out", "predicted", "Redis CPU", "predicted", "lag p99, ms")
    return Table("One Redis, many followers", note, head, rows)


def scale_example(results: Json) -> Table:
    found = results.get("scale", {})
    if not found:
        return Table("Sizing", "", ("", ""), ())
    e = found["example"]
    rows = (
        ("stream to one follower", "entries/s × bytes", f"{e['follower_bytes_per_s'] / 1000:.1f} kB/s"),
        ("out of one Redis", "followers × that", f"{e['redis_out_bytes_per_s'] / 1e6:.1f} MB/s"),
        ("over the WAN", "mirrors × entries/s × bytes", f"{e['wan_bytes_per_s'] / 1000:.1f} kB/s"),
        ("index of one follower", "keys/s × window × bytes", f"{e['index_bytes'] / 1e6:.1f} MB"),
        ("stream in Redis", "entries/s × window × bytes", f"{e['stream_bytes'] / 1e6:.1f} MB"),
        ("followers of one Redis", "CPU limit / (entries/s × cost)", f"{e['followers_per_redis']:,.0f}"),
    )
    return Table("Sizing: the formulas, with these costs", _sizing_note(found), ("what", "formula", "result"), rows)


def _sizing_note(found: Json) -> str:
    e = found["example"]
    return (
        f"{e['instances']:g} instances, {e['keys_per_s']:g} changed keys/s, each in an entry of its own, window"
        f" {e['window_s'] / 60:g} min, {e['heartbeats_per_s']:g} heartbeats/s. Measured: {found['bytes_per_key']:.0f}"
        f" bytes per key in an index,"
        f" {found['cpu_us_per_delivery']:.1f} µs of Redis CPU per entry and follower. The one"
        f" core of the Redis that is followed saturates first (limit {found['cpu_limit']:.0%}): beyond that many"
        " followers, add replicas of it to follow, then relays; values go to a Cluster of their own. Reads/s do not"
        " appear: a hit asks nobody."
    )


def wan(results: Json) -> Table:
    """The WAN formula against what Redis A sent in the stampline world."""
    rows = []
    for phase in results["worlds"].get(STAMPLINE, {"phases": []})["phases"]:
        if phase["name"] in {PhaseName.STEADY, PhaseName.RAPID, PhaseName.BULK} and phase.get("wan_entries"):
            seconds, entries, sent = phase["sampled_s"], phase["wan_entries"], phase["wan_bytes"]
            cells = (f"{entries / seconds:.0f}", f"{sent / seconds / 1000:.1f}", f"{sent / entries / 2:.0f}")
            rows.append((phase["name"], *cells))
    return Table(
        "Redis A over the WAN",
        "Two mirrors read all entries (heartbeats included); several keys may share an entry.",
        ("phase", "entries/s", "kB/s sent", "bytes per entry and mirror"),
        tuple(rows),
    )


def gate(results: Json) -> Table:
    for phase in results["worlds"].get(STAMPLINE, {"phases": []})["phases"]:
        if phase["name"] == PhaseName.GATE:
            code = phase["notes"].get("exit_code")
            said = tuple((line.removeprefix("stampline: "),) for line in phase["said"])
            rows = (*said, (f"exit code {code:.0f}" if code is not None else phase["failure"],))
            return Table("Locust by itself: all users, a spike, its own verdict", "", ("it said",), rows)
    return Table("Locust by itself", "", ("it said",), ())
