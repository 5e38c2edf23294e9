"""How every page of ours is sent. Strict: it may load and ask nothing but its own service, and nobody may frame it."""

from pathlib import Path
from typing import Final

STATIC: Final = Path(__file__).parent / "static"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Asked for anew each time (an answer 304 costs nothing): page and scripts must be of one version.
    "Cache-Control": "no-cache",
}
