"""Sender IDs: the list, one with its history, its form, and the page of a decision."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control_plane.access import Action, Role
from control_plane.campaigns.engine_errors import engine
from control_plane.errors import EngineUnavailable, Invalid
from control_plane.senders.address import Content, read_content
from control_plane.senders.model import Sender, SenderRevision
from control_plane.services import Services
from control_plane.web.answers import go, json_answer, wants_json
from control_plane.web.forms import read_form, whole
from control_plane.web.render import Pages
from control_plane.web.sender_views import (
    CHANNEL_FIELD,
    channels_of,
    difference_rows,
    earlier,
    form_of,
    kinds,
    last_approved,
    revision_view,
    sender_row,
)
from control_plane.web.session import Visit, visit_of


class SenderPages:
    def __init__(self, services: Services, pages: Pages) -> None:
        self.services = services
        self.pages = pages

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/senders", self.index, methods=["GET"]),
            Route("/senders", self.create, methods=["POST"]),
            Route("/senders/new", self.new, methods=["GET"]),
            Route("/senders/{id}", self.show, methods=["GET"]),
            Route("/senders/{id}", self.save, methods=["POST"]),
            Route("/senders/{id}/edit", self.edit, methods=["GET"]),
            Route("/senders/{id}/submit", self.submit, methods=["POST"]),
            Route("/senders/{id}/withdraw", self.withdraw, methods=["POST"]),
            Route("/senders/{id}/archive", self.archive, methods=["POST"]),
            Route("/senders/{id}/restore", self.restore, methods=["POST"]),
            Route("/moderation/senders/{id}", self.decision, methods=["GET"]),
            Route("/moderation/senders/{id}/approve", self.approve, methods=["POST"]),
            Route("/moderation/senders/{id}/reject", self.reject, methods=["POST"]),
        ]

    async def index(self, request: Request) -> Response:
        """All senders as a page; for programs the approved revisions."""
        visit = visit_of(request)
        if wants_json(request):
            approved = await self.services.senders.approved(visit.member)
            content = [
                {"revision_id": one.id, "name": one.sender, "revision": one.revision} for one in approved
            ]
            return json_answer({"senders": content})
        senders = await self.services.senders.senders(visit.member)
        archived = [one for one in senders if one.shown.state == "Archived"]
        all_of_them = request.query_params.get("show") == "all"
        shown = [one for one in senders if all_of_them or one.shown.state != "Archived"]
        return await self.pages.page(
            request,
            visit,
            "senders/list.html",
            rows=[sender_row(one) for one in shown],
            archived=len(archived),
            all_of_them=all_of_them,
            may_request=not await self.services.senders.why_not_request(visit.member),
        )

    async def show(self, request: Request) -> Response:
        """One sender: what counts now, what waits, its history, and what differs between two revisions."""
        visit = visit_of(request)
        sender = await self._sender(request, visit)
        if wants_json(request):
            return json_answer({"id": sender.id, "revisions": [_entry(one) for one in sender.revisions]})
        return await self._show(request, visit, sender)

    async def _show(self, request: Request, visit: Visit, sender: Sender) -> Response:
        member, senders = visit.member, self.services.senders
        newer = _numbered(sender, request.query_params.get("revision")) or sender.newest
        older = _numbered(sender, request.query_params.get("against")) or earlier(sender, newer)
        open_, shown = sender.open, sender.shown
        own = open_ is not None and open_.owned_by(member.actor.user_id)
        may_request = not await senders.why_not_request(member)
        theirs = own or member.role is Role.ADMIN
        shelves = visit.may(Action.DECIDE_SENDERS) or (
            not shown.was_approved and shown.owned_by(member.actor.user_id)
        )
        return await self.pages.page(
            request,
            visit,
            "senders/show.html",
            sender=sender_row(sender),
            shown=revision_view(shown),
            open=revision_view(open_) if open_ is not None else None,
            history=[revision_view(one) for one in sender.revisions],
            newer=revision_view(newer),
            older=revision_view(older) if older is not None else None,
            differences=difference_rows(older.content, newer.content) if older is not None else [],
            may_change=may_request
            and shown.state != "Archived"
            and (open_ is None or open_.state == "Draft"),
            may_submit=may_request and open_ is not None and open_.state == "Draft",
            may_withdraw=visit.may(Action.PROPOSE_SENDERS)
            and theirs
            and open_ is not None
            and open_.state == "Pending",
            may_decide=open_ is not None and not await senders.why_not(member, open_),
            may_archive=shelves and shown.state not in ("Archived", "Pending"),
            may_restore=shelves and shown.state == "Archived",
        )

    async def new(self, request: Request) -> Response:
        """The form for a new sender."""
        visit = visit_of(request)
        visit.member.require(Action.PROPOSE_SENDERS)
        return await self._form(request, visit, None, form_of(None), {}, 200)

    async def edit(self, request: Request) -> Response:
        """The form of the draft, or of the next revision."""
        visit = visit_of(request)
        visit.member.require(Action.PROPOSE_SENDERS)
        sender = await self._sender(request, visit)
        return await self._form(request, visit, sender, form_of(sender.open or sender.shown), {}, 200)

    async def create(self, request: Request) -> Response:
        """A new sender as a draft; with `then=submit` handed to the moderators at once."""
        visit, form = visit_of(request), await read_form(request)
        try:
            content = self._content(form)
            revision = await self.services.senders.draft(visit.member, content)
            return await self._saved(request, visit, revision, form)
        except Invalid as error:
            if wants_json(request):
                raise
            return await self._form(request, visit, None, form, error.errors, 422)

    async def save(self, request: Request) -> Response:
        """Change the draft, or draft the next revision; with `then=submit` handed to the moderators."""
        visit, form = visit_of(request), await read_form(request)
        visit.member.require(Action.PROPOSE_SENDERS)
        sender = await self._sender(request, visit)
        senders = self.services.senders
        try:
            content = self._content(form)
            if sender.open is not None:
                revision = await senders.edit(visit.member, sender.open.id, content)
            else:
                revision = await senders.draft(visit.member, content, sender.id)
            return await self._saved(request, visit, revision, form)
        except Invalid as error:
            if wants_json(request):
                raise
            return await self._form(request, visit, sender, form, error.errors, 422)

    async def submit(self, request: Request) -> Response:
        """Hand the draft to the moderators."""
        visit = visit_of(request)
        return self._standing(
            request,
            await self.services.senders.submit(visit.member, await self._open(request, visit)),
            "sender-submitted",
        )

    async def withdraw(self, request: Request) -> Response:
        """Take back what waits for its decision."""
        visit = visit_of(request)
        revision = await self.services.senders.withdraw(visit.member, await self._open(request, visit))
        return self._standing(request, revision, "sender-withdrawn")

    async def archive(self, request: Request) -> Response:
        """Hide it from those who choose; nothing that runs is stopped."""
        visit = visit_of(request)
        revision = await self.services.senders.archive(visit.member, request.path_params["id"])
        return self._standing(request, revision, "sender-archived")

    async def restore(self, request: Request) -> Response:
        """Make an archived sender what it was."""
        visit = visit_of(request)
        revision = await self.services.senders.restore(visit.member, request.path_params["id"])
        return self._standing(request, revision, "sender-restored")

    # Deciding

    async def decision(self, request: Request) -> Response:
        """A revision with what it changes, and the decision on it."""
        visit = visit_of(request)
        visit.member.require(Action.DECIDE_SENDERS)
        revision = await self.services.senders.get(visit.member, request.path_params["id"])
        if wants_json(request):
            return json_answer(_entry(revision))
        return await self._decision_page(request, visit, revision, {}, "", 200)

    async def approve(self, request: Request) -> Response:
        """Approve the submission that was looked at: campaigns may choose it."""
        return await self._decide(request, approve=True)

    async def reject(self, request: Request) -> Response:
        """Give it back with a note."""
        return await self._decide(request, approve=False)

    async def _decide(self, request: Request, *, approve: bool) -> Response:
        visit, form = visit_of(request), await read_form(request)
        note, seen = form.get("note", ""), whole(form.get("version"), -1)
        senders, revision_id = self.services.senders, request.path_params["id"]
        try:
            revision = await senders.decide(
                visit.member, revision_id, approve=approve, note=note, submission=seen
            )
        except Invalid as error:
            if wants_json(request):
                raise
            found = await senders.get(visit.member, revision_id)
            return await self._decision_page(request, visit, found, error.errors, note, 422)
        if wants_json(request):
            return json_answer(_entry(revision))
        return go(f"/senders/{revision.line}?done={'sender-approved' if approve else 'sender-rejected'}")

    async def _decision_page(
        self,
        request: Request,
        visit: Visit,
        revision: SenderRevision,
        errors: dict[str, str],
        note: str,
        status: int,
    ) -> Response:
        sender = await self.services.senders.sender(visit.member, revision.line)
        before = last_approved(sender, revision)
        decided = revision.decided_at is not None
        return await self.pages.page(
            request,
            visit,
            "senders/decision.html",
            status,
            revision=revision_view(revision),
            before=revision_view(before) if before is not None else None,
            differences=difference_rows(before.content, revision.content) if before is not None else [],
            decided=decided,
            why_not="" if decided else await self.services.senders.why_not(visit.member, revision),
            errors=errors,
            note=note,
        )

    # Inside

    async def _sender(self, request: Request, visit: Visit) -> Sender:
        return await self.services.senders.sender(visit.member, request.path_params["id"])

    async def _open(self, request: Request, visit: Visit) -> Any:
        visit.member.require(Action.PROPOSE_SENDERS)
        sender = await self._sender(request, visit)
        return (sender.open or sender.newest).id

    def _content(self, form: Mapping[str, str]) -> Content:
        content, problems = read_content(
            form.get("sender", ""),
            kind=form.get("kind", ""),
            pe_id=form.get("pe_id", ""),
            channels=channels_of(form),
            purpose=form.get("purpose", ""),
        )
        if problems:
            raise Invalid(problems)
        return content

    async def _saved(
        self, request: Request, visit: Visit, revision: SenderRevision, form: Mapping[str, str]
    ) -> Response:
        if form.get("then") != "submit":
            return self._standing(request, revision, "sender-drafted")
        submitted = await self.services.senders.submit(visit.member, revision.id)
        return self._standing(request, submitted, "sender-submitted")

    def _standing(self, request: Request, revision: SenderRevision, done: str) -> Response:
        if wants_json(request):
            return json_answer(_entry(revision))
        return go(f"/senders/{revision.line}?done={done}")

    async def _form(
        self,
        request: Request,
        visit: Visit,
        sender: Sender | None,
        form: Mapping[str, str],
        errors: Mapping[str, str],
        status: int,
    ) -> Response:
        chosen = channels_of(form)
        names = sorted({*await self._channels(), *chosen})
        return await self.pages.page(
            request,
            visit,
            "senders/form.html",
            status,
            sender=sender_row(sender) if sender is not None else None,
            draft=sender is not None and sender.open is not None,
            form={"sender": "", "kind": "", "pe_id": "", "purpose": "", **form},
            errors=dict(errors),
            kinds=kinds(),
            channels=[
                {"field": CHANNEL_FIELD + name, "name": name, "checked": name in chosen} for name in names
            ],
            why_not=await self.services.senders.why_not_request(visit.member),
        )

    async def _channels(self) -> list[str]:
        try:
            with engine("channel"):
                return [channel.name for channel in await self.services.core.channels()]
        except EngineUnavailable:
            return []


def _numbered(sender: Sender, text: str | None) -> SenderRevision | None:
    return next((one for one in sender.revisions if str(one.revision) == text), None)


def _entry(revision: SenderRevision) -> dict[str, Any]:
    """A revision for programs; `version` goes back with the decision."""
    content = revision.content
    return {
        "id": revision.line,
        "revision_id": revision.id,
        "revision": revision.revision,
        "version": revision.submissions,
        "state": revision.state,
        "sender": content.sender,
        "kind": content.kind,
        "ton": revision.numbering.ton,
        "npi": revision.numbering.npi,
        "pe_id": content.pe_id,
        "channels": content.channels,
        "purpose": content.purpose,
        "author": revision.author,
        "decided_by": revision.decided_by,
        "note": revision.note,
    }
