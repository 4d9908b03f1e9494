"""A text fits its registered form or it does not: character by character, whatever somebody writes."""

import re
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.templates.body import BadBody, names, parse
from control_plane.templates.dlt import PLACE, PLACE_LONGEST, Mismatch, fits, fixed_parts, places

# Few letters, so that fixed parts occur within values and of one another.
FIXED = st.text(alphabet="ab ñ", max_size=6)
VALUE = st.text(alphabet="ab ñ", max_size=PLACE_LONGEST)


def test_variables_map_to_the_places_in_order() -> None:
    body = "Dear {{name}}, order {{ order }} of {{name}} is ready."
    registered = "Dear {#var#}, order {#var#} of {#var#} is ready."
    assert places(body, registered) == ["name", "order", "name"]
    assert places("Hello", "Hello") == []
    assert places("{{a}}{{b}}", "{#var#}{#var#}") == ["a", "b"]


@pytest.mark.parametrize(
    ("body", "registered"),
    [
        ("Dear {{name}}", "Dear {#var#}."),
        ("dear {{name}}", "Dear {#var#}"),
        ("Dear  {{name}}", "Dear {#var#}"),
        ("Dear {{name}}\n", "Dear {#var#}"),
        ("Dear Anna", "Dear {#var#}"),
        ("Dear {{name}} {{more}}", "Dear {#var#}"),
        ("Dear {{name}}", "Dear {#var#}{#var#}"),
        ("Dear {#var#}", "Dear {#var#}"),
        ("Dear {{name}}", "Dear {#numeric#}"),
        ("Dear {{name}}", "Dear {#VAR#}"),
        ("Dear {{name}}", "Dear {#var#"),
        ("Dear {{name}}", "Dear #}{#var#}"),
        ("Dear {{name}}", " \n "),
        ("Café {{name}}", "Cafe\u0301 {#var#}"),
        ("Dear {{name}}", "x" * 2_001),
    ],
)
def test_what_differs_is_refused_with_a_reason(body: str, registered: str) -> None:
    with pytest.raises(Mismatch) as told:
        places(body, registered)
    assert len(str(told.value)) < 200


@pytest.mark.parametrize(
    "body", ["{{", "a }} b", "{{}}", "{{ }}", "{{{{a}}}}", "{{a\nb}}", "{{<b>}}", "{{a}}}}"]
)
def test_a_body_that_cannot_be_read_is_refused(body: str) -> None:
    with pytest.raises(BadBody):
        parse(body)


@given(st.lists(FIXED, min_size=1, max_size=8), st.data())
def test_what_was_made_of_a_form_fits_it(fixed: list[str], data: st.DataObject) -> None:
    registered = PLACE.join(fixed)
    if not registered.strip():
        return
    values = [data.draw(VALUE) for _ in fixed[1:]]
    text = fixed[0] + "".join(value + after for value, after in zip(values, fixed[1:], strict=True))
    assert fits(text, registered)
    body = fixed[0] + "".join(f"{{{{v{n}}}}}{after}" for n, after in enumerate(fixed[1:]))
    assert places(body, registered) == [f"v{n}" for n in range(len(values))]


@given(st.lists(FIXED, min_size=1, max_size=3), st.text(alphabet="ab ñ", max_size=40))
def test_it_fits_just_where_the_plain_expression_does(fixed: list[str], text: str) -> None:
    registered = PLACE.join(fixed)
    if not registered.strip():
        return
    expression = f"(?s:.{{0,{PLACE_LONGEST}}})".join(map(re.escape, fixed))
    assert fits(text, registered) is (re.fullmatch(expression, text) is not None)


def test_a_place_holds_thirty_characters_and_no_more() -> None:
    for length in range(63):
        assert fits("x" * length, PLACE) is (length <= 30), length
        assert fits("x" * length, PLACE * 2) is (length <= 60), length
        assert fits(f"a{'é' * length}b", f"a{PLACE}b") is (length <= 30), length


def test_hostile_input_takes_no_time() -> None:
    """Where a backtracking match would not end."""
    begun = time.process_time()
    registered = (PLACE + "a") * 270
    assert not fits("a" * 8_000 + "b", registered[:1_999].rpartition("{")[0] + "c")
    assert not fits("a" * 100_000, (PLACE + "aa") * 220)
    with pytest.raises(BadBody):
        places("{{" * 100_000, "x")
    with pytest.raises(Mismatch):
        fixed_parts("{#" * 900)
    assert time.process_time() - begun < 5


@given(st.text(max_size=200), st.text(max_size=200))
def test_anything_is_answered_or_refused(body: str, registered: str) -> None:
    for act in (lambda: places(body, registered), lambda: fits(body, registered), lambda: names(body)):
        with suppress(Mismatch, BadBody):
            assert act() is not None


def test_the_engine_reads_a_body_as_we_do() -> None:
    from engine.smpp.text import compile_template

    body = "Hi {{ first name }}, {{code}}"
    assert names(body) == ["first name", "code"]
    assert compile_template(body, names(body)) == [b"Hi ", 0, b", ", 1]
