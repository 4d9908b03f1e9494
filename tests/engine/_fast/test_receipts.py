import importlib
import struct
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._fast.columns import KIND_INTERMEDIATE, KIND_MO, KIND_OTHER_ACK, KIND_RECEIPT
from engine._fast.pure import receipts as pure

fast = importlib.import_module("engine._fast.receipts")
FIELDS = (
    "sequence",
    "command",
    "kind",
    "ids",
    "id_end",
    "msisdn",
    "verdict",
    "stat",
    "errors",
    "error_end",
    "done_s",
    "submit_s",
    "done_raw",
    "done_raw_end",
    "network",
    "network_end",
    "sender",
    "sender_end",
    "pdu",
    "pdu_end",
)
NUMBERS = ("sequence", "command", "kind", "msisdn", "verdict", "stat", "done_s")
TYPICAL = (
    b"id:0123456789 sub:001 dlvrd:001 submit date:2601021504 done date:2601021505 stat:DELIVRD err:000 "
    b"text:Hello"
)
DONE = 1767366300  # 2026-01-02 15:05:00


@pytest.fixture(params=[pure, fast], ids=["pure", "c"])
def receipts(request):
    return request.param


def tlv(tag: int, value: bytes) -> bytes:
    return struct.pack(">HH", tag, len(value)) + value


def deliver(
    message=b"", *, esm_class=0x04, data_coding=0, source=b"447911123456", tlvs=b"", sequence=7
) -> bytes:
    body = (
        b"\0\1\1"
        + source
        + b"\0\5\0HELIO\0"
        + bytes((esm_class, 0, 0, 0, 0, 0, 0, data_coding, 0, len(message)))
    )
    body += message + tlvs
    return struct.pack(">IIII", 16 + len(body), 5, 0, sequence) + body


def data_sm(tlvs: bytes, *, esm_class=0x04, data_coding=0, source=b"447911123456", sequence=7) -> bytes:
    body = b"\0\1\1" + source + b"\0\5\0HELIO\0" + bytes((esm_class, 0, data_coding)) + tlvs
    return struct.pack(">IIII", 16 + len(body), 0x103, 0, sequence) + body


def parse(module, pdus: list[bytes], prefer_text: bool = False):
    start, end, at = array("i"), array("i"), 0
    for pdu in pdus:
        start.append(at)
        at += len(pdu)
        end.append(at)
    return module.parse(b"".join(pdus), start, end, prefer_text)


def one(module, pdu: bytes) -> dict[str, object]:
    batch = parse(module, [pdu])
    assert batch.count == 1
    found = {name: getattr(batch, name)[0] for name in NUMBERS}
    return {**found, "id": bytes(batch.ids), "error": bytes(batch.errors)}


def test_the_receipt_of_appendix_b(receipts):
    assert one(receipts, deliver(TYPICAL)) == {
        "sequence": 7, "command": 5, "kind": KIND_RECEIPT, "id": b"0123456789", "msisdn": 447911123456,
        "verdict": 2, "stat": 2, "error": b"000", "done_s": DONE,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("stat", "state", "verdict"),
    [
        ("DELIVRD", 2, 2), ("delivered", 2, 2), ("2", 2, 2), ("002", 2, 2), ("EXPIRED", 3, 1),
        ("DELETED", 4, 1),
        ("UNDELIV", 5, 1), ("Undeliverable", 5, 1), ("FAILED", 5, 1), ("ACCEPTD", 6, 0), ("ENROUTE", 1, 0),
        ("UNKNOWN", 7, 0), ("REJECTD", 8, 1), ("SCHEDULED", 0, 0), ("SKIPPED", 9, 1), ("WEIRD", 255, 0),
        ("10", 255, 0), ("DELIVERY", 255, 0),
    ],
)  # fmt: skip
def test_states_abbreviated_spelt_out_or_numeric(receipts, stat, state, verdict):
    found = one(receipts, deliver(f"id:1 stat:{stat} err:0".encode()))
    assert (found["stat"], found["verdict"]) == (state, verdict)


@pytest.mark.parametrize(
    "text",
    [
        b"ID:abc-9 Stat:DELIVRD Done Date:2601021505 Err:00A",
        b"stat:DELIVRD done_date:260102150500 err:00A id:abc-9",
        b"id: abc-9 stat: DELIVRD err: 00A donedate: 20260102150500 submitdate:2601010000",
        b"sub:001\r\nid:abc-9\r\nstat:DELIVRD\r\nerr:00A\r\ndone date:202601021505",
        b"id :abc-9 stat :DELIVRD err :00A done date :1767366300 text",
        b"id:abc-9 dlvrd: sub: stat:DELIVRD err:00A done date:1767366300123 foo:bar",
    ],
)
def test_keys_in_any_case_order_and_spelling(receipts, text):
    found = one(receipts, deliver(text))
    assert (found["id"], found["stat"], found["error"], found["done_s"]) == (b"abc-9", 2, b"00A", DONE)


def test_what_the_sender_wrote_is_not_read(receipts):
    found = one(receipts, deliver(b"id:1 stat:UNDELIV err:045 text:id:2 stat:DELIVRD done date:2601021505"))
    assert (found["id"], found["stat"], found["error"], found["done_s"]) == (b"1", 5, b"045", -1)
    found = one(receipts, deliver(b"Text:stat:DELIVRD id:2"))
    assert (found["id"], found["stat"]) == (b"", 255)


def test_an_empty_value_does_not_swallow_the_next_key(receipts):
    found = one(receipts, deliver(b"id: stat:DELIVRD err: done date:"))
    assert (found["id"], found["stat"], found["error"], found["done_s"]) == (b"", 2, b"", -1)


def test_tlvs_win_over_the_text(receipts):
    tlvs = tlv(0x001E, b"TLV-1\0") + tlv(0x0427, b"\x05") + tlv(0x0423, b"\x03\x00\x0b")
    found = one(receipts, deliver(b"id:text-1 stat:DELIVRD", tlvs=tlvs))
    assert (found["id"], found["stat"], found["verdict"], found["error"]) == (b"TLV-1", 5, 1, b"011")
    assert one(receipts, deliver(TYPICAL, tlvs=tlvs))["error"] == b"000"


def test_a_receipt_of_tlvs_alone(receipts):
    tlvs = tlv(0x0427, b"\x02") + tlv(0x001E, b"unterminated")
    for pdu in (deliver(tlvs=tlvs), data_sm(tlvs)):
        found = one(receipts, pdu)
        assert (found["kind"], found["id"], found["verdict"], found["done_s"]) == (
            KIND_RECEIPT,
            b"unterminated",
            2,
            -1,
        )


def test_a_cut_off_tlv_ends_the_list_and_keeps_the_receipt(receipts):
    found = one(receipts, deliver(TYPICAL, tlvs=tlv(0x0427, b"\x05") + b"\x00\x1e\x00\x20abc"))
    assert (found["id"], found["stat"]) == (b"0123456789", 5)


@pytest.mark.parametrize("encoding", ["utf-16-be", "utf-16-le", "utf-16"])
def test_ucs2_texts(receipts, encoding):
    text = "id:77 stat:UNDELIV err:1 text:über".encode(encoding)
    found = one(receipts, deliver(text, data_coding=8))
    assert (found["id"], found["stat"], found["error"]) == (b"77", 5, b"1")


def test_ucs2_without_its_data_coding(receipts):
    assert one(receipts, deliver("id:77 stat:DELIVRD".encode("utf-16-be")))["id"] == b"77"


def test_message_payload(receipts):
    payload = tlv(0x0424, TYPICAL)
    for pdu in (deliver(tlvs=payload), data_sm(payload)):
        assert one(receipts, pdu)["id"] == b"0123456789"


def test_a_user_data_header_is_skipped_also_where_it_is_all_there_is(receipts):
    assert (
        one(receipts, deliver(b"\x05\x00\x03\x01\x01\x01" + TYPICAL, esm_class=0x44))["id"] == b"0123456789"
    )
    for message in (b"", b"\x00", b"\xff", b"\x05\x00\x03"):
        assert one(receipts, deliver(message, esm_class=0x44))["id"] == b""


@pytest.mark.parametrize(
    ("esm_class", "kind"),
    [(0x04, KIND_RECEIPT), (0x07, KIND_RECEIPT), (0x20, KIND_INTERMEDIATE), (0x08, KIND_OTHER_ACK),
     (0x10, KIND_OTHER_ACK), (0x18, KIND_OTHER_ACK), (0x00, KIND_MO), (0x43, KIND_MO)],
)  # fmt: skip
def test_kinds_by_esm_class(receipts, esm_class, kind):
    assert one(receipts, deliver(b"\0", esm_class=esm_class))["kind"] == kind


def test_an_intermediate_notification_is_never_final(receipts):
    found = one(receipts, deliver(TYPICAL, esm_class=0x20))
    assert (found["id"], found["stat"], found["verdict"]) == (b"0123456789", 2, 0)


def test_a_stop_is_a_message_and_a_receipt_without_its_flag_keeps_its_id(receipts):
    stop = one(receipts, deliver(b"STOP", esm_class=0))
    assert (stop["kind"], stop["id"], stop["verdict"], stop["stat"]) == (KIND_MO, b"", 0, 255)
    half = one(receipts, deliver(b"id:5 please STOP", esm_class=0))
    assert (half["kind"], half["id"]) == (KIND_MO, b"")
    unflagged = one(receipts, deliver(TYPICAL, esm_class=0))
    assert (unflagged["kind"], unflagged["id"], unflagged["verdict"]) == (KIND_MO, b"0123456789", 2)


@pytest.mark.parametrize(
    ("date", "epoch_s"),
    [
        ("2601021505", DONE), ("260102150500", DONE), ("20260102150500", DONE), ("202601021505", DONE),
        ("1767366300", DONE), ("2402290000", 1709164800), ("2302290000", -1), ("2613010000", -1),
        ("2601012460", -1),
        ("19990101000000", -1), ("1", -1), ("26010215xx", -1), ("", -1),
    ],
)  # fmt: skip
def test_dates_of_every_length(receipts, date, epoch_s):
    assert one(receipts, deliver(f"id:1 done date:{date} stat:DELIVRD".encode()))["done_s"] == epoch_s


@pytest.mark.parametrize(
    ("source", "number"),
    [
        (b"+447911123456", 447911123456),
        (b"HELIO", -1),
        (b"", -1),
        (b"+", -1),
        (b"1" * 18, int("1" * 18)),
        (b"1" * 19, -1),
    ],
)
def test_source_addresses(receipts, source, number):
    assert one(receipts, deliver(TYPICAL, source=source))["msisdn"] == number


@pytest.mark.parametrize("cut", range(16, 45))
def test_a_malformed_body_is_survived_and_can_be_acknowledged(receipts, cut):
    found = one(receipts, deliver(TYPICAL, sequence=0xFFFFFFFF)[:cut])
    assert (found["kind"], found["id"], found["sequence"], found["command"]) == (
        KIND_OTHER_ACK,
        b"",
        0xFFFFFFFF,
        5,
    )


def test_a_batch_keeps_its_order(receipts):
    batch = parse(receipts, [deliver(b"id:%d stat:DELIVRD err:%d" % (i, i), sequence=i) for i in range(30)])
    assert list(batch.sequence) == list(range(30))
    assert bytes(batch.ids) == b"".join(b"%d" % i for i in range(30))
    assert list(batch.id_end) == list(batch.error_end)


def test_offsets_outside_the_data_are_refused(receipts):
    for start, end in (([0], [15]), ([0], [99]), ([-1], [20]), ([20], [0])):
        with pytest.raises(ValueError, match="PDU"):
            receipts.parse(bytes(30), array("i", start), array("i", end))
    with pytest.raises(ValueError, match="same length"):
        receipts.parse(bytes(30), array("i", [0]), array("i"))


def test_what_is_kept_beside_the_verdict(receipts):
    batch = parse(
        receipts, [deliver(TYPICAL, tlvs=tlv(0x0423, b"\x03\x00\x0b")), deliver(b"Hi", esm_class=0)]
    )
    assert list(batch.submit_s) == [DONE - 60, -1]
    assert (bytes(batch.done_raw), list(batch.done_raw_end)) == (b"2601021505", [10, 10])
    assert (bytes(batch.network), list(batch.network_end)) == (b"03000b", [6, 6])
    assert (bytes(batch.sender), list(batch.sender_end)) == (b"HELIOHELIO", [5, 10])


def test_the_channel_may_prefer_the_text(receipts):
    tlvs = tlv(0x001E, b"TLV-1\0") + tlv(0x0427, b"\x05")
    for text, found in ((b"id:text-1 stat:DELIVRD", (b"text-1", 2)), (b"id: stat:WEIRD", (b"TLV-1", 5))):
        pdu = deliver(text, tlvs=tlvs)
        batch = receipts.parse(pdu, array("i", [0]), array("i", [len(pdu)]), True)
        assert (bytes(batch.ids), batch.stat[0]) == found


@pytest.mark.parametrize("value", [b"", b"\x01", b"\x03\x00", b"\x03\x00\x0b\x07" * 9])
def test_a_network_error_code_of_any_length_is_kept_raw(receipts, value):
    batch = parse(receipts, [deliver(TYPICAL, tlvs=tlv(0x0423, value))])
    assert bytes(batch.network) == value.hex().encode()


def test_an_id_over_65_octets_is_whole(receipts):
    long = b"x" * 200
    assert one(receipts, deliver(b"id:" + long + b" stat:DELIVRD"))["id"] == long
    assert one(receipts, deliver(b"", tlvs=tlv(0x001E, long) + tlv(0x0427, b"\x02")))["id"] == long


def test_all_that_is_no_receipt_by_its_flag_keeps_its_octets(receipts):
    message, unflagged = deliver(b"STOP", esm_class=0), deliver(TYPICAL, esm_class=0)
    acknowledgement, malformed = deliver(b"ok", esm_class=8), deliver(TYPICAL)[:30]
    batch = parse(receipts, [deliver(TYPICAL), message, unflagged, acknowledgement, malformed])
    kept = [bytes(batch.pdu[a:b]) for a, b in zip([0, *batch.pdu_end], batch.pdu_end, strict=False)]
    assert kept == [b"", message, unflagged, acknowledgement, malformed]


SENT, RECEIVED = DONE - 30, (DONE + 40) * 1_000_000


def test_a_done_date_counts_between_submit_and_arrival_only(receipts):
    done = array("q", [DONE, DONE - 31, DONE + 41, -1, DONE + 19800, DONE])
    ends = array("i", [10 * (i + 1) for i in range(6)])
    raw, sent = b"2601021505" * 5 + b"1767366300", array("q", [SENT] * 6)
    at = receipts.delivered_at(done, raw, ends, sent, RECEIVED, 0)
    assert list(at) == [DONE * 1_000_000, RECEIVED, RECEIVED, RECEIVED, RECEIVED, DONE * 1_000_000]
    in_india = receipts.delivered_at(done, raw, ends, sent, RECEIVED, 19800)
    assert list(in_india)[4:] == [DONE * 1_000_000, DONE * 1_000_000]  # an epoch has no zone
    assert in_india[0] == RECEIVED


@given(
    st.lists(
        st.tuples(
            st.integers(-1, 2**33), st.sampled_from([b"", b"2601021505", b"1767366300", b"1" * 13, b"15"]),
            st.integers(0, 2**32),
        ),
        max_size=9,
    ),
    st.integers(0, 2**52),
    st.integers(-50_400, 50_400),
)  # fmt: skip
def test_delivered_at_in_c_equals_the_twin(rows, received_us, offset_s):
    raw, ends = b"", array("i")
    for _, text, _ in rows:
        raw += text
        ends.append(len(raw))
    columns = (array("q", [r[0] for r in rows]), raw, ends, array("q", [r[2] for r in rows]))
    found = [module.delivered_at(*columns, received_us, offset_s) for module in (fast, pure)]
    assert found[0] == found[1]


pieces = st.one_of(
    st.sampled_from(
        [b"id:", b"ID :", b"stat:", b"done date:", b"Done_Date:", b"submit date:", b"sub:", b"err:", b"text:"]
    ),
    st.sampled_from(
        [b"DELIVRD", b"undeliverable", b"5", b"2601021505", b"202601021505", b"1767366300", b" ", b"\0"]
    ),
    st.sampled_from([b"delivr", b"deliveredx", b"text", b"id", b":", b"\xff\xfe", b"\xfe\xff"]),
    st.text("0123456789", max_size=15).map(str.encode),
    st.binary(max_size=5),
)
messages = st.lists(pieces, max_size=14).map(lambda parts: b"".join(parts)[:255])
tlv_lists = st.lists(
    st.builds(
        tlv,
        st.sampled_from([0x001E, 0x0427, 0x0423, 0x0424, 0x1400]),
        st.one_of(st.binary(max_size=9), messages),
    ),
    max_size=4,
).map(b"".join)
octet = st.one_of(st.sampled_from([0, 4, 8, 0x20, 0x40, 0x44]), st.integers(0, 255))
pdus = st.one_of(
    st.builds(
        lambda message, esm_class, data_coding, source, tlvs: deliver(
            message, esm_class=esm_class, data_coding=data_coding, source=source, tlvs=tlvs
        ),
        messages,
        octet,
        octet,
        st.one_of(st.text("+0123456789", max_size=20).map(str.encode), st.binary(max_size=4)),
        tlv_lists,
    ),
    st.builds(
        lambda tlvs, esm_class, data_coding: data_sm(tlvs, esm_class=esm_class, data_coding=data_coding),
        tlv_lists,
        octet,
        octet,
    ),
    st.binary(min_size=16, max_size=60),
)
damaged = st.one_of(pdus, st.builds(lambda pdu, cut: pdu[: max(16, cut)], pdus, st.integers(16, 120)))


@given(st.lists(damaged, max_size=8), st.booleans())
def test_c_equals_the_twin_on_hostile_pdus(batch, prefer_text):
    found, expected = parse(fast, batch, prefer_text), parse(pure, batch, prefer_text)
    assert {name: getattr(found, name) for name in FIELDS} == {
        name: getattr(expected, name) for name in FIELDS
    }


def test_a_date_is_not_taken_for_the_one_before_it(receipts):
    dates = [b"2601021505", b"2601021506", b"2601021505", b"2613991505", b"", b"260102150500", b"26010215050"]
    dates += [b"2601021505", b"1767366300", b"2" * 17, b"2601021505"]
    batch = parse(receipts, [deliver(b"id:1 done date:%b stat:DELIVRD" % date) for date in dates])
    assert list(batch.done_s) == [DONE, DONE + 60, DONE, -1, -1, DONE, -1, DONE, DONE, -1, DONE]


NEAR_KEYS = (
    "id i d idd err er errr text tex stat sta status sub subm submi submit submitdate dlvrd dlvr dlvrdd done",
    "donedate done_date done.date date submit_date dxte",
)
near_keys = st.lists(
    st.tuples(
        st.sampled_from(" ".join(NEAR_KEYS).split()),
        st.sampled_from(["", " ", "  ", "_", " date", "date", "_date", "\0"]),
        st.sampled_from([":", " :", "", "::", ": "]),
        st.sampled_from(["1", "DELIVRD", "2601021505", "", "stat", "done", "id", "e", "\xe9", "D\x0fNE"]),
        st.sampled_from([" ", "", "\t", "\0", "  "]),
        st.booleans(),
    ),
    max_size=8,
)


@given(near_keys)
def test_keys_and_what_only_looks_like_them_are_read_as_the_twin_reads_them(fields):
    text = "".join((a + b + c).upper() + d + e if up else a + b + c + d + e for a, b, c, d, e, up in fields)
    pdus = [deliver(text.encode("latin-1"))[:65000]] if len(text) < 250 else []
    for name in FIELDS:
        assert getattr(parse(fast, pdus), name) == getattr(parse(pure, pdus), name), name


def test_columns_grow_with_what_is_longer_than_mostly(receipts):
    identity = b"7" * 900
    pdus = [deliver(b"hello" * 30, esm_class=0, source=b"1" * 500)] * 5
    pdus += [deliver(tlvs=tlv(0x1E, identity) + tlv(0x427, b"\2") + tlv(0x423, b"\xab" * 300))] * 5
    batch = parse(receipts, pdus)
    assert bytes(batch.ids) == identity * 5
    assert bytes(batch.network) == b"ab" * 1500
    assert bytes(batch.pdu) == b"".join(pdus[:5])
