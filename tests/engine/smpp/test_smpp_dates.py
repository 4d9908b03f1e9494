"""Dates without a zone, proposals of one, and validity periods."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.smpp import dates

NOON = 1_767_355_200  # 2026-01-02 12:00 as if UTC
IN_SUMMER = 1_783_080_000  # 2026-07-03 12:00 as if UTC


@pytest.mark.parametrize(
    ("name", "local_s", "offset_s"),
    [
        ("UTC", NOON, 0), ("+05:30", NOON, 19_800), ("-03:00", NOON, -10_800), ("Asia/Kolkata", NOON, 19_800),
        ("Europe/Berlin", NOON, 3600), ("Europe/Berlin", IN_SUMMER, 7200),
    ],
)  # fmt: skip
def test_offsets_at_local_times(name, local_s, offset_s):
    assert dates.offset_s(dates.zone(name), local_s) == offset_s


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "5:30", "+0530", "../etc/passwd"])
def test_what_is_no_zone_is_refused(name):
    with pytest.raises(ValueError, match="time zone"):
        dates.zone(name)


@pytest.mark.parametrize(
    ("differences", "proposed"),
    [
        ([], None), ([19_800], 19_800), ([19_700, 19_805, 90_000], 19_800), ([-60, 3, 2], 0), ([449], 0),
        ([451], 900), ([-10_801, -10_790], -10_800), ([20_700 - 200], 20_700), ([100_000], None),
    ],
)  # fmt: skip
def test_the_zone_is_proposed_from_the_median_rounded_to_a_quarter_of_an_hour(differences, proposed):
    found = dates.proposed_offset_s(differences)
    assert (found and found[0]) == proposed


@given(st.integers(-56, 56), st.lists(st.integers(-300, 300), min_size=1, max_size=50))
def test_any_zone_is_found_through_minutes_of_delay(quarters, noise):
    found = dates.proposed_offset_s([quarters * 900 + each for each in noise])
    assert found is not None
    assert found[0] == quarters * 900
    assert dates.offset_s(dates.zone(dates.offset_name(found[0])), NOON) == found[0]


@pytest.mark.parametrize(
    ("period", "seconds"),
    [
        ("000001020000000R", 26 * 3600), ("000000001500000R", 900), ("", None), ("soon", None),
        ("260102130000000+", 3600), ("260102130000004+", 0), ("260102130000004-", 7200),
        ("261302130000000+", None),
    ],
)  # fmt: skip
def test_validity_periods(period, seconds):
    assert dates.validity_s(period, datetime(2026, 1, 2, 12, tzinfo=UTC)) == seconds


@pytest.mark.parametrize(
    ("text", "epoch"),
    [
        ("1767366300", True),
        ("1767366300123", True),
        ("2601021505", False),
        ("260102150500", False),
        ("", False),
    ],
)
def test_an_epoch_has_no_zone(text, epoch):
    assert dates.is_epoch(text) is epoch
