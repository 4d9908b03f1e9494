"""Codes of an authenticator app: set up, confirmed, turned off; and the second step of a login."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control_plane.errors import Forbidden, Invalid
from control_plane.identity.model import LockedOut, LoggedIn
from control_plane.identity.totp import qr_image
from control_plane.services import Services
from control_plane.web.answers import go, json_answer, wants_json
from control_plane.web.forms import local_path, read_form
from control_plane.web.problems import Problem, problem_json
from control_plane.web.render import Pages
from control_plane.web.session import SESSION_COOKIE, Visit, keep_session, visit_of
from control_plane.web.translation import _

STEP_COOKIE = "heliograph_login"
STEP_PATH = "/login"
STEP_S = 300


class TotpPages:
    def __init__(self, services: Services, pages: Pages) -> None:
        self.services = services
        self.pages = pages

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/login/code", self.show_code, methods=["GET"]),
            Route("/login/code", self.code, methods=["POST"]),
            Route("/account/totp", self.show, methods=["GET"]),
            Route("/account/totp", self.confirm, methods=["POST"]),
            Route("/account/totp/image", self.image, methods=["GET"]),
            Route("/account/totp/disable", self.disable, methods=["POST"]),
        ]

    # The second step of a login

    async def show_code(self, request: Request) -> Response:
        """The form for the code, after the password."""
        if STEP_COOKIE not in request.cookies:
            return go("/login?done=login-again")
        return self._code_page(request, local_path(request.query_params.get("next", "")))

    async def code(self, request: Request) -> Response:
        """Log in with a code of the app, or a recovery code."""
        form = await read_form(request)
        wanted = local_path(form.get("next", ""))
        outcome = await self.services.identity.login_code(
            request.cookies.get(STEP_COOKIE, ""),
            form.get("code", ""),
            address=request.client.host if request.client else "",
            user_agent=request.headers.get("user-agent", ""),
            previous_token=request.cookies.get(SESSION_COOKIE),
        )
        if isinstance(outcome, LoggedIn):
            target = "/password" if outcome.must_set_password else wanted
            response = json_answer({"location": target}) if wants_json(request) else go(target)
            keep_session(response, self.services, outcome.token)
            response.delete_cookie(STEP_COOKIE, path=STEP_PATH)
            return response
        if outcome is None:
            response = go("/login?done=login-again")
            response.delete_cookie(STEP_COOKIE, path=STEP_PATH)
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
            response = self._code_page(request, wanted, status, locked_s=locked_s, refused=not locked_s)
        if locked_s:
            response.headers["retry-after"] = str(locked_s)
        return response

    def _code_page(
        self, request: Request, wanted: str, status: int = 200, *, locked_s: int = 0, refused: bool = False
    ) -> Response:
        return self.pages.alone(
            request, "totp/code.html", status, next=wanted, locked_s=locked_s, refused=refused
        )

    # One's own account

    async def show(self, request: Request) -> Response:
        """The image to scan and the form to confirm it; or the form to turn codes off."""
        return await self._page(request, {}, 200)

    async def image(self, request: Request) -> Response:
        """The secret as a QR code, until it is confirmed."""
        offer = await self.services.totp.offer(visit_of(request).actor)
        return Response(qr_image(offer.uri), media_type="image/svg+xml")

    async def confirm(self, request: Request) -> Response:
        """Turn codes on, with the password and a first code; shows the recovery codes once."""
        visit, form = visit_of(request), await read_form(request)
        identity, actor = self.services.identity, visit.actor
        try:
            await identity.confirm(actor, form.get("password", ""))
            codes = await identity.confirm_code_within(
                actor, lambda: self.services.totp.confirm(actor, form.get("code", ""))
            )
        except (Invalid, Forbidden) as error:
            return await self._refused(request, error)
        await identity.revoke_others(actor)  # they logged in without a code
        if wants_json(request):
            return json_answer({"recovery_codes": codes})
        return self.pages.alone(request, "totp/recovery.html", codes=codes)

    async def disable(self, request: Request) -> Response:
        """Turn codes off, with the password and a code."""
        visit, form = visit_of(request), await read_form(request)
        identity, actor = self.services.identity, visit.actor
        try:
            await identity.confirm(actor, form.get("password", ""))
            await identity.confirm_code_within(
                actor, lambda: self.services.totp.disable(actor, form.get("code", ""))
            )
        except (Invalid, Forbidden) as error:
            return await self._refused(request, error)
        return go("/account?done=totp-off")

    async def _refused(self, request: Request, error: Invalid | Forbidden) -> Response:
        if wants_json(request):
            raise error
        if isinstance(error, Forbidden):
            return await self._page(request, {"code": str(error)}, 429)
        errors = {("password" if name == "old" else name): line for name, line in error.errors.items()}
        return await self._page(request, errors, 422)

    async def _page(self, request: Request, errors: dict[str, str], status: int) -> Response:
        visit = visit_of(request)
        context: dict[str, Any] = {"errors": errors, "required": required(visit), "on": visit.has_totp}
        if not visit.has_totp:
            context["secret"] = (await self.services.totp.offer(visit.actor)).spoken
        return self.pages.alone(
            request, "totp/setup.html" if not visit.has_totp else "totp/off.html", status, **context
        )


def required(visit: Visit) -> bool:
    """Whether one of the person's workspaces asks for codes."""
    return any(workspace.require_totp for workspace in visit.workspaces)


def keep_step(response: Response, services: Services, token: str) -> None:
    """The question for a code belongs to this browser."""
    response.set_cookie(
        STEP_COOKIE,
        token,
        max_age=STEP_S,
        path=STEP_PATH,
        httponly=True,
        samesite="lax",
        secure=services.settings.secure_cookies,
    )
