"""Each benchmark runs: our own contender, for a moment, and no figure is judged."""

import math

import pytest

from loadtests.bench import catalogue
from loadtests.bench.measure import measure
from loadtests.bench.report import Result, text

SECONDS = 0.3


@pytest.mark.parametrize("name", list(catalogue.MODULES))
def test_a_benchmark_runs(name: str) -> None:
    benchmark = catalogue.load(name)
    samples = measure(benchmark, seconds=SECONDS, rounds=1, say=lambda _: None, ours_only=True)
    ((sample,),) = samples.values()
    assert math.isfinite(sample.value)
    assert sample.value != 0  # below zero: the server sent the commit to its readers before it acknowledged it (R8)
    assert benchmark.title in text(Result(benchmark, samples))
