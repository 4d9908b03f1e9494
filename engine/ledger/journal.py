"""The local journal of receipts: kept here, fsynced and acknowledged while the database is away.

One file: a head (magic, the journal's id, CRC), then records (magic, length, CRC-32, body), each a batch of
receipts. A record that a crash tore is not acknowledged, since that comes after its fsync; it is cut off at
the next start. All is replayed in order, once: how far stands in the ledger by journal id and record number.
"""

import asyncio
import os
import struct
import zlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from uuid import UUID, uuid4

import structlog

from engine._fast.columns import ReceiptBatch

log = structlog.get_logger(__name__)

FILE = "receipts.journal"
MAGIC = b"HGRJ0001"
RECORD = b"HGR\xf5"
_HEAD = struct.Struct(">8s16sI")
_RECORD = struct.Struct(">4sII")
_BODY = struct.Struct(">QiqiQi")
_BLOCK = 1 << 20
MOST_BODY = 1 << 28
_COLUMNS = tuple(field.name for field in fields(ReceiptBatch) if field.name != "count")


class JournalFull(Exception):
    """The journal has its most bytes, or the disk takes no more: receipts must be refused."""


class JournalUnusable(Exception):
    """The file cannot be opened, or is not a journal."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Receipts of one account. Those with a `commit` are also in that numbered commit of that worker: they
    are replayed only if it never came about."""

    account_id: int
    received_us: int
    receipts: ReceiptBatch
    worker_id: int = 0
    commit: int = 0  # 0: of none


@dataclass(frozen=True, slots=True)
class Record:
    number: int  # from 1
    entry: Entry


class Journal:
    """Append, take in order, discard. `append` and `take` run their I/O in a thread, one at a time each."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self.path = folder / FILE
        self.most_bytes = most_bytes
        self.journal_id: UUID | None = None  # None: there is no file
        self.waiting = 0  # receipts appended and not taken
        self._file = -1
        self._end = 0  # all before is whole and fsynced
        self._read_at = 0
        self._last = 0  # number of the last record
        self._taken = 0  # number of the last taken one

    @classmethod
    async def open(cls, folder: Path, most_bytes: int) -> "Journal":
        """What an earlier process left is there to be taken. Raises JournalUnusable."""
        journal = cls(folder, most_bytes)
        await asyncio.to_thread(journal._open)
        return journal

    @property
    def bytes(self) -> int:
        return self._end

    @property
    def drained(self) -> bool:
        """All records were taken."""
        return self._taken == self._last

    async def append(self, entries: Sequence[Entry]) -> None:
        """Write and fsync; when this returns they survive a crash. Raises JournalFull, with nothing
        written."""
        encoded = bytearray()
        for number, entry in enumerate(entries, self._last + 1):
            encoded += _encode(Record(number, entry))
        if self._end + len(encoded) > self.most_bytes:
            raise JournalFull(f"{self.path} has its {self.most_bytes} bytes")
        try:
            await asyncio.to_thread(self._write, encoded)
        except OSError as error:
            raise JournalFull(f"{self.path}: {error.strerror or error}") from error
        self._last += len(entries)
        self.waiting += sum(entry.receipts.count for entry in entries)

    async def take(self, most: int) -> list[Record]:
        """The next records, until they hold `most` receipts; none where all are taken."""
        last = self._last  # more may be appended meanwhile
        records = await asyncio.to_thread(self._take, self._end, most)
        if records:
            self._taken = records[-1].number
            self.waiting -= sum(record.entry.receipts.count for record in records)
        else:
            self._taken = last
            if last == self._last:
                self.waiting = 0
        return records

    def discard(self) -> None:
        """Forget the file: every record was taken and what became of it is committed."""
        assert self.drained
        if self._file >= 0:
            self.path.unlink(missing_ok=True)
            os.close(self._file)
            _sync_folder(self.path.parent)
        self._file, self.journal_id = -1, None
        self._end = self._read_at = self._last = self._taken = 0

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    # in a thread --------------------------------------------------------------------------------------------

    def _open(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self.path.exists():
                return
            self._file = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            self._scan()
        except OSError as error:
            raise JournalUnusable(f"{self.path}: {error.strerror or error}") from error

    def _scan(self) -> None:
        """Find the end of what is whole; cut off what a crash tore."""
        size = os.fstat(self._file).st_size
        head = os.pread(self._file, _HEAD.size, 0)
        if len(head) < _HEAD.size and size < _HEAD.size:
            self.discard()  # torn while it was made: nothing in it was acknowledged
            return
        magic, journal_id, crc = _HEAD.unpack(head)
        if magic != MAGIC or crc != zlib.crc32(head[: _HEAD.size - 4]):
            raise JournalUnusable(f"{self.path} is no receipt journal: move it away and look at it")
        self.journal_id, self._end = UUID(bytes=journal_id), _HEAD.size
        for record, end in _records(self._file, _HEAD.size, size):
            self._last, self._end = record.number, end
            self.waiting += record.entry.receipts.count
        if self._end < size:
            torn = os.pread(self._file, min(size - self._end, MOST_BODY), self._end)
            self.path.with_suffix(".torn").write_bytes(torn)  # for whoever wants to look
            log.warning("torn end of the receipt journal cut off", bytes=size - self._end)
            os.ftruncate(self._file, self._end)
            os.fsync(self._file)
        self._read_at = _HEAD.size
        log.info("receipt journal found", receipts=self.waiting, bytes=self._end)

    def _write(self, encoded: bytearray) -> None:
        if self._file < 0:
            self._create()
        try:
            _write_at(self._file, encoded, self._end)
            os.fdatasync(self._file)
        except OSError:
            os.ftruncate(self._file, self._end)
            raise
        self._end += len(encoded)

    def _create(self) -> None:
        journal_id = uuid4()
        head = _HEAD.pack(MAGIC, journal_id.bytes, 0)[:-4]
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write_at(file, head + struct.pack(">I", zlib.crc32(head)), 0)
            os.fsync(file)
            _sync_folder(self.path.parent)
        except OSError:
            os.close(file)
            self.path.unlink(missing_ok=True)
            raise
        self._file, self.journal_id = file, journal_id
        self._end = self._read_at = _HEAD.size

    def _take(self, end: int, most: int) -> list[Record]:
        taken: list[Record] = []
        count = 0
        if self._file < 0:
            return taken
        for record, at in _records(self._file, self._read_at, end):
            taken.append(record)
            self._read_at = at
            count += record.entry.receipts.count
            if count >= most:
                break
        return taken


def _records(file: int, start: int, end: int) -> Iterator[tuple[Record, int]]:
    """Whole records and where each ends. A damaged stretch with whole records behind it is stepped over."""
    at = start
    while at < end:
        found = _record_at(file, at, end)
        if found is None:
            after = _next_whole(file, at + 1, end)
            if after is None:
                return
            log.error("receipt journal damaged", at=at, bytes=after - at)
            at = after
            continue
        yield found
        at = found[1]


def _record_at(file: int, at: int, end: int) -> tuple[Record, int] | None:
    head = os.pread(file, _RECORD.size, at)
    if len(head) < _RECORD.size:
        return None
    magic, length, crc = _RECORD.unpack(head)
    if magic != RECORD or length > MOST_BODY or at + _RECORD.size + length > end:
        return None
    body = os.pread(file, length, at + _RECORD.size)
    if len(body) < length or zlib.crc32(body) != crc:
        return None
    return _decode(body), at + _RECORD.size + length


def _next_whole(file: int, at: int, end: int) -> int | None:
    while at < end:
        block = os.pread(file, min(_BLOCK, end - at), at)
        found = block.find(RECORD)
        if found >= 0:
            if _record_at(file, at + found, end) is not None:
                return at + found
            at += found + 1
        elif len(block) < len(RECORD):
            return None
        else:
            at += len(block) - len(RECORD) + 1
    return None


def _encode(record: Record) -> bytes:
    entry = record.entry
    receipts = entry.receipts
    body = bytearray(
        _BODY.pack(
            record.number, entry.account_id, entry.received_us, entry.worker_id, entry.commit, receipts.count
        )
    )
    for name in _COLUMNS:
        column = getattr(receipts, name)
        octets = column.tobytes() if isinstance(column, array) else bytes(column)
        body += struct.pack(">I", len(octets)) + octets
    return _RECORD.pack(RECORD, len(body), zlib.crc32(body)) + bytes(body)


def _decode(body: bytes) -> Record:
    number, account_id, received_us, worker_id, commit, count = _BODY.unpack_from(body)
    receipts, at = ReceiptBatch(count=count), _BODY.size
    for name in _COLUMNS:
        if at >= len(body):  # written before this column was
            break
        (length,) = struct.unpack_from(">I", body, at)
        octets = body[at + 4 : at + 4 + length]
        at += 4 + length
        column = getattr(receipts, name)
        if isinstance(column, array):
            column.frombytes(octets)
        else:
            column += octets
    return Record(number, Entry(account_id, received_us, receipts, worker_id, commit))


def _write_at(file: int, octets: bytes | bytearray, at: int) -> None:
    view = memoryview(octets)
    while view:
        written = os.pwrite(file, view, at)
        view, at = view[written:], at + written


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
