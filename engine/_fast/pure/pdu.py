"""Plain-Python twin of `engine._fast.pdu`: what the C functions mean."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine._fast.columns import (
    REJECT_EMPTY,
    REJECT_NUMBER,
    REJECT_TOO_LONG,
    EncodedBatch,
    ParsedBatch,
)
from engine._fast.pure.text import ENCODING_GSM, Template, encode, split, texts

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from engine._fast.pure.text import Column

SUBMIT_SM = 0x00000004
SUBMIT_SM_RESP = 0x80000004
DELIVER_SM = 0x00000005
DATA_SM = 0x00000103

HEADER = struct.Struct(">IIII")
MAX_SEQUENCE = 0x7FFFFFFF
MAX_PDU = 64 * 1024


def next_sequence(sequence: int) -> int:
    """The sequence_number after this one: 1 follows 0x7FFFFFFF (SMPP 3.4 §5.1.4)."""
    return 1 if sequence == MAX_SEQUENCE else sequence + 1


def part_reference(slice_id: int, row: int) -> int:
    """The 8-bit concatenation reference of a row: the same on every retry, spread over neighbours."""
    mask = 2**64 - 1
    mixed = (slice_id * 0x9E3779B97F4A7C15 + row) & mask
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & mask
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
    return (mixed ^ (mixed >> 31)) & 0xFF


def _check_sequence(sequence: int) -> None:
    if not 1 <= sequence <= MAX_SEQUENCE:
        raise ValueError("a sequence_number is from 1 to 0x7FFFFFFF")


class SubmitEncoder:
    """Writes a claim's submit_sm PDUs (SMPP 3.4 §4.4.1) from the columns of a recipient chunk.

    A message in the GSM alphabet goes unpacked with `gsm_data_coding`, any other as UCS-2 (data_coding 8);
    one of several parts carries an 8-bit concatenation header and esm_class 0x40. Raises ValueError for a
    field that does not fit the PDU.
    """

    def __init__(
        self,
        *,
        template: Template,
        source: bytes,
        source_ton: int,
        source_npi: int,
        dest_ton: int = 1,
        dest_npi: int = 1,
        service_type: bytes = b"",
        protocol_id: int = 0,
        priority: int = 0,
        registered_delivery: int = 1,
        validity_period: bytes = b"",
        max_parts: int = 10,
        gsm_data_coding: int = 0,
    ) -> None:
        for name, text, most in (
            ("source", source, 20),
            ("service_type", service_type, 5),
            ("validity_period", validity_period, 16),
        ):
            if len(text) > most or 0 in text:
                raise ValueError(f"{name} has at most {most} octets and no NUL")
        if not 1 <= max_parts <= 255:
            raise ValueError("max_parts is from 1 to 255")
        self.template = template
        self.max_parts = max_parts
        self._head = service_type + b"\0" + bytes((source_ton, source_npi)) + source + b"\0"
        self._head += bytes((dest_ton, dest_npi))
        self._flags = bytes((protocol_id, priority)) + b"\0" + validity_period + b"\0"
        self._flags += bytes((registered_delivery, 0))
        self._gsm_data_coding = bytes((gsm_data_coding,))

    def encode(
        self,
        msisdn: Buffer,
        columns: Sequence[Column],
        rows: array[int],
        row_base: int,
        slice_id: int,
        first_sequence: int,
    ) -> EncodedBatch:
        """PDUs of `rows` (int32, rows of the chunk; `msisdn` int64 and `columns` as for `text.render`).

        The batch's `row` is row_base + the position in `rows`. Raises as `text.render` does, ValueError for a
        bad first_sequence, OverflowError above 2 GiB.
        """
        _check_sequence(first_sequence)
        numbers = memoryview(msisdn).cast("B").cast("q")
        batch, sequence = EncodedBatch(), first_sequence
        messages = texts(self.template, columns, rows)
        for position, (chunk_row, text) in enumerate(zip(rows, messages, strict=True)):
            if not 0 <= chunk_row < len(numbers):
                raise IndexError(f"row {chunk_row} is outside the chunk")
            row, number = row_base + position, numbers[chunk_row]
            encoding, octets = encode(text)
            pieces = split(encoding, octets)
            code = REJECT_TOO_LONG if len(pieces) > self.max_parts else 0 if pieces else REJECT_EMPTY
            if number <= 0:
                code = REJECT_NUMBER
            if code:
                batch.rejected.append(row)
                batch.reject_code.append(code)
                continue
            reference = part_reference(slice_id, row)
            for part, piece in enumerate(pieces, 1):
                udh = bytes((5, 0, 3, reference, len(pieces), part)) if len(pieces) > 1 else b""
                self._append(batch, sequence, number, encoding, udh + piece, bool(udh))
                batch.row.append(row)
                batch.part.append(part)
                batch.parts.append(len(pieces))
                batch.msisdn.append(number)
                sequence = next_sequence(sequence)
        return batch

    def _append(
        self, batch: EncodedBatch, sequence: int, number: int, encoding: int, message: bytes, udhi: bool
    ) -> None:
        body = b"%b%d\0%c%b%b\0%c%b" % (
            self._head,
            number,
            0x40 if udhi else 0,
            self._flags,
            self._gsm_data_coding if encoding == ENCODING_GSM else b"\x08",
            len(message),
            message,
        )
        batch.pdus += HEADER.pack(HEADER.size + len(body), SUBMIT_SM, 0, sequence) + body
        batch.end.append(len(batch.pdus))
        batch.sequence.append(sequence)
        batch.count += 1


def take(batch: EncodedBatch, indices: array[int], first_sequence: int) -> EncodedBatch:
    """A batch of these PDUs alone, with new sequence numbers; row, part and text stay. For short retries.

    Raises IndexError for an index outside the batch.
    """
    _check_sequence(first_sequence)
    taken, sequence = EncodedBatch(), first_sequence
    for index in indices:
        if not 0 <= index < batch.count:
            raise IndexError(f"PDU {index} is outside the batch")
        start = batch.end[index - 1] if index else 0
        pdu = batch.pdus[start : batch.end[index]]
        pdu[12:16] = sequence.to_bytes(4, "big")
        taken.pdus += pdu
        taken.end.append(len(taken.pdus))
        taken.row.append(batch.row[index])
        taken.part.append(batch.part[index])
        taken.parts.append(batch.parts[index])
        taken.msisdn.append(batch.msisdn[index])
        taken.sequence.append(sequence)
        taken.count += 1
        sequence = next_sequence(sequence)
    return taken


class StreamParser:
    """Cuts what a socket reads into PDUs; any chunking of a stream gives the same PDUs.

    A command_length under 16 or above 64 KiB is fatal: the stream cannot be followed any further. It is
    judged once a whole header is there, so that `fatal_sequence` is known for the generic_nack.
    """

    def __init__(self) -> None:
        self._tail = b""
        self._fatal: str | None = None
        self._fatal_sequence = 0

    def feed(self, data: bytes) -> ParsedBatch:
        """The PDUs that `data` completes. After a fatal length, nothing but that length again."""
        if self._fatal is not None:
            return ParsedBatch(fatal=self._fatal, fatal_sequence=self._fatal_sequence)
        data = self._tail + data
        batch, start = ParsedBatch(), 0
        while len(data) - start >= HEADER.size:
            length, command, status, sequence = HEADER.unpack_from(data, start)
            if not HEADER.size <= length <= MAX_PDU:
                limit = "below 16" if length < HEADER.size else "above 65536"
                batch.fatal = self._fatal = f"command_length {length} is {limit}"
                batch.fatal_sequence = self._fatal_sequence = sequence
                break
            if len(data) - start < length:
                break
            stop = start + length
            if command == SUBMIT_SM_RESP:
                batch.resp_sequence.append(sequence)
                batch.resp_status.append(status)
                batch.resp_ids += data[start + HEADER.size : stop].split(b"\0", 1)[0]
                batch.resp_id_end.append(len(batch.resp_ids))
            elif command in (DELIVER_SM, DATA_SM):
                batch.deliver_start.append(start)
                batch.deliver_end.append(stop)
            else:
                batch.other_start.append(start)
                batch.other_end.append(stop)
            start = stop
        batch.data = data[:start]
        self._tail = b"" if batch.fatal else data[start:]
        return batch


def deliver_responses(sequence: array[int], command: array[int], status: int = 0) -> bytearray:
    """The responses to deliver_sm and data_sm, 17 octets each with an empty message_id (SMPP 3.4 §4.6.2).

    Raises ValueError if the columns differ in length.
    """
    out = bytearray()
    for number, request in zip(sequence, command, strict=True):
        out += HEADER.pack(17, request | 0x80000000, status, number) + b"\0"
    return out
