"""``/docs``: the API as one page without scripts, made from its OpenAPI schema.

FastAPI's own page runs scripts of a third party, in the origin where people type tokens.
"""

import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from shlex import quote
from typing import Any, Final

from fastapi import FastAPI
from fastapi.responses import FileResponse, HTMLResponse

from app.pages import HEADERS, STATIC

Schema = Mapping[str, Any]

EXAMPLES: Final[Mapping[str, Any]] = {"string": "text", "integer": 1, "number": 1, "boolean": True, "object": {}}
JSON: Final = "application/json"


def install(app: FastAPI) -> None:
    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page(app.openapi()), headers=HEADERS)

    @app.get("/docs/style.css", include_in_schema=False)
    async def style() -> FileResponse:
        return FileResponse(STATIC / "docs.css", headers=HEADERS)


def page(openapi: Schema) -> str:
    """Return the whole page for a schema as FastAPI makes it."""
    title, schemas = escape(openapi["info"]["title"]), openapi.get("components", {}).get("schemas", {})
    operations = [
        _operation(method, path, operation, schemas)
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{title}</title><link rel="stylesheet" href="/docs/style.css"></head><body><main>'
        f"<h1>{title}</h1><p>{_prose(openapi['info'].get('description', ''))} For programs: "
        '<a href="/openapi.json">openapi.json</a>. <code>$SERVICE</code> is the address of this service.</p>'
        f"{''.join(operations)}<h2>Bodies</h2>{''.join(_body(name, schemas[name]) for name in sorted(schemas))}"
        "</main></body></html>\n"
    )


def _operation(method: str, path: str, operation: Schema, schemas: Schema) -> str:
    parameters = [
        (parameter["name"], f"{parameter['in']}, {_kind(parameter['schema'])}", parameter.get("description", ""))
        for parameter in operation.get("parameters", ())
    ]
    takes = _content(operation.get("requestBody", {}))
    answers = "".join(
        f"<li>{escape(status)}: {_kind(_content(answer))}</li>" for status, answer in operation["responses"].items()
    )
    about = _prose(operation.get("description", ""))
    return (
        f"<section><h2><code>{method.upper()} {escape(path)}</code></h2><p>{about}</p>"
        f"{_table(parameters)}{f'<p>Takes {_kind(takes)}</p>' if takes else ''}<p>Answers</p><ul>{answers}</ul>"
        f"<pre>{escape(curl(method, path, operation, schemas))}</pre></section>"
    )


def curl(method: str, path: str, operation: Schema, schemas: Schema) -> str:
    """Return a command that can be pasted."""
    query = []
    for parameter in operation.get("parameters", ()):
        example = _example(parameter["schema"], schemas)
        path = path.replace(f"{{{parameter['name']}}}", str(example))
        if parameter["in"] == "query" and parameter.get("required"):
            query.append(f"{parameter['name']}={example}")
    words = [f'curl "$SERVICE"{quote(path + ("?" + "&".join(query) if query else ""))}']
    if method != "get":
        words.append(f"-X {method.upper()}")
    if any(parameter["name"] == "authorization" for parameter in operation.get("parameters", ())):
        words.append('-H "Authorization: Bearer $TOKEN"')
    body = _content(operation.get("requestBody", {}))
    if body:
        words.append(f"-H 'Content-Type: {JSON}' -d {quote(json.dumps(_example(body, schemas)))}")
    return " ".join(words)


def _content(described: Schema) -> Schema:
    schema: Schema = described.get("content", {}).get(JSON, {}).get("schema", {})
    return schema


def _body(name: str, schema: Schema) -> str:
    fields = [
        (field, _kind(about), about.get("description", "")) for field, about in schema.get("properties", {}).items()
    ]
    values = ", ".join(map(str, schema.get("enum", ())))
    described = f"<p>{_prose(schema.get('description', '') or values)}</p>"
    return f'<section><h3 id="{escape(name)}">{escape(name)}</h3>{described}{_table(fields)}</section>'


def _table(rows: list[tuple[str, str, str]]) -> str:
    """``rows``: name, kind as HTML, description."""
    lines = (f"<tr><th>{escape(name)}</th><td>{kind}</td><td>{_prose(text)}</td></tr>" for name, kind, text in rows)
    return f"<table>{''.join(lines)}</table>" if rows else ""


def _kind(schema: Schema) -> str:
    if "$ref" in schema:
        name = escape(_name(schema))
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(map(_kind, schema["anyOf"]))
    if schema.get("type") == "array":
        return f"array of {_kind(schema.get('items', {}))}"
    return escape(", ".join(_words(schema)))


def _words(schema: Schema) -> Iterator[str]:
    yield str(schema.get("type", "anything"))
    if "enum" in schema:
        yield "one of " + ", ".join(map(str, schema["enum"]))
    if schema.get("default") not in (None, ""):
        yield f"default {schema['default']}"


def _example(schema: Schema, schemas: Schema) -> Any:
    if "$ref" in schema:
        return _example(schemas[_name(schema)], schemas)
    if "examples" in schema:
        return schema["examples"][0]
    if "anyOf" in schema:
        return _example(schema["anyOf"][0], schemas)
    if schema.get("type") == "array":
        return [_example(schema.get("items", {}), schemas)]
    required = schema.get("required", ())
    if required:
        return {name: _example(schema["properties"][name], schemas) for name in required}
    return schema["enum"][0] if "enum" in schema else EXAMPLES.get(schema.get("type", ""))


def _name(schema: Schema) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _prose(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
