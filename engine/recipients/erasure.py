"""The erasure of one person's number from everything the ledger keeps.

Refused while a campaign that may still send, or a file that waits for one, holds it. The chunks of ended
campaigns are written anew without the person's row; the digest that was sealed stays beside the new one. What
is recorded is a keyed hash, never the number.
"""

import asyncio
import hashlib
from datetime import datetime
from uuid import UUID, uuid4

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import structlog

from engine.core_api import schema
from engine.ledger import decisions
from engine.ledger.errors import NumberInUse, Unfit
from engine.ledger.pool import Connection, Pool
from engine.ledger.secrets import SecretBox
from engine.ledger.sql import load
from engine.recipients.chunk import read_chunk, write_chunk

log = structlog.get_logger(__name__)

_TIMEOUT_S = 600
_OF_WORKSPACES = ("submissions", "messages_done", "doubts", "job_errors")
# Of accounts and channels, which several workspaces share: whose they are is not known.
_OF_THE_INSTALLATION = ("orphan_receipts", "inbound", "test_messages", "traces", "trace_pdus", "decisions")


async def erase(pool: Pool, box: SecretBox, spec: schema.ErasureSpec) -> schema.Erasure:
    """Erase a number everywhere, or from what belongs to a workspace; again is no fault and finds nothing.

    Raises NumberInUse, which names the campaigns and files that still hold it, and Unfit for no number.
    """
    digits = digits_of(spec.msisdn)
    number_hash = box.keyed_hash(digits)
    async with pool.acquire() as connection, connection.transaction():

        async def act() -> schema.Erasure:
            return await _erase(connection, digits, number_hash, spec)

        # neither the decision nor its hash may tell the number
        where = [] if spec.workspace_id is None else [spec.workspace_id]
        given = msgspec.json.encode([number_hash.hex(), spec.reason, *where])
        return await decisions.once(connection, spec.decision_id, "erase", given, schema.Erasure, act)


async def listed(pool: Pool, limit: int) -> schema.Erasures:
    """The latest, newest first."""
    rows = await pool.fetch(load("erasure")["listed"], limit)
    return schema.Erasures(
        erasures=[
            _erasure(
                row["erasure_id"],
                row["number_hash"],
                row["reason"],
                row["requested_at"],
                row["done_at"],
                msgspec.json.decode(row["erased"]),
            )
            for row in rows
        ]
    )


def digits_of(msisdn: str) -> str:
    """The number without its plus. Raises Unfit for no number."""
    digits = msisdn.removeprefix("+")
    if not (digits.isascii() and digits.isdigit() and 7 <= len(digits) <= 15):
        raise Unfit("a number with its country code: 7 to 15 digits")
    return digits


async def _erase(
    connection: Connection, digits: str, number_hash: bytes, spec: schema.ErasureSpec
) -> schema.Erasure:
    queries, workspace_id = load("erasure"), spec.workspace_id
    requested_at = await connection.fetchval(queries["now"])
    holding = await chunks_holding(connection, digits, workspace_id)
    uploads = sorted({upload_id for upload_id, _ in holding})
    await connection.execute(queries["lock_uploads"], uploads)
    users = await in_use(connection, uploads, digits, workspace_id)
    if users:
        raise NumberInUse("still needed by " + ", ".join(users[:5]) + ": erase it after")
    erased = {}
    for upload_id, chunk_no in holding:
        data = await connection.fetchval(queries["chunk"], upload_id, chunk_no)
        if data is not None:
            left = await asyncio.to_thread(without, bytes(data), digits)
            await connection.execute(
                queries["rewrite"], upload_id, chunk_no, left, hashlib.sha256(left).digest()
            )
    if holding:
        await connection.execute(queries["end_uploads"], uploads)
        erased["recipient_chunks"] = len(holding)
    for table in (*_OF_WORKSPACES, *(() if workspace_id else _OF_THE_INSTALLATION)):
        scoped = (workspace_id,) if table in _OF_WORKSPACES else ()
        status = await connection.execute(queries[table], digits, *scoped, timeout=_TIMEOUT_S)
        if count := int(status.rsplit(" ", 1)[1]):
            erased[table] = count
    identifier = uuid4()
    done_at = await connection.fetchval(
        queries["record"],
        identifier,
        number_hash,
        spec.reason,
        requested_at,
        msgspec.json.encode(erased).decode(),
    )
    log.info("number erased", erasure_id=str(identifier), erased=erased)
    return _erasure(identifier, number_hash, spec.reason, requested_at, done_at, erased)


async def in_use(
    connection: Connection, uploads: list[UUID], digits: str, workspace_id: UUID | None
) -> list[str]:
    """What still needs the number of these files: campaigns, files that wait for one, test messages."""
    rows = await connection.fetch(load("erasure")["in_use"], uploads, digits, workspace_id)
    return [row["user"] for row in rows]


async def chunks_holding(
    connection: Connection, digits: str, workspace_id: UUID | None
) -> list[tuple[UUID, int]]:
    """Chunks with the number, one in memory at a time."""
    queries, found = load("erasure"), []
    for row in await connection.fetch(queries["chunks"], workspace_id, timeout=_TIMEOUT_S):
        key = (row["upload_id"], row["chunk_no"])
        data = await connection.fetchval(queries["chunk"], *key)
        if data is not None and await asyncio.to_thread(holds, bytes(data), digits):
            found.append(key)
    return found


def holds(data: bytes, digits: str) -> bool:
    """Whether a chunk has the number, as a recipient or in another column."""
    batch = read_chunk(data)
    return any(pc.any(mask).as_py() for mask in masks_of(batch, digits))


def without(data: bytes, digits: str) -> bytes:
    """The chunk without the person: their rows have number 0 and empty columns, other rows that name the
    number lose that value. The row count stays."""
    batch = read_chunk(data)
    own, *others = masks_of(batch, digits)
    columns = [pc.if_else(own, pa.scalar(0, pa.int64()), batch.column(0))]
    for i, names in enumerate(others, 1):
        columns.append(pc.if_else(pc.or_(own, names), pa.scalar("", pa.string()), batch.column(i)))
    return bytes(write_chunk(pa.RecordBatch.from_arrays(columns, schema=batch.schema)))


def masks_of(batch: pa.RecordBatch, digits: str) -> list[pa.BooleanArray]:
    """Of each column, the rows that are or name the number."""
    masks = [pc.equal(batch.column(0), int(digits))]
    for i in range(1, batch.num_columns):
        plain = pc.replace_substring_regex(batch.column(i), r"[\s().\-/]", "")
        masks.append(pc.match_substring(plain, digits))
    return masks


def _erasure(
    erasure_id: UUID,
    number_hash: bytes,
    reason: str,
    requested_at: datetime,
    done_at: datetime,
    erased: dict[str, int],
) -> schema.Erasure:
    return schema.Erasure(
        erasure_id=erasure_id,
        number_hash=bytes(number_hash).hex(),
        reason=reason,
        requested_at=requested_at,
        done_at=done_at,
        erased=erased,
    )
