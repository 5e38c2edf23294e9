"""What an orchestrator asks: alive, ready, and the metrics. The same three for every service.

The first two also by HEAD, as some load balancers do.
"""

from collections.abc import Callable
from typing import Annotated, Final

from fastapi import APIRouter, Query, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from app.errors import ApiError

LAG_MAX_S: Final = 365 * 24 * 3600
"""More is a mistake, and infinity is no number of milliseconds."""

Readiness = Callable[[int | None], str | None]
"""Given the largest lag wanted in ms (None: the configured one), why the service is not ready, or None."""

Liveness = Callable[[], str | None]
"""Why the service's working loop does not count as alive, or None."""


def router(readiness: Readiness, registry: CollectorRegistry | None, liveness: Liveness = lambda: None) -> APIRouter:
    routes = APIRouter(tags=["probes"])

    @routes.head("/livez", include_in_schema=False)
    @routes.get("/livez")
    async def livez() -> dict[str, str]:
        """The process answers, and its working loop turns; else 503. Says nothing about what it knows."""
        complaint = liveness()
        if complaint is not None:
            raise ApiError(503, "not_alive", complaint, hint="restart it: nothing is lost")
        return {"status": "alive"}

    @routes.head("/readyz", include_in_schema=False)
    @routes.get("/readyz")
    async def readyz(
        max_lag: Annotated[float | None, Query(ge=0, le=LAG_MAX_S, description="Seconds of lag tolerated.")] = None,
    ) -> dict[str, str]:
        """Whether to send traffic here; else 503 and the reason."""
        reason = readiness(None if max_lag is None else int(max_lag * 1000))
        if reason is not None:
            raise ApiError(503, "not_ready", reason, hint="see /v1/status")
        return {"status": "ready"}

    if registry is not None:

        @routes.get("/metrics", response_class=Response)
        async def metrics() -> Response:
            """Prometheus text format."""
            return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return routes
