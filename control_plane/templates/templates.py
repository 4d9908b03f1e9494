"""Templates of a workspace: written, checked, decided where somebody has to, chosen by campaigns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import msgspec

from control_plane.access import Action, Member, Role
from control_plane.audit.outbox import acted, with_event
from control_plane.clock import Clock
from control_plane.documents.change import change
from control_plane.documents.records import Page, Sort
from control_plane.documents.scope import WorkspaceScope, parse_id
from control_plane.documents.store import PAGE_LIMIT, DuplicateKey
from control_plane.errors import AlreadyDecided, Changed, Conflict, Forbidden, Invalid, NotFound
from control_plane.templates.content import asks_of, found_problems, name_problem
from control_plane.templates.model import (
    SMS_TEMPLATES,
    Content,
    Template,
    TemplateVersion,
    moved,
    templates_of,
)
from control_plane.templates.states import Act, first
from control_plane.workspaces.workspaces import Workspaces

NOTE_LIMIT = 1000
NUMBER_DIGITS = 9
OWN = "You wrote it: somebody else decides."

Id = UUID | str
Found = list[Template]
Versions = list[TemplateVersion]


@dataclass(frozen=True)
class Filter:
    """Which templates to show, by their newest version; empty: all."""

    search: str = ""  # in the name, the text, the ids
    status: str = ""
    content_type: str = ""
    category: str = ""
    channel: str = ""

    def takes(self, template: Template) -> bool:
        one = template.newest
        pairs = (
            (self.status, one.status),
            (self.content_type, one.content.content_type),
            (self.category, one.content.category),
            (self.channel, one.channel),
        )
        if any(wanted and wanted != there for wanted, there in pairs):
            return False
        texts = (one.name, one.content.body, f"#{one.number}", str(template.id), one.content.dlt_template_id)
        return not self.search or any(self.search.casefold() in text.casefold() for text in texts)


class Templates:
    def __init__(self, workspaces: Workspaces, clock: Clock) -> None:
        self._workspaces = workspaces
        self._clock = clock

    # Looking

    async def list(self, member: Member, wanted: Filter | None = None) -> Found:
        """All templates of the workspace that the filter takes, by name."""
        member.require(Action.VIEW_TEMPLATES)
        scope, after = self._scope(member), None
        found: Versions = []
        while True:
            page = await scope.find(SMS_TEMPLATES, sort=Sort("name"), limit=PAGE_LIMIT, after=after)
            found += page.records
            after = page.next
            if after is None:
                templates = templates_of(found)
                return [one for one in templates if wanted is None or wanted.takes(one)]

    async def template(self, member: Member, template_id: Id) -> Template:
        """One with its versions, by its id or its number in the workspace."""
        member.require(Action.VIEW_TEMPLATES)
        return await self._template(self._scope(member), template_id)

    async def version(self, member: Member, version_id: Id) -> TemplateVersion:
        member.require(Action.VIEW_TEMPLATES)
        return await self._scope(member).get(SMS_TEMPLATES, version_id)

    async def approved(self, member: Member) -> Versions:
        """The newest approved version of each template: what a campaign may choose."""
        return [one.usable for one in await self.list(member) if one.usable is not None]

    async def pending(
        self, member: Member, *, limit: int = 50, after: str | None = None
    ) -> Page[TemplateVersion]:
        """What waits for a decision, the oldest first."""
        member.require(Action.DECIDE_TEMPLATES)
        return await self._scope(member).find(
            SMS_TEMPLATES, {"status": "PENDING"}, sort=Sort("created_at"), limit=limit, after=after
        )

    async def pending_count(self, member: Member) -> int:
        """How many wait; 0 for those who do not decide."""
        if not member.may(Action.DECIDE_TEMPLATES):
            return 0
        return await self._scope(member).count(SMS_TEMPLATES, {"status": "PENDING"})

    async def why_not(self, member: Member, version: TemplateVersion) -> str:
        """Why this member may not decide it: a sentence, empty where they may."""
        if not member.may(Action.DECIDE_TEMPLATES):
            return "Your role does not decide templates."
        if version.author_id == member.actor.user_id and not await self._own_approval(member):
            return OWN
        return "" if version.status == "PENDING" else "It does not wait for a decision."

    # Writing

    async def create(self, member: Member, name: str, content: Content) -> TemplateVersion:
        """A new template with its first version: APPROVED at once where all is right and nobody has to see
        it, PENDING where somebody has, FAILED with the reasons where something is wrong.

        Invalid for a name that cannot be or is taken.
        """
        member.require(Action.EDIT_TEMPLATES)
        name = name.strip()
        if problem := name_problem(name):
            raise Invalid({"name": problem})
        scope = self._scope(member)
        while True:
            if (await scope.find(SMS_TEMPLATES, {"name": name}, limit=1)).records:
                raise Invalid({"name": "Another template has this name."})
            last = (await scope.find(SMS_TEMPLATES, sort=Sort("number", descending=True), limit=1)).records
            number = last[0].number + 1 if last else 1
            made = await self._new(member, content, template_id=uuid4(), number=number, name=name, revision=1)
            try:
                return await scope.insert(SMS_TEMPLATES, self._with_event(member, made, "template.create"))
            except DuplicateKey:
                continue  # somebody took the number, or the name, just now

    async def revise(
        self, member: Member, template_id: Id, content: Content, *, seen: int | None = None
    ) -> TemplateVersion:
        """The next version. Campaigns keep the one they were made with.

        Changed where a newer one came since version `seen`; Conflict while one waits for its decision;
        Invalid where nothing differs.
        """
        member.require(Action.EDIT_TEMPLATES)
        scope = self._scope(member)
        template = await self._template(scope, template_id)
        newest = template.newest
        if seen is not None and seen != newest.revision:
            raise Changed("template")
        if newest.status == "PENDING":
            raise Conflict(f"Version {newest.revision} waits for its decision: withdraw it first.")
        if newest.status == "APPROVED" and newest.content == content:
            raise Invalid({"body": "Nothing differs from what is approved."})
        made = await self._new(
            member,
            content,
            template_id=template.id,
            number=template.number,
            name=template.name,
            revision=newest.revision + 1,
        )
        happened = self._with_event(member, made, "template.edit", newest.content)
        try:
            return await scope.insert(SMS_TEMPLATES, happened)
        except DuplicateKey:
            raise Changed("template") from None

    async def withdraw(self, member: Member, version_id: Id) -> TemplateVersion:
        """Take a version back before its decision. By its author and administrators."""
        member.require(Action.EDIT_TEMPLATES)

        def decide(found: TemplateVersion) -> TemplateVersion:
            if member.role is not Role.ADMIN and found.author_id != member.actor.user_id:
                raise Forbidden("Only its author and administrators take it back.")
            taken = msgspec.structs.replace(
                moved(found, "withdraw"), reasons=("It was withdrawn before its decision.",)
            )
            return self._with_event(member, taken, "template.withdraw")

        return await self._change(member, version_id, decide)

    # Deciding

    async def decide(
        self, member: Member, version_id: Id, *, approve: bool, note: str = ""
    ) -> TemplateVersion:
        """Approve or reject (with a note) somebody else's version. AlreadyDecided says by whom."""
        member.require(Action.DECIDE_TEMPLATES)
        note = note.strip()
        if not approve and not note:
            raise Invalid({"note": "Say why, so that it can be put right."})
        if len(note) > NOTE_LIMIT:
            raise Invalid({"note": f"Use at most {NOTE_LIMIT:,} characters."})
        act: Act = "approve" if approve else "reject"
        now = self._clock()
        own_approval = await self._own_approval(member)

        def decide(found: TemplateVersion) -> TemplateVersion:
            if found.decided_at is not None:
                raise AlreadyDecided(found.decided_by, found.decided_at, found.status.lower())
            decided = moved(found, act)
            if found.author_id == member.actor.user_id and not own_approval:
                raise Forbidden(OWN)
            decided = msgspec.structs.replace(
                decided, decided_by=member.actor.name, decided_at=now, note=note
            )
            return self._with_event(member, decided, f"template.{act}")

        return await self._change(member, version_id, decide)

    # Inside

    def _scope(self, member: Member) -> WorkspaceScope:
        return self._workspaces.scope(member)

    async def _template(self, scope: WorkspaceScope, template_id: Id) -> Template:
        where: Mapping[str, Any]
        text = str(template_id)
        if text.isascii() and text.isdigit() and len(text) <= NUMBER_DIGITS:
            where = {"number": int(text)}
        else:
            where = {"template_id": parse_id(SMS_TEMPLATES, template_id)}
        found = templates_of((await scope.find(SMS_TEMPLATES, where, limit=PAGE_LIMIT)).records)
        if not found:
            raise NotFound(SMS_TEMPLATES.noun)
        return found[0]

    async def _new(
        self, member: Member, content: Content, *, template_id: UUID, number: int, name: str, revision: int
    ) -> TemplateVersion:
        workspace = await self._workspaces.get(member)
        moderated = workspace.moderate_free_templates
        reasons = found_problems(content)
        asks = asks_of(content) if moderated and not reasons else []
        status = first(reasons, asks)
        return TemplateVersion(
            id=uuid4(),
            workspace_id=member.workspace_id,
            template_id=template_id,
            number=number,
            name=name,
            revision=revision,
            content=content,
            status=status,
            reasons=tuple(reasons),
            asks=tuple(asks),
            open=True if status == "PENDING" else None,
            author_id=member.actor.user_id,
            author=member.actor.name,
            created_at=self._clock(),
        )

    async def _change(
        self, member: Member, version_id: Id, decide: Callable[[TemplateVersion], TemplateVersion]
    ) -> TemplateVersion:
        scope = self._scope(member)
        version = await scope.get(SMS_TEMPLATES, version_id)
        return await change(scope, SMS_TEMPLATES, version.id, decide)

    async def _own_approval(self, member: Member) -> bool:
        return (await self._workspaces.get(member)).own_approval

    def _with_event(
        self, member: Member, version: TemplateVersion, action: str, before: Content | None = None
    ) -> TemplateVersion:
        happened = acted(
            member,
            action,
            self._clock(),
            target=version,
            target_name=version.name,
            details={
                "version": version.revision,
                "status": version.status,
                "reasons": " ".join(version.reasons),
                "note": version.note,
            },
            changes=_changes(before, version.content)
            if action in ("template.create", "template.edit")
            else {},
        )
        return with_event(version, happened)


def _changes(before: Content | None, now: Content) -> dict[str, tuple[object, object]]:
    fields = ("body", "content_type", "category", "dlt_template_id", "dlt_registered")
    return {name: (getattr(before, name) if before else "", getattr(now, name)) for name in fields}
