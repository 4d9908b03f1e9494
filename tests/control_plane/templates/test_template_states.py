"""A template's version by its statuses, and what is checked when it is saved."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.errors import Conflict
from control_plane.templates.content import asks_of, found_problems, name_problem, read_content
from control_plane.templates.model import SmsContent, Variable
from control_plane.templates.states import TRANSITIONS, Act, Status, after, first

FORM = {"body": "Hello {{name}}", "content_type": "service", "category": "SIC", "variable_0": "name",
        "sample_0": "Anna", "max_0": "20"}  # fmt: skip
TEMPLATE_ID = "1107160000000012345"


def content(**fields: str) -> SmsContent:
    found, problems = read_content({**FORM, **fields})
    assert problems == {}
    assert found is not None
    return found


@given(
    st.lists(st.just("wrong"), max_size=1),
    st.lists(st.just("promotional"), max_size=1),
    st.lists(st.sampled_from(get_args(Act)), max_size=10),
)
def test_no_path_skips_the_decision(problems: list[str], asks: list[str], acts: list[Act]) -> None:
    status: Status = first(problems, asks)
    approved = 0
    for act in acts:
        try:
            status = after(status, act)
        except Conflict:
            continue
        approved += act == "approve"
    if status == "APPROVED":
        assert not problems
        assert bool(asks) == (approved == 1)
    if problems:
        assert status == "FAILED"


def test_only_a_decision_ends_the_waiting() -> None:
    assert {key[0] for key in TRANSITIONS} == {"PENDING"}
    assert [key for key, to in TRANSITIONS.items() if to == "APPROVED"] == [("PENDING", "approve")]


def test_a_right_content_has_no_problem() -> None:
    assert found_problems(content()) == []
    right = content(dlt_template_id=TEMPLATE_ID, dlt_registered="Hello {#var#}")
    assert found_problems(right) == []
    assert asks_of(right) == []


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"body": "Hello {{name"}, "without its"),
        ({"sample_0": ""}, "needs a sample"),
        ({"sample_0": "x" * 21}, "longer than its 20"),
        ({"max_0": "0"}, "1 to 500"),
        ({"max_0": "many"}, "1 to 500"),
        ({"dlt_template_id": TEMPLATE_ID}, "as it is registered"),
        ({"dlt_template_id": "12", "dlt_registered": "Hello {#var#}"}, "19 digits"),
        ({"dlt_registered": "Hello {#var#}"}, "needs its DLT template id"),
        ({"dlt_template_id": TEMPLATE_ID, "dlt_registered": "Hallo {#var#}"}, "differs"),
        ({"dlt_template_id": TEMPLATE_ID, "dlt_registered": "Hello {#var#}", "max_0": "31"}, "at most 30"),
    ],
)
def test_what_is_wrong_is_said(fields: dict[str, str], says: str) -> None:
    problems = found_problems(content(**fields))
    assert any(says in one for one in problems), problems


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"body": " "}, "body"),
        ({"body": "x" * 5_001}, "body"),
        ({"body": "a\x00"}, "body"),
        ({"content_type": "spam"}, "content_type"),
        ({"category": ""}, "category"),
        ({"dlt_registered": "x" * 2_001}, "dlt_registered"),
        ({"dlt_template_id": "1" * 31}, "dlt_template_id"),
    ],
)
def test_what_cannot_be_stored_is_named_by_its_field(fields: dict[str, str], field: str) -> None:
    found, problems = read_content({**FORM, **fields})
    assert found is None
    assert field in problems


def test_free_variables_and_promotions_ask_for_a_moderator() -> None:
    assert asks_of(content()) == ["free variables: name"]
    assert asks_of(content(body="Hello")) == []
    assert asks_of(content(body="Hello", content_type="promotional")) == ["promotional content"]


def test_variables_follow_the_text() -> None:
    found = content(body="{{b}} {{name}} {{b}}")
    assert found.variables == (
        Variable(name="b", sample="", max_length=30),
        Variable(name="name", sample="Anna", max_length=20),
    )


@pytest.mark.parametrize("name", ["", "a b", "ä", "a/b", "x" * 65, "a\n"])
def test_a_name_is_plain(name: str) -> None:
    assert name_problem(name)
    assert name_problem("Order-ready_2") == ""
