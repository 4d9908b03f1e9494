"""Wallets and rates. Amounts are integers of 1/10,000 of the wallet's unit."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from engine.core_api.schema.base import Struct

__all__ = [
    "Rate",
    "RateSheet",
    "RateSheetSpec",
    "RateSheets",
    "Transaction",
    "TransactionSpec",
    "Transactions",
    "Wallet",
]

Amount = Annotated[int, msgspec.Meta(gt=0, le=10**15)]
Price = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class TransactionSpec(Struct, frozen=True, kw_only=True):
    """Money in or out of a workspace's wallet; the first credit opens it in that currency."""

    decision_id: UUID
    kind: Literal["credit", "debit"] = "credit"
    amount: Amount
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")]  # ISO 4217; must be the wallet's
    note: str = ""
    actor: str


class Wallet(Struct, frozen=True, kw_only=True):
    """`credited = balance + reserved + charged`: reserved is for messages under way and in doubt."""

    workspace_id: UUID
    currency: str
    credited: int
    balance: int
    reserved: int
    charged: int
    opened_at: datetime


class Transaction(Struct, frozen=True, kw_only=True):
    transaction_id: int
    kind: Literal["credit", "debit"]
    amount: int
    note: str
    actor: str
    happened_at: datetime


class Transactions(Struct, frozen=True, kw_only=True):
    transactions: list[Transaction]
    next: str | None


class Rate(Struct, frozen=True, kw_only=True):
    """The price of one part to numbers that begin with `prefix` ("" is every number)."""

    prefix: Annotated[str, msgspec.Meta(pattern="^[0-9]{0,15}$")]
    price: Price
    channel: str = ""  # "": any
    category: str = ""  # "": any


class RateSheetSpec(Struct, frozen=True, kw_only=True):
    """A whole price list. It counts for campaigns that start from `valid_from` (default: now) on."""

    decision_id: UUID
    rates: list[Rate]
    valid_from: datetime | None = None
    note: str = ""


class RateSheet(Struct, frozen=True, kw_only=True):
    version: int
    valid_from: datetime
    note: str
    created_at: datetime
    rates: int  # how many


class RateSheets(Struct, frozen=True, kw_only=True):
    sheets: list[RateSheet]
    current: int | None
