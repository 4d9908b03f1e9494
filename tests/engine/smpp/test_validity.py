"""validity_period: relative, absolute, and never beyond the sending window."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.smpp import validity

NOW = datetime(2026, 11, 22, 11, 30, 5, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (26 * 3600, b"000001020000000R"),
        (60, b"000000000100000R"),
        (3661, b"000000010101000R"),
        (30 * 86_400, b"000100000000000R"),
        (365 * 86_400, b"010000000000000R"),
    ],
)
def test_relative_periods_are_those_of_the_specification(seconds: int, expected: bytes) -> None:
    assert validity.relative(seconds) == expected


@given(st.integers(1, 63 * 7 * 86_400))
def test_a_relative_period_says_its_seconds(seconds: int) -> None:
    text = validity.relative(seconds).decode()
    years, months, days, hours, minutes, rest = (int(text[i : i + 2]) for i in range(0, 12, 2))
    total = ((years * 365 + months * 30 + days) * 24 + hours) * 3600 + minutes * 60 + rest
    assert (total, text[12:], len(text)) == (seconds, "000R", 16)
    assert months < 13
    assert days < 30


@pytest.mark.parametrize("seconds", [0, -1, 100 * 365 * 86_400])
def test_no_relative_period_is_empty_or_endless(seconds: int) -> None:
    with pytest.raises(ValueError, match="validity"):
        validity.relative(seconds)


def test_an_absolute_period_is_in_utc() -> None:
    assert validity.absolute(NOW) == b"261122113005200+"
    assert validity.absolute(NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))) == b"261122113005200+"
    with pytest.raises(ValueError, match="zone"):
        validity.absolute(NOW.replace(tzinfo=None))


def test_a_period_is_written_as_the_channel_wants() -> None:
    assert validity.validity_period("relative", 3600, NOW) == b"000000010000000R"
    assert validity.validity_period("absolute", 3600, NOW) == b"261122123005200+"
    assert validity.validity_period("none", 3600, NOW) == b""
    assert validity.validity_period("relative", None, NOW) == b""


@given(st.one_of(st.none(), st.integers(60, 10**7)), st.integers(-(10**6), 10**6))
def test_nothing_is_delivered_after_the_window(validity_s: int | None, left_s: int) -> None:
    found = validity.capped(validity_s, NOW, NOW + timedelta(seconds=left_s))
    assert found is not None
    assert validity.LEAST_S <= found <= max(validity.LEAST_S, left_s)
    if validity_s is not None:
        assert found <= validity_s


def test_without_a_window_a_validity_stays_what_it_is() -> None:
    assert validity.capped(None, NOW, None) is None
    assert validity.capped(3600, NOW, None) == 3600
