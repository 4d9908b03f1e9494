"""smpp.twisted3: a Deferred a message; the window is kept by counting them."""

import logging
from typing import Any

from driving import Work
from smpp.pdu.operations import SubmitSM
from smpp.pdu.pdu_types import (
    AddrNpi,
    AddrTon,
    RegisteredDelivery,
    RegisteredDeliveryReceipt,
)
from smpp.twisted.client import SMPPClientTransceiver
from smpp.twisted.config import SMPPClientConfig
from twisted.internet import reactor

logging.disable(logging.CRITICAL)
work = Work()
left = iter(work.messages)
failed: list[str] = []


def stop(reason: str = "") -> None:
    if reason:
        failed.append(reason)
    if reactor.running:
        reactor.stop()


def on_receipt(_smpp: Any, _pdu: Any) -> None:
    work.receipts += 1
    if work.done:
        work.end()
        stop()


def on_response(_result: Any, smpp: Any) -> None:
    work.answered += 1
    send(smpp)


def send(smpp: Any) -> None:
    message = next(left, None)
    if message is None:
        return
    pdu = SubmitSM(
        source_addr=b"HELIOGRAPH",
        source_addr_ton=AddrTon.ALPHANUMERIC,
        dest_addr_ton=AddrTon.INTERNATIONAL,
        dest_addr_npi=AddrNpi.ISDN,
        destination_addr=message.number.encode(),
        short_message=message.octets,
        registered_delivery=RegisteredDelivery(RegisteredDeliveryReceipt.SMSC_DELIVERY_RECEIPT_REQUESTED),
    )
    smpp.sendDataRequest(pdu).addCallback(on_response, smpp).addErrback(lambda error: stop(str(error)))


def bound(smpp: Any) -> None:
    work.begin()
    for _ in range(work.window):
        send(smpp)


config = SMPPClientConfig(host="127.0.0.1", port=work.port, username="bench", password="")
client = SMPPClientTransceiver(config, on_receipt)
reactor.callWhenRunning(
    lambda: client.connectAndBind().addCallback(bound).addErrback(lambda error: stop(str(error)))
)
reactor.run()
if failed:
    raise SystemExit(failed[0])
