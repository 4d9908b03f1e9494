"""The fake engine's wallets and price lists: booked and published, nothing is ever charged."""

from uuid import UUID

import msgspec

from control_plane.core_fake_operations import STARTED, refuse
from control_plane.core_fake_routes import FakeRoutes
from engine.core_api import schema


class FakeMoney(FakeRoutes):
    def __init__(self) -> None:
        super().__init__()
        self._wallets: dict[UUID, schema.Wallet] = {}
        self._transactions: dict[UUID, list[schema.Transaction]] = {}
        self._booked: dict[UUID, tuple[schema.TransactionSpec, schema.Wallet]] = {}
        self._sheets: list[schema.RateSheet] = []
        self._rates: dict[int, list[schema.Rate]] = {}
        self._published: dict[UUID, schema.RateSheet] = {}

    async def wallets(self) -> list[schema.Wallet]:
        self._reach()
        return sorted(self._wallets.values(), key=lambda one: one.workspace_id)

    async def wallet(self, workspace_id: UUID) -> schema.Wallet:
        self._reach()
        if workspace_id not in self._wallets:
            refuse("not-found", 404, f"workspace {workspace_id} has no wallet")
        return self._wallets[workspace_id]

    async def transact(self, workspace_id: UUID, spec: schema.TransactionSpec) -> schema.Wallet:
        self._reach()
        if spec.decision_id in self._booked:
            booked, answer = self._booked[spec.decision_id]
            if booked != spec:
                refuse("decision-reused", 409, "the decision id belongs to another command")
            return answer
        found = self._wallets.get(workspace_id) or self._open(workspace_id, spec)
        if found.currency != spec.currency:
            refuse("wrong-currency", 409, f"the wallet is kept in {found.currency}, not in {spec.currency}")
        amount = spec.amount if spec.kind == "credit" else -spec.amount
        if found.balance + amount < 0:
            refuse("no-balance", 409, f"{found.balance} is free, {-amount} was to be taken out")
        changed = msgspec.structs.replace(
            found, balance=found.balance + amount, credited=found.credited + amount
        )
        self._wallets[workspace_id] = changed
        self._booked[spec.decision_id] = (spec, changed)
        made = self._transactions.setdefault(workspace_id, [])
        made.insert(
            0,
            schema.Transaction(
                transaction_id=len(made) + 1,
                kind=spec.kind,
                amount=spec.amount,
                note=spec.note,
                actor=spec.actor,
                happened_at=STARTED,
            ),
        )
        self.done.append(spec.kind)
        return changed

    async def transactions(
        self, workspace_id: UUID, cursor: str | None = None, limit: int = 100
    ) -> schema.Transactions:
        self._reach()
        if cursor is not None and not cursor.isdigit():
            refuse("bad-cursor", 400, "cursor: not one of ours")
        made = self._transactions.get(workspace_id, [])
        left = [one for one in made if cursor is None or one.transaction_id < int(cursor)]
        page = left[:limit]
        return schema.Transactions(
            transactions=page, next=str(page[-1].transaction_id) if len(left) > limit else None
        )

    async def publish_rates(self, spec: schema.RateSheetSpec) -> schema.RateSheet:
        self._reach()
        if spec.decision_id not in self._published:
            for rate in spec.rates:
                if rate.channel and not self._knows_channel(rate.channel):
                    refuse("bad-rates", 422, f"no channel {rate.channel!r}")
            sheet = schema.RateSheet(
                version=len(self._sheets) + 1,
                valid_from=spec.valid_from or STARTED,
                note=spec.note,
                created_at=STARTED,
                rates=len(spec.rates),
            )
            self._sheets.append(sheet)
            self._rates[sheet.version] = spec.rates
            self._published[spec.decision_id] = sheet
            self.done.append("publish rates")
        return self._published[spec.decision_id]

    async def rate_sheets(self) -> schema.RateSheets:
        self._reach()
        current = self._sheets[-1].version if self._sheets else None
        return schema.RateSheets(sheets=self._sheets[::-1], current=current)

    async def rates(self, version: int) -> list[schema.Rate]:
        self._reach()
        if version not in self._rates:
            refuse("not-found", 404, f"no price list {version}")
        return self._rates[version]

    def _open(self, workspace_id: UUID, spec: schema.TransactionSpec) -> schema.Wallet:
        if spec.kind == "debit":
            refuse("not-found", 404, f"no wallet of workspace {workspace_id}: credit it first")
        return schema.Wallet(
            workspace_id=workspace_id,
            currency=spec.currency,
            credited=0,
            balance=0,
            reserved=0,
            charged=0,
            opened_at=STARTED,
        )
