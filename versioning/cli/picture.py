"""Both datacenters as lines of text: what ``GET /v1/site`` of a version service says, in the order a change travels.

Every part has a state and says in words what it is about; here it is only laid out. A field that this version does not
know is skipped, one that it misses is left out: service and command line may be of different ages.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import typer

from versioning.cli.describe import time_text
from versioning.cli.words import spoken

Json = Mapping[str, Any]

COLOURS: Final = {"ok": typer.colors.GREEN, "warning": typer.colors.YELLOW, "critical": typer.colors.RED}
PARTS: Final = {
    "source": "source",
    "stream_a": "stream A",
    "wan": "WAN",
    "mirror": "mirror",
    "gates": "gate",
    "stream_b": "stream B",
    "service": "version service",
    "toc": "web processes",
    "audit": "audit",
}
NAME_WIDTH: Final = 22


def lines(site: Json) -> list[str]:
    """Return styled lines; whoever prints them takes the style off where there is no terminal."""
    return [*_head(site), "", *_parts(site), *_findings(site)]


def state_word(state: str, *, width: int = 8) -> str:
    return typer.style(f"{state:<{width}}", fg=COLOURS.get(state, typer.colors.BRIGHT_BLACK), bold=state == "critical")


def _duration(ms: Any) -> str:
    return spoken(int(ms)) if isinstance(ms, int | float) else "-"


def _head(site: Json) -> Iterator[str]:
    where = f"{site.get('origin_dc') or '?'} -> {site.get('dc', '?')}"
    yield f"{state_word(site.get('state', 'unknown'))}  {typer.style(site.get('headline', ''), bold=True)}"
    if site.get("effect"):
        yield f"{'':10}{site['effect']}"
    yield f"{'':10}{where}, {time_text(site.get('time_ms', 0))}"
    flow = site.get("flow") or {}
    yield ""
    yield "  ".join((
        f"lag {_duration(flow.get('lag_ms'))} of {_duration(flow.get('lag_max_ms'))}",
        f"replica lag {_duration(flow.get('replica_lag_ms'))}",
        f"{flow.get('changes_per_s', 0):.1f} changes/s",
        f"{flow.get('keys_per_s', 0):.1f} keys/s",
        f"{flow.get('keys', 0)} keys in {_duration(flow.get('window_ms'))}",
        f"{flow.get('pending', 0)} pending",
    ))  # fmt: skip


def _parts(site: Json) -> Iterator[str]:
    for field, name in PARTS.items():
        part = site.get(field)
        if isinstance(part, list):
            yield from (_part(f"{name} {gate.get('name', '')}", gate) for gate in part)
        elif part is not None:
            yield _part(name, part)
            yield from map(_process, part.get("processes", ()))
            yield from _tiers(part.get("tiers", ()))
            yield from map(_audit_row, part.get("rows", ()))


def _part(name: str, part: Json) -> str:
    return f"{name:<{NAME_WIDTH}}{state_word(part.get('state', 'unknown'))}  {part.get('text', '')}"


def _process(process: Json) -> str:
    is_up = process.get("is_up")
    said = process.get("figures") or {}
    figures = [_figure(*item) for item in said.items() if item[0] in _FIGURES and item[1] is not None]
    if process.get("wrong") is not None:
        figures.append(f"{process['wrong']} wrong")
    words = ", ".join(figures)
    if not is_up:
        seen_ms = process.get("seen_age_ms")
        seen = "never seen" if seen_ms is None else f"seen {_duration(seen_ms)} ago"
        words = f"{process.get('reason') or 'no answer'}; {seen}"
    elif said.get("last_error"):
        words += f"; {said['last_error']}"
    colour = typer.colors.GREEN if is_up else typer.colors.RED
    word = typer.style(f"{'up' if is_up else 'down':<8}", fg=colour)
    return f"  {process.get('name', ''):<{NAME_WIDTH - 2}}{word}  {words}"


_FIGURES: Final = {
    "read_age_ms": "read {} ago",
    "applied_age_ms": "applied {} ago",
    "lag_ms": "lag {}",
    "transactions": "{} transactions",
    "entries": "{} entries",
    "held": "{} held",
    "pending": "{} pending",
    "keys": "{} keys",
    "listeners": "{} listeners",
    "reads_per_s": "{:.1f} reads/s",
    "loads_per_s": "{:.1f} loads/s",
    "fresh_share": "{:.1%} fresh",
}


def _figure(name: str, value: Any) -> str:
    return _FIGURES[name].format(_duration(value) if name.endswith("_ms") else value)


def _tiers(tiers: Sequence[Json]) -> Iterator[str]:
    if tiers:
        shares = "  ".join(f"{tier.get('tier')} {tier.get('share', 0):.1%}" for tier in tiers)
        yield f"  {'served from':<{NAME_WIDTH + 8}}{shares}"


def _audit_row(row: Json) -> str:
    what = f"{row.get('namespace')} after {row.get('after_s')} s"
    return (
        f"  {what:<{NAME_WIDTH + 8}}nines {row.get('nines')}: {row.get('consistent')} right, {row.get('wrong')} wrong"
    )


def _findings(site: Json) -> Iterator[str]:
    for finding in site.get("findings", ()):
        yield ""
        yield f"{state_word(finding.get('state', 'unknown'))}  {finding.get('part')}: {finding.get('text')}"
        yield f"{'':10}{finding.get('effect')}"
        yield f"{'':10}look: {finding.get('action')}"
