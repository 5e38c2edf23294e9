"""The reference ToC: a web service of datacenter B that reads trackers through the cache; headers say how."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Any, Final, Protocol

import orjson
import structlog
from fastapi import APIRouter, FastAPI, Path, Query, Response
from prometheus_client import CollectorRegistry

from app import probes, trackers
from app.errors import ApiError
from app.http import new_app
from app.mysql_pool import DatabaseUnavailableError, MySqlPool
from app.trackers import ID_MAX, LIST_ROWS_MAX, SELECT_ONE, SELECT_TENANT
from versioning import stamp as stamps
from versioning.cli.words import lag_text
from versioning.client.info import CacheInfo
from versioning.errors import StamplineError
from versioning.read import Read

Loader = Callable[[], Awaitable[Any]]
Id = Annotated[int, Path(ge=0, le=ID_MAX)]

JSON: Final = "application/json"

_log = structlog.get_logger()


class ReadingCache(Protocol):
    """What this service asks of a cache: AsyncVersionedCache, or the one by time to live alone."""

    async def start(self) -> None: ...

    async def aclose(self) -> None: ...

    async def read(self, key: str, loader: Loader) -> Read: ...

    def info(self) -> Any: ...


def create_app(
    cache: ReadingCache,
    pool: MySqlPool,
    *,
    readiness: probes.Readiness,
    registry: CollectorRegistry | None,
) -> FastAPI:
    """Build the service; it starts and closes ``cache`` and closes ``pool``."""

    async def lifespan() -> AsyncIterator[None]:
        await cache.start()
        yield
        await cache.aclose()
        await pool.aclose()

    app = new_app("reference ToC", "Trackers, read through stampline's cache.", lifespan)
    app.include_router(_trackers(cache, pool))
    app.include_router(probes.router(readiness, registry))

    @app.get("/status")
    async def status() -> Response:
        """The cache's own account of itself."""
        return Response(
            orjson.dumps(_plain(cache.info()), default=str, option=orjson.OPT_NON_STR_KEYS), media_type=JSON
        )

    return app


def readiness(cache: ReadingCache) -> probes.Readiness:
    """Always ready, for reads survive whatever is down (I7); a caller that asks for a lag is told about it."""

    def reason(max_lag_ms: int | None) -> str | None:
        if max_lag_ms is None:
            return None
        lag_ms = getattr(cache.info(), "lag_ms", None)
        return lag_text(lag_ms) if lag_ms is None or lag_ms > max_lag_ms else None

    return reason


def _trackers(cache: ReadingCache, pool: MySqlPool) -> APIRouter:
    routes = APIRouter(tags=["trackers"])

    async def load_one(tracker_id: int) -> dict[str, Any] | None:
        rows = await pool.select(SELECT_ONE, (tracker_id,))
        return trackers.tracker(rows[0]) if rows else None

    async def load_tenant(tenant_id: int) -> list[dict[str, Any]]:
        rows = await pool.select(SELECT_TENANT, (tenant_id, LIST_ROWS_MAX))
        return [trackers.tracker(row) for row in rows]

    @routes.get("/trackers/{tracker_id}")
    async def one(tracker_id: Id) -> Response:
        """One tracker by its numeric id. 404 is cached like any other answer."""
        read = await _read(cache, f"tracker_web:{tracker_id}", lambda: load_one(tracker_id))
        if read.value is None:
            raise ApiError(404, "not_found", f"no tracker {tracker_id}", headers=_headers(read))
        return Response(orjson.dumps(read.value), media_type=JSON, headers=_headers(read))

    @routes.get("/trackers")
    async def of_tenant(tenant_id: Annotated[int, Query(ge=0, le=ID_MAX)]) -> Response:
        """All trackers of a tenant, up to 1,000: a list under a derived key."""
        read = await _read(cache, f"trackers_by_tenant:{tenant_id}", lambda: load_tenant(tenant_id))
        return Response(orjson.dumps(read.value), media_type=JSON, headers=_headers(read))

    return routes


async def _read(cache: ReadingCache, key: str, loader: Loader) -> Read:
    try:
        return await cache.read(key, loader)
    except DatabaseUnavailableError as error:
        # Names of servers and users are for the log, not for the web.
        _log.warning("database_unavailable", error=str(error))
        raise ApiError(503, "database_unavailable", "the database does not answer") from None
    except StamplineError as error:
        _log.warning("cache_refused", error=str(error))
        raise ApiError(503, "overloaded", "no value is at hand, and none may be loaded now") from None


def _headers(read: Read) -> dict[str, str]:
    return {
        "X-Stampline-Tier": read.tier.value,
        "X-Stampline-Stamp": stamps.text(read.stamp),
        "X-Stampline-Verdict": read.verdict.value,
        "X-Stampline-Age": "" if read.age_ms is None else str(read.age_ms),
    }


def _plain(info: Any) -> dict[str, Any]:
    if not isinstance(info, CacheInfo):
        return dict(info)
    # Stamps travel as text: JavaScript has no 64-bit integer.
    return asdict(info) | {name: stamps.text(getattr(info, name)) for name in ("watermark", "horizon")}
