"""One fault, or a storm of kills, played on a lab of its own, and the verdict."""

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.chaos.fault import Fault
from bench.chaos.judge import Verdict, judge
from bench.chaos.lab import Lab, LabError, Settings
from bench.chaos.shim import NoCompiler
from bench.chaos.storm import Storm
from bench.people import Stuck
from bench.simulators.smsc.behaviour import Behaviour

SETTLE_S = 20.0  # receipts that came before their messages were booked are looked at again


@dataclass
class Played:
    """What came of one fault. `holds`: nothing is different from what is promised."""

    name: str
    seed: int
    recipients: int
    policy: str
    verdict: Verdict
    crashes: int = 0
    took_s: float = 0.0
    not_played: str = ""
    struck: dict[str, int] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        return not self.not_played and self.verdict.holds

    def as_dict(self) -> dict[str, Any]:
        return {
            "fault": self.name,
            "seed": self.seed,
            "recipients": self.recipients,
            "policy": self.policy,
            "crashes": self.crashes,
            "took_s": round(self.took_s, 1),
            "not_played": self.not_played,
            "struck": self.struck,
            **self.verdict.as_dict(),
        }


async def play(fault: Fault, seed: int, recipients: int, keep: Path | None = None) -> Played:
    """Never raises for what the fault did: it stands in the verdict."""
    began = time.monotonic()
    played = Played(fault.name, seed, recipients, fault.policy, Verdict())
    try:
        lab = Lab(fault.settings(), seed, rows=recipients, policy=fault.policy, keep=keep)
    except NoCompiler as error:
        played.not_played = str(error)
        return played
    try:
        async with lab:
            try:
                await fault.play(lab)
                await lab.finish(fault.finish_s)
            except (LabError, Stuck) as error:
                played.verdict.differences.append(str(error))
            if fault.settles:
                await lab.settle(SETTLE_S)
            stuck = played.verdict.differences
            played.verdict = await judge(lab, duplicate_bound=bound(lab, fault.policy))
            played.verdict.differences[:0] = stuck
            _promises(fault, lab, played.verdict)
            played.crashes = lab.crashes
            played.struck = {
                name: count for name, count in lab.proxy.counters().items() if count and name != "connections"
            }
    except LabError as error:
        played.verdict.differences.append(str(error))
    played.took_s = time.monotonic() - began
    return played


def bound(lab: Lab, policy: str) -> int:
    """Duplicates that the published bound allows: under `hold` nothing is sent twice."""
    return most_in_doubt(lab) if policy == "resend" else 0


def most_in_doubt(lab: Lab) -> int:
    """A crash leaves at most what was claimed in doubt, a lost session at most its window, and each response
    that never came its one message."""
    sessions = lab.proxy.connections + lab.smsc.counts["binds_dropped"]
    unanswered = lab.smsc.counters()["silent"] + sum(lab.proxy.counters().values()) - lab.proxy.connections
    late = lab.settings.behaviour.late_share * lab.smsc.counters()["submitted"] * 2
    crashes, settings = lab.crashes, lab.settings
    return crashes * settings.max_claimed + sessions * settings.window + unanswered + round(late)


def _promises(fault: Fault, lab: Lab, verdict: Verdict) -> None:
    if verdict.in_doubt > (most := most_in_doubt(lab)):
        verdict.differences.append(f"{verdict.in_doubt} in doubt, at most {most} can be")
    ours = (verdict.delivered, verdict.undelivered)
    theirs = (verdict.smsc_delivered, verdict.smsc_undelivered)
    if fault.settles and ours != theirs:
        verdict.differences.append(
            f"{ours[0]} delivered, {ours[1]} undelivered; the SMSC's receipts say {theirs[0]} and {theirs[1]}"
        )
    if verdict.failed and not fault.may_fail:
        verdict.differences.append(f"{verdict.failed} failed, and none should")
    if verdict.in_doubt and not fault.doubts:
        verdict.differences.append(f"{verdict.in_doubt} in doubt, and none should")


async def kill_often(kills: int, seed: int, recipients: int, keep: Path | None = None) -> dict[str, Any]:
    """kill -9 of engine, PostgreSQL and control plane at random moments and named points, under traffic."""
    began = time.monotonic()
    per_campaign = max(1, recipients // 2)
    settings = Settings(
        behaviour=Behaviour(
            latency_ms=30, jitter_ms=20, receipt_delay_ms=200, undelivered_share=0.02, seed=seed
        ),
        tps=max(100, round(recipients / max(1, kills) / 2.0)),
    )
    async with Lab(settings, seed, rows=per_campaign, keep=keep) as lab:
        storm = Storm(lab, kills)
        trouble: list[str] = []
        try:
            await lab.send(policy="hold")
            await lab.send(policy="resend")
            await storm.rage()
            await lab.finish(300.0)
        except LabError as error:
            trouble.append(str(error))
        verdict = await judge(lab, duplicate_bound=storm.bound())
        verdict.differences[:0] = trouble
    return {
        "kills": storm.done,
        "seed": seed,
        "recipients": recipients,
        "took_s": round(time.monotonic() - began, 1),
        "killed": storm.killed,
        **verdict.as_dict(),
    }


async def play_all(
    faults: list[Fault], seed: int, recipients: int, told: Any = None, keep: Path | None = None
) -> list[Played]:
    """One after the other, each with a seed of its own made from `seed`."""
    results = []
    for number, fault in enumerate(faults):
        folder = keep / fault.name if keep is not None else None
        results.append(await play(fault, seed * 1000 + number, recipients, folder))
        if folder is not None and not results[-1].verdict.differences:
            shutil.rmtree(folder, ignore_errors=True)
        if told is not None:
            told(results[-1])
    return results
