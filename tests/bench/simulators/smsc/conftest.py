"""Both carriers, and PDUs written by hand so that the tests share no code with what they test."""

import importlib
import struct
from collections.abc import Callable
from typing import Any

import pytest

from bench.simulators.smsc.pure import carrier as pure_carrier


@pytest.fixture(params=["pure", "c"])
def carrier_class(request: pytest.FixtureRequest) -> Any:
    if request.param == "pure":
        return pure_carrier.Carrier
    return importlib.import_module("bench.simulators.smsc.carrier").Carrier


@pytest.fixture
def submit_sm() -> Callable[..., bytes]:
    def build(
        sequence: int,
        *,
        source: bytes = b"HELIO",
        destination: bytes = b"447700900001",
        text: bytes = b"hello",
        esm_class: int = 0,
        registered_delivery: int = 1,
        data_coding: int = 0,
        tlvs: bytes = b"",
    ) -> bytes:
        body = b"\0\x05\0" + source + b"\0\x01\x01" + destination + b"\0" + bytes((esm_class, 0, 0))
        body += b"\0\0" + bytes((registered_delivery, 0, data_coding, 0, len(text))) + text + tlvs
        return struct.pack(">IIII", 16 + len(body), 4, 0, sequence) + body

    return build


@pytest.fixture
def split() -> Callable[[bytes], list[tuple[int, int, int, bytes]]]:
    """A stream of PDUs as (command, status, sequence, body)."""

    def cut(data: bytes) -> list[tuple[int, int, int, bytes]]:
        pdus = []
        while data:
            length, command, status, sequence = struct.unpack_from(">IIII", data)
            assert 16 <= length <= len(data)
            pdus.append((command, status, sequence, data[16:length]))
            data = data[length:]
        return pdus

    return cut
