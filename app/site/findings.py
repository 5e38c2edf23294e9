"""What is wrong, out of the facts: pure, total, the worst first. Words are for the person on call, codes for programs.

A finding names the hop that broke, not all that suffers behind it: with the WAN cut, nobody is told that stream B is
silent, too.
"""

from typing import Final

from app.site.findings_common import staleness
from app.site.findings_local import audit, gates, readers, stream_b
from app.site.findings_origin import mirrors, origin
from app.site.models import Finding, State
from app.site.view import View
from app.site.words import ended
from versioning.cli.words import spoken

_ORDER: Final = (State.CRITICAL, State.WARNING, State.OK, State.UNKNOWN)


def find(view: View) -> list[Finding]:
    found = [*origin(view), *mirrors(view), *stream_b(view)]
    # Only these tell why nothing is heard. A replica or a web process that is down besides does not.
    is_explained = any(finding.state is State.CRITICAL for finding in found)
    if view.is_in_doubt and not is_explained:
        found.append(_unexplained(view))
    found += [*gates(view), *readers(view), *audit(view)]
    return sorted(found, key=lambda finding: _ORDER.index(finding.state))


def _unexplained(view: View) -> Finding:
    if view.flow.lag_ms is not None and view.flow.lag_ms <= view.flow.lag_max_ms:
        return Finding(
            code="history_lost",
            state=State.CRITICAL,
            part="stream_b",
            text=f"Stream B is read, and nothing can be vouched for: {ended(view.doubt or '')}",
            effect=staleness(view),
            action="Are the clocks right, and is it the Redis that stream B was in? It ends once stamps are above it.",
        )
    since = "yet" if view.flow.lag_ms is None else f"for {spoken(view.flow.lag_ms)}"
    return Finding(
        code="lagging",
        state=State.CRITICAL,
        part="stream_b",
        text=f"Nothing was heard of the source {since}, and nobody listed here tells why.",
        effect=staleness(view),
        action="List sources and mirrors as [[serve.component]], or look at their logs.",
    )
