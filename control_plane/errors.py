"""What the control plane's rules raise. No HTTP here: the faces (pages, API) give each its answer.

`type` is the stable name of the problem (`urn:heliograph:problem:<type>`), `retry` whether the same request
may succeed later without a change by the caller.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar


class ControlPlaneError(Exception):
    """Base of the typed errors; `str(error)` is a sentence for people."""

    type: ClassVar[str] = "internal"
    retry: ClassVar[bool] = False


class NotFound(ControlPlaneError):
    """No such thing, or it belongs to another workspace: the two look the same."""

    type = "not-found"

    def __init__(self, kind: str) -> None:
        super().__init__(f"There is no such {kind}.")
        self.kind = kind


class Forbidden(ControlPlaneError):
    """The caller's role does not allow it, or it is their own work."""

    type = "forbidden"


class Suspended(Forbidden):
    """The workspace is suspended: its people look, and nothing in it changes."""

    type = "workspace-suspended"

    def __init__(self) -> None:
        super().__init__("The workspace is suspended: nothing in it can be changed, submitted or approved.")


class SendsNothing(Forbidden):
    """The Master workspace runs the installation; nothing is sent from it."""

    type = "sends-nothing"

    def __init__(self) -> None:
        super().__init__(
            "The Master workspace sends nothing: campaigns, senders and templates belong to a workspace of "
            "their own."
        )


class Invalid(ControlPlaneError):
    """The caller's input: one sentence for each field that is wrong."""

    type = "invalid"

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{field}: {message}" for field, message in errors.items()))
        self.errors = dict(errors)


class Conflict(ControlPlaneError):
    """The thing is not in a state that allows this."""

    type = "conflict"


class Changed(Conflict):
    """Somebody changed it since the caller looked: look again, then decide."""

    type = "changed"

    def __init__(self, what: str) -> None:
        super().__init__(f"The {what} was changed since you opened it. Look at it again.")


class NotOpened(Conflict):
    """Approved without having been opened as it stands, or too long ago."""

    type = "not-opened"

    def __init__(self) -> None:
        super().__init__("Open it and look at what would go out before you approve it.")


class AlreadyDecided(Conflict):
    """Another moderator was first. Says who and when."""

    type = "already-decided"

    def __init__(self, by: str, at: datetime, verdict: str) -> None:
        super().__init__(f"Already {verdict} by {by}.")
        self.by, self.at, self.verdict = by, at, verdict


class WrongOffset(Conflict):
    """An upload goes on at `byte_offset`, not where the caller wanted."""

    type = "wrong-offset"

    def __init__(self, byte_offset: int) -> None:
        super().__init__(f"The upload goes on at byte {byte_offset}.")
        self.byte_offset = byte_offset


class StoreUnavailable(ControlPlaneError):
    """The document store cannot be reached. A write may or may not have been made: its version tells."""

    type = "store-unavailable"
    retry = True


class EngineUnavailable(ControlPlaneError):
    """The engine cannot be reached; what was asked is stored and will be sent again where it says so."""

    type = "engine-unavailable"
    retry = True
