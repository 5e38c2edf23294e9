"""Whatever the OpenAPI document allows, and what it does not: an answer as documented, no server error, no hang."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import checks

from app.service import create_app
from app.settings import ServeSection
from app.versions import parse_stamp
from tests.app.worlds import CHANGE, START_MS, TOKEN, Clock
from versioning import stamp as stamps
from versioning.backends.base import Append
from versioning.backends.memory import MemoryStream
from versioning.bump import RequestError
from versioning.entries import Body, Gap, Heartbeat, NewEntry, Replayed

EXAMPLES_MAX = 20
"""For each operation: the whole file stays at a few seconds."""

REQUEST_TIMEOUT_S = 10.0
INTERNAL = 500
OPERATIONS = [
    ("GET", "/v1/versions/{key}"),
    ("POST", "/v1/versions"),
    ("POST", "/v1/check"),
    ("POST", "/v1/bump"),
    ("GET", "/v1/status"),
    ("GET", "/v1/site"),
    ("GET", "/v1/history"),
    ("GET", "/v1/recent"),
    ("GET", "/v1/namespaces"),
    ("GET", "/livez"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
]
STREAMS = [("GET", "/v1/stream")]
"""Without end: what a client may send there, the id of the last event it saw, is fuzzed by itself."""

CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]


@pytest.fixture(scope="module")
def api() -> schemathesis.BaseSchema:
    section = ServeSection.model_validate({"token": TOKEN, "bumps_per_min": 100_000, "bumps_total_per_min": 100_000})
    stream = MemoryStream(lambda: START_MS)
    bodies: tuple[Body, ...] = (Gap("begun"), Replayed(START_MS - 3 * 3_600_000), CHANGE, Heartbeat(START_MS))
    entries = tuple(NewEntry(f"{number:016x}", body) for number, body in enumerate(bodies))
    asyncio.run(stream.append(Append(entries, START_MS)))
    app = create_app(section, stream, clock=Clock())
    return schemathesis.openapi.from_asgi("/openapi.json", app)


def test_no_operation_is_left_out(api: schemathesis.BaseSchema) -> None:
    paths = api.raw_schema["paths"]
    found = {(method.upper(), path) for path, operations in paths.items() for method in operations}
    assert found == set(OPERATIONS) | set(STREAMS)


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=lambda part: part)
def test_an_operation_answers_as_documented(api: schemathesis.BaseSchema, method: str, path: str) -> None:
    operation = api[path][method]
    is_proper = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE

    @settings(
        max_examples=EXAMPLES_MAX,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(is_proper).flatmap(lambda mode: operation.as_strategy(generation_mode=mode)))
    def answers(case: schemathesis.Case[Any]) -> None:
        answer = case.call(headers={"Authorization": f"Bearer {TOKEN}"}, timeout=REQUEST_TIMEOUT_S)
        assert answer.status_code != INTERNAL
        case.validate_response(answer, checks=CHECKS)

    answers()


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.text(max_size=40) | st.from_regex(r"[0-9]{1,25}-[0-9]{1,25}", fullmatch=True))
def test_the_id_of_a_last_event_is_a_stamp_or_refused(last_event_id: str) -> None:
    with suppress(RequestError):
        assert stamps.text(parse_stamp(last_event_id)) == last_event_id
