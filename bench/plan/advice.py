"""What to set and what to buy, from what was measured. Pure; docs/capacity.md has the formulas in words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.plan.measured import (
    HEADROOM_CPU,
    HEADROOM_WINDOW,
    KEPT_UP,
    Disk,
    Durable,
    Goal,
    Step,
    WindowRamp,
)

DEFAULT_MAX_CLAIMED = 20_000
COMMIT_MS = (20, 250)  # the setting's default, and its most
HEADROOM_DISK = 1.3
WAL_KEPT_BYTES = 4 << 30  # max_wal_size of the embedded server
DAY_S = 86_400
LEAST_WINDOW = 2


@dataclass(frozen=True, slots=True)
class Granted:
    """What the target takes where the operator grants this window."""

    window: int
    bound_per_s: float
    measured_per_s: float
    per_bind_per_s: float  # what to count on: the least of the operator's TPS and the measured with head-room
    binds: int  # 0: no rate held


@dataclass(frozen=True, slots=True)
class Advice:
    """`reachable`: here, on this machine. `why` says what stands against it, `needed` what would help."""

    reachable: bool
    binds: int
    window: int
    tps_per_bind: float  # of the recommended binds, submit_sm
    workers: int
    engine_cores: float
    all_cores: float
    commit_interval_ms: int
    rows_per_commit: int
    max_claimed: int
    disk_bytes: float
    wal_bytes_per_s: float
    bytes_per_message: float
    granted: list[Granted] = field(default_factory=list)
    why: list[str] = field(default_factory=list)
    needed: list[str] = field(default_factory=list)


def binds_and_window(goal: Goal) -> tuple[int, int]:
    """Binds by the operator's TPS of each, with head-room where they are several. Then Little's law: what a
    bind has in flight is its rate times the time to the response. That time is the limit's, so that slow
    responses hold nobody up, but at most twice the RTT; and head-room over it."""
    binds = max(1, math.ceil(goal.submits_per_s / goal.per_bind))
    per_bind = goal.submits_per_s / binds
    response_s = min(goal.p99_ms, 2 * goal.rtt_ms) / 1000
    return binds, max(LEAST_WINDOW, math.ceil(per_bind * response_s * HEADROOM_WINDOW))


def granted(goal: Goal, ramps: Sequence[WindowRamp]) -> list[Granted]:
    """Binds for each window that was measured: what an operator who grants only that must permit."""
    rows = []
    for each in ramps:
        per_bind = min(goal.per_bind, each.best_per_s / HEADROOM_WINDOW)
        binds = math.ceil(goal.submits_per_s / per_bind) if per_bind > 0 else 0
        rows.append(Granted(each.window, each.bound_per_s, each.best_per_s, per_bind, binds))
    return rows


def advise(
    goal: Goal,
    ramps: Sequence[WindowRamp],
    confirmed: Step | None,
    disk: Disk,
    durable: Durable,
    ceiling: Durable,
    cores: int,
) -> Advice:
    """`confirmed`: the target over the recommended binds and window, None for too many binds. `durable`: a
    campaign at the target; `ceiling`: one without a limit, whose cost counts where it was missed."""
    binds, window = binds_and_window(goal)
    rate = goal.submits_per_s
    held = durable.held_per_s >= KEPT_UP * rate
    cost = durable if held else ceiling
    engine_cores = rate * cost.cpu_us.get("engine", 0.0) / 1e6
    all_cores = rate * cost.core_us / 1e6
    one_did_less = math.ceil(rate / ceiling.held_per_s)  # the ceiling is one engine's
    interval = max(COMMIT_MS[0], min(COMMIT_MS[1], math.ceil(2 * disk.batch_commit_p50_ms)))
    in_doubt_s = (goal.p99_ms + 2 * interval) / 1000
    bytes_a_message = (cost.table_bytes + cost.closed_bytes) * goal.parts
    stored = bytes_a_message * goal.messages_per_day * goal.retention_days
    why, needed = _of_the_link(goal, confirmed, binds)
    if not held:
        more = _of_the_ledger(goal, durable, ceiling, all_cores, cores)
        why, needed = why + more[0], needed + more[1]
    return Advice(
        reachable=not why,
        binds=binds,
        window=window,
        tps_per_bind=rate / binds,
        workers=max(1, math.ceil(engine_cores / HEADROOM_CPU), 1 if held else one_did_less),
        engine_cores=engine_cores,
        all_cores=all_cores,
        commit_interval_ms=interval,
        rows_per_commit=max(1, round(rate * interval / 1000)),
        max_claimed=_claimed(rate * in_doubt_s * 2),
        disk_bytes=stored * HEADROOM_DISK + WAL_KEPT_BYTES,
        wal_bytes_per_s=rate * cost.wal_bytes,
        bytes_per_message=bytes_a_message,
        granted=granted(goal, ramps),
        why=why,
        needed=needed,
    )


def _of_the_link(goal: Goal, confirmed: Step | None, binds: int) -> tuple[list[str], list[str]]:
    """What stands against the target before any ledger, and what would help."""
    if goal.p99_ms <= goal.rtt_ms:
        return (
            [f"the limit of {goal.p99_ms:g} ms is not above the round trip of {goal.rtt_ms:g} ms"],
            ["a nearer SMSC, or a higher limit"],
        )
    if confirmed is None:
        return (
            [f"{binds:,} binds are more than one engine was measured with"],
            ["an operator who grants more a bind, or several accounts"],
        )
    if confirmed.holds(goal.p99_ms):
        return [], []
    return (
        [
            f"without a ledger the recommended binds and window gave {confirmed.achieved_per_s:,.0f} "
            f"submit_sm/s with a p99 of {confirmed.response_p99_ms:,.0f} ms, {confirmed.refused:,} refused"
        ],
        ["faster cores, or several engines; and the simulator on another machine, to measure them"],
    )


def _of_the_ledger(
    goal: Goal, durable: Durable, ceiling: Durable, all_cores: float, cores: int
) -> tuple[list[str], list[str]]:
    """The same of the campaign that did not hold the target."""
    rate = goal.submits_per_s
    throttled = f", with {durable.throttled:,} throttled" if durable.throttled else ""
    why = [
        f"with its ledger this machine held {durable.held_per_s:,.0f} of {rate:,.0f} submit_sm/s{throttled}"
    ]
    if ceiling.held_per_s < rate:
        why.append(f"without a limit, on one bind, it was {ceiling.held_per_s:,.0f}")
        wanted = max(cores + 1, math.ceil(all_cores / HEADROOM_CPU))
        return why, [
            f"about {wanted} cores like these for Heliograph and PostgreSQL ({all_cores:.1f} of them busy); "
            f"this machine has {cores}, which the simulator shares"
        ]
    if durable.throttled:
        return why, [
            "an operator who grants more a bind, or counts the account's TPS: throttles cut the pace"
        ]
    return why, [
        f"less beside it on this machine: without a limit it did {ceiling.held_per_s:,.0f} submit_sm/s"
    ]


def _claimed(rows: float) -> int:
    """Up to the next thousand; the default where it is enough."""
    return max(DEFAULT_MAX_CLAIMED, math.ceil(rows / 1000) * 1000)
