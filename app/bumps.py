"""Bumps over HTTP (P11): only with a token, and in the audit log before the answer."""

from typing import Annotated

import structlog
from fastapi import APIRouter, Header, Request

from app.audit import AuditLog
from app.errors import ApiError
from app.knowledge import Knowledge
from app.models import BumpAnswer, BumpRequest
from app.tokens import Tokens
from versioning.backends.base import BackendError
from versioning.bump import Bump
from versioning.cli.bump import append

_log = structlog.get_logger()


def router(knowledge: Knowledge, tokens: Tokens, audit: AuditLog) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["bumps"])

    @routes.post("/bump")
    async def bump(
        body: BumpRequest, request: Request, authorization: Annotated[str | None, Header()] = None
    ) -> BumpAnswer:
        """Supersede every cached copy of keys, or of a namespace spread over `spread_ms`. Needs a bearer token."""
        owner = tokens.owner(authorization)
        wanted = Bump(body.reason, tuple(body.keys), body.namespace, body.spread_ms)
        wanted.check()
        now_ms = knowledge.clock().ms
        record = {
            "time_ms": now_ms,
            "who": owner,
            "address": request.client.host if request.client else "",
            "keys": body.keys,
            "namespace": body.namespace,
            "spread_ms": body.spread_ms,
            "reason": body.reason,
        }
        stamped, problem = await _append(knowledge, wanted, now_ms)
        await _audit(audit, record | {"stamps": stamped, "error": problem})
        if problem:
            hint = "it may have been written; bumping again costs one load per key"
            raise ApiError(503, "stream_unavailable", problem, hint=hint)
        return BumpAnswer(stamps=stamped)

    return routes


async def _append(knowledge: Knowledge, wanted: Bump, now_ms: int) -> tuple[list[str], str]:
    try:
        return await append(knowledge.stream, wanted, now_ms=now_ms, above=knowledge.index.watermark), ""
    except BackendError as error:
        return [], str(error)


async def _audit(audit: AuditLog, record: dict[str, object]) -> None:
    try:
        await audit.write(record)
    except OSError as error:
        _log.exception("audit_failed", **record)
        raise ApiError(
            500,
            "audit_failed",
            f"cannot write the audit log: {error.strerror}",
            hint="the bump itself is in the stream",
        ) from None
