"""Bumps over HTTP (P11): only with a token, not too many, and in the audit log before the answer; refused ones too."""

from typing import Annotated, Any, Final

import structlog
from fastapi import APIRouter, Header, Request

from app.audit import AuditLog
from app.errors import ApiError
from app.knowledge import Knowledge
from app.models import BumpAnswer, BumpRequest
from app.rates import Bucket
from app.tokens import Tokens
from versioning.backends.base import BackendError
from versioning.bump import Bump, RequestError
from versioning.client.bumps import append_bump
from versioning.liveness import Now

REFUSALS_PER_MIN: Final = 60
"""Refused requests in the audit log: whoever has no token must not be able to fill its disk. The others are counted."""

_log = structlog.get_logger()


def router(knowledge: Knowledge, tokens: Tokens, audit: AuditLog) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["bumps"])
    refusals = _Refusals(audit)

    @routes.post("/bump")
    async def bump(
        body: BumpRequest, request: Request, authorization: Annotated[str | None, Header()] = None
    ) -> BumpAnswer:
        """Supersede every cached copy of keys, or of a namespace spread over `spread_ms`. Needs a bearer token."""
        now = knowledge.clock()
        wanted = Bump(body.reason, tuple(body.keys), body.namespace, body.spread_ms)
        record = {
            "time_ms": now.ms,
            "who": "",
            "address": request.client.host if request.client else "",
            "keys": body.keys,
            "namespace": body.namespace,
            "spread_ms": body.spread_ms,
            "reason": body.reason,
        }
        try:
            record["who"] = tokens.owner(authorization)
            wanted.check()
            tokens.admit(str(record["who"]), now.monotonic_ms)
        except (ApiError, RequestError) as error:
            await refusals.note(record, error.code, now)
            raise
        stamped, problem = await _append(knowledge, wanted, now.ms)
        await _audit(audit, record | {"stamps": stamped, "error": problem})
        if problem:
            hint = "it may have been written; bumping again costs one load per key"
            raise ApiError(503, "stream_unavailable", problem, hint=hint)
        return BumpAnswer(stamps=stamped)

    return routes


class _Refusals:
    """Puts refused bumps into the audit log: who, from where and why, and of what they asked only how much."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit
        self._bucket: Bucket | None = None
        self._left_out = 0

    async def note(self, record: dict[str, Any], code: str, now: Now) -> None:
        self._bucket = self._bucket or Bucket(REFUSALS_PER_MIN, now.monotonic_ms)
        if self._bucket.wait_ms(now.monotonic_ms):
            self._left_out += 1
            return
        self._bucket.take()
        left_out, self._left_out = self._left_out, 0
        known = {name: record[name] for name in ("time_ms", "who", "address")}
        await _audit(self._audit, known | {"refused": code, "keys": len(record["keys"]), "left_out": left_out})


async def _append(knowledge: Knowledge, wanted: Bump, now_ms: int) -> tuple[list[str], str]:
    try:
        return await append_bump(knowledge.stream, wanted, now_ms=now_ms, above=knowledge.index.watermark), ""
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
            hint="a bump that was not refused is in the stream",
        ) from None
