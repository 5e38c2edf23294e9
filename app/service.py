"""The version service: one follower, and HTTP over what it knows. It holds no state that a restart could lose."""

import asyncio
from collections.abc import AsyncIterator, Callable

from fastapi import APIRouter, FastAPI

from app import bumps, events, probes, versions
from app.audit import AuditLog
from app.http import new_app
from app.knowledge import Knowledge
from app.metrics import KnowledgeCollector
from app.models import StatusAnswer
from app.settings import ServeSection
from app.site import api, page
from app.site.watch import SiteWatch
from app.tokens import Tokens
from versioning import stamp as stamps
from versioning.backends.base import StreamBackend
from versioning.client.clock import system_clock
from versioning.client.exposition import new_registry
from versioning.index import Index
from versioning.limits import WINDOW_MS
from versioning.liveness import Now

DESCRIPTION = "Which cache key changed when, and whether that can be vouched for. Only bumps need a token."


def create_app(
    section: ServeSection,
    stream: StreamBackend,
    *,
    dc: str = "local",
    window_ms: int = WINDOW_MS,
    clock: Callable[[], Now] = system_clock,
) -> FastAPI:
    """Build the service on ``stream``, which stays the caller's to close. Raises ConfigError."""
    tokens, audit = Tokens(section), AuditLog(section.audit_log)
    knowledge = Knowledge(stream, Index(window_ms=window_ms, max_lag_ms=section.max_lag_ms), clock=clock)

    watch = SiteWatch(knowledge, section.component, section.tls_files)

    async def lifespan() -> AsyncIterator[None]:
        watching = asyncio.create_task(watch.run(), name="stampline-site-watch")
        await knowledge.follower.start()
        yield
        watching.cancel()
        await asyncio.wait((watching,))
        knowledge.fanout.close()
        await knowledge.follower.aclose()
        audit.close()

    app = new_app("stampline version service", DESCRIPTION, lifespan)
    app.state.knowledge, app.state.watch = knowledge, watch
    app.include_router(versions.router(knowledge))
    app.include_router(bumps.router(knowledge, tokens, audit))
    app.include_router(events.router(knowledge))
    app.include_router(_status(knowledge, dc))
    app.include_router(api.router(knowledge, watch, dc))
    metrics = new_registry(KnowledgeCollector(knowledge, dc)) if section.metrics else None
    liveness = knowledge.follower.pulse.complaint
    app.include_router(probes.router(lambda max_lag_ms: readiness(knowledge, max_lag_ms), metrics, liveness))
    page.install(app)
    return app


def readiness(knowledge: Knowledge, max_lag_ms: int | None) -> str | None:
    now = knowledge.clock()
    if not knowledge.follower.is_covered:
        return knowledge.loss or knowledge.follower.stats.last_error or "starting: the window is not covered yet"
    doubt = knowledge.doubt(now)
    lag_ms = knowledge.index.liveness.lag_ms(now)
    if max_lag_ms is not None and lag_ms is not None and knowledge.index.known_since is not None:
        # The caller's limit replaces the configured one, in both directions.
        return knowledge.lag_text(now) if lag_ms > max_lag_ms else None
    return doubt


def _status(knowledge: Knowledge, dc: str) -> APIRouter:
    routes = APIRouter(tags=["status"])

    # Every role answers /status: so other version services list this one.
    @routes.get("/status", include_in_schema=False)
    @routes.get("/v1/status")
    async def status() -> StatusAnswer:
        """What the service's follower knows right now."""
        index, stats, now = knowledge.index, knowledge.follower.stats, knowledge.clock()
        doubt = knowledge.doubt(now)
        horizon = index.known_since
        return StatusAnswer(
            dc=dc,
            vouches=doubt is None,
            reason=doubt,
            is_connected=stats.is_connected,
            is_covered=knowledge.follower.is_covered,
            lag_ms=index.liveness.lag_ms(now),
            replica_lag_ms=index.liveness.replica_lag_ms(now),
            watermark=stamps.text(index.watermark),
            watermark_ms=stamps.ms_of(index.watermark),
            horizon=None if horizon is None else stamps.text(horizon),
            horizon_ms=None if horizon is None else stamps.ms_of(horizon),
            window_ms=index.window_ms,
            keys=len(index),
            pending=index.pending_count,
            entries=stats.entries,
            breaks=stats.breaks,
            poisoned=stats.poisoned,
            reconnects=stats.reconnects,
            listeners=len(knowledge.fanout),
            slow_listeners=knowledge.fanout.slow_count,
            last_error=stats.last_error,
        )

    return routes
