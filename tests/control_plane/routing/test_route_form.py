"""A route's form and the question's: what they say, and what they refuse, field by field."""

from uuid import UUID, uuid4

import pytest

from control_plane.errors import Invalid
from control_plane.routing.route_form import read_question, read_route
from engine.core_api import schema

DECISION = uuid4()
FORM = {"name": "India", "prefix": "+91", "position": "5", "enabled": "1", "c.0.channel": "Airtel"}


def wrong_of(form: dict[str, str]) -> dict[str, str]:
    with pytest.raises(Invalid) as refused:
        read_route(form, DECISION)
    return refused.value.errors


def test_a_form_is_read_with_what_it_leaves_open() -> None:
    spec = read_route(FORM, DECISION)
    assert spec == schema.RouteSpec(
        decision_id=DECISION,
        name="India",
        prefix="91",
        position=5,
        channels=[schema.RouteChannel(channel="Airtel", tier=1, weight=1)],
    )


def test_every_condition_is_read() -> None:
    workspace = uuid4()
    more = {"workspace": str(workspace), "category": " OTP ", "sender_kind": "short_code", "lane": "express"}
    spec = read_route({**FORM, **more, "enabled": "0"}, DECISION, 7)
    said = (spec.workspace_id, spec.category, spec.sender_kind, spec.lane, spec.enabled, spec.version)
    assert said == (workspace, "otp", "short_code", "express", False, 7)


def test_lines_without_a_channel_are_left_out() -> None:
    form = {
        **FORM,
        "c.1.channel": "",
        "c.1.tier": "x",
        "c.4.channel": "Jio",
        "c.4.tier": "2",
        "c.4.weight": "30",
    }
    assert read_route(form, DECISION).channels == [
        schema.RouteChannel(channel="Airtel"),
        schema.RouteChannel(channel="Jio", tier=2, weight=30),
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", " "),
        ("name", "x" * 101),
        ("prefix", "91a"),
        ("prefix", "1" * 16),
        ("prefix", "٩١"),
        ("position", "-1"),
        ("position", "1000001"),
        ("position", ""),
        ("workspace", "nobody"),
        ("category", "two words"),
        ("category", "x" * 41),
        ("sender_kind", "pigeon"),
        ("lane", "fast"),
        ("c.0.tier", "0"),
        ("c.0.tier", "10"),
        ("c.0.weight", "1001"),
        ("c.0.weight", "half"),
    ],
)
def test_what_is_wrong_is_named_by_its_field(field: str, value: str) -> None:
    assert list(wrong_of({**FORM, field: value})) == [field]


def test_all_that_is_wrong_is_said_at_once() -> None:
    assert set(wrong_of({"prefix": "x", "lane": "x"})) == {"name", "prefix", "lane", "channels"}


def test_a_channel_stands_once() -> None:
    assert list(wrong_of({**FORM, "c.3.channel": "Airtel"})) == ["c.3.channel"]


def test_a_number_is_asked_for_as_people_write_it() -> None:
    workspace = uuid4()
    question = read_question(
        {"msisdn": "+91 (98765) 432-10", "workspace": str(workspace), "category": "Otp", "lane": "express"}
    )
    said = (question.msisdn, question.workspace_id, question.category, question.lane)
    assert said == ("919876543210", workspace, "otp", "express")
    assert read_question({"msisdn": "919"}).workspace_id is None


@pytest.mark.parametrize("msisdn", ["", "91", "9" * 16, "91x98765", "٩١٩٨٧٦", "+"])
def test_what_is_no_number_is_not_asked(msisdn: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_question({"msisdn": msisdn})
    assert list(refused.value.errors) == ["msisdn"]


def test_a_workspace_is_an_id() -> None:
    assert UUID(int=1) == read_question({"msisdn": "919", "workspace": str(UUID(int=1))}).workspace_id
    with pytest.raises(Invalid):
        read_question({"msisdn": "919", "workspace": "1"})
