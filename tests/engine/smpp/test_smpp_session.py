"""The session with times as arguments: every transition, every timer, and what other engines got wrong."""

import struct
from array import array
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine._fast.columns import EncodedBatch
from engine.smpp import codec
from engine.smpp.events import (
    BindRefused,
    Bound,
    Closed,
    Congestion,
    Event,
    Receipts,
    Results,
    Unbound,
)
from engine.smpp.session import NotBound, Session, SessionConfig, WindowFull
from engine.smpp.states import TRANSITIONS, State, Step
from engine.smpp.tables import (
    BIND_TRANSCEIVER,
    COMMAND_IDS,
    DATA_SM,
    DELIVER_SM,
    ENQUIRE_LINK,
    GENERIC_NACK,
    RESPONSE,
    SUBMIT_SM,
    UNBIND,
)

EPOCH_US = 1_700_000_000_000_000
CONFIG = SessionConfig(system_id="esme", password="secret", window_size=10)
Submits = Callable[..., EncodedBatch]
Responses = Callable[..., bytes]
pytestmark = pytest.mark.usefixtures("fast")


def us(now: float) -> int:
    return EPOCH_US + round(now * 1e6)


def frames(octets: bytes) -> list[codec.Pdu]:
    found, at = [], 0
    while at < len(octets):
        end = at + codec.read_header(octets, at).command_length
        found.append(codec.decode(octets[at:end]))
        at = end
    return found


def output(session: Session) -> list[tuple[str, int, int]]:
    return [(each.name, each.status, each.sequence) for each in frames(session.take_output())]


def bind_resp(sequence: int = 1, status: int = 0) -> bytes:
    if status:
        return codec.encode(BIND_TRANSCEIVER | RESPONSE, sequence, status=status)
    return codec.encode(
        BIND_TRANSCEIVER | RESPONSE,
        sequence,
        fields={"system_id": b"SMSC"},
        tlvs=[codec.tlv("sc_interface_version", 0x34)],
    )


def receipt(sequence: int, message_id: str = "id-1", command: int = DELIVER_SM) -> bytes:
    fields = {"source_addr": b"15550100000", "destination_addr": b"Shop", "esm_class": 4}
    if command == DELIVER_SM:
        fields["short_message"] = f"id:{message_id} stat:DELIVRD err:000 text:hi".encode()
        return codec.encode(command, sequence, fields=fields)
    tlvs = [codec.tlv("receipted_message_id", message_id.encode()), codec.tlv("message_state", 2)]
    return codec.encode(command, sequence, fields=fields, tlvs=tlvs)


def bound(config: SessionConfig = CONFIG, now: float = 0.0) -> Session:
    session = Session(config)
    session.open(now)
    session.receive(bind_resp(frames(session.take_output())[0].sequence), now, us(now))
    assert session.state is State.BOUND
    return session


def submit(session: Session, batch: EncodedBatch, now: float = 0.0, count: int | None = None) -> bytes:
    stop = batch.count if count is None else count
    return bytes(session.submit(batch, 0, stop, 7, 0, 3, us(now)))


def statuses(events: list[Event]) -> list[int]:
    return [code for event in events if isinstance(event, Results) for code in event.batch.status]


# -- the machine ---------------------------------------------------------------


def test_every_state_ends_and_only_open_begins() -> None:
    for state in State:
        steps = {step for at, step in TRANSITIONS if at is state}
        assert (Step.BROKEN in steps) == (state is not State.CLOSED)
    assert [step for at, step in TRANSITIONS if at is State.CLOSED] == [Step.CONNECTED]
    into_bound = [pair for pair, to in TRANSITIONS.items() if to is State.BOUND]
    assert into_bound == [(State.BINDING, Step.BIND_ACCEPTED)]


def test_a_session_binds_with_its_credentials_and_learns_of_its_peer() -> None:
    session = Session(CONFIG)
    session.open(0.0)
    (bind,) = frames(session.take_output())
    assert (bind.name, bind.sequence) == ("bind_transceiver", 1)
    assert bind.octets("system_id") == b"esme"
    assert bind.octets("password") == b"secret"
    assert bind.integer("interface_version") == 0x34
    assert bind.octets("address_range") == b""
    assert session.receive(bind_resp(), 0.1, us(0.1)) == [Bound("SMSC", 0x34)]
    assert session.peer == Bound("SMSC", 0x34)


@pytest.mark.parametrize("mode", ["transmitter", "receiver"])
def test_other_bind_modes_use_their_command(mode: str) -> None:
    session = Session(SessionConfig(system_id="e", password="s", bind_mode=mode))
    session.open(0.0)
    (bind,) = frames(session.take_output())
    assert bind.name == f"bind_{mode}"
    answer = codec.encode(bind.command_id | RESPONSE, bind.sequence)
    assert session.receive(answer, 0, us(0)) == [Bound("", 0)]


def test_impossible_settings_are_refused_and_the_password_is_not_shown() -> None:
    with pytest.raises(ValueError, match="bind_mode"):
        SessionConfig(system_id="e", password="s", bind_mode="both")
    with pytest.raises(ValueError, match="window_size"):
        SessionConfig(system_id="e", password="s", window_size=0)
    for unsendable in ("пароль", "a\0b"):
        with pytest.raises(ValueError, match="password") as caught:
            SessionConfig(system_id="e", password=unsendable)
        assert unsendable not in str(caught.value)
    assert "secret" not in repr(CONFIG)


def test_a_refused_bind_closes_the_session_and_nothing_after_it_is_read() -> None:
    session = Session(CONFIG)
    session.open(0.0)
    data = bind_resp(status=0x0E) + receipt(9) + codec.encode(ENQUIRE_LINK, 4)
    session.take_output()
    assert session.receive(data, 0, us(0)) == [BindRefused(0x0E)]
    assert session.state is State.CLOSED
    assert session.take_output() == b""
    assert session.receive(bind_resp(), 1, us(1)) == []


def test_a_nacked_bind_is_a_refused_bind() -> None:
    session = Session(CONFIG)
    session.open(0.0)
    events = session.receive(codec.encode(GENERIC_NACK, 1, status=0x03), 0, us(0))
    assert events == [BindRefused(0x03)]


def test_only_a_bound_session_takes_submits(submits: Submits) -> None:
    session = Session(CONFIG)
    batch = submits(1, 5)
    for prepare in (lambda: None, lambda: session.open(0.0)):
        prepare()
        with pytest.raises(NotBound):
            submit(session, batch)
        with pytest.raises(NotBound):
            session.unbind(0.0)
    assert session.window.in_flight == 0


def test_unbind_waits_for_its_answer_and_reads_responses_meanwhile(
    submits: Submits, responses: Responses
) -> None:
    session = bound()
    batch = submits(2, session.reserve_sequences(2))
    submit(session, batch)
    session.unbind(1.0)
    assert output(session) == [("unbind", 0, 4)]
    with pytest.raises(NotBound):
        submit(session, batch)
    assert statuses(session.receive(responses([2]), 1.5, us(1.5))) == [0]
    events = session.receive(codec.encode(UNBIND | RESPONSE, 4), 2.0, us(2.0))
    assert events == [Unbound(by_peer=False)]
    assert session.state is State.CLOSED
    assert statuses(session.connection_lost(us(2.0))) == [-2]


def test_the_peers_unbind_is_answered_after_the_results_of_the_same_read(
    submits: Submits, responses: Responses
) -> None:
    session = bound()
    submit(session, submits(1, session.reserve_sequences(1)))
    events = session.receive(responses([2]) + codec.encode(UNBIND, 77), 1, us(1))
    assert statuses(events) == [0]
    assert events[-1] == Unbound(by_peer=True)
    assert output(session) == [("unbind_resp", 0, 77)]


def test_a_peer_that_answers_unbind_by_closing_has_answered(submits: Submits) -> None:
    session = bound()
    submit(session, submits(1, session.reserve_sequences(1)))
    session.unbind(1.0)
    events = session.connection_lost(us(2.0))
    assert statuses(events) == [-2]
    assert events[-1] == Unbound(by_peer=False)


def test_an_unbind_without_answer_ends_by_its_timer() -> None:
    session = bound()
    session.unbind(1.0)
    assert session.next_deadline() == 6.0
    assert session.tick(5.9, us(5.9)) == []
    assert session.tick(6.0, us(6.0)) == [Closed("no answer to the unbind")]


def test_a_bind_without_answer_ends_by_its_timer() -> None:
    session = Session(CONFIG)
    session.open(10.0)
    assert session.next_deadline() == 40.0
    assert session.tick(39.9, us(39.9)) == []
    assert session.tick(40.0, us(40.0)) == [Closed("no answer to the bind")]
    assert session.next_deadline() is None


def test_the_next_connection_starts_clean_and_sequences_go_on(submits: Submits) -> None:
    session = bound()
    first = session.reserve_sequences(3)
    submit(session, submits(3, first))
    session.receive(bind_resp()[:7], 1, us(1))
    events = session.connection_lost(us(2))
    assert statuses(events) == [-2, -2, -2]
    assert events[-1] == Closed("connection lost")
    session.open(3.0)
    (bind,) = frames(session.take_output())
    assert bind.sequence == first + 3
    assert session.receive(bind_resp(bind.sequence), 3, us(3)) == [Bound("SMSC", 0x34)]
    assert session.window.free == 10


def test_sequences_wrap_to_one() -> None:
    session = Session(CONFIG)
    assert session.reserve_sequences(0x7FFFFFFF - 3) == 1
    assert session.reserve_sequences(2) == 0x7FFFFFFF - 2
    assert session.reserve_sequences(3) == 0x7FFFFFFF
    assert session.reserve_sequences(1) == 3


# -- what other engines got wrong ------------------------------------------------


def test_what_follows_the_bind_response_in_one_read_belongs_to_the_bound_session() -> None:
    session = Session(CONFIG)
    session.open(0.0)
    session.take_output()
    data = codec.encode(ENQUIRE_LINK, 5) + receipt(6) + bind_resp()
    events = session.receive(data, 0, us(0))
    assert [type(event) for event in events] == [Bound, Receipts]
    assert output(session) == [("enquire_link_resp", 0, 5)]


def test_a_slot_stands_before_its_octets_do(submits: Submits, responses: Responses) -> None:
    session = bound()
    batch = submits(3, session.reserve_sequences(3))
    view = session.submit(batch, 1, 3, 7, 0, 3, us(0))
    assert session.window.in_flight == 2
    assert [each.sequence for each in frames(bytes(view))] == [3, 4]
    assert statuses(session.receive(responses([3, 4]), 0, us(0))) == [0, 0]


def test_a_fast_response_frees_its_slot_at_once(submits: Submits, responses: Responses) -> None:
    session = bound()
    for _ in range(50):
        first = session.reserve_sequences(10)
        submit(session, submits(10, first))
        assert session.window.free == 0
        assert len(statuses(session.receive(responses(list(range(first, first + 10))), 0, us(0)))) == 10
        assert session.window.free == 10


def test_a_full_window_registers_nothing_and_still_answers_the_peer(submits: Submits) -> None:
    session = bound()
    batch = submits(11, session.reserve_sequences(11))
    with pytest.raises(WindowFull):
        submit(session, batch)
    assert session.window.in_flight == 0
    submit(session, batch, count=10)
    session.receive(codec.encode(ENQUIRE_LINK, 8), 1, us(1))
    assert output(session) == [("enquire_link_resp", 0, 8)]


def test_results_carry_the_rows_of_what_was_submitted(submits: Submits, responses: Responses) -> None:
    session = bound()
    batch = submits(2, session.reserve_sequences(2), "a" * 200)
    session.submit(batch, 0, 4, 7, 2, 3, us(1), array("i", [10, 11, 12, 13]))
    (event,) = session.receive(responses([3]), 2, us(2))
    assert isinstance(event, Results)
    got = event.batch
    assert (list(got.row), list(got.part), list(got.parts)) == ([0], [2], [2])
    assert (list(got.index), list(got.claim), list(got.attempt)) == ([11], [3], [2])
    assert (list(got.sent_us), list(got.done_us), bytes(got.ids)) == ([us(1)], [us(2)], b"id-3")


@pytest.mark.parametrize("status", [0x58, 0x0A, 0x4FE, 0x7FFFFFFF, 0xFFFFFFFF])
def test_error_responses_without_body_give_their_status(
    status: int, submits: Submits, responses: Responses
) -> None:
    session = bound()
    submit(session, submits(1, session.reserve_sequences(1)))
    assert statuses(session.receive(responses([2], status), 1, us(1))) == [status]


@pytest.mark.parametrize(("status", "seen"), [(0x02, 0x02), (0, 0xFF)])
def test_a_nack_of_a_submit_is_an_error_result_even_if_it_says_ok(
    status: int, seen: int, submits: Submits
) -> None:
    session = bound()
    submit(session, submits(1, session.reserve_sequences(1)))
    events = session.receive(codec.encode(GENERIC_NACK, 2, status=status), 1, us(1))
    assert statuses(events) == [seen]
    assert session.window.in_flight == 0
    assert output(session) == []


@pytest.mark.parametrize("sequence", [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_any_sequence_of_the_peer_is_echoed(sequence: int) -> None:
    session = bound()
    data = codec.encode(ENQUIRE_LINK, sequence) + struct.pack(">IIII", 16, 0x777, 0, sequence)
    events = session.receive(data + receipt(sequence) + receipt(sequence, command=DATA_SM), 1, us(1))
    (event,) = events
    assert isinstance(event, Receipts)
    session.acknowledge(event.batch)
    assert output(session) == [
        ("enquire_link_resp", 0, sequence),
        ("generic_nack", 3, sequence),
        ("deliver_sm_resp", 0, sequence),
        ("data_sm_resp", 0, sequence),
    ]


def test_no_response_and_no_nack_is_ever_answered() -> None:
    session = bound()
    stray = [
        codec.encode(command_id, 99, status=status)
        for name, command_id in COMMAND_IDS.items()
        if command_id & RESPONSE and not name.startswith("bind_")
        for status in (0, 8)
    ]
    unknown = struct.pack(">IIII", 16, 0x80000777, 0, 5)
    events = session.receive(b"".join(stray) + unknown + bind_resp(), 1, us(1))
    assert events == []
    assert session.take_output() == b""
    assert session.state is State.BOUND


@pytest.mark.parametrize("name", ["submit_sm", "query_sm", "cancel_sm", "bind_transceiver", "submit_multi"])
def test_requests_that_only_an_smsc_takes_get_their_own_error_response(name: str) -> None:
    session = bound()
    session.receive(codec.encode(COMMAND_IDS[name], 12), 1, us(1))
    assert output(session) == [(f"{name}_resp", 4, 12)]


def test_notifications_are_not_answered() -> None:
    session = bound()
    data = codec.encode(COMMAND_IDS["alert_notification"], 1) + codec.encode(COMMAND_IDS["outbind"], 2)
    assert session.receive(data, 1, us(1)) == []
    assert output(session) == []


@pytest.mark.parametrize("length", [0, 15, 0x10001, 0xFFFFFFFF])
def test_a_length_that_cannot_be_right_is_nacked_and_ends_the_session(
    length: int, submits: Submits, responses: Responses
) -> None:
    session = bound()
    submit(session, submits(1, session.reserve_sequences(1)))
    broken = struct.pack(">IIII", length, SUBMIT_SM, 0, 66) + b"anything"
    events = session.receive(responses([2]) + broken + codec.encode(ENQUIRE_LINK, 5), 1, us(1))
    assert statuses(events) == [0]
    assert isinstance(events[-1], Closed)
    assert output(session) == [("generic_nack", 2, 66)]
    assert session.state is State.CLOSED


def test_a_malformed_receipt_is_answered_like_any_other() -> None:
    session = bound()
    cut = struct.pack(">IIII", 20, DELIVER_SM, 0, 31) + b"\0\1\1x"
    (event,) = session.receive(cut, 1, us(1))
    assert isinstance(event, Receipts)
    session.acknowledge(event.batch)
    assert output(session) == [("deliver_sm_resp", 0, 31)]


def test_receipts_wait_for_their_acknowledgement_and_take_a_status() -> None:
    session = bound()
    (event,) = session.receive(receipt(5) + receipt(6), 1, us(1))
    assert isinstance(event, Receipts)
    assert (output(session), session.unacknowledged) == ([], 2)
    session.acknowledge(event.batch, 0x64)
    assert output(session) == [("deliver_sm_resp", 0x64, 5), ("deliver_sm_resp", 0x64, 6)]
    session.acknowledge(event.batch)
    assert (output(session), session.unacknowledged) == ([], 0)


def test_receipts_of_an_earlier_connection_are_not_acknowledged_on_the_next() -> None:
    session = bound()
    (event,) = session.receive(receipt(5), 1, us(1))
    assert isinstance(event, Receipts)
    session.connection_lost(us(2))
    session.open(3)
    session.take_output()
    session.acknowledge(event.batch)
    assert output(session) == []


def test_a_receipt_before_the_bind_response_is_put_off() -> None:
    session = Session(CONFIG)
    session.open(0.0)
    session.take_output()
    assert session.receive(receipt(5), 0, us(0)) == []
    assert output(session) == [("deliver_sm_resp", 0x64, 5)]


# -- timers --------------------------------------------------------------------


def test_silence_is_probed_after_30_s_and_ends_after_two_misses() -> None:
    session = bound()
    assert session.next_deadline() == 30.0
    assert session.tick(29.9, us(29.9)) == []
    assert output(session) == []
    seen = []
    for now in (30.0, 40.0):
        assert session.next_deadline() == now
        assert session.tick(now, us(now)) == []
        seen += output(session)
    assert [name for name, _, _ in seen] == ["enquire_link", "enquire_link"]
    assert session.tick(50.0, us(50.0)) == [Closed("no answer to enquire_link")]
    assert session.state is State.CLOSED


def test_anything_heard_puts_the_probe_off_and_forgives_misses() -> None:
    session = bound()
    session.tick(30.0, us(30.0))
    session.tick(40.0, us(40.0))
    ((_, _, first), (_, _, second)) = output(session)
    session.receive(codec.encode(ENQUIRE_LINK | RESPONSE, second), 41.0, us(41.0))
    assert first != second
    assert session.next_deadline() == 71.0
    session.receive(b"\0", 60.0, us(60.0))
    assert session.next_deadline() == 90.0
    for now in (90.0, 100.0):
        assert session.tick(now, us(now)) == []
    assert session.tick(110.0, us(110.0)) == [Closed("no answer to enquire_link")]


def run_until(session: Session, start: float, end: float) -> list[Event]:
    """Ticks whenever the session asks for it, with the peer's answers to enquire_link."""
    events: list[Event] = []
    now = start
    while (due := session.next_deadline()) is not None and due <= end:
        now = max(now, due)
        events += session.tick(now, us(now))
        for name, _, sequence in output(session):
            assert name == "enquire_link"
            events += session.receive(codec.encode(ENQUIRE_LINK | RESPONSE, sequence), now, us(now))
    return events


def test_a_response_that_does_not_come_is_reported_once_and_its_slot_stays(
    submits: Submits, responses: Responses
) -> None:
    session = bound()
    submit(session, submits(2, session.reserve_sequences(2)), now=5.0)
    assert statuses(run_until(session, 5.0, 34.5)) == []
    assert statuses(run_until(session, 34.5, 37.0)) == [-1, -1]
    assert session.window.in_flight == 2
    assert statuses(run_until(session, 37.0, 100.0)) == []
    (event,) = session.receive(responses([2]), 100.0, us(100.0))
    assert isinstance(event, Results)
    assert (list(event.batch.status), list(event.batch.late)) == ([0], [1])
    assert session.window.in_flight == 1


def test_a_slot_that_never_gets_its_response_is_given_up_in_the_end(submits: Submits) -> None:
    session = bound()
    submit(session, submits(9, session.reserve_sequences(9)))
    run_until(session, 0.0, 299.0)
    assert session.window.free == 1
    run_until(session, 299.0, 303.0)
    assert session.window.free == 10


def test_a_whole_window_without_a_response_ends_the_session_not_the_sending(
    submits: Submits, responses: Responses
) -> None:
    session = bound()
    submit(session, submits(10, session.reserve_sequences(10)))
    assert statuses(run_until(session, 0.0, 59.0)) == [-1] * 10
    assert session.state is State.BOUND  # a late response may still come
    assert Closed("a whole window got no response") in run_until(session, 59.0, 63.0)


def test_one_late_response_keeps_the_session_of_a_full_window(submits: Submits, responses: Responses) -> None:
    session = bound()
    submit(session, submits(10, session.reserve_sequences(10)))
    run_until(session, 0.0, 50.0)
    session.receive(responses([2]), 50.0, us(50.0))
    run_until(session, 50.0, 120.0)
    assert session.state is State.BOUND


def test_after_a_stall_the_socket_is_read_before_anything_expires(
    submits: Submits, responses: Responses
) -> None:
    session = bound()
    submit(session, submits(1, session.reserve_sequences(1)))
    session.tick(1.0, us(1.0))
    assert session.tick(500.0, us(500.0)) == []
    assert output(session) == []
    assert session.next_deadline() == 501.0
    assert statuses(session.receive(responses([2]), 500.1, us(500.1))) == [0]
    assert session.tick(501.0, us(501.0)) == []
    assert session.state is State.BOUND


def test_a_stall_only_puts_the_timers_off() -> None:
    session = bound()
    assert session.tick(500.0, us(500.0)) == []
    for now in (501.0, 511.0):
        assert session.tick(now, us(now)) == []
    assert session.tick(521.0, us(521.0)) == [Closed("no answer to enquire_link")]


# -- any peer at all ---------------------------------------------------------------


def transcript(session: Session, chunks: list[bytes]) -> tuple[list[str], list[tuple[str, int, int]]]:
    """What happened, without regard to how reads grouped it, and what was answered."""
    seen: list[str] = []
    for chunk in chunks:
        for event in session.receive(chunk, 1, us(1)):
            match event:
                case Results(batch):
                    seen += [
                        f"result {row} {code}" for row, code in zip(batch.row, batch.status, strict=True)
                    ]
                case Receipts(batch):
                    seen += [f"receipt {sequence}" for sequence in batch.sequence]
                    session.acknowledge(batch)
                case _:
                    seen.append(repr(event))
    return sorted(seen), sorted(output(session))


PEER = (
    st.integers(0, 0xFFFFFFFF).map(lambda sequence: codec.encode(ENQUIRE_LINK, sequence))
    | st.integers(0, 0xFFFFFFFF).map(receipt)
    | st.integers(0, 0xFFFFFFFF).map(lambda sequence: receipt(sequence, command=DATA_SM))
    | st.tuples(st.integers(2, 14), st.sampled_from([0, 0x58, 8, 0x999])).map(
        lambda pair: codec.encode(SUBMIT_SM | RESPONSE, pair[0], status=pair[1])
    )
    | st.integers(2, 14).map(lambda sequence: codec.encode(GENERIC_NACK, sequence, status=3))
    | st.tuples(st.integers(0, 0xFFFFFFFF), st.binary(max_size=30)).map(
        lambda pair: struct.pack(">IIII", 16 + len(pair[1]), pair[0] | 0x700, 0, 9) + pair[1]
    )
)
FIXTURES_KEPT = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@FIXTURES_KEPT
@given(pdus=st.lists(PEER, max_size=12), cuts=st.lists(st.integers(0, 2000), max_size=12))
def test_any_chunking_of_a_stream_means_the_same(
    submits: Submits, pdus: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(pdus)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[a:b] for a, b in pairwise(edges)]
    outcomes = []
    for given_chunks in ([stream], chunks, [bytes((octet,)) for octet in stream]):
        session = bound()
        submit(session, submits(10, session.reserve_sequences(10)))
        outcomes.append((*transcript(session, given_chunks), session.window.in_flight))
    # One nack and one response may race for a sequence within a read: what is resolved is the same set.
    assert outcomes[1][2] == outcomes[0][2] == outcomes[2][2]
    assert [len(part) for part in outcomes[1][:2]] == [len(part) for part in outcomes[0][:2]]
    assert outcomes[1][1] == outcomes[0][1] == outcomes[2][1]


@FIXTURES_KEPT
@given(chunks=st.lists(st.binary(max_size=60), max_size=10), bind_first=st.booleans())
def test_hostile_octets_end_the_session_or_leave_it_whole(
    submits: Submits, chunks: list[bytes], bind_first: bool
) -> None:
    session = Session(CONFIG)
    session.open(0.0)
    session.take_output()
    if bind_first:
        session.receive(bind_resp(), 0, us(0))
        submit(session, submits(3, session.reserve_sequences(3)))
    reported = 0
    for chunk in chunks:
        reported += len(statuses(session.receive(chunk, 1, us(1))))
    frames(session.take_output())
    reported += len(statuses(session.connection_lost(us(2))))
    assert reported == (3 if bind_first else 0)
    assert session.state is State.CLOSED
    assert session.window.in_flight == 0


# -- what SMSCs do otherwise -----------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kept"),
    [(b"", b""), (b"\0", b""), (b"x" * 200 + b"\0", b"x" * 200), (b"unterminated", b"unterminated")],
    ids=["no body", "empty id", "200 octets", "no NUL"],
)
def test_status_0_is_accepted_whatever_its_message_id_is(submits: Submits, body: bytes, kept: bytes) -> None:
    session = bound()
    batch = submits(1, session.reserve_sequences(1))
    submit(session, batch)
    answer = struct.pack(">IIII", 16 + len(body), 0x80000004, 0, batch.sequence[0]) + body
    (event,) = session.receive(answer, 1.0, us(1.0))
    assert isinstance(event, Results)
    assert (list(event.batch.status), bytes(event.batch.ids)) == ([0], kept)
    assert session.window.free == 10


def test_an_error_with_an_empty_id_gives_its_status(submits: Submits) -> None:
    session = bound()
    batch = submits(1, session.reserve_sequences(1))
    submit(session, batch)
    answer = struct.pack(">IIII", 17, 0x80000004, 0x0B, batch.sequence[0]) + b"\0"
    assert statuses(session.receive(answer, 1.0, us(1.0))) == [0x0B]


def test_an_enquire_link_is_answered_with_a_full_window_and_the_database_away(submits: Submits) -> None:
    session = bound()
    submit(session, submits(10, session.reserve_sequences(10)))
    session.receive(receipt(0x11), 1.0, us(1.0))
    session.take_output()
    session.receive(codec.encode(ENQUIRE_LINK, 0xDEADBEEF), 2.0, us(2.0))
    assert output(session) == [("enquire_link_resp", 0, 0xDEADBEEF)]
    assert (session.window.free, session.unacknowledged) == (0, 1)


def bound_v5(peer: int = 0x50) -> Session:
    session = Session(CONFIG)
    session.open(0.0)
    sequence = frames(session.take_output())[0].sequence
    tlvs = [codec.tlv("sc_interface_version", peer)]
    answer = codec.encode(BIND_TRANSCEIVER | RESPONSE, sequence, fields={"system_id": b"S"}, tlvs=tlvs)
    session.receive(answer, 0.0, us(0.0))
    return session


def congested(sequence: int, level: int) -> bytes:
    tlvs = [codec.tlv("congestion_state", level)]
    return codec.encode(SUBMIT_SM | RESPONSE, sequence, fields={"message_id": b"\4\x28"}, tlvs=tlvs)


def levels(events: list[Event]) -> list[int]:
    return [event.level for event in events if isinstance(event, Congestion)]


def test_the_last_congestion_state_of_a_read_is_told_a_few_times_a_second(submits: Submits) -> None:
    session = bound_v5()
    batch = submits(6, session.reserve_sequences(6))
    submit(session, batch)
    first, second, *rest = batch.sequence
    assert levels(session.receive(congested(first, 10) + congested(second, 85), 1.0, us(1.0))) == [85]
    assert levels(session.receive(congested(rest[0], 99), 1.05, us(1.05))) == []
    assert levels(session.receive(congested(rest[1], 99), 1.2, us(1.2))) == [99]
    assert levels(session.receive(congested(rest[2], 99), 1.4, us(1.4))) == []
    assert levels(session.receive(congested(rest[3], 200), 1.6, us(1.6))) == []


def test_congestion_state_of_an_smsc_that_is_not_5_0_is_not_read(submits: Submits) -> None:
    session = bound_v5(0x34)
    batch = submits(1, session.reserve_sequences(1))
    submit(session, batch)
    events = session.receive(congested(batch.sequence[0], 90), 1.0, us(1.0))
    assert (statuses(events), levels(events)) == ([0], [])


@pytest.mark.parametrize(("version", "takes"), [(None, False), (0x33, False), (0x34, True), (0x50, True)])
def test_an_smsc_takes_tlvs_if_it_says_3_4_or_above(version: int | None, takes: bool) -> None:
    session = Session(CONFIG)
    session.open(0.0)
    sequence = frames(session.take_output())[0].sequence
    tlvs = [] if version is None else [codec.tlv("sc_interface_version", version)]
    session.receive(codec.encode(BIND_TRANSCEIVER | RESPONSE, sequence, tlvs=tlvs), 0.0, us(0.0))
    assert session.takes_tlvs is takes


@pytest.mark.parametrize(("prefer_text", "verdict"), [(False, 2), (True, 1)])
def test_the_account_says_whether_a_receipts_text_or_its_tlvs_count(prefer_text: bool, verdict: int) -> None:
    session = bound(SessionConfig(system_id="esme", password="secret", prefer_text=prefer_text))
    fields = {"source_addr": b"15550100000", "esm_class": 4, "short_message": b"id:1 stat:UNDELIV text:"}
    tlvs = [codec.tlv("message_state", 2)]
    (event,) = session.receive(codec.encode(DELIVER_SM, 1, fields=fields, tlvs=tlvs), 1.0, us(1.0))
    assert isinstance(event, Receipts)
    assert list(event.batch.verdict) == [verdict]
