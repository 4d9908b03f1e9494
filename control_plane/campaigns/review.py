"""What has to be right before a campaign is submitted, and what it will be."""

from collections import OrderedDict

import msgspec

from control_plane.campaigns.engine_errors import engine
from control_plane.campaigns.model import Campaign, Review
from control_plane.core import Core
from control_plane.errors import NotFound
from control_plane.senders.model import SenderRevision
from control_plane.workspaces.numbers import masked
from engine.core_api import schema

NAME_LIMIT = 100
TEXT_LIMIT = 10_000
COUNTS_KEPT = 32


class Reviews:
    """Dry runs are kept a while: the same text over the same finished file counts the same."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._counts: OrderedDict[tuple[object, ...], schema.TextCount] = OrderedDict()

    async def upload(self, campaign: Campaign) -> schema.Upload | None:
        """The campaign's file as the engine has it; None without one, or where it never began."""
        if campaign.upload_id is None:
            return None
        try:
            with engine("file"):
                return await self._core.upload(campaign.upload_id)
        except NotFound:
            return None

    async def review(self, campaign: Campaign, sender: SenderRevision | None) -> Review:
        upload = await self.upload(campaign)
        channels = await self._channels()
        problems = found_problems(campaign, sender, upload, channels)
        if campaign.by_routes and not await self._any_route(campaign):
            problems["channel"] = "No route is set up for this workspace: choose a channel."
        count = None
        if upload is not None and upload.state == "complete" and campaign.text:
            channel = "" if campaign.by_routes else campaign.channel or next(iter(channels), "")
            count = await self.count(
                campaign.text,
                campaign.sender,
                upload,
                channel=channel if channel in channels else "",
                options=campaign.options,
            )
            if count.rejected and count.rejected == count.recipients:
                problems["text"] = "Every message has characters that its options reject: none would go out."
            if count.unknown_columns:
                names = ", ".join(count.unknown_columns)
                problems["text"] = f"The file has no column named {names}."
        return Review(campaign, sender, upload, count, channels, problems)

    async def count(
        self,
        text: str,
        sender: str,
        upload: schema.Upload,
        *,
        channel: str = "",
        options: schema.MessageOptions = schema.NO_OPTIONS,
    ) -> schema.TextCount:
        """Parts and costs over all recipients, as the channel sends; numbers in the samples are masked."""
        key = (text, sender, upload.upload_id, upload.accepted, channel, msgspec.json.encode(options))
        if key in self._counts:
            self._counts.move_to_end(key)
            return self._counts[key]
        with engine("text"):
            count = await self._core.count_text(
                schema.TextSpec(
                    text=text, sender=sender, upload_id=upload.upload_id, channel=channel, options=options
                )
            )
        count = msgspec.structs.replace(
            count,
            samples=[_masked(sample) for sample in count.samples],
            longest=_masked(count.longest) if count.longest else None,
        )
        self._counts[key] = count
        while len(self._counts) > COUNTS_KEPT:
            self._counts.popitem(last=False)
        return count

    async def _any_route(self, campaign: Campaign) -> bool:
        with engine("route"):
            routes = await self._core.routes()
        ours = (None, campaign.workspace_id)
        return any(one.enabled and one.workspace_id in ours for one in routes)

    async def _channels(self) -> list[str]:
        with engine("channel"):
            return [channel.name for channel in await self._core.channels()]


def _masked(sample: schema.TextSample) -> schema.TextSample:
    return msgspec.structs.replace(sample, msisdn=masked(sample.msisdn))


def found_problems(
    campaign: Campaign, sender: SenderRevision | None, upload: schema.Upload | None, channels: list[str]
) -> dict[str, str]:
    """One sentence a field that stands in the way of submitting."""
    problems = content_problems(campaign.name, campaign.text)
    if not campaign.text.strip():
        problems["text"] = "Write the message."
    if sender is None:
        problems["sender"] = "Choose a sender."
    elif sender.state != "Approved":
        problems["sender"] = f"{sender.sender} is not approved."
    if problem := _file_problem(upload):
        problems["recipients"] = problem
    if not channels:
        problems["channel"] = "No channel is set up in the engine."
    elif campaign.channel and campaign.channel not in channels:
        problems["channel"] = f"There is no channel named {campaign.channel}."
    return problems


def content_problems(name: str | None, text: str | None) -> dict[str, str]:
    """Of a draft that is being written: it may be incomplete, not wrong."""
    problems = {}
    if name is not None and not name.strip():
        problems["name"] = "Give it a name."
    if name is not None and len(name) > NAME_LIMIT:
        problems["name"] = f"Use at most {NAME_LIMIT} characters."
    if name is not None and "\x00" in name:
        problems["name"] = "Remove the NUL character."
    if text is not None and len(text) > TEXT_LIMIT:
        problems["text"] = f"Use at most {TEXT_LIMIT:,} characters."
    if text is not None and "\x00" in text:
        problems["text"] = "Remove the NUL character."
    return problems


def _file_problem(upload: schema.Upload | None) -> str | None:
    if upload is None:
        return "Upload the recipients."
    if upload.state == "open":
        return "The upload is not finished."
    if upload.state != "complete":
        return upload.reason or "The file could not be read. Upload it again."
    if not upload.accepted:
        return "The file has no valid recipient."
    return None
