"""TPS by hour, in the account's zone."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.dispatch.schedule import days, express_share, tps_at


@dataclass
class Account:
    tps: int = 100
    settings: dict[str, Any] = field(default_factory=dict)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_without_a_schedule_the_accounts_own_counts() -> None:
    assert tps_at(Account(), at("2026-03-02T12:00")) == 100


@pytest.mark.parametrize(
    ("when", "tps"),
    [
        ("2026-03-02T08:59", 100),
        ("2026-03-02T09:00", 500),
        ("2026-03-02T20:59:59", 500),
        ("2026-03-02T21:00", 100),
        ("2026-03-07T12:00", 100),  # a Saturday
    ],
)
def test_a_window_holds_from_its_first_minute_to_before_its_last(when: str, tps: int) -> None:
    windows = [{"from": "09:00", "to": "21:00", "tps": 500, "days": "mon-fri"}]
    assert tps_at(Account(settings={"tps_schedule": windows}), at(when)) == tps


@pytest.mark.parametrize(
    ("when", "tps"),
    [
        ("2026-03-06T21:59", 100),
        ("2026-03-06T22:00", 7),  # Friday evening
        ("2026-03-07T05:59", 7),  # still Friday's window
        ("2026-03-07T06:00", 100),
        ("2026-03-07T22:00", 100),
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_it_begins_on(when: str, tps: int) -> None:
    windows = [{"from": "22:00", "to": "06:00", "tps": 7, "days": "fri"}]
    assert tps_at(Account(settings={"tps_schedule": windows}), at(when)) == tps


def test_hours_are_those_of_the_accounts_zone() -> None:
    windows = [{"from": "09:00", "to": "10:00", "tps": 7}]
    account = Account(settings={"tps_schedule": windows, "tz": "Asia/Kolkata"})
    assert tps_at(account, at("2026-03-02T03:30")) == 7
    assert tps_at(account, at("2026-03-02T09:00")) == 100


def test_the_first_window_that_holds_counts() -> None:
    windows = [{"from": "09:00", "to": "12:00", "tps": 7}, {"from": "00:00", "to": "24:00", "tps": 9}]
    account = Account(settings={"tps_schedule": windows})
    assert [tps_at(account, at(f"2026-03-02T{hour}:00")) for hour in ("08", "09", "12")] == [9, 7, 9]


@given(
    start=st.integers(0, 1439),
    length=st.integers(1, 1439),
    minute=st.integers(0, 7 * 1440 - 1),
)
def test_a_window_and_the_one_beside_it_cover_every_minute_once(start: int, length: int, minute: int) -> None:
    def clock(minutes: int) -> str:
        return f"{minutes % 1440 // 60:02}:{minutes % 60:02}"

    def window(begin: int, end: int) -> Account:
        return Account(settings={"tps_schedule": [{"from": clock(begin), "to": clock(end), "tps": 1}]})

    now = at("2026-03-02T00:00") + timedelta(minutes=minute)
    found = [tps_at(window(start, start + length), now), tps_at(window(start + length, start), now)]
    assert sorted(found) == [1, 100]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("mon-sun", {0, 1, 2, 3, 4, 5, 6}), ("sat-mon", {5, 6, 0}), ("tue", {1}), ("mon-wed,sun", {0, 1, 2, 6})],
)
def test_days(text: str, numbers: set[int]) -> None:
    assert days(text) == numbers


def test_an_unknown_day_is_refused() -> None:
    with pytest.raises(ValueError, match="no day"):
        days("mon-foo")


def test_express_keeps_a_tenth_unless_the_account_says_otherwise() -> None:
    assert express_share(Account()) == 0.1
    assert express_share(Account(settings={"express_share": 0.5})) == 0.5
