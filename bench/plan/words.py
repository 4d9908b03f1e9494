"""A plan as lines for a person."""

from bench.plan.measured import Durable
from bench.plan.page import octets
from bench.plan.run import Plan


def lines(plan: Plan) -> str:
    goal, advice, disk = plan.goal, plan.advice, plan.disk
    out = [
        f"target: {goal.target_tps:,.0f} messages/s ({goal.submits_per_s:,.0f} submit_sm/s), round trip "
        f"{goal.rtt_ms:g} ms, p99 at most {goal.p99_ms:g} ms, {goal.tps_per_bind:,.0f} submit_sm/s a bind",
        "",
        f"{'window':>8}  {'window/RTT':>11}  {'held/s':>9}  {'of it':>6}  {'count on':>9}  {'binds':>6}",
    ]
    out += [
        f"{each.window:>8}  {each.bound_per_s:>11,.0f}  {each.measured_per_s:>9,.0f}  "
        f"{each.measured_per_s / each.bound_per_s:>6.0%}  {each.per_bind_per_s:>9,.0f}  "
        f"{each.binds or 'none':>6}"
        for each in advice.granted
    ]
    out += [
        "",
        f"binds            {advice.binds}, {advice.tps_per_bind:,.0f} submit_sm/s each",
        f"window           {advice.window}",
        f"workers          {advice.workers} ({advice.engine_cores:.2f} cores of engine, "
        f"{advice.all_cores:.2f} in all, at the target)",
        f"commit interval  {advice.commit_interval_ms} ms ({disk.batch_rows:,} rows take "
        f"{disk.batch_commit_p50_ms:.1f} ms, p99 {disk.batch_commit_p99_ms:.1f})",
        f"max_claimed      {advice.max_claimed:,}",
        f"disk             {octets(advice.disk_bytes)} ({advice.bytes_per_message:,.0f} octets a message, "
        f"{goal.messages_per_day:,} a day, {goal.retention_days} days), "
        f"log {octets(advice.wal_bytes_per_s)}/s",
        f"with its ledger  {_cost(plan.durable)}, {plan.durable.throttled:,} throttled",
        f"without a limit  {_cost(plan.ceiling)}",
        "",
    ]
    if advice.reachable:
        out.append("reached on this machine")
    else:
        out.append("NOT reached on this machine:")
        out += [f"  - {each}" for each in advice.why]
        out.append("needed:")
        out += [f"  - {each}" for each in advice.needed]
    about = plan.machine
    out.append(f"{about['cpu']}, {about['cores']} cores, {about['system']}, Python {about['python']}")
    return "\n".join(out)


def _cost(one: Durable) -> str:
    return (
        f"{one.held_per_s:,.0f} submit_sm/s held, {one.core_us:,.0f} CPU us and {one.wal_bytes:,.0f} octets "
        "of log each"
    )
