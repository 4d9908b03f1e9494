"""`heliograph wallet` and `heliograph rates` before they reach an engine: what they read and refuse."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from engine.core_api import money_cli, schema

WORKSPACE = "0b8c0a1e-4b1f-4c2e-9d7c-111111111111"


@pytest.mark.parametrize("amount", ["0", "-1", "1.00001", "NaN", "1e400", "1e999999", "ten", "Infinity"])
def test_an_amount_that_is_none_is_refused_by_name(amount: str) -> None:
    ran = CliRunner().invoke(money_cli.wallet, ["credit", "--currency", "EUR", "--", WORKSPACE, amount])
    assert ran.exit_code == 2
    assert amount in ran.output


def test_without_an_engine_one_line_says_what_to_do(tmp_path: Path) -> None:
    arguments = ["credit", "--data", str(tmp_path), WORKSPACE, "125.50", "--currency", "eur"]
    ran = CliRunner().invoke(money_cli.wallet, arguments)
    assert ran.exit_code == 1
    assert "heliograph up" in ran.output
    assert len(ran.output.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("amount", "text"), [(1_255_000, "125.50"), (1, "0.0001"), (10_000, "1.00"), (0, "0.00")]
)
def test_amounts_are_shown_in_units(amount: int, text: str) -> None:
    assert money_cli.shown(amount) == text


def test_a_price_list_is_read_in_units(tmp_path: Path) -> None:
    file = tmp_path / "rates.csv"
    file.write_text("prefix,price,category\n,0.05,\n49,0.0725,otp\n", "utf-8")
    assert money_cli.read_rates(file) == [
        schema.Rate(prefix="", price=500),
        schema.Rate(prefix="49", price=725, category="otp"),
    ]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("price\n1\n", "line 1"),
        ("prefix,price,colour\n49,1,red\n", "line 1"),
        ("prefix,price\n49,cheap\n", "line 2"),
        ("prefix,price\n49,0.07\n+49,0.07\n", "line 3"),
        ("prefix,price\n49,-1\n", "line 2"),
        ("prefix,price\n49,0.00001\n", "line 2"),
        ("prefix,price\n49\n", "line 2"),
        ("prefix,price\n49,Infinity\n", "line 2"),
        ("prefix,price\n49,1e999999\n", "line 2"),
        ("prefix,price\n1,0.07\n49,0,07\n", "line 3"),
        (f"prefix,price\n49,{'1' * 200_000}\n", "line 2"),
    ],
)
def test_a_bad_line_of_a_price_list_is_named(tmp_path: Path, content: str, named: str) -> None:
    file = tmp_path / "rates.csv"
    file.write_text(content, "utf-8")
    with pytest.raises(click.ClickException, match=named):
        money_cli.read_rates(file)


def test_a_price_list_in_another_encoding_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "rates.csv"
    file.write_bytes("prefix,price,category\n49,1,Grüße\n".encode("latin-1"))
    with pytest.raises(click.ClickException, match="line 2"):
        money_cli.read_rates(file)


def test_a_currency_that_is_none_is_refused_in_one_line(tmp_path: Path) -> None:
    arguments = ["credit", "--core-url", "https://127.0.0.1:1", WORKSPACE, "1", "--currency", "EURO"]
    ran = CliRunner().invoke(money_cli.wallet, arguments)
    assert ran.exit_code == 2
    assert "three letters" in ran.output
