"""Campaigns of a workspace: written, filled with recipients, submitted and controlled."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import partial
from typing import Any
from uuid import uuid4

import msgspec

from control_plane.access import Action, Member
from control_plane.audit.outbox import with_event
from control_plane.campaigns.content_rules import channel_problem, sealed_options
from control_plane.campaigns.engine_errors import engine, sentence
from control_plane.campaigns.model import (
    CAMPAIGNS,
    Campaign,
    Control,
    Live,
    Order,
    Told,
)
from control_plane.campaigns.options import read_channel, read_options
from control_plane.campaigns.orders import order, with_order
from control_plane.campaigns.reader import CampaignReader, Id
from control_plane.campaigns.review import content_problems
from control_plane.documents.change import change
from control_plane.documents.store import VersionConflict
from control_plane.errors import Changed, Conflict, Invalid, NotFound, WrongOffset
from control_plane.senders.model import SenderRevision
from control_plane.templates.model import TemplateVersion
from engine.core_api import schema

FILE_NAME_LIMIT = 255
TOLD_KEPT = 100  # pauses and resumes in a campaign's own history; the audit has all


class Campaigns(CampaignReader):
    """A workspace's campaigns; every call takes the member who asks."""

    async def create(
        self,
        member: Member,
        *,
        name: str,
        sender: str = "",
        text: str = "",
        channel: str = "",
        template: str = "",
        options: Mapping[str, str] | None = None,
    ) -> Campaign:
        """A draft. `sender` is a revision's id or a sender's name, `channel` a name, "" (the engine's first)
        or BY_ROUTES, `template` the id of an approved version, whose text it then takes, `options` as the
        form has them.

        Invalid names the wrong fields.
        """
        member.require(Action.EDIT_CAMPAIGNS)
        problems = content_problems(name, text)
        chosen = read_options(options or {}, schema.NO_OPTIONS, problems)
        version = await self._chosen_template(member, template, problems)
        revision = await self._chosen(member, sender, problems, read_channel(channel))
        if version is not None:
            chosen |= templated(version, chosen.get("options", schema.NO_OPTIONS))
        chosen.setdefault("text", _newlines(text))
        now = self._clock()
        draft = Campaign(
            id=uuid4(),
            workspace_id=member.workspace_id,
            name=name.strip(),
            sender_revision_id=revision.id if revision else None,
            sender=revision.sender if revision else "",
            **read_channel(channel),
            **chosen,
            author_id=member.actor.user_id,
            author=member.actor.name,
            contributors=(member.actor.user_id,),
            created_at=now,
            changed_at=now,
        )
        happened = self._event(member, "campaign.create", draft)
        return await self._scope(member).insert(CAMPAIGNS, with_event(draft, happened))

    async def edit(
        self,
        member: Member,
        campaign_id: Id,
        *,
        name: str | None = None,
        sender: str | None = None,
        text: str | None = None,
        channel: str | None = None,
        template: str | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Campaign:
        """What is not None changes; `template` "" makes it free text. After submitting only the name may:
        anything else is Conflict."""
        member.require(Action.EDIT_CAMPAIGNS)
        problems = content_problems(name, text)
        read_options(options or {}, schema.NO_OPTIONS, problems)
        version = await self._chosen_template(member, template or "", problems)
        revision = await self._chosen(
            member, sender or "", problems, read_channel(channel) if channel else {}
        )
        wanted: dict[str, object] = {}
        if name is not None:
            wanted["name"] = name.strip()
        if text is not None:
            wanted["text"] = _newlines(text)
        if channel is not None:
            wanted |= read_channel(channel)
        if sender is not None:
            wanted["sender_revision_id"] = revision.id if revision else None
            wanted["sender"] = revision.sender if revision else ""
        if template is not None:
            wanted |= {"template_version_id": None, "template": ""}

        def decide(found: Campaign) -> Campaign:
            told = {**wanted, **read_options(options or {}, found.options, {})}
            if version is not None:
                told |= templated(version, told.get("options", found.options))
            elif (
                template is None and found.template_version_id and told.get("text", found.text) != found.text
            ):
                raise Invalid({"text": "The text is its template's. Choose free text to change it."})
            changed = {field: value for field, value in told.items() if getattr(found, field) != value}
            if not changed:
                return found
            if changed.keys() - {"name"}:
                _require_new(found)
            edited = msgspec.structs.replace(found, **changed)
            details = {"fields": ", ".join(sorted(changed))}
            return self._touched(
                member,
                edited,
                "campaign.edit",
                details,
                content=bool(changed.keys() - {"name"}),
                changes=dict(_differences(found, changed)),
            )

        return await self._change(member, campaign_id, decide)

    async def submit(self, member: Member, campaign_id: Id) -> Campaign:
        """Hand it to the moderators: Pending once the engine has sealed it, else Building until it has.

        Invalid with the problems where it is not ready or the engine refuses its content.
        """
        member.require(Action.EDIT_CAMPAIGNS)
        seen = await self.get(member, campaign_id)
        _require_new(seen)
        review = await self._reviewed(member, seen)
        if not review.ready:
            raise Invalid(review.problems)
        sender = review.sender
        channel = "" if seen.by_routes else seen.channel or review.channels[0]
        assert sender is not None
        assert seen.upload_id is not None
        options = sealed_options(seen, sender)
        spec = schema.CampaignSpec(
            decision_id=uuid4(),
            campaign_id=uuid4() if seen.submissions else seen.id,
            workspace_id=member.workspace_id,
            name=seen.name,
            channel=channel,
            sender=sender.sender,
            sender_revision_id=sender.id,
            text=seen.text,
            upload_id=seen.upload_id,
            options=options,
            in_doubt=seen.in_doubt,
            lane=seen.lane,
            category=seen.category,
        )
        now = self._clock()
        seal = Order(
            decision_id=spec.decision_id,
            kind="seal",
            target_id=spec.campaign_id,
            by=member.actor.name,
            at=now,
            spec=spec,
        )

        def decide(found: Campaign) -> Campaign:
            _require_new(found)
            if found.revision != seen.revision:
                raise Changed("campaign")
            submitted = msgspec.structs.replace(
                found,
                state="Building",
                channel=channel,
                options=options,
                engine_id=spec.campaign_id,
                submissions=found.submissions + 1,
                manifest_hash="",
                decision=None,
                submitted_at=now,
                submitted_by=member.actor.name,
            )
            return with_order(self._touched(member, submitted, "campaign.submit"), seal)

        submitted, refused = await self._orders.attempt(await self._change(member, campaign_id, decide))
        if problem := refused.get(seal.decision_id):
            raise Invalid({"campaign": sentence(problem)})
        return submitted

    async def withdraw(self, member: Member, campaign_id: Id) -> Campaign:
        """Take a submitted campaign back before it is decided: it can be edited again."""
        member.require(Action.EDIT_CAMPAIGNS)
        now = self._clock()

        def decide(found: Campaign) -> Campaign:
            if found.state not in ("Building", "Pending") or found.engine_id is None:
                raise Conflict("Only a campaign that waits for its decision can be withdrawn.")
            taken = order("return", found.engine_id, member.actor.name, now)
            back = msgspec.structs.replace(found, state="New", engine_id=None, manifest_hash="")
            return with_order(self._touched(member, back, "campaign.withdraw", content=False), taken)

        return (await self._orders.attempt(await self._change(member, campaign_id, decide)))[0]

    async def delete(self, member: Member, campaign_id: Id) -> None:
        """A draft and its recipients. EngineUnavailable: nothing is deleted yet."""
        member.require(Action.EDIT_CAMPAIGNS)
        campaign = await self.get(member, campaign_id)
        _require_new(campaign)
        campaign, _ = await self._orders.issue(campaign.id)
        _require_new(campaign)
        if campaign.upload_id is not None:
            try:
                with engine("file"):
                    await self._core.discard_upload(campaign.upload_id)
            except (NotFound, Conflict):
                pass  # never begun, or kept by the engine with an earlier submission
        deleted = self._event(member, "campaign.delete", campaign)
        while True:
            for happened in (*campaign.outbox, deleted):
                await self._audit.record_once(happened)
            try:
                return await self._scope(member).delete(CAMPAIGNS, campaign.id, campaign.version)
            except VersionConflict:
                seen, campaign = campaign, await self.get(member, campaign.id)
                if campaign.revision != seen.revision:
                    raise Changed("campaign") from None  # by a person, not by the audit's sweeper

    # Recipients

    async def receive(
        self,
        member: Member,
        campaign_id: Id,
        body: AsyncIterator[bytes],
        *,
        offset: int,
        file_name: str,
        size_bytes: int | None = None,
        length: int | None = None,
    ) -> schema.Upload:
        """Stream a file, or the rest of one, to the engine; nothing of it is kept here.

        `offset` 0 begins (a file that was there goes), any other must be the file's `byte_offset`, else
        WrongOffset. `length` is the body's; the file is complete when offset + length reaches `size_bytes`.
        Without both, the body's end is the file's.
        """
        member.require(Action.EDIT_CAMPAIGNS)
        if offset < 0 or (size_bytes is not None and size_bytes < 0):
            raise Invalid({"offset": "Sizes and offsets are not negative."})
        campaign = await self.get(member, campaign_id)
        _require_new(campaign)
        upload = await self._reviews.upload(campaign)
        if upload is not None and member.actor.user_id not in campaign.contributors:
            campaign = await self._change(member, campaign.id, partial(self._continued, member))
        if offset == 0:
            upload = await self._begin(member, campaign, file_name, size_bytes, upload)
        elif upload is None or upload.byte_offset != offset:
            raise WrongOffset(upload.byte_offset if upload is not None else 0)
        elif upload.state != "open":
            return upload
        final = size_bytes is None or length is None or offset + length >= size_bytes
        try:
            with engine("file"):
                return await self._core.send_upload(upload.upload_id, offset, body, final=final)
        except Conflict:
            there = await self._reviews.upload(campaign)
            if there is not None and there.byte_offset != offset:
                raise WrongOffset(there.byte_offset) from None
            raise

    async def discard_upload(self, member: Member, campaign_id: Id) -> Campaign:
        """Take the recipients off a draft."""
        member.require(Action.EDIT_CAMPAIGNS)
        now = self._clock()

        def decide(found: Campaign) -> Campaign:
            _require_new(found)
            if found.upload_id is None:
                return found
            gone = order("discard", found.upload_id, member.actor.name, now)
            bare = msgspec.structs.replace(found, upload_id=None, file_name="")
            return with_order(self._touched(member, bare, "campaign.discard_recipients"), gone)

        return (await self._orders.attempt(await self._change(member, campaign_id, decide)))[0]

    def _continued(self, member: Member, found: Campaign) -> Campaign:
        """Who sends any of a file's bytes is a contributor, also where somebody else began it."""
        _require_new(found)
        return self._touched(member, found, "campaign.upload", {"file": found.file_name})

    async def _begin(
        self,
        member: Member,
        campaign: Campaign,
        file_name: str,
        size_bytes: int | None,
        present: schema.Upload | None,
    ) -> schema.Upload:
        file_name = _base_name(file_name)
        if present is not None and present.state == "open" and present.byte_offset == 0:
            same = present.file_name == file_name and present.size_bytes == size_bytes
            if same:
                return present
        workspace = await self._workspaces.get(member)
        upload_id = uuid4()
        now = self._clock()

        def decide(found: Campaign) -> Campaign:
            _require_new(found)
            filled = msgspec.structs.replace(found, upload_id=upload_id, file_name=file_name)
            filled = self._touched(member, filled, "campaign.upload", {"file": file_name})
            if found.upload_id is None:
                return filled
            return with_order(filled, order("discard", found.upload_id, member.actor.name, now))

        await self._orders.attempt(await self._change(member, campaign.id, decide))
        with engine("file"):
            return await self._core.create_upload(
                schema.UploadSpec(
                    upload_id=upload_id,
                    workspace_id=member.workspace_id,
                    file_name=file_name,
                    size_bytes=size_bytes,
                    default_country=workspace.default_country,
                )
            )

    # Control

    async def command(self, member: Member, campaign_id: Id, control: Control) -> Live:
        """Pause, resume or cancel. Stored first: with the engine away it is done as soon as it is back.

        Conflict where the campaign is in no state for it.
        """
        member.require(Action.CONTROL_CAMPAIGNS)
        now = self._clock()
        decision_id = uuid4()

        def decide(found: Campaign) -> Campaign:
            if found.state != "Approved" or found.engine_id is None:
                raise Conflict(f"A campaign that is not sending cannot {control}.")
            wanted = order(control, found.engine_id, member.actor.name, now, decision_id)
            told = Told(decision_id=decision_id, control=control, by=member.actor.name, at=now)
            history = (*found.told, told)[-TOLD_KEPT:]
            noted = with_event(found, self._event(member, f"campaign.{control}", found))
            return with_order(msgspec.structs.replace(noted, told=history), wanted)

        campaign, refused = await self._orders.attempt(await self._change(member, campaign_id, decide))
        if problem := refused.get(decision_id):
            raise Conflict(sentence(problem))
        return (await self.lives(member, [campaign]))[0]

    # Inside

    async def _change(
        self, member: Member, campaign_id: Id, decide: Callable[[Campaign], Campaign]
    ) -> Campaign:
        campaign = await self.get(member, campaign_id)  # who writes or controls one has to see it
        return await change(self._scope(member), CAMPAIGNS, campaign.id, decide)

    def _touched(
        self,
        member: Member,
        campaign: Campaign,
        action: str,
        details: dict[str, str] | None = None,
        *,
        content: bool = True,
        changes: Mapping[str, tuple[object, object]] | None = None,
    ) -> Campaign:
        """With the change's event; who changes content is a contributor and will not decide it."""
        contributors = campaign.contributors
        if content and member.actor.user_id not in contributors:
            contributors = (*contributors, member.actor.user_id)
        touched = msgspec.structs.replace(
            campaign, revision=campaign.revision + 1, changed_at=self._clock(), contributors=contributors
        )
        return with_event(touched, self._event(member, action, campaign, details, changes))

    async def _chosen_template(
        self, member: Member, version_id: str, problems: dict[str, str]
    ) -> TemplateVersion | None:
        if not version_id:
            return None
        try:
            version = await self._templates.version(member, version_id)
        except NotFound:
            version = None
        if version is None or version.status != "APPROVED":
            problems["template"] = "This is not an approved template of the workspace."
        return version

    async def _chosen(
        self, member: Member, sender: str, problems: dict[str, str], way: Mapping[str, Any]
    ) -> SenderRevision | None:
        revision = await self._senders.choose(member, sender) if sender else None
        if sender and revision is None:
            problems["sender"] = "This is not an approved sender of the workspace."
        if revision is not None and (way.get("channel") or way.get("by_routes")):
            problem = channel_problem(revision, way["channel"], way["by_routes"])
            problems |= {"channel": problem} if problem else {}
        if problems:
            raise Invalid(problems)
        return revision


def _require_new(campaign: Campaign) -> None:
    if campaign.archived:
        raise Conflict("It is archived. Restore it first.")
    if campaign.state == "Approved":
        raise Conflict("It is approved: what was approved is what is sent. Copy it to change it.")
    if campaign.state != "New":
        raise Conflict("It is submitted. Withdraw it to change it.")


def templated(version: TemplateVersion, options: schema.MessageOptions) -> dict[str, Any]:
    """A draft's fields that its template says: the text, and under which id it is registered."""
    dlt = {"dlt_template_id": version.content.dlt_template_id} if version.content.dlt_template_id else {}
    return {
        "template_version_id": version.id,
        "template": f"{version.name}, version {version.revision}",
        "text": version.content.body,
        "options": msgspec.structs.replace(options, **dlt),
    }


def _differences(
    found: Campaign, changed: Mapping[str, object]
) -> Iterator[tuple[str, tuple[object, object]]]:
    """Before and after, of the options each by its own name."""
    for field, value in changed.items():
        before = getattr(found, field)
        if isinstance(value, msgspec.Struct):
            for name in value.__struct_fields__:
                yield f"{field} {name}", (getattr(before, name), getattr(value, name))
        else:
            yield field, (before, value)


def _base_name(file_name: str) -> str:
    """Without the folders and NULs of whoever sent it."""
    base = file_name.replace("\x00", "").replace("\\", "/").rpartition("/")[2]
    return base.strip()[:FILE_NAME_LIMIT] or "recipients"


def _newlines(text: str) -> str:
    """Forms send CRLF; a message has LF."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
