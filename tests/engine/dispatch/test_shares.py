"""The division of binds and TPS shares: even, never more than there is, and it settles."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.dispatch.shares import TPS_SHARES, change, quotas, tps_shares

workers = st.lists(st.integers(1, 50), min_size=1, max_size=8, unique=True)


@given(
    held=st.dictionaries(st.integers(1, 50), st.integers(0, 20), min_size=1, max_size=8),
    total=st.integers(0, 40),
    turn=st.integers(0, 100),
)
def test_quotas_are_even_and_add_up_to_the_whole(held: dict[int, int], total: int, turn: int) -> None:
    parts = quotas(held, total, turn)
    assert parts.keys() == held.keys()
    assert sum(parts.values()) == total
    assert max(parts.values()) - min(parts.values()) <= 1


@given(
    alive=workers,
    total=st.integers(1, 24),
    before=st.lists(st.sampled_from([None, *range(1, 51)]), min_size=24, max_size=24),
    order=st.randoms(use_true_random=False),
    turn=st.integers(0, 10),
)
def test_workers_that_act_one_by_one_reach_an_even_part_each_and_then_nothing_moves(
    alive: list[int], total: int, before: list[int | None], order: object, turn: int
) -> None:
    """Whatever was held before; shares of workers that do not live any more are free, as the ledger says."""
    holders = {number: holder if holder in alive else None for number, holder in enumerate(before, 1)}
    for _ in range(4):
        for me in sorted(alive, key=lambda _: order.random()):  # type: ignore[attr-defined]
            wanted = change(me, holders, alive, total, turn)
            assert all(holders[number] == me for number in wanted.give), "gives only its own"
            assert all(holders[number] is None for number in wanted.take), "takes only what is free"
            holders.update(dict.fromkeys(wanted.give, None))
            holders.update(dict.fromkeys(wanted.take, me))
    counts = Counter(holder for number, holder in holders.items() if number <= total)
    assert counts[None] == 0
    assert all(counts[worker] in (total // len(alive), -(-total // len(alive))) for worker in alive)
    assert all(holder is None for number, holder in holders.items() if number > total)
    assert not any(change(me, holders, alive, total, turn) for me in alive)


@given(alive=workers, total=st.integers(1, 24), turn=st.integers(0, 10))
def test_who_holds_an_even_part_is_left_alone_by_a_restart_of_another(
    alive: list[int], total: int, turn: int
) -> None:
    """The dead one's part is taken by its successor, whose id is new and highest."""
    holders: dict[int, int | None] = dict.fromkeys(range(1, total + 1))
    for me in alive:
        holders.update(dict.fromkeys(change(me, holders, alive, total, turn).take, me))
    *others, dead = alive
    successor = 99
    free = {number: None if holder == dead else holder for number, holder in holders.items()}
    everybody = [*others, successor]
    held = Counter(free.values())
    for me in others:
        wanted = change(me, free, everybody, total, turn)
        assert not wanted.give
        assert held[me] + len(wanted.take) <= -(-total // len(everybody))


def test_who_is_not_among_the_workers_gives_everything_back() -> None:
    assert change(1, {1: 1, 2: None, 3: 1}, [2, 3], 3).give == (1, 3)


def test_accounts_with_one_bind_spread_over_the_workers() -> None:
    first = Counter(
        worker
        for account in range(1, 7)
        for worker in (1, 2, 3)
        if change(worker, {1: None}, [1, 2, 3], 1, account).take
    )
    assert first == {1: 2, 2: 2, 3: 2}


@pytest.mark.parametrize(
    ("tps", "shares"), [(1, 1), (5, 5), (12, 12), (13, TPS_SHARES), (90_000, TPS_SHARES)]
)
def test_a_share_is_at_least_one_message_a_second(tps: int, shares: int) -> None:
    assert tps_shares(tps) == shares
