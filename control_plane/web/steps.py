"""The steps of a campaign from the first word to the last receipt, as the wizard's pages show them."""

from typing import Any, Literal

from control_plane.campaigns.model import Campaign
from control_plane.web.translation import _


def steps(
    campaign: Campaign | None, here: Literal["write", "review", "decision"] = "write"
) -> list[dict[str, Any]]:
    """Each with its address where one may go there now."""
    draft = campaign is not None and campaign.editable
    written = f"/campaigns/{campaign.id}" if campaign is not None and draft else ""
    review = f"{written}/review" if written else ""
    listed = [
        ("write", _("Message and recipients"), written),
        ("review", _("Review"), review),
        ("decision", _("Decision"), ""),
        ("sending", _("Sending"), ""),
    ]
    return [
        {"word": word, "href": "" if key == here else href, "here": key == here} for key, word, href in listed
    ]
