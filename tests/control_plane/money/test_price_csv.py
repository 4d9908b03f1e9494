"""Amounts and price lists as people write them; what is wrong is named with its line."""

import pytest

from control_plane.errors import Invalid
from control_plane.money.price_csv import LIMIT, read_amount, read_rates
from engine.core_api import schema


@pytest.mark.parametrize(
    ("text", "amount"), [("125.50", 1_255_000), ("0.0001", 1), (" 7 ", 70_000), ("1e2", 1_000_000)]
)
def test_an_amount_is_read_exactly(text: str, amount: int) -> None:
    assert read_amount(text) == amount


@pytest.mark.parametrize("text", ["", "0", "-1", "1,50", "0.00001", "nan", "inf", "1e30", "EUR 5"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="positive amount"):
        read_amount(text)


def test_a_list_is_read_with_and_without_its_further_columns() -> None:
    assert read_rates("prefix,price\n,0.05\n91,0.012\n") == [
        schema.Rate(prefix="", price=500),
        schema.Rate(prefix="91", price=120),
    ]
    (rate,) = read_rates("\ufeffcategory,price,channel,prefix\notp,0,Airtel,91")
    assert rate == schema.Rate(prefix="91", price=0, channel="Airtel", category="otp")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Paste a list"),
        ("x" * (LIMIT + 1), "Paste a list"),
        ("number,price\n91,1", "Line 1"),
        ("prefix,price\n", "no price"),
        ("prefix,price\n91,0,05", "Line 2"),
        ("prefix,price\n91,1\n92,dear", "Line 3"),
        ("prefix,price\n91,0.00001", "Line 2"),
        ("prefix,price\n91,-1", "Line 2"),
        ("prefix,price\nx91,1", "Line 2"),
        ("prefix,price\n91", "Line 2"),
    ],
)
def test_a_list_that_is_wrong_says_where(text: str, said: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_rates(text)
    assert said in refused.value.errors["csv"]
