"""Reading requests and writing answers: msgspec bodies in, JSON or RFC 9457 problems out."""

from typing import TypeVar
from uuid import UUID

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response

from engine.core_api import schema
from engine.ledger.errors import LedgerError
from engine.ledger.pool import AWAY
from engine.recipients import ingest
from engine.recipients.ingest import UploadError

log = structlog.get_logger(__name__)

T = TypeVar("T")

_UPLOAD_ERRORS: dict[type[UploadError], tuple[str, int]] = {
    ingest.UploadNotFound: ("not-found", 404),
    ingest.UploadNotOpen: ("upload-not-open", 409),
    ingest.UploadConflict: ("wrong-offset", 409),
    ingest.UploadInUse: ("upload-in-use", 409),
    UploadError: ("upload", 409),
}

MAX_BODY_BYTES = 1 << 20
MAX_LIMIT = 1_000


class Refused(Exception):
    """A request that cannot be answered, with the problem document that says why."""

    def __init__(self, name: str, status: int, title: str, detail: str = "", field: str = "") -> None:
        super().__init__(detail or title)
        errors = [{"field": field, "detail": detail}] if field else []
        self.problem = schema.Problem(
            type=f"urn:heliograph:problem:{name}", title=title, status=status, detail=detail, errors=errors
        )


def answer(value: object, status: int = 200) -> Response:
    """`value` is of the schema's types."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")


async def body(request: Request, kind: type[T]) -> T:
    """The request's body as `kind`. Raises Refused (422) that names what does not fit."""
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > MAX_BODY_BYTES:
            raise Refused("too-large", 413, "The body is too large", f"at most {MAX_BODY_BYTES} bytes")
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError as error:
        raise Refused("invalid", 422, "The body does not fit the schema", str(error)) from error


def path_uuid(request: Request) -> UUID:
    """The `id` of the path. Something else than a UUID names nothing we have."""
    try:
        return UUID(request.path_params["id"])
    except ValueError:
        raise Refused("not-found", 404, "There is no such thing") from None


def whole_number(request: Request, name: str, default: int, most: int) -> int:
    """A query parameter between 0 and `most`."""
    given = request.query_params.get(name, str(default))
    if not given.isascii() or not given.isdigit() or int(given) > most:
        raise Refused("invalid", 422, "A parameter is wrong", f"{name}: a whole number up to {most}", name)
    return int(given)


def limit(request: Request, default: int) -> int:
    return max(1, whole_number(request, "limit", default, MAX_LIMIT))


def problem(_request: Request, error: Exception) -> Response:
    """Exception handler of the whole face: every error is a problem document."""
    if isinstance(error, Refused):
        document = error.problem
    elif isinstance(error, LedgerError):
        document = schema.Problem(
            type=f"urn:heliograph:problem:{error.problem}",
            title=_title(error.problem),
            status=error.status,
            detail=str(error),
            errors=[{"field": error.field, "detail": str(error)}] if error.field else [],
        )
    elif isinstance(error, UploadError):
        name, status = next(known for kind, known in _UPLOAD_ERRORS.items() if isinstance(error, kind))
        return problem(_request, Refused(name, status, _title(name), str(error)))
    elif isinstance(error, AWAY):
        log.warning("database away", error=type(error).__name__)
        document = schema.Problem(
            type="urn:heliograph:problem:database-away",
            title="The engine cannot reach its database",
            status=503,
            detail="the ledger's database does not answer: nothing was changed, try again",
        )
    else:
        log.error("request failed", exc_info=error)
        document = schema.Problem(
            type="urn:heliograph:problem:internal",
            title="The engine failed",
            status=500,
            detail="see its log",
        )
    return Response(msgspec.json.encode(document), document.status, media_type="application/problem+json")


def _title(name: str) -> str:
    return name.replace("-", " ").capitalize()
