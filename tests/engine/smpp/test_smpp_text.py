"""Texts: alphabets there and back, parts that re-assemble, headers that lie, templates."""

import pytest
import smpplib.gsm
from hypothesis import given
from hypothesis import strategies as st

from engine._fast.alphabet import BASIC, ESCAPE, EXTENSION
from engine.smpp import text
from engine.smpp.text import Concatenation, Element, MalformedTemplate, Part, TooLong, UnknownColumn

GSM_CHARACTERS = [character for i, character in enumerate(BASIC) if i != ESCAPE] + list(EXTENSION)
gsm_text = st.text(st.sampled_from(GSM_CHARACTERS), max_size=900)
any_text = st.text(max_size=500) | st.text(st.sampled_from("aé€{😀漢"), max_size=500)
TEST_ALPHABET = "@£$_{}[]~^|€ñ"


def content(part: Part) -> bytes:
    return text.user_data(part.short_message, part.esm_class)[1]


@given(gsm_text | any_text, st.integers(0, 0xFFFFFFFF), st.randoms())
def test_parts_in_any_order_give_the_text_back(message: str, reference: int, random) -> None:
    parts = text.split(message, reference, max_parts=255)
    if not message:
        assert parts == []
        return
    random.shuffle(parts)
    assert text.reassemble(parts) == message
    assert text.reassemble([*parts, parts[0]]) == message or len(parts) == 1


@given(gsm_text | any_text)
def test_no_part_is_over_140_octets_on_air_or_cuts_a_character(message: str) -> None:
    parts = text.split(message, 1, max_parts=255)
    for part in parts:
        payload = content(part)
        several = len(parts) > 1
        if part.data_coding == text.DATA_CODING_UCS2:
            assert len(payload) <= (134 if several else 140)
            payload.decode("utf-16-be")
        else:
            assert len(payload) <= (153 if several else 160)
            assert text.decode_gsm(payload) in message
            assert not payload.endswith(b"\x1b")


@given(gsm_text | any_text, st.integers(0, 0xFFFF))
def test_a_missing_part_is_noticed(message: str, reference: int) -> None:
    parts = text.split(message, reference, max_parts=255)
    if len(parts) > 1:
        assert text.reassemble(parts[1:]) is None
        assert text.reassemble(parts[:-1]) is None


@pytest.mark.parametrize(
    ("message", "sizes"),
    [
        ("a" * 160, [160]),
        ("a" * 161, [153, 8]),
        ("a" * 152 + "€" + "a" * 10, [152, 12]),
        ("€" * 80, [160]),
        ("я" * 70, [140]),
        ("я" * 71, [134, 8]),
        ("я" * 66 + "😀" + "я" * 10, [132, 24]),
    ],
)
def test_parts_have_the_sizes_of_the_standard(message: str, sizes: list[int]) -> None:
    assert [len(content(part)) for part in text.split(message, 9)] == sizes


def test_parts_of_one_message_carry_an_8_bit_concatenation_header() -> None:
    first, second = text.split("a" * 200, 0x1234)
    assert first.short_message[:6] == bytes((5, 0, 3, 0x34, 2, 1))
    assert second.short_message[:6] == bytes((5, 0, 3, 0x34, 2, 2))
    assert (first.esm_class, first.data_coding) == (0x40, 0)


def test_a_message_over_the_limit_says_how_many_parts_it_needs() -> None:
    with pytest.raises(TooLong) as caught:
        text.split("a" * 1531, 1)
    assert (caught.value.parts, caught.value.limit) == (11, 10)
    with pytest.raises(TooLong):
        text.split("a" * (153 * 255 + 1), 1, max_parts=1000)


def test_the_test_alphabet_message_stays_in_gsm() -> None:
    (part,) = text.split(TEST_ALPHABET, 0)
    assert part.data_coding == 0
    assert part.short_message == smpplib.gsm.gsm_encode(TEST_ALPHABET)
    assert text.reassemble([part]) == TEST_ALPHABET


COMMON = [character for character in GSM_CHARACTERS if character in smpplib.gsm.GSM_CHARACTER_TABLE]


def test_the_other_codec_knows_all_but_two_characters() -> None:
    # It has a grave accent in place of the section sign, and no form feed.
    assert set(GSM_CHARACTERS) - set(COMMON) == set("§\f")


@given(st.text(st.sampled_from(COMMON), max_size=400))
def test_another_gsm_codec_encodes_the_same(message: str) -> None:
    encoded = b"".join(content(part) for part in text.split(message, 0, max_parts=255))
    assert encoded == smpplib.gsm.gsm_encode(message)


@given(st.binary(max_size=300), st.integers(0, 255))
def test_hostile_messages_always_decode(octets: bytes, coding: int) -> None:
    text.decode(octets, coding)
    elements, payload = text.user_data(octets, 0x40)
    assert octets.endswith(payload)
    text.concatenation(elements)
    text.reassemble([Part(octets, coding, 0x40), Part(octets, coding, 0x43)])


@pytest.mark.parametrize(
    ("message", "elements", "payload"),
    [
        (b"", [], b""),
        (b"\x00abc", [], b"abc"),
        (b"\x05\x00\x03\x07\x02\x01hi", [Element(0, b"\7\2\1")], b"hi"),
        (b"\x06\x00\x00\x00\x00\x00\x00hi", [Element(0, b"")] * 3, b"hi"),
        (b"\x05\x00\x09\x07\x02\x01hi", [], b"hi"),
        (b"\xff\x00\x03", [], b""),
        (b"\x01\x00hi", [], b"hi"),
    ],
)
def test_a_header_that_lies_ends_where_it_stops_making_sense(message, elements, payload) -> None:
    assert text.user_data(message, 0x40) == (elements, payload)


def test_without_udhi_the_first_octet_is_text() -> None:
    assert text.user_data(b"\x05\x00\x03abc", 0x00) == ([], b"\x05\x00\x03abc")


def test_concatenation_takes_both_reference_sizes_and_refuses_impossible_parts() -> None:
    assert text.concatenation([Element(8, b"\1\2\3\2")]) == Concatenation(0x0102, 3, 2)
    assert text.concatenation([Element(5, b"\0\0\0\0"), Element(0, b"\7\2\1")]) == Concatenation(7, 2, 1)
    assert text.concatenation([Element(0, b"\7\2\3")]) is None
    assert text.concatenation([Element(0, b"\7\2\0")]) is None
    assert text.concatenation([Element(0, b"\7\2")]) is None


def test_parts_of_two_messages_do_not_mix() -> None:
    one, other = text.split("a" * 200, 1), text.split("b" * 200, 2)
    assert text.reassemble([one[0], other[1]]) is None


@pytest.mark.parametrize(
    ("octets", "coding", "expected"),
    [
        (b"\x1b\x65", 0, "€"),
        (b"\x1b\x41", 0, "A"),
        (b"a\x1b", 0, "a "),
        (b"\x80", 0, "\ufffd"),
        ("né".encode("latin-1"), 3, "né"),
        (b"@_", 1, "@_"),
        ("漢😀".encode("utf-16-be"), 8, "漢😀"),
        ("漢".encode("utf-16-be"), 0x18, "漢"),
        (b"\xd8\x3d", 8, "\ufffd"),
    ],
)
def test_each_coding_is_decoded_by_its_alphabet(octets: bytes, coding: int, expected: str) -> None:
    assert text.decode(octets, coding) == expected


def test_a_template_is_fixed_octets_and_column_numbers() -> None:
    assert text.compile_template("Dear {{name}}, {{ Sum }}€ é", ["msisdn", "Name", "sum"]) == [
        b"Dear ", 1, b", ", 2, "€ é".encode(),
    ]  # fmt: skip
    assert text.compile_template("{{a}}{{b}}{{a}}", ["b", "a"]) == [1, 0, 1]
    assert text.compile_template("", ["a"]) == []
    assert text.compile_template("a {b} c", []) == [b"a {b} c"]


def test_an_exact_column_name_wins_over_one_of_another_case() -> None:
    assert text.compile_template("{{Name}}", ["name", "Name"]) == [1]


def test_all_unknown_columns_are_named_at_once() -> None:
    with pytest.raises(UnknownColumn) as caught:
        text.compile_template("{{a}} {{b}} {{c}} {{b}}", ["a"])
    assert caught.value.names == ("b", "c")
    with pytest.raises(UnknownColumn):
        text.compile_template("{{NAME}}", ["name", "Name"])


@pytest.mark.parametrize("template", ["{{name", "name}}", "{{}}", "{{ }}", "{{a {{name}}", "{{name}} {{"])
def test_braces_that_do_not_pair_are_refused(template: str) -> None:
    with pytest.raises(MalformedTemplate):
        text.compile_template(template, ["name", "a"])
