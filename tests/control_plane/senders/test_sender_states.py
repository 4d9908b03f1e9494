"""A sender's revision by its states: no path skips a decision, and what was decided stays."""

from datetime import UTC, datetime
from typing import Any, get_args
from uuid import uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.documents.records import to_json
from control_plane.errors import Conflict
from control_plane.senders.address import NUMBERING, WORDS, kind_of, read_content
from control_plane.senders.model import SenderRevision, moved, senders_of
from control_plane.senders.states import TRANSITIONS, Act, SenderState, after

ACTS: tuple[Act, ...] = get_args(Act)
STATES: tuple[SenderState, ...] = get_args(SenderState)
AT = datetime(2026, 3, 1, tzinfo=UTC)


def revision(**fields: Any) -> SenderRevision:
    given_ = {"state": "Draft", "open": True, "sender": "Shop", "revision": 1, **fields}
    return SenderRevision(id=uuid4(), workspace_id=uuid4(), author="Author", created_at=AT, **given_)


@given(st.lists(st.sampled_from(ACTS), max_size=40))
def test_no_path_skips_the_decision(acts: list[Act]) -> None:
    """Whatever is tried in whatever order: approved is only what was approved while it was pending."""
    present, approvals, verdict = revision(), 0, None
    for act in acts:
        before = present
        try:
            present = moved(present, act)
        except Conflict:
            assert present is before
            continue
        if act in ("approve", "reject"):
            assert before.state == "Pending"
            assert verdict is None, "decided twice"
            verdict = present.state
            approvals += act == "approve"
        if present.was_approved:
            assert (approvals, verdict) == (1, "Approved")
        if verdict is not None:
            assert verdict in (present.state, present.archived_from)
        assert (present.open is True) == (present.state in ("Draft", "Pending"))
        assert (present.archived_from is not None) == (present.state == "Archived")
        assert present.content == before.content


@given(st.sampled_from(STATES), st.sampled_from(ACTS))
def test_only_what_the_table_says_may_follow(state: SenderState, act: Act) -> None:
    if act == "restore":
        archived_from: SenderState = "Rejected"
        if state == "Archived":
            assert after(state, act, archived_from) == "Rejected"
        with pytest.raises(Conflict):
            after(state, act, None)
    elif (state, act) in TRANSITIONS:
        assert after(state, act) == TRANSITIONS[state, act]
    else:
        with pytest.raises(Conflict):
            after(state, act)


def test_only_a_decision_leads_to_approved() -> None:
    assert [key for key, to in TRANSITIONS.items() if to == "Approved"] == [("Pending", "approve")]
    assert [key for key, to in TRANSITIONS.items() if key[1] == "edit"] == [("Draft", "edit")]


def test_a_document_of_the_first_release_still_loads() -> None:
    stored = {
        "id": str(uuid4()),
        "version": 3,
        "workspace_id": str(uuid4()),
        "sender": "My Shop 1",
        "revision": 1,
        "purpose": "",
        "state": "Approved",
        "author": "Author",
        "created_at": "2026-03-01T12:00:00.000Z",
        "decided_by": "Moderator",
        "note": "",
        "outbox": [],
    }
    found = msgspec.convert(stored, SenderRevision, str_keys=True)
    assert (found.content.kind, found.numbering.ton, found.was_approved, found.kind) == (
        "alphanumeric",
        5,
        True,
        None,
    )
    again = msgspec.convert(
        {**stored, "id": str(uuid4()), "revision": 2, "state": "Pending"}, SenderRevision, str_keys=True
    )
    (line,) = senders_of([found, again])
    assert (line.usable, line.open, line.newest) == (found, again, again)
    assert "archived_from" not in to_json(found)


@pytest.mark.parametrize(
    ("address", "kind", "stored"),
    [
        ("Shop", "", "Shop"),
        ("A1._&+-", "alphanumeric", "A1._&+-"),
        ("12345678901", "numeric", "12345678901"),
        ("+4915112345", "numeric", "4915112345"),
        ("12345", "short_code", "12345"),
        ("123456", "", "123456"),
    ],
)
def test_what_an_operator_takes_is_accepted(address: str, kind: str, stored: str) -> None:
    content, problems = read_content(address, kind=kind)
    assert problems == {}
    assert content.sender == stored
    assert kind_of(stored) == content.kind


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("My Shop", ""),
        ("TwelveLetter", ""),
        ("Ümlaut", ""),
        ("12345678", "short_code"),
        ("12", "short_code"),
        ("123456", "numeric"),
        ("1" * 16, "numeric"),
        ("1234567", "alphanumeric"),
        ("٣٤٥٦٧٨٩", "numeric"),
        ("a\nb", "alphanumeric"),
        ("", ""),
        ("+", ""),
        ("Shop\x00", ""),
    ],
)
def test_what_no_operator_takes_is_named(address: str, kind: str) -> None:
    assert "sender" in read_content(address, kind=kind)[1]


@given(st.text(max_size=20), st.sampled_from(["", *WORDS]))
def test_an_accepted_address_is_of_the_kind_that_is_said(address: str, kind: str) -> None:
    """So that the TON and NPI shown are those the engine sends."""
    content, problems = read_content(address, kind=kind)
    if not problems:
        assert kind_of(content.sender) == content.kind
        assert " " not in content.sender
        assert content.kind in NUMBERING


def test_the_engine_sends_the_ton_and_npi_that_are_shown() -> None:
    from engine.channels.message_encoder import source_address
    from engine.channels.message_settings import MessageSettings

    for address in ("Shop", "4915112345", "1234567", "123456", "123"):
        content, problems = read_content(address)
        assert problems == {}
        numbering = NUMBERING[content.kind]
        assert source_address(content.sender, MessageSettings())[1:] == (numbering.ton, numbering.npi)


@pytest.mark.parametrize("pe_id", ["123", "1" * 18, "1" * 20, "a" * 19, "١" * 19])
def test_a_principal_entity_is_nineteen_digits(pe_id: str) -> None:
    assert "pe_id" in read_content("Shop", pe_id=pe_id)[1]
    assert read_content("Shop", pe_id=" 1101172974420810001 ")[1] == {}
