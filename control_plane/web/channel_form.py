"""A channel over an account: its page, its message settings, a test message with its outcome."""

import re
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control_plane.access import Action
from control_plane.channels.settings_form import read_settings
from control_plane.errors import Conflict, Invalid
from control_plane.services import Services
from control_plane.web.answers import go, json_answer, wants_json
from control_plane.web.channel_views import account_href, channel_href, history_view, test_view
from control_plane.web.forms import read_form, whole
from control_plane.web.render import Pages
from control_plane.web.session import Visit, visit_of
from control_plane.web.settings_fields import setting_facts, setting_groups
from control_plane.web.translation import _
from control_plane.workspaces.numbers import masked
from engine.core_api import schema

TESTS_SHOWN = 5
MSISDN = re.compile(r"\+?[1-9]\d{6,14}")
SENDER = re.compile(r"[\x20-\x7e]{1,20}")


class ChannelForms:
    def __init__(self, services: Services, pages: Pages) -> None:
        self.services = services
        self.pages = pages

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/channels/new", self.new, methods=["GET"]),
            Route("/channels", self.create, methods=["POST"]),
            Route("/channels/{name}", self.show, methods=["GET"]),
            Route("/channels/{name}", self.save, methods=["POST"]),
            Route("/channels/{name}/edit", self.edit, methods=["GET"]),
            Route("/channels/{name}/clone", self.clone, methods=["POST"]),
            Route("/channels/{name}/enable", self.enable, methods=["POST"]),
            Route("/channels/{name}/disable", self.disable, methods=["POST"]),
            Route("/channels/{name}/test-message", self.test_message, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """One channel: what its messages get, test messages and their outcome, who changed it."""
        return await self._show(request, visit_of(request), {}, {}, 200)

    async def new(self, request: Request) -> Response:
        """The form for a new channel over an account."""
        visit = visit_of(request)
        visit.actor.require(Action.MANAGE_CHANNELS)
        values = {"account": request.query_params.get("account", "")}
        return await self._form(request, visit, None, values, {}, {}, {}, 200)

    async def edit(self, request: Request) -> Response:
        """The form of a channel that is there."""
        visit = visit_of(request)
        channel = await self.services.channels.channel(visit.actor, request.path_params["name"])
        values = {"account": channel.account, "version": str(channel.version)}
        return await self._form(request, visit, channel, values, channel.settings, {}, {}, 200)

    async def create(self, request: Request) -> Response:
        """A new channel over an account."""
        visit, form = visit_of(request), await read_form(request)
        channels = self.services.channels
        described = await channels.message_settings(visit.actor)
        try:
            settings, _secrets = read_settings(described, form, {})
            spec = schema.ChannelSpec(
                name=form.get("name", "").strip(), account=form.get("account", ""), settings=settings
            )
            channel = await channels.create_channel(visit.actor, spec)
        except (Invalid, Conflict) as error:
            if wants_json(request):
                raise
            return await self._again(request, visit, None, form, {}, error)
        path = channel_href(channel.name)
        if wants_json(request):
            return json_answer({"name": channel.name, "location": path}, 201)
        return go(f"{path}?done=channel-created")

    async def save(self, request: Request) -> Response:
        """Change a channel; the next messages go out like that."""
        visit, form = visit_of(request), await read_form(request)
        name, channels = request.path_params["name"], self.services.channels
        channel = await channels.channel(visit.actor, name)
        described = await channels.message_settings(visit.actor)
        try:
            settings, _secrets = read_settings(described, form, channel.settings)
            fields = {"account": form.get("account") or channel.account, "settings": settings}
            await channels.change_channel(visit.actor, name, whole(form.get("version")) or 0, fields)
        except (Invalid, Conflict) as error:
            if wants_json(request):
                raise
            return await self._again(request, visit, channel, form, channel.settings, error)
        path = channel_href(name)
        return json_answer({"location": path}) if wants_json(request) else go(f"{path}?done=channel-saved")

    async def clone(self, request: Request) -> Response:
        """A copy under another name."""
        visit, form = visit_of(request), await read_form(request)
        channel = await self.services.channels.clone_channel(
            visit.actor, request.path_params["name"], form.get("name", "").strip()
        )
        path = channel_href(channel.name)
        return json_answer({"location": path}) if wants_json(request) else go(f"{path}?done=channel-created")

    async def enable(self, request: Request) -> Response:
        """Campaigns may choose it again."""
        return await self._switch(request, enabled=True)

    async def disable(self, request: Request) -> Response:
        """Nothing goes out over it any more."""
        return await self._switch(request, enabled=False)

    async def test_message(self, request: Request) -> Response:
        """Send one message, or the test alphabet, to a number; recorded before it is written."""
        visit, form = visit_of(request), await read_form(request)
        name, problems = request.path_params["name"], {}
        visit.actor.require(Action.MANAGE_CHANNELS)
        msisdn = re.sub(r"[\s().-]", "", form.get("msisdn", ""))
        sender, alphabet = form.get("sender", "").strip(), form.get("what") == "alphabet"
        text = form.get("text", "")
        if not MSISDN.fullmatch(msisdn):
            problems["msisdn"] = _("A number with its country code, such as +49 151 12345678.")
        if not SENDER.fullmatch(sender):
            problems["sender"] = _("Up to 11 letters and digits, or a number.")
        if not alphabet and not text.strip():
            problems["text"] = _("Write something, or send the test alphabet.")
        try:
            if problems:
                raise Invalid(problems)
            sent = await self.services.channels.send_test(
                visit.actor, name, msisdn=msisdn, sender=sender, text=text, alphabet=alphabet
            )
        except Invalid as error:
            if wants_json(request):
                raise
            return await self._show(request, visit, form, error.errors, 422)
        if wants_json(request):
            return json_answer({"test_id": sent.test_id, "state": sent.state}, 201)
        return go(f"{channel_href(name)}?done=test-sent")

    async def _switch(self, request: Request, *, enabled: bool) -> Response:
        visit, name = visit_of(request), request.path_params["name"]
        channel = await self.services.channels.channel(visit.actor, name)
        version = whole((await read_form(request)).get("version")) or channel.version
        await self.services.channels.change_channel(visit.actor, name, version, {"enabled": enabled})
        path = channel_href(name)
        if wants_json(request):
            return json_answer({"location": path})
        return go(f"{path}?done={'enabled' if enabled else 'channel-saved'}")

    async def _show(
        self,
        request: Request,
        visit: Visit,
        form: Mapping[str, str],
        errors: Mapping[str, str],
        status: int,
    ) -> Response:
        name, channels = request.path_params["name"], self.services.channels
        channel = await channels.channel(visit.actor, name)
        tests = (await channels.tests(visit.actor, name))[:TESTS_SHOWN]
        if wants_json(request):
            shown = [test_view(one, masked(one.msisdn)) for one in tests]
            return json_answer({"channel": channel, "tests": shown})
        described = await channels.message_settings(visit.actor)
        return await self.pages.page(
            request,
            visit,
            "channels/channel.html",
            status,
            channel=channel,
            href=channel_href(name),
            account_href=account_href(channel.account),
            facts=setting_facts(described, channel.settings),
            tests=[test_view(one, masked(one.msisdn)) for one in tests],
            form={
                "msisdn": form.get("msisdn", ""),
                "sender": form.get("sender", "Heliograph"),
                "text": form.get("text", _("This is a test.")),
                "what": form.get("what", "text"),
            },
            errors=errors,
            activity=history_view(await channels.history(visit.actor, "channel", name)),
        )

    async def _again(
        self,
        request: Request,
        visit: Visit,
        channel: schema.Channel | None,
        form: Mapping[str, str],
        settings: schema.Settings,
        error: Invalid | Conflict,
    ) -> Response:
        errors = error.errors if isinstance(error, Invalid) else {"channel": str(error)}
        status = 422 if isinstance(error, Invalid) else 409
        return await self._form(request, visit, channel, form, settings, form, errors, status)

    async def _form(
        self,
        request: Request,
        visit: Visit,
        channel: schema.Channel | None,
        values: Mapping[str, str],
        settings: schema.Settings,
        form: Mapping[str, str],
        errors: Mapping[str, str],
        status: int,
    ) -> Response:
        described = await self.services.channels.message_settings(visit.actor)
        accounts = [one.name for one in await self.services.channels.accounts(visit.actor)]
        shown: set[str] = {"name", "account"}
        for one in described:
            shown |= {one.name, f"s.{one.name}"}
        context: dict[str, Any] = {
            "channel": channel,
            "href": channel_href(channel.name) if channel is not None else "",
            "name": values.get("name", ""),
            "account": values.get("account", ""),
            "accounts": accounts,
            "version": values.get("version", ""),
            "groups": setting_groups(described, settings, form, errors),
            "errors": errors,
            "loose": [line for name, line in errors.items() if name not in shown],
        }
        return await self.pages.page(request, visit, "channels/channel_form.html", status, **context)
