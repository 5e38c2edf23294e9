"""Results as a table for people, as JSON for machines, and as the benchmark section of RESULTS.md."""

import datetime as dt
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from loadtests.bench.contract import Benchmark, Better, Reach, Samples
from loadtests.bench.measure import Spread, Verdict, figures, judge, ratios, spread

BEGIN: Final = "<!-- bench: begin -->"
END: Final = "<!-- bench: end -->"
PACKAGES: Final = (
    "redis", "hiredis", "cachetools", "orjson", "fastapi", "uvicorn", "mysql-replication",
    "cashews", "aiocache", "dogpile.cache", "theine",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Result:
    benchmark: Benchmark
    samples: Samples
    skipped: str = ""
    """Why it was not measured."""

    @property
    def verdicts(self) -> list[Verdict]:
        return [] if self.skipped else judge(self.benchmark, self.samples)


def text(result: Result) -> str:
    benchmark = result.benchmark
    lines = [f"{benchmark.name}: {benchmark.title} ({benchmark.unit}, {benchmark.better.value} is better)"]
    if result.skipped:
        return "\n".join([*lines, f"  not measured: {result.skipped}"])
    width = max(len(name) for name in result.samples)
    lines += [f"  {name:<{width}}  {cells}" for name, cells in _rows(result)]
    lines += [f"  {_sentence(verdict, benchmark.better)}" for verdict in result.verdicts]
    return "\n".join(lines)


def _rows(result: Result) -> Iterable[tuple[str, str]]:
    ours = figures(result.samples[next(iter(result.samples))])
    for number, (name, samples) in enumerate(result.samples.items()):
        own = figures(samples)
        cells = f"{_range(spread(own))}"
        if number:
            cells += f"   ours / this: {_range(ratios(ours, own))}"
        for fact in samples[0].facts:
            cells += f"   {fact} {_number(spread(figures(samples, fact)).median)}"
        yield name, cells


def _sentence(verdict: Verdict, better: Better) -> str:
    word = "reached" if verdict.is_reached else "SHORT"
    return f"{word}: {_aim(verdict.reach, better)}, seen {_range(verdict.seen)}"


def _aim(reach: Reach, better: Better) -> str:
    sign = "≤" if (reach.better or better) is Better.LOWER else "≥"
    of = f" x {' | '.join(reach.against)}" if reach.against else ""
    return f"{reach.fact + ' ' if reach.fact else ''}{sign} {_number(reach.limit)}{of}"


def _range(seen: Spread) -> str:
    return f"{_number(seen.median)} ({_number(seen.least)}-{_number(seen.most)})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def as_json(results: Sequence[Result], *, seconds: float, rounds: int) -> dict[str, Any]:
    return {
        "date": _today(),
        "machine": machine(),
        "versions": versions(),
        "seconds": seconds,
        "rounds": rounds,
        "benchmarks": {
            result.benchmark.name: {
                "title": result.benchmark.title,
                "unit": result.benchmark.unit,
                "skipped": result.skipped or None,
                "samples": {name: [asdict(one) for one in samples] for name, samples in result.samples.items()},
                "reaches": [
                    {
                        "aim": _aim(one.reach, result.benchmark.better),
                        "seen": asdict(one.seen),
                        "reached": one.is_reached,
                    }
                    for one in result.verdicts
                ],
            }
            for result in results
        },
    }  # fmt: skip


def machine() -> str:
    model = next(
        (line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")), platform.machine()
    )
    cores = sum(line.startswith("processor") for line in _cpuinfo())
    return f"{cores} cores of {model}, {platform.system()} {platform.release().partition('-')[0]}"


def _cpuinfo() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def write_section(path: Path, results: Sequence[Result], command: str) -> None:
    """Replace the section between the markers of ``path``, or append it; all else in the file stays."""
    lines = [BEGIN, "## Benchmarks", "", f"    {command}", "", f"{_today()}, {machine()}.", ""]
    lines += ["Versions: " + ", ".join(f"{name} {number}" for name, number in versions().items()) + ".", ""]
    lines += ["Median over the rounds, with least and most in parentheses; ratios are taken round by round.", ""]
    for result in results:
        lines += _section(result)
    section = "\n".join([*lines, END])
    held = path.read_text() if path.exists() else "# Results\n"
    before, begin, rest = held.partition(BEGIN)
    after = rest.partition(END)[2] if begin else "\n"
    path.write_text(f"{before if begin else before.rstrip() + chr(10) * 2}{section}{after}")


def _section(result: Result) -> list[str]:
    benchmark = result.benchmark
    lines = [f"### {benchmark.name}: {benchmark.title}", ""]
    if result.skipped:
        return [*lines, f"Not measured: {result.skipped}.", ""]
    ours = figures(result.samples[next(iter(result.samples))])
    lines += [f"| | {benchmark.unit} | ours / this | also seen |", "| --- | --- | --- | --- |"]
    for number, (name, samples) in enumerate(result.samples.items()):
        ratio = _range(ratios(ours, figures(samples))) if number else ""
        facts = ", ".join(f"{fact} {_number(spread(figures(samples, fact)).median)}" for fact in samples[0].facts)
        lines.append(f"| {name} | {_range(spread(figures(samples)))} | {ratio} | {facts} |")
    lines += ["", *(f"- {_sentence(verdict, benchmark.better)}" for verdict in result.verdicts), ""]
    return lines


def _today() -> str:
    return dt.datetime.now(dt.UTC).date().isoformat()
