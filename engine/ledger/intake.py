"""What a commit holds of receipts besides their rows: messages, whom to answer, what a journal may need."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import structlog

from engine._fast.columns import ReceiptBatch
from engine.ledger import inbound, tables
from engine.ledger.journal import Entry
from engine.ledger.pool import Connection
from engine.ledger.sql import load

log = structlog.get_logger(__name__)

OK = 0
RX_T_APPN = 0x64  # ESME_RX_T_APPN: try again later (SMPP 3.4 §5.1.3)


class Answer:
    """Answers the deliver_sm of one batch, once, whoever comes first."""

    __slots__ = ("_acknowledge", "given")

    def __init__(self, acknowledge: Callable[[int], None]) -> None:
        self._acknowledge = acknowledge
        self.given = False

    def give(self, status: int = OK) -> None:
        if self.given:
            return
        self.given = True
        try:
            self._acknowledge(status)
        except Exception:  # of the caller's link: what is kept stays kept
            log.exception("acknowledging failed")


@dataclass(slots=True)
class Intake:
    """`pieces`: live receipts of this commit that no journal has; `journal`: (id, number of the last record)
    of what was replayed into it."""

    pieces: list[Entry] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    inbound: list[tuple[Any, ...]] = field(default_factory=list)
    unflagged: list[tuple[Any, ...]] = field(default_factory=list)  # orphans that came as messages
    journal: tuple[UUID, int] | None = None
    since: float = float("inf")  # monotonic, when the first of the pieces came

    def __bool__(self) -> bool:
        return bool(self.answers or self.inbound or self.journal)

    def add(self, entry: Entry, now: float) -> None:
        self.pieces.append(entry)
        self.since = min(self.since, now)

    def forget_pieces(self) -> None:
        """The journal has them."""
        self.pieces.clear()
        self.since = float("inf")

    def answer(self) -> None:
        for each in self.answers:
            each.give()

    def add_messages(self, receipts: ReceiptBatch, wanted: bytes, account_id: int, received_us: int) -> None:
        """What is no receipt, where `wanted` is 1."""
        self.inbound += inbound.rows(receipts, wanted, account_id, received_us)

    def add_unflagged(self, receipts: ReceiptBatch, account_id: int, received_us: int) -> None:
        """Messages that read like a receipt and whose id is not known (yet): messages, unless it turns up."""
        everything = b"\1" * receipts.count
        rows = inbound.rows(receipts, everything, account_id, received_us)
        self.inbound += rows
        for i, row in enumerate(rows):
            self.unflagged.append((*_orphan(receipts, i, account_id, row[-1]), row[0]))


def _orphan(receipts: ReceiptBatch, i: int, account_id: int, received_at: object) -> tuple[Any, ...]:
    """The row of tables.ORPHANS."""

    def text(data: bytearray, end: Any) -> str:
        octets = bytes(data[end[i - 1] if i else 0 : end[i]])
        return octets.decode("utf-8", "replace").replace("\0", "\ufffd")

    dates = (receipts.submit_s[i], receipts.done_s[i])
    return (
        account_id, text(receipts.ids, receipts.id_end), receipts.msisdn[i], receipts.verdict[i],
        receipts.stat[i], text(receipts.errors, receipts.error_end), received_at,
        text(receipts.sender, receipts.sender_end), *(None if date < 0 else date for date in dates),
        text(receipts.done_raw, receipts.done_raw_end) or None,
        text(receipts.network, receipts.network_end) or None,
    )  # fmt: skip


async def write(connection: Connection, worker_id: int, intake: Intake) -> None:
    """In the commit's transaction: messages of people, and how far the journal is replayed."""
    if intake.inbound:
        await connection.copy_records_to_table("inbound", records=intake.inbound, columns=inbound.COLUMNS)
    if intake.unflagged:
        await connection.copy_records_to_table(
            "orphan_receipts", records=intake.unflagged, columns=tables.UNFLAGGED
        )
    if intake.journal is not None:
        await connection.execute(load("journal")["replayed"], *intake.journal, worker_id)
