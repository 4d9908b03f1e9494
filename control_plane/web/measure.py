"""What a text comes to while it is written: its parts, its alphabet, a bubble of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control_plane.access import Action
from control_plane.campaigns.engine_errors import engine
from control_plane.campaigns.options import read_channel, read_options
from control_plane.campaigns.review import TEXT_LIMIT
from control_plane.errors import ControlPlaneError, NotFound
from control_plane.services import Services
from control_plane.web import format as show
from control_plane.web.forms import read_form
from control_plane.web.options import options_of
from control_plane.web.render import Pages
from control_plane.web.session import Visit, visit_of
from control_plane.web.translation import _, ngettext
from engine.core_api import schema

REFERENCE = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")
EXACT_ROWS = 200_000  # a larger file is counted at the review, not at each pause in typing


@dataclass(frozen=True)
class Measured:
    parts: str
    alphabet: str
    forced: list[str]
    scope: str


class Measures:
    def __init__(self, services: Services, pages: Pages) -> None:
        self.services = services
        self.pages = pages

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/campaigns/measure", self.text, methods=["POST"]),
            Route("/campaigns/{id}/measure", self.text, methods=["POST"]),
        ]

    async def text(self, request: Request) -> Response:
        """The preview beside the text's field. Shows a problem in place: typing is never interrupted."""
        visit, form = visit_of(request), await read_form(request)
        visit.member.require(Action.EDIT_CAMPAIGNS)
        campaign_id = request.path_params.get("id")
        if campaign_id is not None:
            await self.services.campaigns.get(visit.member, campaign_id)
        text = (await self._of_template(visit, form) or form.get("text", ""))[:TEXT_LIMIT]
        context: dict[str, Any] = {"samples": [], "measure": None, "problem": None}
        try:
            if text.strip():
                options = read_options(options_of(form), schema.NO_OPTIONS, {}).get("options")
                spec = schema.TextSpec(
                    text=text,
                    channel=read_channel(form.get("channel", ""))["channel"],
                    options=options or schema.NO_OPTIONS,
                )
                context |= await self._count(visit, campaign_id, spec)
        except ControlPlaneError as error:
            context["problem"] = {"title": _("Not counted"), "text": str(error)}
        sender = await self._sender(visit, form.get("sender", ""))
        return self.pages.fragment(request, visit, "campaigns/measure.html", sender=sender, **context)

    async def _count(self, visit: Visit, campaign_id: str | None, spec: schema.TextSpec) -> dict[str, Any]:
        text = spec.text
        upload = await self.services.campaigns.upload(visit.member, campaign_id) if campaign_id else None
        if upload is not None and upload.state == "complete" and 0 < upload.accepted <= EXACT_ROWS:
            return await self._exactly(spec, upload)
        references = sorted({match.group(1) for match in REFERENCE.finditer(text)})
        fixed = REFERENCE.sub("", text)
        with engine("text"):
            count = await self.services.core.count_text(msgspec.structs.replace(spec, text=fixed, samples=1))
        scope = _("as written")
        if references:
            scope = _("without the values of %(columns)s") % {"columns": ", ".join(references)}
        sample = count.samples[0] if count.samples else None
        measured = Measured(
            parts=_at_least(count.parts, bool(references)),
            alphabet=_alphabet(count),
            forced=count.forced_ucs2,
            scope=scope,
        )
        bubble = sample_view(sample, text=text) if sample is not None else None
        return {"measure": measured, "samples": [bubble] if bubble else []}

    async def _exactly(self, spec: schema.TextSpec, upload: schema.Upload) -> dict[str, Any]:
        with engine("text"):
            count = await self.services.core.count_text(
                msgspec.structs.replace(spec, upload_id=upload.upload_id, samples=2)
            )
        if count.unknown_columns:
            names = ", ".join(count.unknown_columns)
            title = _("The file has no column %(names)s") % {"names": names}
            known = ", ".join(upload.columns) or _("none")
            return {"problem": {"title": title, "text": _("Its columns are: %(names)s.") % {"names": known}}}
        each = show.number(count.recipients)
        measured = Measured(
            parts=_("%(parts)s for %(messages)s messages")
            % {"parts": show.number(count.parts), "messages": each},
            alphabet=_alphabet(count),
            forced=count.forced_ucs2,
            scope=_("every recipient of the file"),
        )
        return {"measure": measured, "samples": [sample_view(sample) for sample in count.samples[:2]]}

    async def _of_template(self, visit: Visit, form: Mapping[str, str]) -> str:
        """The text of the chosen template; empty without one."""
        chosen = form.get("template", "")
        try:
            return (
                (await self.services.templates.version(visit.member, chosen)).content.body if chosen else ""
            )
        except NotFound:
            return ""

    async def _sender(self, visit: Visit, chosen: str) -> str:
        try:
            revision = await self.services.senders.choose(visit.member, chosen) if chosen else None
        except NotFound:
            return ""
        return revision.sender if revision is not None else ""


def sample_view(sample: schema.TextSample, *, text: str | None = None, to: str = "") -> dict[str, Any]:
    return {
        "text": sample.text if text is None else text,
        "coding": _coding(sample.encoding),
        "parts": sample.parts,
        "characters": sample.characters,
        "to": to,
    }


def _coding(encoding: str) -> str:
    words = {"gsm": "GSM", "ucs2": "UCS-2", "latin1": "Latin-1", "ia5": "IA5", "": _("rejected")}
    return words.get(encoding, encoding.capitalize())


def _at_least(parts: int, open_end: bool) -> str:
    if open_end:
        return ngettext("%d, or more with the values", "%d, or more with the values", parts) % parts
    return str(parts)


def _alphabet(count: schema.TextCount) -> str:
    if count.rejected:
        return (
            ngettext(
                "%d message has characters that its options reject",
                "%d messages have characters that their options reject",
                count.rejected,
            )
            % count.rejected
        )
    if count.gsm and count.ucs2:
        return _("GSM for %(gsm)s, UCS-2 for %(ucs2)s messages") % {
            "gsm": show.number(count.gsm),
            "ucs2": show.number(count.ucs2),
        }
    return _("UCS-2, 70 characters a part") if count.ucs2 else _("GSM, 160 characters a part")
