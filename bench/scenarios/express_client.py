"""The one who accepts express messages, as a process of its own: starts sealed campaigns one after another.

Reads a JSON object from standard input: `dsn`, `every_s`, `campaigns` as [[id, manifest hash], ...]. Writes a
JSON list of the unix microseconds at which each one's transaction was committed.
"""

import asyncio
import json
import random
import sys
import time
from typing import Any
from uuid import UUID, uuid4

import uvloop

from engine.bus.postgres import ring
from engine.core_api import schema
from engine.ledger import campaigns
from engine.ledger.pool import open_pool


async def _accept(dsn: str, every_s: float, sealed: list[tuple[str, str]]) -> list[int]:
    pool, chance, at_us = await open_pool(dsn), random.Random(1), []
    async with pool.acquire() as teller:
        for campaign_id, manifest_hash in sealed:
            await asyncio.sleep(every_s * chance.uniform(0.5, 1.5))  # in step with nothing
            order = schema.CampaignCommand(decision_id=uuid4(), command="start", manifest_hash=manifest_hash)
            await campaigns.command(pool, UUID(campaign_id), order)
            at_us.append(time.time_ns() // 1000)
            await ring(teller)
    await pool.close()
    return at_us


def main() -> None:
    asked: dict[str, Any] = json.load(sys.stdin)
    accepted = uvloop.run(_accept(asked["dsn"], asked["every_s"], asked["campaigns"]))
    json.dump(accepted, sys.stdout)


if __name__ == "__main__":
    main()
