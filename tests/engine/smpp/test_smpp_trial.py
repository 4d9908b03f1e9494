"""A test bind says what it met and leaves nothing behind."""

import asyncio
import socket

import pytest

from engine.smpp import codec
from engine.smpp.link import LinkConfig
from engine.smpp.tables import BIND_TRANSCEIVER, DELIVER_SM, ENQUIRE_LINK, RESPONSE
from engine.smpp.trial import try_bind


def config(port: int, **changed: object) -> LinkConfig:
    given = {"name": "t", "host": "127.0.0.1", "port": port, "system_id": "esme", "password": "secret"}
    return LinkConfig(**(given | changed))


async def test_it_binds_probes_and_unbinds_and_says_what_the_smsc_said(smsc) -> None:
    def answer(pdu: codec.Pdu) -> bytes | None:
        if pdu.name != "bind_transceiver":
            return smsc.accept(pdu)
        tlvs = [codec.tlv("sc_interface_version", 0x34), (0x1500, b"\1\2")]
        return codec.encode(BIND_TRANSCEIVER | RESPONSE, pdu.sequence, fields={"system_id": b"Op"}, tlvs=tlvs)

    smsc.answers = answer
    trial = await try_bind(config(smsc.port))
    assert (trial.bound, trial.unbound, trial.detail, trial.status) == (True, True, "", 0)
    assert (trial.peer_system_id, trial.interface_version) == ("Op", 0x34)
    assert trial.tlvs == {"sc_interface_version": "0x34", "0x1500": "0102"}
    assert smsc.names() == ["bind_transceiver", "enquire_link", "unbind"]
    times = (trial.connect_ms, trial.bind_ms, trial.enquire_link_ms)
    assert all(each is not None and each >= 0 for each in times)
    assert trial.tls == ""


async def test_a_refusal_is_named(smsc) -> None:
    smsc.answers = lambda pdu: codec.encode(pdu.command_id | RESPONSE, pdu.sequence, status=0x0E)
    trial = await try_bind(config(smsc.port))
    assert (trial.bound, trial.status) == (False, 0x0E)
    assert "ESME_RINVPASWD" in trial.detail
    assert "secret" not in repr(trial)


async def test_receipts_that_come_meanwhile_are_put_off_and_not_lost(smsc) -> None:
    def answer(pdu: codec.Pdu) -> bytes | None:
        if pdu.name == "bind_transceiver":
            return smsc.accept(pdu) + codec.encode(DELIVER_SM, 0xABCD0001) + codec.encode(ENQUIRE_LINK, 5)
        return smsc.accept(pdu)

    smsc.answers = answer
    trial = await try_bind(config(smsc.port))
    assert (trial.bound, trial.put_off) == (True, 1)
    answered = {pdu.name: (pdu.status, pdu.sequence) for pdu in smsc.received if pdu.is_response}
    assert answered == {"deliver_sm_resp": (0x64, 0xABCD0001), "enquire_link_resp": (0, 5)}


async def test_an_smsc_that_is_not_there_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        trial = await try_bind(config(taken.getsockname()[1]))
    assert trial.detail.startswith("connect failed")


@pytest.mark.parametrize(
    ("octets", "said"),
    [(b"", "closed"), (b"HTTP/1.1 400 Bad Request\r\n\r\n", "not SMPP")],
)
async def test_what_is_no_smsc_is_said(octets: bytes, said: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(octets)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        trial = await try_bind(config(server.sockets[0].getsockname()[1]))
    assert said in trial.detail
    assert not trial.bound


async def test_silence_ends_by_the_accounts_timers(smsc) -> None:
    smsc.answers = lambda pdu: None
    trial = await try_bind(config(smsc.port, bind_timeout_s=0.05))
    assert trial.detail == "no answer in time"
