"""The C carrier does exactly what its plain-Python twin does, on valid and hostile input."""

import importlib
import struct
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bench.simulators.smsc.behaviour import Behaviour
from bench.simulators.smsc.dialects import DIALECTS, FORMS, ID_FORMATS
from bench.simulators.smsc.pure import carrier as pure

carrier = importlib.import_module("bench.simulators.smsc.carrier")

START_US = 1_700_000_000_123_456
share = st.sampled_from([0.0, 0.0, 0.2, 0.5, 1.0])
milliseconds = st.sampled_from([0.0, 0.0, 0.4, 3.0, 70_000.0])


@st.composite
def behaviours(draw: st.DrawFn) -> Behaviour:
    return Behaviour(
        latency_ms=draw(milliseconds),
        jitter_ms=draw(st.sampled_from([0.0, 0.0, 3.0])),
        window=draw(st.sampled_from([0, 0, 0, 2])),
        tps=draw(st.sampled_from([0, 0, 0, 1, 20, 1_000_000])),
        throttle_share=draw(st.sampled_from([0.0, 0.3])),
        errors=tuple(
            draw(st.lists(st.tuples(st.sampled_from([0x0B, 0x14, 0x400]), st.just(0.1)), max_size=3))
        ),
        silent_share=draw(st.sampled_from([0.0, 0.0, 0.2])),
        receipt_share=draw(st.sampled_from([1.0, 1.0, 0.5, 0.0])),
        undelivered_share=draw(share),
        receipt_delay_ms=draw(st.sampled_from([0.0, 0.0, 3.0, 70_000.0])),
        receipt_jitter_ms=draw(st.sampled_from([0.0, 0.0, 3.0])),
        receipt_before_response=draw(share),
        receipt_window=draw(st.sampled_from([1, 2, 5000])),
        id_format=draw(st.sampled_from(sorted(ID_FORMATS))),
        receipt_id_format=draw(st.sampled_from([None, *sorted(ID_FORMATS)])),
        ids_per_account=draw(st.booleans()),
        id_reuse=draw(st.sampled_from([0, 0, 2])),
        late_share=draw(st.sampled_from([0.0, 0.5])),
        late_ms=5.0,
        bind_tps=draw(st.sampled_from([0, 0, 0, 3])),
        storm_every_ms=10.0,
        storm_ms=draw(st.sampled_from([0.0, 0.0, 4.0])),
        full_box_share=draw(st.sampled_from([0.0, 0.0, 0.5])),
        full_box_ms=draw(st.sampled_from([0.0, 5.0])),
        empty_id_share=draw(st.sampled_from([0.0, 0.3])),
        required_tlv=draw(st.sampled_from([0, 0, 0, 0x1400])),
        congestion=draw(st.sampled_from([-1, -1, 0, 99, 101])),
        accepted_first_share=draw(st.sampled_from([0.0, 0.3])),
        corrected_share=draw(st.sampled_from([0.0, 0.3])),
        doubled_share=draw(st.sampled_from([0.0, 0.3])),
        second_receipt_ms=draw(st.sampled_from([0.0, 5.0])),
        reply_share=draw(st.sampled_from([0.0, 0.0, 0.4])),
        receipt_form=draw(st.sampled_from([*FORMS, "mixed", "both"])),
        receipt_dialect=draw(st.sampled_from(sorted(DIALECTS))),
        receipt_esm_class=draw(st.sampled_from([4, 4, 0, 0x20])),
        receipt_local_numbers=draw(st.booleans()),
        unanswered_ms=draw(st.sampled_from([0.0, 4.0])),
        seed=draw(st.integers(-5, 2**70)),
    )


def pdu(command: int, sequence: int, body: bytes, status: int = 0, lie: int = 0) -> bytes:
    return struct.pack(">IIII", (16 + len(body) + lie) & 0xFFFFFFFF, command, status, sequence) + body


c_string = st.one_of(
    st.binary(max_size=22).map(lambda b: b.replace(b"\0", b"") + b"\0"),
    st.binary(max_size=3),
    st.just(b"447700900123\0"),
)
tlv = st.builds(
    lambda tag, value, lie: tag + (len(value) + lie).to_bytes(2, "big") + value,
    st.sampled_from([b"\x04\x24", b"\x02\x0c", b"\x02\x0e", b"\x02\x0f", b"\x14\x00"]),
    st.binary(max_size=40),
    st.sampled_from([0, 0, 0, 3]),
)
texts = st.one_of(
    st.binary(max_size=160),
    st.builds(
        lambda ref, text: b"\x05\0\3" + ref + text, st.binary(min_size=3, max_size=3), st.binary(max_size=99)
    ),
    st.builds(
        lambda ref, text: b"\x06\x08\4" + ref + text, st.binary(min_size=4, max_size=4), st.binary(max_size=9)
    ),
)
submit_bodies = st.builds(
    lambda service, ton, source, destination, flags, times, fields, text, lie, tlvs: b"".join(
        [
            service,
            ton,
            source,
            ton,
            destination,
            flags,
            times,
            fields,
            bytes([max(0, len(text) + lie)]),
            text,
            *tlvs,
        ]
    ),
    st.sampled_from([b"\0", b"CMT\0", b"toolong\0"]),
    st.binary(min_size=2, max_size=2),
    c_string,
    c_string,
    st.builds(lambda esm: bytes([esm, 0, 0]), st.sampled_from([0, 0x40, 3])),
    st.sampled_from([b"\0\0", b"\x00000001020000000R\0"]),
    st.builds(lambda rd, dcs: bytes([rd, 0, dcs, 0]), st.integers(0, 7), st.sampled_from([0, 8])),
    texts,
    st.sampled_from([0, 0, 0, 1, -1]),
    st.lists(tlv, max_size=3),
)
valid_bodies = st.builds(
    lambda destination, esm, flags, text, tlvs: b"".join(
        [
            b"\0\x05\0HELIO\0\x01\x01",
            destination,
            b"\0",
            esm,
            b"\0\0\0\0",
            flags,
            bytes([len(text)]),
            text,
            *tlvs,
        ]
    ),
    st.sampled_from([b"447700900001", b"447700900002", b"4"]),
    st.sampled_from([b"\0", b"\x40"]),
    st.builds(
        lambda rd, dcs: bytes([rd, 0, dcs, 0]),
        st.sampled_from([1, 1, 1, 1, 0, 2, 3]),
        st.sampled_from([0, 8]),
    ),
    texts,
    st.lists(
        st.sampled_from([b"\x02\x0c\0\2\1\2", b"\x02\x0e\0\1\4", b"\x02\x0f\0\1\3", b"\x14\0\0\1a"]),
        max_size=3,
    ),
)
valid_pdus = st.builds(pdu, st.just(4), st.integers(0, 2**32 - 1), valid_bodies)
pdus = st.one_of(
    valid_pdus,
    valid_pdus,
    valid_pdus,
    st.builds(pdu, st.just(4), st.integers(0, 2**32 - 1), submit_bodies),
    st.builds(pdu, st.just(4), st.integers(0, 2**32 - 1), st.binary(max_size=60)),
    st.builds(
        pdu,
        st.sampled_from([0x80000005, 0x80000103]),
        st.integers(0, 6),
        st.just(b"\0"),
        st.sampled_from([0, 0, 0x64, 8]),
    ),
    st.builds(
        pdu, st.just(0x15), st.integers(0, 9), st.just(b""), st.just(0), st.sampled_from([0, -1, 70_000])
    ),
)
traffic = st.tuples(
    st.just("receive"),
    st.integers(0, 2),
    st.lists(valid_pdus, min_size=2, max_size=8).map(b"".join),
    st.just(0),
)
answers = st.tuples(
    st.just("receive"),
    st.integers(0, 3),
    st.builds(
        lambda status: b"".join(pdu(0x80000005, sequence, b"\0", status) for sequence in range(1, 12)),
        st.sampled_from([0, 0, 0x64, 8]),
    ),
    st.just(0),
)
wait = st.tuples(
    st.just("advance"), st.sampled_from([0, 400, 3_000, 5_000, 1_000_000, 71_000_000, 200_000_000])
)
steps = st.one_of(
    traffic,
    traffic,
    traffic,
    answers,
    answers,
    wait,
    wait,
    st.tuples(
        st.just("receive"), st.integers(0, 3), st.lists(pdus, max_size=6).map(b"".join), st.integers(0, 40)
    ),
    st.tuples(st.just("receive"), st.integers(0, 3), st.binary(max_size=80), st.integers(0, 40)),
    st.tuples(st.just("bind"), st.integers(0, 3), st.integers(0, 1), st.booleans(), st.booleans()),
    st.tuples(st.just("unbind"), st.integers(0, 3)),
    st.tuples(st.just("pause"), st.integers(0, 3), st.booleans()),
)


class Pair:
    """Plays the same steps on both carriers."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.both: list[Any] = [pure.Carrier(behaviour.plan(), 41), carrier.Carrier(behaviour.plan(), 41)]
        for one in self.both:
            one.noting = True
        self.handles: list[int] = []
        self.bound: set[int] = set()
        self.now_us = START_US

    def same(self, name: str, *arguments: Any) -> Any:
        expected, got = (getattr(one, name)(*arguments) for one in self.both)
        assert got == expected, name
        return expected

    def play(self, step: tuple[Any, ...]) -> None:
        kind, arguments = step[0], step[1:]
        if kind == "advance":
            self.now_us += arguments[0]
        else:
            handle = self.handles[arguments[0]]
            if kind == "receive":
                data, cut = arguments[1], arguments[2]
                self.same("receive", handle, data, cut, self.now_us)
            elif kind == "bind" and handle not in self.bound:
                self.bound.add(handle)
                self.same("bind", handle, *arguments[1:])
            elif kind == "unbind":
                self.bound.discard(handle)
                self.same("unbind", handle)
            elif kind == "pause":
                self.same("pause", *((handle, arguments[1])))
        for handle in self.same("advance", self.now_us):
            self.same("output", handle)
        self.same("witness")
        self.same("acknowledged")
        self.same("overdue", self.now_us)
        assert self.both[0].counters() == self.both[1].counters()


@given(behaviours(), st.lists(steps, min_size=3, max_size=25))
@settings(max_examples=400)
def test_c_and_python_do_the_same(behaviour: Behaviour, play: list[tuple[Any, ...]]) -> None:
    pair = Pair(behaviour)
    pair.handles = [pair.same("connect") for _ in range(4)]
    for handle, account, transmit, receive in zip(
        pair.handles, (0, 0, 1, 1), (True, True, True, False), (True, True, False, True), strict=True
    ):
        pair.same("bind", handle, account, transmit, receive)
        pair.bound.add(handle)
    for step in play:
        pair.play(step)
    for handle in pair.handles:
        pair.same("disconnect", handle)
    assert pair.both[0].counters() == pair.both[1].counters()


@given(st.binary(max_size=300))
def test_the_fingerprint_in_the_witness_is_the_same(text: bytes) -> None:
    body = (
        b"\0\0\0\0\0\0"
        + b"49\0"
        + b"\0\0\0\0\0"
        + bytes(5)
        + b"\x04\x24"
        + len(text).to_bytes(2, "big")
        + text
    )
    witnesses = []
    for module in (pure, carrier):
        one = module.Carrier(Behaviour().plan(), 0)
        one.bind(one.connect(), 0, True, True)
        assert one.receive(1, pdu(4, 1, body), 0, START_US) == 16 + len(body)
        witnesses.append(one.witness())
    assert len(witnesses[0]) == 72
    assert witnesses[0] == witnesses[1]
