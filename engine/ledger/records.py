"""Delivery records of a campaign, page by page.

Each page is a question of its own (a keyset of slice and row): no snapshot and no cursor of the database
stays open while somebody writes ten million rows into a file, so nothing is kept from vacuum or from the
drop of a partition, and whoever breaks off goes on where they stopped.
"""

from uuid import UUID

from engine.core_api import schema
from engine.ledger.errors import NotFound
from engine.ledger.pool import Pool
from engine.ledger.reports import decode, encode, numbers_of, recipient_of
from engine.ledger.sql import load

PAGE = 5_000  # most rows of a page: about 1 MB of JSON


async def page(pool: Pool, campaign_id: UUID, cursor: str | None, limit: int) -> schema.DeliveryRecords:
    """The records after `cursor`, in the order they were planned; full but for the last page.

    Rows that were never planned (a campaign cancelled early) and those of dropped partitions are not there.
    Raises NotFound, BadCursor.
    """
    queries, limit = load("reports"), min(max(limit, 1), PAGE)
    slice_id, row = decode(cursor, 2)
    records: list[schema.DeliveryRecord] = []
    async with pool.acquire() as connection:
        campaign = await connection.fetchrow(queries["campaign"], campaign_id)
        if campaign is None:
            raise NotFound(f"no campaign {campaign_id}")
        names = {
            each["channel_id"]: each["name"] for each in await connection.fetch(queries["channel_names"])
        }
        while len(records) < limit:
            part = await connection.fetchrow(queries["slice_at"], campaign_id, slice_id, row)
            if part is None:
                return schema.DeliveryRecords(records=records, next=None)
            if part["slice_id"] != slice_id:
                slice_id, row = part["slice_id"], 0
            end = min(part["row_count"], row + limit - len(records))
            folded = campaign["settled"] and part["folded"]
            found = (
                await connection.fetch(queries["messages_done"], slice_id, row, end)
                if folded
                else await connection.fetch(queries["messages"], slice_id, row, end, campaign["settled"])
            )
            known = {each["row_no"]: each for each in found}
            numbers = await numbers_of(connection, campaign, part, row, end, known)
            for place, number in zip(range(row, end), numbers, strict=True):
                message = known.get(place)
                shown = recipient_of(slice_id, place, message, number, campaign, place >= part["claimed_to"])
                channel_id = message["channel_id"] if message is not None else None
                records.append(
                    schema.DeliveryRecord(
                        message_id=shown.message_id,
                        msisdn=shown.msisdn,
                        channel=names.get(channel_id or part["channel_id"], ""),
                        state=shown.state,
                        parts=shown.parts,
                        attempts=shown.attempts,
                        cost=message["cost"] if message is not None else 0,
                        created_at=part["created_at"],
                        sent_at=shown.sent_at,
                        done_at=shown.done_at,
                        error=shown.error,
                    )
                )
            row = end
    return schema.DeliveryRecords(records=records, next=encode(slice_id, row))
