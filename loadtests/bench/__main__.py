"""``python -m loadtests.bench [NAME…]``: each benchmark beside its peers, in one run."""

import argparse
import json
import sys
import time
from pathlib import Path

from loadtests.bench import catalogue
from loadtests.bench.contract import PeerMissingError
from loadtests.bench.measure import measure
from loadtests.bench.report import Result, as_json, text, write_section


def main(argv: list[str]) -> int:
    arguments = _parse(argv)
    try:
        names = catalogue.named(arguments.names)
    except ValueError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    if arguments.plots:
        arguments.plots.mkdir(parents=True, exist_ok=True)
    results = []
    for name in names:
        result = _run(name, arguments)
        results.append(result)
        print(text(result), end="\n\n", flush=True)
    if arguments.json:
        document = as_json(results, seconds=arguments.seconds, rounds=arguments.rounds)
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    if arguments.results:
        write_section(arguments.results, results, " ".join(["python -m loadtests.bench", *argv]))
    return 0


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"r1, r2, …; all unless given: {', '.join(catalogue.MODULES)}"
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="per contender and round (default 1)")
    parser.add_argument("--rounds", type=int, default=9, help="(default 9)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write curves as PNG (needs matplotlib)")
    parser.add_argument("--results", type=Path, metavar="FILE", help="replace the benchmark section of this RESULTS.md")
    return parser.parse_args(argv)


def _run(name: str, arguments: argparse.Namespace) -> Result:
    benchmark = catalogue.load(name)
    try:
        samples = measure(benchmark, seconds=arguments.seconds, rounds=arguments.rounds, say=_progress)
    except PeerMissingError as missing:
        return Result(benchmark, {}, str(missing))
    if arguments.plots and benchmark.plot is not None:
        benchmark.plot(samples, arguments.plots / f"{name}.png")
    return Result(benchmark, samples)


_last_said_s = 0.0
_SAID_EVERY_S = 10.0


def _progress(line: str) -> None:
    """On a terminal one line that changes; else a line every ten seconds."""
    global _last_said_s
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}\r", end="", file=sys.stderr, flush=True)
    elif time.monotonic() - _last_said_s > _SAID_EVERY_S:
        _last_said_s = time.monotonic()
        print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
