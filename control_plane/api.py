"""The API's port: is it alive, can it serve, what does it measure."""

import asyncio

import prometheus_client
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from control_plane.errors import StoreUnavailable
from control_plane.identity.model import USERS
from control_plane.services import Services
from engine.core_api.client import CoreError, CoreUnavailable

NO_STORE = {"cache-control": "no-store"}
CHECK_TIMEOUT_S = 3.0


async def health(request: Request) -> Response:
    """The process answers. Says nothing of what it depends on."""
    return JSONResponse({"status": "ok"}, headers=NO_STORE)


async def ready(request: Request) -> Response:
    """200 where the document store and the engine answer, else 503 with what does not. `audit`: what waits in
    the fallback file, and what was lost."""
    services: Services = request.app.state.services
    store, engine = await asyncio.gather(_store(services), _engine(services))
    checks = {"documents": store, "engine": engine}
    stopping = services.stopping.is_set()
    well = not stopping and all(check == "ok" for check in checks.values())
    status = "ok" if well else "stopping" if stopping else "not ready"
    fallback = services.spool.view()
    audit = {"fallback_bytes": fallback.waiting_bytes, "lost_events": fallback.lost}
    return JSONResponse(
        {"status": status, "checks": checks, "audit": audit},
        status_code=200 if well else 503,
        headers=NO_STORE,
    )


async def metrics_page(request: Request) -> Response:
    """Prometheus text format."""
    services: Services = request.app.state.services
    content = prometheus_client.generate_latest(services.metrics.registry)
    return Response(content, media_type=prometheus_client.CONTENT_TYPE_LATEST, headers=NO_STORE)


async def _store(services: Services) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await services.store.find(USERS, {}, limit=1)
    except (StoreUnavailable, TimeoutError):
        return "unavailable"
    return "ok"


async def _engine(services: Services) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            found = await services.core.health()
    except (CoreUnavailable, CoreError, TimeoutError):
        return "unavailable"
    return "ok" if found.status in ("ok", "degraded") else found.status


ROUTES = [
    Route("/healthz", health, name="health"),
    Route("/readyz", ready, name="ready"),
    Route("/metrics", metrics_page, name="metrics"),
]
