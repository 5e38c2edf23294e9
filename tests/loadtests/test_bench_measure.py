"""Measuring side by side: rounds, ratios and verdicts, on contenders whose figures are known."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from loadtests.bench import catalogue
from loadtests.bench.contract import Benchmark, Better, Contender, Reach, Sample
from loadtests.bench.measure import judge, measure
from loadtests.bench.report import Result, text, write_section


def take(values: list[float], _seconds: float) -> Sample:
    return Sample(values.pop(0), {"p99": 7.0})


def benchmark(better: Better, *reaches: Reach, figures: dict[str, list[float]]) -> Benchmark:
    @contextmanager
    def contenders() -> Iterator[Sequence[Contender]]:
        left = {name: [values[0], *values] for name, values in figures.items()}
        yield [Contender(name, partial(take, values)) for name, values in left.items()]

    return Benchmark("x-one", "one", "ns", better, reaches, contenders)


def judged(made: Benchmark, rounds: int) -> list[bool]:
    samples = measure(made, seconds=0.0, rounds=rounds, say=lambda _: None)
    return [verdict.is_reached for verdict in judge(made, samples)]


def test_a_ratio_is_taken_round_by_round_and_its_median_is_judged() -> None:
    """One slow minute that hits both contenders changes nothing."""
    figures = {"ours": [10.0, 100.0, 10.0], "peer": [20.0, 200.0, 20.0]}
    made = benchmark(Better.LOWER, Reach(0.5, ("peer",)), Reach(0.49, ("peer",)), figures=figures)
    assert judged(made, 3) == [True, False]


def test_the_best_of_several_peers_counts() -> None:
    """Lower or higher is better: the peer to beat differs."""
    figures = {"ours": [10.0], "fast": [5.0], "slow": [20.0]}
    reach = Reach(1.0, ("fast", "slow"))
    assert judged(benchmark(Better.LOWER, reach, figures=figures), 1) == [False]
    assert judged(benchmark(Better.HIGHER, reach, figures=figures), 1) == [False]


def test_a_fact_and_an_own_figure_have_limits_too() -> None:
    """Percentiles and absolute figures."""
    reaches = (Reach(11.0), Reach(6.9, fact="p99", better=Better.LOWER))
    assert judged(benchmark(Better.HIGHER, *reaches, figures={"ours": [12.0]}), 1) == [True, False]


def test_results_replace_their_own_section_only(tmp_path: Path) -> None:
    """RESULTS.md holds other sections, written by others."""
    made = benchmark(Better.LOWER, Reach(0.5, ("peer",)), figures={"ours": [1.0], "peer": [2.0]})
    samples = measure(made, seconds=0.0, rounds=1, say=lambda _: None)
    path = tmp_path / "RESULTS.md"
    path.write_text("# Results\n\nabove\n")
    write_section(path, [Result(made, samples)], "python -m loadtests.bench x")
    path.write_text(path.read_text() + "\nbelow\n")
    write_section(path, [Result(made, samples)], "python -m loadtests.bench y")
    written = path.read_text()
    assert written.startswith("# Results\n\nabove\n")
    assert written.endswith("below\n")
    assert "loadtests.bench y" in written
    assert "loadtests.bench x" not in written
    assert "reached: ≤ 0.5 x peer" in written


def test_a_benchmark_without_its_peer_says_so() -> None:
    """And nothing is claimed for it."""
    made = benchmark(Better.LOWER, figures={"ours": [1.0]})
    assert "not measured: theine is not installed" in text(Result(made, {}, "theine is not installed"))


def test_names_are_those_of_the_table_of_aims() -> None:
    """``r1`` is not ``r10``."""
    assert catalogue.named(["r1"]) == ["r1-local-hit"]
    assert catalogue.named([]) == list(catalogue.MODULES)
    with pytest.raises(ValueError, match="no benchmark 'r99'"):
        catalogue.named(["r99"])


@pytest.mark.parametrize("name", list(catalogue.MODULES))
def test_every_benchmark_is_there_under_its_name(name: str) -> None:
    """The catalogue imports lazily: a wrong line would show only when it is run."""
    assert catalogue.load(name).name == name
