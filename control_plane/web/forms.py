"""What people and programs send: a small form, or the same as JSON."""

from collections.abc import Mapping
from urllib.parse import parse_qsl
from uuid import UUID, uuid4

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request

MAX_FIELDS = 400  # an account with all of its settings


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a URL-encoded form or of a flat JSON object; line ends as they are stored.

    The body's size is bounded before (middleware.BodyLimit). HTTPException 400 for what cannot be read, 415
    for other media types.
    """
    body = await request.body()
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if media_type == "application/json":
            given = msgspec.json.decode(body, type=dict[str, str | int | bool | None])
            pairs = [(name, "" if value is None else str(value)) for name, value in given.items()]
        elif media_type in ("application/x-www-form-urlencoded", "") or not body:
            text = body.decode()
            pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
        else:
            raise HTTPException(415, f"Send a form, not {media_type}.")
    except (ValueError, msgspec.MsgspecError):
        raise HTTPException(400, "The form could not be read.") from None
    fields = {name: value.replace("\r\n", "\n").replace("\r", "\n") for name, value in pairs}
    if any("\x00" in value for value in fields.values()):
        raise HTTPException(400, "The form has a NUL character, which no text may have.")
    return fields


def whole(text: str | None, default: int | None = None) -> int | None:
    """A whole number >= 0 of a query or a form, or the default where there is none. HTTPException 400."""
    if text is None or text == "":
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise HTTPException(400, "A number was expected.")
    return int(text)


def local_path(text: str, default: str = "/") -> str:
    """An address on this console to go back to; anything else is not followed."""
    wanted = text.startswith("/") and not text.startswith(("//", "/\\"))
    return text if wanted and "\n" not in text and "\r" not in text else default


def decision_of(form: Mapping[str, str]) -> UUID:
    """The decision id a form carries, so that sending it twice happens once; a new one for a program without.

    HTTPException 400 for what is none.
    """
    text = form.get("decision", "")
    try:
        return UUID(text) if text else uuid4()
    except ValueError:
        raise HTTPException(400, "The decision id is no UUID.") from None
