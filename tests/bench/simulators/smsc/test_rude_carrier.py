"""What a rude SMSC does to messages and receipts, on the C carrier and its twin."""

import re
import struct
from collections.abc import Callable
from typing import Any

import pytest

from bench.simulators.smsc.behaviour import Behaviour
from bench.simulators.smsc.witness import RECEIPT, RECORD

NOW_US = 1_700_000_000_000_000
RESP, DELIVER, DATA, NACKED = 0x80000004, 0x5, 0x103, 0x80000005
THROTTLED, QUEUE_FULL, MISSING_TLV = 0x58, 0x14, 0xC3
Pdus = list[tuple[int, int, int, bytes]]


class Smsc:
    """One carrier with a bound transceiver."""

    def __init__(self, carrier: Any, split: Callable[[bytes], Pdus]) -> None:
        self.carrier, self.split, self.now_us = carrier, split, NOW_US
        self.handle = self.bind()

    def bind(self, account: int = 0) -> int:
        handle: int = self.carrier.connect()
        self.carrier.bind(handle, account, True, True)
        return handle

    def send(self, data: bytes, handle: int | None = None) -> None:
        self.carrier.receive(self.handle if handle is None else handle, data, 0, self.now_us)

    def after(self, milliseconds: float, handle: int | None = None) -> Pdus:
        self.now_us += round(milliseconds * 1000)
        self.carrier.advance(self.now_us)
        return self.split(self.carrier.output(self.handle if handle is None else handle))


@pytest.fixture
def smsc(carrier_class: Any, split: Any) -> Callable[..., Smsc]:
    return lambda **settings: Smsc(carrier_class(Behaviour(**settings).plan(), 1000), split)


def statuses(pdus: Pdus) -> list[int]:
    return [status for command, status, *_ in pdus if command == RESP]


def test_an_accepted_message_without_an_id_has_none_in_either_of_the_fields_ways(
    smsc: Any, submit_sm: Any
) -> None:
    one = smsc(empty_id_share=1.0, receipt_share=0.0)
    one.send(submit_sm(1) + submit_sm(2))
    assert one.after(0) == [(RESP, 0, 1, b""), (RESP, 0, 2, b"\0")]
    assert one.carrier.counters()["accepted"] == one.carrier.counters()["without_id"] == 2
    assert len(one.carrier.witness()) == 2 * RECORD.size, "they were accepted all the same"


def test_a_full_box_is_the_destinations_and_opens_after_its_time(smsc: Any, submit_sm: Any) -> None:
    one = smsc(full_box_share=0.5, full_box_ms=1000, receipt_share=0.0)
    numbers = [b"4477009%05d" % n for n in range(40)]
    everyone = b"".join(submit_sm(n, destination=number) for n, number in enumerate(numbers))
    one.send(everyone)
    first = statuses(one.after(0))
    one.send(everyone)
    assert statuses(one.after(999)) == first, "the same boxes are full, whenever they are asked"
    assert 8 <= first.count(QUEUE_FULL) <= 32
    assert first.count(0) == 40 - first.count(QUEUE_FULL)
    one.now_us += 1000
    one.send(everyone)
    assert statuses(one.after(1)) == [0] * 40


def test_a_storm_throttles_everyone_and_passes(smsc: Any, submit_sm: Any) -> None:
    one = smsc(storm_every_ms=100, storm_ms=30, receipt_share=0.0)
    found = []
    for n in range(20):
        one.send(submit_sm(n))
        found += statuses(one.after(10))
    assert found == ([THROTTLED] * 3 + [0] * 7) * 2


@pytest.mark.parametrize(
    ("settings", "stats"),
    [
        ({"accepted_first_share": 1.0}, [b"ACCEPTD", b"DELIVRD"]),
        ({"corrected_share": 1.0}, [b"UNDELIV", b"DELIVRD"]),
        ({"doubled_share": 1.0}, [b"DELIVRD", b"DELIVRD"]),
    ],
)
def test_a_message_gets_two_receipts_in_their_order(
    smsc: Any, submit_sm: Any, settings: dict[str, float], stats: list[bytes]
) -> None:
    one = smsc(second_receipt_ms=20, **settings)
    one.send(submit_sm(1))
    first, second = one.after(0)[1:], one.after(20)
    bodies = [body for command, _, _, body in first + second if command == DELIVER]
    assert [re.search(rb"stat:(\w+)", body)[1] for body in bodies] == stats  # type: ignore[index]
    assert all(b"id:3e9 " in body for body in bodies)
    assert len(first) == len(second) == 1


@pytest.mark.parametrize(
    ("form", "found"),
    [
        ("text", (True, False, False)),
        ("tlv", (False, True, False)),
        ("payload", (False, False, True)),
        ("both", (True, True, False)),
    ],
)
def test_a_receipt_is_in_its_text_in_its_tlvs_or_in_message_payload(
    smsc: Any, submit_sm: Any, form: str, found: tuple[bool, bool, bool]
) -> None:
    one = smsc(receipt_form=form)
    one.send(submit_sm(1))
    body = one.after(0)[1][3]
    _, _, tail = body.partition(b"HELIO\0")
    sm_length, rest = tail[9], tail[10:]
    text, tlvs = rest[:sm_length], rest[sm_length:]
    assert tail[0] == 4
    assert (
        text.startswith(b"id:3e9 "),
        tlvs.startswith(b"\x00\x1e\x00\x043e9\0\x04\x27\x00\x01\x02"),
        tlvs.startswith(b"\x04\x24\x00") and b"id:3e9 " in tlvs,
    ) == found


def test_a_receipt_in_ucs_2_says_so(smsc: Any, submit_sm: Any) -> None:
    one = smsc(receipt_form="ucs2", receipt_dialect="short")
    one.send(submit_sm(1))
    _, _, tail = one.after(0)[1][3].partition(b"HELIO\0")
    assert tail[7] == 8
    assert tail[10 : 10 + tail[9]].decode("utf-16-be").startswith("id:3e9 submitdate:231114221320 ")


def test_a_receipt_by_data_sm_is_answered_by_data_sm_resp(smsc: Any, submit_sm: Any) -> None:
    one = smsc(receipt_form="data_sm")
    one.send(submit_sm(1))
    command, _, sequence, body = one.after(0)[1]
    assert command == DATA
    assert body.endswith(b"HELIO\0\x04\0\0\x00\x1e\x00\x043e9\0\x04\x27\x00\x01\x02")
    one.send(struct.pack(">IIIIB", 17, 0x80000103, 0, sequence, 0))
    assert one.carrier.counters()["receipts_answered"] == 1


def test_a_receipt_may_lie_about_what_it_is_and_whom_it_was_for(smsc: Any, submit_sm: Any) -> None:
    one = smsc(receipt_esm_class=0, receipt_local_numbers=True)
    one.send(submit_sm(1, destination=b"447700900001"))
    body = one.after(0)[1][3]
    assert body.startswith(b"\0\x02\x0107700900001\0\x05\0HELIO\0\x00")


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        (
            "spelt",
            rb"ID:3e9 STAT:DELIVERED SUBMIT_DATE:20231114221320 DONE_DATE:20231114221320 ERR:000 TEXT:h",
        ),
        ("epoch", rb"id:3e9 submit date:1700000000 done date:1700000000 stat:DELIVRD err:000 Text:hello"),
        ("numeric", rb"id:3e9 sub:001 dlvrd:001 submit date:231114221320 .* stat:2 err:000 text:hello"),
    ],
)
def test_a_receipts_text_has_the_dialect(smsc: Any, submit_sm: Any, dialect: str, text: bytes) -> None:
    one = smsc(receipt_dialect=dialect)
    one.send(submit_sm(1))
    assert re.search(text, one.after(0)[1][3])


@pytest.mark.parametrize(
    ("form", "written"),
    [
        ("hex-upper", b"3E9"),
        ("hex-padded", b"00000000000003e9"),
        ("decimal-padded", b"00000000000000001001"),
        ("long", b"3e9".rjust(72, b"0")),
    ],
)
def test_ids_are_written_as_asked(smsc: Any, submit_sm: Any, form: str, written: bytes) -> None:
    one = smsc(id_format=form, receipt_id_format="decimal")
    one.send(submit_sm(1))
    response, receipt = one.after(0)
    assert response[3] == written + b"\0"
    assert b"id:1001 " in receipt[3]


def test_two_accounts_may_give_the_same_ids_and_one_account_the_same_again(smsc: Any, submit_sm: Any) -> None:
    one = smsc(ids_per_account=True, id_reuse=2, receipt_share=0.0)
    other = one.bind(account=1)
    one.send(submit_sm(1) + submit_sm(2) + submit_sm(3))
    one.send(submit_sm(1), other)
    assert [body for *_, body in one.after(0)] == [b"3e9\0", b"3ea\0", b"3e9\0"]
    assert [body for *_, body in one.after(0, other)] == [b"3e9\0"]


def test_a_binds_limit_is_its_own(smsc: Any, submit_sm: Any) -> None:
    one = smsc(bind_tps=10, receipt_share=0.0)
    other = one.bind()
    one.send(b"".join(submit_sm(n) for n in range(4)))
    one.send(submit_sm(1), other)
    assert statuses(one.after(0)) == [0, 0, THROTTLED, THROTTLED]
    assert statuses(one.after(0, other)) == [0]


def test_a_message_without_the_required_tlv_is_refused(smsc: Any, submit_sm: Any) -> None:
    one = smsc(required_tlv=0x1400, receipt_share=0.0)
    one.send(submit_sm(1) + submit_sm(2, tlvs=b"\x14\x00\x00\x011"))
    assert statuses(one.after(0)) == [MISSING_TLV, 0]


def test_some_responses_come_late(smsc: Any, submit_sm: Any) -> None:
    one = smsc(late_share=0.5, late_ms=500, receipt_share=0.0, seed=3)
    one.send(b"".join(submit_sm(n) for n in range(40)))
    in_time, late = statuses(one.after(1)), statuses(one.after(499))
    assert len(in_time) + len(late) == 40
    assert 8 <= len(late) <= 32


def test_congestion_follows_the_use_of_the_tps_limit(smsc: Any, submit_sm: Any) -> None:
    one = smsc(congestion=101, tps=20, receipt_share=0.0)
    one.send(b"".join(submit_sm(n) for n in range(4)))
    levels = [body[-1] for *_, body in one.after(0) if b"\x04\x28\0\x01" in body]
    assert levels == [25, 50, 75, 100]


def test_a_subscribers_reply_is_no_receipt(smsc: Any, submit_sm: Any) -> None:
    one = smsc(reply_share=1.0, receipt_share=0.0)
    one.send(submit_sm(1))
    command, _, sequence, body = one.after(0)[1]
    assert command == DELIVER
    assert body.startswith(b"\0\x01\x01447700900001\0\x05\0HELIO\0\x00")
    assert body.endswith(b"\x04STOP")
    one.send(struct.pack(">IIIIB", 17, NACKED, 0, sequence, 0))
    counters = one.carrier.counters()
    assert (counters["replies_answered"], counters["receipts_answered"]) == (1, 0)


def test_what_is_overdue_is_told_until_it_is_answered(smsc: Any, submit_sm: Any) -> None:
    one = smsc(unanswered_ms=100)
    one.send(submit_sm(1))
    one.after(0)
    assert one.carrier.overdue(one.now_us + 100_000) == []
    assert one.carrier.overdue(one.now_us + 100_001) == [one.handle]
    one.send(struct.pack(">IIIIB", 17, NACKED, 0, 1, 0))
    assert one.carrier.overdue(one.now_us + 900_000) == []


def test_only_receipts_that_were_acknowledged_are_noted(smsc: Any, submit_sm: Any) -> None:
    one = smsc()
    one.carrier.noting = True
    one.send(submit_sm(1) + submit_sm(2) + submit_sm(3))
    one.after(0)
    one.send(struct.pack(">IIIIB", 17, NACKED, 0, 1, 0) + struct.pack(">IIIIB", 17, NACKED, 8, 2, 0))
    assert list(RECEIPT.iter_unpack(one.carrier.acknowledged())) == [(1001, 0, 4)]
    assert one.carrier.acknowledged() == b""


@pytest.mark.parametrize(
    "wrong",
    [
        {"storm_ms": 2.0, "storm_every_ms": 1.0},
        {"accepted_first_share": 0.6, "corrected_share": 0.6},
        {"full_box_share": 1.1},
        {"congestion": 102},
        {"required_tlv": 0x10000},
        {"id_reuse": -1},
        {"second_receipt_ms": -1.0},
    ],
)
def test_a_behaviour_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Behaviour(**wrong)  # type: ignore[arg-type]
