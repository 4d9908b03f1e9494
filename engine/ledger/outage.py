"""Receipts while the database is away: to the journal, then acknowledged; replayed when it is back."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from engine.core_api import schema
from engine.ledger.intake import OK, RX_T_APPN, Answer
from engine.ledger.journal import Entry, Journal, JournalFull

log = structlog.get_logger(__name__)

REPLAY_ROWS = 20_000  # receipts of one commit


@dataclass(slots=True)
class _Queued:
    entries: list[Entry]
    answers: list[Answer]
    refuse: bool  # where the journal is full; else they are in a commit that will answer


class Outage:
    """`active`: live receipts go to the journal, until all of it is replayed."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.active = not journal.drained
        self.refused = 0  # receipts, since the start
        self._queue: list[_Queued] = []
        self._writing: asyncio.Task[None] | None = None
        self._full = False

    @property
    def idle(self) -> bool:
        """Nothing is being written or waits for it."""
        return self._writing is None

    def put(self, entries: Iterable[Entry], answers: Iterable[Answer], *, refuse: bool) -> None:
        """Write them soon; answered after the fsync, or with ESME_RX_T_APPN where nothing more fits."""
        self._queue.append(_Queued(list(entries), list(answers), refuse))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(), name="receipt-journal")

    @property
    def queued(self) -> int:
        """Receipts that wait for the journal's next fsync."""
        return sum(entry.receipts.count for each in self._queue for entry in each.entries)

    async def settled(self) -> None:
        """Returns when all that was put is written or refused."""
        while self._writing is not None:
            await asyncio.wait({self._writing})

    def state(self) -> schema.ReceiptJournal:
        return schema.ReceiptJournal(
            bytes=self.journal.bytes,
            most_bytes=self.journal.most_bytes,
            waiting=self.journal.waiting,
            refused=self.refused,
        )

    async def _write(self) -> None:
        try:
            while self._queue:
                queue, self._queue = self._queue, []
                status = await self._append([entry for each in queue for entry in each.entries])
                for each in queue:
                    if status != OK and not each.refuse:
                        continue
                    if status != OK:
                        self.refused += sum(entry.receipts.count for entry in each.entries)
                    for answer in each.answers:
                        answer.give(status)
        finally:
            self._writing = None

    async def _append(self, entries: list[Entry]) -> int:
        if not entries:
            return OK
        try:
            await self.journal.append(entries)
        except JournalFull as error:
            if not self._full:
                log.error("receipts are refused", reason=str(error))
            self._full = True
            return RX_T_APPN
        self._full = False
        return OK
