"""Wallets, transactions and prices as pages show them."""

from collections.abc import Iterable, Mapping
from typing import Any

from control_plane.web.translation import _
from control_plane.web.views import Look
from engine.core_api import schema

PRICES_SHOWN = 50
PREFIX_DIGITS = 7  # of a filter: enough for any rate, and never a whole number in an address


def wallet_tiles(wallet: schema.Wallet) -> list[dict[str, Any]]:
    """The balance and where the rest is; together they are what was credited."""
    return [
        {"label": _("Balance"), "amount": wallet.balance, "note": _("free for new messages")},
        {"label": _("Reserved"), "amount": wallet.reserved, "note": _("messages under way or in doubt")},
        {"label": _("Charged"), "amount": wallet.charged, "note": _("accepted by the operators")},
        {"label": _("Credited"), "amount": wallet.credited, "note": _("in all, less what was taken out")},
    ]


def transaction_rows(page: schema.Transactions) -> list[dict[str, Any]]:
    looks = {
        "credit": Look("delivered", "plus", _("Credit")),
        "debit": Look("held", "back", _("Debit")),
    }
    return [
        {
            "look": looks[one.kind],
            "amount": one.amount if one.kind == "credit" else -one.amount,
            "note": one.note,
            "actor": one.actor,
            "at": one.happened_at,
        }
        for one in page.transactions
    ]


def price_prefix(query: Mapping[str, str]) -> str:
    """The filter of a list of prices: its first digits."""
    return "".join(letter for letter in query.get("prefix", "") if letter in "0123456789")[:PREFIX_DIGITS]


def price_view(
    sheet: schema.RateSheet | None, rates: Iterable[schema.Rate], prefix: str, currency: str, path: str
) -> dict[str, Any]:
    """The rates that begin with the prefix or count for it; not more than one can read."""
    fitting = [one for one in rates if one.prefix.startswith(prefix) or prefix.startswith(one.prefix)]
    return {
        "sheet": sheet,
        "path": path,
        "prefix": prefix,
        "currency": currency,
        "rates": [
            {
                "prefix": f"+{one.prefix}" if one.prefix else _("Every other number"),
                "channel": one.channel or _("any"),
                "category": one.category or _("any"),
                "price": one.price,
            }
            for one in fitting[:PRICES_SHOWN]
        ],
        "more": max(0, len(fitting) - PRICES_SHOWN),
    }
