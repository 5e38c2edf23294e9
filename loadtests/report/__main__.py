"""`python -m loadtests.report`: run the three worlds, write report.html, report.md and the section of RESULTS.md."""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loadtests.profile import FULL, QUICK
from loadtests.report import run, summary, text
from loadtests.report.requirements import lines
from loadtests.worlds import MODES

HERE = Path(__file__).resolve().parents[1]
OUT = HERE / "out"
PICTURE_BYTES_MAX = 150_000


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="loadtests/run.sh", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few minutes, scaled further: to see that all works")
    parser.add_argument("--worlds", default=",".join(MODES), metavar="A,B", help=f"(default {','.join(MODES)})")
    parser.add_argument(
        "--out", type=Path, default=OUT, metavar="DIR", help="where the report goes (default loadtests/out)"
    )
    parser.add_argument("--render", type=Path, metavar="FILE", help="no run: render this results.json again")
    parser.add_argument(
        "--results-md", action="store_true", help="also of a quick run: write RESULTS.md and picture.png"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    arguments = parse(argv)
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = _results(arguments, argv)
    write(results, arguments.out)
    if results["profile"]["name"] == FULL.name or arguments.results_md:
        publish(results, arguments.out)
    for line in lines(results):
        print(f"{line.verdict:>12}  {line.requirement}: {line.measured}")
    print(f"\n{arguments.out}/report.html")
    return 1 if results["failures"] else 0


def _results(arguments: argparse.Namespace, argv: Sequence[str]) -> dict[str, Any]:
    if arguments.render:
        found: dict[str, Any] = json.loads(arguments.render.read_text())
        return found
    profile = QUICK if arguments.quick else FULL
    command = shlex.join(["loadtests/run.sh", *argv])
    worlds = arguments.worlds.split(",")
    unknown = [world for world in worlds if world not in MODES]
    if unknown:
        raise SystemExit(f"there is no world {unknown[0]}: they are {', '.join(MODES)}")
    began_s = time.monotonic()

    def say(line: str) -> None:
        print(f"load: {time.monotonic() - began_s:5.0f} s  {line}", file=sys.stderr, flush=True)

    results = run.run_all(profile, worlds, command, say, keep=arguments.out / "logs")
    (arguments.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    return results


def write(results: dict[str, Any], out: Path) -> None:
    """Without matplotlib there are no pictures, and still a report."""
    pictures = _pictures(results)
    for name, data in pictures.items():
        (out / f"{name}.png").write_bytes(data)
    (out / "report.md").write_text(text.markdown(results, tuple(pictures)), encoding="utf-8")
    (out / "report.html").write_text(text.page(results, pictures), encoding="utf-8")


def _pictures(results: dict[str, Any]) -> dict[str, bytes]:
    try:
        from loadtests.report import plots  # noqa: PLC0415  matplotlib is in the loadtest group only
    except ImportError as error:
        print(f"load: no pictures: {error}", file=sys.stderr)
        return {}
    return plots.draw_all(results)


def publish(results: dict[str, Any], out: Path) -> None:
    """Put the section into RESULTS.md, and the one picture beside it."""
    summary.put(HERE / "RESULTS.md", summary.section(results))
    picture = out / "picture.png"
    if picture.exists() and picture.stat().st_size <= PICTURE_BYTES_MAX:
        (HERE / "picture.png").write_bytes(picture.read_bytes())


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
