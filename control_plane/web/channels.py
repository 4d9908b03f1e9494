"""The list of accounts with their binds, live; and one account's page with all that is done to it."""

import functools
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control_plane.access import Action
from control_plane.channels.settings_form import read_settings
from control_plane.errors import EngineUnavailable, Forbidden, NotFound
from control_plane.services import Services
from control_plane.web.answers import go, json_answer, wants_json
from control_plane.web.channel_views import (
    account_href,
    account_view,
    channel_href,
    grouped,
    history_view,
    ids_view,
    report_view,
    stop_sentence,
)
from control_plane.web.forms import read_form, whole
from control_plane.web.render import Pages
from control_plane.web.session import Visit, visit_of
from control_plane.web.settings_fields import setting_facts
from control_plane.web.translation import _
from engine.core_api import schema

BIND_ACTIONS = {"rebind": "rebound", "drain": "drained", "undrain": "undrained"}
ACCOUNT_ACTIONS = ("enable", "disable", "drain", "undrain")


class ChannelPages:
    def __init__(self, services: Services, pages: Pages) -> None:
        self.services = services
        self.pages = pages

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/channels", self.index, methods=["GET"]),
            Route("/accounts/{name}", self.show, methods=["GET"]),
            Route("/accounts/{name}/test", self.test, methods=["POST"]),
            Route("/accounts/{name}/clone", self.clone, methods=["POST"]),
            Route("/accounts/{name}/ids/reset", self.reset_ids, methods=["POST"]),
            Route("/accounts/{name}/zone", self.accept_zone, methods=["POST"]),
            Route("/accounts/{name}/binds/{number:int}/{action}", self.control_bind, methods=["POST"]),
            *(
                Route(f"/accounts/{{name}}/{action}", self._switch(action), methods=["POST"])
                for action in ACCOUNT_ACTIONS
            ),
        ]

    async def index(self, request: Request) -> Response:
        """Accounts, their channels and binds, as they are now."""
        visit = visit_of(request)
        if not (visit.may(Action.MANAGE_CHANNELS) or visit.may(Action.VIEW_CHANNELS)):
            raise Forbidden(_("Your role may not view channels."))
        manage = visit.actor.may(Action.MANAGE_CHANNELS)
        accounts: list[dict[str, Any]] = []
        reachable = True
        try:
            if wants_json(request):
                listed = await self.services.channels.all()
                if not manage:  # what the page shows them
                    listed = [msgspec.structs.replace(one, settings={}) for one in listed]
                return json_answer({"channels": listed})
            if manage:
                accounts = [account_view(one) for one in await self.services.channels.accounts(visit.actor)]
            else:
                accounts = grouped(await self.services.channels.all())
        except EngineUnavailable:
            if wants_json(request):
                raise
            reachable = False
        return await self.pages.page(
            request, visit, "channels/list.html", accounts=accounts, manage=manage, engine_down=not reachable
        )

    async def show(self, request: Request) -> Response:
        """One account: its binds, its channels, what differs from the defaults, who changed it."""
        return await self._page(request, visit_of(request), None, 200)

    async def test(self, request: Request) -> Response:
        """Bind beside what is bound, look at what the SMSC says, unbind. Nothing is sent."""
        visit = visit_of(request)
        report = await self.services.channels.test_account(visit.actor, request.path_params["name"])
        if wants_json(request):
            return json_answer({"report": report})
        return await self._page(request, visit, report, 200)

    async def clone(self, request: Request) -> Response:
        """A copy under another name, with its secrets, disabled."""
        visit, form = visit_of(request), await read_form(request)
        name = form.get("name", "").strip()
        account = await self.services.channels.clone_account(visit.actor, request.path_params["name"], name)
        return _answer(request, account_href(account.name), "cloned")

    async def reset_ids(self, request: Request) -> Response:
        """Forget what the receipts taught about message ids."""
        visit, name = visit_of(request), request.path_params["name"]
        await self.services.channels.reset_ids(visit.actor, name)
        return _answer(request, account_href(name), "ids-reset")

    async def accept_zone(self, request: Request) -> Response:
        """Take the proposed time zone of the receipts' dates."""
        visit, name = visit_of(request), request.path_params["name"]
        form, channels = await read_form(request), self.services.channels
        account = await channels.account(visit.actor, name)
        described = [one for one in await channels.account_settings(visit.actor) if one.name == "receipt_tz"]
        chosen = {"s.receipt_tz": form.get("zone", "")}
        settings, _secrets = read_settings(described, chosen, account.settings)
        version = whole(form.get("version")) or account.version
        await channels.change_account(visit.actor, name, version, {"settings": settings})
        return _answer(request, account_href(name), "account-saved")

    async def control_bind(self, request: Request) -> Response:
        """Rebind, drain or undrain one bind."""
        visit, name, action = visit_of(request), request.path_params["name"], request.path_params["action"]
        visit.actor.require(Action.MANAGE_CHANNELS)
        if action not in BIND_ACTIONS:
            raise NotFound("action")
        await self.services.channels.control_bind(visit.actor, name, request.path_params["number"], action)
        return _answer(request, account_href(name), BIND_ACTIONS[action])

    def _switch(self, action: str) -> Callable[[Request], Awaitable[Response]]:
        return functools.partial(self._switched, action)

    async def _switched(self, action: str, request: Request) -> Response:
        """Enable, disable, drain or undrain an account, as the path says."""
        visit, name = visit_of(request), request.path_params["name"]
        channels = self.services.channels
        if action in ("drain", "undrain"):
            await channels.drain(visit.actor, name, drained=action == "drain")
        else:
            account = await channels.account(visit.actor, name)
            version = whole((await read_form(request)).get("version")) or account.version
            await channels.change_account(visit.actor, name, version, {"enabled": action == "enable"})
        said = {"enable": "enabled", "disable": "disabled", "drain": "drained", "undrain": "undrained"}
        return _answer(request, account_href(name), said[action])

    async def _page(
        self, request: Request, visit: Visit, report: schema.BindReport | None, status: int
    ) -> Response:
        name, channels = request.path_params["name"], self.services.channels
        account = await channels.account(visit.actor, name)
        if wants_json(request):
            return json_answer({"account": account})
        over = [one for one in await channels.all() if one.account == name]
        return await self.pages.page(
            request,
            visit,
            "channels/account.html",
            status,
            account=account_view(account),
            facts=setting_facts(await channels.account_settings(visit.actor), account.settings),
            over=[{"name": one.name, "href": channel_href(one.name), "enabled": one.enabled} for one in over],
            ids=ids_view(await channels.ids(visit.actor, name)),
            report=report_view(report) if report is not None else None,
            size=stop_sentence(account.channels),
            activity=history_view(await channels.history(visit.actor, "account", name)),
        )


def _answer(request: Request, path: str, done: str) -> Response:
    if wants_json(request):
        return json_answer({"location": path})
    return go(f"{path}?done={done}")
