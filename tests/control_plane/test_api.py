"""The API's port: health, readiness, metrics."""

from typing import Any

import httpx
import pytest

from control_plane.app import api_app
from control_plane.core_fake import FakeCore
from control_plane.services import Services


@pytest.fixture
def api(services: Services) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=api_app(services))
    return httpx.AsyncClient(transport=transport, base_url="http://api.test")


async def test_health_asks_nobody(api: httpx.AsyncClient, core: FakeCore) -> None:
    core.away = True
    answer = await api.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_ready_needs_the_store_and_the_engine(
    api: httpx.AsyncClient, core: FakeCore, services: Services
) -> None:
    assert (await api.get("/readyz")).status_code == 200
    core.away = True
    answer = await api.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {"documents": "ok", "engine": "unavailable"}
    core.away = False
    await services.store.close()
    answer = await api.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]["documents"]) == (503, "unavailable")


async def test_stopping_is_not_ready(api: httpx.AsyncClient, services: Services) -> None:
    services.stopping.set()
    answer = await api.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "stopping")


async def test_metrics_are_prometheus_text_under_our_names(api: httpx.AsyncClient) -> None:
    await api.get("/healthz")
    answer = await api.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    families = [line.split()[2] for line in answer.text.splitlines() if line.startswith("# TYPE")]
    assert families
    assert all(name.startswith("heliograph_") for name in families)
    assert 'heliograph_http_requests_total{face="api",method="GET",status="2xx"} 1.0' in answer.text


async def test_unknown_methods_and_paths_make_no_new_labels(api: httpx.AsyncClient) -> None:
    await api.request("BREW", "/healthz")
    await api.get("/nothing/4915112345678")
    text = (await api.get("/metrics")).text
    assert 'method="other",status="4xx"' in text
    assert "4915112345678" not in text


def test_every_setting_is_described(control_settings: Any) -> None:
    fields = type(control_settings).model_fields
    assert [name for name, field in fields.items() if not field.description] == []
    assert "documents_dsn" in fields
    assert str(control_settings.documents_dsn) == "**********"
