"""Lookups and checks: answered from memory, also with Redis down; then they do not vouch."""

from collections.abc import Sequence
from typing import Annotated, Final

from fastapi import APIRouter, Path, Request

from app.knowledge import Detail, Knowledge
from app.models import CheckAnswer, CheckRequest, CheckVerdict, LookupAnswer, LookupRequest, VersionAnswer
from versioning import stamp as stamps
from versioning.bump import RequestError, check_keys
from versioning.errors import StampFormatError
from versioning.liveness import Now

NO_UTF8: Final = "\ufffd"
"""What the server makes of bytes in a path that are none: of different keys the same one."""


def router(knowledge: Knowledge) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["versions"])

    # A key may hold slashes.
    @routes.get("/versions/{key:path}")
    async def version(key: Annotated[str, Path(examples=["tracker_web:42"])], request: Request) -> VersionAnswer:
        """The last change of one key. In the path a ``%`` of the key is ``%25``, a ``?`` ``%3F``."""
        if NO_UTF8 in key:
            raise RequestError("key_malformed", "the path is no UTF-8", hint="escape the UTF-8 of the key, or POST it")
        # To the routing a line break at the end is no part of the path: this would be another key's answer.
        end = "\n" if request.scope["path"].endswith("\n") else ""
        return (await look_up(knowledge, [f"{key}{end}"]))[0]

    @routes.post("/versions")
    async def versions(request: LookupRequest) -> LookupAnswer:
        """The last change of each of up to 1,000 keys."""
        return LookupAnswer(versions=await look_up(knowledge, request.keys))

    @routes.post("/check")
    async def check(request: CheckRequest) -> CheckAnswer:
        """Verdicts on up to 1,000 cached values, each by its key and fill stamp."""
        return judge(knowledge, request)

    return routes


async def look_up(knowledge: Knowledge, keys: Sequence[str]) -> list[VersionAnswer]:
    check_keys(keys)
    # One reading of clock and index for the whole batch; the details come after and change no verdict.
    now = knowledge.clock()
    found = [knowledge.index.last_stamp(key) for key in keys]
    doubts = [knowledge.doubt_about(last, now) for last in found]
    details = await knowledge.details(found)
    return [
        _answer(knowledge, key, last, doubt, details.get(last))
        for key, last, doubt in zip(keys, found, doubts, strict=True)
    ]


def _answer(knowledge: Knowledge, key: str, last: int, doubt: str | None, detail: Detail | None) -> VersionAnswer:
    index = knowledge.index
    fill_stamp = stamps.text(index.fill_stamp(key))
    return VersionAnswer(
        key=key,
        stamp=stamp_text(last),
        time_ms=stamps.ms_of(last) if last else None,
        committed_ms=detail.committed_ms or None if detail else None,
        origin_gtid=detail.gtid or None if detail else None,
        is_pending=index.is_pending(key),
        fill_stamp=fill_stamp,
        since=horizon_text(knowledge),
        vouches=doubt is None,
        reason=doubt,
    )


def judge(knowledge: Knowledge, request: CheckRequest) -> CheckAnswer:
    check_keys([item.key for item in request.items])
    now = knowledge.clock()
    return CheckAnswer(
        verdicts=[_verdict(knowledge, item.key, item.fill_stamp, now) for item in request.items],
        watermark=stamps.text(knowledge.index.watermark),
        reason=knowledge.doubt_of_values(now),
    )


def _verdict(knowledge: Knowledge, key: str, fill_stamp: str, now: Now) -> CheckVerdict:
    index = knowledge.index
    stamp = parse_stamp(fill_stamp)
    verdict, proven_ago_ms = index.judge(key, stamp, now)
    next_fill_stamp = stamps.text(index.fill_stamp(key))
    return CheckVerdict(
        key=key,
        verdict=verdict.value,
        stamp=stamp_text(index.last_stamp(key)),
        proven_ago_ms=proven_ago_ms,
        stale_at_ms=index.generations.stale_at_ms(key, stamp),
        is_pending=index.is_key_pending(key),
        fill_stamp=next_fill_stamp,
    )


def parse_stamp(text: str) -> int:
    """Raises RequestError."""
    try:
        return stamps.parse(text)
    except StampFormatError as error:
        raise RequestError("stamp_malformed", f"not a stamp: {text[:40]!r}", hint=error.hint) from None


def stamp_text(stamp: int) -> str | None:
    return stamps.text(stamp) if stamp else None


def horizon_text(knowledge: Knowledge) -> str | None:
    horizon = knowledge.index.known_since
    return None if horizon is None else stamps.text(horizon)
