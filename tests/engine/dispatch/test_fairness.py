"""Deficit round robin: rows by weight, whatever the size of the claims; nobody starves."""

from collections import Counter
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from engine.dispatch.fairness import Turns

A, B, C = (UUID(int=i) for i in (1, 2, 3))


@given(
    weights=st.lists(st.sampled_from([0.5, 1.0, 2.0, 3.0, 10.0]), min_size=2, max_size=6),
    sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=6),
)
def test_rows_follow_the_weights_to_within_a_claim_or_two(weights: list[float], sizes: list[int]) -> None:
    turns, served, largest = Turns(), Counter[UUID](), max(sizes)
    by_weight = {UUID(int=i): weight for i, weight in enumerate(weights)}
    total = 400 * largest
    for turn in range(10 * total):
        workspace = turns.next(by_weight, by_weight.keys())
        rows = sizes[turn % len(sizes)]
        served[workspace] += rows
        turns.charge(workspace, rows)
        if sum(served.values()) >= total:
            break
    done = sum(served.values())
    for workspace, weight in by_weight.items():
        fair = done * weight / sum(weights)
        slack = 2 * largest + 2 * 64 * weight
        assert abs(served[workspace] - fair) <= slack * max(1, weight / min(weights)), (served, by_weight)


@given(able=st.lists(st.sets(st.sampled_from([A, B, C]), min_size=1), min_size=30, max_size=60))
def test_only_who_is_able_is_served_and_who_always_is_gets_its_part(able: list[set[UUID]]) -> None:
    turns, weights, served = Turns(), {A: 1.0, B: 1.0, C: 1.0}, Counter[UUID]()
    for now in able:
        now = now | {A}
        workspace = turns.next(weights, now)
        assert workspace in now
        served[workspace] += 1
        turns.charge(workspace, 100)
    assert served[A] >= len(able) // 3 - 6


def test_who_had_nothing_to_send_saves_up_no_credit() -> None:
    turns = Turns()
    for _ in range(1000):
        turns.charge(turns.next({A: 1.0}, {A}), 100)
    order = []
    for _ in range(10):
        workspace = turns.next({A: 1.0, B: 1.0}, {A, B})
        order.append(workspace)
        turns.charge(workspace, 100)
    assert 4 <= order.count(B) <= 6


@given(
    weights=st.lists(st.sampled_from([0.5, 1.0, 2.0, 10.0]), min_size=1, max_size=8),
    wanted=st.integers(1, 20_000),
)
def test_a_claim_is_its_workspaces_part_of_what_is_wanted(weights: list[float], wanted: int) -> None:
    """Large enough that the rate of a channel does not suffer from the number of its workspaces."""
    turns, by_weight = Turns(), {UUID(int=i): weight for i, weight in enumerate(weights)}
    turns.next(by_weight, by_weight.keys())
    claimed = [turns.rows(each, weight, wanted) for each, weight in by_weight.items()]
    assert all(1 <= rows <= wanted for rows in claimed)
    assert sum(claimed) >= wanted - len(weights)
    if wanted >= 64 * sum(weights):
        assert sum(claimed) <= wanted


def test_a_round_that_ends_at_nothing_for_rounding_is_followed_by_another() -> None:
    turns = Turns()
    for _ in range(100):
        assert turns.next({A: 0.01}, {A}) == A
        turns.charge(A, 133)
