"""The form of an account at an SMSC: its fields, all of its settings, presets, a test before it is kept."""

from collections.abc import Mapping
from typing import Any, get_args

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control_plane.access import Action
from control_plane.channels.channels import check_name
from control_plane.channels.settings_form import read_settings
from control_plane.errors import Changed, Conflict, Invalid
from control_plane.services import Services
from control_plane.web.answers import go, json_answer, wants_json
from control_plane.web.channel_views import VERSIONS, account_href, report_view
from control_plane.web.forms import read_form, whole
from control_plane.web.render import Pages
from control_plane.web.session import Visit, visit_of
from control_plane.web.settings_fields import setting_groups
from control_plane.web.translation import _
from engine.core_api import schema

TEXTS = ("name", "host", "system_id", "system_type", "bind_mode")
NUMBERS = {"port": (1, 65535), "tps": (1, 1_000_000), "binds": (1, 1000), "window_size": (1, 100_000)}
FRESH = {
    **dict.fromkeys(TEXTS, ""),
    "port": "2775",
    "bind_mode": "transceiver",
    "interface_version": str(0x34),
    "tps": "10",
    "binds": "1",
    "window_size": "10",
}


class AccountForms:
    def __init__(self, services: Services, pages: Pages) -> None:
        self.services = services
        self.pages = pages

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/accounts", self.create, methods=["POST"]),
            Route("/accounts/new", self.new, methods=["GET"]),
            Route("/accounts/test", self.test, methods=["POST"]),
            Route("/accounts/{name}/edit", self.edit, methods=["GET"]),
            Route("/accounts/{name}", self.save, methods=["POST"]),
        ]

    async def new(self, request: Request) -> Response:
        """The form for a new SMSC; `preset` fills it with a starting point."""
        visit = visit_of(request)
        visit.actor.require(Action.MANAGE_CHANNELS)
        preset = await self._preset(visit, request.query_params.get("preset", ""))
        values = {**FRESH, **{key: str(value) for key, value in preset.account.items()}}
        return await self._page(request, visit, None, values, preset.settings, {}, {}, preset=preset)

    async def edit(self, request: Request) -> Response:
        """The form of an account that is there. Its secrets are not shown."""
        visit = visit_of(request)
        account = await self.services.channels.account(visit.actor, request.path_params["name"])
        return await self._page(request, visit, account, _values(account), account.settings, {}, {})

    async def create(self, request: Request) -> Response:
        """A new account, and a channel over it unless the form says otherwise."""
        visit, form = visit_of(request), await read_form(request)
        visit.actor.require(Action.MANAGE_CHANNELS)
        channels, channel = self.services.channels, form.get("channel", "").strip()
        preset = await self._preset(visit, form.get("preset", ""))
        try:
            spec = await self._spec(visit, form)
            if channel:
                check_name(channel, "channel")
                if any(one.name == channel for one in await channels.all()):
                    raise Invalid({"channel": _("There is a channel of this name already.")})
            account = await channels.create_account(visit.actor, spec)
        except (Invalid, Conflict) as error:
            if wants_json(request):
                raise
            return await self._again(request, visit, None, form, error, preset)
        path, done = account_href(account.name), "account-created"
        if channel:
            settings = preset.message_settings
            over = schema.ChannelSpec(name=channel, account=account.name, settings=settings)
            try:
                await channels.create_channel(visit.actor, over)
            except (Invalid, Conflict):
                if wants_json(request):
                    raise
                done = "account-alone"
        if wants_json(request):
            return json_answer({"name": account.name, "location": path}, 201)
        return go(f"{path}?done={done}")

    async def save(self, request: Request) -> Response:
        """Change an account; it works without a restart."""
        visit, form = visit_of(request), await read_form(request)
        name, channels = request.path_params["name"], self.services.channels
        account = await channels.account(visit.actor, name)
        try:
            fields = _plain({**_values(account), **form})
            del fields["name"]
            described = await channels.account_settings(visit.actor)
            settings, secrets = read_settings(described, form, account.settings)
            await channels.change_account(
                visit.actor,
                name,
                whole(form.get("version")) or 0,
                {**fields, "settings": settings},
                password=form.get("password", ""),
                secrets=secrets,
            )
        except (Invalid, Conflict) as error:
            if wants_json(request):
                raise
            return await self._again(request, visit, account, form, error, None)
        path = account_href(name)
        return json_answer({"location": path}) if wants_json(request) else go(f"{path}?done=account-saved")

    async def test(self, request: Request) -> Response:
        """Bind with what the form says, before it is kept; nothing is sent."""
        visit, form = visit_of(request), await read_form(request)
        visit.actor.require(Action.MANAGE_CHANNELS)
        try:
            report = await self.services.channels.test_bind(visit.actor, await self._spec(visit, form))
        except Invalid as error:
            if wants_json(request):
                raise
            lines = [*error.errors.values()]
            return self.pages.fragment(request, visit, "channels/report_errors.html", 422, lines=lines)
        if wants_json(request):
            return json_answer({"report": report})
        return self.pages.fragment(request, visit, "channels/report.html", report=report_view(report))

    async def _spec(self, visit: Visit, form: Mapping[str, str]) -> schema.AccountSpec:
        described = await self.services.channels.account_settings(visit.actor)
        fields = _plain({**FRESH, **form})
        if not form.get("password"):
            raise Invalid({"password": _("The SMSC asks for one.")})
        check_name(fields["name"])
        settings, secrets = read_settings(described, form, {})
        try:
            return msgspec.convert(
                {**fields, "password": form["password"], "settings": settings, "secrets": secrets},
                schema.AccountSpec,
            )
        except msgspec.ValidationError as error:
            raise Invalid({"account": str(error)}) from None

    async def _again(
        self,
        request: Request,
        visit: Visit,
        account: schema.Account | None,
        form: Mapping[str, str],
        error: Invalid | Conflict,
        preset: schema.Preset | None,
    ) -> Response:
        """The form as it was sent, with what is wrong beside its field."""
        errors = error.errors if isinstance(error, Invalid) else {"account": str(error)}
        if isinstance(error, Changed):
            errors = {"account": _("Somebody else changed it meanwhile. Open it again to see what.")}
        before = _values(account) if account is not None else FRESH
        present = account.settings if account is not None else {}
        values = {**before, **{key: value for key, value in form.items() if key in FRESH}}
        status = 422 if isinstance(error, Invalid) else 409
        return await self._page(
            request, visit, account, values, present, form, errors, preset=preset, status=status
        )

    async def _page(
        self,
        request: Request,
        visit: Visit,
        account: schema.Account | None,
        values: Mapping[str, str],
        settings: schema.Settings,
        form: Mapping[str, str],
        errors: Mapping[str, str],
        *,
        preset: schema.Preset | None = None,
        status: int = 200,
    ) -> Response:
        described = await self.services.channels.account_settings(visit.actor)
        presets = await self.services.channels.presets(visit.actor) if account is None else []
        secrets_set = account.secrets_set if account is not None else []
        shown = {*FRESH, "password", "channel", *(f"s.{one.name}" for one in described)}
        shown |= {one.name for one in described}
        return await self.pages.page(
            request,
            visit,
            "channels/account_form.html",
            status,
            account=account,
            href=account_href(account.name) if account is not None else "",
            values=values,
            channel_name=form.get("channel"),
            version=form.get("version", account.version if account is not None else ""),
            modes=_modes(),
            versions=[{"value": str(number), "word": word} for number, word in VERSIONS.items()],
            groups=setting_groups(described, settings, form, errors, secrets_set=secrets_set),
            presets=presets,
            preset=preset,
            errors=errors,
            loose=[line for name, line in errors.items() if name not in shown],
        )

    async def _preset(self, visit: Visit, name: str) -> schema.Preset:
        nothing = schema.Preset(
            name="", title="", description="", account={}, settings={}, message_settings={}
        )
        if not name:
            return nothing
        presets = await self.services.channels.presets(visit.actor)
        return next((one for one in presets if one.name == name), nothing)


def _plain(form: Mapping[str, str]) -> dict[str, Any]:
    """The account's own fields. Invalid names those that are wrong."""
    fields: dict[str, Any] = {name: form[name].strip() for name in TEXTS}
    problems = {}
    for name in ("name", "host", "system_id"):
        if not fields[name]:
            problems[name] = _("It is needed.")
    if fields["bind_mode"] not in get_args(schema.BindMode):
        problems["bind_mode"] = _("Choose one of those offered.")
    for name, (least, most) in NUMBERS.items():
        text = form[name].strip()
        if not text.isascii() or not text.isdigit() or not least <= int(text[:9]) <= most:
            limits = {"least": f"{least:,}", "most": f"{most:,}"}
            problems[name] = _("A whole number from %(least)s to %(most)s.") % limits
        else:
            fields[name] = int(text)
    version = form["interface_version"]
    if version not in [str(number) for number in VERSIONS]:
        problems["interface_version"] = _("Choose one of those offered.")
    else:
        fields["interface_version"] = int(version)
    if problems:
        raise Invalid(problems)
    return fields


def _values(account: schema.Account) -> dict[str, str]:
    return {name: str(getattr(account, name)) for name in FRESH}


def _modes() -> list[dict[str, str]]:
    return [
        {"value": "transceiver", "word": _("Transceiver: one session sends and receives")},
        {"value": "pair", "word": _("Pairs: a transmitter and a receiver each")},
        {"value": "transmitter", "word": _("Transmitter only: no receipts come")},
        {"value": "receiver", "word": _("Receiver only: nothing is sent")},
    ]
