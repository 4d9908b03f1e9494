"""The console put together: its pages' routes, its middleware, and how its errors look."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any
from weakref import WeakValueDictionary

from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from control_plane.errors import ControlPlaneError
from control_plane.services import Services
from control_plane.web.access_table import guarded
from control_plane.web.account_form import AccountForms
from control_plane.web.archive import ArchivePages
from control_plane.web.assets import Assets
from control_plane.web.audit import AuditPages
from control_plane.web.banner import Banner
from control_plane.web.campaign_channels import CampaignChannels
from control_plane.web.campaigns import CampaignPages
from control_plane.web.channel_form import ChannelForms
from control_plane.web.channels import ChannelPages
from control_plane.web.doubts import DoubtPages
from control_plane.web.dry_run import DryRuns
from control_plane.web.erasure import PeoplePages
from control_plane.web.error_maps import ErrorMapPages
from control_plane.web.exports import ExportPages
from control_plane.web.feed import Feeds
from control_plane.web.join import JoinPages
from control_plane.web.joining import JoiningPages
from control_plane.web.live import LivePages
from control_plane.web.login import Login
from control_plane.web.measure import Measures
from control_plane.web.members import MemberPages
from control_plane.web.middleware import BodyLimit, RequestId, SameOrigin, SecurityHeaders
from control_plane.web.moderation import ModerationPages
from control_plane.web.overview import Overview
from control_plane.web.prices import PricePages
from control_plane.web.problems import Problem, Problems
from control_plane.web.pulse import Pulse
from control_plane.web.render import Pages
from control_plane.web.routing import RoutePages
from control_plane.web.senders import SenderPages
from control_plane.web.session import Sessions, Visit
from control_plane.web.stop import StopPages
from control_plane.web.tabs import Tabs
from control_plane.web.templates_pages import TemplatePages
from control_plane.web.traces import TracePages
from control_plane.web.traffic import TrafficPages
from control_plane.web.uploads import Uploads
from control_plane.web.users import UserPages
from control_plane.web.wallets import WalletPages
from control_plane.web.workspaces import WorkspacePages


class Console:
    """Everything the pages share, made once for a process."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.assets = Assets()
        self.feeds = Feeds(services.stopping)
        self.banner = Banner(services)
        self.pages = Pages(self.assets, Pulse(services.core), self.banner)

    @property
    def routes(self) -> list[BaseRoute]:
        services, pages = self.services, self.pages
        measures, dry_runs = Measures(services, pages), DryRuns(services)
        over = CampaignChannels(services)
        live = LivePages(services, pages, self.feeds, Tabs(services), over)
        campaigns = CampaignPages(services, pages, live, dry_runs)
        workspaces = WorkspacePages(services, pages)
        icon = RedirectResponse(self.assets.url("favicon.svg"), 301)

        async def favicon(_request: Request) -> Response:
            """Where browsers look for the icon."""
            return icon

        every = [
            *Login(services, pages).routes,
            *Overview(services, pages, workspaces).routes,
            *workspaces.routes,
            *JoinPages(services, pages).routes,
            *JoiningPages(services, pages).routes,  # before /members/{id}: "joining" is no member
            *UserPages(services, pages).routes,
            *MemberPages(services, pages).routes,
            *measures.routes,  # before /campaigns/{id}: "measure" is no campaign
            *campaigns.routes,
            *Uploads(services, pages).routes,
            *live.routes,
            *ArchivePages(services, pages).routes,
            *ExportPages(services, pages).routes,
            *PeoplePages(services, pages).routes,
            *ModerationPages(services, pages, dry_runs, over).routes,
            *SenderPages(services, pages).routes,
            *TemplatePages(services, pages).routes,
            *AccountForms(
                services, pages
            ).routes,  # before /accounts/{name}: "new" and "test" are no accounts
            *ChannelPages(services, pages).routes,
            *ChannelForms(services, pages).routes,
            *ErrorMapPages(services, pages).routes,
            *RoutePages(services, pages).routes,
            *WalletPages(services, pages).routes,
            *PricePages(services, pages).routes,
            *DoubtPages(services, pages).routes,
            *TrafficPages(services, pages).routes,
            *TracePages(services, pages).routes,
            *AuditPages(services, pages).routes,
            *StopPages(services, pages, self.banner).routes,
            Route("/favicon.ico", favicon),
            Route("/static/{path:path}", self.assets),
        ]
        return guarded(every, services)

    @property
    def middleware(self) -> list[Middleware]:
        return [
            Middleware(RequestId),
            Middleware(SecurityHeaders),
            Middleware(GZipMiddleware, minimum_size=1024, compresslevel=6),
            Middleware(Problems, page=self._problem_page, fragment=self._problem_fragment),
            Middleware(SameOrigin),
            Middleware(BodyLimit),
            Middleware(Sessions, services=self.services),
        ]

    async def _problem_page(self, request: Request, problem: Problem) -> Response:
        visit = getattr(request.state, "visit", None)
        if isinstance(visit, Visit) and not visit.actor.must_set_password:
            # The frame around the page may need the store that just failed.
            with suppress(ControlPlaneError):
                return await self.pages.page(request, visit, "error.html", problem.status, problem=problem)
        return self.pages.alone(request, "error.html", problem.status, problem=problem)

    async def _problem_fragment(self, request: Request, problem: Problem) -> Response:
        return self.pages.alone(request, "parts/problem_fragment.html", problem.status, problem=problem)


# A console lives as long as its routes do; it holds its services, so their id cannot come again before.
_consoles: WeakValueDictionary[int, Console] = WeakValueDictionary()


def _console(services: Services) -> Console:
    console = _consoles.get(id(services))
    if console is None:
        console = _consoles[id(services)] = Console(services)
    return console


def routes(services: Services) -> list[BaseRoute]:
    return _console(services).routes


def middleware(services: Services) -> list[Middleware]:
    return _console(services).middleware


def exception_handlers(
    _services: Services,
) -> Mapping[Any, Callable[[Request, Exception], Awaitable[Response]]]:
    """Starlette's own answers give way to the middleware's."""

    async def leave(_request: Request, error: Exception) -> Response:
        raise error

    return {HTTPException: leave}
