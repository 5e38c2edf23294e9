"""The pictures of the report, from its figures alone. One colour per world, everywhere the same; needs matplotlib."""

import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter

from loadtests.measure import SINGLE_ROWS
from loadtests.phases import FAULT, PhaseName
from loadtests.profile import WAN_ONE_WAY_MS
from loadtests.report.requirements import PROMISE_S
from loadtests.report.tables import NOT_SHOWN, phase_names
from loadtests.worlds import DELETE, MODES, STAMPLINE, TITLES, TTL

Json = dict[str, Any]

COLOURS = {TTL: "#8a93a3", DELETE: "#e8833a", STAMPLINE: "#1f6feb"}
DPI = 110
FLOOR_S = 0.01
AFTERWARDS = {PhaseName.PAIRED, PhaseName.GATE}
"""Phases under another load than the rest."""

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6eaf0",
    "axes.titleweight": "bold",
    "axes.titlesize": 11,
    "legend.frameon": False,
}


def draw_all(results: Json) -> dict[str, bytes]:
    """Return name to PNG; a picture whose figures are missing is left out."""
    pictures: dict[str, bytes] = {}
    with plt.rc_context(STYLE):
        for name, draw in DRAWN.items():
            try:
                figure = draw(results)
            except (KeyError, ValueError, TypeError, IndexError):
                plt.close("all")
                continue
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight")
            plt.close(figure)
            pictures[name] = buffer.getvalue()
    return pictures


def picture(results: Json) -> Any:
    """Left: how stale reads are. Right: what a bulk change does to the database."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.6), gridspec_kw={"wspace": 0.2})
    for mode, world in _worlds(results):
        points = [(x, share * 100) for x, share in world["ccdf_single_rows"] if share > 0]
        left.plot(*_xy(points), color=COLOURS[mode], lw=2.4, label=TITLES[mode])
        stalest_s = max(phase["staleness"]["max_s"] for phase in world["phases"] if phase["name"] in SINGLE_ROWS)
        _name_the_end(left, points, stalest_s, COLOURS[mode])
    left.set(
        xscale="log",
        yscale="log",
        xlim=(0.001, 1_000),
        ylim=(0.005, 100),
        xlabel="staleness of a read",
        ylabel="reads staler than that, %",
    )
    left.xaxis.set_major_formatter(FuncFormatter(_seconds))
    left.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    left.axvline(WAN_ONE_WAY_MS / 1000, color="#9aa3b2", lw=1, ls=":")
    left.annotate("WAN delay", (WAN_ONE_WAY_MS / 1000, 1), (4, -12), xycoords=("data", "axes fraction"),
                  textcoords="offset points", fontsize=8, color="#6b7485")  # fmt: skip
    left.set_title("How stale are reads while single rows change?")
    left.legend(loc="center left")
    _event_lines(right, results, PhaseName.BULK, before_s=5.0, after_s=20.0)
    right.set_ylim(bottom=0)
    right.set(xlabel="seconds since its commit", ylabel="loads per second on MySQL")
    right.set_title("What does a change of every row cost the database?")
    return figure


def staleness(results: Json) -> Any:
    worlds = list(_worlds(results))
    figure, axes = plt.subplots(len(worlds), 1, figsize=(12, 2.6 * len(worlds)), squeeze=False)
    promise_s = PROMISE_S / results["profile"]["scale"]
    for (mode, world), axis in zip(worlds, axes[:, 0], strict=True):
        points = [(x, max(value, FLOOR_S)) for x, value in world["series"]["staleness_max_s"]]
        axis.fill_between(*_xy(points), FLOOR_S, color=COLOURS[mode], alpha=0.35, lw=0)
        axis.plot(*_xy(points), color=COLOURS[mode], lw=1.2)
        axis.axhline(promise_s, color="#b3261e", lw=1, ls="--")
        axis.set(yscale="log", ylim=(FLOOR_S, promise_s * 4), title=TITLES[mode], ylabel="stalest read")
        axis.yaxis.set_major_formatter(FuncFormatter(_seconds))
        _bands(axis, world)
    axes[-1, 0].set_xlabel(f"seconds; dashed: the promise, scaled to {promise_s:g} s")
    figure.tight_layout()
    return figure


def load(results: Json) -> Any:
    worlds = list(_worlds(results))
    figure, axes = plt.subplots(len(worlds), 2, figsize=(12, 2.4 * len(worlds)), squeeze=False, sharey="col")
    for row, (mode, world) in enumerate(worlds):
        for axis, series, label in (
            (axes[row, 0], "loads_per_s", "loads/s on MySQL B"),
            (axes[row, 1], "redis_per_s", "commands/s on Redis B"),
        ):
            axis.plot(*_xy(world["series"][series]), color=COLOURS[mode], lw=1)
            axis.set(title=f"{TITLES[mode]}: {label}")
            _bands(axis, world, names=False)
    for axis in axes[0]:
        axis.set_ylim(bottom=0)
    figure.tight_layout()
    return figure


def storms(results: Json) -> Any:
    events = (PhaseName.BURST, PhaseName.TRUNCATE, PhaseName.BULK, PhaseName.BUMP)
    figure, axes = plt.subplots(1, len(events), figsize=(14, 3.4), sharey=True)
    for name, axis in zip(events, axes, strict=True):
        _event_lines(axis, results, name, before_s=4.0, after_s=20.0)
        axis.set(title=name, xlabel="seconds since")
    axes[0].set_ylim(bottom=0)
    axes[0].set_ylabel("loads/s on MySQL B")
    axes[0].legend(loc="upper left", fontsize=8)
    figure.tight_layout()
    return figure


def latency(results: Json) -> Any:
    figure, axes = plt.subplots(1, 2, figsize=(13, 4))
    for axis, figure_name in zip(axes, ("p50_ms", "p99_ms"), strict=True):
        _bars(axis, results, lambda phase, figure_name=figure_name: phase[figure_name])  # type: ignore[misc]
        axis.set(title=f"{figure_name.removesuffix('_ms')} of ToC reads, ms", yscale="log")
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes[0].legend(loc="upper left", fontsize=8)
    figure.tight_layout()
    return figure


def hits(results: Json) -> Any:
    figure, axis = plt.subplots(figsize=(12, 3.6))
    _bars(axis, results, lambda phase: phase["hit_rate"] * 100)
    axis.set(title="Hit rate, %", ylim=(0, 100))
    axis.axhline(90, color="#b3261e", lw=1, ls="--")
    axis.legend(loc="lower right", fontsize=8)
    figure.tight_layout()
    return figure


def faults(results: Json) -> Any:
    figure, axes = plt.subplots(1, 2, figsize=(13, 4))
    _bars(axes[0], results, lambda p: max(p["staleness"]["max_s"], FLOOR_S), only=FAULT)
    axes[0].axhline(PROMISE_S / results["profile"]["scale"], color="#b3261e", lw=1, ls="--")
    axes[0].set(title="Stalest read during the fault and after it", yscale="log")
    axes[0].yaxis.set_major_formatter(FuncFormatter(_seconds))
    _bars(axes[1], results, lambda p: 100 * p["failed"] / p["reads"], only=FAULT)
    axes[1].set(title="Reads without an answer, %", ylim=(0, max(axes[1].get_ylim()[1], 0.1)))
    axes[0].legend(loc="upper left", fontsize=8)
    figure.tight_layout()
    return figure


def scale(results: Json) -> Any:
    rows = results["scale"]["rows"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 3.6))
    counts = [row["followers"] for row in rows]
    for axis, measured, predicted, factor, title in (
        (left, "bytes_out_per_s", "predicted_bytes_out_per_s", 1e-3, "Out of one Redis, kB/s"),
        (right, "redis_cpu", "predicted_cpu", 100.0, "CPU of one Redis, % of its core"),
    ):
        axis.plot(counts, [row[predicted] * factor for row in rows], color="#8a93a3", ls="--", label="formula")
        axis.plot(counts, [row[measured] * factor for row in rows], "o", color=COLOURS[STAMPLINE], label="measured")
        axis.set(xscale="log", yscale="log", xlabel="followers", title=title, xticks=counts)
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.xaxis.set_minor_formatter(FuncFormatter(lambda *_: ""))
        for formatter in (axis.yaxis.set_major_formatter, axis.yaxis.set_minor_formatter):
            formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    left.legend()
    figure.tight_layout()
    return figure


DRAWN: dict[str, Callable[[Json], Any]] = {
    "picture": picture,
    "staleness": staleness,
    "storms": storms,
    "load": load,
    "latency": latency,
    "hits": hits,
    "faults": faults,
    "scale": scale,
}


def _worlds(results: Json) -> Iterator[tuple[str, Json]]:
    for mode in MODES:
        if results["worlds"].get(mode, {}).get("phases"):
            yield mode, results["worlds"][mode]


def _xy(points: Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    return [point[0] for point in points], [point[1] for point in points]


def _name_the_end(axis: Any, points: Sequence[tuple[float, float]], stalest_s: float, colour: str) -> None:
    """Draw the curve on to the stalest read of all, and write that beside it."""
    last, share = points[-1]
    end = max(stalest_s, last)
    axis.plot([last, end], [share, share], color=colour, lw=2.4)
    words = {"textcoords": "offset points", "fontsize": 9, "fontweight": "bold", "color": colour}
    axis.annotate(f"{stalest_s:.2g} s", (end, share), (5, -3), **words)


def _event_lines(axis: Any, results: Json, name: str, *, before_s: float, after_s: float) -> None:
    """Loads per second around an event, up to the end of its phase; the moment of the event is 0."""
    for mode, world in _worlds(results):
        phase = next((p for p in world["phases"] if p["name"] == name and p["event_s"] is not None), None)
        if phase is None:
            continue
        zero_s = phase["event_s"]
        last_s = min(after_s, phase["end_s"] - zero_s)
        loads = world["series"]["loads_per_s"]
        points = [(at_s - zero_s, rate) for at_s, rate in loads if -before_s <= at_s - zero_s <= last_s]
        axis.plot(*_xy(points), color=COLOURS[mode], lw=2, label=TITLES[mode])
    axis.axvline(0, color="#9aa3b2", lw=1, ls=":")


def _bands(axis: Any, world: Json, *, names: bool = True) -> None:
    shown = [phase for phase in world["phases"] if phase["name"] not in AFTERWARDS]
    for number, phase in enumerate(shown):
        is_fault = phase["name"].startswith(FAULT)
        colour = "#b3261e" if is_fault else "#1d2433"
        axis.axvspan(
            phase["begin_s"], phase["end_s"], color=colour, alpha=0.07 if number % 2 or is_fault else 0.02, lw=0
        )
        if names and phase["name"] not in NOT_SHOWN:
            middle = (phase["begin_s"] + phase["end_s"]) / 2
            axis.text(middle, 0.97, phase["name"].removeprefix(FAULT), transform=axis.get_xaxis_transform(),
                      rotation=90, ha="center", va="top", fontsize=7, color=colour)  # fmt: skip
    if shown:
        axis.set_xlim(0, max(phase["end_s"] for phase in shown))


def _bars(axis: Any, results: Json, show: Callable[[Json], float], only: str = "") -> None:
    worlds = list(_worlds(results))
    names = [name for name in phase_names(results) if name.startswith(only)]
    read = {phase["name"] for _, world in worlds for phase in world["phases"] if phase["reads"]}
    names = [name for name in names if name in read]
    width = 0.8 / max(len(worlds), 1)
    for number, (mode, world) in enumerate(worlds):
        found = {phase["name"]: show(phase) for phase in world["phases"] if phase["reads"] and phase["name"] in names}
        places = [index + (number - (len(worlds) - 1) / 2) * width for index, name in enumerate(names) if name in found]
        axis.bar(
            places, [found[name] for name in names if name in found], width, color=COLOURS[mode], label=TITLES[mode]
        )
    axis.set_xticks(range(len(names)), [name.removeprefix(FAULT) for name in names], rotation=30, ha="right")
    axis.grid(visible=False, axis="x")


def _seconds(value: float, _position: Any = None) -> str:
    return f"{value * 1000:g} ms" if value < 1 else f"{value:g} s"
