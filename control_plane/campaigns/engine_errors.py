"""The engine's errors as the control plane's own."""

from collections.abc import Iterator
from contextlib import contextmanager

from control_plane.errors import Conflict, ControlPlaneError, EngineUnavailable, Forbidden, Invalid, NotFound
from engine.core_api import schema
from engine.core_api.client import CoreError, CoreUnavailable


@contextmanager
def engine(kind: str = "campaign") -> Iterator[None]:
    """Around calls of the Core API: what it raises becomes a ControlPlaneError about a `kind`."""
    try:
        yield
    except CoreUnavailable as error:
        raise EngineUnavailable(f"The engine does not answer: {error}") from error
    except CoreError as error:
        raise as_ours(error.problem, kind) from error


def passing(problem: schema.Problem) -> bool:
    """A refusal that may pass: the same order is sent again later."""
    return problem.status >= 500 or problem.status == 429 or problem.type.endswith(":upload-busy")


def sentence(problem: schema.Problem) -> str:
    return problem.detail or problem.title


def as_ours(problem: schema.Problem, kind: str) -> ControlPlaneError:
    if passing(problem):
        return EngineUnavailable(sentence(problem))
    if problem.status == 404:
        return NotFound(kind)
    if problem.status == 403:
        return Forbidden(sentence(problem))
    if problem.status in (400, 422):
        fields = {
            error.get("field", kind): error.get("detail") or error.get("message") or sentence(problem)
            for error in problem.errors
        }
        return Invalid(fields or {kind: sentence(problem)})
    return Conflict(sentence(problem))
