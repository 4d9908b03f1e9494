"""Roles as people read them."""

from control_plane.access import Membership, Role
from control_plane.web.translation import _


def roles() -> list[dict[str, str]]:
    """All of them, with what each is for."""
    return [
        {
            "value": str(Role.AUTHOR),
            "word": _("Author"),
            "note": _("Writes campaigns and sees those of their own."),
        },
        {
            "value": str(Role.MODERATOR),
            "word": _("Moderator"),
            "note": _("Approves and rejects campaigns, senders and templates; writes none."),
        },
        {
            "value": str(Role.ANALYST),
            "word": _("Analyst"),
            "note": _("Looks at campaigns and their figures, never at recipients."),
        },
        {
            "value": str(Role.ADMIN),
            "word": _("Admin"),
            "note": _("Everything in this workspace: its people, its settings, its audit."),
        },
    ]


def role_word(membership: Membership) -> str:
    """`Author, moderates`"""
    words = {role["value"]: role["word"] for role in roles()}
    return ", ".join([words[str(membership.role)], *flag_words(membership)])


def flag_words(membership: Membership) -> list[str]:
    flags = (
        (membership.is_moderator and membership.role is Role.AUTHOR, _("moderates")),
        (membership.sees_numbers, _("sees full numbers")),
    )
    return [word for on, word in flags if on]
