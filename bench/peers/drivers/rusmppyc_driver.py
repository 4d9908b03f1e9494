"""rusmppyc: Rust below asyncio; as many senders as the window has places."""

import asyncio

from driving import Message, Work
from rusmppyc import Client, DataCoding, Event, Npi, Pdu, RegisteredDelivery, Ton

work = Work()


async def main() -> None:
    client, events = await Client.connect(
        f"smpp://127.0.0.1:{work.port}", response_timeout=60_000, interface_version_check=False
    )
    await client.bind_transceiver(system_id="bench", password="")
    left = iter(work.messages)

    async def send() -> None:
        message: Message
        for message in left:
            await client.submit_sm(
                source_addr_ton=Ton.Alphanumeric(),
                source_addr="HELIOGRAPH",
                dest_addr_ton=Ton.International(),
                dest_addr_npi=Npi.Isdn(),
                destination_addr=message.number,
                registered_delivery=RegisteredDelivery.request_all(),
                data_coding=DataCoding.Ucs2() if message.data_coding else DataCoding.McSpecific(),
                short_message=message.octets,
            )
            work.answered += 1

    async def receive() -> None:
        async for event in events:
            match event:
                case Event.Incoming(command):
                    if isinstance(command.pdu, Pdu.DeliverSm):
                        await client.deliver_sm_resp(command.sequence_number)
                        work.receipts += 1
                case Event.Error(error):
                    raise RuntimeError(str(error))
            if work.receipts >= work.count:
                return

    work.begin()
    await asyncio.gather(receive(), *(send() for _ in range(work.window)))
    work.end()
    await client.unbind()
    await client.close()


asyncio.run(main())
