"""Over which channels a campaign goes, as its pages show it."""

from typing import Any

from control_plane.access import Action
from control_plane.campaigns.model import Campaign
from control_plane.errors import EngineUnavailable
from control_plane.services import Services
from control_plane.web.options import channel_word
from control_plane.web.session import Visit
from control_plane.web.translation import _
from control_plane.web.views import Look, share, stack_shares
from engine.core_api import schema


class CampaignChannels:
    def __init__(self, services: Services) -> None:
        self.services = services

    async def context(self, visit: Visit, campaign: Campaign, *, final: bool = False) -> dict[str, Any]:
        """For campaigns/channels.html: nothing to show of a campaign on one channel. `final`: it stays so."""
        rows: list[schema.CampaignChannel] = []
        away = False
        if campaign.by_routes and campaign.engine_id is not None:
            try:
                rows = await self.services.campaigns.channels(visit.member, campaign.id)
            except EngineUnavailable:
                away = True
        planned = sum(row.rows for row in rows)
        return {
            "over": [_row(row, planned) for row in rows],
            "over_shown": campaign.by_routes and campaign.engine_id is not None,
            "over_away": away,
            "over_final": final,
            "over_manage": visit.may(Action.MANAGE_CHANNELS),
            "channel_word": channel_word(campaign),
        }


def _row(row: schema.CampaignChannel, planned: int) -> dict[str, Any]:
    done = [("sent", "flight", row.sent)]
    return {
        "channel": row.channel,
        "look": None if row.channel else Look("failed", "slash", _("No route")),
        "rows": row.rows,
        "sent": row.sent,
        "of_all": share(row.rows, planned),
        "progress": share(row.sent, row.rows),
        "shares": stack_shares(done, row.rows) if row.channel else [],
    }
