"""Recipient files: streamed through to the engine, never held here; resumed where they broke off."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control_plane.access import Action
from control_plane.campaigns.model import Campaign
from control_plane.services import Services
from control_plane.web.answers import go, is_fragment, json_answer
from control_plane.web.forms import whole
from control_plane.web.render import Pages
from control_plane.web.session import Visit, visit_of
from control_plane.web.translation import _
from control_plane.web.views import campaign_facts, error_counts
from engine.core_api import schema


class Uploads:
    def __init__(self, services: Services, pages: Pages) -> None:
        self.services = services
        self.pages = pages

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/campaigns/{id}/recipients", self.put, methods=["PUT"]),
            Route("/campaigns/{id}/recipients", self.get, methods=["GET"]),
            Route("/campaigns/{id}/recipients/discard", self.discard, methods=["POST"]),
            Route("/campaigns/{id}/columns", self.columns, methods=["GET"]),
        ]

    async def put(self, request: Request) -> Response:
        """Bytes of the file from `offset` on; `size` of the whole file, `name` of it. JSON of the upload."""
        visit, query = visit_of(request), request.query_params
        upload = await self.services.campaigns.receive(
            visit.member,
            request.path_params["id"],
            request.stream(),
            offset=whole(query.get("offset"), 0) or 0,
            file_name=query.get("name", ""),
            size_bytes=whole(query.get("size")),
            length=whole(request.headers.get("content-length")),
        )
        return json_answer(upload)

    async def get(self, request: Request) -> Response:
        """Where the upload stands: JSON for programs, its panel for the page."""
        visit = visit_of(request)
        campaign = await self.services.campaigns.get(visit.member, request.path_params["id"])
        if not is_fragment(request):
            upload = await self.services.campaigns.upload(visit.member, campaign.id)
            return json_answer(upload if upload is not None else {"state": "none", "byte_offset": 0})
        view = await upload_view(self.services, visit, campaign)
        return self.pages.fragment(
            request,
            visit,
            "campaigns/recipients.html",
            campaign=campaign_facts(campaign),
            upload=view,
            engine_down=False,
        )

    async def columns(self, request: Request) -> Response:
        """The chips that insert the file's columns."""
        visit = visit_of(request)
        upload = await self.services.campaigns.upload(visit.member, request.path_params["id"])
        columns = upload.columns if upload is not None and upload.state == "complete" else []
        return self.pages.fragment(request, visit, "campaigns/columns.html", columns=columns)

    async def discard(self, request: Request) -> Response:
        """Drop the draft's recipients."""
        visit = visit_of(request)
        visit.member.require(Action.EDIT_CAMPAIGNS)
        campaign = await self.services.campaigns.discard_upload(visit.member, request.path_params["id"])
        return go(f"/campaigns/{campaign.id}?done=discarded")


async def upload_view(services: Services, visit: Visit, campaign: Campaign) -> dict[str, Any] | None:
    """The file of a draft as its panel shows it. EngineUnavailable where the engine does not answer."""
    upload = await services.campaigns.upload(visit.member, campaign.id)
    if upload is None or upload.state == "discarded":
        return None
    counts: list[dict[str, Any]] = []
    if upload.job_errors:
        errors = await services.campaigns.upload_errors(visit.member, campaign.id, limit=1)
        counts = error_counts(errors.counts)
    return {
        "state": upload.state,
        "file_name": upload.file_name,
        "size_bytes": upload.size_bytes if upload.size_bytes is not None else upload.byte_offset,
        "byte_offset": upload.byte_offset,
        "rows": upload.rows,
        "accepted": upload.accepted,
        "duplicates": upload.duplicates,
        "job_errors": upload.job_errors,
        "reason": upload.reason,
        "format": _format(upload),
        "columns": upload.columns,
        "error_counts": counts,
    }


def _format(upload: schema.Upload) -> str:
    separators = {",": _("comma"), ";": _("semicolon"), "\t": _("tab"), "|": _("bar")}
    parts = [upload.encoding.upper(), separators.get(upload.separator, upload.separator)]
    parts.append(_("with a header") if upload.has_header else _("without a header"))
    return " · ".join(part for part in parts if part)
