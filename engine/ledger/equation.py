"""The equation, recounted from the ledger's rows alone and held against the statistics.

accepted = delivered + undelivered + no_receipt + failed + blocked + expired + cancelled + in_doubt + waiting,
and rows = accepted + duplicates + job_errors.
"""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg
import msgspec

from engine.core_api import schema
from engine.ledger.campaigns import counts_of
from engine.ledger.errors import NotFound
from engine.ledger.pool import Connection, Pool
from engine.ledger.sql import load
from engine.ledger.states import ENDED_EARLY

PAGE_ROWS = 524_288  # recipients' rows recounted in one statement
MESSAGES = ("sent", "delivered", "undelivered", "no_receipt", "failed", "in_doubt")

_NOT_ROWS = frozenset({"throttled"})  # counted when they happen, no row is kept
_TIMEOUT_S = 600


@dataclass(slots=True)
class Page:
    """Slices of a campaign and what their rows say: `messages` by slice id, `evidence` over all of them."""

    slices: list[asyncpg.Record]
    messages: dict[int, asyncpg.Record]
    evidence: asyncpg.Record


@dataclass(slots=True)
class Recount:
    """What the pages add up to."""

    counted: Counter[str] = field(default_factory=Counter)

    def add(self, page: Page) -> None:
        for row in page.messages.values():
            self.counted.update({name: row[name] for name in (*MESSAGES, "outside")})
        self.counted.update(dict(page.evidence))


async def recount(pool: Pool, campaign_id: UUID) -> schema.Equation:
    """One snapshot of rows and statistics. Raises NotFound.

    `counted` comes from submissions, doubts, receipts, slices and chunks; set-based, some seconds a
    million rows, in bounded memory.
    """
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        found = Recount()
        async for page in pages(connection, campaign_id):
            found.add(page)
        return await balance(connection, campaign_id, found)


async def pages(connection: Connection, campaign_id: UUID) -> AsyncIterator[Page]:
    """The campaign's slices in order, some hundred thousand rows at a time, in the caller's transaction."""
    queries = load("equation")
    await connection.execute(queries["plan"])
    after = 0
    while slices := await connection.fetch(queries["page"], campaign_id, after, PAGE_ROWS):
        ids = [row["slice_id"] for row in slices]
        messages = await connection.fetch(queries["messages"], campaign_id, ids, timeout=_TIMEOUT_S)
        evidence = await connection.fetchrow(queries["evidence"], ids, timeout=_TIMEOUT_S)
        assert evidence is not None
        yield Page(slices, {row["slice_id"]: row for row in messages}, evidence)
        after = ids[-1]


async def balance(connection: Connection, campaign_id: UUID, found: Recount) -> schema.Equation:
    """Hold what was recounted against the statistics of the same snapshot. Raises NotFound."""
    queries = load("equation")
    view = await connection.fetchrow(load("campaigns")["view"], [campaign_id])
    if view is None:
        raise NotFound(f"no campaign {campaign_id}")
    upload = await connection.fetchrow(queries["upload"], campaign_id)
    planned = await connection.fetchrow(queries["planned"], campaign_id)
    assert upload is not None
    assert planned is not None
    sealed = await connection.fetchrow(queries["sealed"], campaign_id)
    assert sealed is not None
    found.counted.update(dict(sealed))
    statistics = counts_of(view)
    cancelled = view["state"] in ENDED_EARLY and not planned["open_slices"]
    counted = counts_of(
        {
            **{
                name: found.counted[name]
                for name in (*MESSAGES, "submissions", "parts", "retried", "receipts", "charged")
            },
            "accepted": upload["accepted"],
            "blocked": 0,
            "expired": 0,
            "cancelled": upload["accepted"] - planned["claimed"] if cancelled else 0,
            "throttled": statistics.throttled,
        }
    )
    differences = _differences(counted, statistics, dict(upload), dict(planned), found.counted["outside"])
    return schema.Equation(
        campaign_id=campaign_id,
        rows=upload["rows"],
        duplicates=upload["duplicates"],
        job_errors=upload["job_errors"],
        counted=counted,
        statistics=statistics,
        balanced=not differences,
        first_difference=differences[0] if differences else "",
    )


def _differences(
    counted: schema.Counts,
    statistics: schema.Counts,
    upload: dict[str, int],
    planned: dict[str, int],
    outside: int,
) -> list[str]:
    found = []
    for name in msgspec.structs.asdict(counted):
        of_rows, of_statistics = getattr(counted, name), getattr(statistics, name)
        if name not in _NOT_ROWS and of_rows != of_statistics:
            found.append(f"{name}: {of_rows} by rows, {of_statistics} by statistics")
        if of_rows < 0:
            found.append(f"{name}: {of_rows}, less than none")
    total = upload["accepted"] + upload["duplicates"] + upload["job_errors"]
    if upload["rows"] != total:
        found.append(f"rows: {upload['rows']}, but accepted + duplicates + job errors are {total}")
    if upload["job_errors"] != upload["counted_job_errors"]:
        found.append(f"job_errors: {upload['job_errors']}, but {upload['counted_job_errors']} by their codes")
    if planned["planned"] > upload["accepted"]:
        found.append(f"slices: {planned['planned']} rows planned of {upload['accepted']}")
    if planned["overlapping"]:
        found.append(f"slices: {planned['overlapping']} overlap another")
    if outside:
        found.append(f"messages: {outside} outside every claimed row")
    return found
