"""A test bind: connect, bind, one enquire_link, unbind; what the SMSC said at each step. It submits
nothing."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field

from engine.smpp import codec, status, tls
from engine.smpp.codec import BadLength, Pdu
from engine.smpp.link import LinkConfig
from engine.smpp.session import BIND_COMMANDS, RX_T_APPN
from engine.smpp.tables import (
    DATA_SM,
    DELIVER_SM,
    ENQUIRE_LINK,
    GENERIC_NACK,
    MAX_PDU_SIZE,
    RESPONSE,
    TLVS,
    UNBIND,
    Kind,
)


@dataclass(slots=True)
class Trial:
    """What a test bind met. `detail` says what went wrong, "" if nothing did. Times in milliseconds."""

    bound: bool = False
    detail: str = ""
    status: int | None = None
    peer_system_id: str = ""
    interface_version: int | None = None
    tlvs: dict[str, str] = field(default_factory=dict)
    connect_ms: float | None = None
    tls: str = ""
    tls_peer: str = ""
    bind_ms: float | None = None
    enquire_link_ms: float | None = None
    unbound: bool = False
    put_off: int = 0  # deliver_sm that came meanwhile: answered "later", so that the SMSC keeps them


async def try_bind(config: LinkConfig) -> Trial:
    """Never raises for anything the network or the SMSC does."""
    trial = Trial()
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout(config.connect_timeout_s):
            reader, writer = await asyncio.open_connection(
                config.host,
                config.port,
                ssl=config.ssl,
                server_hostname=(config.server_name or config.host) if config.ssl else None,
            )
    except TimeoutError:
        trial.detail = f"no connection within {config.connect_timeout_s:g} s"
        return trial
    except ssl.SSLError as error:
        trial.detail = tls.failure(error)
        return trial
    except OSError as error:
        trial.detail = f"connect failed: {error.strerror or error}"
        return trial
    trial.connect_ms = (loop.time() - began) * 1000
    _note_tls(trial, writer)
    try:
        await _Dialogue(config, trial, reader, writer).run()
    except TimeoutError:
        trial.detail = trial.detail or "no answer in time"
    except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
        trial.detail = trial.detail or "the SMSC closed the connection"
    except BadLength as error:
        trial.detail = f"what came is not SMPP: {error}"
    finally:
        writer.transport.abort()
    return trial


class _Dialogue:
    def __init__(
        self, config: LinkConfig, trial: Trial, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._config = config
        self._trial = trial
        self._reader = reader
        self._writer = writer
        self._sequence = 0

    async def run(self) -> None:
        config, trial = self._config, self._trial
        answer, trial.bind_ms = await self._ask(
            BIND_COMMANDS[config.bind_mode],
            config.bind_timeout_s,
            {
                "system_id": config.system_id.encode("latin-1"),
                "password": config.password.encode("latin-1"),
                "system_type": config.system_type.encode("latin-1"),
                "interface_version": config.interface_version,
            },
        )
        trial.status = answer.status
        if answer.status or answer.command_id == GENERIC_NACK:
            code = answer.status
            trial.detail = f"bind refused: {status.name(code)} {status.meaning(code)}"
            return
        trial.bound = True
        trial.peer_system_id = answer.octets("system_id").decode("latin-1")
        version = answer.tlv("sc_interface_version")
        trial.interface_version = version if isinstance(version, int) else None
        trial.tlvs = {tlv_name(tag): tlv_text(tag, value) for tag, value in answer.tlvs}
        _, trial.enquire_link_ms = await self._ask(ENQUIRE_LINK, config.enquire_timeout_s)
        await self._ask(UNBIND, config.unbind_timeout_s)
        trial.unbound = True

    async def _ask(
        self, command: int, timeout_s: float, fields: dict[str, codec.Value] | None = None
    ) -> tuple[Pdu, float]:
        """The answer to a request of ours and its milliseconds; what the SMSC asks meanwhile is answered."""
        loop = asyncio.get_running_loop()
        self._sequence += 1
        self._writer.write(codec.encode(command, self._sequence, fields=fields))
        began = loop.time()
        async with asyncio.timeout(timeout_s):
            while True:
                pdu = await self._read()
                if pdu.is_response and pdu.sequence == self._sequence:
                    return pdu, (loop.time() - began) * 1000
                self._answer(pdu)

    async def _read(self) -> Pdu:
        head = await self._reader.readexactly(4)
        length = int.from_bytes(head, "big")
        if not 16 <= length <= MAX_PDU_SIZE:
            raise BadLength(length)
        return codec.decode(head + await self._reader.readexactly(length - 4))

    def _answer(self, pdu: Pdu) -> None:
        if pdu.command_id in (DELIVER_SM, DATA_SM):
            self._trial.put_off += 1
            self._writer.write(codec.encode(pdu.command_id | RESPONSE, pdu.sequence, status=RX_T_APPN))
        elif pdu.command_id in (ENQUIRE_LINK, UNBIND):
            self._writer.write(codec.encode(pdu.command_id | RESPONSE, pdu.sequence))


def tlv_name(tag: int) -> str:
    """The specification's name, or the tag in hexadecimal."""
    known = TLVS.get(tag)
    return known.name if known else f"0x{tag:04X}"


def tlv_text(tag: int, value: bytes) -> str:
    """A TLV's value for people: a number, text, or hexadecimal."""
    known = TLVS.get(tag)
    if known is not None and known.kind is Kind.INTEGER and 1 <= len(value) <= 8:
        number = int.from_bytes(value, "big")
        return f"0x{number:02X}" if known.name == "sc_interface_version" else str(number)
    if known is not None and known.kind is Kind.C_OCTETS:
        value = value.partition(b"\0")[0]
    if value and all(0x20 <= octet < 0x7F for octet in value):
        return value.decode("ascii")
    return value.hex()


def _note_tls(trial: Trial, writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("ssl_object")
    if connection is None:
        return
    cipher = connection.cipher()
    trial.tls = f"{connection.version()} {cipher[0] if cipher else ''}".strip()
    certificate = connection.getpeercert(binary_form=True)
    trial.tls_peer = tls.subject(certificate) if certificate else ""
