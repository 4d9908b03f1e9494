"""submit_sm batches and the stream of what comes back. `engine._fast.pure.pdu` says what each means."""

from array import array
from collections.abc import Sequence

from typing_extensions import Buffer

from engine._fast.columns import EncodedBatch, ParsedBatch
from engine._fast.repertoire import Repertoire
from engine._fast.text import Column, Template

MAX_SEQUENCE: int
MAX_PDU: int

def next_sequence(sequence: int) -> int: ...
def part_reference(slice_id: int, row: int) -> int: ...

class SubmitEncoder:
    @property
    def template(self) -> Template: ...
    @property
    def max_parts(self) -> int: ...
    @property
    def repertoire(self) -> Repertoire | None: ...
    @property
    def validity_period(self) -> bytes: ...
    @validity_period.setter
    def validity_period(self, validity_period: bytes) -> None: ...
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
    ) -> None: ...
    def encode(
        self,
        msisdn: Buffer,
        columns: Sequence[Column],
        rows: array[int],
        row_base: int,
        slice_id: int,
        first_sequence: int,
        row_ids: array[int] | None = None,
    ) -> EncodedBatch: ...

def take(batch: EncodedBatch, indices: array[int], first_sequence: int) -> EncodedBatch: ...

class StreamParser:
    def __init__(self) -> None: ...
    def feed(self, data: bytes) -> ParsedBatch: ...

def deliver_responses(sequence: array[int], command: array[int], status: int = 0) -> bytearray: ...
