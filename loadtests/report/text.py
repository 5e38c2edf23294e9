"""report.md and report.html: the same head, tables and pictures. The HTML holds its pictures in itself."""

import base64
import html
from collections.abc import Mapping, Sequence
from typing import Any

from loadtests.profile import PROFILES, WAN_ONE_WAY_MS, Profile
from loadtests.report import tables
from loadtests.report.requirements import lines
from loadtests.report.tables import Table

Json = dict[str, Any]

CAPTIONS = {
    "picture": "How stale reads are (the number: the stalest), and what a change of every row costs.",
    "staleness": "The stalest read of every second, through all phases. Bands: phases; red: faults.",
    "load": "MySQL and Redis in B over time.",
    "storms": "Loads after big changes: what deleting does at once, a spread generation does over its spread.",
    "latency": "Latency by phase.",
    "hits": "Hit rate by phase.",
    "faults": "Faults: the stalest read, and reads unanswered.",
    "scale": "Cost of followers: measured, and by the formulas.",
}

JUDGED = (
    "Staleness is judged by bracketed counters: for certain is the time from the acknowledgement of the next version to"
    " the sending of the read. A read goes to the other ToC when one refuses the connection, as balancers do."
)

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1080px; margin: 2rem auto; padding: 0 1rem; color: #1d2433; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.4rem; border-bottom: 1px solid #dde2ea; }
table { border-collapse: collapse; width: 100%; font-size: 13px; margin: .6rem 0 1.4rem; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid #e4e8ef; vertical-align: top; }
th { background: #f4f6f9; } .reached { color: #0a7d37; font-weight: 600; } .short { color: #b3261e; font-weight: 600; }
img { width: 100%; height: auto; } figure { margin: 1.2rem 0; } figcaption, .note { color: #5a6475; font-size: 13px; }
"""


def conditions(results: Json) -> list[str]:
    profile = PROFILES[results["profile"]["name"]]
    return [
        f"{results['date']}, `{results['command']}`, {results['seconds'] / 60:.1f} min.",
        f"Machine: {results['machine']}.",
        f"Load average of it before: {results['load_before']:.2f}; in the worlds: {_load_averages(results)}.",
        _scale(profile),
        _load(profile),
        JUDGED,
    ]


def _load_averages(results: Json) -> str:
    found = {world["title"]: world.get("load_average") for world in results["worlds"].values()}
    return ", ".join(f"{value:.1f} ({title})" for title, value in found.items() if value is not None)


def _scale(profile: Profile) -> str:
    limits = profile.limits
    return (
        f"Scale: limits of time divided by {profile.scale:g}: Redis TTL {limits.redis_ttl_ms / 1000:g} s (30 min),"
        f" local TTL {limits.redis_ttl_ms / 2000:g} s (15 min), the promise {limits.promise_s:g} s (300 s), WAN cut"
        f" {profile.wan_cut_s:g} s (1 min), replica lag {profile.replica_lag_s} s (10 s). The WAN is not scaled:"
        f" {WAN_ONE_WAY_MS:g} ms one way."
    )


def _load(profile: Profile) -> str:
    return (
        f"Load: {profile.reads_per_s:g} reads/s by Locust (open workload, Poisson arrivals), Zipf 0.99 over"
        f" {profile.trackers:,} trackers, 3 % of them of a small table, 2 % lists of {profile.tenant_rows} rows; two"
        f" ToC, one FastAPI process each: a rate that two cores carry together with all else. What has machines of its"
        f" own in production (datacenter A, the mirrors, the consumer that deletes) runs at nice 10."
        f" {profile.steady_updates_per_s:g} updates/s of popular trackers. Redis begins in the steady state of its TTL."
    )


def all_tables(results: Json) -> list[Table]:
    return [
        tables.requirements(lines(results)),
        tables.paired(results),
        *tables.phases(results),
        tables.gate(results),
        tables.helper(results),
        tables.scale_measured(results),
        tables.scale_example(results),
        tables.wan(results),
    ]


def markdown(results: Json, pictures: Sequence[str] = ()) -> str:
    """``pictures``: names of PNG files beside the report."""
    parts = ["# Three worlds under the same load", "", *_bullets(conditions(results)), ""]
    if results["failures"]:
        parts += ["**Parts that failed:**", "", *_bullets(results["failures"]), ""]
    for number, table in enumerate(all_tables(results)):
        parts += [f"## {table.title}", "", table.note, "", *markdown_table(table), ""]
        if number == 0:
            for name in pictures:
                parts += [f"![{CAPTIONS.get(name, name)}]({name}.png)", ""]
    return "\n".join(parts)


def markdown_table(table: Table) -> list[str]:
    if not table.rows:
        return ["Not measured."]
    rows = [table.head, tuple("---" for _ in table.head), *table.rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]


def _bullets(texts: Sequence[str]) -> list[str]:
    return [f"- {text}" for text in texts]


def page(results: Json, pictures: Mapping[str, bytes]) -> str:
    """``pictures``: name to PNG."""
    escape = html.escape
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>stampline under load</title>",
        f"<style>{STYLE}</style></head><body><h1>Three worlds under the same load</h1><ul>",
        *(f"<li>{escape(text)}</li>" for text in conditions(results)),
        "</ul>",
        *(f"<p class='short'>Failed: {escape(text)}</p>" for text in results["failures"]),
    ]
    for number, table in enumerate(all_tables(results)):
        parts += [f"<h2>{escape(table.title)}</h2><p class='note'>{escape(table.note)}</p>", html_table(table)]
        if number == 0:
            parts += [_figure(name, data) for name, data in pictures.items()]
    return "\n".join([*parts, "</body></html>", ""])


def html_table(table: Table) -> str:
    if not table.rows:
        return "<p class='note'>Not measured.</p>"
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in table.head)
    rows = "".join("<tr>" + "".join(_td(cell) for cell in row) + "</tr>" for row in table.rows)
    return f"<table><tr>{head}</tr>{rows}</table>"


def _td(cell: str) -> str:
    kind = f" class='{cell}'" if cell in {"reached", "short"} else ""
    return f"<td{kind}>{html.escape(cell)}</td>"


def _figure(name: str, data: bytes) -> str:
    caption = html.escape(CAPTIONS.get(name, name))
    image = base64.b64encode(data).decode()
    return (
        f"<figure><img alt='{caption}' src='data:image/png;base64,{image}'><figcaption>{caption}</figcaption></figure>"
    )
