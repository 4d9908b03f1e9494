"""A dry run as the review and the decision show it."""

from typing import Any

from control_plane.campaigns.model import Campaign, Review
from control_plane.services import Services
from control_plane.web import format as show
from control_plane.web.measure import sample_view
from control_plane.web.session import Visit
from control_plane.web.translation import _
from control_plane.web.views import error_counts, share, stack_shares
from engine.core_api import schema

AT_ONCE_ROWS = 300_000  # a larger file is counted after the page is there
BARS = 6


class DryRuns:
    def __init__(self, services: Services) -> None:
        self.services = services

    async def context(
        self, visit: Visit, campaign: Campaign, *, wait: bool = False, path: str = "/campaigns"
    ) -> dict[str, Any]:
        """`found` problems, `upload`, `count`, `error_counts`; only `dry_run_url` where it takes long."""
        campaigns = self.services.campaigns
        upload = await campaigns.upload(visit.member, campaign.id)
        nothing: dict[str, Any] = {
            "found": {},
            "upload": upload,
            "count": None,
            "error_counts": [],
            "dry_run_url": "",
            "recipients": upload.accepted if upload is not None else 0,
        }
        if upload is not None and upload.state == "complete" and upload.accepted > AT_ONCE_ROWS and not wait:
            return {**nothing, "dry_run_url": f"{path}/{campaign.id}/dry-run"}
        review = await campaigns.review(visit.member, campaign.id)
        counts: list[dict[str, Any]] = []
        if upload is not None and upload.job_errors:
            counts = error_counts((await campaigns.upload_errors(visit.member, campaign.id, limit=1)).counts)
        return {
            **nothing,
            "found": review.problems,
            "upload": review.upload,
            "count": _count_view(review),
            "error_counts": counts,
        }

    def submit_sentence(self, campaign: Campaign, upload: schema.Upload | None) -> str:
        """One sentence of what submitting does."""
        n = show.number(upload.accepted if upload is not None else 0)
        return _(
            "Submitting asks a moderator to approve %(n)s messages from %(sender)s. "
            "Nothing goes out before that; then sending starts at once."
        ) % {"n": n, "sender": campaign.sender or "–"}

    def approve_sentence(self, campaign: Campaign) -> str:
        """One sentence of what approving does."""
        return _("Approving sends this text from %(sender)s to %(n)s recipients, starting at once.") % {
            "n": show.number(campaign.recipients),
            "sender": campaign.sender,
        }


def _count_view(review: Review) -> dict[str, Any] | None:
    count = review.count
    if count is None or count.unknown_columns:
        return None
    mean = f"{count.parts / count.recipients:.2f}" if count.recipients else "–"
    listed = [*count.samples[:4]]
    if count.longest is not None and all(sample.text != count.longest.text for sample in listed):
        listed.append(count.longest)
    return {
        "recipients": count.recipients,
        "parts": count.parts,
        "per_message": _("%(mean)s a message on average") % {"mean": mean},
        "gsm": count.gsm,
        "ucs2": count.ucs2,
        "alphabet": stack_shares(
            [("gsm", "flight", count.gsm), ("ucs2", "held", count.ucs2)], count.gsm + count.ucs2
        ),
        "forced": count.forced_ucs2,
        "rejected": count.rejected,
        "transliterated": count.transliterated,
        "bars": _bars(count.parts_histogram, count.recipients),
        "samples": [sample_view(sample, to=sample.msisdn) for sample in listed],
    }


def _bars(histogram: list[int], recipients: int) -> list[dict[str, Any]]:
    """Messages by parts; many parts share the last line."""
    used = [(parts, messages) for parts, messages in enumerate(histogram, 1) if messages]
    shown: list[tuple[str, int]] = [(str(parts), messages) for parts, messages in used[:BARS]]
    if rest := sum(messages for _parts, messages in used[BARS:]):
        shown.append((_("more"), rest))
    return [
        {
            "parts": parts,
            "messages": messages,
            "share": share(messages, recipients),
            "shares": stack_shares([("messages", "flight", messages)], recipients),
        }
        for parts, messages in shown
    ]
