"""What a campaign may take from its sender and its template, asked once more when it is submitted."""

import msgspec

from control_plane.access import Member
from control_plane.campaigns.model import Campaign, Review
from control_plane.campaigns.review import Reviews
from control_plane.errors import NotFound
from control_plane.senders.model import SenderRevision
from control_plane.senders.senders import Senders
from control_plane.templates.body import BadBody
from control_plane.templates.dlt import Mismatch, fits, places
from control_plane.templates.model import TemplateVersion, Variable
from control_plane.templates.templates import Templates
from engine.core_api import schema

# UTF-16 units of a message of one part, and of each of several (TS 23.040 §9.2.3.24.1, 8-bit reference).
UCS2_ALONE = 70
UCS2_PART = 67
OUTSIDE_GSM = "中"  # makes every message UCS-2


class ContentRules:
    def __init__(self, senders: Senders, templates: Templates, reviews: Reviews) -> None:
        self._senders = senders
        self._templates = templates
        self._reviews = reviews

    async def problems(self, member: Member, review: Review) -> dict[str, str]:
        """One sentence a field; empty where sender, channel and template go together."""
        campaign, found = review.campaign, {}
        if campaign.state != "New":
            return {}  # what was submitted keeps what it was submitted with
        if review.sender is not None:
            usable = await self._senders.choose(member, str(review.sender.id))
            if usable is None and review.sender.state == "Approved":
                found["sender"] = f"{review.sender.sender} has a newer revision or is archived: choose again."
            channel = campaign.channel or next(iter(review.channels), "")
            if problem := channel_problem(review.sender, channel, campaign.by_routes):
                found["channel"] = problem
        template = await self.template(member, campaign)
        if campaign.template_version_id is not None:
            if problem := self._template_problem(campaign, template, review):
                found["text"] = problem
            elif template is not None and (problem := await self._value_problem(review, template)):
                found["recipients"] = problem
        if problem := pe_problem(review.sender, campaign.options):
            found["dlt_pe_id"] = problem
        return found

    async def template(self, member: Member, campaign: Campaign) -> TemplateVersion | None:
        """The version a campaign takes its text from."""
        if campaign.template_version_id is None:
            return None
        try:
            return await self._templates.version(member, campaign.template_version_id)
        except NotFound:
            return None

    @staticmethod
    def _template_problem(campaign: Campaign, template: TemplateVersion | None, review: Review) -> str:
        if template is None:
            return "Its template is not there any more: choose another."
        if template.status != "APPROVED":
            return f"Version {template.revision} of {template.name} is not approved."
        content = template.content
        if campaign.text != content.body:
            return f"The text differs from version {template.revision} of {template.name}: choose it again."
        if not content.dlt_registered:
            return ""
        if campaign.options.dlt_template_id != content.dlt_template_id:
            return f"The DLT template id is not the one of {template.name}."
        try:
            places(content.body, content.dlt_registered)
        except (Mismatch, BadBody) as error:
            return str(error)
        count = review.count
        samples = [*count.samples, *([count.longest] if count.longest else [])] if count else []
        if any(not fits(one.text, content.dlt_registered) for one in samples):
            return "With the values of the file the text does not fit its registered form."
        return ""

    async def _value_problem(self, review: Review, template: TemplateVersion) -> str:
        """Whether every value of the file is as short as the template says. Over all recipients."""
        upload, count = review.upload, review.count
        if upload is None or count is None or count.unknown_columns:
            return ""
        for variable in template.content.variables:
            text, parts = measuring_text(variable)
            measured = await self._reviews.count(text, "", upload)
            if longer := sum(measured.parts_histogram[parts:]) + measured.rejected:
                return (
                    f"{longer:,} values of {variable.name} are longer than the {variable.max_length}"
                    f" characters that {template.name} allows."
                )
        return ""


def measuring_text(variable: Variable) -> tuple[str, int]:
    """A text that takes more than so many parts just where the variable's value is longer than it may be.

    The engine counts parts over all recipients, so it is made to count values: all in UCS-2, filled up so
    that the longest value that is allowed ends a part.
    """
    parts = 1
    while (room := UCS2_ALONE if parts == 1 else UCS2_PART * parts) <= variable.max_length:
        parts += 1
    filling = OUTSIDE_GSM * (room - variable.max_length)
    return f"{filling}{{{{{variable.name}}}}}", parts


def channel_problem(sender: SenderRevision, channel: str, by_routes: bool) -> str:
    """Whether a sender may go where its campaign goes; empty where it may."""
    if not sender.channels or (not by_routes and channel in sender.channels):
        return ""
    listed = ", ".join(sender.channels)
    return f"{sender.sender} may go only over {listed}: choose it under Sending options."


def pe_problem(sender: SenderRevision | None, options: schema.MessageOptions) -> str:
    """Whether the principal entity is the sender's, and there where a template needs it."""
    pe_id = sender.pe_id if sender is not None else ""
    if options.dlt_pe_id and pe_id and options.dlt_pe_id != pe_id:
        return "The principal entity id is not the one of the sender."
    if options.dlt_template_id and not (options.dlt_pe_id or pe_id):
        return "A DLT template needs the principal entity id: of the sender, or under Sending options."
    return ""


def sealed_options(campaign: Campaign, sender: SenderRevision) -> schema.MessageOptions:
    """The campaign's options with what its sender adds: these are approved and sent."""
    if campaign.options.dlt_pe_id or not sender.pe_id:
        return campaign.options
    return msgspec.structs.replace(campaign.options, dlt_pe_id=sender.pe_id)
