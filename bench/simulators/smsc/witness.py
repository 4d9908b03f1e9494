"""The witness: what the simulated SMSC accepted, on disk before its answer leaves.

A file of 72-octet records after a 72-octet head; little-endian: unix time in us (8), message id (8),
fingerprint of the text (8), concatenation reference (2), part (1), parts (1), data_coding (1), esm_class (1),
lengths of source and destination (1 + 1), source (20), destination (20). A batch is one appending write(),
so it outlives a kill of the simulator; a torn last record is ignored and cut at the next start.
"""

import os
import struct
import sys
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

RECORD = struct.Struct("<qQQHBBBBBB20s20s")
RECEIPT = struct.Struct("<QiB3x")
HEAD = b"HELIOGRAPH WITNESS 1\n".ljust(RECORD.size, b"\0")
KEY_START = 16  # behind time and id: what makes two accepted parts the same
DESTINATION_START = 52
_BLOCK = RECORD.size * 65536
_KEYS_AT_ONCE = 2_000_000


class NotAWitnessError(ValueError):
    """The file does not begin with a witness's head."""


class Accepted(NamedTuple):
    """One accepted part. `time_us` is unix time in microseconds."""

    time_us: int
    number: int
    fingerprint: int
    reference: int
    part: int
    parts: int
    data_coding: int
    esm_class: int
    source: str
    destination: str


@dataclass(frozen=True, slots=True)
class Counts:
    """`parts` accepted, `duplicates` of them accepted again; `messages` and `destinations` are distinct."""

    parts: int
    duplicates: int
    messages: int
    destinations: int
    first_us: int | None
    last_us: int | None

    def as_dict(self) -> dict[str, int | None]:
        return asdict(self)


class WitnessFile:
    """Appends records; raises NotAWitnessError for a file that is something else."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        size = os.fstat(self._file).st_size
        if size < RECORD.size:
            os.ftruncate(self._file, 0)
            self._write(HEAD)
        elif os.pread(self._file, len(HEAD), 0) != HEAD:
            os.close(self._file)
            raise NotAWitnessError(f"{path} is not a witness file")
        else:
            os.ftruncate(self._file, size - size % RECORD.size)

    def append(self, records: bytes) -> None:
        self._write(records)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]

    def close(self) -> None:
        os.close(self._file)


class Acknowledged(NamedTuple):
    """A receipt that was answered with status 0: its message id as a number, account and verdict."""

    number: int
    account: int
    verdict: int


class ReceiptFile:
    """Appends acknowledged receipts: 16-octet records, nothing else."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def append(self, records: bytes) -> None:
        if records:
            self._file.write(records)

    def close(self) -> None:
        self._file.close()


def acknowledged(path: Path) -> Iterator[Acknowledged]:
    """Every acknowledged receipt, in order."""
    data = path.read_bytes() if path.exists() else b""
    for fields in RECEIPT.iter_unpack(data[: len(data) - len(data) % RECEIPT.size]):
        yield Acknowledged._make(fields)


def _blocks(path: Path, parts: int | None = None) -> Iterator[bytes]:
    """Whole records, in blocks; at most `parts` of them."""
    left = parts if parts is not None else sys.maxsize
    with path.open("rb") as file:
        if file.read(len(HEAD)) != HEAD:
            raise NotAWitnessError(f"{path} is not a witness file")
        while left and (block := file.read(min(_BLOCK, left * RECORD.size))):
            left -= len(block) // RECORD.size
            yield block[: len(block) - len(block) % RECORD.size]


def records(path: Path) -> Iterator[Accepted]:
    """Every accepted part, in order."""
    for block in _blocks(path):
        for fields in RECORD.iter_unpack(block):
            source, destination = fields[10][: fields[8]], fields[11][: fields[9]]
            yield Accepted._make((*fields[:8], source.decode("latin-1"), destination.decode("latin-1")))


def read(path: Path | str) -> Counts:
    """Counts a witness file, also while it grows. Raises NotAWitnessError, FileNotFoundError."""
    path = Path(path)
    parts = max(0, path.stat().st_size - len(HEAD)) // RECORD.size
    passes = max(1, -(-parts // _KEYS_AT_ONCE))  # the keys of one pass fit in memory
    distinct = messages = destinations = 0
    for turn in range(passes):
        keys = _distinct(path, parts, KEY_START, passes, turn)
        distinct += len(keys)
        messages += sum(1 for key in keys if key[10] <= 1)  # first parts
        keys.clear()
        destinations += len(_distinct(path, parts, DESTINATION_START, passes, turn))
    first_us, last_us = _times(path, parts)
    return Counts(parts, parts - distinct, messages, destinations, first_us, last_us)


def _distinct(path: Path, parts: int, start: int, passes: int, turn: int) -> set[bytes]:
    """Different values of a record's octets from `start` on, of the share of them that is `turn`'s."""
    size = RECORD.size
    found: set[bytes] = set()
    for block in _blocks(path, parts):
        values = (block[i + start : i + size] for i in range(0, len(block), size))
        found.update(values if passes == 1 else (v for v in values if zlib.crc32(v) % passes == turn))
    return found


def _times(path: Path, parts: int) -> tuple[int | None, int | None]:
    first_us: int | None = None
    last_us: int | None = None
    for block in _blocks(path, parts):
        times = [fields[0] for fields in RECORD.iter_unpack(block)]
        first_us = min(times) if first_us is None else min(first_us, *times)
        last_us = max(times) if last_us is None else max(last_us, *times)
    return first_us, last_us
