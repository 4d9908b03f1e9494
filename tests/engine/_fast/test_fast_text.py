"""Texts: what GSM and UCS-2 make of them, and the C code equal to its twin on any octets."""

import importlib
from array import array
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine._fast.alphabet import GSM
from engine._fast.pure import text as pure

fast = importlib.import_module("engine._fast.text")
both = pytest.mark.parametrize("text", [fast, pure], ids=["c", "twin"])

GSM_TEXT = st.text(st.sampled_from(sorted(GSM)), max_size=400)
MIXED_TEXT = st.text(st.sampled_from("ab é€[]{}Ωç日😀𝒳\0\x1b"), max_size=400)
ANY_TEXT = st.one_of(GSM_TEXT, MIXED_TEXT, st.text(max_size=60))
OCTETS = st.one_of(
    ANY_TEXT.map(str.encode),
    st.binary(max_size=60),
    st.lists(
        st.sampled_from(
            [b"a", b"\xc3", b"\xe2\x82", b"\xac", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xff", b"\xf4\x90"]
        )
    ).map(b"".join),
)


def column(values: list[bytes]) -> tuple[array, bytes]:
    """Values as the buffers of an Arrow string column."""
    offsets = array("i", [0])
    for value in values:
        offsets.append(offsets[-1] + len(value))
    return offsets, b"".join(values)


def joined(values: list[bytes]) -> tuple[bytes, array]:
    offsets, data = column(values)
    return data, offsets[1:]


def result(call: Callable[..., Any], *arguments: Any) -> Any:
    """What a call gives, or the kind of error it raises."""
    try:
        return call(*arguments)
    except (ValueError, IndexError, OverflowError) as error:
        return type(error)


@both
def test_the_whole_alphabet_is_encoded_as_the_table_says(text: Any) -> None:
    assert text.encode_gsm("@£$¥èéùìòÇ\nØø\rÅå") == bytes(range(16))
    assert text.encode_gsm("[~^|€]{}\\\f") == bytes.fromhex("1b3c1b3d1b141b401b651b3e1b281b291b2f1b0a")
    assert text.encode_gsm("¿abcxyzäöñüà") == b"\x60abcxyz\x7b\x7c\x7d\x7e\x7f"
    assert text.encode_gsm("ç") is None
    assert text.encode_gsm("\x1b") is None


@both
@pytest.mark.parametrize(
    ("message", "parts"),
    [
        ("", 0),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("a" * 152 + "€" + "a" * 152, 3),
        ("я" * 70, 1),
        ("я" * 71, 2),
        ("😀" * 35, 1),
        ("😀" * 66, 2),
        ("😀" * 67, 3),
    ],
)
def test_a_text_takes_as_many_parts_as_whole_pairs_allow(text: Any, message: str, parts: int) -> None:
    assert text.parts(message) == parts


@given(ANY_TEXT)
@example("\ud800")
def test_a_single_text_is_read_alike(message: str) -> None:
    assert fast.encode_gsm(message) == pure.encode_gsm(message)
    assert result(fast.encode_ucs2, message) == result(pure.encode_ucs2, message)
    assert result(fast.parts, message) == result(pure.parts, message)


@given(ANY_TEXT)
def test_parts_join_to_the_text_and_end_between_characters(message: str) -> None:
    encoding, octets = pure.encode(message)
    pieces = pure.split(encoding, octets)
    assert b"".join(pieces) == octets
    for piece in pieces:
        if encoding == pure.ENCODING_GSM:
            assert len(piece) <= (160 if len(pieces) == 1 else 153)
            assert piece[-1] != 0x1B
        else:
            assert len(piece) <= (140 if len(pieces) == 1 else 134)
            piece.decode("utf-16-be")


@given(st.lists(OCTETS, max_size=8))
def test_columns_of_any_octets_are_classified_alike(values: list[bytes]) -> None:
    data, end = joined(values)
    expected = pure.classify(data, end)
    found = fast.classify(data, end)
    assert found == expected
    assert [c.typecode for c in found] == [c.typecode for c in expected] == ["b", "i", "h"]


@given(st.binary(max_size=9), st.lists(st.integers(-2, 12), max_size=4))
def test_ends_that_do_not_fit_are_refused_alike(data: bytes, ends: list[int]) -> None:
    assert result(fast.classify, data, array("i", ends)) == result(pure.classify, data, array("i", ends))


@both
def test_a_text_beyond_int16_parts_is_an_overflow(text: Any) -> None:
    data = b"a" * (153 * 32_768)
    with pytest.raises(OverflowError):
        text.classify(data, array("i", [len(data)]))


SEGMENTS = st.lists(st.one_of(ANY_TEXT.map(str.encode), st.integers(0, 2)), max_size=5)
COLUMNS = st.lists(st.lists(OCTETS, min_size=3, max_size=3), max_size=3)


@given(SEGMENTS, COLUMNS, st.lists(st.integers(-1, 3), max_size=5))
def test_templates_render_and_count_alike(
    segments: list[bytes | int], values: list[list[bytes]], rows: list[int]
) -> None:
    columns = [column(each) for each in values]
    chosen = array("i", rows)
    rendered = result(fast.render, fast.Template(segments), columns, chosen)
    assert rendered == result(pure.render, pure.Template(segments), columns, chosen)
    counted = result(fast.count, fast.Template(segments), columns, chosen)
    assert counted == result(pure.count, pure.Template(segments), columns, chosen)


@given(st.lists(st.integers(-3, 9), min_size=2, max_size=4), st.binary(max_size=6))
def test_offsets_outside_the_data_are_refused_alike(offsets: list[int], data: bytes) -> None:
    columns = [(array("i", offsets), data)]
    rows = array("i", range(len(offsets) - 1))
    assert result(fast.render, fast.Template([0]), columns, rows) == result(
        pure.render, pure.Template([0]), columns, rows
    )
    assert result(fast.count, fast.Template([0]), columns, rows) == result(
        pure.count, pure.Template([0]), columns, rows
    )


@both
def test_one_name_outside_the_alphabet_switches_only_its_message(text: Any) -> None:
    template = text.Template([b"Dear ", 0, "€".encode()])
    totals = text.count(template, [column([b"Ann", "Ян".encode(), b""])], array("i", [0, 1, 2]))
    assert (totals.messages, totals.parts, totals.gsm, totals.ucs2, totals.empty) == (3, 3, 2, 1, 0)
    assert totals.longest_row == 1
    assert totals.histogram[0] == 3


@both
def test_a_message_switched_in_its_middle_is_counted_in_ucs2_from_its_begin(text: Any) -> None:
    template = text.Template([b"a" * 34, 0])
    names = [("b" * 35 + "я").encode(), ("b" * 36 + "я").encode()]
    totals = text.count(template, [column(names)], array("i", [0, 1]))
    assert list(totals.histogram[:3]) == [1, 1, 0]


@both
def test_a_missing_arrow_data_buffer_is_a_column_of_empty_texts(text: Any) -> None:
    columns = [(array("i", [0, 0]), None)]
    assert text.render(text.Template([b"x", 0]), columns, array("i", [0])) == (b"x", array("i", [1]))


@both
@pytest.mark.parametrize("segments", [[b"\xff"], [-1]])
def test_a_template_that_cannot_be_compiled_is_refused(text: Any, segments: list[bytes | int]) -> None:
    with pytest.raises(ValueError, match=r"UTF-8|utf-8|negative"):
        text.Template(segments)


@both
def test_a_template_keeps_its_segments_and_the_columns_it_needs(text: Any) -> None:
    template = text.Template([b"a", 3, b"b", 1])
    assert (template.segments, template.columns) == ((b"a", 3, b"b", 1), 4)
    with pytest.raises(ValueError, match="column 3 of 1"):
        text.render(template, [column([b""])], array("i", [0]))
