"""Sender IDs of a workspace: proposed, decided by somebody else, chosen by campaigns."""

import re
from uuid import UUID, uuid4

import msgspec

from control_plane.access import Action, Member
from control_plane.audit.outbox import event, with_event
from control_plane.clock import Clock
from control_plane.documents.change import change
from control_plane.documents.records import Sort
from control_plane.documents.store import PAGE_LIMIT, DuplicateKey
from control_plane.errors import AlreadyDecided, Forbidden, Invalid, NotFound
from control_plane.senders.model import SENDERS, SenderRevision, SenderState
from control_plane.workspaces.workspaces import Workspaces

# TS 23.040 §9.1.2.5: an alphanumeric address holds eleven septets; a number at most fifteen digits (E.164).
ALPHANUMERIC = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 ._&+-]{1,11}")
NUMERIC = re.compile(r"\+?\d{3,15}")

Revisions = list[SenderRevision]


class Senders:
    def __init__(self, workspaces: Workspaces, clock: Clock) -> None:
        self._workspaces = workspaces
        self._clock = clock

    async def list(self, member: Member) -> Revisions:
        """All revisions, by sender, newest first."""
        member.require(Action.VIEW_SENDERS)
        page = await self._workspaces.scope(member).find(SENDERS, sort=Sort("sender"), limit=PAGE_LIMIT)
        return sorted(page.records, key=lambda one: (one.sender.casefold(), one.sender, -one.revision))

    async def approved(self, member: Member) -> Revisions:
        """The newest approved revision of each sender: what a campaign may choose."""
        newest: dict[str, SenderRevision] = {}
        for revision in await self.list(member):
            if revision.state == "Approved":
                newest.setdefault(revision.sender, revision)
        return [*newest.values()]

    async def choose(self, member: Member, sender: str) -> SenderRevision | None:
        """An approved revision by its id, or the newest of a sender by its name."""
        try:
            revision = await self._workspaces.scope(member).get(SENDERS, sender)
            return revision if revision.state == "Approved" else None
        except NotFound:
            return next((one for one in await self.approved(member) if one.sender == sender), None)

    async def propose(self, member: Member, *, sender: str, purpose: str = "") -> SenderRevision:
        """A new revision, which somebody else has to approve."""
        member.require(Action.PROPOSE_SENDERS)
        if not (ALPHANUMERIC.fullmatch(sender) or NUMERIC.fullmatch(sender)):
            raise Invalid({"sender": "Use up to 11 letters and digits, or a number of 3 to 15 digits."})
        scope = self._workspaces.scope(member)
        while True:
            now = self._clock()
            earlier = (await scope.find(SENDERS, {"sender": sender}, limit=PAGE_LIMIT)).records
            revision = SenderRevision(
                id=uuid4(),
                workspace_id=member.workspace_id,
                sender=sender,
                revision=1 + max((one.revision for one in earlier), default=0),
                purpose=purpose.strip(),
                author_id=member.actor.user_id,
                author=member.actor.name,
                created_at=now,
            )
            try:
                return await scope.insert(SENDERS, self._with_event(member, revision, "sender.propose"))
            except DuplicateKey:
                continue  # another proposal took the number

    async def decide(
        self, member: Member, revision_id: UUID | str, *, approve: bool, note: str = ""
    ) -> SenderRevision:
        """Approve or reject (with a note) somebody else's proposal. AlreadyDecided says by whom."""
        member.require(Action.DECIDE_SENDERS)
        if not approve and not note.strip():
            raise Invalid({"note": "Say why, so that it can be put right."})
        verdict: SenderState = "Approved" if approve else "Rejected"
        now = self._clock()

        def decide(found: SenderRevision) -> SenderRevision:
            if found.state != "Pending":
                raise AlreadyDecided(found.decided_by, found.decided_at or now, found.state.lower())
            if found.author_id == member.actor.user_id:
                raise Forbidden("You proposed it: somebody else decides.")
            decided = msgspec.structs.replace(
                found, state=verdict, decided_by=member.actor.name, decided_at=now, note=note.strip()
            )
            return self._with_event(member, decided, "sender.approve" if approve else "sender.reject")

        scope = self._workspaces.scope(member)
        revision = await scope.get(SENDERS, revision_id)
        return await change(scope, SENDERS, revision.id, decide)

    def _with_event(self, member: Member, revision: SenderRevision, action: str) -> SenderRevision:
        happened = event(
            action,
            self._clock(),
            actor_id=member.actor.user_id,
            actor=member.actor.email,
            address=member.actor.address,
            workspace_id=member.workspace_id,
            target=revision,
            target_name=revision.sender,
            details={"revision": revision.revision, "note": revision.note},
        )
        return with_event(revision, happened)
