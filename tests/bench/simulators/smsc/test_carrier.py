"""What the simulated SMSC's carrier does, in C and in Python."""

import re
import struct
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from bench.simulators.smsc.behaviour import Behaviour
from bench.simulators.smsc.witness import RECORD

NOW_US = 1_700_000_000_000_000
Split = Callable[[bytes], list[tuple[int, int, int, bytes]]]
RESP, DELIVER = 0x80000004, 0x5


def answer(sequences: list[int], status: int = 0) -> bytes:
    return b"".join(struct.pack(">IIIIB", 17, 0x80000005, status, n, 0) for n in sequences)


class Bench:
    """One carrier with bound sessions, played by hand."""

    def __init__(self, carrier: Any, split: Split) -> None:
        self.carrier, self.split, self.now_us = carrier, split, NOW_US

    def session(self, account: int = 0, transmit: bool = True, receive: bool = True) -> int:
        handle: int = self.carrier.connect()
        self.carrier.bind(handle, account, transmit, receive)
        return handle

    def send(self, handle: int, data: bytes) -> int:
        taken: int = self.carrier.receive(handle, data, 0, self.now_us)
        return taken

    def wait(self, milliseconds: float = 0) -> list[int]:
        self.now_us += round(milliseconds * 1000)
        ready: list[int] = self.carrier.advance(self.now_us)
        return ready

    def pdus(self, handle: int) -> list[tuple[int, int, int, bytes]]:
        return self.split(self.carrier.output(handle))

    def commands(self, handle: int) -> list[int]:
        return [command for command, *_ in self.pdus(handle)]


@pytest.fixture
def bench(carrier_class: Any, split: Split) -> Callable[..., Bench]:
    return lambda **settings: Bench(carrier_class(Behaviour(**settings).plan(), 1000), split)


def test_a_message_is_answered_then_receipted(bench: Any, submit_sm: Any) -> None:
    b = bench()
    one = b.session()
    b.send(one, submit_sm(7, text=b"id:1 stat:UNDELIV text: caf\x05"))
    assert b.wait() == [one]
    (response, receipt) = b.pdus(one)
    assert response == (RESP, 0, 7, b"3e9\0")
    assert receipt[:3] == (DELIVER, 0, 1)
    body = receipt[3]
    assert body.startswith(b"\0\x01\x01447700900001\0\x05\0HELIO\0\x04")
    assert re.search(
        rb"id:3e9 sub:001 dlvrd:001 submit date:2311142213 done date:2311142213 stat:DELIVRD err:000 "
        rb"text:id:1 stat:UNDELIV te",
        body,
    )
    assert body.endswith(b"\x00\x1e\x00\x043e9\0" + b"\x04\x27\x00\x01\x02")


def test_ids_come_as_hex_or_decimal_in_response_and_receipt(bench: Any, submit_sm: Any) -> None:
    b = bench(id_format="decimal", receipt_id_format="hex")
    one = b.session()
    b.send(one, submit_sm(1))
    b.wait()
    response, receipt = b.pdus(one)
    assert response[3] == b"1001\0"
    assert b"id:3e9 " in receipt[3]


def test_no_receipt_where_none_was_asked_for(bench: Any, submit_sm: Any) -> None:
    b = bench()
    one = b.session()
    b.send(one, submit_sm(1, registered_delivery=0) + submit_sm(2, registered_delivery=2))
    b.wait(1000)
    assert b.commands(one) == [RESP, RESP]


def test_receipts_of_failures_only(bench: Any, submit_sm: Any) -> None:
    b = bench(undelivered_share=1.0)
    one = b.session()
    b.send(one, submit_sm(1, registered_delivery=2) + submit_sm(2, registered_delivery=3))
    b.wait()
    _, _, receipt = b.pdus(one)
    assert re.search(rb"dlvrd:000 .*stat:(UNDELIV|EXPIRED|REJECTD) err:0\d\d", receipt[3])


def test_latency_delays_the_response_and_the_receipt_follows_it(bench: Any, submit_sm: Any) -> None:
    b = bench(latency_ms=20, receipt_delay_ms=30)
    one = b.session()
    b.send(one, submit_sm(1))
    assert b.wait(19) == []
    assert b.wait(1) == [one]
    assert b.commands(one) == [RESP]
    assert b.wait(29) == []
    assert b.wait(1) == [one]
    assert b.commands(one) == [DELIVER]


def test_a_delay_longer_than_the_wheel_is_kept(bench: Any, submit_sm: Any) -> None:
    b = bench(receipt_delay_ms=140_000)
    one = b.session()
    b.send(one, submit_sm(1))
    b.wait()
    assert b.commands(one) == [RESP]
    assert b.wait(139_999) == []
    assert b.wait(1) == [one]


def test_a_receipt_can_come_before_its_response(bench: Any, submit_sm: Any) -> None:
    b = bench(receipt_before_response=1.0, latency_ms=5)
    one = b.session()
    b.send(one, submit_sm(1))
    b.wait()
    assert b.commands(one) == [DELIVER]
    b.wait(5)
    assert b.commands(one) == [RESP]


def test_an_early_receipt_goes_to_the_receiver_of_a_pair(bench: Any, submit_sm: Any) -> None:
    b = bench(receipt_before_response=1.0)
    transmitter, receiver = b.session(receive=False), b.session(transmit=False)
    b.send(transmitter, submit_sm(1))
    assert b.wait() == [receiver]
    assert b.wait(10) == [transmitter, receiver]


def test_receipts_keep_to_the_window_of_unanswered_ones(bench: Any, submit_sm: Any) -> None:
    b = bench(receipt_window=2)
    one = b.session()
    b.send(one, b"".join(submit_sm(n) for n in range(1, 6)))
    b.wait()
    assert b.commands(one) == [RESP] * 5 + [DELIVER] * 2
    assert b.wait(60_000) == []
    b.send(one, answer([1]))
    b.wait()
    assert [pdu[2] for pdu in b.pdus(one)] == [3]
    assert b.carrier.counters()["receipts_unanswered"] == 2
    assert b.carrier.counters()["receipts_queued"] == 2


def test_several_receivers_share_the_receipts(bench: Any, submit_sm: Any) -> None:
    b = bench()
    one, two = b.session(), b.session()
    b.send(one, b"".join(submit_sm(n) for n in range(1, 11)))
    b.wait()
    assert b.commands(one).count(DELIVER) == 5
    assert b.commands(two).count(DELIVER) == 5


def test_receipts_wait_for_the_next_bind_of_the_account_and_unanswered_ones_come_again(
    bench: Any, submit_sm: Any
) -> None:
    b = bench(receipt_window=2)
    one = b.session()
    stranger = b.session(account=1)
    b.send(one, b"".join(submit_sm(n, destination=b"%d" % n) for n in range(1, 5)))
    b.wait()
    b.send(one, answer([1]))
    b.carrier.disconnect(one)
    assert b.wait() == []
    assert b.commands(stranger) == []
    two, three = b.session(), b.session()
    b.wait()
    numbers = [pdu[3][3:4] for handle in (three, two) for pdu in b.pdus(handle)]
    assert sorted(numbers) == [b"2", b"3", b"4"]


def test_a_receipt_refused_for_now_comes_again(bench: Any, submit_sm: Any) -> None:
    b = bench()
    one = b.session()
    b.send(one, submit_sm(1))
    b.wait()
    b.pdus(one)
    b.send(one, answer([1], status=0x64))
    assert b.wait(999) == []
    b.wait(1)
    assert b.commands(one) == [DELIVER]
    b.send(one, answer([2], status=0x08))
    assert b.wait(60_000) == []
    assert b.carrier.counters()["receipts_refused"] == 1


def test_no_receipts_for_a_peer_that_does_not_read(bench: Any, submit_sm: Any) -> None:
    b = bench()
    one = b.session()
    b.carrier.pause(one, True)
    b.send(one, submit_sm(1))
    b.wait()
    assert b.commands(one) == [RESP]
    b.carrier.pause(one, False)
    b.wait()
    assert b.commands(one) == [DELIVER]


def test_the_tps_limit_throttles_and_refills(bench: Any, submit_sm: Any) -> None:
    b = bench(tps=10, receipt_share=0.0)
    one = b.session()
    b.send(one, b"".join(submit_sm(n) for n in range(1, 6)))
    assert [status for _, status, *_ in b.split(b.carrier.output(one))] == [0, 0, 0x58, 0x58, 0x58]
    b.wait(100)
    b.send(one, submit_sm(6) + submit_sm(7))
    assert [status for _, status, *_ in b.pdus(one)] == [0, 0x58]


def test_what_comes_faster_than_it_is_worked_off_queues_and_is_answered_later(
    bench: Any, submit_sm: Any
) -> None:
    b = bench(service_tps=100, latency_ms=5, receipt_share=0.0)
    one = b.session()
    b.send(one, b"".join(submit_sm(n) for n in range(1, 5)))
    answered = []
    for _ in range(50):
        answered.append(len(b.pdus(one)))
        b.wait(1)
    at_ms = [at for at, count in enumerate(answered) if count]
    assert sum(answered) == 4
    assert [after - before for before, after in pairwise(at_ms)] == [10, 10, 10]
    b.wait(1000)
    b.send(one, submit_sm(5))
    b.wait(20)
    assert len(b.pdus(one)) == 1, "a queue that is empty keeps nothing for later"


def test_over_a_minute_exactly_the_tps_is_accepted(bench: Any, submit_sm: Any) -> None:
    b = bench(tps=100, receipt_share=0.0)
    one = b.session()
    for _ in range(6000):
        b.send(one, submit_sm(1) + submit_sm(2))
        b.wait(10)
    assert b.carrier.counters()["accepted"] == 6000 + 19  # and what the bucket held at first


def test_more_unanswered_messages_than_the_window_are_throttled(bench: Any, submit_sm: Any) -> None:
    b = bench(window=2, latency_ms=10, receipt_share=0.0)
    one = b.session()
    b.send(one, submit_sm(1) + submit_sm(2) + submit_sm(3))
    assert [pdu[:3] for pdu in b.pdus(one)] == [(RESP, 0x58, 3)]
    b.wait(10)
    assert len(b.pdus(one)) == 2


def test_shares_of_errors_are_kept(bench: Any, submit_sm: Any) -> None:
    b = bench(
        errors=((0x0B, 0.2), (0x14, 0.1)), throttle_share=0.1, silent_share=0.1, seed=5, receipt_share=0
    )
    one = b.session()
    count = 4000
    b.send(one, b"".join(submit_sm(n) for n in range(1, count + 1)))
    statuses = [status for _, status, *_ in b.pdus(one)]
    for status, share in ((0x0B, 0.2), (0x14, 0.1), (0x58, 0.1)):
        assert statuses.count(status) == pytest.approx(count * share, rel=0.15)
    assert count - len(statuses) == pytest.approx(count * 0.1, rel=0.15)
    assert statuses.count(0) + count - len(statuses) == len(b.carrier.witness()) // RECORD.size


def test_an_error_has_no_body_or_an_empty_id(bench: Any, submit_sm: Any) -> None:
    b = bench(errors=((0x0B, 1.0),))
    one = b.session()
    b.send(one, submit_sm(1) + submit_sm(2))
    assert b.pdus(one) == [(RESP, 0x0B, 1, b""), (RESP, 0x0B, 2, b"\0")]


def test_a_receiver_or_an_unbound_session_may_not_submit(bench: Any, submit_sm: Any) -> None:
    b = bench()
    receiver, unbound = b.session(transmit=False), b.carrier.connect()
    for handle in (receiver, unbound):
        b.send(handle, submit_sm(1))
        assert [pdu[1] for pdu in b.pdus(handle)] == [0x04]
    assert b.carrier.witness() == b""


def test_a_broken_message_is_refused_and_not_witnessed(bench: Any, submit_sm: Any) -> None:
    b = bench()
    one = b.session()
    whole = submit_sm(1, text=b"hello")
    cut = struct.pack(">I", len(whole) - 3) + whole[4:-3]
    b.send(one, cut + submit_sm(2, destination=b"") + submit_sm(3, destination=b"1" * 21))
    assert [pdu[1] for pdu in b.pdus(one)] == [0x02, 0x0B, 0x0B]
    assert b.carrier.witness() == b""


def test_it_stops_at_what_is_incomplete_or_of_another_kind(bench: Any, submit_sm: Any) -> None:
    b = bench()
    one = b.session()
    first, second = submit_sm(1), submit_sm(2)
    enquire_link = struct.pack(">IIII", 16, 0x15, 0, 9)
    assert b.send(one, first + enquire_link + second) == len(first)
    assert b.send(one, first + second[:-1]) == len(first)
    assert b.send(one, struct.pack(">IIII", 15, 4, 0, 1) + bytes(99)) == 0
    assert b.send(one, struct.pack(">IIII", 65537, 4, 0, 1) + bytes(65536)) == 0


@pytest.mark.parametrize(
    ("esm_class", "text", "tlvs", "part"),
    [
        (0x40, b"\x05\x00\x03\x2a\x03\x02hello", b"", (0x2A, 3, 2)),
        (0x40, b"\x06\x08\x04\x01\x2a\x03\x02hello", b"", (0x12A, 3, 2)),
        (0, b"hello", b"\x02\x0c\0\x02\x01\x2a\x02\x0e\0\x01\x03\x02\x0f\0\x01\x02", (0x12A, 3, 2)),
        (0, b"", b"\x04\x24\0\x05hello", (0, 1, 1)),
        (0x40, b"\x02\x70\x00hello", b"", (0, 1, 1)),
    ],
)
def test_the_witness_tells_parts_and_texts_apart(
    bench: Any, submit_sm: Any, esm_class: int, text: bytes, tlvs: bytes, part: tuple[int, int, int]
) -> None:
    b = bench()
    one = b.session()
    b.send(one, submit_sm(1, esm_class=esm_class, text=text, tlvs=tlvs) + submit_sm(2))
    tested, plain = RECORD.iter_unpack(b.carrier.witness())
    assert (tested[3], tested[5], tested[4]) == part
    assert tested[2] == plain[2], "the same text whatever carries it"
    assert (tested[0], tested[1]) == (NOW_US, 1001)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"throttle_share": 1.5}, "between 0 and 1"),
        ({"errors": ((0x0B, 0.7),), "throttle_share": 0.7}, "more than 1"),
        ({"latency_ms": -1}, "negative"),
        ({"receipt_window": 0}, "receipt window"),
        ({"errors": ((0, 0.1),)}, "command_status"),
    ],
)
def test_a_behaviour_that_cannot_be_is_refused(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Behaviour(**settings)
