"""smpplib: blocking; the client reads while the window is full."""

import socket

from driving import Work
from smpplib import consts, gsm
from smpplib.client import Client

work = Work()
client = Client("127.0.0.1", work.port, allow_unknown_opt_params=True)


def on_response(**_: object) -> None:
    work.answered += 1


def on_receipt(**_: object) -> None:
    work.receipts += 1


client.set_message_sent_handler(on_response)
client.set_message_received_handler(on_receipt)
client.connect()
client._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as our side has it
client.bind_transceiver(system_id="bench", password="")
work.begin()
for sent, message in enumerate(work.messages):
    while sent - work.answered >= work.window:
        client.read_once()
    parts, encoding_flag, msg_type_flag = gsm.make_parts(message.text)
    for part in parts:
        client.send_message(
            source_addr_ton=consts.SMPP_TON_ALNUM,
            source_addr="HELIOGRAPH",
            dest_addr_ton=consts.SMPP_TON_INTL,
            dest_addr_npi=consts.SMPP_NPI_ISDN,
            destination_addr=message.number,
            short_message=part,
            data_coding=encoding_flag,
            esm_class=msg_type_flag,
            registered_delivery=True,
        )
while not work.done:
    client.read_once()
work.end()
client.unbind()
client.disconnect()
