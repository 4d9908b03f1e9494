"""Recipient files as the Core API shows them. `engine.recipients.ingest` moves their counters."""

from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from engine.core_api import schema
from engine.ledger.errors import NotFound
from engine.ledger.pool import Pool
from engine.ledger.sql import load


async def create(pool: Pool, spec: schema.UploadSpec) -> schema.Upload:
    """A new, empty upload; the one that is there where the id is known already."""
    await pool.execute(
        load("uploads")["create"],
        spec.upload_id,
        spec.workspace_id,
        spec.file_name,
        spec.size_bytes,
        spec.default_country,
    )
    return await get(pool, spec.upload_id)


async def get(pool: Pool, upload_id: UUID) -> schema.Upload:
    """Raises NotFound."""
    row = await pool.fetchrow(load("uploads")["get"], upload_id)
    if row is None:
        raise NotFound(f"no upload {upload_id}")
    return _upload(row)


async def chunk_numbers(pool: Pool, upload_id: UUID) -> list[int]:
    """Numbers of the committed chunks, in file order."""
    return [row["chunk_no"] for row in await pool.fetch(load("uploads")["chunks"], upload_id)]


async def chunk_rows(pool: Pool, upload_id: UUID) -> dict[int, tuple[int, int]]:
    """Of each committed chunk, in file order: its first recipient among all, from 0, and how many it has."""
    found, first = {}, 0
    for row in await pool.fetch(load("uploads")["chunks"], upload_id):
        found[row["chunk_no"]] = (first, row["row_count"])
        first += row["row_count"]
    return found


async def chunk(pool: Pool, upload_id: UUID, chunk_no: int) -> bytes:
    """The Arrow IPC stream of one chunk. Raises NotFound."""
    data = await pool.fetchval(load("uploads")["chunk"], upload_id, chunk_no)
    if data is None:
        raise NotFound(f"no chunk {chunk_no} of upload {upload_id}")
    return bytes(data)


def _upload(row: asyncpg.Record) -> schema.Upload:
    dialect: dict[str, Any] = msgspec.json.decode(row["dialect"]) if row["dialect"] else {}
    return schema.Upload(
        upload_id=row["upload_id"],
        workspace_id=row["workspace_id"],
        file_name=row["file_name"],
        size_bytes=row["size_bytes"],
        state=row["state"],
        reason=row["reason"],
        byte_offset=row["byte_offset"],
        lines=row["lines"],
        rows=row["rows"],
        accepted=row["accepted"],
        duplicates=row["duplicates"],
        job_errors=row["job_errors"],
        columns=dialect.get("columns", []),
        encoding=dialect.get("encoding", ""),
        separator=dialect.get("separator", ""),
        has_header=dialect.get("has_header", False),
        msisdn_column=dialect.get("msisdn_column", ""),
    )
