"""Offers: campaigns in turn, a slice for one bind."""

from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from engine.dispatch.campaign import CampaignRun, OpenSlice
from engine.dispatch.offers import Offers
from engine.dispatch.planner import EXPRESS
from engine.ledger.claims import CampaignKey


def run(rows: int = 100) -> CampaignRun:
    key = CampaignKey(uuid4(), UUID(int=1), 1, "me")
    return CampaignRun(key.campaign_id, key, uuid4(), (rows,), (), cast(Any, None), 1, 0)


def offers(*runs: CampaignRun, slices: int = 2) -> Offers[str]:
    made: Offers[str] = Offers()
    for number, each in enumerate(runs):
        made.add_campaign(each)
        for i in range(slices):
            made.add(OpenSlice(100 * number + i, each, 0, i * 10, 10))
    return made


def test_campaigns_take_turns_at_each_claim() -> None:
    first, second = run(), run()
    made = offers(first, second)
    taken = [made.take("bind") for _ in range(4)]
    assert [each.run for each in taken if each] == [first, second, first, second]


def test_a_bind_stays_with_its_slice_and_another_gets_its_own() -> None:
    made = offers(run())
    mine, theirs = made.take("a"), made.take("b")
    assert mine is not theirs
    assert made.take("a") is mine
    assert made.take("c") is None
    assert made.has("a")
    assert not made.has("c")


def test_slices_of_a_lost_bind_go_to_others() -> None:
    made = offers(run(), slices=1)
    taken = made.take("a")
    made.disown("a")
    assert made.take("b") is taken


def test_a_busy_or_claimed_slice_is_not_taken() -> None:
    made = offers(run(), slices=1)
    taken = made.take("a")
    assert taken is not None
    taken.busy = True
    assert made.take("a") is None
    taken.busy, taken.claimed_to = False, 10
    assert made.take("a") is None


def test_rows_given_back_can_be_taken_again_by_any_bind() -> None:
    each = run()
    made = offers(each, slices=1)
    taken = made.take("a")
    assert taken is not None
    taken.claimed_to = 10
    made.drop(taken)
    assert made.unclaimed(each) == 0
    taken.claimed_to = 4
    made.put_back(taken)
    assert made.unclaimed(each) == 6
    assert made.take("b") is taken


def test_a_paused_campaign_offers_nothing() -> None:
    each = run()
    made = offers(each)
    each.running = False
    assert made.take("a") is None
    made.remove_campaign(each)
    made.put_back(OpenSlice(1, each, 0, 0, 10))
    assert list(made) == []


def take(made: Offers[str], owner: str = "bind", rows: int = 10, **how: bool) -> CampaignRun | None:
    each = made.take(owner, **how)
    if each is None:
        return None
    made.charge(each, rows)
    return each.run


def test_express_goes_before_bulk_and_alone_where_bulk_may_not() -> None:
    bulk, express = run(), run()
    express.lane = EXPRESS
    made = offers(bulk, express, slices=1)
    assert take(made) is express
    made.remove_campaign(express)
    assert take(made, bulk=False) is None
    assert take(made) is bulk


def test_a_workspace_with_many_campaigns_gets_no_more_than_one_with_few() -> None:
    many, other = [run() for _ in range(5)], run()
    other.key = CampaignKey(other.campaign_id, UUID(int=2), 1, "me")
    made = offers(*many, other, slices=60)
    served = [take(made) for _ in range(100)]
    assert 40 <= served.count(other) <= 60
    assert all(served.count(each) >= 8 for each in many)


def test_a_workspace_of_triple_weight_gets_three_times_as_much() -> None:
    heavy, light = run(), run()
    heavy.weight = 3.0
    light.key = CampaignKey(light.campaign_id, UUID(int=2), 1, "me")
    made = offers(heavy, light, slices=400)
    served = [take(made) for _ in range(400)]
    assert 280 <= served.count(heavy) <= 320


def test_a_workspace_with_one_slice_gets_its_part_of_what_many_binds_take() -> None:
    """One claim of a slice at a time: of eight binds that claim at once, one has it."""
    small, large = run(10**7), run(10**7)
    large.key = CampaignKey(large.campaign_id, UUID(int=2), 1, "me")
    made: Offers[int] = Offers()
    made.add_campaign(small)
    made.add(OpenSlice(0, small, 0, 0, 10**7))
    made.add_campaign(large)
    for number in range(1, 9):
        made.add(OpenSlice(number, large, 0, 0, 10**7))
    small.weight, large.weight, claimed = 1.0, 7.0, {small: 0, large: 0}
    for _ in range(200):
        busy = []
        for bind in range(8):
            want = 100
            while want and (each := made.take(bind)) is not None:
                each.busy = True
                busy.append(each)
                rows = made.turn_rows(each, want)
                made.charge(each, rows)
                claimed[each.run] += rows
                want -= rows
        for each in busy:
            each.busy = False
    assert claimed[small] == pytest.approx(sum(claimed.values()) / 8, rel=0.05), claimed
