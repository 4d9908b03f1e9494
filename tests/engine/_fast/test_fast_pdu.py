"""submit_sm octet by octet, parts that join again, streams cut anywhere; the C code equal to its twin."""

import importlib
import struct
from array import array
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._fast.alphabet import GSM
from engine._fast.columns import REJECT_EMPTY, REJECT_NUMBER, REJECT_TOO_LONG
from engine._fast.pure import pdu as pure
from engine._fast.pure import text as pure_text

fast = importlib.import_module("engine._fast.pdu")
fast_text = importlib.import_module("engine._fast.text")
both = pytest.mark.parametrize(("pdu", "text"), [(fast, fast_text), (pure, pure_text)], ids=["c", "twin"])

LAST = 0x7FFFFFFF
CHARACTERS = {octets: character for character, octets in GSM.items()}


def column(values: list[bytes]) -> tuple[array, bytes]:
    offsets = array("i", [0])
    for value in values:
        offsets.append(offsets[-1] + len(value))
    return offsets, b"".join(values)


def plain(batch: Any) -> dict[str, Any]:
    """A batch with the types of its columns, which `==` on arrays does not compare."""
    found = {}
    for field in fields(batch):
        value = getattr(batch, field.name)
        found[field.name] = (type(value), getattr(value, "typecode", None), value)
    return found


def result(call: Any) -> Any:
    try:
        return plain(call())
    except (ValueError, IndexError, OverflowError) as error:
        return type(error)


def encoder(pdu: Any, text: Any, segments: list[bytes | int], **options: Any) -> Any:
    settings = {"source": b"Helio", "source_ton": 5, "source_npi": 0, **options}
    return pdu.SubmitEncoder(template=text.Template(segments), **settings)


def pdus_of(batch: Any) -> list[bytes]:
    starts = [0, *batch.end][:-1]
    return [bytes(batch.pdus[a:b]) for a, b in zip(starts, batch.end, strict=True)]


def message_of(pdu: bytes) -> tuple[int, int, bytes, bytes]:
    """(esm_class, data_coding, user data header, the rest) of a submit_sm with one-octet strings skipped."""
    at = 16
    at = pdu.index(0, at) + 1 + 2  # service_type, source TON and NPI
    at = pdu.index(0, at) + 1 + 2  # source, destination TON and NPI
    at = pdu.index(0, at) + 1
    esm_class = pdu[at]
    at = pdu.index(0, at + 3) + 1  # schedule_delivery_time
    at = pdu.index(0, at) + 1  # validity_period
    data_coding, length = pdu[at + 2], pdu[at + 4]
    message = pdu[at + 5 :]
    assert len(message) == length
    header = message[: message[0] + 1] if esm_class & 0x40 else b""
    return esm_class, data_coding, header, message[len(header) :]


def text_of(data_coding: int, octets: bytes) -> str:
    if data_coding == 8:
        return octets.decode("utf-16-be")
    text, at = "", 0
    while at < len(octets):
        size = 2 if octets[at] == 0x1B else 1
        text += CHARACTERS[octets[at : at + size]]
        at += size
    return text


@both
def test_a_submit_sm_is_this_octet_by_octet(pdu: Any, text: Any) -> None:
    submit = encoder(
        pdu,
        text,
        [b"Hi ", 0],
        service_type=b"CMT",
        dest_npi=9,
        protocol_id=2,
        priority=3,
        registered_delivery=17,
        validity_period=b"000001020000000R",
        gsm_data_coding=0xF1,
    )
    batch = submit.encode(
        array("q", [447700900123]),
        [column([b"{A}"])],
        array("i", [0]),
        row_base=40,
        slice_id=7,
        first_sequence=258,
    )
    body = (
        b"CMT\0"
        + b"\x05\0Helio\0"
        + b"\x01\x09447700900123\0"
        + b"\0\x02\x03"
        + b"\0"
        + b"000001020000000R\0"
    )
    body += b"\x11\0\xf1\0\x08" + b"Hi \x1b\x28A\x1b\x29"
    assert bytes(batch.pdus) == struct.pack(">IIII", 16 + len(body), 4, 0, 258) + body
    assert (batch.row[0], batch.part[0], batch.parts[0], batch.msisdn[0]) == (40, 1, 1, 447700900123)


@both
def test_the_second_part_of_a_long_message_is_this_octet_by_octet(pdu: Any, text: Any) -> None:
    batch = encoder(pdu, text, [b"x" * 161]).encode(array("q", [4477]), [], array("i", [0]), 0, 1, LAST)
    reference = pdu.part_reference(1, 0) & 0xFF
    body = b"\0\x05\0Helio\0\x01\x014477\0" + b"\x40\0\0\0\0\x01\0\0\0\x0e"
    body += bytes([5, 0, 3, reference, 2, 2]) + b"x" * 8
    assert pdus_of(batch)[1] == struct.pack(">IIII", 16 + len(body), 4, 0, 1) + body
    assert list(batch.sequence) == [LAST, 1]


@both
def test_a_row_without_a_pdu_is_told_with_its_reason(pdu: Any, text: Any) -> None:
    submit = encoder(pdu, text, [0], max_parts=2)
    columns = [column([b"a" * 307, b"", b"ok", b"fine"])]
    batch = submit.encode(array("q", [1, 2, 0, 4]), columns, array("i", [3, 0, 1, 2]), 10, 1, 5)
    assert list(batch.row) == [10]
    assert list(batch.rejected) == [11, 12, 13]
    assert list(batch.reject_code) == [REJECT_TOO_LONG, REJECT_EMPTY, REJECT_NUMBER]
    assert batch.count == 1


VALUES = st.one_of(
    st.text(st.sampled_from(sorted(GSM)), max_size=500),
    st.text(st.sampled_from("ab[€日😀"), max_size=300),
).map(str.encode)


@given(st.lists(st.one_of(VALUES, st.binary(max_size=40)), min_size=1, max_size=4), st.data())
def test_pdus_are_encoded_alike(values: list[bytes], data: st.DataObject) -> None:
    n = len(values)
    numbers = array("q", data.draw(st.lists(st.integers(-1, 2**63 - 1), min_size=n, max_size=n)))
    rows = array("i", data.draw(st.lists(st.integers(-1, n), max_size=5)))
    segments: list[bytes | int] = [b"Dear ", 0] if data.draw(st.booleans()) else [0]
    arguments = (
        data.draw(st.integers(0, 2**31 - 10)),
        data.draw(st.integers(0, 2**62)),
        data.draw(st.one_of(st.integers(-1, 3), st.integers(LAST - 3, LAST + 1))),
    )
    most = data.draw(st.integers(1, 5))
    found, expected = (
        result(
            lambda pdu=pdu, text=text: encoder(pdu, text, segments, max_parts=most).encode(
                numbers, [column(values)], rows, *arguments
            )
        )
        for pdu, text in ((fast, fast_text), (pure, pure_text))
    )
    assert found == expected


@given(st.lists(VALUES, min_size=1, max_size=3), st.integers(0, 1000), st.integers(0, 2**62))
def test_the_parts_of_each_row_join_to_its_text(values: list[bytes], row_base: int, slice_id: int) -> None:
    rows = array("i", range(len(values)))
    batch = encoder(fast, fast_text, [0], max_parts=255).encode(
        array("q", [49] * len(values)), [column(values)], rows, row_base, slice_id, 1
    )
    texts = dict.fromkeys(range(row_base, row_base + len(values)), "")
    for i, pdu in enumerate(pdus_of(batch)):
        esm_class, data_coding, header, octets = message_of(pdu)
        row, part, parts = batch.row[i], batch.part[i], batch.parts[i]
        if parts == 1:
            assert esm_class == 0
        else:
            assert esm_class == 0x40
            assert header == bytes([5, 0, 3, fast.part_reference(slice_id, row) & 0xFF, parts, part])
        texts[row] += text_of(data_coding, octets)  # fails on half an escape or surrogate pair
    assert [text.encode() for text in texts.values()] == values


@both
def test_a_row_keeps_its_reference_and_neighbours_differ(pdu: Any, text: Any) -> None:
    assert pdu.part_reference(2**40 + 3, 17) == fast.part_reference(2**40 + 3, 17)
    assert len({pdu.part_reference(2**40, row) for row in range(256)}) > 128


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**31 - 1))
def test_references_are_alike(slice_id: int, row: int) -> None:
    assert fast.part_reference(slice_id, row) == pure.part_reference(slice_id, row)


@both
def test_sequence_numbers_wrap_to_one(pdu: Any, text: Any) -> None:
    assert pdu.next_sequence(LAST) == 1
    assert pdu.next_sequence(1) == 2
    batch = encoder(pdu, text, [b"x"]).encode(
        array("q", [1, 2, 3]), [], array("i", [0, 1, 2]), 0, 1, LAST - 1
    )
    assert list(batch.sequence) == [LAST - 1, LAST, 1]
    assert [struct.unpack_from(">I", each, 12)[0] for each in pdus_of(batch)] == [LAST - 1, LAST, 1]


@given(
    st.lists(st.integers(-1, 4), max_size=6),
    st.one_of(st.integers(0, 2), st.integers(LAST - 2, LAST + 1)),
)
def test_taken_pdus_are_alike(indices: list[int], first: int) -> None:
    batch = encoder(pure, pure_text, [b"x" * 170]).encode(
        array("q", [441, 442]), [], array("i", [0, 1]), 5, 9, 77
    )
    chosen = array("i", indices)
    found = result(lambda: fast.take(batch, chosen, first))
    assert found == result(lambda: pure.take(batch, chosen, first))


@both
def test_a_taken_pdu_differs_in_its_sequence_number_alone(pdu: Any, text: Any) -> None:
    batch = encoder(pdu, text, [b"x" * 170]).encode(array("q", [441, 442]), [], array("i", [0, 1]), 5, 9, 77)
    taken = pdu.take(batch, array("i", [3, 0]), 500)
    before, after = pdus_of(batch), pdus_of(taken)
    assert after[0] == before[3][:12] + (500).to_bytes(4, "big") + before[3][16:]
    assert (list(taken.row), list(taken.part), list(taken.sequence)) == ([6, 5], [2, 1], [500, 501])


@both
@pytest.mark.parametrize(
    "options",
    [
        {"source": b"x" * 21},
        {"source": b"a\0b"},
        {"service_type": b"1" * 33},
        {"max_parts": 0},
        {"max_parts": 256},
    ],
)
def test_a_field_that_does_not_fit_is_refused(pdu: Any, text: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"at most|max_parts"):
        encoder(pdu, text, [b"x"], **options)


HEADERS = st.builds(
    lambda command, status, sequence, body: (
        struct.pack(">IIII", 16 + len(body), command, status, sequence) + body
    ),
    st.sampled_from([0x80000004, 0x80000004, 5, 0x103, 0x15, 0x80000015, 0x80000000, 4]),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.one_of(
        st.just(b""), st.just(b"\0"), st.binary(max_size=12), st.binary(max_size=90).map(lambda b: b + b"\0x")
    ),
)
BAD_HEADER = st.builds(
    lambda length, sequence: struct.pack(">IIII", length, 4, 0, sequence),
    st.one_of(st.integers(0, 15), st.integers(65537, 2**32 - 1)),
    st.integers(0, 2**32 - 1),
)
STREAM = st.lists(st.one_of(HEADERS, HEADERS, HEADERS, BAD_HEADER, st.binary(max_size=20)), max_size=12).map(
    b"".join
)


def contents(batches: list[Any]) -> tuple[Any, ...]:
    """The PDUs of several parsed batches, wherever they were cut."""
    responses, deliveries, others = [], [], []
    for batch in batches:
        starts = [0, *batch.resp_id_end][:-1]
        ids = [bytes(batch.resp_ids[a:b]) for a, b in zip(starts, batch.resp_id_end, strict=True)]
        responses += zip(batch.resp_sequence, batch.resp_status, ids, strict=True)
        deliveries += [batch.data[a:b] for a, b in zip(batch.deliver_start, batch.deliver_end, strict=True)]
        others += [batch.data[a:b] for a, b in zip(batch.other_start, batch.other_end, strict=True)]
    last = batches[-1]
    return responses, deliveries, others, b"".join(b.data for b in batches), last.fatal, last.fatal_sequence


@given(STREAM, st.data())
def test_any_chunking_of_a_stream_gives_the_same_pdus(stream: bytes, data: st.DataObject) -> None:
    whole = fast.StreamParser().feed(stream)
    assert plain(whole) == plain(pure.StreamParser().feed(stream))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    for pdu in (fast, pure):
        parser = pdu.StreamParser()
        assert contents([parser.feed(chunk) for chunk in chunks]) == contents([whole])


@both
def test_a_stream_octet_by_octet_gives_its_pdus(pdu: Any, text: Any) -> None:
    stream = (
        struct.pack(">IIII", 20, 0x80000004, 0, 7) + b"abc\0" + struct.pack(">IIII", 16, 0x80000004, 0x58, 8)
    )
    parser = pdu.StreamParser()
    batches = [parser.feed(bytes([octet])) for octet in stream]
    assert contents(batches)[0] == [(7, 0, b"abc"), (8, 0x58, b"")]


@both
@pytest.mark.parametrize("length", [0, 15, 65537, 2**32 - 1])
def test_nothing_after_a_bad_command_length_is_parsed(pdu: Any, text: Any, length: int) -> None:
    good = struct.pack(">IIII", 16, 0x15, 0, 3)
    parser = pdu.StreamParser()
    batch = parser.feed(good + struct.pack(">IIII", length, 4, 0, 9) + good)
    assert list(batch.other_end) == [16]
    assert batch.fatal == f"command_length {length} is {'below 16' if length < 16 else 'above 65536'}"
    assert batch.fatal_sequence == 9
    again = parser.feed(good)
    assert (again.fatal, len(again.other_end), again.data) == (batch.fatal, 0, b"")


@both
def test_the_longest_pdu_allowed_is_parsed(pdu: Any, text: Any) -> None:
    stream = struct.pack(">IIII", 65536, 5, 0, 3) + bytes(65520)
    parser = pdu.StreamParser()
    assert len(parser.feed(stream[:-1]).deliver_end) == 0
    assert list(parser.feed(stream[-1:]).deliver_end) == [65536]


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.sampled_from([5, 0x103]))), st.integers(0, 2**32 - 1))
def test_delivery_responses_have_17_octets_and_are_alike(pairs: list[tuple[int, int]], status: int) -> None:
    sequence, command = array("I", [p[0] for p in pairs]), array("I", [p[1] for p in pairs])
    responses = fast.deliver_responses(sequence, command, status)
    assert responses == pure.deliver_responses(sequence, command, status)
    for i, (number, request) in enumerate(pairs):
        expected = struct.pack(">IIII", 17, request | 0x80000000, status, number) + b"\0"
        assert responses[17 * i : 17 * i + 17] == expected


@both
def test_columns_of_different_lengths_get_no_responses(pdu: Any, text: Any) -> None:
    with pytest.raises(ValueError, match=r"length|argument"):
        pdu.deliver_responses(array("I", [1, 2]), array("I", [5]))
