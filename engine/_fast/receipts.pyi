from array import array

from typing_extensions import Buffer

from engine._fast.columns import ReceiptBatch

def parse(data: Buffer, start: array[int], end: array[int]) -> ReceiptBatch: ...
