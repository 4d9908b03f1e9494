"""Numbers and times as people read them."""

from datetime import UTC, datetime, timedelta

import pytest

from control_plane.web import format as show
from control_plane.web.views import outcome, outcome_shares
from engine.core_api import schema

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (0.0000001, "< 0.1 %"), (0.5, "50.0 %"), (0.99999, "99.9 %"), (1, "100 %")],
)
def test_a_percentage_is_complete_only_when_all_is_there(share: float, text: str) -> None:
    assert show.percent(share) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0.00"),
        (12_345_600, "1,234.56"),
        (120, "0.0120"),
        (-5_000, "-0.50"),
        (10**15, "100,000,000,000.00"),
        (None, "–"),
    ],
)
def test_money_has_four_decimals_only_where_two_do_not_say_it(amount: int | None, text: str) -> None:
    assert show.money(amount) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (999_600, "1.0 MB"), (1_234_567_890, "1.2 GB")],
)
def test_sizes_are_in_decimal_units(value: int, text: str) -> None:
    assert show.size(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.6, "1 min 0 s"), (3_661, "1 h 1 min"), (200_000, "2 d 7 h")]
)
def test_durations_have_two_units(seconds: float, text: str) -> None:
    assert show.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3, "just now"), (50, "1 minute ago"), (7_200, "2 hours ago"), (86_400 * 40, "20 Jan 2026")],
)
def test_times_are_told_from_now(seconds: int, text: str) -> None:
    assert show.ago(NOW - timedelta(seconds=seconds), NOW) == text


def test_the_exact_time_is_in_the_workspaces_zone() -> None:
    assert show.exact(NOW, "Europe/Berlin") == "2026-03-01 13:00:00 CET"


def test_the_tiles_add_up_to_the_equation() -> None:
    counts = schema.Counts(
        accepted=100, delivered=40, undelivered=5, no_receipt=3, failed=7, blocked=1, expired=2,
        cancelled=10, in_doubt=4, waiting=28, in_flight=8,
    )  # fmt: skip
    assert sum(outcome(counts).values()) == counts.accepted
    shares = outcome_shares(counts)
    assert sum(share.width for share in shares) == pytest.approx(1000)
    assert shares[-1].x + shares[-1].width == pytest.approx(1000)
