"""Plain-Python twin of `engine._fast.pdu`: what the C functions mean."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from engine._fast.columns import (
    REJECT_CHARACTERS,
    REJECT_EMPTY,
    REJECT_NUMBER,
    REJECT_TOO_LONG,
    EncodedBatch,
    ParsedBatch,
)
from engine._fast.forms import PAYLOAD, SAR
from engine._fast.pure.repertoire import Repertoire, header, pack, user_data
from engine._fast.pure.text import ENCODING_GSM, Template, encode, split, texts

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from engine._fast.pure.text import Column

SUBMIT_SM = 0x00000004
SUBMIT_SM_RESP = 0x80000004
DELIVER_SM = 0x00000005
DATA_SM = 0x00000103

HEADER = struct.Struct(">IIII")
_SAR = struct.Struct(">HHHHHBHHB")  # sar_msg_ref_num, sar_total_segments, sar_segment_seqnum
MAX_SEQUENCE = 0x7FFFFFFF
MAX_PDU = 64 * 1024


def next_sequence(sequence: int) -> int:
    """The sequence_number after this one: 1 follows 0x7FFFFFFF (SMPP 3.4 §5.1.4)."""
    return 1 if sequence == MAX_SEQUENCE else sequence + 1


def part_reference(slice_id: int, row: int) -> int:
    """The concatenation reference of a row, 16 bits: the same on every retry, spread over neighbours."""
    mask = 2**64 - 1
    mixed = (slice_id * 0x9E3779B97F4A7C15 + row) & mask
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & mask
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
    return (mixed ^ (mixed >> 31)) & 0xFFFF


def _check_sequence(sequence: int) -> None:
    if not 1 <= sequence <= MAX_SEQUENCE:
        raise ValueError("a sequence_number is from 1 to 0x7FFFFFFF")


class _Body(NamedTuple):
    """What differs between the PDUs of one message."""

    esm_class: int
    data_coding: int
    short_message: bytes = b""
    tlvs: bytes = b""


class SubmitEncoder:
    """Writes a claim's submit_sm PDUs (SMPP 3.4 §4.4.1) from the columns of a recipient chunk.

    Without `repertoire`, a message in the GSM alphabet goes unpacked with `gsm_data_coding`, any other as
    UCS-2 with `ucs2_data_coding`; one of several parts carries an 8-bit concatenation header. With one, each
    message takes the cheapest of its forms, and several parts go out as its `splitting` says. esm_class is
    0x40 wherever there is a user data header. `tlvs` end every PDU. `validity_period` may be set between
    batches. Raises ValueError for a field that does not fit the PDU.
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
        ucs2_data_coding: int = 8,
        repertoire: Repertoire | None = None,
        tlvs: bytes = b"",
    ) -> None:
        for name, text, most in (
            ("source", source, 20),
            ("service_type", service_type, 32),
            ("validity_period", validity_period, 16),
        ):
            if len(text) > most or 0 in text:
                raise ValueError(f"{name} has at most {most} octets and no NUL")
        if not 1 <= max_parts <= 255:
            raise ValueError("max_parts is from 1 to 255")
        if len(tlvs) > 1024:
            raise ValueError("tlvs has at most 1024 octets")
        self.template = template
        self.max_parts = max_parts
        self._head = service_type + b"\0" + bytes((source_ton, source_npi)) + source + b"\0"
        self._head += bytes((dest_ton, dest_npi))
        self._flags = bytes((protocol_id, priority)) + b"\0"
        self.validity_period = validity_period
        self._registered_delivery = bytes((registered_delivery, 0))
        self._gsm_data_coding = gsm_data_coding
        self._ucs2_data_coding = ucs2_data_coding
        self.repertoire = repertoire
        self._tlvs = tlvs

    @property
    def validity_period(self) -> bytes:
        return self._validity_period

    @validity_period.setter
    def validity_period(self, validity_period: bytes) -> None:
        if len(validity_period) > 16 or 0 in validity_period:
            raise ValueError("validity_period has at most 16 octets and no NUL")
        self._validity_period = validity_period

    def encode(
        self,
        msisdn: Buffer,
        columns: Sequence[Column],
        rows: array[int],
        row_base: int,
        slice_id: int,
        first_sequence: int,
        row_ids: array[int] | None = None,
    ) -> EncodedBatch:
        """PDUs of `rows` (int32, rows of the chunk; `msisdn` int64 and `columns` as for `text.render`).

        The batch's `row` is row_base + the position in `rows`. The reference of a message's parts is that of
        (slice_id, its row), or with `row_ids` (int32, one for each of `rows`) of (slice_id, its id): a retry
        gives what the first attempt had. Raises as `text.render` does, ValueError for a bad first_sequence or
        too few row_ids, OverflowError above 2 GiB.
        """
        _check_sequence(first_sequence)
        if row_ids is not None and len(row_ids) < len(rows):
            raise ValueError("a column is shorter than its batch")
        numbers = memoryview(msisdn).cast("B").cast("q")
        batch, sequence = EncodedBatch(), first_sequence
        if self.repertoire is not None and self.repertoire.splitting == PAYLOAD:
            batch.billed = array("h")
        messages = texts(self.template, columns, rows)
        for position, (chunk_row, text) in enumerate(zip(rows, messages, strict=True)):
            if not 0 <= chunk_row < len(numbers):
                raise IndexError(f"row {chunk_row} is outside the chunk")
            row, number = row_base + position, numbers[chunk_row]
            reference = part_reference(slice_id, row if row_ids is None else row_ids[position])
            bodies, billed = self._bodies(text, reference)
            code = REJECT_TOO_LONG if billed > self.max_parts else 0 if bodies else REJECT_EMPTY
            if billed < 0:
                code = REJECT_CHARACTERS
            if number <= 0:
                code = REJECT_NUMBER
            if code:
                batch.rejected.append(row)
                batch.reject_code.append(code)
                continue
            for part, body in enumerate(bodies, 1):
                self._append(batch, sequence, number, body)
                batch.row.append(row)
                batch.part.append(part)
                batch.parts.append(len(bodies))
                batch.msisdn.append(number)
                if batch.billed is not None:
                    batch.billed.append(billed if len(bodies) == 1 else 1)
                sequence = next_sequence(sequence)
        return batch

    def _bodies(self, text: str, reference: int) -> tuple[list[_Body], int]:
        """What differs from PDU to PDU of a message, and the parts it is charged for: -1 for characters that
        are rejected. Nothing differs where there are too many parts."""
        if self.repertoire is None:
            encoding, octets = encode(text)
            coding = self._gsm_data_coding if encoding == ENCODING_GSM else self._ucs2_data_coding
            pieces = split(encoding, octets)
            if len(pieces) < 2:
                return [_Body(0, coding, piece) for piece in pieces], len(pieces)
            if len(pieces) > self.max_parts:
                return [], len(pieces)
            head = bytes((5, 0, 3, reference & 0xFF, len(pieces)))
            return [
                _Body(0x40, coding, head + bytes([part]) + piece) for part, piece in enumerate(pieces, 1)
            ], len(pieces)
        written = self.repertoire.write(text)
        if written is None:
            return [], -1
        form, pieces, splitting = written.form, list(written.pieces), self.repertoire.splitting
        if len(pieces) > self.max_parts:
            return [], len(pieces)
        if len(pieces) > 1 and splitting == PAYLOAD:
            whole = b"".join(pieces)
            whole = pack(whole, 0) if form.packed else whole
            payload = b"\x04\x24" + len(whole).to_bytes(2, "big") + whole
            return [_Body(0, form.data_coding, tlvs=payload)], len(pieces)
        bodies = []
        for part, piece in enumerate(pieces, 1):
            head = header(form, splitting, reference, len(pieces), part)
            sar = b""
            if len(pieces) > 1 and splitting == SAR:
                sar = _SAR.pack(0x020C, 2, reference, 0x020E, 1, len(pieces), 0x020F, 1, part)
            message = user_data(form, head, piece)
            bodies.append(_Body(0x40 if head else 0, form.data_coding, message, tlvs=sar))
        return bodies, len(pieces)

    def _append(self, batch: EncodedBatch, sequence: int, number: int, this: _Body) -> None:
        body = b"%b%d\0%c%b%b\0%b%c\0%c%b%b%b" % (
            self._head,
            number,
            this.esm_class,
            self._flags,
            self.validity_period,
            self._registered_delivery,
            this.data_coding,
            len(this.short_message),
            this.short_message,
            this.tlvs,
            self._tlvs,
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
    if batch.billed is not None:
        taken.billed = array("h", [batch.billed[index] for index in indices if 0 <= index < batch.count])
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
