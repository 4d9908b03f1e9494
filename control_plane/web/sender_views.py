"""Sender IDs as their pages show them."""

from collections.abc import Mapping
from typing import Any

from control_plane.senders.address import NUMBERING, Content, SenderKind
from control_plane.senders.model import Sender, SenderRevision, differences
from control_plane.web.translation import _
from control_plane.web.views import Look

CHANNEL_FIELD = "channel:"  # of a form, before a channel's name


def sender_look(state: str) -> Look:
    return {
        "Draft": Look("waiting", "draft", _("Draft")),
        "Pending": Look("held", "clock", _("Pending")),
        "Approved": Look("delivered", "delivered", _("Approved")),
        "Rejected": Look("failed", "failed", _("Rejected")),
        "Archived": Look("waiting", "slash", _("Archived")),
    }.get(state, Look("waiting", "waiting", state))


def kind_word(kind: SenderKind) -> str:
    return {"alphanumeric": _("Name"), "numeric": _("Number"), "short_code": _("Short code")}[kind]


def kinds() -> list[dict[str, str]]:
    """As the form offers them, each with how SMPP carries it."""
    notes: dict[SenderKind, str] = {
        "alphanumeric": _("Up to 11 letters and digits, no spaces. Nobody can answer it."),
        "numeric": _("A phone number with its country code, 7 to 15 digits."),
        "short_code": _("3 to 6 digits that the operators have assigned."),
    }
    return [
        {"value": kind, "word": kind_word(kind), "note": f"{note} {numbering_word(kind)}"}
        for kind, note in notes.items()
    ]


def numbering_word(kind: SenderKind) -> str:
    numbering = NUMBERING[kind]
    return _("TON %(ton)d, NPI %(npi)d") % {"ton": numbering.ton, "npi": numbering.npi}


def content_facts(content: Content) -> list[dict[str, str]]:
    """Term and value of what a revision says."""
    channels = ", ".join(content.channels) or _("all")
    return [
        {"term": _("Address"), "value": content.sender},
        {"term": _("Kind"), "value": kind_word(content.kind)},
        {
            "term": _("Sent as"),
            "value": _("%(numbering)s, unless its channel says otherwise")
            % {"numbering": numbering_word(content.kind)},
        },
        {"term": _("Channels"), "value": channels},
        {"term": _("Principal entity (DLT)"), "value": content.pe_id or _("none")},
        {"term": _("Purpose"), "value": content.purpose or "–"},
    ]


def difference_rows(before: Content | None, now: Content) -> list[dict[str, str]]:
    """Field by field, what differs."""
    words = {
        "sender": _("Address"),
        "kind": _("Kind"),
        "pe_id": _("Principal entity (DLT)"),
        "channels": _("Channels"),
        "purpose": _("Purpose"),
    }

    def said(name: str, value: Any) -> str:
        if name == "channels" and not isinstance(value, str):
            return ", ".join(value) or _("all")
        if name == "kind" and value:
            return kind_word(value)
        return str(value) or "–"

    return [
        {"word": words[name], "before": said(name, old), "after": said(name, new)}
        for name, (old, new) in differences(before, now).items()
    ]


def revision_view(revision: SenderRevision) -> dict[str, Any]:
    return {
        "id": revision.id,
        "sender_id": revision.line,
        "sender": revision.sender,
        "revision": revision.revision,
        "state": revision.state,
        "view": sender_look(revision.state),
        "kind": kind_word(revision.content.kind),
        "numbering": numbering_word(revision.content.kind),
        "purpose": revision.purpose,
        "facts": content_facts(revision.content),
        "submission": revision.submissions,
        "author": revision.author,
        "created_at": revision.created_at,
        "submitted_at": revision.submitted_at,
        "decided_by": revision.decided_by,
        "decided_at": revision.decided_at,
        "note": revision.note,
    }


def sender_row(sender: Sender) -> dict[str, Any]:
    """One line of the list."""
    shown, open_ = sender.shown, sender.open
    return {
        **revision_view(shown),
        "id": sender.id,
        "open": sender_look(open_.state) if open_ is not None and open_ is not shown else None,
    }


def earlier(sender: Sender, revision: SenderRevision) -> SenderRevision | None:
    """What a revision is compared with: the one that was approved before it, else the one before it."""
    older = [one for one in sender.revisions if one.revision < revision.revision]
    return next((one for one in older if one.was_approved), older[0] if older else None)


def last_approved(sender: Sender, revision: SenderRevision) -> SenderRevision | None:
    """What counts until the revision is approved."""
    return next((one for one in sender.revisions if one.was_approved and one.id != revision.id), None)


def form_of(revision: SenderRevision | None) -> dict[str, str]:
    """The form's fields of what is there."""
    if revision is None:
        return {"kind": "alphanumeric"}
    content = revision.content
    fields = {
        "sender": content.sender,
        "kind": content.kind,
        "pe_id": content.pe_id,
        "purpose": content.purpose,
    }
    return {**fields, **{CHANNEL_FIELD + name: "1" for name in content.channels}}


def channels_of(form: Mapping[str, str]) -> list[str]:
    return [field.removeprefix(CHANNEL_FIELD) for field in form if field.startswith(CHANNEL_FIELD)]
