"""``/docs``: no script, nothing from elsewhere, all of the API, and examples that work."""

import re
import shlex
from html import unescape

import pytest
from fastapi import FastAPI

from app import docs, tob, toc
from app.pages import HEADERS
from tests.app.worlds import TOKEN, World, service


async def test_the_page_loads_nothing_from_elsewhere_and_runs_nothing() -> None:
    async with service() as world:
        answer = await world.client.get("/docs")
        assert answer.status_code == 200
        assert answer.headers.items() >= {name.lower(): value for name, value in HEADERS.items()}.items()
        assert not re.findall(r"<script|<style|style=|\son\w+=|://", answer.text)
        loaded = re.findall(r'<link[^>]*href="([^"]+)"|src="([^"]+)"', answer.text)
        assert loaded == [("/docs/style.css", "")]
        style = await world.client.get("/docs/style.css")
        assert (style.status_code, style.headers["content-type"][:8]) == (200, "text/css")
        assert "url(" not in style.text


async def test_every_path_is_there_with_an_example_that_is_answered() -> None:
    async with service() as world:
        await world.complete()
        openapi = (await world.client.get("/openapi.json")).json()
        text = unescape((await world.client.get("/docs")).text)
        commands = re.findall(r"<pre>curl (.*?)</pre>", text)
        assert len(commands) == sum(map(len, openapi["paths"].values()))
        for path, methods in openapi["paths"].items():
            for method in methods:
                assert f"<code>{method.upper()} {path}</code>" in text
        for command in commands:
            if "/v1/stream" not in command:
                assert await status_of(world, command) == 200, command


async def status_of(world: World, command: str) -> int:
    """Send what this curl would."""
    address, *options = shlex.split(command.replace("$TOKEN", TOKEN))
    given = list(zip(options[::2], options[1::2], strict=True))
    headers = dict(text.split(": ", 1) for option, text in given if option == "-H")
    named = dict(given)
    path, body = address.removeprefix("$SERVICE"), named.get("-d", "")
    answer = await world.client.request(named.get("-X", "GET"), path, content=body, headers=headers)
    return answer.status_code


def test_every_link_of_the_page_leads_to_a_body_on_it() -> None:
    text = docs.page(tob.create_app(None).openapi())  # type: ignore[arg-type]
    links = set(re.findall(r'href="#([^"]+)"', text))
    assert links
    assert links <= set(re.findall(r'id="([^"]+)"', text))


@pytest.mark.parametrize(
    "made", [tob.create_app, lambda pool: toc.create_app(pool, pool, readiness=pool, registry=None)]
)
def test_the_reference_services_have_one_too(made) -> None:
    app: FastAPI = made(None)
    assert "<pre>curl" in docs.page(app.openapi())


def test_text_of_the_schema_is_no_html() -> None:
    about = {"type": "object", "properties": {"<b>": {"type": "string", "description": "<i> `a<b`"}}}
    openapi = {"info": {"title": "<x>"}, "paths": {}, "components": {"schemas": {"A": about}}}
    text = docs.page(openapi)
    assert not re.findall("<x>|<i>|<b>", text)
    assert "<code>a&lt;b</code>" in text
