"""How an answer leaves: a page, a fragment for htmx, JSON for programs, or a redirect."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response


def wants_json(request: Request) -> bool:
    """A program that asked for JSON (a browser's list names text/html first)."""
    accept = request.headers.get("accept", "")
    return "json" in accept and "text/html" not in accept


def is_fragment(request: Request) -> bool:
    """htmx wants a piece of a page: it says so, and it is not a restored whole page."""
    return request.headers.get("hx-request") == "true" and request.headers.get("hx-request-type") != "full"


def json_answer(content: Any, status: int = 200, media_type: str = "application/json") -> Response:
    return Response(msgspec.json.encode(content), status, media_type=media_type)


def go(path: str) -> Response:
    """See other: the browser asks for the next page with GET."""
    return RedirectResponse(path, 303)
