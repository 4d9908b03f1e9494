"""One person's number in a workspace: what is held about it, given out as a file, erased with a certificate.

The number is in no address, log, document or audit entry: those have ctn_hash. What is of the installation
and of no workspace (inbound messages, orphan receipts, traces, test messages) is looked into only by those
who run it, for the whole installation at once.
"""

import hashlib
import re
from collections.abc import Mapping
from uuid import UUID

import msgspec

from control_plane.access import Action, Member
from control_plane.audit.audit import Audit
from control_plane.audit.outbox import AUDIT, Event, acted, mask_numbers, with_event
from control_plane.campaigns.engine_errors import engine
from control_plane.campaigns.model import CAMPAIGNS
from control_plane.clock import Clock
from control_plane.core import Core
from control_plane.documents.change import change
from control_plane.documents.records import Page, Sort
from control_plane.documents.scope import WorkspaceScope
from control_plane.documents.store import PAGE_LIMIT, DocumentStore, DuplicateKey
from control_plane.erasure.model import ERASURES, Certificate, Erasure
from control_plane.errors import Conflict, ControlPlaneError, EngineUnavailable, Invalid
from control_plane.exports.exports import Exports
from control_plane.workspaces.numbers import ctn_hash
from control_plane.workspaces.workspaces import Workspaces
from engine.core_api import schema

Words = list[bytes]

REASON_LIMIT = 200
UUID_TEXT = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NOTES = (
    "Backups are not changed: they go when their own time is over.",
    "Receipts and the seals of dropped messages hold no number. Counts and sums of campaigns stay.",
    "Texts and notes of campaigns that somebody wrote the number into are not looked into.",
)
IN_NO_AUDIT = "The audit of the workspace holds no number: its entries about this person have ctn_hash."
IN_THE_AUDIT = "Audit entries that hold the number itself: {count}. They are chained and not changed."
OF_THE_WORKSPACE_ONLY = (
    "Inbound messages, orphan receipts, test messages and traces belong to the installation and to no "
    "workspace: its administrators erase those."
)


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What is held. `in_use`: campaigns and files that still need the number, in words."""

    ctn_hash: str
    everywhere: bool
    counts: dict[str, int]
    records: list[schema.PersonRecord]
    cut: bool
    in_use: list[str]
    exports: list[str]  # file names
    audit_entries: int
    audit_numbers: int

    @property
    def total(self) -> int:
        return sum(self.counts.values()) + len(self.exports)


class PeopleData:
    def __init__(
        self,
        store: DocumentStore,
        core: Core,
        workspaces: Workspaces,
        exports: Exports,
        audit: Audit,
        clock: Clock,
    ) -> None:
        self._store = store
        self._core = core
        self._workspaces = workspaces
        self._exports = exports
        self._audit = audit
        self._clock = clock

    async def find(self, member: Member, number: str, *, everywhere: bool = False) -> Findings:
        """Look for it everywhere it may stand; audited before. Invalid for what is no number."""
        return await self._look(member, number, "person.find", everywhere=everywhere)

    async def give_out(self, member: Member, number: str, *, everywhere: bool = False) -> bytes:
        """All of it as JSON, for the person it is about; audited before."""
        digits = digits_of(number)
        found = await self._look(member, number, "person.export", everywhere=everywhere)
        workspace = await self._workspaces.get(member)
        stores: dict[str, list[dict[str, object]]] = {}
        for one in found.records:
            told: dict[str, object] = {**one.held}
            if one.at is not None:
                told["at"] = one.at
            if one.campaign_id is not None:
                told["campaign_id"] = one.campaign_id
            stores.setdefault(one.store, []).append(told)
        content = {
            "number": f"+{digits}",
            "workspace": workspace.name,
            "made_at": self._clock(),
            "complete": not found.cut,
            "counts": found.counts,
            "records": stores,
            "exports": found.exports,
            "audit_entries": found.audit_entries,
        }
        return msgspec.json.format(msgspec.json.encode(content), indent=2)

    async def erase(
        self, member: Member, number: str, *, decision_id: UUID, reason: str = "", everywhere: bool = False
    ) -> Erasure:
        """Erase it; the same decision again gives what was done.

        Conflict, with what needs it, while a campaign that may still send holds the number: nothing is erased
        then. Whatever breaks off in the middle is done by erasing again.
        """
        self._require(member, everywhere)
        digits, reason = digits_of(number), mask_numbers(reason.strip())
        if len(reason) > REASON_LIMIT:
            raise Invalid({"reason": f"Use at most {REASON_LIMIT} characters."})
        begun = await self._begin(member, digits, decision_id, reason, everywhere)
        if begun.state == "done":
            return begun
        found = await self._look(member, number, "person.erase", everywhere=everywhere)
        order = schema.ErasureSpec(
            decision_id=decision_id,
            msisdn=digits,
            reason=reason,
            workspace_id=None if everywhere else member.workspace_id,
        )
        try:
            with engine("number"):
                done = await self._core.erase(order)
        except EngineUnavailable:
            raise
        except ControlPlaneError as error:
            why = await self._in_words(member, str(error))
            await self._refused(member, begun, why)
            raise Conflict(why) from error
        words = await self._words(member, digits, everywhere)
        gone, anew = await self._exports.forget(words, order.workspace_id)
        left = await self._ask(member, digits, everywhere)
        workspace = await self._workspaces.get(member)
        certificate = Certificate(
            certificate_id=str(decision_id),
            workspace=workspace.name,
            everywhere=everywhere,
            ctn_hash=found.ctn_hash,
            number_hash=done.number_hash,
            engine_record=str(done.erasure_id),
            reason=reason,
            asked_at=begun.asked_at,
            done_at=self._clock(),
            by=member.actor.email,
            found=found.counts,
            erased=done.erased,
            left=left.counts,
            exports_removed=gone,
            exports_begun_anew=anew,
            audit_entries=found.audit_entries,
            audit_numbers=found.audit_numbers,
            notes=_notes(found),
        )
        certificate = msgspec.structs.replace(certificate, hash=certificate_hash(certificate))
        return await self._done(member, begun, certificate)

    async def list(self, member: Member, *, limit: int = 20, after: str | None = None) -> Page[Erasure]:
        member.require(Action.ERASE_PEOPLE)
        by_time = Sort("asked_at", descending=True)
        return await self._scope(member).find(ERASURES, sort=by_time, limit=limit, after=after)

    async def get(self, member: Member, erasure_id: str) -> Erasure:
        member.require(Action.ERASE_PEOPLE)
        return await self._scope(member).get(ERASURES, erasure_id)

    async def retention(self, member: Member) -> schema.RetentionReport:
        """What the engine keeps of the workspace how long, and what has gone."""
        member.require(Action.ERASE_PEOPLE)
        with engine("workspace"):
            return await self._core.retention(member.workspace_id)

    # Inside

    def _require(self, member: Member, everywhere: bool) -> None:
        member.require(Action.ERASE_PEOPLE)
        if everywhere:
            member.actor.require(Action.MANAGE_WORKSPACES)

    async def _look(self, member: Member, number: str, action: str, *, everywhere: bool) -> Findings:
        self._require(member, everywhere)
        digits = digits_of(number)
        key = await self._ctn_hash(member, digits)
        now = self._clock()
        details = {"ctn_hash": key, "where": "the installation" if everywhere else "the workspace"}
        await self._audit.record(acted(member, action, now, target_kind="person", details=details))
        found = await self._ask(member, digits, everywhere)
        where = None if everywhere else member.workspace_id
        words = await self._words(member, digits, everywhere)
        exports = await self._exports.holding(words, where)
        entries, numbers = await self._in_audit(member, digits, key)
        return Findings(
            ctn_hash=key,
            everywhere=everywhere,
            counts=found.counts,
            records=found.records,
            cut=found.cut,
            in_use=[await self._in_words(member, one) for one in found.in_use],
            exports=[export.file_name for export in exports],
            audit_entries=entries,
            audit_numbers=numbers,
        )

    async def _ask(self, member: Member, digits: str, everywhere: bool) -> schema.PersonFound:
        question = schema.PersonQuestion(
            msisdn=digits, workspace_id=None if everywhere else member.workspace_id
        )
        with engine("number"):
            return await self._core.find_person(question)

    async def _ctn_hash(self, member: Member, digits: str) -> str:
        workspace = await self._workspaces.get(member)
        return ctn_hash(self._workspaces.ctn_key(workspace), digits)

    async def _words(self, member: Member, digits: str, everywhere: bool) -> Words:
        """By which a file is known to have the number: whole, and masked by the key of its workspace."""
        if everywhere:
            workspaces = await self._workspaces.every(member.actor, Action.MANAGE_WORKSPACES)
        else:
            workspaces = [await self._workspaces.get(member)]
        hashes = [ctn_hash(self._workspaces.ctn_key(workspace), digits) for workspace in workspaces]
        return [word.encode() for word in (digits, *hashes)]

    async def _in_audit(self, member: Member, digits: str, key: str) -> tuple[int, int]:
        """Entries of the workspace that tell of it by ctn_hash, and that hold the number itself (never, if
        every entry was masked as it was written: here that is looked into)."""
        entries = numbers = 0
        after = None
        while True:
            where = {"workspace_id": member.workspace_id}
            page = await self._store.find(AUDIT, where, limit=PAGE_LIMIT, after=after)
            for happened in page.records:
                told = _told(happened)
                entries += key in told
                numbers += digits in told
            if page.next is None:
                return entries, numbers
            after = page.next

    async def _in_words(self, member: Member, told: str) -> str:
        """The engine's sentence with the names of the workspace's campaigns in place of ids."""
        for text in set(UUID_TEXT.findall(told)):
            for field in ("engine_id", "upload_id"):
                page = await self._scope(member).find(CAMPAIGNS, {field: UUID(text)}, limit=1)
                if page.records:
                    told = told.replace(text, f"“{page.records[0].name}”")
                    break
        return told

    async def _begin(
        self, member: Member, digits: str, decision_id: UUID, reason: str, everywhere: bool
    ) -> Erasure:
        key = await self._ctn_hash(member, digits)
        begun = Erasure(
            id=decision_id,
            workspace_id=member.workspace_id,
            ctn_hash=key,
            everywhere=everywhere,
            reason=reason,
            asked_at=self._clock(),
            by=member.actor.email,
        )
        try:
            return await self._scope(member).insert(ERASURES, begun)
        except DuplicateKey:
            there = await self._scope(member).get(ERASURES, decision_id)
            if (there.ctn_hash, there.everywhere) != (key, everywhere):
                raise Conflict("This form was sent for another number. Look for this one first.") from None
            return there

    async def _refused(self, member: Member, begun: Erasure, why: str) -> None:
        def decide(found: Erasure) -> Erasure:
            if found.state == "done":
                return found
            refused = msgspec.structs.replace(found, state="refused", answer=mask_numbers(why))
            details = {"ctn_hash": begun.ctn_hash, "reason": why}
            return with_event(refused, self._event(member, "person.erase_refused", refused, details))

        await change(self._scope(member), ERASURES, begun.id, decide)

    async def _done(self, member: Member, begun: Erasure, certificate: Certificate) -> Erasure:
        def decide(found: Erasure) -> Erasure:
            if found.state == "done":
                return found
            done = msgspec.structs.replace(found, state="done", answer="", certificate=certificate)
            details = {
                "ctn_hash": certificate.ctn_hash,
                "erased": _counted(certificate.erased),
                "left": _counted(certificate.left),
                "exports": certificate.exports_removed,
                "certificate": certificate.hash,
            }
            return with_event(done, self._event(member, "person.erased", done, details))

        return await change(self._scope(member), ERASURES, begun.id, decide)

    def _event(self, member: Member, action: str, about: Erasure, details: Mapping[str, object]) -> Event:
        return acted(member, action, self._clock(), target=about, target_kind="person", details=details)

    def _scope(self, member: Member) -> WorkspaceScope:
        return self._workspaces.scope(member)


def digits_of(number: str) -> str:
    """A number as people write it, with its country code: its digits. Invalid for anything else."""
    written = re.sub(r"[\s().\-/]", "", number)
    digits = written.removeprefix("+") if written.startswith("+") else written.removeprefix("00")
    if not (digits.isascii() and digits.isdigit() and 7 <= len(digits) <= 15) or digits.startswith("0"):
        raise Invalid(
            {"number": "Write one number with its country code: 7 to 15 digits, as +49 151 1234567."}
        )
    return digits


def certificate_hash(certificate: Certificate) -> str:
    """SHA-256 over its JSON without `hash`, keys in order."""
    content = msgspec.to_builtins(certificate)
    del content["hash"]
    return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()


def _notes(found: Findings) -> tuple[str, ...]:
    audit = IN_THE_AUDIT.format(count=found.audit_numbers) if found.audit_numbers else IN_NO_AUDIT
    return (*NOTES, audit) if found.everywhere else (*NOTES, audit, OF_THE_WORKSPACE_ONLY)


def _told(happened: Event) -> str:
    """An entry's words, without its own ids and times."""
    words = [happened.target_name, happened.actor, happened.action]
    words += [text for item in happened.details.items() for text in item]
    words += [text for name, pair in happened.changes.items() for text in (name, *pair)]
    return " ".join(words)


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{store} {count}" for store, count in sorted(counts.items())) or "nothing"
