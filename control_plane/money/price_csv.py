"""A price list as CSV: `prefix,price` and optionally `channel,category`, as the command line takes it."""

import csv
import io
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from control_plane.errors import Invalid
from engine.core_api import schema

UNIT = 10_000  # amounts are integers of 1/10,000 of the wallet's unit
MOST = 10**15
LIMIT = 90_000  # characters, so that the form stays within its bound; what is longer goes by the command line
COLUMNS = ("prefix", "price", "channel", "category")


def read_amount(text: str) -> int:
    """`125.50` as an integer of 1/10,000; ValueError with a sentence. Thousands have no separator."""
    try:
        amount = Decimal(text.strip()) * UNIT
    except ArithmeticError:
        amount = Decimal(-1)
    if not amount.is_finite() or not 0 < amount <= MOST or amount % 1:
        raise ValueError("A positive amount with at most four decimals, such as 125.50.")
    return int(amount)


def read_rates(text: str) -> list[schema.Rate]:
    """The rates of a pasted list. Invalid names the line, under the field `csv`."""
    if not text.strip() or len(text) > LIMIT:
        raise Invalid({"csv": f"Paste a list of at most {LIMIT:,} characters; a longer one by the command."})
    rows = csv.DictReader(io.StringIO(text.strip().removeprefix("\ufeff") + "\n", newline=""))
    try:
        if not {"prefix", "price"} <= set(rows.fieldnames or ()) <= set(COLUMNS):
            raise Invalid({"csv": "Line 1: the header is prefix,price and optionally channel,category."})
        rates = [_rate(row, rows.line_num) for row in rows]
    except csv.Error as error:
        raise Invalid({"csv": f"Line {rows.line_num + 1}: {error}"}) from error
    if not rates:
        raise Invalid({"csv": "The list has a header and no price."})
    return rates


def _rate(row: dict[str | Any, str | Any], line: int) -> schema.Rate:
    if None in row:  # a decimal comma, say: half of the price would be another column
        raise Invalid({"csv": f"Line {line}: it has more values than the header has columns."})
    try:
        price = Decimal(row["price"] or "") * UNIT
        if not price.is_finite() or abs(price) > MOST or price % 1:
            raise InvalidOperation
        given = {name: value or "" for name, value in row.items()} | {"price": int(price)}
        return msgspec.convert(given, schema.Rate)
    except msgspec.ValidationError as error:
        raise Invalid({"csv": f"Line {line}: {error}"}) from error
    except ArithmeticError as error:
        raise Invalid({"csv": f"Line {line}: {row['price'] or 'nothing'} is no price."}) from error
