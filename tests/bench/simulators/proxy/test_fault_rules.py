"""Rules as they are written, and which PDUs they strike."""

import random

import pytest

from bench.simulators.proxy.rules import Rule, Trigger, parse

RESP = 0x80000004


def strikes(text: str, times: list[float], command: int = RESP, seed: int = 1) -> list[int]:
    """Which PDUs of a row, counted from 1."""
    trigger = Trigger(parse(text), random.Random(seed))
    return [number for number, at_s in enumerate(times, 1) if trigger.strikes(command, at_s)]


@pytest.mark.parametrize(
    ("text", "struck"),
    [
        ("drop:submit_sm_resp", [1, 2, 3, 4, 5, 6]),
        ("drop:submit_sm_resp@count=3", [3]),
        ("drop:submit_sm_resp@count=2,every=2", [2, 4, 6]),
        ("drop:submit_sm_resp@count=2,every=2,times=2", [2, 4]),
        ("drop:submit_sm_resp@from=2,to=4", [3, 4]),
        ("drop:any", [1, 2, 3, 4, 5, 6]),
        ("drop:deliver_sm", []),
        ("drop:submit_sm_resp@share=0", []),
    ],
)
def test_a_rule_strikes_what_its_trigger_lets_through(text: str, struck: list[int]) -> None:
    assert strikes(text, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]) == struck


def test_a_share_is_drawn_from_the_seed() -> None:
    text, times = "drop:submit_sm_resp@share=0.3", [0.0] * 1000
    assert strikes(text, times, seed=7) == strikes(text, times, seed=7)
    assert strikes(text, times, seed=7) != strikes(text, times, seed=8)
    assert 240 <= len(strikes(text, times, seed=7)) <= 360


def test_values_are_decimal_or_hexadecimal_and_have_defaults() -> None:
    assert parse("answer=0x58:submit_sm") == Rule("answer", 4, 0x58)
    assert parse("slice:any") == Rule("slice", None, 1)
    assert parse("oversized:deliver_sm_resp").value == 1 << 30
    assert parse("drop:submit_sm_resp@count=3").name == "drop:submit_sm_resp"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("drop", "is not like"),
        ("eat:submit_sm", "is none of"),
        ("drop:submit", "no SMPP command"),
        ("drop:submit_sm@when=3", "no trigger"),
        ("drop:submit_sm@share=1.5", "between 0 and 1"),
        ("drop:submit_sm@count=x", "could not convert"),
    ],
)
def test_a_rule_that_is_none_says_why(wrong: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse(wrong)
