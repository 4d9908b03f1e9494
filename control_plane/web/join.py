"""The pages behind the links of e-mails: joining by an invitation, setting a forgotten password."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control_plane.access import Actor
from control_plane.errors import Conflict, Invalid
from control_plane.joining.resets import NoReset
from control_plane.joining.rules import NotValid
from control_plane.services import Services
from control_plane.web.answers import go, json_answer, wants_json
from control_plane.web.forms import read_form
from control_plane.web.render import Pages
from control_plane.web.session import SESSION_COOKIE, keep_session, visit_of
from control_plane.web.translation import _

GONE = 410


class JoinPages:
    """A link's token is in the query, which no log keeps."""

    def __init__(self, services: Services, pages: Pages) -> None:
        self.services = services
        self.pages = pages

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/join", self.show, methods=["GET"]),
            Route("/join", self.join, methods=["POST"]),
            Route("/reset", self.show_ask, methods=["GET"]),
            Route("/reset", self.ask, methods=["POST"]),
            Route("/reset/password", self.show_reset, methods=["GET"]),
            Route("/reset/password", self.reset, methods=["POST"]),
            Route("/account/requests", self.request, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """What an invitation is for, and the form to accept it."""
        return await self._join_page(request, request.query_params.get("token", ""), {}, {}, 200)

    async def join(self, request: Request) -> Response:
        """Accept an invitation: with a new account, or with the one that is logged in."""
        form = await read_form(request)
        token, password = form.get("token", ""), form.get("password", "")
        actor = await self._actor(request)
        try:
            if actor is not None:
                await self.services.invitations.accept_as(token, actor)
                return go("/?done=joined")
            user = await self.services.invitations.accept_new(
                token, form.get("name", ""), password, address=_address(request)
            )
        except Invalid as error:
            if wants_json(request):
                raise
            return await self._join_page(request, token, form, error.errors, 422)
        except NotValid:
            if wants_json(request):
                raise
            return self._over(request)
        except Conflict as error:
            if wants_json(request):
                raise
            return await self._join_page(request, token, form, {}, 409, problem=str(error))
        login = await self.services.identity.welcome(
            user, address=_address(request), user_agent=request.headers.get("user-agent", "")
        )
        response = json_answer({"location": "/"}, 201) if wants_json(request) else go("/?done=joined")
        keep_session(response, self.services, login)
        return response

    async def _join_page(
        self,
        request: Request,
        token: str,
        form: dict[str, str],
        errors: dict[str, str],
        status: int,
        *,
        problem: str = "",
    ) -> Response:
        try:
            offer = await self.services.invitations.offer(token)
        except NotValid:
            return self._over(request)
        actor = await self._actor(request)
        invitation = offer.invitation
        return self.pages.alone(
            request,
            "joining/join.html",
            status,
            token=token,
            invitation=invitation,
            workspace=offer.workspace,
            has_account=offer.has_account,
            as_them=actor is not None and actor.email == invitation.email,
            as_other=actor.email if actor is not None and actor.email != invitation.email else "",
            name=form.get("name", ""),
            errors=errors,
            problem=problem,
        )

    def _over(self, request: Request) -> Response:
        return self.pages.alone(request, "joining/over.html", GONE, reset=False)

    async def _actor(self, request: Request) -> Actor | None:
        """Who is logged in, with a password of their own."""
        actor = await self.services.identity.actor(
            request.cookies.get(SESSION_COOKIE),
            address=_address(request),
            user_agent=request.headers.get("user-agent", ""),
            request_id=request.state.request_id,
        )
        return None if actor is None or actor.must_set_password else actor

    async def show_ask(self, request: Request) -> Response:
        """The form to ask for a link to set a forgotten password."""
        return self.pages.alone(
            request, "joining/reset_ask.html", asked=False, mail=self.services.mail.configured
        )

    async def ask(self, request: Request) -> Response:
        """Ask for the link; the answer is the same whether there is such an account."""
        form = await read_form(request)
        if self.services.mail.configured:
            self.services.resets.ask(form.get("email", ""), address=_address(request))
        if wants_json(request):
            return Response(status_code=202)
        return self.pages.alone(
            request, "joining/reset_ask.html", asked=True, mail=self.services.mail.configured
        )

    async def show_reset(self, request: Request) -> Response:
        """The form to set a forgotten password."""
        return await self._reset_page(request, request.query_params.get("token", ""), {}, 200)

    async def reset(self, request: Request) -> Response:
        """Set a forgotten password; every session ends, and the link."""
        form = await read_form(request)
        token, new = form.get("token", ""), form.get("new", "")
        if new != form.get("again", ""):
            return await self._reset_page(request, token, {"again": _("The two are not the same.")}, 422)
        try:
            await self.services.resets.set_password(token, new, address=_address(request))
        except Invalid as error:
            if wants_json(request):
                raise
            return await self._reset_page(request, token, error.errors, 422)
        except NoReset:
            if wants_json(request):
                raise
            return self.pages.alone(request, "joining/over.html", GONE, reset=True)
        return go("/login?done=password-reset")

    async def _reset_page(
        self, request: Request, token: str, errors: dict[str, str], status: int
    ) -> Response:
        try:
            user = await self.services.resets.check(token)
        except NoReset:
            return self.pages.alone(request, "joining/over.html", GONE, reset=True)
        return self.pages.alone(
            request, "joining/reset.html", status, token=token, email=user.email, errors=errors
        )

    async def request(self, request: Request) -> Response:
        """Ask to join a workspace by its name; which ones exist is not told."""
        visit, form = visit_of(request), await read_form(request)
        await self.services.join_requests.ask(visit.actor, form.get("workspace", ""), form.get("note", ""))
        return go("/account?done=request-asked")


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
