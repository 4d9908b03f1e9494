"""`heliograph verify`: the proof that the ledger's books are right, and the first row that does not fit.

Every campaign is recounted from its rows in a snapshot of its own, some slices at a time, so that memory
stays flat and the engine may go on working. What holds in one snapshot holds at any moment: rows, claims and
statistics move in the same transactions.
"""

import asyncio
import time
from datetime import UTC, date, datetime
from uuid import UUID

import msgspec
import structlog

from engine.core_api import schema
from engine.ledger import checks
from engine.ledger.errors import NotFound, VerifyBusy
from engine.ledger.migrate import schema_version
from engine.ledger.partitions import EPOCH
from engine.ledger.pool import AWAY, Pool, session_locks
from engine.ledger.sql import load

log = structlog.get_logger(__name__)

_DAY = 1 << 40  # of slice ids


async def verify(
    pool: Pool,
    campaign_id: UUID | None = None,
    day: date | None = None,
    *,
    trigger: schema.VerifyTrigger = "command",
) -> schema.Verification:
    """Verify everything, one campaign, or the campaigns with slices of one day (UTC); recorded in
    `verify_runs`.

    One at a time a ledger: raises VerifyBusy. Raises NotFound for an unknown campaign.
    """
    queries = load("verify")
    started_at, began = datetime.now(UTC), time.monotonic()
    found = checks.Found()
    async with session_locks(pool, queries["lock"]) as connection:
        if connection is None:
            raise VerifyBusy("another verification of this ledger is running: wait for its end")
        first, last = _slice_ids(day)
        rows = await connection.fetch(queries["campaigns"], campaign_id, first, last)
        if campaign_id is not None and not rows and day is None:
            raise NotFound(f"no campaign {campaign_id}")
        for row in rows:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                await checks.campaign(connection, row["campaign_id"], found)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await checks.owners(connection, campaign_id, found)
            if campaign_id is None and day is None:
                await checks.whole_ledger(connection, found)
        if day is not None:
            found.days = {
                number: counted for number, counted in found.days.items() if number == (day - EPOCH).days
            }
        result = found.verdict(trigger, started_at, await schema_version(connection))
        run_id = await connection.fetchval(
            queries["record"],
            trigger,
            started_at,
            result.took_s,
            result.holds,
            msgspec.json.encode(result).decode(),
        )
    log.info(
        "verified", holds=result.holds, campaigns=result.campaigns, took_s=round(time.monotonic() - began, 3)
    )
    return msgspec.structs.replace(result, run_id=run_id)


async def runs(pool: Pool, limit: int = 30) -> schema.Verifications:
    """The latest runs, newest first."""
    rows = await pool.fetch(load("verify")["runs"], limit)
    return schema.Verifications(
        verifications=[
            msgspec.structs.replace(
                msgspec.json.decode(row["body"], type=schema.Verification), run_id=row["run_id"]
            )
            for row in rows
        ]
    )


async def verify_daily(pool: Pool, at: str) -> schema.Verification | None:
    """Today's run where it is due (`at`: "HH:MM", UTC) and not done yet; a misfit becomes a job error."""
    if not await pool.fetchval(load("verify")["due"], datetime.strptime(at, "%H:%M").time()):
        return None
    try:
        result = await verify(pool, trigger="daily")
    except VerifyBusy:
        return None
    await pool.execute(load("verify")["forget_runs"])
    if result.first is not None:
        log.error("the ledger's books do not balance", first=msgspec.to_builtins(result.first))
        await pool.execute(load("verify")["job_error"], None, sentence(result.first))
    return result


async def keep_daily(pool: Pool, at: str, look_s: float = 60.0) -> None:
    """The engine's daily run, until cancelled. An empty `at` is never. `look_s`: how often it is looked at
    whether the run is due."""
    while at:
        await asyncio.sleep(look_s)
        try:
            await verify_daily(pool, at)
        except AWAY as error:
            log.warning("the ledger is away", error=repr(error), doing="verify")
        except Exception:
            log.exception("verify failed")


def sentence(misfit: schema.Misfit) -> str:
    """One line for a person."""
    return f"{misfit.check}: {misfit.table} {misfit.key}: expected {misfit.expected}, found {misfit.found}"


def _slice_ids(day: date | None) -> tuple[int | None, int | None]:
    if day is None:
        return None, None
    number = (day - EPOCH).days
    return number * _DAY, (number + 1) * _DAY
