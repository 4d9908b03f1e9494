"""What each route of the console asks for, and the guard that asks it before the page is reached.

A route without a line here is not served: the console does not start. `docs/roles.md` and
tests/system/test_access_matrix.py are made of this table. What a page shows of one thing or another (a
campaign that is somebody else's, a decision on one's own) its service asks again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from control_plane.access import INSTALLATION, Action, Member
from control_plane.errors import Forbidden
from control_plane.services import Services
from control_plane.web.session import Visit, visit_of


@dataclass(frozen=True)
class Needs:
    """One of the actions; none: a session is enough, or nothing where it is `public`.

    `anywhere`: in any of one's workspaces, not only in the present one.
    """

    actions: tuple[Action, ...] = ()
    public: bool = False
    anywhere: bool = False

    @property
    def of_a_workspace(self) -> bool:
        """Whether the page shows a workspace's own."""
        return not self.anywhere and bool(self.actions) and INSTALLATION.isdisjoint(self.actions)

    def allow(self, visit: Visit) -> bool:
        if not self.actions:
            return True
        if self.anywhere and any(member.may(one) for one in self.actions for member in _members(visit)):
            return True
        return any(visit.may(one) for one in self.actions)

    def require(self, visit: Visit) -> None:
        """Forbidden with the reason; ChooseWorkspace for a Super Admin outside of the workspace it is of."""
        if self.allow(visit):
            return
        if all(one in INSTALLATION for one in self.actions):
            visit.actor.require(self.actions[0])
        elif not self.anywhere:
            visit.member.require(next(one for one in self.actions if one not in INSTALLATION))
        raise Forbidden(f"Your role may not {self.actions[0]}.")


def _members(visit: Visit) -> list[Member]:
    return [
        Member(actor=visit.actor, workspace_id=workspace_id, membership=membership)
        for workspace_id, membership in visit.actor.memberships.items()
    ]


PUBLIC = Needs(public=True)
SESSION = Needs()


def _needs(*actions: Action) -> Needs:
    return Needs(actions)


_LOOK, _WRITE = _needs(Action.VIEW_CAMPAIGNS), _needs(Action.EDIT_CAMPAIGNS)
_CONTROL, _DECIDE = _needs(Action.CONTROL_CAMPAIGNS), _needs(Action.DECIDE_CAMPAIGNS)
_CHANNELS, _TRAFFIC = _needs(Action.MANAGE_CHANNELS), _needs(Action.VIEW_TRAFFIC)
_MONEY, _WORKSPACES = _needs(Action.MANAGE_MONEY), _needs(Action.MANAGE_WORKSPACES)
_SEE_CHANNELS = _needs(Action.VIEW_CHANNELS, Action.MANAGE_CHANNELS)
_STOP = Needs((Action.STOP_WORKSPACE, Action.STOP_EVERYTHING), anywhere=True)
_MEMBERS = _needs(Action.MANAGE_MEMBERS)
_ARCHIVE, _EXPORT = _needs(Action.ARCHIVE_CAMPAIGNS), _needs(Action.EXPORT_RECORDS)
_SENDERS, _REQUEST = _needs(Action.VIEW_SENDERS), _needs(Action.PROPOSE_SENDERS)
_JUDGE_SENDERS = _needs(Action.DECIDE_SENDERS)
_SHELVE = _needs(Action.DECIDE_SENDERS, Action.PROPOSE_SENDERS)  # one's own that nobody decided: its author
_TEMPLATES, _COMPOSE = _needs(Action.VIEW_TEMPLATES), _needs(Action.EDIT_TEMPLATES)
_JUDGE_TEMPLATES = _needs(Action.DECIDE_TEMPLATES)
_AUDIT = _needs(Action.VIEW_AUDIT)
_ERASE = _needs(Action.ERASE_PEOPLE)
_USERS = _needs(Action.MANAGE_USERS)

TABLE: Mapping[str, Needs] = {
    "GET /login": PUBLIC,
    "POST /login": PUBLIC,
    "GET /login/code": PUBLIC,
    "POST /login/code": PUBLIC,
    "GET /join": PUBLIC,
    "POST /join": PUBLIC,
    "GET /reset": PUBLIC,
    "POST /reset": PUBLIC,
    "GET /reset/password": PUBLIC,
    "POST /reset/password": PUBLIC,
    "POST /theme": PUBLIC,
    "GET /favicon.ico": PUBLIC,
    "GET /static/{path:path}": PUBLIC,
    "POST /logout": PUBLIC,  # also with a session that nobody can confirm: it ends all the same
    "GET /password": SESSION,
    "POST /password": SESSION,
    "GET /account": SESSION,
    "GET /account/totp": SESSION,
    "POST /account/totp": SESSION,
    "GET /account/totp/image": SESSION,
    "POST /account/totp/disable": SESSION,
    "POST /account/requests": SESSION,
    "POST /account/sessions/others/revoke": SESSION,
    "POST /account/sessions/{id}/revoke": SESSION,
    "POST /workspace": SESSION,
    "GET /": SESSION,
    "GET /pulse": SESSION,
    "GET /campaigns": _LOOK,
    "POST /campaigns": _WRITE,
    "GET /campaigns/new": _WRITE,
    "POST /campaigns/measure": _WRITE,
    "GET /campaigns/{id}": _LOOK,
    "POST /campaigns/{id}": _WRITE,
    "POST /campaigns/{id}/measure": _WRITE,
    "GET /campaigns/{id}/review": _WRITE,
    "GET /campaigns/{id}/dry-run": _LOOK,
    "POST /campaigns/{id}/submit": _WRITE,
    "POST /campaigns/{id}/withdraw": _WRITE,
    "POST /campaigns/{id}/delete": _WRITE,
    "PUT /campaigns/{id}/recipients": _WRITE,
    "GET /campaigns/{id}/recipients": _LOOK,
    "POST /campaigns/{id}/recipients/discard": _WRITE,
    "GET /campaigns/{id}/columns": _LOOK,
    "GET /campaigns/{id}/status": _LOOK,
    "GET /campaigns/{id}/events": _LOOK,
    "GET /campaigns/{id}/series": _LOOK,
    "GET /campaigns/{id}/channels": _LOOK,
    "GET /campaigns/{id}/actions": _LOOK,
    "POST /campaigns/{id}/pause": _CONTROL,
    "POST /campaigns/{id}/resume": _CONTROL,
    "POST /campaigns/{id}/cancel": _CONTROL,
    "POST /campaigns/{id}/archive": _ARCHIVE,
    "GET /campaigns/{id}/restore": _ARCHIVE,
    "POST /campaigns/{id}/restore": _ARCHIVE,
    "GET /archive": _LOOK,
    "GET /exports": _EXPORT,
    "POST /exports": _EXPORT,
    "GET /exports/new": _EXPORT,
    "GET /exports/{id}/file": _EXPORT,
    "POST /exports/{id}/remove": _EXPORT,
    "GET /people-data": _ERASE,
    "POST /people-data/find": _ERASE,
    "POST /people-data/records": _ERASE,
    "POST /people-data/erase": _ERASE,
    "GET /people-data/erasures/{id}": _ERASE,
    "GET /people-data/erasures/{id}/certificate": _ERASE,
    "GET /moderation": _DECIDE,
    "GET /moderation/{id}": _DECIDE,
    "GET /moderation/{id}/dry-run": _DECIDE,
    "POST /moderation/{id}/approve": _DECIDE,
    "POST /moderation/{id}/reject": _DECIDE,
    "GET /doubts": _LOOK,
    "POST /doubts/resolve": _needs(Action.RESOLVE_DOUBTS),
    "GET /moderation/{id}/texts": _DECIDE,
    "GET /moderation/senders/{id}": _JUDGE_SENDERS,
    "POST /moderation/senders/{id}/approve": _JUDGE_SENDERS,
    "POST /moderation/senders/{id}/reject": _JUDGE_SENDERS,
    "GET /moderation/templates/{id}": _JUDGE_TEMPLATES,
    "POST /moderation/templates/{id}/approve": _JUDGE_TEMPLATES,
    "POST /moderation/templates/{id}/reject": _JUDGE_TEMPLATES,
    "GET /senders": _SENDERS,
    "POST /senders": _REQUEST,
    "GET /senders/new": _REQUEST,
    "GET /senders/{id}": _SENDERS,
    "POST /senders/{id}": _REQUEST,
    "GET /senders/{id}/edit": _REQUEST,
    "POST /senders/{id}/submit": _REQUEST,
    "POST /senders/{id}/withdraw": _REQUEST,
    "POST /senders/{id}/archive": _SHELVE,
    "POST /senders/{id}/restore": _SHELVE,
    "GET /templates": _TEMPLATES,
    "POST /templates": _COMPOSE,
    "GET /templates/new": _COMPOSE,
    "POST /templates/measure": _COMPOSE,
    "GET /templates/{id}": _TEMPLATES,
    "POST /templates/{id}": _COMPOSE,
    "GET /templates/{id}/edit": _COMPOSE,
    "POST /templates/{id}/withdraw": _COMPOSE,
    "GET /wallet": _needs(Action.VIEW_WALLET),
    "GET /audit": _AUDIT,
    "GET /audit/export": _AUDIT,
    "GET /members": _needs(Action.VIEW_MEMBERS),
    "GET /members/joining": _MEMBERS,
    "POST /members/invitations": _MEMBERS,
    "POST /members/invitations/{id}/send": _MEMBERS,
    "POST /members/invitations/{id}/revoke": _MEMBERS,
    "POST /members/requests/{id}/accept": _MEMBERS,
    "POST /members/requests/{id}/reject": _MEMBERS,
    "GET /members/{id}": _needs(Action.VIEW_MEMBERS),
    "POST /members/{id}": _MEMBERS,
    "POST /members/{id}/remove": _MEMBERS,
    "GET /settings": _needs(Action.MANAGE_WORKSPACE),
    "POST /settings": _needs(Action.MANAGE_WORKSPACE),
    "GET /stop": _STOP,
    "POST /stop": _STOP,
    "POST /stop/{id}/lift": _STOP,
    "GET /channels": _SEE_CHANNELS,
    "GET /routes": _SEE_CHANNELS,
    "GET /routes/explain": _SEE_CHANNELS,
    "POST /routes/explain": _SEE_CHANNELS,
    "POST /routes": _CHANNELS,
    "GET /routes/new": _CHANNELS,
    "GET /routes/{id:int}": _CHANNELS,
    "POST /routes/{id:int}": _CHANNELS,
    "POST /routes/{id:int}/enable": _CHANNELS,
    "POST /routes/{id:int}/disable": _CHANNELS,
    "POST /routes/{id:int}/delete": _CHANNELS,
    "POST /accounts": _CHANNELS,
    "GET /accounts/new": _CHANNELS,
    "POST /accounts/test": _CHANNELS,
    "GET /accounts/{name}": _CHANNELS,
    "POST /accounts/{name}": _CHANNELS,
    "GET /accounts/{name}/edit": _CHANNELS,
    "POST /accounts/{name}/test": _CHANNELS,
    "POST /accounts/{name}/clone": _CHANNELS,
    "POST /accounts/{name}/ids/reset": _CHANNELS,
    "POST /accounts/{name}/zone": _CHANNELS,
    "POST /accounts/{name}/binds/{number:int}/{action}": _CHANNELS,
    "POST /accounts/{name}/enable": _CHANNELS,
    "POST /accounts/{name}/disable": _CHANNELS,
    "POST /accounts/{name}/drain": _CHANNELS,
    "POST /accounts/{name}/undrain": _CHANNELS,
    "POST /channels": _CHANNELS,
    "GET /channels/new": _CHANNELS,
    "GET /channels/{name}": _CHANNELS,
    "POST /channels/{name}": _CHANNELS,
    "GET /channels/{name}/edit": _CHANNELS,
    "POST /channels/{name}/clone": _CHANNELS,
    "POST /channels/{name}/enable": _CHANNELS,
    "POST /channels/{name}/disable": _CHANNELS,
    "POST /channels/{name}/test-message": _CHANNELS,
    "GET /channels/{name}/errors": _CHANNELS,
    "POST /channels/{name}/errors": _CHANNELS,
    "POST /channels/{name}/errors/forget": _CHANNELS,
    "POST /channels/{name}/errors/import": _CHANNELS,
    "POST /channels/{name}/reset": _CHANNELS,
    "GET /orphans": _TRAFFIC,
    "POST /orphans/retry": _TRAFFIC,
    "GET /inbound": _TRAFFIC,
    "GET /traces": _TRAFFIC,
    "POST /traces": _TRAFFIC,
    "GET /traces/{id:int}": _TRAFFIC,
    "POST /traces/{id:int}/end": _TRAFFIC,
    "GET /wallets": _MONEY,
    "GET /wallets/{id}": _MONEY,
    "POST /wallets/{id}/transactions": _MONEY,
    "GET /prices": _MONEY,
    "POST /prices": _MONEY,
    "GET /prices/{version:int}": _MONEY,
    "GET /users": _USERS,
    "GET /users/{id}": _USERS,
    "POST /users/{id}/disable": _USERS,
    "POST /users/{id}/enable": _USERS,
    "POST /users/{id}/super-admin": _USERS,
    "POST /users/{id}/membership": _USERS,
    "POST /users/{id}/password": _USERS,
    "POST /users/{id}/totp/reset": _USERS,
    "GET /workspaces": _WORKSPACES,
    "POST /workspaces": _WORKSPACES,
    "GET /workspaces/new": _WORKSPACES,
    "GET /workspaces/{id}": _WORKSPACES,
    "POST /workspaces/{id}/rename": _WORKSPACES,
    "POST /workspaces/{id}/suspend": _WORKSPACES,
    "POST /workspaces/{id}/resume": _WORKSPACES,
}
# Of the port for health and metrics, which knows no sessions: keep it to the network of the operators.
API_TABLE: Mapping[str, Needs] = {"GET /healthz": PUBLIC, "GET /readyz": PUBLIC, "GET /metrics": PUBLIC}


def keys(route: Route) -> list[str]:
    """`GET /campaigns`; a route without methods is one that is looked at."""
    return [f"{method} {route.path}" for method in sorted((route.methods or {"GET"}) - {"HEAD"})]


class Guard:
    """Asks before the route is reached; a Super Admin's look at a tenant's page goes to its audit first."""

    def __init__(self, app: ASGIApp, needs: Needs, services: Services) -> None:
        self.app = app
        self.needs = needs
        self.services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = visit_of(Request(scope))
        self.needs.require(visit)
        if self.needs.of_a_workspace and visit.workspace is not None and scope["method"] != "POST":
            await self.services.looks.at(visit.member, scope["path"])  # what is changed tells of itself
        await self.app(scope, receive, send)


def guarded(routes: Iterable[BaseRoute], services: Services) -> list[BaseRoute]:
    """The routes, each behind what its line of the table asks for. LookupError names those without one."""
    found = [route for route in routes if isinstance(route, Route)]
    missing = [key for route in found for key in keys(route) if key not in TABLE]
    if missing:
        raise LookupError(f"no line in web/access_table.py: {', '.join(missing)}")
    for route in found:
        (needs,) = {TABLE[key] for key in keys(route)}
        if not needs.public:
            route.app = Guard(route.app, needs, services)
    return [*found]
