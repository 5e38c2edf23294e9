"""Measuring: every contender once per round, each round beginning with another one, so that a noisy minute hits all."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from loadtests.bench.contract import Benchmark, Better, Contender, Reach, Sample, Samples


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and most of one figure over the rounds."""

    median: float
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Verdict:
    reach: Reach
    seen: Spread
    is_reached: bool


def measure(
    benchmark: Benchmark, *, seconds: float, rounds: int, say: Callable[[str], None], ours_only: bool = False
) -> Samples:
    """Take one sample of each contender per round; ``seconds`` are for one sample. A first, short round warms up."""
    with benchmark.open() as found:
        contenders = found[:1] if ours_only else found
        samples: dict[str, list[Sample]] = {contender.name: [] for contender in contenders}
        for contender in contenders:
            contender.measure(min(seconds, 0.2))
        rounds = min(rounds, benchmark.rounds_max)
        for number in range(rounds):
            for contender in _rotated(contenders, number):
                say(f"{benchmark.name}: round {number + 1} of {rounds}, {contender.name}")
                samples[contender.name].append(contender.measure(seconds))
    return samples


def _rotated(contenders: Sequence[Contender], by: int) -> list[Contender]:
    start = by % len(contenders)
    return [*contenders[start:], *contenders[:start]]


def figures(samples: Sequence[Sample], fact: str = "") -> list[float]:
    return [sample.facts[fact] if fact else sample.value for sample in samples]


def spread(values: Sequence[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Return ours by theirs, round by round."""
    return spread([a / b for a, b in zip(ours, theirs, strict=True)])


def judge(benchmark: Benchmark, samples: Samples) -> list[Verdict]:
    """Hold our contender, the first, against each reach whose peers took part."""
    return [
        Verdict(reach, seen, _is_reached(seen.median, reach, benchmark.better))
        for reach in benchmark.reaches
        if (seen := _seen(benchmark, reach, samples)) is not None
    ]


def _seen(benchmark: Benchmark, reach: Reach, samples: Samples) -> Spread | None:
    ours = figures(samples[next(iter(samples))], reach.fact)
    if not reach.against:
        return spread(ours)
    pick = min if benchmark.better is Better.LOWER else max
    theirs = [figures(samples[name]) for name in reach.against if name in samples]
    if not theirs:
        return None
    best = pick(theirs, key=statistics.median)
    return ratios(ours, best)


def _is_reached(value: float, reach: Reach, better: Better) -> bool:
    return value <= reach.limit if (reach.better or better) is Better.LOWER else value >= reach.limit
