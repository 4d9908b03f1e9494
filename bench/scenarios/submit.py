"""Messages over TCP with their receipts, no ledger: our link against smpplib, one bind each."""

import asyncio
import socket

import uvloop
from smpplib.client import Client

from bench.measure import InvalidRun, Round, Size, peak_rss_bytes, side_by_side, timed
from bench.report import Result, compared
from bench.scenarios.encode import send_with_smpplib
from bench.scenarios.messages import Messages, encoder, messages, rendered
from bench.scenarios.smsc_process import smsc
from engine._fast import PURE
from engine._fast.columns import EncodedBatch, ReceiptBatch, ResultBatch
from engine.smpp.link import Link, LinkConfig, LinkState

WINDOW = 1000
BATCH_ROWS = 4096
DEADLINE_S = 300.0


class LinkDown(InvalidRun):
    """The bind was lost or refused while the scenario ran."""


class Sender:
    """Owns a link: keeps its window full and acknowledges every receipt at once."""

    def __init__(self, port: int, count: int, rows: Messages, window: int) -> None:
        self._encoder = encoder(pure=PURE)
        self._rows = rows
        self._batch: EncodedBatch | None = None
        self._next = 0  # PDU of the batch
        self._encoded = 0
        self.count = count
        self.answered = self.accepted = self.receipts = 0
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        config = LinkConfig(
            name="bench", host="127.0.0.1", port=port, system_id="bench", password="", window_size=window
        )
        self.link = Link(config, self)

    def on_bound(self, link: Link) -> None:
        self._pump(link)

    def on_results(self, link: Link, batch: ResultBatch) -> None:
        self.answered += batch.count
        self.accepted += batch.status.count(0)
        self._pump(link)

    def on_receipts(self, link: Link, batch: ReceiptBatch) -> None:
        self.receipts += batch.count
        link.acknowledge(batch)
        self._check()

    def on_down(self, link: Link, reason: str) -> None:
        if not self.finished.done():
            self.finished.set_exception(LinkDown(reason))

    def on_state(self, link: Link, state: LinkState, reason: str) -> None:
        if state is LinkState.REFUSED:
            self.on_down(link, reason)

    def on_congestion(self, link: Link, level: int) -> None:
        """The bench sends as fast as it can."""

    def _pump(self, link: Link) -> None:
        while link.free and link.writable:
            if self._batch is None:
                left = self.count - self._encoded
                if not left:
                    break
                rows = self._rows.rows[: min(left, BATCH_ROWS)]
                first = link.reserve_sequences(len(rows))
                self._batch = self._encoder.encode(
                    self._rows.msisdn, self._rows.columns, rows, self._encoded, 1, first
                )
                self._encoded += len(rows)
                self._next = 0
            stop = min(self._next + link.free, self._batch.count)
            link.submit(self._batch, self._next, stop, 1, 1, 1)
            self._next = stop
            if stop == self._batch.count:
                self._batch = None
        self._check()

    def _check(self) -> None:
        if self.answered >= self.count and self.receipts >= self.accepted and not self.finished.done():
            self.finished.set_result(None)


def our_round(port: int, count: int, rows: Messages, window: int = WINDOW) -> Round:
    """Sends `count` one-part messages; ends when each has its response and its receipt."""

    async def send() -> int:
        sender = Sender(port, count, rows, window)
        sender.link.start()
        try:
            async with asyncio.timeout(DEADLINE_S):
                await sender.finished
        finally:
            await sender.link.stop()
        if sender.accepted != count:
            raise LinkDown(f"{sender.accepted} of {count} messages accepted")
        return count

    return timed(lambda: int(uvloop.run(send())))


def smpplib_round(port: int, count: int, window: int = WINDOW) -> Round:
    """The same with smpplib's client, pipelined up to the window."""
    pairs = rendered(0, count)
    client = Client("127.0.0.1", port, allow_unknown_opt_params=True)
    answered = receipts = 0

    def on_response(**_: object) -> None:
        nonlocal answered
        answered += 1

    def on_receipt(**_: object) -> None:
        nonlocal receipts
        receipts += 1

    def work() -> int:
        for sent, (number, text) in enumerate(pairs):
            while sent - answered >= window:
                client.read_once()
            send_with_smpplib(client, number, text)
        while answered < count or receipts < count:
            client.read_once()
        return count

    client.set_message_sent_handler(on_response)
    client.set_message_received_handler(on_receipt)
    client.connect()
    client._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as our side has it
    try:
        client.bind_transceiver(system_id="bench", password="")
        return timed(work)
    finally:
        client.unbind()
        client.disconnect()


def run(size: Size) -> Result:
    count = size.units(default=400_000, quick=10_000)
    slow = max(100, count // 80)
    rows = messages(BATCH_ROWS)
    with smsc("--receipt-delay-ms", "0") as port:
        comparison = side_by_side(
            {"link": lambda: our_round(port, count, rows), "smpplib": lambda: smpplib_round(port, slow)},
            size.repeats,
        )
    parameters = {
        "messages": count,
        "smpplib_messages": slow,
        "window": WINDOW,
        "receipts": "one a message, acknowledged at once",
        "repeats": size.repeats,
    }
    return compared("submit", "message", parameters, comparison, peak_rss_bytes())
