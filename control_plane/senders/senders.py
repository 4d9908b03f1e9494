"""Sender IDs of a workspace: drafted, submitted, decided by somebody else, chosen by campaigns."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import msgspec

from control_plane.access import Action, Member, Role
from control_plane.audit.outbox import acted, with_event
from control_plane.clock import Clock
from control_plane.documents.change import change
from control_plane.documents.records import Page, Sort
from control_plane.documents.scope import parse_id
from control_plane.documents.store import PAGE_LIMIT, DuplicateKey
from control_plane.errors import AlreadyDecided, Changed, Conflict, Forbidden, Invalid, NotFound
from control_plane.senders.address import Content, read_content
from control_plane.senders.model import SENDERS, Sender, SenderRevision, differences, moved, senders_of
from control_plane.senders.states import Act
from control_plane.workspaces.workspaces import Workspaces

NOTE_LIMIT = 1000
OWN = "You wrote it: somebody else decides."
BUSY = "Another revision of it is a draft or waits for its decision."

Id = UUID | str
Revisions = list[SenderRevision]
Lines = list[Sender]


class Senders:
    def __init__(self, workspaces: Workspaces, clock: Clock) -> None:
        self._workspaces = workspaces
        self._clock = clock

    # Looking

    async def list(self, member: Member) -> Revisions:
        """All revisions, by sender, newest first."""
        return [revision for line in await self.senders(member) for revision in line.revisions]

    async def senders(self, member: Member) -> Lines:
        """All senders with their revisions, by name."""
        member.require(Action.VIEW_SENDERS)
        scope, after = self._workspaces.scope(member), None
        found: Revisions = []
        while True:
            page = await scope.find(SENDERS, sort=Sort("sender"), limit=PAGE_LIMIT, after=after)
            found += page.records
            after = page.next
            if after is None:
                return senders_of(found)

    async def sender(self, member: Member, sender_id: Id) -> Sender:
        """One with its history; NotFound also for another workspace's."""
        wanted = parse_id(SENDERS, sender_id)
        found = next((one for one in await self.senders(member) if one.id == wanted), None)
        if found is None:
            raise NotFound(SENDERS.noun)
        return found

    async def get(self, member: Member, revision_id: Id) -> SenderRevision:
        member.require(Action.VIEW_SENDERS)
        return await self._workspaces.scope(member).get(SENDERS, revision_id)

    async def approved(self, member: Member) -> Revisions:
        """The newest approved revision of each sender that is not archived: what a campaign may choose."""
        return [one.usable for one in await self.senders(member) if one.usable is not None]

    async def choose(self, member: Member, sender: str) -> SenderRevision | None:
        """What a campaign may choose, by a revision's id or by its address."""
        usable = await self.approved(member)
        return next((one for one in usable if sender in (str(one.id), one.sender)), None)

    async def pending(
        self, member: Member, *, limit: int = 50, after: str | None = None
    ) -> Page[SenderRevision]:
        """What waits for a decision, the oldest first."""
        member.require(Action.DECIDE_SENDERS)
        return await self._workspaces.scope(member).find(
            SENDERS, {"state": "Pending"}, sort=Sort("created_at"), limit=limit, after=after
        )

    async def pending_count(self, member: Member) -> int:
        """How many wait; 0 for those who do not decide."""
        if not member.may(Action.DECIDE_SENDERS):
            return 0
        return await self._workspaces.scope(member).count(SENDERS, {"state": "Pending"})

    async def why_not_request(self, member: Member) -> str:
        """Why this member may not request a sender: a sentence, empty where they may."""
        if not member.may(Action.PROPOSE_SENDERS):
            return "Your role does not request sender IDs."
        if member.role is not Role.AUTHOR:
            return ""
        workspace = await self._workspaces.get(member)
        allowed = workspace.authors_may_request_senders
        return "" if allowed else "In this workspace only administrators request sender IDs."

    async def why_not(self, member: Member, revision: SenderRevision) -> str:
        """Why this member may not decide it: a sentence, empty where they may."""
        if not member.may(Action.DECIDE_SENDERS):
            return "Your role does not decide sender IDs."
        if revision.owned_by(member.actor.user_id) and not await self._own_approval(member):
            return OWN
        return "" if revision.state == "Pending" else "It does not wait for a decision."

    # Writing

    async def propose(
        self, member: Member, *, sender: str, purpose: str = "", kind: str = ""
    ) -> SenderRevision:
        """Draft and submit at once: of the sender with this address, or of a new one."""
        content, problems = read_content(sender, kind=kind, purpose=purpose)
        if problems:
            raise Invalid(problems)
        there = self._with_address(await self.senders(member), content.sender)
        draft = await self.draft(member, content, there.id if there is not None else None, again=True)
        return await self.submit(member, draft.id)

    async def draft(
        self, member: Member, content: Content, sender_id: Id | None = None, *, again: bool = False
    ) -> SenderRevision:
        """A new sender, or the next revision of one. Invalid where its address is another's, or nothing
        differs (unless `again`); Conflict while another revision is open or the sender is archived."""
        await self._require_request(member)
        senders = await self.senders(member)
        line = None
        if sender_id is not None:
            wanted = parse_id(SENDERS, sender_id)
            line = next((one for one in senders if one.id == wanted), None)
            if line is None:
                raise NotFound(SENDERS.noun)
            if line.open is not None:
                raise Conflict(BUSY)
            if line.shown.state == "Archived":
                raise Conflict("It is archived: restore it first.")
            if line.current is not None and line.current.content == content and not again:
                raise Invalid({"sender": "Nothing differs from what is approved."})
        self._require_free(senders, line, content.sender)
        revision = SenderRevision(
            id=uuid4(),
            workspace_id=member.workspace_id,
            sender_id=line.id if line is not None else uuid4(),
            revision=line.newest.revision + 1 if line is not None else 1,
            **_fields(content),
            state="Draft",
            open=True,
            author_id=member.actor.user_id,
            author=member.actor.name,
            contributors=(member.actor.user_id,),
            created_at=self._clock(),
        )
        before = line.current.content if line is not None and line.current is not None else None
        happened = self._with_event(member, revision, "sender.draft", before)
        try:
            return await self._workspaces.scope(member).insert(SENDERS, happened)
        except DuplicateKey:
            raise Conflict("Somebody else was first with a revision of it. Open it to see.") from None

    async def edit(self, member: Member, revision_id: Id, content: Content) -> SenderRevision:
        """Change a draft; who does is one of its authors."""
        await self._require_request(member)
        senders = await self.senders(member)
        found = await self.get(member, revision_id)
        self._require_free(senders, next(one for one in senders if one.id == found.line), content.sender)

        def decide(found: SenderRevision) -> SenderRevision:
            moved(found, "edit")
            if found.content == content:
                return found
            edited = msgspec.structs.replace(found, **_fields(content))
            return self._with_event(member, self._touched(member, edited), "sender.edit", found.content)

        try:
            return await self._change(member, found.id, decide)
        except DuplicateKey:
            raise Invalid({"sender": "Another sender has this address."}) from None

    async def submit(self, member: Member, revision_id: Id) -> SenderRevision:
        """Hand a draft to the moderators."""
        await self._require_request(member)
        now = self._clock()

        def decide(found: SenderRevision) -> SenderRevision:
            _, problems = read_content(found.sender, kind=found.content.kind, pe_id=found.pe_id)
            if problems:
                raise Invalid(problems)
            submitted = msgspec.structs.replace(moved(found, "submit"), submitted_at=now)
            return self._with_event(member, self._touched(member, submitted), "sender.propose")

        return await self._change(member, revision_id, decide)

    async def withdraw(self, member: Member, revision_id: Id) -> SenderRevision:
        """Take one back before its decision: it is a draft again. By its authors and administrators."""
        member.require(Action.PROPOSE_SENDERS)

        def decide(found: SenderRevision) -> SenderRevision:
            self._require_theirs(member, found)
            return self._with_event(member, moved(found, "withdraw"), "sender.withdraw")

        return await self._change(member, revision_id, decide)

    async def archive(self, member: Member, sender_id: Id) -> SenderRevision:
        """Hide a sender from those who choose. What was submitted with it, and what runs, goes on."""
        return await self._shelve(member, sender_id, "archive")

    async def restore(self, member: Member, sender_id: Id) -> SenderRevision:
        """Make an archived sender what it was."""
        return await self._shelve(member, sender_id, "restore")

    async def _shelve(self, member: Member, sender_id: Id, act: Act) -> SenderRevision:
        sender = await self.sender(member, sender_id)

        def decide(found: SenderRevision) -> SenderRevision:
            theirs = not found.was_approved and found.owned_by(member.actor.user_id)
            if not (theirs and member.may(Action.PROPOSE_SENDERS)):
                member.require(Action.DECIDE_SENDERS)
            return self._with_event(member, moved(found, act), f"sender.{act}")

        try:
            return await self._change(member, sender.shown.id, decide)
        except DuplicateKey:
            raise Conflict(BUSY) from None

    # Deciding

    async def decide(
        self,
        member: Member,
        revision_id: Id,
        *,
        approve: bool,
        note: str = "",
        submission: int | None = None,
    ) -> SenderRevision:
        """Approve or reject (with a note) somebody else's revision. AlreadyDecided says by whom; Changed
        where it was submitted anew since `submission` was looked at."""
        member.require(Action.DECIDE_SENDERS)
        note = note.strip()
        if not approve and not note:
            raise Invalid({"note": "Say why, so that it can be put right."})
        if len(note) > NOTE_LIMIT:
            raise Invalid({"note": f"Use at most {NOTE_LIMIT:,} characters."})
        act: Act = "approve" if approve else "reject"
        now = self._clock()
        own_approval = await self._own_approval(member)

        def decide(found: SenderRevision) -> SenderRevision:
            if found.decided_at is not None:
                verdict = "approved" if found.was_approved else "rejected"
                raise AlreadyDecided(found.decided_by, found.decided_at, verdict)
            decided = moved(found, act)
            if found.owned_by(member.actor.user_id) and not own_approval:
                raise Forbidden(OWN)
            if submission is not None and found.submissions != submission:
                raise Changed("sender ID")
            decided = msgspec.structs.replace(
                decided, decided_by=member.actor.name, decided_at=now, note=note
            )
            return self._with_event(member, decided, f"sender.{act}")

        return await self._change(member, revision_id, decide)

    # Inside

    async def _change(
        self, member: Member, revision_id: Id, decide: Callable[[SenderRevision], SenderRevision]
    ) -> SenderRevision:
        scope = self._workspaces.scope(member)
        revision = await scope.get(SENDERS, revision_id)
        return await change(scope, SENDERS, revision.id, decide)

    async def _own_approval(self, member: Member) -> bool:
        return (await self._workspaces.get(member)).own_approval

    async def _require_request(self, member: Member) -> None:
        member.require(Action.PROPOSE_SENDERS)
        if reason := await self.why_not_request(member):
            raise Forbidden(reason)

    @staticmethod
    def _require_theirs(member: Member, found: SenderRevision) -> None:
        if member.role is not Role.ADMIN and not found.owned_by(member.actor.user_id):
            raise Forbidden("Only its authors and administrators take it back.")

    @staticmethod
    def _with_address(senders: Lines, address: str) -> Sender | None:
        """Whose an address is: of the one that uses it now, else of the one that ever did."""
        of_it = [one for one in senders if any(each.sender == address for each in one.revisions)]
        return next((one for one in of_it if one.shown.sender == address), of_it[0] if of_it else None)

    def _require_free(self, senders: Lines, line: Sender | None, address: str) -> None:
        holder = self._with_address([one for one in senders if line is None or one.id != line.id], address)
        if holder is not None:
            raise Invalid({"sender": f"{holder.shown.sender} has or had this address: change that sender."})

    @staticmethod
    def _touched(member: Member, revision: SenderRevision) -> SenderRevision:
        if member.actor.user_id in revision.contributors:
            return revision
        contributors = (*revision.contributors, member.actor.user_id)
        return msgspec.structs.replace(revision, contributors=contributors)

    def _with_event(
        self, member: Member, revision: SenderRevision, action: str, before: Content | None = None
    ) -> SenderRevision:
        happened = acted(
            member,
            action,
            self._clock(),
            target=revision,
            target_name=revision.sender,
            details={"revision": revision.revision, "note": revision.note, "state": revision.state},
            changes=_told(before, revision.content) if action in ("sender.draft", "sender.edit") else {},
        )
        return with_event(revision, happened)


def _fields(content: Content) -> dict[str, Any]:
    return {name: getattr(content, name) for name in ("sender", "kind", "pe_id", "channels", "purpose")}


def _told(before: Content | None, now: Content) -> dict[str, tuple[object, object]]:
    """The differences as the audit writes them: lists with commas."""

    def word(value: object) -> object:
        return ", ".join(value) if isinstance(value, tuple) else value

    return {name: (word(old), word(new)) for name, (old, new) in differences(before, now).items()}
