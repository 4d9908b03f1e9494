"""Plain-Python twin of `engine._fast.window`: what the C window means."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

from engine._fast.columns import (
    STATUS_LOST,
    STATUS_TIMEOUT,
    EncodedBatch,
    ParsedBatch,
    ResultBatch,
)


@dataclass(slots=True)
class _Slot:
    claim: int
    index: int
    slice_id: int
    row: int
    part: int
    parts: int
    attempt: int
    msisdn: int
    sent_us: int
    reported: bool = False


class Window:
    """What a bind has in flight: at most `size` submit_sm without a response.

    A part without a response in time is reported once (`expire`), and still counts: its late response
    resolves it, or `forget_before` gives it up. Raises ValueError for a size under 1 or above 2^20.
    """

    def __init__(self, size: int) -> None:
        if not 1 <= size <= 2**20:
            raise ValueError("a window holds from 1 to 2^20 PDUs")
        self.size = size
        self.unknown = 0  # responses that fitted nothing in flight
        self._slots: dict[int, _Slot] = {}  # by sequence_number, in the order of registration

    @property
    def in_flight(self) -> int:
        return len(self._slots)

    @property
    def free(self) -> int:
        return self.size - len(self._slots)

    @property
    def oldest_us(self) -> int:
        """When the oldest part not yet reported was sent, unix microseconds; -1 without one."""
        return min((s.sent_us for s in self._slots.values() if not s.reported), default=-1)

    def register(
        self,
        batch: EncodedBatch,
        start: int,
        stop: int,
        slice_id: int,
        attempt: int,
        claim: int,
        now_us: int,
        index: array[int] | None = None,
    ) -> None:
        """Takes PDUs start..stop of the batch into the window, before their bytes are written.

        `claim` is the caller's handle (int32); `index[i]`, default i, is PDU i's position in the claim's own
        batch. Raises IndexError outside the batch, ValueError if the window has no room or a sequence_number
        is in flight already; nothing is registered then.
        """
        if not 0 <= start <= stop <= batch.count:
            raise IndexError("PDUs outside the batch")
        if index is not None and len(index) < stop:
            raise IndexError("index is shorter than the batch")
        if stop - start > self.free:
            raise ValueError(f"{stop - start} PDUs do not fit a window with {self.free} free")
        sequences = batch.sequence[start:stop]
        if len(set(sequences)) < len(sequences) or any(s in self._slots for s in sequences):
            raise ValueError("a sequence_number is in flight already")
        for i in range(start, stop):
            self._slots[batch.sequence[i]] = _Slot(
                claim,
                i if index is None else index[i],
                slice_id,
                batch.row[i],
                batch.part[i],
                batch.parts[i],
                attempt,
                batch.msisdn[i],
                now_us,
            )

    def resolve(self, parsed: ParsedBatch, now_us: int) -> ResultBatch:
        """The results of the submit_sm_resp in a parsed batch, in their order; others add to `unknown`."""
        results = ResultBatch()
        start = 0
        for sequence, status, stop in zip(
            parsed.resp_sequence, parsed.resp_status, parsed.resp_id_end, strict=True
        ):
            slot = self._slots.pop(sequence, None)
            if slot is None:
                self.unknown += 1
            else:
                _append(results, slot, status, now_us, parsed.resp_ids[start:stop])
            start = stop
        return results

    def resolve_one(self, sequence: int, status: int, now_us: int) -> ResultBatch:
        """The result of one part, for a generic_nack: no row if the sequence_number is unknown."""
        results = ResultBatch()
        slot = self._slots.pop(sequence, None)
        if slot is None:
            self.unknown += 1
        else:
            _append(results, slot, status, now_us)
        return results

    def expire(self, before_us: int, now_us: int = -1) -> ResultBatch:
        """STATUS_TIMEOUT for what was sent before `before_us` and not yet reported; it stays in the window.

        `now_us` is the results' done_us (default: `before_us`). Rows are in the order of registration.
        """
        results = ResultBatch()
        for slot in self._slots.values():
            if slot.sent_us < before_us and not slot.reported:
                _append(results, slot, STATUS_TIMEOUT, before_us if now_us < 0 else now_us)
                slot.reported = True
        return results

    def forget_before(self, before_us: int) -> int:
        """Frees the places of reported parts sent before `before_us`; returns how many."""
        gone = [key for key, s in self._slots.items() if s.reported and s.sent_us < before_us]
        for key in gone:
            del self._slots[key]
        return len(gone)

    def drain(self, now_us: int) -> ResultBatch:
        """STATUS_LOST for all not yet reported, in the order of registration; the window is empty then."""
        results = ResultBatch()
        for slot in self._slots.values():
            if not slot.reported:
                _append(results, slot, STATUS_LOST, now_us)
        self._slots.clear()
        return results


def _append(results: ResultBatch, slot: _Slot, status: int, now_us: int, id_: Iterable[int] = b"") -> None:
    results.count += 1
    results.claim.append(slot.claim)
    results.index.append(slot.index)
    results.slice_id.append(slot.slice_id)
    results.row.append(slot.row)
    results.part.append(slot.part)
    results.parts.append(slot.parts)
    results.attempt.append(slot.attempt)
    results.msisdn.append(slot.msisdn)
    results.status.append(status)
    results.sent_us.append(slot.sent_us)
    results.done_us.append(now_us)
    results.late.append(1 if slot.reported else 0)
    results.ids += bytes(id_)
    results.id_end.append(len(results.ids))
