"""Message templates as documents: one document a version, its content never changed.

Only SMS has templates yet. WhatsApp and RCS join as further structs of `Content`, told apart by their tag.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from control_plane.audit.outbox import UNSWEPT
from control_plane.documents.records import Collection, Index
from control_plane.documents.scope import Owned
from control_plane.templates.states import Act, Status, after

Channel = Literal["sms"]
ContentType = Literal["promotional", "service", "transactional"]
Category = Literal["UIC", "MIC", "SIC", "Auth"]


class Variable(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    sample: str
    max_length: int  # characters


class SmsContent(msgspec.Struct, frozen=True, kw_only=True, tag_field="channel", tag="sms"):
    body: str  # with {{variables}}
    variables: tuple[Variable, ...] = ()  # in the order of their first appearance
    content_type: ContentType
    category: Category
    dlt_template_id: str = ""  # India DLT; empty: not registered there
    dlt_registered: str = ""  # the text as registered, with {#var#}


Content = SmsContent


class TemplateVersion(Owned, frozen=True, kw_only=True):
    template_id: UUID
    number: int  # the template's short id in its workspace
    name: str  # the template's, which never changes
    channel: Channel = "sms"
    revision: int  # the number of the version: 1, 2, ... of this template
    content: Content
    status: Status
    reasons: tuple[str, ...] = ()  # FAILED: what is wrong
    asks: tuple[str, ...] = ()  # why a moderator had to see it
    open: bool | None = None  # True while PENDING: a template has at most one such version
    author_id: UUID
    author: str
    created_at: datetime
    decided_by: str = ""  # a moderator; empty: nobody had to
    decided_at: datetime | None = None
    note: str = ""


SMS_TEMPLATES = Collection(
    "sms_templates",
    TemplateVersion,
    indexes=(
        # Of revision 1, these keep a name and a number to one template.
        Index(("workspace_id", "name", "revision"), unique=True),
        Index(("workspace_id", "number", "revision"), unique=True),
        Index(("workspace_id", "template_id", "open"), unique=True),
        Index(("workspace_id", "template_id")),
        Index(("workspace_id", "status")),
        UNSWEPT,
    ),
    kind="template",
)


@dataclass(frozen=True)
class Template:
    """A template with its versions, the newest first."""

    id: UUID
    versions: tuple[TemplateVersion, ...]

    @property
    def newest(self) -> TemplateVersion:
        return self.versions[0]

    @property
    def name(self) -> str:
        return self.newest.name

    @property
    def number(self) -> int:
        return self.newest.number

    @property
    def usable(self) -> TemplateVersion | None:
        """The newest that is approved: what a campaign may choose."""
        return next((one for one in self.versions if one.status == "APPROVED"), None)


def templates_of(versions: Iterable[TemplateVersion]) -> list[Template]:
    """Versions put together, by name."""
    found: dict[UUID, list[TemplateVersion]] = {}
    for version in versions:
        found.setdefault(version.template_id, []).append(version)
    templates = [
        Template(template_id, tuple(sorted(of_it, key=lambda one: -one.revision)))
        for template_id, of_it in found.items()
    ]
    return sorted(templates, key=lambda one: (one.name.casefold(), one.name))


def moved(version: TemplateVersion, act: Act) -> TemplateVersion:
    """The version after an act. Conflict where its status does not allow it."""
    return msgspec.structs.replace(version, status=after(version.status, act), open=None)
