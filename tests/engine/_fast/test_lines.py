import importlib
from array import array
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._fast.line_block import BAD_UTF8, COLUMNS, NUL, OPEN_QUOTE, OVER_LONG, LineBlock
from engine._fast.pure import lines as pure

fast = importlib.import_module("engine._fast.lines")
COMMA = ord(",")
hostile = st.lists(
    st.one_of(
        st.sampled_from(
            [b",", b";", b'"', b'""', b"\r", b"\n", b"\r\n", b"\0", b"\xff", b"\xc3", b"\xa9", b" "]
        ),
        st.sampled_from(
            [b"\xed\xa0\x80", b"\xef\xbf\xbd", b"\xf0\x9f\x98\x80", b"\xf4\x90\x80\x80", b"4479", b"\t"]
        ),
        st.binary(max_size=6),
    ),
    max_size=60,
).map(b"".join)


@pytest.fixture(params=[pure, fast], ids=["pure", "c"])
def lines(request):
    return request.param


def seen(block: LineBlock) -> dict[str, object]:
    return {name: getattr(block, name) for name in LineBlock.__slots__}


def rows(block: LineBlock) -> list[tuple[bytes, ...]]:
    columns = [
        [bytes(data[offsets[i] : offsets[i + 1]]) for i in range(block.rows)]
        for offsets, data in block.columns
    ]
    return list(zip(*columns, strict=True))


def bad(block: LineBlock) -> list[tuple[int, int, int]]:
    return list(zip(block.bad_line, block.bad_reason, block.bad_info, strict=True))


@given(
    hostile,
    st.integers(1, 4),
    st.sampled_from([0, COMMA, ord(";")]),
    st.booleans(),
    st.booleans(),
    st.integers(1, 40),
)
def test_c_equals_the_twin_on_hostile_bytes(data, columns, separator, final, in_long, max_line):
    options = {"final": final, "in_long": in_long, "max_line": max_line}
    assert seen(fast.scan(data, columns, separator, **options)) == seen(
        pure.scan(data, columns, separator, **options)
    )


@given(hostile, st.lists(st.integers(0, 200), max_size=6), st.integers(1, 30))
def test_blocks_cut_anywhere_give_the_lines_of_the_whole(data, cuts, max_line):
    whole = fast.scan(data, 2, COMMA, final=True, max_line=max_line)
    bounds = sorted(min(cut, len(data)) for cut in cuts)
    found, broken, counted, in_long, rest, at = [], [], 0, False, b"", 0
    for bound in [*bounds, len(data)]:
        block = fast.scan(
            rest + data[at:bound], 2, COMMA, in_long=in_long, max_line=max_line, final=bound is len(data)
        )
        found += rows(block)
        broken += [(line + counted, reason, info) for line, reason, info in bad(block)]
        counted += block.lines
        rest, in_long, at = (rest + data[at:bound])[block.consumed :], block.in_long, bound
    last = fast.scan(rest, 2, COMMA, in_long=in_long, max_line=max_line, final=True)
    found += rows(last)
    broken += [(line + counted, reason, info) for line, reason, info in bad(last)]
    assert (found, broken, counted + last.lines) == (rows(whole), bad(whole), whole.lines)


plain_field = st.text(st.characters(exclude_categories=["Cs"], exclude_characters='\0\r\n",'), max_size=12)


@given(
    st.lists(st.tuples(plain_field, plain_field), max_size=20),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
)
def test_written_rows_are_read_back(table, line_end, quoted):
    table = [(left, "x" + right) for left, right in table]
    mark = '"' if quoted else ""
    text = "".join(f"{mark}{left}{mark},{mark}{right}{mark}{line_end}" for left, right in table)
    for module in (pure, fast):
        block = module.scan(text.encode(), 2, COMMA, final=True)
        assert rows(block) == [(left.encode(), right.encode()) for left, right in table]
        assert not bad(block)
        assert block.lines == len(table)


def test_quotes_follow_rfc_4180_and_forgive_what_follows_them(lines):
    block = lines.scan(b'"a,b","say ""hi"""\n"",""\n"x"y,z"q\n', 2, COMMA)
    assert rows(block) == [(b"a,b", b'say "hi"'), (b"", b""), (b"xy", b'z"q')]


@pytest.mark.parametrize(
    ("line", "reason", "info"),
    [
        (b'1,"open', OPEN_QUOTE, 2),
        (b"1,2,3", COLUMNS, 3),
        (b"1", COLUMNS, 1),
        (b"1,\xff", BAD_UTF8, 3),
        (b"1,\xed\xa0\x80", BAD_UTF8, 3),
        (b"a\0,2", NUL, 2),
        (b"1," + b"x" * 65535, OVER_LONG, 0),
    ],
)
def test_a_bad_line_is_taken_out_with_its_reason_and_the_file_goes_on(lines, line, reason, info):
    block = lines.scan(b"1,2\n" + line + b"\n3,4\n", 2, COMMA)
    assert rows(block) == [(b"1", b"2"), (b"3", b"4")]
    assert bad(block) == [(1, reason, info)]
    assert list(block.line) == [0, 2]


def test_a_line_of_exactly_the_limit_is_good(lines):
    block = lines.scan(b"x" * 65536 + b"\r\n", 1, 0)
    assert (block.rows, bad(block)) == (1, [])


def test_an_over_long_line_over_several_blocks_is_one_bad_line(lines):
    first = lines.scan(b"1\n" + b"x" * 70000, 1, 0)
    assert (first.rows, first.lines, first.in_long, first.consumed) == (1, 1, True, 70002)
    second = lines.scan(b"x" * 70000, 1, 0, in_long=True)
    assert (second.lines, second.in_long, second.consumed) == (0, True, 70000)
    third = lines.scan(b"xxx\n2\n", 1, 0, in_long=True)
    assert (rows(third), bad(third), third.lines) == ([(b"2",)], [(0, OVER_LONG, 0)], 2)


def test_a_carriage_return_at_the_end_of_a_block_waits_for_its_line_feed(lines):
    first = lines.scan(b"1\r", 1, 0)
    assert (first.lines, first.consumed) == (0, 0)
    assert lines.scan(b"1\r\n2\n", 1, 0).lines == 2
    assert rows(lines.scan(b"1\r", 1, 0, final=True)) == [(b"1",)]


def test_blank_lines_are_lines_but_not_rows(lines):
    block = lines.scan(b"\n ,\t\n1,2\n\r\n", 2, COMMA)
    assert (block.rows, block.lines, bad(block)) == (1, 4, [])


def test_columns_are_arrow_string_buffers(lines):
    block = lines.scan("é,a\nü,bb\n".encode(), 2, COMMA)
    assert block.columns == [
        (array("i", [0, 2, 4]), bytearray("éü".encode())),
        (array("i", [0, 1, 3]), b"abb"),
    ]


@pytest.mark.parametrize("wrong", [{"columns": 0}, {"max_line": 0}])
def test_nonsense_is_refused(lines, wrong):
    with pytest.raises(ValueError, match="at least 1"):
        lines.scan(b"", **{"columns": 1, "separator": 0, **wrong})


words = st.lists(st.lists(st.binary(max_size=5), max_size=6), max_size=5)


def column(values: list[bytes]) -> tuple[array, bytes]:
    offsets = array("i", [0])
    for value in values:
        offsets.append(offsets[-1] + len(value))
    return offsets, b"".join(values)


@given(words, st.data())
def test_gather_keeps_the_rows_it_is_told_to(blocks, data):
    every = [value for block in blocks for value in block]
    keep = data.draw(st.lists(st.integers(0, 1), min_size=len(every), max_size=len(every)))
    pieces = [column(block) for block in blocks]
    found = fast.gather(pieces, array("b", keep))
    assert found == pure.gather(pieces, array("b", keep))
    offsets, text = found
    assert [bytes(text[a:b]) for a, b in pairwise(offsets)] == [
        v for v, k in zip(every, keep, strict=True) if k
    ]


@pytest.mark.parametrize(
    ("pieces", "keep"),
    [
        ([([0, 1], b"a")], []),
        ([([0, 1], b"a")], [1, 1]),
        ([([], b"a")], [1]),
        ([([1, 1], b"a")], [1]),
        ([([0, 2], b"a")], [0]),
        ([([0, 2, 1], b"abc")], [1, 1]),
    ],
)
def test_gather_refuses_what_does_not_fit(lines, pieces, keep):
    with pytest.raises(ValueError, match=r"keep|offsets|end"):
        lines.gather([(array("i", offsets), text) for offsets, text in pieces], array("b", keep))


ordinary = st.text(st.sampled_from("abc,;é€😀 \t"), max_size=70)


@given(
    st.lists(ordinary, max_size=8), st.integers(1, 6), st.sampled_from([0, COMMA, ord(";")]), st.booleans()
)
def test_c_equals_the_twin_on_lines_longer_than_a_step(text, columns, separator, final):
    """Without quotes, C looks at 16 octets at a time."""
    data = "\n".join(text).encode()
    assert seen(fast.scan(data, columns, separator, final=final)) == seen(
        pure.scan(data, columns, separator, final=final)
    )
