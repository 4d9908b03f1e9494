"""A campaign's sending options as its form offers them and its pages say them."""

from collections.abc import Mapping
from typing import Any

from control_plane.campaigns.engine_errors import engine
from control_plane.campaigns.model import Campaign
from control_plane.campaigns.options import BY_ROUTES, FIELDS
from control_plane.errors import EngineUnavailable
from control_plane.services import Services
from control_plane.web.session import Visit
from control_plane.web.translation import _
from engine.core_api import schema

Choice = dict[str, str]


def options_of(form: Mapping[str, str]) -> dict[str, str]:
    return {name: form[name] for name in FIELDS if name in form}


def policies() -> list[Choice]:
    """What becomes of a message whose fate a crash or a lost connection left open."""
    return [
        _choice("hold", _("Hold for a person"), _("Nothing is sent again by itself. Somebody decides by "
                "group, on the page In doubt. Nobody gets it twice; some may not get it before that.")),
        _choice("resend", _("Send again"), _("Parts without an answer are sent once more, at once. Everybody "
                "gets it; a few may get it twice, never more than the bound of one crash.")),
        _choice("await_receipt", _("Wait for a receipt"), _("A receipt decides. What has none at the end of "
                "its time counts as without receipt. Nobody gets it twice.")),
    ]  # fmt: skip


def charset_rules() -> list[Choice]:
    """What a message does whose characters the channel's alphabet does not have."""
    return [
        _choice("ucs2", _("Send it as Unicode"), _("Every character arrives as written; a part then holds 70 "
                "characters instead of 160.")),
        _choice("transliterate", _("Write it in the nearest letters"), _("Ł becomes L, “ becomes \". Parts "
                "stay long; what has no near letter is sent as Unicode.")),
        _choice("reject", _("Do not send it"), _("The message fails with a reason, the others go out.")),
    ]  # fmt: skip


def lanes() -> list[Choice]:
    """Which campaigns go first where a channel is full."""
    return [
        _choice("bulk", _("Bulk"), _("In turn with the other campaigns, by each workspace's weight.")),
        _choice("express", _("Express"), _("Before all that is bulk, of every workspace. For codes and "
                "alarms that are worthless a minute later; the moderator sees it.")),
    ]  # fmt: skip


def _choice(value: str, word: str, note: str) -> Choice:
    return {"value": value, "word": word, "note": note}


class OptionFields:
    def __init__(self, services: Services) -> None:
        self.services = services

    async def context(
        self, visit: Visit, campaign: Campaign | None, form: Mapping[str, str], errors: Mapping[str, str]
    ) -> dict[str, Any]:
        """For campaigns/options.html. `open_options`: something in it is chosen or wrong."""
        options = campaign.options if campaign is not None else schema.NO_OPTIONS
        hours = options.validity_s // 3600 if options.validity_s else ""
        chosen = {
            "in_doubt": campaign.in_doubt if campaign is not None else "hold",
            "charset_rule": options.charset_rule,
            "flash": "1" if options.flash else "0",
            "validity_h": str(hours),
            "dlt_pe_id": options.dlt_pe_id,
            "dlt_template_id": options.dlt_template_id,
            "category": campaign.category if campaign is not None else "",
            "lane": campaign.lane if campaign is not None else "bulk",
            "channel": await self._channel(visit, campaign),
            **{name: form[name] for name in (*FIELDS, "channel") if name in form},
        }
        india = visit.workspace is not None and visit.workspace.default_country == "IN"
        dlt = bool(chosen["dlt_pe_id"] or chosen["dlt_template_id"])
        return {
            "options": chosen,
            "policies": policies(),
            "charset_rules": charset_rules(),
            "lanes": lanes(),
            "by_routes": BY_ROUTES,
            **await self._ways(visit, chosen["channel"]),
            "open_dlt": india or dlt,
            "open_options": india
            or any(name in errors for name in (*FIELDS, "channel"))
            or _chosen(campaign),
        }

    async def _channel(self, visit: Visit, campaign: Campaign | None) -> str:
        """The present choice; of a new campaign by routes, where somebody has set up some."""
        if campaign is not None:
            return BY_ROUTES if campaign.by_routes else campaign.channel
        return BY_ROUTES if await self._routes(visit) else ""

    async def _ways(self, visit: Visit, chosen: str) -> dict[str, Any]:
        """Channels where there is a choice (more than one, routes, or a chosen one that is gone), and words
        that routes and prices know as categories."""
        routes = await self._routes(visit)
        categories = {one.category for one in routes if one.category}
        try:
            with engine("channel"):
                names = [channel.name for channel in await self.services.core.channels()]
            categories |= {*await self.services.money.categories()}
        except EngineUnavailable:
            names = []
        if chosen and chosen != BY_ROUTES and chosen not in names:
            names.append(chosen)
        offer_routes = bool(routes) or chosen == BY_ROUTES
        return {
            "channel_choices": names if len(names) > 1 or chosen or offer_routes else [],
            "offer_routes": offer_routes,
            "categories": sorted(categories),
        }

    async def _routes(self, visit: Visit) -> list[schema.Route]:
        try:
            return await self.services.routing.offered(visit.member)
        except EngineUnavailable:
            return []


def _chosen(campaign: Campaign | None) -> bool:
    return campaign is not None and (
        campaign.options != schema.NO_OPTIONS
        or campaign.in_doubt != "hold"
        or campaign.lane != "bulk"
        or bool(campaign.category)
    )


def channel_word(campaign: Campaign) -> str:
    if campaign.by_routes:
        return _("By routes")
    return campaign.channel or _("the first one")


def option_facts(campaign: Campaign) -> list[dict[str, str]]:
    """Term and value of what a moderator and an operator should know; way, lane and policy always."""
    words = {choice["value"]: choice["word"] for choice in (*policies(), *charset_rules(), *lanes())}
    options = campaign.options
    express = _("Express: before all that is bulk")
    facts = [
        (_("Channel"), channel_word(campaign)),
        (_("Lane"), express if campaign.lane == "express" else words[campaign.lane]),
        (_("Category"), campaign.category),
        (_("If in doubt"), words[campaign.in_doubt]),
        (_("Other characters"), words[options.charset_rule] if options.charset_rule != "ucs2" else ""),
        (_("Flash"), _("shown at once, not stored") if options.flash else ""),
        (_("Validity"), _("%(n)d h") % {"n": options.validity_s // 3600} if options.validity_s else ""),
        (_("DLT entity"), options.dlt_pe_id),
        (_("DLT template"), options.dlt_template_id),
        (_("Template"), campaign.template),
    ]
    return [{"term": term, "value": value} for term, value in facts if value]
