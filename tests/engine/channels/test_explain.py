"""What forces an encoding, and what it would cost otherwise."""

import json

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from engine.channels.explain import MAX_CHARACTERS, explain
from engine.channels.interface import BadSettings
from engine.channels.message_settings import MessageSettings
from engine.channels.text_cli import text
from engine.core_api.schema import MessageOptions
from engine.smpp.text import split


def test_one_apostrophe_costs_two_parts_more() -> None:
    found = explain("Don’t " + "x" * 150)
    assert (found.encoding, found.data_coding, found.parts, found.units, found.room) == (
        "ucs2",
        8,
        3,
        156,
        67,
    )
    (forced,) = found.forced
    assert (forced.character, forced.code, forced.name) == ("’", "U+2019", "RIGHT SINGLE QUOTATION MARK")
    assert (forced.positions, forced.replacement) == ([3], "'")
    assert {form.encoding: form.parts for form in found.forms} == {
        "gsm": None,
        "ucs2": 3,
        "gsm, transliterated": 1,
        "gsm, without these characters": 1,
    }


def test_the_rules_answer_is_explained() -> None:
    written = explain("Łódź", options=MessageOptions(charset_rule="transliterate"))
    assert (written.encoding, written.sent, written.transliterated, written.rejected) == (
        "gsm",
        "Lodz",
        True,
        False,
    )
    refused = explain("Łódź", options=MessageOptions(charset_rule="reject"))
    assert (refused.encoding, refused.parts, refused.rejected) == ("", 0, True)
    assert [forced.character for forced in refused.forced] == ["Ł", "ó", "ź"]


def test_national_tables_are_offered_with_their_cost() -> None:
    settings = MessageSettings(national_single_shift=("turkish",), national_locking_shift=("turkish",))
    found = explain("ş" * 80, settings)
    assert (found.encoding, found.parts, found.room) == ("turkish locking", 1, 155)
    assert {form.encoding: form.parts for form in found.forms}["turkish shift"] == 2


def test_a_payload_is_one_pdu_and_several_parts() -> None:
    found = explain("x" * 400, MessageSettings(splitting="payload"))
    assert (found.parts, found.pdus) == (3, 1)
    assert any("charged" in note for note in found.notes)


def test_what_would_not_be_sent_is_said() -> None:
    assert explain("x" * 400, MessageSettings(max_parts=2)).rejected
    assert "an empty text is not sent" in explain("").notes
    notes = explain("x", MessageSettings(dlt_required=True), MessageOptions(dlt_pe_id="123")).notes
    assert any("requires" in note for note in notes)
    assert any("3 digits" in note for note in notes)


@pytest.mark.parametrize("bad", ["\ud800", "x" * (MAX_CHARACTERS + 1)])
def test_a_text_that_cannot_be_explained_is_refused(bad: str) -> None:
    with pytest.raises(BadSettings):
        explain(bad)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=300))
def test_an_explanation_agrees_with_the_reference(words: str) -> None:
    found = explain(words, MessageSettings(max_parts=255))
    assert found.parts == len(split(words, 1, 255))
    offered = [form.parts for form in found.forms if form.parts is not None and "," not in form.encoding]
    assert found.parts == min(offered)


def test_the_command_prints_lines_and_json() -> None:
    run = CliRunner()
    lines = run.invoke(text, ["explain", "5 o’clock"])
    assert lines.exit_code == 0
    assert 'forced by  ’ U+2019 RIGHT SINGLE QUOTATION MARK at 3, transliterated: "\'"' in lines.output
    answer = run.invoke(text, ["explain", "-", "--rule", "transliterate", "--json"], input="5 o’clock")
    assert json.loads(answer.output)["sent"] == "5 o'clock"


def test_the_command_refuses_an_unknown_language_in_one_line() -> None:
    refused = CliRunner().invoke(text, ["explain", "x", "--shift", "klingon"])
    assert refused.exit_code == 1
    assert "klingon" in refused.output
