"""The report is one file that needs nothing else, in both outcomes."""

import re
from dataclasses import replace

import pytest
from plan_samples import DURABLE, GOAL, plan, step

from bench.plan.page import better, html, number, octets


@pytest.fixture(scope="module")
def page() -> str:
    return html(plan())


def test_it_loads_nothing(page: str) -> None:
    assert not re.search(r"<script|<link|<img|<iframe|@import|url\(|src=", page)
    addresses = re.findall(r"https?://[^\"' <]+", page)
    assert set(addresses) <= {"http://www.w3.org/2000/svg"}


def test_it_says_what_when_where_and_how(page: str) -> None:
    for words in (
        "Reached on this machine",
        "heliograph bench plan --target-tps 5000",
        "PostgreSQL 18.6",
        plan().measured_at[:10],
        str(plan().machine["cpu"]),
        "window ÷ round trip",
    ):
        assert words in page
    assert page.count("<svg") == 1 + 2 * 4


def test_what_is_not_reached_says_why_and_what_is_needed() -> None:
    page = html(plan(durable=replace(DURABLE, held_per_s=10.0)))
    assert "Not reached on this machine" in page
    assert "10 of 5,000 submit_sm/s" in page
    assert "What would help" in page


def test_a_command_cannot_become_markup() -> None:
    page = html(replace(plan(), command="plan --report '<script>alert(1)</script>'"))
    assert "<script" not in page


def test_unmeasured_things_do_not_break_it() -> None:
    tiny = plan(goal=replace(GOAL, target_tps=1, tps_per_bind=1), confirmed=None)
    none_held = [replace(each, best_per_s=0.0) for each in tiny.ramps]
    assert "none held" in html(
        replace(
            tiny,
            ramps=none_held,
            advice=replace(tiny.advice, granted=[replace(tiny.advice.granted[0], binds=0)]),
        )
    )
    assert "<svg" in html(replace(tiny, ramps=tiny.ramps[:1]))


def test_both_themes_narrow_pages_and_paper_are_styled(page: str) -> None:
    for words in ("prefers-color-scheme: dark", "max-width: 50rem", "@media print"):
        assert words in page


def test_numbers_are_read_the_same_everywhere() -> None:
    assert number(1234567) == "1\u202f234\u202f567"
    assert (octets(999), octets(1_500), octets(2.5e9), octets(29e12)) == (
        "999 B",
        "1.5 kB",
        "2.5 GB",
        "29 TB",
    )


def test_of_two_tries_at_a_rate_the_better_is_drawn() -> None:
    steps = [step(200, 900.0), step(100, 60.0), step(200, 70.0)]
    assert [(each.offered_per_s, each.response_p99_ms) for each in better(steps)] == [
        (100, 60.0),
        (200, 70.0),
    ]
