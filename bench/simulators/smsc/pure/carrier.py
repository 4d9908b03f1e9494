"""The carrier in plain Python: what `carrier.pyx` means, and what runs with HELIOGRAPH_PURE=1.

Bytes of submit_sm and deliver_sm_resp go in; responses, witness records and receipts come out. It holds no
socket and no clock. Layouts: SMPP 3.4 §4.4 (submit_sm), §4.6 (deliver_sm), appendix B (receipt text).
"""

import heapq
from collections import deque
from dataclasses import dataclass, field, replace
from struct import Struct

from bench.simulators.smsc.behaviour import CONGESTION_AUTO, QUEUE_FULL, SILENT, THROTTLED, Plan
from bench.simulators.smsc.pure.receipt import Receipt, receipt_pdu
from bench.simulators.smsc.pure.submit_sm import MalformedError, Message, fingerprint, read_submit

HEADER = Struct(">IIII")
SUBMIT_SM, SUBMIT_SM_RESP, DELIVER_SM_RESP, DATA_SM_RESP = 0x4, 0x80000004, 0x80000005, 0x80000103
RINVBNDSTS, RX_T_APPN, RMISSINGOPTPARAM = 0x4, 0x64, 0xC3
MAX_PDU = 65536
MASK = 0xFFFFFFFFFFFFFFFF
GOLDEN = 0x9E3779B97F4A7C15
OTHER = 0x5851F42D4C957F2D  # a second stream of draws
EARLY_LEAD_US = 10_000  # how long a response waits for its early receipt on another bind
RETRY_US = 1_000_000  # a receipt refused for now comes again after this
RECORD = Struct("<qQQHBBBBBB20s20s")
ACKNOWLEDGED = Struct("<QiB3x")
COUNTERS = (
    "submitted",
    "accepted",
    "throttled",
    "refused",
    "silent",
    "malformed",
    "without_id",
    "receipts_sent",
    "receipts_answered",
    "receipts_refused",
    "replies_sent",
    "replies_answered",
    "unknown_answers",
)


@dataclass(slots=True)
class Response:
    session: int
    sequence: int
    status: int
    number: int
    without_id: bool = False


@dataclass(slots=True)
class Bucket:
    """A TPS limit: 200 ms of it at once, at least 2."""

    tokens: int = 0
    refilled_us: int = -1

    def take(self, tps: int, now_us: int) -> bool:
        depth = max(2, tps // 5) * 1_000_000
        if self.refilled_us < 0:
            self.tokens = depth
        else:
            self.tokens = min(depth, self.tokens + min(now_us - self.refilled_us, 10_000_000) * tps)
        self.refilled_us = now_us
        if self.tokens < 1_000_000:
            return False
        self.tokens -= 1_000_000
        return True


@dataclass(slots=True)
class Session:
    account: int = -1
    transmit: bool = False
    receive: bool = False
    paused: bool = False
    output: bytearray = field(default_factory=bytearray)
    waiting: int = 0  # responses still delayed
    sequence: int = 0
    unanswered: dict[int, Receipt] = field(default_factory=dict)  # by slot of the sequence number
    slots: dict[int, int] = field(default_factory=dict)  # slot -> sequence number
    sent_us: dict[int, int] = field(default_factory=dict)  # slot -> when
    bucket: Bucket = field(default_factory=Bucket)


@dataclass(slots=True)
class Account:
    queue: deque[Receipt] = field(default_factory=deque)
    receivers: list[int] = field(default_factory=list)
    turn: int = 0
    ids: int = 0
    free_us: int = 0  # when what was accepted is worked off
    bucket: Bucket = field(default_factory=Bucket)


def draw(seed: int, number: int, salt: int) -> int:
    """32 random bits for purpose `salt` of submit_sm `number` (splitmix64)."""
    z = (seed + (number * 8 + salt + 1) * GOLDEN) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return (z ^ (z >> 31)) >> 32


class Carrier:
    """All accounts, sessions and delayed work of one simulated SMSC.

    `id_base` is the number before the first message id; `now_us` is unix microseconds and never goes back.
    """

    def __init__(self, plan: Plan, id_base: int) -> None:
        self.noting = False  # keep what was acknowledged for `acknowledged()`
        self._plan = plan
        self._id_base = id_base
        self._ids = 0
        self._began_us = -1
        self._delivered = len(plan.verdict_limits)
        self._reply = self._delivered + 2
        self._sessions: dict[int, Session] = {}
        self._accounts: list[Account] = []
        self._next_session = 1
        self._witness = bytearray()
        self._acknowledged = bytearray()
        self._due: list[tuple[int, int, Receipt | Response]] = []  # the C twin has a timing wheel
        self._order = 0
        self._cursor = 0  # last millisecond worked off
        self._counts = dict.fromkeys(COUNTERS, 0)
        self._slots = 1
        while self._slots < 4 * plan.receipt_window:
            self._slots *= 2

    @property
    def pending(self) -> int:
        """Delayed responses and receipts."""
        return len(self._due)

    def counters(self) -> dict[str, int]:
        queued = sum(len(account.queue) for account in self._accounts)
        unanswered = sum(len(session.unanswered) for session in self._sessions.values())
        return self._counts | {
            "receipts_queued": queued,
            "receipts_unanswered": unanswered,
            "delayed": self.pending,
        }

    def connect(self) -> int:
        """A handle for a new connection, not bound."""
        handle, self._next_session = self._next_session, self._next_session + 1
        self._sessions[handle] = Session()
        return handle

    def bind(self, handle: int, account: int, transmit: bool, receive: bool) -> None:
        """`account` is a small number the caller gives to each system_id."""
        while len(self._accounts) <= account:
            self._accounts.append(Account())
        session = self._sessions[handle]
        session.account, session.transmit, session.receive = account, transmit, receive
        if receive:
            self._accounts[account].receivers.append(handle)

    def unbind(self, handle: int) -> None:
        """No more traffic; what was unanswered waits for the account's next receiver."""
        session = self._sessions[handle]
        if session.account >= 0 and session.receive:
            account = self._accounts[session.account]
            account.receivers.remove(handle)
            in_order = sorted(session.unanswered, key=lambda slot: session.slots[slot])
            account.queue.extendleft(session.unanswered[slot] for slot in reversed(in_order))
            session.unanswered.clear()
        session.account, session.transmit, session.receive = -1, False, False

    def disconnect(self, handle: int) -> None:
        self.unbind(handle)
        del self._sessions[handle]

    def pause(self, handle: int, paused: bool) -> None:
        """No receipts for a peer that does not read."""
        self._sessions[handle].paused = paused

    def next_sequence(self, handle: int) -> int:
        session = self._sessions[handle]
        session.sequence = session.sequence % 0x7FFFFFFF + 1
        return session.sequence

    def append(self, handle: int, data: bytes) -> None:
        """Control PDUs, in their place among the others."""
        self._sessions[handle].output += data

    def output(self, handle: int) -> bytes:
        """Takes what is to be written. Write `witness()` away first."""
        session = self._sessions[handle]
        data = bytes(session.output)
        session.output.clear()
        return data

    def witness(self) -> bytes:
        """Takes the records of what was accepted since the last call (layout: witness.py)."""
        data = bytes(self._witness)
        self._witness.clear()
        return data

    def acknowledged(self) -> bytes:
        """Takes the receipts answered with status 0, if `noting`: number, account, verdict."""
        data = bytes(self._acknowledged)
        self._acknowledged.clear()
        return data

    def overdue(self, now_us: int) -> list[int]:
        """Sessions that have left a deliver_sm unanswered for longer than the behaviour bears."""
        before_us = now_us - self._plan.unanswered_us
        return [
            handle
            for handle, session in self._sessions.items()
            if any(session.sent_us[slot] < before_us for slot in session.unanswered)
        ]

    def receive(self, handle: int, data: bytes, start: int, now_us: int) -> int:
        """Works off submit_sm and deliver_sm_resp from `start`.

        Returns the offset of the first PDU that is incomplete, of another kind, or has an impossible length.
        """
        session = self._sessions[handle]
        size = len(data)
        while start + 16 <= size:
            length, command, status, sequence = HEADER.unpack_from(data, start)
            if not 16 <= length <= MAX_PDU or start + length > size:
                break
            if command == SUBMIT_SM:
                self._submit(handle, session, data[start + 16 : start + length], sequence, now_us)
            elif command in (DELIVER_SM_RESP, DATA_SM_RESP):
                self._answered(session, sequence, status, now_us)
            else:
                break
            start += length
        return start

    def advance(self, now_us: int) -> list[int]:
        """Does what is due and hands out receipts; gives the sessions that have output, oldest first."""
        now_ms = now_us // 1000
        if not self._due:
            self._cursor = max(self._cursor, now_ms)
        while self._due and self._due[0][0] <= now_ms:
            self._cursor, _, item = heapq.heappop(self._due)
            if isinstance(item, Receipt):
                self._accounts[item.account].queue.append(item)
            elif (session := self._sessions.get(item.session)) is not None:
                session.waiting -= 1
                self._respond(session, item)
        self._cursor = max(self._cursor, now_ms)
        for account in self._accounts:
            self._hand_out(account, now_us)
        return [handle for handle, session in self._sessions.items() if session.output]

    def _submit(self, handle: int, session: Session, body: bytes, sequence: int, now_us: int) -> None:
        plan, counts = self._plan, self._counts
        counts["submitted"] += 1
        if not session.transmit:
            counts["refused"] += 1
            self._respond(session, Response(handle, sequence, RINVBNDSTS, 0))
            return
        try:
            message = read_submit(body, plan.required_tlv)
        except MalformedError as error:
            counts["malformed"] += 1
            self._respond(session, Response(handle, sequence, error.status, 0))
            return
        if plan.required_tlv and not message.tagged:
            counts["refused"] += 1
            self._respond(session, Response(handle, sequence, RMISSINGOPTPARAM, 0))
            return
        if plan.window and session.waiting >= plan.window:
            counts["throttled"] += 1
            self._respond(session, Response(handle, sequence, THROTTLED, 0))
            return
        n = counts["submitted"]
        account = self._accounts[session.account]
        status = self._fate(session, account, message, n, now_us)
        served_us = now_us
        if plan.service_tps and status in (0, SILENT):
            served_us = account.free_us = max(account.free_us, now_us) + 1_000_000 // plan.service_tps
        response_us = served_us + plan.latency_us + (draw(plan.seed, n, 3) * plan.jitter_us >> 32)
        if self._draw(n, 1) < plan.late_limit:
            response_us += plan.late_us
        if status not in (0, SILENT):
            counts["throttled" if status == THROTTLED else "refused"] += 1
            self._answer(handle, session, Response(handle, sequence, status, 0), response_us, now_us)
            return
        counts["accepted"] += 1
        number = self._next_number(account)
        self._record(message, number, now_us)
        receipt = self._receipt(session.account, message, number, n, now_us)
        later = self._second(receipt, n) if receipt is not None else None
        first = later[0] if later is not None else receipt
        early = first is not None and draw(plan.seed, n, 5) < plan.early_limit
        if early and first is not None:
            if session.receive and self._room(session):
                if not self._deliver(session, first, now_us):
                    account.queue.append(first)
            else:
                account.queue.append(first)
                response_us += EARLY_LEAD_US
        if status == SILENT:
            counts["silent"] += 1
        else:
            without_id = self._draw(n, 0) < plan.empty_id_limit
            counts["without_id"] += without_id
            self._answer(
                handle, session, Response(handle, sequence, 0, number, without_id), response_us, now_us
            )
        due_us = response_us + plan.receipt_delay_us + (draw(plan.seed, n, 4) * plan.receipt_jitter_us >> 32)
        if first is not None and not early:
            self._schedule(first, due_us, now_us)
        if later is not None:
            self._schedule(later[1], due_us + plan.second_receipt_us, now_us)
        if self._draw(n, 4) < plan.reply_limit:
            reply = self._new_receipt(session.account, message, number, n, self._reply, now_us)
            self._schedule(reply, due_us, now_us)

    def _draw(self, number: int, salt: int) -> int:
        return draw(self._plan.seed ^ OTHER, number, salt)

    def _next_number(self, account: Account) -> int:
        plan = self._plan
        if plan.ids_per_account:
            account.ids += 1
            count = account.ids
        else:
            self._ids += 1
            count = self._ids
        if plan.id_reuse:
            count = (count - 1) % plan.id_reuse + 1
        return self._id_base + count

    def _fate(self, session: Session, account: Account, message: Message, n: int, now_us: int) -> int:
        """command_status of a readable submit_sm: the limits first, then its destination, then the dice."""
        plan = self._plan
        if self._began_us < 0:
            self._began_us = now_us
        since_us = now_us - self._began_us
        if plan.bind_tps and not session.bucket.take(plan.bind_tps, now_us):
            return THROTTLED
        if plan.tps and not account.bucket.take(plan.tps, now_us):
            return THROTTLED
        if plan.storm_us and since_us % plan.storm_every_us < plan.storm_us:
            return THROTTLED
        box_full = plan.full_box_limit and (not plan.full_box_us or since_us < plan.full_box_us)
        if box_full and self._draw(fingerprint(message.destination[2]), 7) < plan.full_box_limit:
            return QUEUE_FULL
        fate = draw(plan.seed, n, 0)
        for limit, status in zip(plan.fate_limits, plan.fate_statuses, strict=True):
            if fate < limit:
                return status
        return 0

    def _receipt(self, account: int, message: Message, number: int, n: int, now_us: int) -> Receipt | None:
        plan = self._plan
        wanted = message.registered_delivery & 3
        if not wanted or draw(plan.seed, n, 1) >= plan.receipt_limit:
            return None
        chance = draw(plan.seed, n, 2)
        verdict = next(
            (i for i, limit in enumerate(plan.verdict_limits) if chance < limit), len(plan.verdict_limits)
        )
        delivered = verdict == self._delivered
        if (wanted == 2 and delivered) or (wanted == 3 and not delivered):
            return None
        return self._new_receipt(account, message, number, n, verdict, now_us)

    def _new_receipt(
        self, account: int, message: Message, number: int, n: int, verdict: int, now_us: int
    ) -> Receipt:
        forms = self._plan.forms
        form = forms[self._draw(n, 3) * len(forms) >> 32]
        text = message.text[:20] if message.data_coding == 0 else b""
        text = bytes(c if 0x20 <= c <= 0x7E else 0x3F for c in text)
        addresses = message.source + message.destination
        return Receipt(account, number, now_us // 1_000_000, verdict, form, addresses, text)

    def _second(self, receipt: Receipt, n: int) -> tuple[Receipt, Receipt] | None:
        """The two receipts of a message that gets two."""
        chance = self._draw(n, 2)
        accepted_first, corrected, doubled = self._plan.pair_limits
        if chance < accepted_first:
            return replace(receipt, verdict=self._delivered + 1), receipt
        if chance < corrected:
            return replace(receipt, verdict=0), replace(receipt, verdict=self._delivered)
        if chance < doubled:
            return receipt, replace(receipt)
        return None

    def _schedule(self, receipt: Receipt, due_us: int, now_us: int) -> None:
        if due_us <= now_us:
            self._accounts[receipt.account].queue.append(receipt)
        else:
            self._later(receipt, due_us, now_us)

    def _record(self, message: Message, number: int, now_us: int) -> None:
        source, destination = message.source[2], message.destination[2]
        self._witness += RECORD.pack(
            now_us,
            number,
            fingerprint(message.text),
            message.reference,
            message.part,
            message.parts,
            message.data_coding,
            message.esm_class,
            len(source),
            len(destination),
            source,
            destination,
        )

    def _answer(self, handle: int, session: Session, response: Response, due_us: int, now_us: int) -> None:
        if due_us <= now_us:
            self._respond(session, response)
        else:
            session.waiting += 1
            self._later(response, due_us, now_us)

    def _later(self, item: Receipt | Response, due_us: int, now_us: int) -> None:
        if not self._due:
            self._cursor = max(self._cursor, now_us // 1000)
        due_ms = max((due_us + 999) // 1000, self._cursor + 1)
        self._order += 1
        heapq.heappush(self._due, (due_ms, self._order, item))

    def _respond(self, session: Session, response: Response) -> None:
        """An error, or a success without an id, comes without a body or with an empty id, as in the field."""
        status, sequence = response.status, response.sequence
        if status or response.without_id:
            body = b"" if sequence & 1 else b"\0"
        else:
            body = self._plan.id_form.text(response.number) + b"\0"
            if self._plan.congestion >= 0:
                body += b"\x04\x28\0\x01" + bytes((self._congestion(session),))
        session.output += HEADER.pack(16 + len(body), SUBMIT_SM_RESP, status, sequence) + body

    def _congestion(self, session: Session) -> int:
        plan = self._plan
        if plan.congestion != CONGESTION_AUTO:
            return plan.congestion
        if not plan.tps or session.account < 0:
            return 0
        tokens = self._accounts[session.account].bucket.tokens
        return 100 - tokens * 100 // (max(2, plan.tps // 5) * 1_000_000)

    def _answered(self, session: Session, sequence: int, status: int, now_us: int) -> None:
        slot = sequence & (self._slots - 1)
        if slot not in session.unanswered or session.slots[slot] != sequence:
            self._counts["unknown_answers"] += 1
            return
        receipt = session.unanswered.pop(slot)
        if status == RX_T_APPN:
            self._later(receipt, now_us + RETRY_US, now_us)
        elif status:
            self._counts["receipts_refused"] += 1
        elif receipt.verdict == self._reply:
            self._counts["replies_answered"] += 1
        else:
            self._counts["receipts_answered"] += 1
            if self.noting:
                self._acknowledged += ACKNOWLEDGED.pack(receipt.number, receipt.account, receipt.verdict)

    def _room(self, session: Session) -> int:
        return 0 if session.paused else self._plan.receipt_window - len(session.unanswered)

    def _hand_out(self, account: Account, now_us: int) -> None:
        """The queue in even shares to the account's receivers, a different one first each time."""
        count = len(account.receivers)
        if not account.queue or not count:
            return
        account.turn += 1
        for i in range(count):
            session = self._sessions[account.receivers[(account.turn + i) % count]]
            share = -(-len(account.queue) // (count - i))
            for _ in range(min(share, self._room(session))):
                if not self._deliver(session, account.queue[0], now_us):
                    break
                account.queue.popleft()

    def _deliver(self, session: Session, receipt: Receipt, now_us: int) -> bool:
        """Writes a deliver_sm; False where a much older one still holds its slot."""
        slot = (session.sequence % 0x7FFFFFFF + 1) & (self._slots - 1)
        if slot in session.unanswered:
            return False
        session.sequence = session.sequence % 0x7FFFFFFF + 1
        session.unanswered[slot] = receipt
        session.slots[slot] = session.sequence
        session.sent_us[slot] = now_us
        replied = receipt.verdict == self._reply
        self._counts["replies_sent" if replied else "receipts_sent"] += 1
        command, body = receipt_pdu(self._plan, receipt, now_us // 1_000_000)
        session.output += HEADER.pack(16 + len(body), command, 0, session.sequence) + body
        return True
