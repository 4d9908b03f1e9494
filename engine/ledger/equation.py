"""The equation, recounted from the ledger's rows alone and held against the statistics.

accepted = delivered + undelivered + no_receipt + failed + blocked + expired + cancelled + in_doubt + waiting,
and rows = accepted + duplicates + job_errors.
"""

from uuid import UUID

import msgspec

from engine.core_api import schema
from engine.ledger.campaigns import counts_of
from engine.ledger.errors import NotFound
from engine.ledger.pool import Pool
from engine.ledger.sql import load

_NOT_ROWS = frozenset({"throttled"})  # counted when they happen, no row is kept


async def recount(pool: Pool, campaign_id: UUID) -> schema.Equation:
    """One snapshot of rows and statistics. Raises NotFound.

    `counted` comes from submissions, doubts, receipts, slices and chunks; set-based, some seconds a
    million rows.
    """
    queries = load("equation")
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        await connection.execute(queries["plan"])
        view = await connection.fetchrow(load("campaigns")["view"], [campaign_id])
        if view is None:
            raise NotFound(f"no campaign {campaign_id}")
        upload = await connection.fetchrow(queries["upload"], campaign_id)
        planned = await connection.fetchrow(queries["planned"], campaign_id)
        messages = await connection.fetchrow(queries["messages"], campaign_id, timeout=600)
        evidence = await connection.fetchrow(queries["evidence"], campaign_id, timeout=600)
    assert upload is not None
    assert planned is not None
    assert messages is not None
    assert evidence is not None
    statistics = counts_of(view)
    never_claimed = upload["accepted"] - planned["claimed"]
    counted = counts_of(
        {
            **dict(messages),
            **dict(evidence),
            "accepted": upload["accepted"],
            "blocked": 0,
            "expired": 0,
            "cancelled": never_claimed if view["state"] == "Cancelled" and not planned["open_slices"] else 0,
            "throttled": statistics.throttled,
        }
    )
    differences = _differences(counted, statistics, dict(upload), dict(planned), dict(messages))
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
    messages: dict[str, int],
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
    if messages["outside"]:
        found.append(f"messages: {messages['outside']} outside every claimed row")
    return found
