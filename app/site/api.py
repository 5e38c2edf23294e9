"""``/v1/site``, ``/v1/history``, ``/v1/recent``, ``/v1/namespaces``: what the dashboard shows, for anybody to read."""

from fastapi import APIRouter, Response

from app.fanout import event_of
from app.knowledge import Knowledge
from app.site.history import SPAN_MS, STEP_MS
from app.site.models import (
    Flow,
    HistoryAnswer,
    HistoryPoint,
    NamespacesAnswer,
    RecentAnswer,
    ServiceFigures,
    SiteAnswer,
)
from app.site.namespaces import Namespaces
from app.site.picture import draw
from app.site.view import View, make_view
from app.site.watch import SiteWatch
from versioning import stamp as stamps
from versioning.limits import DEGRADED_TTL_MS
from versioning.liveness import Now


def router(knowledge: Knowledge, watch: SiteWatch, dc: str) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["site"])
    namespaces = Namespaces(knowledge)

    @routes.get("/site")
    async def site() -> SiteAnswer:
        """Both datacenters in one picture, and in words what is wrong."""
        return draw(view_of(knowledge, watch, dc), dc)

    @routes.get("/history")
    async def history() -> HistoryAnswer:
        """The last quarter of an hour: lags, change rate, pending keys."""
        points = watch.history.since(knowledge.clock().ms - SPAN_MS)
        shown = [HistoryPoint.model_validate(point, from_attributes=True) for point in points]
        return HistoryAnswer(step_ms=STEP_MS, span_ms=SPAN_MS, points=shown)

    @routes.get("/recent", response_model=RecentAnswer)
    async def recent() -> Response:
        """The newest entries this service has taken in, heartbeats left out, newest first; as on `/v1/stream`."""
        entries = ",".join(event_of(entry).data for entry in reversed(watch.recent))
        return Response(f'{{"entries":[{entries}]}}', media_type="application/json")

    @routes.get("/namespaces")
    async def known_namespaces() -> NamespacesAnswer:
        """Every namespace with keys changed within the window, and how many. Up to 5 s old."""
        return NamespacesAnswer(window_ms=knowledge.index.window_ms, namespaces=await namespaces.counts())

    return routes


def view_of(knowledge: Knowledge, watch: SiteWatch, dc: str) -> View:
    now = knowledge.clock()
    doubt = knowledge.doubt(now)
    return make_view(
        watch.board.sightings,
        now,
        dc=dc,
        flow=_flow(knowledge, watch, now),
        doubt=doubt,
        is_covered=knowledge.follower.is_covered,
        own=_own(knowledge, now, vouches=doubt is None),
    )


def _flow(knowledge: Knowledge, watch: SiteWatch, now: Now) -> Flow:
    index, rates = knowledge.index, watch.rates()
    horizon = index.known_since
    return Flow(
        lag_ms=index.liveness.lag_ms(now),
        lag_max_ms=index.liveness.max_lag_ms,
        replica_lag_ms=index.liveness.replica_lag_ms(now),
        changes_per_s=rates["changes"],
        keys_per_s=rates["keys"],
        keys=len(index),
        pending=index.pending_count,
        is_gap_pending=index.is_gap_pending,
        window_ms=index.window_ms,
        degraded_ttl_ms=DEGRADED_TTL_MS,
        watermark=stamps.text(index.watermark),
        complete_since_ms=None if horizon is None else stamps.ms_of(horizon),
    )


def _own(knowledge: Knowledge, now: Now, *, vouches: bool) -> ServiceFigures:
    index, stats = knowledge.index, knowledge.follower.stats
    return ServiceFigures(
        is_connected=stats.is_connected,
        vouches=vouches,
        lag_ms=index.liveness.lag_ms(now),
        keys=len(index),
        pending=index.pending_count,
        listeners=len(knowledge.fanout),
        last_error=stats.last_error,
    )
