"""Logging in and out, the first password, and what a browser prefers."""

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control_plane.errors import Forbidden, Invalid
from control_plane.identity.model import CodeNeeded, LockedOut, LoggedIn
from control_plane.services import Services
from control_plane.web.account import AccountPages
from control_plane.web.answers import go, json_answer, wants_json
from control_plane.web.forms import local_path, read_form
from control_plane.web.problems import Problem, problem_json
from control_plane.web.render import THEME_COOKIE, THEMES, Pages
from control_plane.web.session import SESSION_COOKIE, WORKSPACE_COOKIE, keep_session, visit_of
from control_plane.web.totp import TotpPages, keep_step
from control_plane.web.translation import _

YEAR_S = 365 * 24 * 3600


class Login:
    def __init__(self, services: Services, pages: Pages) -> None:
        self.services = services
        self.pages = pages
        self.account = AccountPages(services, pages)

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/login", self.show, methods=["GET"]),
            Route("/login", self.login, methods=["POST"]),
            Route("/logout", self.logout, methods=["POST"]),
            Route("/password", self.show_password, methods=["GET"]),
            Route("/password", self.set_password, methods=["POST"]),
            Route("/theme", self.theme, methods=["POST"]),
            *self.account.routes,
            *TotpPages(self.services, self.pages).routes,
        ]

    async def show(self, request: Request) -> Response:
        """The login form."""
        token = request.cookies.get(SESSION_COOKIE)
        if await self.services.identity.actor(token) is not None:
            return go("/")
        wanted = local_path(request.query_params.get("next", ""))
        return self.pages.alone(request, "login.html", next=wanted, email="", locked_s=0, refused=False)

    async def login(self, request: Request) -> Response:
        """Log in: a session cookie and a redirect, or why not."""
        form = await read_form(request)
        email, wanted = form.get("email", "").strip(), local_path(form.get("next", ""))
        outcome = await self.services.identity.login(
            email,
            form.get("password", ""),
            address=request.client.host if request.client else "",
            user_agent=request.headers.get("user-agent", ""),
            previous_token=request.cookies.get(SESSION_COOKIE),
        )
        if isinstance(outcome, LoggedIn):
            target = "/password" if outcome.must_set_password else wanted
            response = json_answer({"location": target}) if wants_json(request) else go(target)
            keep_session(response, self.services, outcome.token)
            return response
        if isinstance(outcome, CodeNeeded):
            target = f"/login/code?next={quote(wanted, safe='')}"
            response = json_answer({"location": target}, 202) if wants_json(request) else go(target)
            keep_step(response, self.services, outcome.token)
            return response
        locked_s = outcome.seconds_left if isinstance(outcome, LockedOut) else 0
        status = 429 if locked_s else 401
        if wants_json(request):
            problem = Problem(
                status, "locked-out" if locked_s else "wrong-login", _("Not logged in"),
                extra={"seconds_left": locked_s} if locked_s else {},
            )  # fmt: skip
            response = problem_json(problem, request.state.request_id)
        else:
            response = self.pages.alone(
                request,
                "login.html",
                status,
                next=wanted,
                email=email,
                locked_s=locked_s,
                refused=not locked_s,
            )
        if locked_s:
            response.headers["retry-after"] = str(locked_s)
        return response

    async def logout(self, request: Request) -> Response:
        """End this session."""
        await self.services.identity.logout(request.cookies.get(SESSION_COOKIE))
        response = go("/login?done=logged-out")
        for name in (SESSION_COOKIE, WORKSPACE_COOKIE):
            response.delete_cookie(name)
        return response

    async def show_password(self, request: Request) -> Response:
        """The form to choose a password of one's own."""
        return await self._password_page(request, {}, 200)

    async def set_password(self, request: Request) -> Response:
        """Change the password; every other session ends."""
        visit = visit_of(request)
        form = await read_form(request)
        current, new = form.get("current", ""), form.get("new", "")
        if new != form.get("again", ""):
            return await self._password_page(request, {"again": _("The two are not the same.")}, 422)
        old = None if visit.actor.must_set_password else current
        try:
            renewed = await self.services.identity.set_password(visit.actor, old, new)
        except Invalid as error:
            if wants_json(request):
                raise
            errors = {("current" if name == "old" else name): line for name, line in error.errors.items()}
            return await self._password_page(request, errors, 422)
        except Forbidden as error:  # locked after wrong guesses at the present one
            if wants_json(request):
                raise
            return await self._password_page(request, {"current": str(error)}, 429)
        response = go("/?done=password")
        keep_session(response, self.services, renewed.token)
        return response

    async def _password_page(self, request: Request, errors: dict[str, str], status: int) -> Response:
        visit = visit_of(request)
        if not visit.actor.must_set_password:
            return await self.account.page(request, errors, status)
        return self.pages.alone(
            request, "password.html", status, actor=visit.actor, first=True, errors=errors
        )

    async def theme(self, request: Request) -> Response:
        """Light, dark or as the system has it, kept in a cookie."""
        form = await read_form(request)
        response = go(local_path(form.get("back", "")))
        if form.get("theme") in THEMES:
            response.set_cookie(
                THEME_COOKIE, form["theme"], max_age=YEAR_S, samesite="lax",
                secure=self.services.settings.secure_cookies,
            )  # fmt: skip
        return response
