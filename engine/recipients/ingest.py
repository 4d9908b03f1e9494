"""A recipient file, streamed into committed chunks.

The stream is read in blocks of 256 KiB, each of which begins where a line begins. What follows from a block
depends on nothing but the committed state and the bytes after `byte_offset`, so an upload that broke off and
goes on there ends with the same rows, counters and job errors as an unbroken one.

Three things go on at once: the event loop reads, another thread makes chunks of what was read, and the
database commits the chunks before, several in one transaction where it is the slower one. What was read and
is not yet committed is bounded (`BEHIND_BYTES`).
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from array import array
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import pyarrow as pa
import structlog

from engine import faults
from engine._fast import lines, msisdn, numberset
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
CHUNK_BYTES = 4 * 1024 * 1024  # of the file: files of wide lines make smaller chunks
BEHIND_BYTES = 6 * 1024 * 1024  # of the file: cut and not yet committed, beside the last piece
KEPT_WARM = 2
BLANK = b" \t\r\n\xef\xbb\xbf"
_GATHERED: tuple[array[int], bytearray] = array("i", [0]), bytearray()
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
    """What was read since the last cut."""

    errors: JobErrors
    blocks: list[LineBlock] = field(default_factory=list)
    numbers: array[int] = field(default_factory=partial(array, "q"))
    reasons: array[int] = field(default_factory=partial(array, "b"))
    job_errors: int = 0
    rows: int = 0
    lines: int = 0


@dataclass(slots=True)
class _Chunk:
    """What one thread made of a _Pending: the rows to keep. `data` is empty where there are none."""

    accepted: int
    digest: bytes = b""
    data: memoryview = field(default_factory=lambda: memoryview(b""))


@dataclass(slots=True)
class _Piece:
    """The bytes `begin` to `end` of the file on their way to the database."""

    pending: _Pending
    begin: int
    end: int
    in_long: bool
    final: bool
    chunk: asyncio.Future[_Chunk]


# All uploads share one thread for deduplication and compression, which keeps an upload's chunks in order.
# pyarrow would take a thread per core for each of them.
_chunking = ThreadPoolExecutor(1, thread_name_prefix="recipients")


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
        self._reader = seen.readers = seen.readers + 1
        self._country: str = row["default_country"]
        stored = msgspec.json.decode(row["dialect"]) if row["dialect"] else None
        self._in_long = bool(stored and stored.pop("in_long"))
        self._dialect = Dialect.from_json(stored) if stored else None
        self._committed: int = row["byte_offset"]
        self._stored: int = self._committed  # where the last piece ends
        self._pieces: deque[_Piece] = deque()
        self._progress = asyncio.Event()
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
        self._take_back()
        view, at = memoryview(data), 0
        while at < len(view):
            taken = min(BLOCK_BYTES - len(self._buffer), len(view) - at)
            self._buffer += view[at : at + taken]
            at += taken
            if len(self._buffer) == BLOCK_BYTES:
                await self._read(final=False)

    async def commit(self) -> None:
        """Commits every complete line fed so far; what follows it must be fed again after a new `open`.
        Raises UploadConflict."""
        self._take_back()
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
        self._take_back()
        await self._read(final=True)
        await self._store(final=True)
        await self._settled()
        log.info("upload complete", upload_id=str(self._upload_id), bytes=self._committed, lines=self._lines)

    def _take_back(self) -> None:
        """Before any use of the numbers seen: nobody else has them, nor gets them while they are ahead of the
        commits. Raises UploadConflict."""
        if self._seen.readers != self._reader:
            raise UploadConflict("the upload goes on elsewhere")  # with the numbers we have seen
        _warm.pop(self._upload_id, None)

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
        """Sends what is pending on its way, once not too much is; reading goes on meanwhile."""
        while self._pieces and self._stored - self._committed > BEHIND_BYTES:
            await self._moved_on()
        self._lost()
        assert self._dialect is not None
        pending, self._pending = self._pending, _Pending(JobErrors(self._pending.errors.room))
        begin, self._stored = self._stored, self._buffer_offset
        chunk = asyncio.get_running_loop().run_in_executor(
            _chunking, _encode, pending, self._dialect, self._seen
        )
        self._pieces.append(_Piece(pending, begin, self._stored, self._in_long, final, chunk))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write_all())
            _writing[self._upload_id] = self._task
            self._task.add_done_callback(partial(_forget, self._upload_id))

    def _lost(self) -> None:
        """Raises what the commits raised: an Ingest that missed one is lost."""
        if self._task is not None and self._task.done():
            self._task.result()

    async def _moved_on(self) -> None:
        """Waits for the next commit or failure."""
        assert self._task is not None
        self._progress.clear()
        moved = asyncio.ensure_future(self._progress.wait())
        try:
            await asyncio.wait((moved, self._task), return_when=asyncio.FIRST_COMPLETED)
        finally:
            moved.cancel()
        self._lost()

    async def _settled(self) -> None:
        """Waits for the commits under way; raises what they raised, also later on."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def _write_all(self) -> None:
        """Commits the pieces in order: each time all whose chunks are made, and at least one."""
        try:
            while self._pieces:
                await self._pieces[0].chunk
                ready = list(takewhile(lambda piece: piece.chunk.done(), self._pieces))
                await self._write(ready)
                for _ in ready:
                    self._pieces.popleft()
                self._progress.set()
        finally:
            for piece in self._pieces:  # none is left unless one failed
                piece.chunk.cancel()
                piece.chunk.add_done_callback(_taken_note_of)

    async def _write(self, pieces: list[_Piece]) -> None:
        """The rows to keep, the counters and the offset, in one transaction."""
        assert self._dialect is not None
        queries = load("ingest")
        chunks = [piece.chunk.result() for piece in pieces]
        first, last = pieces[0], pieces[-1]
        accepted, errors, lines_, rows = 0, 0, 0, 0
        for piece, chunk in zip(pieces, chunks, strict=True):
            accepted += chunk.accepted
            errors += piece.pending.job_errors
            lines_ += piece.pending.lines
            rows += piece.pending.rows
        dialect = msgspec.json.encode({**self._dialect.to_json(), "in_long": last.in_long}).decode()
        chunk_no = self._next_chunk
        async with self._pool.acquire() as connection, connection.transaction():
            moved = await connection.fetchval(
                queries["move"],
                self._upload_id,
                first.begin,
                last.end,
                lines_,
                accepted,
                rows - errors - accepted,
                errors,
                dialect,
            )
            if moved is None:
                raise UploadConflict("the upload was moved on or closed by somebody else")
            for piece, chunk in zip(pieces, chunks, strict=True):
                if chunk.accepted:
                    await connection.execute(
                        queries["add_chunk"],
                        self._upload_id,
                        chunk_no,
                        chunk.accepted,
                        piece.end,
                        chunk.digest,
                        chunk.data,
                    )
                    chunk_no += 1
                await _add_errors(connection, self._upload_id, piece.pending.errors)
            if last.final:
                stored = await connection.fetch(queries["digests"], self._upload_id)
                digest = upload_digest(row["digest"] for row in stored)
                await connection.execute(queries["complete"], self._upload_id, digest)
        faults.point("during_ingest")
        self._committed = last.end
        self._next_chunk = chunk_no


def _taken_note_of(chunk: asyncio.Future[_Chunk]) -> None:
    """Of a piece behind one that failed: nobody asks for it any more."""
    if not chunk.cancelled():
        chunk.exception()


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


def _encode(pending: _Pending, dialect: Dialect, seen: SeenNumbers) -> _Chunk:
    """The chunk of the rows that bring a new number, which `seen` has from now on."""
    keep = seen.new(pending.numbers, pending.reasons)
    accepted = keep.tobytes().count(1)
    blocks, pending.blocks = pending.blocks, []
    if not accepted:
        return _Chunk(0)
    numbers = numberset.kept(pending.numbers, keep)
    pending.numbers, pending.reasons = array("q"), array("b")
    arrays = [pa.Array.from_buffers(pa.int64(), accepted, [None, pa.py_buffer(numbers)])]
    places = [place for place in range(len(dialect.columns) + 1) if place != dialect.msisdn_index]
    for place in places:
        offsets, data = lines.gather([block.columns[place] for block in blocks], keep)
        for block in blocks:
            block.columns[place] = _GATHERED  # the next column's copy takes this one's memory
        arrays.append(pa.StringArray.from_buffers(accepted, pa.py_buffer(offsets), pa.py_buffer(data)))
    batch = pa.RecordBatch.from_arrays(arrays, schema=chunk_schema(dialect.columns))
    chunk = memoryview(write_chunk(batch))
    return _Chunk(accepted, hashlib.sha256(chunk).digest(), chunk)


async def _add_errors(connection: Connection, upload_id: UUID, errors: JobErrors) -> None:
    queries = load("ingest")
    if errors.details:
        line_numbers, codes, details = zip(*errors.details, strict=True)
        await connection.execute(queries["add_errors"], upload_id, line_numbers, codes, details)
    if errors.counts:
        await connection.execute(
            queries["count_errors"], upload_id, list(errors.counts), list(errors.counts.values())
        )
