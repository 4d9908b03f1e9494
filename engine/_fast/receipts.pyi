"""deliver_sm and data_sm read in C. `engine._fast.pure.receipts` says what each dialect means."""

from array import array

from typing_extensions import Buffer

from engine._fast.columns import ReceiptBatch

def parse(data: Buffer, start: array[int], end: array[int], prefer_text: bool = False) -> ReceiptBatch: ...
def delivered_at(
    done_s: array[int],
    done_raw: bytes | bytearray,
    done_raw_end: array[int],
    sent_s: array[int],
    received_us: int,
    offset_s: int,
) -> array[int]: ...
