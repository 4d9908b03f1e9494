"""The Python libraries' turns: the same messages to the same SMSC, pipelined up to the same window."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Iterator

import smpp34
import uvloop
from smpplib.client import Client

from bench.measure import InvalidRun, Round, timed
from bench.scenarios.encode import send_with_smpplib
from bench.scenarios.messages import SENDER, rendered


def smpplib_round(port: int, count: int, window: int) -> Round:
    """`count` one-part messages through smpplib; ends when each has its response and its receipt."""
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


def smpp34_round(port: int, count: int, window: int) -> Round:
    """The same through smpp34: a coroutine a place of the window, as its documentation pipelines."""

    async def submit(session: smpp34.Smsc, pairs: Iterator[tuple[str, str]]) -> None:
        for number, text in pairs:
            answer = await session.submit_sm(
                number,
                text.encode("latin-1"),
                source_addr=SENDER.decode(),
                source_addr_ton=5,
                dest_addr_ton=1,
                dest_addr_npi=1,
                registered_delivery=1,
            )
            if not answer.is_success:
                raise InvalidRun(f"smpp34: a message got status {answer.command_status:#x}")

    async def read_receipts(session: smpp34.Smsc) -> None:
        for _ in range(count):
            if isinstance(await session.next(), smpp34.Disconnected):
                raise InvalidRun("smpp34: the connection ended")

    async def send() -> Round:
        client = smpp34.Client("127.0.0.1", port, "bench", "", window_size=window, inbound_capacity=count + 1)
        session = await client.connect()
        _send_at_once(port)
        pairs = iter(rendered(0, count))
        cpu_s, began = time.process_time(), time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(read_receipts(session))
            for _ in range(min(window, count)):
                tasks.create_task(submit(session, pairs))
        done = Round(count, time.perf_counter() - began, time.process_time() - cpu_s)
        await session.unbind()
        await client.stop()
        return done

    done: Round = uvloop.run(send())  # the faster loop for it too
    return done


def _send_at_once(port: int) -> None:
    """TCP_NODELAY, as our side has it, for the connection to that port: its library has no way to ask."""
    for name in os.listdir("/proc/self/fd"):
        try:
            one = socket.socket(fileno=int(name))
        except OSError:
            continue
        with contextlib.suppress(OSError):
            if one.family == socket.AF_INET and one.getpeername()[1] == port:
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one.detach()
