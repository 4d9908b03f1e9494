"""Templates: one environment, and what every page is given."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import jinja2
from jinja2.runtime import Context
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from control_plane.access import Action
from control_plane.web import format as show
from control_plane.web.assets import Assets
from control_plane.web.banner import Banner, may_stop
from control_plane.web.forms import local_path
from control_plane.web.pulse import Pulse
from control_plane.web.session import Visit
from control_plane.web.translation import LANGUAGE, RIGHT_TO_LEFT, _, ngettext

TEMPLATES = Path(__file__).resolve().parents[2] / "ui" / "templates"
THEME_COOKIE = "heliograph_theme"
THEMES = ("system", "light", "dark")

# What a redirect may say on the next page: ?done=<key>.
DONE = {
    "created": lambda: _("Saved. Now add the recipients."),
    "saved": lambda: _("Draft saved."),
    "submitted": lambda: _("Submitted. A moderator decides now."),
    "withdrawn": lambda: _("Withdrawn. It is a draft again."),
    "discarded": lambda: _("The file is gone. Choose another."),
    "deleted": lambda: _("The draft and its recipients are deleted."),
    "approved": lambda: _("Approved. The engine starts to send."),
    "rejected": lambda: _("Sent back to its author with your note."),
    "password": lambda: _("Your password is set. Other sessions are logged out."),
    "stopped": lambda: _("Stopped. Nothing more goes out of what it covers."),
    "stop-asked": lambda: _("The engine does not answer; it is asked to stop again and again until it does."),
    "lifted": lambda: _("Lifted. What it held goes on."),
    "account-created": lambda: _("Created. Its binds come up by themselves."),
    "account-alone": lambda: _("Created, but not the channel over it: add that below."),
    "account-saved": lambda: _("Saved. It works without a restart."),
    "cloned": lambda: _("Cloned, and disabled until you enable it."),
    "enabled": lambda: _("Enabled."),
    "disabled": lambda: _("Disabled. Its binds go down."),
    "drained": lambda: _("Draining: no new messages go over it, receipts still come."),
    "undrained": lambda: _("Messages go over it again."),
    "rebound": lambda: _("The bind goes down and comes up again."),
    "ids-reset": lambda: _("Forgotten. Its receipts teach it anew."),
    "channel-created": lambda: _("Created. Campaigns can choose it."),
    "channel-saved": lambda: _("Saved. The next messages go out like that."),
    "test-sent": lambda: _("Handed over. Its outcome appears below."),
    "classified": lambda: _("Classified. The next message with this code is treated so."),
    "unclassified": lambda: _("Back to the built-in table."),
    "imported": lambda: _("The table is imported."),
    "reset": lambda: _("The channel sends again."),
    "resolved": lambda: _("Decided. The figures follow in a moment."),
    "route-created": lambda: _("Created. Campaigns that begin from now on go by it."),
    "route-saved": lambda: _("Saved. Campaigns that begin from now on go by it."),
    "route-enabled": lambda: _("Enabled. Campaigns that begin from now on go by it."),
    "route-disabled": lambda: _("Disabled. Campaigns that have begun keep their plan."),
    "route-deleted": lambda: _("Deleted. Campaigns that have begun keep their plan."),
    "credited": lambda: _("Credited. Campaigns that waited for it go on by themselves."),
    "debited": lambda: _("Debited."),
    "published": lambda: _("Published. Campaigns that start from now on are charged by it."),
    "left": lambda: _("Left as they are."),
    "retried": lambda: _("Their messages are looked for once more."),
    "trace-ended": lambda: _("The trace has ended."),
    "workspace-created": lambda: _("Created. Now invite its first admin."),
    "workspace-rename": lambda: _("Renamed."),
    "workspace-suspend": lambda: _("Suspended. Its people see why, and change nothing."),
    "workspace-resume": lambda: _("Resumed. Its people work again."),
    "settings-saved": lambda: _("Saved."),
    "member-changed": lambda: _("Changed. It counts from their next request on."),
    "member-removed": lambda: _("Removed. Their next request is turned away."),
    "archived": lambda: _("Archived. It is in no list but the archive's."),
    "restored": lambda: _("Restored. It is back in the lists."),
    "export-asked": lambda: _("Asked for. It is written in the background; this page shows how far it is."),
    "export-removed": lambda: _("Removed."),
    "erased": lambda: _("Erased. This is the certificate."),
    "sender-drafted": lambda: _("Draft saved. Submit it when it is ready."),
    "sender-submitted": lambda: _("Submitted. A moderator decides now."),
    "sender-withdrawn": lambda: _("Withdrawn. It is a draft again."),
    "sender-archived": lambda: _("Archived. Nobody can choose it; what was submitted with it goes on."),
    "sender-restored": lambda: _("Restored."),
    "sender-approved": lambda: _("Approved. Campaigns can choose it."),
    "sender-rejected": lambda: _("Rejected. Your note is with it."),
    "template-approved": lambda: _("Approved. Campaigns can choose it."),
    "template-pending": lambda: _("Saved. A moderator decides now."),
    "template-rejected": lambda: _("Rejected. Your note is with it."),
    "template-withdrawn": lambda: _("Withdrawn."),
    "invited": lambda: _("Invited. The e-mail is on its way."),
    "invitation-revoked": lambda: _("Revoked. Its link admits nobody."),
    "request-asked": lambda: _("If there is such a workspace, its admins see your request now."),
    "request-accepted": lambda: _("Accepted. They are a member from their next request on."),
    "request-rejected": lambda: _("Rejected."),
    "joined": lambda: _("Welcome. You are a member now."),
    "password-reset": lambda: _("Your password is set. Log in with it."),
    "login-again": lambda: _("That took too long, or the password changed. Log in again."),
    "totp-off": lambda: _("Codes are off. Logins ask for your password alone."),
    "user-changed": lambda: _("Changed. It counts from their next request on."),
    "session-revoked": lambda: _("Ended. Its next request is turned away."),
    "sessions-revoked": lambda: _("Ended. Only this session is left."),
    "logged-out": lambda: _("You are logged out."),
}


class Pages:
    """Renders templates. One for the process."""

    def __init__(self, assets: Assets, pulse: Pulse, banner: Banner, templates: Path = TEMPLATES) -> None:
        self.pulse = pulse
        self.banner = banner
        self._jinja = jinja2.Environment(
            loader=jinja2.FileSystemLoader(templates),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.i18n"],
            auto_reload=False,
        )
        # The extension's own methods; typeshed does not know them.
        self._jinja.install_gettext_callables(_, ngettext, newstyle=True)  # type: ignore[attr-defined]
        self._jinja.globals.update(
            static=assets.url, lang=LANGUAGE, rtl=LANGUAGE in RIGHT_TO_LEFT, themes=_theme_choices()
        )
        self._jinja.filters.update(
            n=show.number,
            rate=show.rate,
            percent=show.percent,
            money=show.money,
            size=show.size,
            duration=show.duration,
            ago=show.ago,
            exact=_exact,
            rfc3339=show.rfc3339,
        )

    def alone(self, request: Request, template: str, status: int = 200, **context: Any) -> Response:
        """A page for somebody who may not be logged in."""
        return self._answer(request, template, status, {"actor": None, **context})

    async def page(
        self, request: Request, visit: Visit, template: str, status: int = 200, **context: Any
    ) -> Response:
        """A page of the console, with its rail and its bar."""
        return self._answer(request, template, status, {**await self._frame(request, visit), **context})

    def fragment(
        self, request: Request, visit: Visit, template: str, status: int = 200, **context: Any
    ) -> Response:
        """A piece of a page, for htmx."""
        return self._answer(request, template, status, {"actor": visit.actor, "zone": visit.zone, **context})

    def _answer(self, request: Request, template: str, status: int, context: Mapping[str, Any]) -> Response:
        theme = request.cookies.get(THEME_COOKIE, "system")
        theme = theme if theme in THEMES else "system"
        done = DONE.get(request.query_params.get("done", ""))
        shared = {
            "zone": "UTC",
            "theme": theme,
            "theme_next": THEMES[(THEMES.index(theme) + 1) % len(THEMES)],
            "theme_title": _theme_title(theme),
            "path": _here(request),
            "repeatable": request.method in ("GET", "HEAD"),
            "back": _referrer(request),
            "request_id": request.state.request_id,
            "done": done() if done else "",
            "swap_count": False,
            "swap_banner": False,
        }
        # A field without an error has an empty one.
        errors = defaultdict(str, context.get("errors", {}))
        content = self._jinja.get_template(template).render({**shared, **context, "errors": errors})
        return HTMLResponse(content, status, headers={"vary": "hx-request, cookie"})

    async def _frame(self, request: Request, visit: Visit) -> dict[str, Any]:
        queue = await queue_count(visit)
        return {
            "stops": await self.banner.rows(visit),
            "audit_troubles": self.banner.audit(visit),
            "swap_banner": False,
            "may_stop": may_stop(visit),
            "actor": visit.actor,
            "zone": visit.zone,
            "workspace_name": visit.workspace.name if visit.workspace is not None else _("All workspaces"),
            "workspace_id": visit.workspace.id if visit.workspace is not None else None,
            "workspaces": [] if visit.actor.super_admin else visit.workspaces,
            "suspended": visit.workspace
            if visit.workspace is not None and visit.workspace.suspended
            else None,
            "nav": _navigation(visit, request.url.path, queue),
            "pulse": await self.pulse.view(),
            "may": {"edit": visit.may(Action.EDIT_CAMPAIGNS)},
        }


def _here(request: Request) -> str:
    """The address with its filters, without what was said once."""
    query = [(name, value) for name, value in request.query_params.multi_items() if name != "done"]
    return request.url.path + (f"?{urlencode(query)}" if query else "")


def _referrer(request: Request) -> str:
    """The page of this console that a form was sent from; empty where that is not known."""
    came = urlsplit(request.headers.get("referer", ""))
    if came.netloc != request.headers.get("host"):
        return ""
    return local_path(came.path + (f"?{came.query}" if came.query else ""), "")


async def queue_count(visit: Visit) -> int | None:
    """What waits for a decision, for those who may decide."""
    if visit.remembered or not visit.may(Action.DECIDE_CAMPAIGNS):
        return None
    return await visit.services.moderation.waiting(visit.member)


def _navigation(visit: Visit, path: str, queue: int | None) -> list[dict[str, Any]]:
    """The rail: only places that exist and that the role may enter."""

    def place(href: str, icon: str, word: str, count: int | None = None) -> dict[str, Any]:
        here = path == href or (href != "/" and path.startswith(f"{href}/"))
        return {"href": href, "icon": icon, "word": word, "count": count, "here": here}

    start = (
        place("/", "workspaces", _("Workspaces")) | {"here": path == "/" or path.startswith("/workspaces")}
        if visit.actor.super_admin
        else place("/", "overview", _("Overview"))
    )
    send, content, operate, money = [], [], [], []
    sends = visit.workspace is not None and not visit.workspace.master
    if sends and visit.may(Action.VIEW_CAMPAIGNS):
        send.append(place("/campaigns", "campaigns", _("Campaigns")))
    if queue is not None:
        send.append(place("/moderation", "moderation", _("Moderation"), queue))
    if sends and visit.may(Action.VIEW_CAMPAIGNS):
        send.append(place("/doubts", "doubt", _("In doubt")))
    if sends and visit.may(Action.VIEW_TEMPLATES):
        content.append(place("/templates", "file", _("Templates")))
    if sends and visit.may(Action.VIEW_SENDERS):
        content.append(place("/senders", "senders", _("Sender IDs")))
    if visit.may(Action.VIEW_CHANNELS) or visit.may(Action.MANAGE_CHANNELS):
        channels = place("/channels", "channels", _("Channels"))
        channels["here"] = channels["here"] or path.startswith("/accounts/")
        operate.append(channels)
    if visit.may(Action.MANAGE_CHANNELS):
        operate.append(place("/routes", "routes", _("Routes")))
    if visit.may(Action.VIEW_TRAFFIC):
        operate.append(place("/inbound", "inbox", _("Inbound")))
        operate.append(place("/orphans", "back", _("Orphan receipts")))
        operate.append(place("/traces", "trace", _("Traces")))
    if visit.may(Action.EXPORT_RECORDS):
        operate.append(place("/exports", "file", _("Exports")))
    if visit.may(Action.VIEW_CAMPAIGNS):
        operate.append(place("/archive", "square", _("Archive")))
    if visit.may(Action.ERASE_PEOPLE):
        operate.append(place("/people-data", "account", _("People’s data")))
    if visit.may(Action.VIEW_WALLET):
        money.append(place("/wallet", "wallet", _("Wallet")))
    if visit.may(Action.MANAGE_MONEY):
        money.append(place("/wallets", "wallets", _("All wallets")))
        money.append(place("/prices", "prices", _("Prices")))
    groups = [("", [start]), (_("Send"), send), (_("Content"), content), (_("Operate"), operate)]
    groups.append((_("Money"), money))
    own = [place("/audit", "audit", _("Audit"))] if visit.may(Action.VIEW_AUDIT) else []
    if visit.may(Action.VIEW_MEMBERS):
        own.append(place("/members", "members", _("Members")))
    if visit.may(Action.MANAGE_WORKSPACE):
        own.append(place("/settings", "settings", _("Settings")))
    if visit.may(Action.MANAGE_WORKSPACES) and not visit.actor.super_admin:
        own.append(place("/workspaces", "workspaces", _("Workspaces")))
    if visit.may(Action.MANAGE_USERS):
        own.append(place("/users", "account", _("People")))
    groups.append((_("Workspace"), own))
    return [{"title": title, "places": places} for title, places in groups if places]


def _theme_choices() -> list[dict[str, str]]:
    return [
        {"name": "system", "icon": "system", "word": _("System")},
        {"name": "light", "icon": "sun", "word": _("Light")},
        {"name": "dark", "icon": "moon", "word": _("Dark")},
    ]


def _theme_title(theme: str) -> str:
    return {
        "system": _("Theme: as the system. Change to light"),
        "light": _("Theme: light. Change to dark"),
        "dark": _("Theme: dark. Change to the system's"),
    }[theme]


@jinja2.pass_context
def _exact(context: Context, at: datetime) -> str:
    return show.exact(at, context.get("zone", "UTC"))
