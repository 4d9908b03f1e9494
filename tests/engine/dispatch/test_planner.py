"""The planner: every row once and in order, just in time, in fair turns."""

from collections import Counter
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from engine.dispatch.planner import EXPRESS, LegKey, Pace, Planned, Release, after, plan, slice_rows


def leg(number: int, campaign: int = 9) -> LegKey:
    return LegKey(UUID(int=campaign), number, 1)


A, B, C = (leg(i) for i in (1, 2, 3))
paces = st.builds(
    Pace, tps=st.integers(1, 50_000), binds=st.integers(1, 20), window_size=st.integers(1, 2000)
)
chunks = st.lists(st.integers(0, 70_000), min_size=1, max_size=4)  # 0: no row of the leg in it


@given(pace=paces, sizes=st.lists(chunks, min_size=1, max_size=4))
def test_planning_on_releases_every_row_once_and_in_order(pace: Pace, sizes: list[list[int]]) -> None:
    campaigns = [Planned(leg(i), rows, *after(rows, 0, 0)) for i, rows in enumerate(sizes)]
    seen: dict[LegKey, list[tuple[int, int, int]]] = {each.leg: [] for each in campaigns}
    for _ in range(500_000):
        releases = plan(campaigns, pace)
        if not releases:
            break
        at = {each.leg: (each.next_chunk, each.next_row) for each in campaigns}
        for each in releases:
            assert at[each.leg] == (each.chunk_no, each.row_start)
            seen[each.leg].append((each.chunk_no, each.row_start, each.row_count))
            rows, end = sizes[each.leg.leg_no], each.row_start + each.row_count
            assert end <= rows[each.chunk_no]
            at[each.leg] = after(rows, each.chunk_no, end)
        # everything released is claimed at once
        campaigns = [Planned(each.leg, each.chunk_rows, *at[each.leg]) for each in campaigns]
    for number, rows in enumerate(sizes):
        assert sum(count for _, _, count in seen[leg(number)]) == sum(rows)


@given(pace=paces, sizes=st.lists(chunks, min_size=1, max_size=4), unclaimed=st.integers(0, 200_000))
def test_no_more_than_two_seconds_of_tps_or_a_slice_a_bind_is_ahead(
    pace: Pace, sizes: list[list[int]], unclaimed: int
) -> None:
    campaigns = [Planned(leg(i), rows, *after(rows, 0, 0), unclaimed) for i, rows in enumerate(sizes)]
    released = sum(each.row_count for each in plan(campaigns, pace))
    bound = max(2 * pace.tps, slice_rows(pace) * pace.binds) + pace.window_size * len(campaigns)
    assert released <= max(0, bound - unclaimed * len(campaigns)) + pace.window_size * len(campaigns)


@given(pace=paces, rows=chunks)
def test_a_slice_is_never_larger_than_the_limit(pace: Pace, rows: list[int]) -> None:
    assert all(each.row_count <= 16_384 for each in plan([Planned(A, rows, *after(rows, 0, 0))], pace))


def test_campaigns_take_turns() -> None:
    pace = Pace(tps=100, binds=2, window_size=10)
    releases = plan([Planned(A, [1000]), Planned(B, [1000])], pace)
    assert [each.leg for each in releases] == [A, B]
    assert {each.row_count for each in releases} == {100}


def test_a_new_campaign_does_not_wait_for_the_end_of_another() -> None:
    pace = Pace(tps=10, binds=1, window_size=10)
    releases = plan([Planned(A, [1000], next_row=20, unclaimed=20), Planned(B, [1000])], pace)
    assert [(each.leg, each.row_count) for each in releases] == [(B, 10)]


def test_every_bind_gets_a_slice_where_two_seconds_are_less_than_a_window_each() -> None:
    pace = Pace(tps=10, binds=4, window_size=50)
    assert [each.row_count for each in plan([Planned(A, [10_000])], pace)] == [50, 50, 50, 50]


def test_a_slice_ends_with_its_chunk() -> None:
    pace = Pace(tps=1000, binds=1, window_size=10)
    releases = plan([Planned(A, [50, 70], next_row=20)], pace)
    assert [(each.chunk_no, each.row_start, each.row_count) for each in releases] == [(0, 20, 30), (1, 0, 70)]


def test_nothing_is_released_without_a_bind() -> None:
    assert plan([Planned(A, [10])], Pace(tps=10, binds=0, window_size=10)) == []


def test_rows_of_planned_out_campaigns_count_as_ahead() -> None:
    pace = Pace(tps=100, binds=1, window_size=1)
    assert plan([Planned(A, [1000], unclaimed=1)], pace, others=200) == []


def rows(releases: list[Release]) -> Counter[LegKey]:
    counted: Counter[LegKey] = Counter()
    for each in releases:
        counted[each.leg] += each.row_count
    return counted


@given(
    weights=st.lists(st.sampled_from([0.5, 1.0, 2.0, 5.0]), min_size=2, max_size=4),
    per_workspace=st.lists(st.integers(1, 3), min_size=4, max_size=4),
    binds=st.integers(1, 8),
)
def test_workspaces_get_slices_by_weight_however_many_campaigns_they_have(
    weights: list[float], per_workspace: list[int], binds: int
) -> None:
    pace = Pace(tps=20_000, binds=binds, window_size=10)
    campaigns = [
        Planned(leg(16 * i + n), [1_000_000], workspace_id=UUID(int=i), weight=weight)
        for i, weight in enumerate(weights)
        for n in range(per_workspace[i])
    ]
    counted = rows(plan(campaigns, pace, most=200))
    ahead = [
        sum(counted[leg(16 * i + n)] for n in range(per_workspace[i])) / weight
        for i, weight in enumerate(weights)
    ]
    assert max(ahead) - min(ahead) <= 200 / min(weights)
    for i in range(len(weights)):
        own = [counted[leg(16 * i + n)] for n in range(per_workspace[i])]
        assert max(own) - min(own) <= 200, "campaigns of a workspace take turns"


@given(pace=paces, bulk=st.integers(0, 300_000), size=st.integers(1, 100_000))
def test_express_is_planned_as_if_there_were_no_bulk(pace: Pace, bulk: int, size: int) -> None:
    express = Planned(A, [size], lane=EXPRESS)
    alone = rows(plan([express], pace))
    beside = rows(plan([Planned(B, [1_000_000], unclaimed=bulk), express], pace))
    assert beside[A] == alone[A] > 0


def test_what_express_takes_is_not_left_for_bulk() -> None:
    pace = Pace(tps=100, binds=1, window_size=10)
    releases = plan([Planned(B, [1000], unclaimed=10), Planned(A, [1000], lane=EXPRESS)], pace)
    assert [each.leg for each in releases] == [A]
