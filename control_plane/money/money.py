"""Wallets of workspaces and the price lists: seen by their people, changed by the installation's admins."""

from decimal import Decimal
from uuid import UUID

from control_plane.access import Action, Actor, Member
from control_plane.audit.audit import Audit
from control_plane.audit.commands import Commands
from control_plane.campaigns.engine_errors import engine
from control_plane.clock import Clock
from control_plane.core import Core
from control_plane.errors import NotFound
from control_plane.money.price_csv import UNIT, read_rates
from control_plane.workspaces.model import Workspace
from engine.core_api import schema

NOTE_LIMIT = 200


class Money:
    """Every call takes who asks, and asks whether they may. Amounts are integers of 1/10,000 of the unit."""

    def __init__(self, core: Core, audit: Audit, clock: Clock) -> None:
        self._core = core
        self._commands = Commands(audit, clock)
        self._sheets: dict[int, list[schema.Rate]] = {}  # of the last version asked for: lists never change

    async def ours(self, member: Member) -> schema.Wallet | None:
        """The workspace's wallet; None: it has none and is not charged."""
        member.require(Action.VIEW_WALLET)
        return await self._wallet(member.workspace_id)

    async def our_transactions(
        self, member: Member, cursor: str | None = None, limit: int = 50
    ) -> schema.Transactions:
        member.require(Action.VIEW_WALLET)
        return await self._transactions(member.workspace_id, cursor, limit)

    async def prices(self, member: Member) -> tuple[schema.RateSheet | None, list[schema.Rate]]:
        """The list that counts for a campaign that starts now, and its rates."""
        member.require(Action.VIEW_WALLET)
        with engine("price list"):
            sheets = await self._core.rate_sheets()
        current = next((one for one in sheets.sheets if one.version == sheets.current), None)
        return current, await self._rates(current.version) if current is not None else []

    async def categories(self) -> list[str]:
        """Of the present prices: words for a form, which say nothing of anybody's money."""
        with engine("price list"):
            current = (await self._core.rate_sheets()).current
        rates = await self._rates(current) if current is not None else []
        return sorted({rate.category for rate in rates if rate.category})

    # The installation's

    async def wallets(self, actor: Actor) -> list[schema.Wallet]:
        actor.require(Action.MANAGE_MONEY)
        with engine("wallet"):
            return await self._core.wallets()

    async def wallet(self, actor: Actor, workspace_id: UUID) -> schema.Wallet | None:
        actor.require(Action.MANAGE_MONEY)
        return await self._wallet(workspace_id)

    async def transactions(
        self, actor: Actor, workspace_id: UUID, cursor: str | None = None, limit: int = 50
    ) -> schema.Transactions:
        actor.require(Action.MANAGE_MONEY)
        return await self._transactions(workspace_id, cursor, limit)

    async def transact(
        self, actor: Actor, workspace: Workspace, spec: schema.TransactionSpec
    ) -> schema.Wallet:
        """Credit or debit, once for each decision id; told in the workspace's audit."""
        actor.require(Action.MANAGE_MONEY)
        details = {
            # Written together: digits on their own would be masked as a phone number.
            "amount": f"{spec.currency}{Decimal(spec.amount) / UNIT}",
            "note": spec.note,
            "decision": spec.decision_id,
        }
        async with self._commands.audited(
            actor, f"wallet.{spec.kind}", "wallet", workspace.name, details, workspace_id=workspace.id
        ):
            return await self._core.transact(workspace.id, spec)

    async def sheets(self, actor: Actor) -> schema.RateSheets:
        """All price lists, the newest first."""
        actor.require(Action.MANAGE_MONEY)
        with engine("price list"):
            return await self._core.rate_sheets()

    async def sheet(self, actor: Actor, version: int) -> tuple[schema.RateSheet, list[schema.Rate]]:
        found = next((one for one in (await self.sheets(actor)).sheets if one.version == version), None)
        if found is None:
            raise NotFound("price list")
        return found, await self._rates(version)

    async def publish(self, actor: Actor, csv: str, note: str, decision_id: UUID) -> schema.RateSheet:
        """The next price list; it counts for campaigns that start from now on. Invalid names the line."""
        actor.require(Action.MANAGE_MONEY)
        rates = read_rates(csv)
        spec = schema.RateSheetSpec(decision_id=decision_id, rates=rates, note=note)
        details = {"rates": len(rates), "note": note, "decision": decision_id}
        async with self._commands.audited(actor, "prices.publish", "prices", note or "price list", details):
            return await self._core.publish_rates(spec)

    # Inside

    async def _wallet(self, workspace_id: UUID) -> schema.Wallet | None:
        try:
            with engine("wallet"):
                return await self._core.wallet(workspace_id)
        except NotFound:
            return None

    async def _transactions(self, workspace_id: UUID, cursor: str | None, limit: int) -> schema.Transactions:
        with engine("wallet"):
            return await self._core.transactions(workspace_id, cursor, limit)

    async def _rates(self, version: int) -> list[schema.Rate]:
        if version not in self._sheets:
            with engine("price list"):
                rates = await self._core.rates(version)
            self._sheets = {version: rates}
        return self._sheets[version]
