"""Recent SMSC message ids. `engine._fast.pure.recent` says what each method means."""

from array import array
from collections.abc import Mapping

from engine._fast.columns import MatchBatch, ReceiptBatch, ResultBatch

class RecentIds:
    @property
    def capacity(self) -> int: ...
    def __init__(self, capacity: int) -> None: ...
    def __len__(self) -> int: ...
    def put(
        self,
        results: ResultBatch,
        outcome: array[int],
        account_id: int,
        campaign: int | Mapping[int, int],
        base: int = 0,
    ) -> int: ...
    def match(self, receipts: ReceiptBatch, account_id: int, base: int = 0) -> MatchBatch: ...
