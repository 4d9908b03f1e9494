import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._fast import lines, msisdn
from engine.recipients.job_errors import JobErrors, shape


def collected(data: bytes, room: int = 100) -> JobErrors:
    errors = JobErrors(room)
    block = lines.scan(data, 2, ord(","), final=True)
    offsets, values = block.columns[0]
    _, reasons = msisdn.normalise(values, memoryview(offsets)[1:], "")
    errors.add(block, 2, 0, reasons)
    return errors


def test_bad_lines_and_bad_numbers_come_in_file_order_with_exact_counts():
    errors = collected(b"+447911123456,a\nx,b\n1\n+44,c\n\xff,d\nx,e\n")
    assert [(line, code) for line, code, _ in errors.details] == [
        (3, "not_a_number"),
        (4, "column_count"),
        (5, "number_too_short"),
        (6, "not_utf8"),
        (7, "not_a_number"),
    ]
    assert errors.counts == {"not_a_number": 2, "column_count": 1, "number_too_short": 1, "not_utf8": 1}


def test_details_stop_at_the_room_and_counts_go_on():
    errors = collected(b"x,1\n\xff,2\nx,3\n\xff,4\n", room=3)
    assert [line for line, _, _ in errors.details] == [2, 3, 4]
    assert sum(errors.counts.values()) == 4
    assert errors.room == 0


@given(st.binary(max_size=80))
def test_a_shape_holds_no_digit_and_no_letter_but_x(value):
    drawn = shape(value)
    assert len(drawn) <= 24
    assert not any(character.isdigit() or (character.isalpha() and character != "x") for character in drawn)
    assert drawn.isprintable()


@pytest.mark.parametrize(
    ("value", "drawn"), [(b"+44 7911 12x", "+## #### ##x"), ("Zoë".encode(), "xxx"), (b"", "")]
)
def test_shapes(value, drawn):
    assert shape(value) == drawn
