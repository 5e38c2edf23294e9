"""The reference ToC in one of three worlds: same app, same routes, another cache; and one route for a small table.

python -m loadtests.toc ttl|delete|stampline SETTINGS.toml
"""

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Response
from fastapi import Path as PathParameter

from app import commands, trackers
from app import toc as toc_service
from app.errors import ApiError
from app.http import bind, serve
from app.mysql_pool import MySqlPool
from app.settings import TocSection
from app.toc import JSON, ReadingCache
from loadtests.delete.cache import DeleteOnChangeCache
from loadtests.delete.messages import PREFIX
from loadtests.worlds import DELETE, STAMPLINE, TTL
from versioning.cli import log
from versioning.cli.backends import open_values
from versioning.cli.running import run_role
from versioning.cli.sections import LogSection, StreamSection, ValuesSection
from versioning.cli.settings import Settings

SELECT_PLAN = "SELECT id, name, extra FROM plan WHERE id = %s"


def make_cache(mode: str, settings: Settings) -> ReadingCache:
    section, at, values = settings.one(TocSection), settings.one(StreamSection), settings.one(ValuesSection)
    if mode == DELETE:
        return DeleteOnChangeCache(
            open_values(values, extra_prefix=PREFIX),
            channel_url=values.full_url(),
            local_ttl_ms=section.local_ttl_ms,
            redis_ttl_ms=section.redis_ttl_ms,
            local_max_entries=section.local_max_entries,
        )
    return commands.toc_cache(section.model_copy(update={"ttl_only": mode == TTL}), at, values)


def plans(cache: ReadingCache, pool: MySqlPool) -> APIRouter:
    routes = APIRouter(tags=["plans"])

    async def load(plan_id: int) -> dict[str, Any] | None:
        rows = await pool.select(SELECT_PLAN, (plan_id,))
        return trackers.tracker(rows[0]) if rows else None

    @routes.get("/plans/{plan_id}")
    async def one(plan_id: Annotated[int, PathParameter(ge=0)]) -> Response:
        """One plan; 404 is cached like any other answer."""
        read = await cache.read(f"plan:{plan_id}", lambda: load(plan_id))
        headers = {"X-Stampline-Tier": read.tier.value}
        if read.value is None:
            raise ApiError(404, "not_found", f"no plan {plan_id}", headers=headers)
        return Response(orjson.dumps(read.value), media_type=JSON, headers=headers)

    return routes


def main(mode: str, config: str) -> None:
    settings = Settings.load(Path(config))
    log.configure(settings.one(LogSection).level)
    section = settings.one(TocSection)

    async def role(stop: asyncio.Event) -> None:
        listener = bind(section)
        pool = MySqlPool(section.mysql.full_address(), section.mysql_connections)
        cache = make_cache(mode, settings)
        app = toc_service.create_app(cache, pool, readiness=toc_service.readiness(cache), registry=None)
        app.include_router(plans(cache, pool))
        await serve(app, listener, stop)

    run_role(role)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in {TTL, DELETE, STAMPLINE}:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
