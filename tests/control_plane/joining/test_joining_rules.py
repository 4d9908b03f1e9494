"""An invitation admits only while it counts, whatever was done with it before; so does a request."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.access import Membership, Role
from control_plane.errors import Conflict
from control_plane.joining import rules
from control_plane.joining.model import Invitation, JoinRequest

START = datetime(2026, 3, 1, tzinfo=UTC)
LIFE = timedelta(days=7)
ANN, BEN = "ann@house.example", "ben@house.example"
PEOPLE = {ANN: UUID(int=1), BEN: UUID(int=2)}
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["accept", "revoke", "renew", "wait"]),
        st.integers(0, 4),  # the token of which sending
        st.sampled_from(sorted(PEOPLE)),
        st.integers(0, 9),  # days
    ),
    max_size=30,
)


def invitation() -> Invitation:
    return Invitation(
        id=uuid4(),
        workspace_id=uuid4(),
        email=ANN,
        membership=Membership(role=Role.AUTHOR),
        token_hash="t0",
        invited_by="Admin",
        created_at=START,
        sent_at=START,
        expires_at=START + LIFE,
    )


@given(STEPS)
def test_no_path_admits_without_a_valid_invitation(steps: list[tuple[str, int, str, int]]) -> None:
    """Against a model that knows three facts: which token was sent last, when, and whether it is over."""
    found, now, sent, sent_at, over = invitation(), START, 0, START, False
    admitted: list[str] = []
    for step, token, email, days in steps:
        try:
            if step == "wait":
                now += timedelta(days=days)
            elif step == "revoke":
                found = rules.revoke(found, now)
                assert not over
                over = True
            elif step == "renew":
                found = rules.renew(found, token_hash=f"t{sent + 1}", now=now, life=LIFE)
                assert not over
                sent, sent_at = sent + 1, now
            else:
                found = rules.accept(
                    found, token_hash=f"t{token}", email=email, user_id=PEOPLE[email], now=now
                )
                assert not over
                assert (token, email) == (sent, ANN)
                assert now < sent_at + LIFE
                admitted.append(email)
                over = True
        except Conflict:
            if step == "accept":
                assert over or token != sent or email != ANN or now >= sent_at + LIFE
            else:
                assert over
    assert len(admitted) <= 1
    assert (found.state == "accepted") is bool(admitted)
    assert found.accepted_by == (PEOPLE[ANN] if admitted else None)


@given(STEPS)
def test_what_is_reopened_counts_no_longer_than_before(steps: list[tuple[str, int, str, int]]) -> None:
    found = invitation()
    accepted = rules.accept(found, token_hash="t0", email=ANN, user_id=PEOPLE[ANN], now=START)
    assert rules.reopen(accepted, PEOPLE[ANN]) == found
    for other in (found, accepted, rules.revoke(found, START)):
        with pytest.raises(Conflict):
            rules.reopen(other, PEOPLE[BEN])


@given(st.lists(st.booleans(), min_size=1, max_size=10))
def test_a_request_is_decided_once(decisions: list[bool]) -> None:
    request = JoinRequest(
        id=uuid4(), workspace_id=uuid4(), user_id=uuid4(), email=BEN, name="Ben", asked_at=START
    )
    for accepted in decisions:
        try:
            request = rules.decide(request, accepted=accepted, by="Admin", now=START)
        except Conflict:
            continue
    assert request.state == ("accepted" if decisions[0] else "rejected")
