"""`heliograph wallet` and `heliograph rates`: money from the command line, over the Core API."""

import csv
import getpass
import io
import re
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import click
import msgspec

from engine.core_api import schema
from engine.core_api.console_link import CoreLink, ask, core_options, print_json

UNIT = 10_000  # amounts are integers of 1/10,000
_MOST = 10**15
_COLUMNS = ("prefix", "price", "channel", "category")


class _Amount(click.ParamType[int]):
    """A decimal amount of the unit, as an integer of 1/10,000."""

    name = "amount"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            amount = Decimal(str(value)) * UNIT
        except ArithmeticError:
            self.fail(f"{value!r} is no amount: write 125.50", param, ctx)
        if not amount.is_finite() or not 0 < amount <= _MOST or amount % 1:
            self.fail(f"{value!r} is not a positive amount with at most four decimals", param, ctx)
        return int(amount)


def shown(amount: int) -> str:
    """An amount of 1/10,000 in units: `125.50`, with further decimals only where there are some."""
    units = Decimal(amount) / UNIT
    return f"{units:.2f}" if amount % 100 == 0 else f"{units:.4f}"


@click.group()
def wallet() -> None:
    """Balances of workspaces: credit, debit, show."""


def _transact(
    link: CoreLink,
    kind: str,
    workspace: UUID,
    amount: int,
    currency: str,
    note: str,
    decision: UUID | None,
    as_json: bool,
) -> None:
    if not re.fullmatch("[A-Za-z]{3}", currency):
        raise click.BadParameter(f"{currency!r} is not three letters, such as EUR", param_hint="--currency")
    try:
        spec = msgspec.convert(
            {
                "decision_id": decision or uuid4(),
                "kind": kind,
                "amount": amount,
                "currency": currency.upper(),
                "note": note,
                "actor": f"command line: {getpass.getuser()}",
            },
            schema.TransactionSpec,
        )
    except msgspec.ValidationError as error:
        raise click.ClickException(str(error)) from error
    found = ask(link, lambda core: core.transact(workspace, spec))
    if as_json:
        print_json(found)
    else:
        click.echo(_line(found))


def _line(found: schema.Wallet) -> str:
    return (
        f"{found.workspace_id}: {shown(found.balance)} {found.currency} free, "
        f"{shown(found.reserved)} reserved, {shown(found.charged)} charged"
    )


def _options(verb: click.decorators.FC) -> click.decorators.FC:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="The wallet as one JSON document."),
        click.option(
            "--decision",
            type=click.UUID,
            help="Decision id: repeated with the same one, the command happens once. Default: a new one.",
        ),
        click.option("--note", default="", help="Why; kept with the transaction."),
        click.option(
            "--currency", required=True, metavar="CODE", help="ISO 4217, such as EUR; must be the wallet's."
        ),
        click.argument("amount", type=_Amount()),
        click.argument("workspace", type=click.UUID),
    ):
        verb = option(verb)
    return verb


@wallet.command()
@core_options
@_options
def credit(
    link: CoreLink,
    workspace: UUID,
    amount: int,
    currency: str,
    note: str,
    decision: UUID | None,
    as_json: bool,
) -> None:
    """Add AMOUNT (such as 125.50) to WORKSPACE's wallet; the first credit opens it.

    Campaigns paused for want of balance go on by themselves.
    """
    _transact(link, "credit", workspace, amount, currency, note, decision, as_json)


@wallet.command()
@core_options
@_options
def debit(
    link: CoreLink,
    workspace: UUID,
    amount: int,
    currency: str,
    note: str,
    decision: UUID | None,
    as_json: bool,
) -> None:
    """Take AMOUNT out of WORKSPACE's wallet; never more than is free."""
    _transact(link, "debit", workspace, amount, currency, note, decision, as_json)


@wallet.command()
@core_options
@click.argument("workspace", type=click.UUID, required=False)
@click.option("--json", "as_json", is_flag=True, help="A JSON list of wallets.")
def show(link: CoreLink, workspace: UUID | None, as_json: bool) -> None:
    """WORKSPACE's wallet, or all of them."""
    found = ask(link, lambda core: core.wallets())
    if workspace is not None:
        found = [each for each in found if each.workspace_id == workspace]
        if not found:
            raise click.ClickException(f"workspace {workspace} has no wallet: it is not charged")
    if as_json:
        print_json(found)
    else:
        for each in found:
            click.echo(_line(each))
        if not found:
            click.echo("no workspace has a wallet: nobody is charged")


@click.group()
def rates() -> None:
    """Price lists: publish, list."""


@rates.command()
@core_options
@click.argument("file", type=click.Path(dir_okay=False, exists=True, path_type=Path))
@click.option("--note", default="", help="What the list is; shown beside it.")
def publish(link: CoreLink, file: Path, note: str) -> None:
    """Publish FILE as the next price list; it counts for campaigns that start from now on.

    FILE is CSV with a header: prefix,price and optionally channel,category. An empty prefix is every number;
    the longest prefix counts, then the line with channel and category. Prices are of one part, in units.
    """
    spec = schema.RateSheetSpec(decision_id=uuid4(), rates=read_rates(file), note=note or file.name)
    sheet = ask(link, lambda core: core.publish_rates(spec))
    click.echo(
        f"Price list {sheet.version} with {sheet.rates} rates, valid from {sheet.valid_from:%Y-%m-%d %H:%M}Z."
    )


@rates.command("list")
@core_options
def list_(link: CoreLink) -> None:
    """Every price list; the one that counts now is marked."""
    found = ask(link, lambda core: core.rate_sheets())
    for sheet in found.sheets:
        mark = "*" if sheet.version == found.current else " "
        since = f"{sheet.valid_from:%Y-%m-%d %H:%M}Z"
        click.echo(f"{mark} {sheet.version}: {sheet.rates} rates, from {since}  {sheet.note}")
    if not found.sheets:
        click.echo("no price list is published")


def read_rates(file: Path) -> list[schema.Rate]:
    """The rates of a CSV file. Raises ClickException naming the line."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise click.ClickException(f"{file.name} line {line}: it is not UTF-8") from error
    rows = csv.DictReader(io.StringIO(text, newline=""))
    try:
        columns = rows.fieldnames or ()
        if not {"prefix", "price"} <= set(columns) <= set(_COLUMNS):
            raise click.ClickException(
                f"{file.name} line 1: the header must be prefix,price and optionally channel,category"
            )
        return [_rate(row, f"{file.name} line {rows.line_num}") for row in rows]
    except csv.Error as error:
        raise click.ClickException(f"{file.name} line {rows.line_num + 1}: {error}") from error


def _rate(row: dict[str | Any, str | Any], where: str) -> schema.Rate:
    if None in row:  # a decimal comma, say: half of the price would be another column
        raise click.ClickException(f"{where}: it has more values than the header has columns")
    try:
        price = Decimal(row["price"] or "") * UNIT
        if not price.is_finite() or abs(price) > _MOST or price % 1:
            raise InvalidOperation
        given = {name: value or "" for name, value in row.items()} | {"price": int(price)}
        return msgspec.convert(given, schema.Rate)
    except msgspec.ValidationError as error:
        raise click.ClickException(f"{where}: {error}") from error
    except ArithmeticError as error:
        raise click.ClickException(f"{where}: price {row['price'] or 'missing'}") from error
