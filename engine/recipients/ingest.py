"""A recipient file, streamed into committed chunks.

The stream is read in blocks of 256 KiB, each of which begins where a line begins. What follows from a block
depends on nothing but the committed state and the bytes after `byte_offset`, so an upload that broke off and
goes on there ends with the same rows, counters and job errors as an unbroken one.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from array import array
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import structlog

from engine import faults
from engine._fast import lines, msisdn
from engine.ledger.sql import load
from engine.recipients.chunk import MAX_ROWS, chunk_schema, read_numbers, upload_digest, write_chunk
from engine.recipients.dedupe import SeenNumbers
from engine.recipients.dialect import Dialect, UnusableFile, detect
from engine.recipients.job_errors import MAX_DETAILS, JobErrors

if TYPE_CHECKING:
    from engine._fast.line_block import LineBlock
    from engine.ledger.pool import Connection, Pool

log = structlog.get_logger(__name__)

BLOCK_BYTES = 256 * 1024
CHUNK_BYTES = 8 * 1024 * 1024  # of the file: files of wide lines make smaller chunks
KEPT_WARM = 2
BLANK = b" \t\r\n\xef\xbb\xbf"
_LINE = re.compile(rb"[^\r\n]*(\r\n|\r|\n|$)")


class UploadError(Exception):
    """The upload cannot take what was asked of it; nothing was changed."""


class UploadNotFound(UploadError):
    """No such upload."""


class UploadNotOpen(UploadError):
    """The upload is complete, failed or discarded."""


class UploadConflict(UploadError):
    """Somebody else moved the upload on, or discarded it: open it again and go on at its offset."""


class UploadInUse(UploadError):
    """A campaign uses the upload's recipients."""


@dataclass(slots=True)
class _Pending:
    """What was read and is not yet committed; rows are deduplicated when they are committed."""

    errors: JobErrors
    blocks: list[LineBlock] = field(default_factory=list)
    numbers: array[int] = field(default_factory=partial(array, "q"))
    reasons: array[int] = field(default_factory=partial(array, "b"))
    job_errors: int = 0
    rows: int = 0
    lines: int = 0


# Dedupe sets of uploads between two requests, by upload and offset, so that a file sent in many requests is
# not read back from its chunks at each. A set is taken out when its upload goes on.
_warm: dict[UUID, tuple[int, SeenNumbers]] = {}


# The commit under way of each upload: whoever opens or discards the upload waits for it.
_writing: dict[UUID, asyncio.Task[None]] = {}


class Ingest:
    """One upload being read. Not for use by two tasks at once; two Ingests of one upload cannot
    count twice.
    """

    def __init__(self, pool: Pool, upload_id: UUID, row: Any, seen: SeenNumbers) -> None:
        self._pool = pool
        self._upload_id = upload_id
        self._seen = seen
        self._country: str = row["default_country"]
        stored = msgspec.json.decode(row["dialect"]) if row["dialect"] else None
        self._in_long = bool(stored and stored.pop("in_long"))
        self._dialect = Dialect.from_json(stored) if stored else None
        self._committed: int = row["byte_offset"]
        self._stored: int = self._committed  # where the commit under way, if any, ends
        self._task: asyncio.Task[None] | None = None
        self._lines: int = row["lines"]
        self._next_chunk: int = row["chunks"]
        self._buffer = bytearray()
        self._buffer_offset: int = self._committed
        self._pending = _Pending(JobErrors(max(0, MAX_DETAILS - row["job_errors"])))

    @classmethod
    async def open(cls, pool: Pool, upload_id: UUID) -> Ingest:
        """A new upload, or one that broke off, at its last commit.

        Raises UploadNotFound, UploadNotOpen, and UnusableFile for a default country that does not exist.
        """
        await _written(upload_id)
        row = await pool.fetchrow(load("ingest")["open"], upload_id)
        if row is None:
            raise UploadNotFound(f"no upload {upload_id}")
        if row["state"] != "open":
            raise UploadNotOpen(f"the upload is {row['state']}")
        try:
            msisdn.normalise(b"", array("i"), row["default_country"])
        except ValueError as error:
            raise UnusableFile("unknown_country", str(error)) from error
        offset, seen = _warm.pop(upload_id, (-1, None))
        if seen is None or offset != row["byte_offset"]:
            seen = SeenNumbers()
            for chunk_no in range(row["chunks"]):
                seen.add(read_numbers(await pool.fetchval(load("uploads")["chunk"], upload_id, chunk_no)))
                await asyncio.sleep(0)
        return cls(pool, upload_id, row, seen)

    @property
    def offset(self) -> int:
        """The next byte of the file that `feed` expects."""
        return self._buffer_offset + len(self._buffer)

    @property
    def committed_offset(self) -> int:
        """Where the upload goes on if this Ingest is lost."""
        return self._committed

    async def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Takes the next bytes. Raises UnusableFile (the upload is failed then) and UploadConflict."""
        _warm.pop(self._upload_id, None)
        view, at = memoryview(data), 0
        while at < len(view):
            taken = min(BLOCK_BYTES - len(self._buffer), len(view) - at)
            self._buffer += view[at : at + taken]
            at += taken
            if len(self._buffer) == BLOCK_BYTES:
                await self._read(final=False)

    async def commit(self) -> None:
        """Commits every complete line fed so far; what follows it must be fed again after a new `open`."""
        if self._buffer:
            await self._read(final=False)
        if self._dialect is None:
            return
        if self._buffer_offset > self._stored:
            await self._store(final=False)
        await self._settled()
        _warm[self._upload_id] = self._committed, self._seen
        while len(_warm) > KEPT_WARM:
            del _warm[next(iter(_warm))]

    async def finish(self) -> None:
        """The file ends here: reads its last line, commits, and completes the upload.

        Raises UnusableFile (the upload is failed then) and UploadConflict.
        """
        await self._read(final=True)
        await self._store(final=True)
        await self._settled()
        log.info("upload complete", upload_id=str(self._upload_id), bytes=self._committed, lines=self._lines)

    async def _read(self, *, final: bool) -> None:
        """One block: whatever complete lines the buffer holds, and its last line if the file ends."""
        begin = 0
        if self._dialect is None:
            begin = await self._detect(final)
        dialect = self._dialect
        if dialect is None:
            return
        block = lines.scan(
            memoryview(self._buffer)[begin:],
            len(dialect.columns) + 1,
            ord(dialect.separator) if dialect.separator else 0,
            final=final,
            in_long=self._in_long,
        )
        offsets, data = block.columns[dialect.msisdn_index]
        numbers, reasons = msisdn.normalise(data, memoryview(offsets)[1:], self._country)
        waiting = self._buffer_offset - self._stored
        full = len(self._pending.numbers) + block.rows > MAX_ROWS or waiting >= CHUNK_BYTES
        if waiting and full:
            await self._store(final=False)
        pending = self._pending
        pending.job_errors += pending.errors.add(block, self._lines + 1, dialect.msisdn_index, reasons)
        pending.rows += block.rows + len(block.bad_line)
        pending.lines += block.lines
        if block.rows:
            pending.blocks.append(block)
            pending.numbers += numbers
            pending.reasons += reasons
        self._lines += block.lines
        self._in_long = block.in_long
        del self._buffer[: begin + block.consumed]
        self._buffer_offset += begin + block.consumed
        await asyncio.sleep(0)

    async def _detect(self, final: bool) -> int:
        """Sets the dialect and returns where the first data line begins; without a complete line it waits."""
        header_end, header_lines = _first_line(self._buffer, final)
        try:
            if header_end < 0 and len(self._buffer) == BLOCK_BYTES:
                raise UnusableFile("not_text", "The first line is longer than 256 KiB.")
            if header_end < 0 and not final:
                return 0
            self._dialect = detect(bytes(self._buffer), self._country)
        except UnusableFile as error:
            await self._pool.execute(load("ingest")["fail"], self._upload_id, error.detail)
            log.info("upload unusable", upload_id=str(self._upload_id), code=error.code)
            raise
        if not self._dialect.has_header:
            return self._dialect.start
        self._lines += header_lines
        self._pending.lines += header_lines
        return header_end

    async def _store(self, *, final: bool) -> None:
        """Starts the commit of what is pending once the one before is through; reading goes on meanwhile."""
        pending, self._pending = self._pending, _Pending(JobErrors(self._pending.errors.room))
        keep = self._seen.new(pending.numbers, pending.reasons)
        begin, self._stored = self._stored, self._buffer_offset
        in_long = self._in_long
        await self._settled()
        self._task = asyncio.create_task(self._write(pending, keep, begin, self._stored, in_long, final))
        _writing[self._upload_id] = self._task
        self._task.add_done_callback(partial(_forget, self._upload_id))

    async def _settled(self) -> None:
        """Waits for the commit under way; raises what it raised, also later on: this Ingest is lost then."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def _write(
        self, pending: _Pending, keep: array[int], begin: int, end: int, in_long: bool, final: bool
    ) -> None:
        """The rows to keep, the counters and the offset, in one transaction."""
        assert self._dialect is not None
        queries, accepted = load("ingest"), keep.tobytes().count(1)
        chunk = None
        if accepted:
            chunk = await asyncio.to_thread(_encode, pending, self._dialect, keep)
        dialect = msgspec.json.encode({**self._dialect.to_json(), "in_long": in_long}).decode()
        async with self._pool.acquire() as connection, connection.transaction():
            moved = await connection.fetchval(
                queries["move"],
                self._upload_id,
                begin,
                end,
                pending.lines,
                accepted,
                pending.rows - pending.job_errors - accepted,
                pending.job_errors,
                dialect,
            )
            if moved is None:
                raise UploadConflict("the upload was moved on or closed by somebody else")
            if chunk is not None:
                await connection.execute(
                    queries["add_chunk"], self._upload_id, self._next_chunk, accepted, end, *chunk
                )
            await _add_errors(connection, self._upload_id, pending.errors)
            if final:
                stored = await connection.fetch(queries["digests"], self._upload_id)
                digest = upload_digest(row["digest"] for row in stored)
                await connection.execute(queries["complete"], self._upload_id, digest)
        faults.point("during_ingest")
        self._committed = end
        self._next_chunk += chunk is not None


async def _written(upload_id: UUID) -> None:
    """Waits for the commit under way of an upload, however it ends."""
    task = _writing.get(upload_id)
    if task is not None:
        await asyncio.wait((task,))


def _forget(upload_id: UUID, task: asyncio.Task[None]) -> None:
    if _writing.get(upload_id) is task:
        del _writing[upload_id]
    if not task.cancelled() and task.exception() is not None:
        log.warning("upload commit failed", upload_id=str(upload_id), error=type(task.exception()).__name__)


async def discard(pool: Pool, upload_id: UUID) -> None:
    """Drops all that came of an upload; its row stays, discarded and with counters of zero.

    Raises UploadNotFound, and UploadInUse where a campaign was made of it. Repeating it changes nothing.
    """
    queries = load("ingest")
    await _written(upload_id)
    _warm.pop(upload_id, None)
    async with pool.acquire() as connection, connection.transaction():
        if await connection.execute(queries["discard"], upload_id) == "UPDATE 0":
            raise UploadNotFound(f"no upload {upload_id}")
        if await connection.fetchval(queries["used"], upload_id):
            raise UploadInUse("a campaign uses this upload")
        for statement in ("drop_chunks", "drop_errors", "drop_error_counts"):
            await connection.execute(queries[statement], upload_id)


def _first_line(data: bytearray, final: bool) -> tuple[int, int]:
    """(end of the first line that is not blank, lines up to it); -1 where it is not complete."""
    count = 0
    for match in _LINE.finditer(data):
        if match.end() == len(data) and not final and match[1] != b"\n":
            break  # the line, or its CR LF, may go on
        count += 1
        if match[0].strip(BLANK):
            return match.end(), count
    return -1, count


def _encode(pending: _Pending, dialect: Dialect, keep: array[int]) -> tuple[bytes, memoryview]:
    """(digest, chunk) of the rows to keep."""
    schema = chunk_schema(dialect.columns)
    batches, first = [], 0
    for block in pending.blocks:
        last = first + block.rows
        kept = keep[first:last]
        numbers = pa.py_buffer(pending.numbers[first:last])
        arrays = [pa.Array.from_buffers(pa.int64(), block.rows, [None, numbers])]
        for place, (offsets, data) in enumerate(block.columns):
            if place != dialect.msisdn_index:
                strings = pa.StringArray.from_buffers(block.rows, pa.py_buffer(offsets), pa.py_buffer(data))
                arrays.append(strings)
        batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
        if kept.tobytes().count(1) < block.rows:
            mask = pa.Array.from_buffers(pa.int8(), block.rows, [None, pa.py_buffer(kept)])
            batch = batch.filter(pc.equal(mask, 1))
        batches.append(batch)
        first = last
    chunk = memoryview(write_chunk(batches[0] if len(batches) == 1 else pa.concat_batches(batches)))
    return hashlib.sha256(chunk).digest(), chunk


async def _add_errors(connection: Connection, upload_id: UUID, errors: JobErrors) -> None:
    queries = load("ingest")
    if errors.details:
        line_numbers, codes, details = zip(*errors.details, strict=True)
        await connection.execute(queries["add_errors"], upload_id, line_numbers, codes, details)
    if errors.counts:
        await connection.execute(
            queries["count_errors"], upload_id, list(errors.counts), list(errors.counts.values())
        )
