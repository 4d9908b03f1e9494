"""The tabs under a live campaign: recipients (masked), job errors, message errors, activity, audit."""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request

from control_plane.access import Action
from control_plane.campaigns.model import Live
from control_plane.errors import EngineUnavailable
from control_plane.services import Services
from control_plane.web.audit_tab import audit_tab
from control_plane.web.session import Visit
from control_plane.web.translation import _
from control_plane.web.views import error_counts, message_look

PAGE = 25
RECIPIENT_STATES = ("DELIVERED", "SUBMITTED_OPERATOR", "UNDELIVERED", "FAILED", "IN_DOUBT")


class Tabs:
    def __init__(self, services: Services) -> None:
        self.services = services

    async def context(self, request: Request, visit: Visit, live: Live) -> dict[str, Any]:
        """What tabs.html needs for the tab that the address names."""
        words = {
            "recipients": _("Recipients"),
            "job-errors": _("Job errors"),
            "message-errors": _("Message errors"),
            "activity": _("Activity"),
            "audit": _("Audit"),
        }
        if not visit.may(Action.VIEW_RECIPIENTS):
            del words["recipients"]
        wanted = request.query_params.get("tab", "")
        here = wanted if wanted in words else next(iter(words))
        base = f"/campaigns/{live.campaign.id}"
        fill: dict[str, Callable[[Request, Visit, Live], Awaitable[dict[str, Any]]]] = {
            "recipients": self._recipients,
            "job-errors": self._job_errors,
            "message-errors": self._message_errors,
            "activity": self._activity,
            "audit": self._audit,
        }
        try:
            filled = await fill[here](request, visit, live)
        except EngineUnavailable:
            away = {"title": _("The engine does not answer"), "text": _("Open the tab again in a moment.")}
            filled = {"rows": [], "tab_empty": away}
        return {
            "tabs": [
                {"href": f"{base}?tab={name}", "word": word, "here": name == here}
                for name, word in words.items()
            ],
            "tab_template": f"campaigns/{here.replace('-', '_')}_tab.html",
            "filters": [],
            "numbers_url": "",
            "numbers_full": False,
            "next_url": "",
            "first_url": "",
            "error_counts": [],
            "total": 0,
            **filled,
        }

    async def _recipients(self, request: Request, visit: Visit, live: Live) -> dict[str, Any]:
        cursor = request.query_params.get("after") or None
        wanted = request.query_params.get("state", "")
        state = wanted if wanted in RECIPIENT_STATES else None
        campaign_id = live.campaign.id
        full = request.query_params.get("numbers") == "full"
        page = await self.services.campaigns.recipients(
            visit.member, campaign_id, cursor, PAGE, state, full=full
        )
        masked_base = f"/campaigns/{campaign_id}?tab=recipients"
        base = f"{masked_base}&numbers=full" if full else masked_base
        switched = masked_base if full else f"{masked_base}&numbers=full"
        here = f"{base}&state={state}" if state else base
        choices = [{"href": base, "word": _("All"), "here": state is None}]
        choices += [
            {"href": f"{base}&state={one}", "word": message_look(one).word, "here": one == state}
            for one in RECIPIENT_STATES
        ]
        rows = [
            {
                "message_id": one.message_id,
                "ctn_hash": one.ctn_hash,
                "last_digits": one.last_digits,
                "number": one.number,
                "view": message_look(one.state),
                "parts": one.parts,
                "attempts": one.attempts,
                "error": one.error,
                "sent_at": one.sent_at,
                "done_at": one.done_at,
                "corrected": one.corrected,
            }
            for one in page.recipients
        ]
        return {
            "rows": rows,
            "numbers_url": switched if visit.may(Action.VIEW_NUMBERS) else "",
            "numbers_full": full,
            "filters": choices,
            "next_url": f"{here}&after={page.next}" if page.next else "",
            "first_url": here if cursor else "",
            "tab_empty": {
                "title": _("None in this state") if state else _("Nobody yet"),
                "text": _("Recipients appear here as their messages go out."),
            },
        }

    async def _job_errors(self, request: Request, visit: Visit, live: Live) -> dict[str, Any]:
        cursor = request.query_params.get("after") or None
        page = await self.services.campaigns.job_errors(visit.member, live.campaign.id, cursor, PAGE)
        base = f"/campaigns/{live.campaign.id}?tab=job-errors"
        return {
            "rows": page.errors,
            "total": page.total,
            "error_counts": error_counts(page.counts),
            "next_url": f"{base}&after={page.next}" if page.next else "",
            "first_url": base if cursor else "",
            "tab_empty": {
                "title": _("No job error"),
                "text": _("Every line of the file was read, and nothing stood in the way of sending."),
            },
        }

    async def _message_errors(self, _request: Request, visit: Visit, live: Live) -> dict[str, Any]:
        seen_in = {"response": _("the response"), "receipt": _("the receipt"), "encode": _("the encoding")}
        errors = (await self.services.campaigns.message_errors(visit.member, live.campaign.id)).errors
        rows = [
            {
                "seen_in": seen_in[error.context],
                "code": error.code,
                "name": error.name,
                "meaning": error.meaning,
                "count": error.count,
                "last_at": error.last_at,
            }
            for error in sorted(errors, key=lambda one: -one.count)
        ]
        return {
            "rows": rows,
            "tab_empty": {
                "title": _("No message error"),
                "text": _("No operator has refused a message so far."),
            },
        }

    async def _activity(self, _request: Request, _visit: Visit, live: Live) -> dict[str, Any]:
        return {"activity": self.activity(live)}

    async def _audit(self, _request: Request, visit: Visit, live: Live) -> dict[str, Any]:
        return await audit_tab(visit, live.campaign.id)

    def activity(self, live: Live) -> list[dict[str, Any]]:
        """What has happened to the campaign, newest first."""
        campaign, engine = live.campaign, live.engine
        happened: list[tuple[Any, str, str, str, str]] = [
            (campaign.created_at, "draft", _("Created"), campaign.author, ""),
            (campaign.submitted_at, "right", _("Submitted"), campaign.submitted_by, ""),
        ]
        decisions = {one.decision_id: one for one in campaign.rejections}
        if campaign.decision is not None:
            decisions[campaign.decision.decision_id] = campaign.decision
        for decision in decisions.values():
            approved = decision.verdict == "approved"
            icon, what = ("delivered", _("Approved")) if approved else ("back", _("Rejected"))
            happened.append((decision.at, icon, what, decision.by, decision.note))
        noted = {decision.note for decision in decisions.values()}
        if campaign.note is not None and campaign.note.text not in noted:
            happened.append((campaign.note.at, "back", _("Sent back"), campaign.note.by, campaign.note.text))
        controls = {"pause": _("Paused"), "resume": _("Resumed"), "cancel": _("Cancelled")}
        icons = {"pause": "pause", "resume": "play", "cancel": "slash"}
        happened += [(one.at, icons[one.control], controls[one.control], one.by, "") for one in campaign.told]
        if engine is not None:
            happened += [
                (engine.started_at, "play", _("Sending began"), "", ""),
                (engine.done_at, "clock", _("Ended: %(state)s") % {"state": engine.state}, "", engine.reason),
                (engine.settled_at, "delivered", _("Settled: every receipt is counted"), "", ""),
            ]
        dated = sorted((one for one in happened if one[0] is not None), key=lambda one: one[0], reverse=True)
        return [
            {"at": at, "icon": icon, "what": what, "by": by, "note": note}
            for at, icon, what, by, note in dated
        ]
