"""Files of delivery records: asked for, watched, downloaded, removed."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from control_plane.access import Action
from control_plane.errors import Invalid
from control_plane.exports.model import Export
from control_plane.services import Services
from control_plane.web.answers import go, json_answer, wants_json
from control_plane.web.forms import read_form
from control_plane.web.render import Pages
from control_plane.web.session import Visit, visit_of
from control_plane.web.translation import _
from control_plane.web.views import Look, share

PAGE = 50
MEDIA = {"csv": "text/csv; charset=utf-8", "txt": "text/tab-separated-values; charset=utf-8"}


class ExportPages:
    def __init__(self, services: Services, pages: Pages) -> None:
        self.services = services
        self.pages = pages

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/exports", self.index, methods=["GET"]),
            Route("/exports", self.ask, methods=["POST"]),
            Route("/exports/new", self.new, methods=["GET"]),
            Route("/exports/{id}/file", self.file, methods=["GET"]),
            Route("/exports/{id}/remove", self.remove, methods=["POST"]),
        ]

    async def index(self, request: Request) -> Response:
        """One's own exports, latest first, and how far each is."""
        visit, after = visit_of(request), request.query_params.get("after") or None
        page = await self.services.exports.list(visit.member, limit=PAGE, after=after)
        rows = [self._row(visit, export) for export in page.records]
        if wants_json(request):
            content = [_told(row) for row in rows]
            return json_answer({"exports": content, "next": page.next})
        return await self.pages.page(
            request,
            visit,
            "exports/list.html",
            rows=rows,
            open=any(row["open"] for row in rows),
            kept_for=kept_for(self.services.settings.exports_keep_s),
            next_url=f"/exports?after={page.next}" if page.next else "",
            first_url="/exports" if after else "",
        )

    async def new(self, request: Request) -> Response:
        """What to export: of one `campaign`, or of a period."""
        visit = visit_of(request)
        visit.member.require(Action.EXPORT_RECORDS)
        form = {"campaign": request.query_params.get("campaign", ""), "format": "csv"}
        return await self._new_page(request, visit, form, {}, 200)

    async def _new_page(
        self, request: Request, visit: Visit, form: dict[str, str], errors: dict[str, str], status: int
    ) -> Response:
        campaign = None
        if form.get("campaign"):
            campaign = await self.services.campaigns.get(visit.member, form["campaign"])
        today = datetime.now(UTC).astimezone(ZoneInfo(visit.zone)).date()
        fields = {
            "from": form.get("from") or (today - timedelta(days=30)).isoformat(),
            "to": form.get("to") or today.isoformat(),
            "format": form.get("format", "csv"),
            **{name: form.get(name, "") for name in ("campaign", "numbers", "texts", "bom")},
        }
        return await self.pages.page(
            request,
            visit,
            "exports/new.html",
            status,
            form=fields,
            errors=errors,
            campaign={"id": campaign.id, "name": campaign.name, "recipients": campaign.recipients}
            if campaign
            else None,
            everybody=visit.may(Action.VIEW_ALL_CAMPAIGNS),
            may_see=visit.may(Action.VIEW_NUMBERS),
            kept_for=kept_for(self.services.settings.exports_keep_s),
        )

    async def ask(self, request: Request) -> Response:
        """Queue an export: of `campaign`, or of the days `from` to `to`."""
        visit, form = visit_of(request), await read_form(request)
        flags = {name: form.get(name, "") in ("1", "true", "True") for name in ("numbers", "texts", "bom")}
        kind = form.get("format") or "csv"
        try:
            if form.get("campaign"):
                export = await self.services.exports.ask_campaign(
                    visit.member, form["campaign"], kind=kind, **flags
                )
            else:
                begin, end = _days(form, visit.zone)
                title = f"records {form['from']} {form['to']}"
                export = await self.services.exports.ask_period(
                    visit.member, begin, end, title=title, kind=kind, **flags
                )
        except Invalid as error:
            if wants_json(request):
                raise
            return await self._new_page(request, visit, form, error.errors, 422)
        if wants_json(request):
            return json_answer(_told(self._row(visit, export)), 202)
        return go("/exports?done=export-asked")

    async def file(self, request: Request) -> Response:
        """The file, to who asked for it in the same session; anybody else finds nothing."""
        visit = visit_of(request)
        export, path = await self.services.exports.file(visit.member, request.path_params["id"])
        # Not compressed on its way: a gigabyte of it would hold up every other request.
        headers = {"content-encoding": "identity"}
        return FileResponse(path, filename=export.file_name, media_type=MEDIA[export.format], headers=headers)

    async def remove(self, request: Request) -> Response:
        """Remove a file, or stop it from being written."""
        visit = visit_of(request)
        await self.services.exports.remove(visit.member, request.path_params["id"])
        return Response(status_code=204) if wants_json(request) else go("/exports?done=export-removed")

    def _row(self, visit: Visit, export: Export) -> dict[str, Any]:
        mine = self.services.exports.reachable(visit.member, export)
        return {
            "id": export.id,
            "name": export.file_name,
            "state": export.state,
            "look": _look(export.state),
            "reason": export.reason,
            "campaigns": len(export.sources),
            "first": export.sources[0].name if export.sources else "",
            "numbers": export.numbers,
            "rows_done": export.rows_done,
            "rows_all": export.rows_all,
            "progress": min(1.0, share(export.rows_done, export.rows_all)),
            "open": bool(export.open),
            "size_bytes": export.size_bytes,
            "digest": export.digest,
            "asked_at": export.asked_at,
            "remove_at": export.remove_at if export.kept else None,
            "here": mine,
            "href": f"/exports/{export.id}/file" if mine and export.state == "ready" else "",
        }


def kept_for(seconds: int) -> str:
    """24 h; minutes where it is not whole hours."""
    if seconds % 3600:
        return _("%(n)s min") % {"n": seconds // 60}
    return _("%(n)s h") % {"n": seconds // 3600}


def _told(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "look"}


def _days(form: dict[str, str], zone: str) -> tuple[datetime, datetime]:
    """From the first moment of one day to the last of the other, in the workspace's zone."""
    errors, days = {}, []
    for name in ("from", "to"):
        try:
            days.append(date.fromisoformat(form.get(name, "")))
        except ValueError:
            errors[name] = "Write a day as 2026-01-31."
    if errors:
        raise Invalid(errors)
    begin, end = (datetime.combine(day, time(), ZoneInfo(zone)) for day in days)
    return begin, datetime.combine(days[1] + timedelta(days=1), time(), end.tzinfo)


def _look(state: str) -> Look:
    return {
        "queued": Look("held", "clock", _("Waiting")),
        "running": Look("flight", "flight", _("Being written")),
        "ready": Look("delivered", "delivered", _("Ready")),
        "failed": Look("failed", "failed", _("Failed")),
    }.get(state, Look("waiting", "square", _("Removed")))
