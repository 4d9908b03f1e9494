"""What went wrong, for people and for programs: one table of errors, one middleware that answers them.

Programs get RFC 9457 problem+json, htmx a fragment, people a page: what happened, why, what to do, and the
request's id.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from control_plane.documents.store import DuplicateKey, VersionConflict
from control_plane.errors import (
    AlreadyDecided,
    Conflict,
    ControlPlaneError,
    EngineUnavailable,
    Forbidden,
    Invalid,
    NotFound,
    SendsNothing,
    StoreUnavailable,
    Suspended,
    WrongOffset,
)
from control_plane.web import format as show
from control_plane.web.answers import go, is_fragment, json_answer, wants_json
from control_plane.web.middleware import CrossOrigin, TooLarge
from control_plane.web.session import ChooseWorkspace
from control_plane.web.translation import _
from engine.core_api.client import CoreError, CoreUnavailable

log = structlog.get_logger(__name__)
URN = "urn:heliograph:problem:"


@dataclass(frozen=True)
class Problem:
    """`detail` says what happened and why, `advice` what to do. `again`: the same request may work later."""

    status: int
    type: str
    title: str
    detail: str = ""
    advice: str = ""
    again: bool = False
    errors: list[str] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)
    extra: Mapping[str, int | str] = field(default_factory=dict)


def problem_of(error: Exception) -> Problem:
    """The table. What is not in it is our fault and says nothing of its inside."""
    match error:
        case NotFound():
            advice = _("It may have been deleted, or it belongs to another workspace.")
            return Problem(404, error.type, _("Not found"), str(error), advice)
        case Suspended():
            advice = _("Ask the administrators of the installation: they suspended it and can resume it.")
            return Problem(403, error.type, _("Suspended"), str(error), advice)
        case SendsNothing():
            advice = _("Change to another of your workspaces, or have one created.")
            return Problem(403, error.type, _("Nothing is sent from here"), str(error), advice)
        case Forbidden():
            advice = _("Ask an administrator of the workspace if you need it.")
            return Problem(403, error.type, _("Not allowed"), str(error), advice)
        case Invalid():
            lines = list(error.errors.values())
            advice = _("Go back, correct it and send it again.")
            return Problem(
                422, error.type, _("Not accepted"), advice=advice, errors=lines, fields=dict(error.errors)
            )
        case AlreadyDecided():
            advice = _("Nothing of yours was changed. Open the campaign to see where it stands.")
            told = {"by": error.by, "verdict": error.verdict, "at": show.rfc3339(error.at)}
            return Problem(409, error.type, _("Already decided"), str(error), advice, extra=told)
        case WrongOffset():
            extra = {"byte_offset": error.byte_offset}
            return Problem(409, error.type, _("Wrong place in the file"), str(error), extra=extra)
        case Conflict() | VersionConflict() | DuplicateKey():
            detail = str(error) if isinstance(error, Conflict) else _("Somebody else changed it meanwhile.")
            advice = _("Nothing of yours was changed. Open it again to see where it stands.")
            return Problem(409, error.type, _("Not possible as it stands"), detail, advice)
        case EngineUnavailable() | CoreUnavailable():
            detail = _("The engine, which sends and counts messages, does not answer.")
            advice = _(
                "What was approved stays stored and is sent to it again by itself. Try again in a moment."
            )
            return Problem(
                503, "engine-unavailable", _("The engine does not answer"), detail, advice, again=True
            )
        case StoreUnavailable():
            detail = _("The database of drafts, people and decisions does not answer.")
            advice = _("Sending goes on without it. Try again in a moment.")
            return Problem(503, error.type, _("The documents cannot be reached"), detail, advice, again=True)
        case CoreError():
            status = error.problem.status if 400 <= error.problem.status < 500 else 502
            title, detail = _("The engine refused"), error.problem.detail or error.problem.title
            return Problem(status, "engine-refused", title, detail, _("Nothing was changed."))
        case CrossOrigin():
            detail = _("The request came from another site's page, so it was not carried out.")
            return Problem(
                403, "cross-origin", _("Not allowed"), detail, _("Open the console itself and try there.")
            )
        case TooLarge():
            return Problem(413, "too-large", _("Too large"), str(error), _("Send less at once."))
        case HTTPException():
            return _of_http(error)
    advice = _("Try again. If it happens again, tell your administrator the request id below.")
    detail = _("Something in Heliograph itself failed, and it has been logged.")
    return Problem(500, "internal", _("Our mistake"), detail, advice, again=True)


def _of_http(error: HTTPException) -> Problem:
    match error.status_code:
        case 404:
            return Problem(
                404, "not-found", _("Not found"), _("There is no page here."), _("Check the address.")
            )
        case 405:
            return Problem(
                405, "method-not-allowed", _("Not possible here"), _("This page cannot be asked like that.")
            )
        case 401:
            return Problem(401, "unauthenticated", _("Log in first"), error.detail)
        case 403:
            return Problem(403, "forbidden", _("Not allowed"), error.detail)
        case status:
            return Problem(
                status, "bad-request", _("Not understood"), error.detail, _("Go back and try again.")
            )


def problem_json(problem: Problem, request_id: str) -> Response:
    content = {
        "type": URN + problem.type,
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail or "; ".join(problem.errors),
        "errors": [{"field": name, "detail": line} for name, line in problem.fields.items()],
        "request_id": request_id,
        **problem.extra,
    }
    return json_answer(content, problem.status, "application/problem+json")


RenderPage = Callable[[Request, Problem], Awaitable[Response]]


class Problems:
    """Answers every error below it. `page` and `fragment` render for people."""

    def __init__(self, app: ASGIApp, page: RenderPage, fragment: RenderPage) -> None:
        self.app = app
        self.page = page
        self.fragment = fragment

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def send_noted(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, send_noted)
        except ClientDisconnect:
            pass  # nobody is there to be answered
        except Exception as error:
            if started:
                raise
            await (await self._answer(Request(scope), error))(scope, receive, send)

    async def _answer(self, request: Request, error: Exception) -> Response:
        if isinstance(error, ChooseWorkspace):
            if request.url.path != "/":
                return go("/")
            error = Forbidden(_("You are not a member of any workspace yet."))
        problem = problem_of(error)
        if problem.status >= 500:
            unforeseen = problem.type == "internal"
            log.error("request failed", path=request.url.path, type=problem.type, reason=type(error).__name__,
                      exc_info=error if unforeseen else None)  # fmt: skip
        if wants_json(request) or request.method == "PUT":
            return problem_json(problem, request.state.request_id)
        try:
            return await (self.fragment if is_fragment(request) else self.page)(request, problem)
        except ControlPlaneError:
            # The frame around the page needs the store that just failed.
            return await self.fragment(request, problem)
