"""Which submission an id means: spellings, their order, destinations, learning."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.ledger.matching import (
    LOCK_AFTER,
    Bases,
    Candidate,
    Learned,
    LearnedIds,
    MatchedBy,
    ReceiptRules,
    choose,
    learn,
    rules_of,
    same_destination,
    spellings,
)

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
NUMBER = 447911123456
UNKNOWN = Bases()
UUID_ID = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"


def sent(smsc_id: str, row: int = 0, msisdn: int = NUMBER, ago_s: int = 60) -> Candidate:
    return Candidate(smsc_id, msisdn, NOW - timedelta(seconds=ago_s), 1, row, 1)


def found(smsc_id: str, *candidates: Candidate, bases: Bases = UNKNOWN, numbers=(NUMBER,)):
    chosen = choose(smsc_id, numbers, NOW, candidates, bases)
    return chosen and (chosen.candidate.row_no, chosen.by)


@pytest.mark.parametrize(
    ("receipt", "response", "by"),
    [
        ("abc-1", "abc-1", MatchedBy.EXACT),
        ("ABC-1", "abc-1", MatchedBy.FOLDED),
        ("00Ab", "AB", MatchedBy.FOLDED),
        ("12", "0000012", MatchedBy.FOLDED),
        ("0", "000", MatchedBy.FOLDED),
        ("1A2B3C4D", "439041101", MatchedBy.HEX_TO_DEC),
        ("439041101", "1a2b3c4d", MatchedBy.DEC_TO_HEX),
        ("0439041101", "001A2B3C4D", MatchedBy.DEC_TO_HEX),
        ("18446744073709551615", "ffffffffffffffff", MatchedBy.DEC_TO_HEX),
        (UUID_ID.upper(), UUID_ID, MatchedBy.FOLDED),
    ],
)
def test_the_spellings_of_one_id(receipt, response, by):
    assert found(receipt, sent(response)) == (0, by)
    assert response in spellings(receipt, Bases())


@pytest.mark.parametrize(
    ("receipt", "response"),
    [
        ("18446744073709551616", "10000000000000000"),  # 2^64
        ("10000000000000000", "18446744073709551616"),
        ("00000000000000000000000000000010", "16"), ("6ba7b8109dad11d180b400c04fd430c8", str(0x6BA7B810)),
        ("12x", "12"), ("-12", "12"), ("0x10", "16"),
        ("0" * 31 + "1", "1"),  # looks like a UUID: its zeros stay
    ],
)  # fmt: skip
def test_what_does_not_fit_64_bits_and_uuids_are_never_converted(receipt, response):
    assert found(receipt, sent(response)) is None


@given(st.integers(0, 2**64 - 1), st.integers(0, 4), st.booleans())
def test_any_number_is_found_in_both_bases(value, zeros, upper):
    spelt = f"{value:x}".rjust(len(f"{value:x}") + zeros, "0")
    spelt = spelt.upper() if upper else spelt
    assert found(str(value), sent(spelt))
    assert found(spelt, sent(str(value)))


def test_the_order_of_look_ups_is_exact_folded_hex_dec():
    all_of_them = [sent("10", 1), sent("0010", 2), sent("16", 3), sent("a", 4)]
    assert found("10", *all_of_them) == (1, MatchedBy.EXACT)
    assert found("10", *all_of_them[1:]) == (2, MatchedBy.FOLDED)
    assert found("10", *all_of_them[2:]) == (3, MatchedBy.HEX_TO_DEC)
    assert found("10", *all_of_them[3:]) == (4, MatchedBy.DEC_TO_HEX)


def test_known_bases_go_before_an_exact_coincidence_and_exclude_the_other_conversion():
    hex_dec = Bases("hex", "dec")
    assert found("10", sent("10", 1), sent("a", 2), bases=hex_dec) == (2, MatchedBy.DEC_TO_HEX)
    assert found("10", sent("10", 1), bases=hex_dec) == (1, MatchedBy.EXACT)
    assert found("10", sent("16", 1), bases=hex_dec) is None
    assert found("10", sent("a", 1), bases=Bases("text", "text")) is None
    assert found("10", sent("a", 1), bases=Bases("hex", None)) == (1, MatchedBy.DEC_TO_HEX)


@pytest.mark.parametrize(
    ("numbers", "hit"),
    [
        ((NUMBER,), True), ((7911123456,), True), ((11123456,), True), ((1123456,), False), ((), False),
        ((447911123457,), False), ((12345, NUMBER), True), ((99911123456,), False),
    ],
)  # fmt: skip
def test_anything_but_the_exact_id_needs_the_destination(numbers, hit):
    assert bool(found("255", sent("ff"), numbers=numbers)) is hit
    assert found("ff", sent("ff"), numbers=numbers) == (0, MatchedBy.EXACT)


def test_of_a_reused_id_the_newest_before_the_receipt():
    candidates = [sent("7", 1, ago_s=9000), sent("7", 2, ago_s=30), sent("7", 3, ago_s=-20)]
    assert found("7", *candidates) == (2, MatchedBy.EXACT)
    assert found("07", *candidates) == (2, MatchedBy.FOLDED)
    assert choose("7", [NUMBER], NOW, candidates, Bases()).unambiguous is False
    assert choose("7", [NUMBER], NOW, candidates[2:], Bases()) is None


@given(st.integers(1, 10**15), st.integers(1, 10**15))
def test_destinations_are_symmetric_and_hold_for_their_own_tails(one, other):
    assert same_destination(one, other) == same_destination(other, one)
    if one >= 10**10:
        assert same_destination(one, one % 10**10) == (one % 10**10 >= 10**7)


def test_bases_are_locked_after_a_hundred_matches_and_never_change_silently():
    known = learn(LearnedIds(), {("hex", "dec"): LOCK_AFTER - 1}, NOW)
    assert (known.locked, known.evidence) == (False, {"hex>dec": 99})
    locked = learn(known, {("hex", "dec"): 1, ("text", "text"): 2}, NOW)
    assert (locked.response, locked.receipt, locked.locked_at) == ("hex", "dec", NOW)
    assert learn(locked, {("text", "text"): 10_000}, NOW) is locked


def test_contradicting_evidence_keeps_the_bases_open():
    mixed = learn(LearnedIds(), {("hex", "dec"): 500, ("text", "text"): 30}, NOW)
    assert not mixed.locked


def test_what_is_set_goes_before_what_was_learned():
    learned = Learned(ids=learn(LearnedIds(), {("hex", "dec"): 100}, NOW))
    assert ReceiptRules(learned=learned).bases == Bases("hex", "dec")
    assert not ReceiptRules(learned=learned).learning
    assert ReceiptRules(learned=learned, id_base_response="dec").bases == Bases("dec", None)
    assert ReceiptRules(learned=learned, id_base_response="text", id_base_receipt="text").bases == Bases(
        "text", "text"
    )
    assert Bases("hex", "dec").radixes == (16, 10)
    assert Bases("dec", "dec").radixes == Bases("text", "hex").radixes == (0, 0)


def test_rules_are_read_beside_settings_of_other_subjects():
    rules = rules_of('{"tls": "on", "receipt_tz": "+05:30", "accepted_is_final": true}', "{}")
    assert (rules.receipt_tz, rules.accepted_is_final, rules.learning) == ("+05:30", True, True)
