"""Debian's Chromium, driven by playwright; nothing is ever downloaded. Of every page: not one complaint.

Screenshots go to the folder that STAMPLINE_ARTIFACTS names, else to pytest's own.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from deploy.simulation.mariadb import MariaDb
from deploy.simulation.redis_server import RedisServer
from tests.browser.pipeline import Pipeline, pipeline
from tests.conftest import require

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    # Without these it asks its maker's servers for this and that.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
TIMEOUT_MS = 20_000

OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Ends with its module: while it lasts, playwright keeps an event loop running in this thread."""
    require(None if CHROMIUM.exists() else f"no {CHROMIUM}: run deploy/setup.sh --test")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, _mariadb_a: MariaDb, _redis_a: RedisServer, _redis_b: RedisServer
) -> Iterator[Pipeline]:
    """Real servers and processes, shared by the tests of a module: each leaves it well."""
    for server in (_mariadb_a, _redis_a, _redis_b):
        server.ensure_running()
    for redis in (_redis_a, _redis_b):
        redis.flush()
    with pipeline(tmp_path_factory.mktemp("site"), _mariadb_a, _redis_a, _redis_b) as made:
        yield made


def is_complaint(message: ConsoleMessage) -> bool:
    """Chromium also reports each answer that is not 200; for the API's, the page has words of its own."""
    is_answer = message.text.startswith("Failed to load resource") and "/v1/" in message.location["url"]
    return message.type == "error" and not is_answer


@pytest.fixture
def open_page(browser: Browser, site: Pipeline) -> Iterator[OpenPage]:
    """Open the dashboard, as wide, high and dark as asked for. No page may have complained when the test ends."""
    complaints: list[str] = []

    def opened(*, width: int = 1360, height: int = 900, dark: bool = False) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        context.set_default_timeout(TIMEOUT_MS)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if is_complaint(message) else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith(site.url) else complaints.append(request.url))
        page.add_init_script(
            "addEventListener('securitypolicyviolation', (event) => console.error(event.violatedDirective))"
        )
        page.goto(site.url)
        return page

    yield opened
    for context in browser.contexts:
        context.close()
    assert complaints == []


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    named = os.environ.get("STAMPLINE_ARTIFACTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("artifacts")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
