"""Pages of the installation, what another site may cause, and the rail.

Who may what at every route is asked by tests/system/test_access_matrix.py.
"""

from typing import Any

import pytest
from starlette.routing import Route

from control_plane.access import MASTER_ID, Role
from control_plane.core_fake import FakeCore
from control_plane.services import Services
from control_plane.web.routes import routes

PLACES = {
    "name": "demo",
    "number": "1",
    "action": "rebind",
    "id": "1",
    "number:int": "1",
    "id:int": "1",
    "version:int": "1",
}


def address(route: Route) -> str:
    path = route.path
    for name, value in PLACES.items():
        path = path.replace(f"{{{name}}}", value)
    return path.replace("{name}", "demo")


def every(services: Services) -> list[tuple[str, Route]]:
    found = []
    for route in routes(services):
        assert isinstance(route, Route)
        found += [(method, route) for method in sorted((route.methods or {"GET"}) - {"HEAD"})]
    return found


async def ask(browser: Any, method: str, path: str, **options: Any) -> Any:
    return await browser.request(method, path, **options)


@pytest.mark.parametrize("role", [Role.MODERATOR, Role.AUTHOR, Role.ANALYST])
async def test_only_admins_of_the_master_workspace_run_the_installation(
    services: Services, role: Role, browser_of: Any
) -> None:
    other, admin = await browser_of(role, MASTER_ID), await browser_of(Role.ADMIN, MASTER_ID)
    for path in (
        "/accounts/demo",
        "/accounts/new",
        "/orphans",
        "/inbound",
        "/traces",
        "/channels/Demo%20SMSC",
        "/routes/new",
        "/wallets",
        f"/wallets/{MASTER_ID}",
        "/prices",
    ):
        assert (await other.get(path)).status_code == 403, path
        assert (await admin.get(path)).status_code == 200, path


async def test_pages_of_the_installation_can_be_looked_at(root: Any) -> None:
    """By a Super Admin outside of any workspace, where nothing of a workspace is at hand."""
    for path in (
        "/channels", "/accounts/demo", "/accounts/new", "/accounts/new?preset=generic", "/accounts/demo/edit",
        "/channels/new", "/channels/new?account=demo", "/channels/Demo%20SMSC", "/channels/Demo%20SMSC/edit",
        "/channels/Demo%20SMSC/errors", "/channels/Demo%20SMSC/errors?show=all", "/orphans", "/inbound",
        "/orphans?age=aged&account=demo", "/traces", "/stop", "/routes", "/routes/explain", "/routes/new",
        "/wallets", f"/wallets/{MASTER_ID}", "/prices",
    ):  # fmt: skip
        answer = await root.get(path)
        assert answer.status_code == 200, (path, answer.text[-600:])
        assert answer.text.count("<h1") == 1, path


async def test_what_is_not_there_is_not_found(root: Any) -> None:
    for path in (
        "/accounts/nowhere", "/accounts/nowhere/edit", "/channels/nowhere", "/channels/nowhere/edit",
        "/channels/nowhere/errors", "/traces/77", "/traces/x", "/campaigns/x", "/routes/77", "/routes/x",
        "/routes/new?of=77", "/wallets/x", "/wallets/00000000-0000-0000-0000-000000000000", "/prices/77",
        "/prices/99999999999999999999",
    ):  # fmt: skip
        answer = await root.get(path)
        assert answer.status_code in (303, 404), path  # 303: a workspace has to be chosen first
    for path in (
        "/accounts/nowhere/test", "/accounts/nowhere/drain", "/accounts/nowhere/binds/1/rebind",
        "/accounts/demo/binds/9/rebind", "/accounts/demo/binds/1/explode", "/accounts/nowhere/disable",
        "/accounts/nowhere", "/accounts/nowhere/ids/reset", "/channels/nowhere", "/channels/nowhere/disable",
        "/channels/nowhere/reset", "/traces/77/end", "/routes/77", "/routes/77/enable", "/routes/77/disable",
        "/routes/77/delete", "/wallets/x/transactions",
        "/wallets/00000000-0000-0000-0000-000000000000/transactions", "/stop/nothing/lift",
        "/stop/00000000-0000-0000-0000-000000000000/lift",
    ):  # fmt: skip
        assert (await root.submit(path)).status_code == 404, path


async def test_no_route_that_changes_something_can_be_caused_by_another_site(
    services: Services, root: Any
) -> None:
    core = services.core
    assert isinstance(core, FakeCore)
    for method, route in every(services):
        if method == "GET":
            continue
        answer = await ask(root, method, address(route), headers={"sec-fetch-site": "cross-site"})
        assert answer.status_code in (403, 404), (method, route.path)  # 404: the static files take no POST
    assert core.done == []


async def test_the_rail_shows_only_places_that_open(browser_of: Any) -> None:
    for role in Role:
        browser = await browser_of(role)
        page = (await browser.get("/")).text
        rail = page.split('id="rail"')[1].split("</nav>")[0]
        for href in {part.split('"')[0] for part in rail.split('href="')[1:]}:
            assert (await browser.get(href)).status_code == 200, (role, href)
        assert ("/orphans" in rail) is False
        assert ('href="/stop"' in page) is (role in (Role.ADMIN, Role.MODERATOR)), role
