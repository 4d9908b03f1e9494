"""The long run: one engine under faults without a restart, its memory flat; then faults at random."""

import asyncio
import random
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.chaos.fault import table
from bench.chaos.judge import Verdict, judge
from bench.chaos.lab import Lab, LabError, Settings
from bench.chaos.run import Played, kill_often, most_in_doubt, play
from bench.measure import rss_bytes
from bench.simulators.proxy.rules import parse
from bench.simulators.smsc.behaviour import Behaviour

WARM_SHARE = 0.3  # of the steady part: caches fill, arenas grow
FLAT_BYTES = 48 << 20
SAMPLE_S = 0.5
CAMPAIGN_ROWS = 4_000
ROUND_RECIPIENTS = 1_500
STORM_EVERY = 6  # rounds
STORM_KILLS = 5
PATIENCE_MS = 3000  # of the SMSC with a deliver_sm unanswered: it drops the bind and brings it again
RULES = (
    "drop:submit_sm_resp@share=0.0005",
    "duplicate:submit_sm_resp@share=0.01",
    "reorder:submit_sm_resp@share=0.01",
    "slice=3:deliver_sm@share=0.01",
    "reset:submit_sm@count=6000,every=9000",
    "drop:deliver_sm_resp@share=0.001",
)


@dataclass
class Steady:
    """One engine's life under traffic. Memory in bytes."""

    verdict: Verdict
    campaigns: int = 0
    seconds: float = 0.0
    warm_rss_bytes: int = 0
    last_rss_bytes: int = 0
    peak_rss_bytes: int = 0


@dataclass
class Soak:
    """What `heliograph chaos --minutes` prints."""

    seed: int
    minutes: float
    steady: Steady
    rounds: list[dict[str, Any]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.broken

    def as_dict(self) -> dict[str, Any]:
        """For JSON. Rounds as they are: asdict makes a Counter in them one of pairs."""
        return {**vars(self), "steady": asdict(self.steady), "holds": self.holds}


async def soak(minutes: float, seed: int, told: Any = None) -> Soak:
    """A third of the time steady, the rest in rounds whose seeds follow from `seed`."""
    until = time.monotonic() + minutes * 60
    steady = await _steady(minutes * 20, seed)
    outcome = Soak(seed, minutes, steady)
    if steady.verdict.differences:
        outcome.broken.append("steady")
    chance, known, number = random.Random(seed), list(table().values()), 0
    while time.monotonic() < until:
        number += 1
        round_seed = seed * 100_000 + number
        if number % STORM_EVERY == 0:
            told_of = await kill_often(STORM_KILLS, round_seed, ROUND_RECIPIENTS * 2)
            name, differences = "storm", told_of["differences"]
        else:
            fault = chance.choice(known)
            played: Played = await play(fault, round_seed, ROUND_RECIPIENTS)
            told_of, name, differences = played.as_dict(), fault.name, played.verdict.differences
        outcome.rounds.append(told_of | {"round": number})
        if differences:
            outcome.broken.append(f"{name} (seed {round_seed}): {'; '.join(differences)}")
        if told is not None:
            told(number, name, differences)
    return outcome


def steady_settings(seed: int) -> Settings:
    """An SMSC that is a little rude all the time. RULES swallow acknowledgements of receipts: an SMSC that
    waited for those without end would keep its receipts for ever."""
    return Settings(
        behaviour=Behaviour(
            latency_ms=15,
            jitter_ms=15,
            receipt_delay_ms=200,
            undelivered_share=0.02,
            throttle_share=0.005,
            corrected_share=0.02,
            doubled_share=0.02,
            receipt_before_response=0.05,
            receipt_form="mixed",
            unanswered_ms=PATIENCE_MS,
            seed=seed,
        ),
        tps=1500,
    )


async def _steady(seconds: float, seed: int) -> Steady:
    async with Lab(steady_settings(seed), seed, rows=CAMPAIGN_ROWS) as lab:
        steady, began = Steady(Verdict()), time.monotonic()  # a slow start must not eat the warm part
        sampling = asyncio.create_task(_sample(lab, steady, began, seconds))
        trouble: list[str] = []
        try:
            for rule in RULES:
                lab.proxy.add(parse(rule))
            while time.monotonic() - began < seconds:
                await lab.send(policy="resend" if len(lab.campaigns) % 2 else "hold")
                await lab.finish(120.0)
            if lab.engine.deaths:
                trouble.append(f"the engine died by itself: {lab.engine.last_words()}")
        except LabError as error:
            trouble.append(str(error))
        finally:
            sampling.cancel()
            await asyncio.gather(sampling, return_exceptions=True)
        steady.verdict = await judge(lab, duplicate_bound=most_in_doubt(lab))
        steady.campaigns, steady.seconds = len(lab.campaigns), round(time.monotonic() - began, 1)
        grown = steady.last_rss_bytes - steady.warm_rss_bytes
        if steady.warm_rss_bytes and grown > FLAT_BYTES:
            trouble.append(f"the engine grew by {grown >> 20} MiB since it was warm")
        steady.verdict.differences[:0] = trouble
    return steady


async def _sample(lab: Lab, steady: Steady, began: float, seconds: float) -> None:
    while True:
        rss = rss_bytes(lab.engine.pid)
        steady.peak_rss_bytes = max(steady.peak_rss_bytes, rss)
        if time.monotonic() - began < seconds * WARM_SHARE:
            steady.warm_rss_bytes = max(steady.warm_rss_bytes, rss)
        steady.last_rss_bytes = rss
        await asyncio.sleep(SAMPLE_S)
