"""What the ledger holds about one person's number: counted, and given out to be handed to them."""

import asyncio
from uuid import UUID

import asyncpg
import pyarrow.compute as pc

from engine.core_api import schema
from engine.ledger.pool import Connection, Pool
from engine.ledger.sql import load
from engine.recipients.chunk import read_chunk
from engine.recipients.erasure import chunks_holding, digits_of, in_use, masks_of

LIMIT = 1_000  # records of a store in one answer
_TIMEOUT_S = 600
_OF_WORKSPACES = ("submissions", "receipts", "messages_done", "doubts", "job_errors")
_OF_THE_INSTALLATION = ("orphan_receipts", "inbound", "test_messages", "traces", "trace_pdus", "decisions")


async def find(pool: Pool, question: schema.PersonQuestion) -> schema.PersonFound:
    """Every store that an erasure of the number would change, and the receipts of its messages.

    Reads every recipient file: about a second for some millions of rows. Raises Unfit for no number.
    """
    digits, workspace_id = digits_of(question.msisdn), question.workspace_id
    queries = load("people")
    counts: dict[str, int] = {}
    records: list[schema.PersonRecord] = []
    cut = False
    async with pool.acquire() as connection:
        holding = await chunks_holding(connection, digits, workspace_id)
        uploads = sorted({upload_id for upload_id, _ in holding})
        rows = [one for key in holding for one in await _of_chunk(connection, *key, digits)]
        stores: list[tuple[str, list[schema.PersonRecord]]] = [("recipient_chunks", rows)]
        for store in _OF_WORKSPACES:
            found = await connection.fetch(
                queries[store], digits, workspace_id, LIMIT + 1, timeout=_TIMEOUT_S
            )
            stores.append((store, [_record(store, row) for row in found]))
        if workspace_id is None:
            for store in _OF_THE_INSTALLATION:
                found = await connection.fetch(queries[store], digits, LIMIT + 1, timeout=_TIMEOUT_S)
                stores.append((store, [_record(store, row) for row in found]))
        for store, of_store in stores:
            if of_store:
                counts[store] = len(of_store[:LIMIT])
                cut = cut or len(of_store) > LIMIT
                records += of_store[:LIMIT]
        users = await in_use(connection, uploads, digits, workspace_id)
    return schema.PersonFound(counts=counts, records=records, cut=cut, in_use=users)


async def _of_chunk(
    connection: Connection, upload_id: UUID, chunk_no: int, digits: str
) -> list[schema.PersonRecord]:
    """The person's rows of a recipient file, and others' that name the number."""
    data = await connection.fetchval(load("erasure")["chunk"], upload_id, chunk_no)
    if data is None:
        return []
    file = await connection.fetchrow(load("people")["file"], upload_id)
    assert file is not None
    rows = await asyncio.to_thread(_rows, bytes(data), digits)
    return [
        schema.PersonRecord(
            store="recipient_chunks",
            campaign_id=file["campaign_id"],
            at=file["created_at"],
            held={"file": file["file_name"], **row},
        )
        for row in rows
    ]


def _rows(data: bytes, digits: str) -> list[dict[str, str]]:
    """Their own rows whole; of another's row only what names the number."""
    batch = read_chunk(data)
    own, *others = masks_of(batch, digits)
    names = batch.schema.names
    rows = [
        {name: str(value) for name, value in row.items() if value is not None}
        for row in batch.filter(own).to_pylist()
    ]
    for name, mask in zip(names[1:], others, strict=True):
        elsewhere = batch.filter(pc.and_(mask, pc.invert(own)))
        rows += [{name: str(value)} for value in elsewhere.column(name).to_pylist()]
    return rows


def _record(store: str, row: asyncpg.Record) -> schema.PersonRecord:
    given = dict(row)
    campaign_id, at = given.pop("campaign_id", None), given.pop("at", None)
    return schema.PersonRecord(
        store=store,
        campaign_id=campaign_id,
        at=at,
        held={name: str(value) for name, value in given.items() if value is not None},
    )
