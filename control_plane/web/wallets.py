"""A workspace's wallet and prices; all wallets, with credits and debits, for who runs the installation."""

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control_plane.access import Action
from control_plane.errors import Conflict, EngineUnavailable, Invalid, NotFound
from control_plane.money.money import NOTE_LIMIT
from control_plane.money.price_csv import read_amount
from control_plane.services import Services
from control_plane.web.answers import go, json_answer, wants_json
from control_plane.web.forms import decision_of, read_form
from control_plane.web.money_views import price_prefix, price_view, transaction_rows, wallet_tiles
from control_plane.web.render import Pages
from control_plane.web.session import Visit, visit_of
from control_plane.web.translation import _
from control_plane.workspaces.model import Workspace
from engine.core_api import schema

PAGE = 25
CURRENCY = re.compile(r"[A-Z]{3}")


class WalletPages:
    def __init__(self, services: Services, pages: Pages) -> None:
        self.services = services
        self.pages = pages

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/wallet", self.ours, methods=["GET"]),
            Route("/wallets", self.index, methods=["GET"]),
            Route("/wallets/{id}", self.show, methods=["GET"]),
            Route("/wallets/{id}/transactions", self.transact, methods=["POST"]),
        ]

    async def ours(self, request: Request) -> Response:
        """The workspace's balance, what was reserved and charged, its transactions, the prices that count."""
        visit, money = visit_of(request), self.services.money
        visit.member.require(Action.VIEW_WALLET)
        after = request.query_params.get("after") or None
        prefix = price_prefix(request.query_params)
        context: dict[str, Any] = {
            "engine_down": False,
            "wallet": None,
            "tiles": [],
            "rows": [],
            "next_url": "",
        }
        try:
            wallet = await money.ours(visit.member)
            if wants_json(request):
                return json_answer({"wallet": wallet})
            if wallet is not None:
                page = await money.our_transactions(visit.member, after, PAGE)
                context |= _wallet_context(wallet, page, "/wallet")
            sheet, rates = await money.prices(visit.member)
            currency = wallet.currency if wallet is not None else ""
            context["prices"] = price_view(sheet, rates, prefix, currency, "/wallet")
        except EngineUnavailable:
            if wants_json(request):
                raise
            context["engine_down"] = True
        return await self.pages.page(
            request,
            visit,
            "money/wallet.html",
            first_url="/wallet" if after else "",
            manage=visit.may(Action.MANAGE_MONEY),
            **context,
        )

    async def index(self, request: Request) -> Response:
        """All wallets with their balances, and the workspaces that have none."""
        visit = visit_of(request)
        visit.actor.require(Action.MANAGE_MONEY)
        rows: list[dict[str, Any]] = []
        reachable = True
        try:
            wallets = await self.services.money.wallets(visit.actor)
            if wants_json(request):
                return json_answer({"wallets": wallets})
            rows = await self._rows(visit, wallets)
        except EngineUnavailable:
            if wants_json(request):
                raise
            reachable = False
        return await self.pages.page(
            request, visit, "money/wallets.html", rows=rows, engine_down=not reachable
        )

    async def show(self, request: Request) -> Response:
        """One workspace's wallet, its transactions, and the form to credit or debit it."""
        visit = visit_of(request)
        visit.actor.require(Action.MANAGE_MONEY)
        workspace = await self._workspace(visit, request)
        return await self._page(request, visit, workspace, {}, {}, 200)

    async def transact(self, request: Request) -> Response:
        """Credit or debit; the same form sent twice happens once."""
        visit, form = visit_of(request), await read_form(request)
        visit.actor.require(Action.MANAGE_MONEY)
        workspace = await self._workspace(visit, request)
        decision_id = decision_of(form)
        try:
            spec = _spec(form, visit.actor.email, decision_id)
            wallet = await self.services.money.transact(visit.actor, workspace, spec)
        except Invalid as error:
            if wants_json(request):
                raise
            return await self._page(request, visit, workspace, form, error.errors, 422)
        except NotFound:
            if wants_json(request):
                raise
            line = _("It has no wallet yet: the first credit opens it.")
            return await self._page(request, visit, workspace, form, {"kind": line}, 409)
        except Conflict as error:
            if wants_json(request):
                raise
            return await self._page(request, visit, workspace, form, {"amount": str(error)}, 409)
        except EngineUnavailable:
            if wants_json(request):
                raise
            kept = {**form, "decision": str(decision_id)}
            return await self._page(request, visit, workspace, kept, {}, 503, unanswered=True)
        if wants_json(request):
            return json_answer({"wallet": wallet})
        return go(f"/wallets/{workspace.id}?done={spec.kind}ed")

    async def _page(
        self,
        request: Request,
        visit: Visit,
        workspace: Workspace,
        form: Mapping[str, str],
        errors: Mapping[str, str],
        status: int,
        *,
        unanswered: bool = False,
    ) -> Response:
        after = request.query_params.get("after") or None
        path = f"/wallets/{workspace.id}"
        context: dict[str, Any] = {
            "engine_down": False,
            "wallet": None,
            "tiles": [],
            "rows": [],
            "next_url": "",
        }
        try:
            wallet = await self.services.money.wallet(visit.actor, workspace.id)
            if wants_json(request):
                return json_answer({"wallet": wallet})
            if wallet is not None:
                page = await self.services.money.transactions(visit.actor, workspace.id, after, PAGE)
                context |= _wallet_context(wallet, page, path)
        except EngineUnavailable:
            if wants_json(request):
                raise
            context["engine_down"] = True
        known = context["wallet"]
        return await self.pages.page(
            request,
            visit,
            "money/manage.html",
            status,
            workspace=workspace,
            path=path,
            first_url=path if after else "",
            form={
                "kind": form.get("kind", "credit"),
                "amount": form.get("amount", ""),
                "currency": known.currency if known is not None else form.get("currency", ""),
                "note": form.get("note", ""),
            },
            decision=form.get("decision") or str(uuid4()),
            unanswered=unanswered,
            errors=errors,
            **context,
        )

    async def _rows(self, visit: Visit, wallets: list[schema.Wallet]) -> list[dict[str, Any]]:
        """Every workspace, those with a wallet first; a wallet whose workspace is gone keeps its id."""
        of = {one.workspace_id: one for one in wallets}
        workspaces = await self.services.workspaces.every(visit.actor, Action.MANAGE_MONEY)
        rows = [
            {"id": one.id, "name": one.name, "wallet": of.pop(one.id, None), "known": True}
            for one in workspaces
        ]
        rows += [
            {"id": one.workspace_id, "name": str(one.workspace_id), "wallet": one, "known": False}
            for one in of.values()
        ]
        return sorted(rows, key=lambda row: row["wallet"] is None)

    async def _workspace(self, visit: Visit, request: Request) -> Workspace:
        """The one the address names, else NotFound."""
        try:
            wanted = UUID(request.path_params["id"])
        except ValueError:
            raise NotFound("workspace") from None
        every = await self.services.workspaces.every(visit.actor, Action.MANAGE_MONEY)
        found = next((one for one in every if one.id == wanted), None)
        if found is None:
            raise NotFound("workspace")
        return found


def _wallet_context(wallet: schema.Wallet, page: schema.Transactions, path: str) -> dict[str, Any]:
    return {
        "wallet": wallet,
        "tiles": wallet_tiles(wallet),
        "rows": transaction_rows(page),
        "next_url": f"{path}?after={page.next}" if page.next else "",
    }


def _spec(form: Mapping[str, str], actor: str, decision_id: UUID) -> schema.TransactionSpec:
    """Invalid names the fields that are wrong."""
    problems = {}
    kind, note = form.get("kind", "credit"), form.get("note", "").strip()
    currency = form.get("currency", "").strip().upper()
    amount = 0
    if kind not in ("credit", "debit"):
        problems["kind"] = _("Credit or debit?")
    try:
        amount = read_amount(form.get("amount", ""))
    except ValueError as error:
        problems["amount"] = str(error)
    if not CURRENCY.fullmatch(currency):
        problems["currency"] = _("Three letters, such as EUR.")
    if not note:
        problems["note"] = _("Say what it is for: it stands in the list for good.")
    elif len(note) > NOTE_LIMIT:
        problems["note"] = _("Use at most %(n)d characters.") % {"n": NOTE_LIMIT}
    if problems:
        raise Invalid(problems)
    given = {"kind": kind, "amount": amount, "currency": currency, "note": note, "actor": actor}
    return msgspec.convert({**given, "decision_id": decision_id}, schema.TransactionSpec)
