"""Plain-Python twin of `engine._fast.tally`: what the C tally means."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from engine._fast.columns import ACCEPTED, DEFERRED, DOUBT, FAILED, ClaimUpdate, EncodedBatch, ResultBatch

_CLOSES = (ACCEPTED, FAILED, DOUBT, DEFERRED)


@dataclass(slots=True)
class _Message:
    row: int
    open_parts: int = 0
    accepted: int = 0
    failed: bool = False
    doubt: bool = False
    deferred: bool = False
    touched: bool = False  # some part had an outcome, even RETRY: it was sent


@dataclass(slots=True)
class _Claim:
    message_of: list[_Message] = field(default_factory=list)  # by index of the PDU
    done: bytearray = field(default_factory=bytearray)  # by index of the PDU: its outcome is final
    messages: list[_Message] = field(default_factory=list)
    open_rows: int = 0


class Tally:
    """Outcomes of the messages in open claims, from the outcomes of their parts."""

    def __init__(self) -> None:
        self._claims: dict[int, _Claim] = {}

    def __len__(self) -> int:
        """Claims with an open row."""
        return len(self._claims)

    def open_rows(self, claim: int) -> int:
        """Rows of the claim whose outcome is not known; 0 when the claim is closed."""
        found = self._claims.get(claim)
        return found.open_rows if found else 0

    def open(self, claim: int, batch: EncodedBatch) -> int:
        """Begins to follow a claim's PDUs (parts of a row stand together); returns its open rows.

        A batch without PDUs is closed at once: 0. Raises ValueError if the handle is open already.
        """
        if claim in self._claims:
            raise ValueError(f"claim {claim} is open already")
        followed = _Claim(done=bytearray(batch.count))
        for i in range(batch.count):
            if i == 0 or batch.row[i] != batch.row[i - 1]:
                followed.messages.append(_Message(batch.row[i]))
                followed.open_rows += 1
            followed.messages[-1].open_parts += 1
            followed.message_of.append(followed.messages[-1])
        if followed.open_rows:
            self._claims[claim] = followed
        return followed.open_rows

    def apply(self, results: ResultBatch, outcome: array[int]) -> list[ClaimUpdate]:
        """Counts the messages whose last part got its outcome, one update for each claim touched.

        All parts accepted: sent. None accepted and one failed: failed. Some accepted and one failed:
        undelivered. Otherwise, with one in doubt: in doubt. With one DEFERRED: deferred, whatever the other
        parts are. RETRY and THROTTLED leave a part open; late results, unknown claims and a part's second
        final outcome are ignored. A claim without open rows is closed and no longer followed. Raises
        ValueError if the outcomes are not one a result.
        """
        if len(outcome) != results.count:
            raise ValueError("one outcome for each result")
        updates: dict[int, ClaimUpdate] = {}
        for i in range(results.count):
            number, index, code = results.claim[i], results.index[i], outcome[i]
            claim = self._claims.get(number)
            if claim is None or results.late[i] or not 0 <= index < len(claim.done):
                continue
            update = updates.setdefault(number, ClaimUpdate(number))
            message = claim.message_of[index]
            message.touched = True
            if claim.done[index] or message.open_parts < 0 or code not in _CLOSES:
                continue
            claim.done[index] = 1
            message.open_parts -= 1
            if code == ACCEPTED:
                message.accepted += 1
                update.accepted_parts += 1
            elif code == FAILED:
                message.failed = True
            elif code == DOUBT:
                message.doubt = True
            else:
                message.deferred = True
            if message.open_parts == 0:
                _count(message, update)
                claim.open_rows -= 1
                if claim.open_rows == 0:
                    update.closed = True
                    del self._claims[number]
        return list(updates.values())

    def release(self, claim: int, from_row: int) -> int:
        """Drops the rows from `from_row` on that had no outcome of any kind; returns how many.

        The caller answers for their never having been written. `open_rows` tells if that closed the claim.
        """
        found = self._claims.get(claim)
        if found is None:
            return 0
        dropped = 0
        for message in found.messages:
            if message.row >= from_row and message.open_parts > 0 and not message.touched:
                message.open_parts = -1
                dropped += 1
        found.open_rows -= dropped
        if found.open_rows == 0:
            del self._claims[claim]
        return dropped


def _count(message: _Message, update: ClaimUpdate) -> None:
    if message.deferred:
        update.deferred += 1
    elif not message.failed and not message.doubt:
        update.sent += 1
    elif message.failed and message.accepted:
        update.undelivered += 1
    elif message.failed:
        update.failed += 1
    else:
        update.in_doubt += 1
