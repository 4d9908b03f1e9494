"""The carrier in C: a receive buffer to responses, witness records and receipts in one call.

`pure/carrier.py` is its twin and says what each call means. Delayed work lies in a timing wheel of 1 ms slots,
each a growing buffer of fixed records; queues and unanswered receipts are rings of the same records.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from bench.simulators.smsc.octets cimport Buffer, be32, digits, put32, room, take, two
from bench.simulators.smsc.submit_sm cimport Message, fingerprint, read_submit
from bench.simulators.smsc.waiting cimport Item, Ring, Slot, add, pop, push, push_front

cdef extern from "<time.h>" nogil:
    ctypedef long time_t
    struct tm:
        int tm_sec, tm_min, tm_hour, tm_mday, tm_mon, tm_year
    tm *gmtime_r(const time_t *, tm *)

cdef enum:
    SUBMIT_SM = 0x4
    DELIVER_SM = 0x5
    RINVBNDSTS = 0x4
    THROTTLED = 0x58
    RX_T_APPN = 0x64
    MAX_PDU = 65536
    WHEEL = 65536
    EARLY_LEAD_US = 10000
    RETRY_US = 1000000
    RECORD_SIZE = 72
    MAX_VERDICTS = 16
    MAX_FATES = 256

cdef uint32_t SUBMIT_SM_RESP = 0x80000004
cdef uint32_t DELIVER_SM_RESP = 0x80000005
cdef uint32_t SILENT = 0xFFFFFFFF
cdef uint64_t GOLDEN = 0x9E3779B97F4A7C15ULL

cdef inline uint32_t draw(uint64_t seed, uint64_t number, uint64_t salt) noexcept nogil:
    cdef uint64_t z = seed + (number * 8 + salt + 1) * GOLDEN
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL
    return <uint32_t>((z ^ (z >> 31)) >> 32)


cdef class Account:
    cdef Ring queue
    cdef list receivers
    cdef int64_t turn, tokens, refilled_us

    def __cinit__(self):
        self.receivers = []
        self.refilled_us = -1

    def __dealloc__(self):
        free(self.queue.items)


cdef class Session:
    cdef int32_t handle
    cdef int account
    cdef bint transmit, receive, paused
    cdef Buffer out
    cdef int64_t waiting, unanswered_count
    cdef uint32_t sequence
    cdef Item *unanswered

    def __cinit__(self, int32_t handle):
        self.handle = handle
        self.account = -1

    def __dealloc__(self):
        free(self.out.data)
        free(self.unanswered)


cdef class Carrier:
    cdef object plan
    cdef uint64_t seed, number, receipt_limit, early_limit
    cdef int64_t latency_us, jitter_us, window, tps, receipt_delay_us, receipt_jitter_us, receipt_window
    cdef bint hex_ids, hex_receipt_ids
    cdef int fate_count, verdict_count
    cdef uint64_t fate_limits[MAX_FATES]
    cdef uint32_t fate_statuses[MAX_FATES]
    cdef uint64_t verdict_limits[MAX_VERDICTS]
    cdef char stats[MAX_VERDICTS][8]
    cdef uint8_t states[MAX_VERDICTS]
    cdef char receipt_errors[MAX_VERDICTS][3]
    cdef dict sessions
    cdef list accounts
    cdef int32_t next_session
    cdef Buffer records
    cdef Slot *wheel
    cdef int64_t waiting, cursor
    cdef uint32_t slot_mask
    cdef int64_t minutes[2]          # what the two cached dates stand for: submit, done
    cdef char dates[2][10]
    cdef int64_t submitted, accepted, throttled, refused, silent, malformed
    cdef int64_t receipts_sent, receipts_answered, receipts_refused, unknown_answers

    def __cinit__(self, plan, id_base):
        cdef int i
        self.plan = plan
        self.seed = plan.seed
        self.number = id_base
        self.latency_us = plan.latency_us
        self.jitter_us = plan.jitter_us
        self.window = plan.window
        self.tps = plan.tps
        self.receipt_limit = plan.receipt_limit
        self.early_limit = plan.early_limit
        self.receipt_delay_us = plan.receipt_delay_us
        self.receipt_jitter_us = plan.receipt_jitter_us
        self.receipt_window = plan.receipt_window
        self.hex_ids = plan.hex_ids
        self.hex_receipt_ids = plan.hex_receipt_ids
        self.fate_count = len(plan.fate_limits)
        self.verdict_count = len(plan.verdict_limits)
        if self.fate_count > MAX_FATES or self.verdict_count >= MAX_VERDICTS:
            raise ValueError("too many error shares")
        for i in range(self.fate_count):
            self.fate_limits[i] = plan.fate_limits[i]
            self.fate_statuses[i] = plan.fate_statuses[i]
        for i in range(self.verdict_count + 1):
            if i < self.verdict_count:
                self.verdict_limits[i] = plan.verdict_limits[i]
            self.states[i] = plan.states[i]
            if len(plan.stats[i]) != 7 or len(plan.receipt_errors[i]) != 3:
                raise ValueError("stat has 7 letters and err 3")
            memcpy(self.stats[i], PyBytes_AS_STRING(plan.stats[i]), 7)
            memcpy(self.receipt_errors[i], PyBytes_AS_STRING(plan.receipt_errors[i]), 3)
        self.sessions = {}
        self.accounts = []
        self.next_session = 1
        self.minutes[0] = self.minutes[1] = -1
        self.slot_mask = 1
        while self.slot_mask < 4 * self.receipt_window:
            self.slot_mask *= 2
        self.slot_mask -= 1
        self.wheel = <Slot *>calloc(WHEEL, sizeof(Slot))
        if self.wheel == NULL:
            raise MemoryError

    def __dealloc__(self):
        cdef int i
        free(self.records.data)
        if self.wheel != NULL:
            for i in range(WHEEL):
                free(self.wheel[i].items)
            free(self.wheel)

    @property
    def pending(self):
        return self.waiting

    def counters(self):
        cdef Account account
        cdef Session session
        queued = unanswered = 0
        for account in self.accounts:
            queued += account.queue.count
        for session in self.sessions.values():
            unanswered += session.unanswered_count
        return {
            "submitted": self.submitted,
            "accepted": self.accepted,
            "throttled": self.throttled,
            "refused": self.refused,
            "silent": self.silent,
            "malformed": self.malformed,
            "receipts_sent": self.receipts_sent,
            "receipts_answered": self.receipts_answered,
            "receipts_refused": self.receipts_refused,
            "unknown_answers": self.unknown_answers,
            "receipts_queued": queued,
            "receipts_unanswered": unanswered,
            "delayed": self.waiting,
        }

    def connect(self):
        cdef int32_t handle = self.next_session
        self.next_session += 1
        self.sessions[handle] = Session(handle)
        return handle

    def bind(self, handle, int account, bint transmit, bint receive):
        cdef Session session = self.sessions[handle]
        while len(self.accounts) <= account:
            self.accounts.append(Account())
        session.account = account
        session.transmit = transmit
        session.receive = receive
        if receive:
            if session.unanswered == NULL:
                session.unanswered = <Item *>calloc(self.slot_mask + 1, sizeof(Item))
                if session.unanswered == NULL:
                    raise MemoryError
            (<Account>self.accounts[account]).receivers.append(session)

    def unbind(self, handle):
        cdef Session session = self.sessions[handle]
        cdef Account account
        cdef uint32_t k
        cdef Item *item
        if session.account >= 0 and session.receive:
            account = self.accounts[session.account]
            account.receivers.remove(session)
            for k in range(self.slot_mask + 1):       # the newest first, each to the front
                item = &session.unanswered[(session.sequence - k) & self.slot_mask]
                if item.used:
                    item.used = 0
                    push_front(&account.queue, item)
            session.unanswered_count = 0
        session.account = -1
        session.transmit = session.receive = False

    def disconnect(self, handle):
        self.unbind(handle)
        del self.sessions[handle]

    def pause(self, handle, bint paused):
        (<Session>self.sessions[handle]).paused = paused

    def next_sequence(self, handle):
        cdef Session session = self.sessions[handle]
        session.sequence = session.sequence % 0x7FFFFFFFU + 1
        return session.sequence

    def append(self, handle, bytes data not None):
        cdef Session session = self.sessions[handle]
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        room(&session.out, size)
        memcpy(session.out.data + session.out.size, PyBytes_AS_STRING(data), size)
        session.out.size += size

    def output(self, handle):
        cdef Session session = self.sessions[handle]
        return take(&session.out)

    def witness(self):
        return take(&self.records)

    def receive(self, handle, bytes data not None, Py_ssize_t start, int64_t now_us):
        cdef Session session = self.sessions[handle]
        cdef const uint8_t *octets = <const uint8_t *>PyBytes_AS_STRING(data)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        cdef uint32_t length, command
        if start < 0:
            raise ValueError("start is negative")
        while start + 16 <= size:
            length = be32(octets + start)
            if length < 16 or length > MAX_PDU or start + length > size:
                break
            command = be32(octets + start + 4)
            if command == SUBMIT_SM:
                self.submit(session, octets + start + 16, length - 16, be32(octets + start + 12), now_us)
            elif command == DELIVER_SM_RESP:
                self.answered(session, be32(octets + start + 12), be32(octets + start + 8), now_us)
            else:
                break
            start += length
        return start

    def advance(self, int64_t now_us):
        cdef int64_t now_ms = now_us // 1000
        cdef Account account
        cdef Session session
        while self.waiting and self.cursor < now_ms:
            self.cursor += 1
            if self.wheel[self.cursor & (WHEEL - 1)].count:
                self.work_off(&self.wheel[self.cursor & (WHEEL - 1)])
        if self.cursor < now_ms:
            self.cursor = now_ms
        for account in self.accounts:
            if account.queue.count:
                self.hand_out(account, now_us)
        ready = []
        for session in self.sessions.values():
            if session.out.size:
                ready.append(session.handle)
        return ready

    cdef int work_off(self, Slot *slot) except -1:
        """What is due goes out; what is due a turn of the wheel later stays."""
        cdef int i
        cdef int kept = 0
        cdef Item *item
        cdef Session session = None
        for i in range(slot.count):
            item = &slot.items[i]
            if item.due_ms > self.cursor:
                slot.items[kept] = item[0]
                kept += 1
                continue
            self.waiting -= 1
            if not item.response:
                push(&(<Account>self.accounts[item.owner]).queue, item)
                continue
            if session is None or session.handle != item.owner:
                session = self.sessions.get(item.owner)
            if session is not None:
                session.waiting -= 1
                self.respond(session, item.sequence, item.status, item.number)
        slot.count = kept
        if kept == 0:
            free(slot.items)
            slot.items = NULL
            slot.capacity = 0
        return 0

    cdef int later(self, Item *item, int64_t due_us, int64_t now_us) except -1:
        if self.waiting == 0 and self.cursor < now_us // 1000:
            self.cursor = now_us // 1000
        item.due_ms = max((due_us + 999) // 1000, self.cursor + 1)
        add(&self.wheel[item.due_ms & (WHEEL - 1)], item)
        self.waiting += 1
        return 0

    cdef int submit(self, Session session, const uint8_t *body, Py_ssize_t size, uint32_t sequence,
                    int64_t now_us) except -1:
        cdef Message m
        cdef Item receipt
        cdef uint32_t status
        cdef uint64_t n
        cdef int64_t response_us, due_us
        cdef bint wanted, early
        self.submitted += 1
        if not session.transmit:
            self.refused += 1
            return self.respond(session, sequence, RINVBNDSTS, 0)
        status = read_submit(body, size, &m)
        if status:
            self.malformed += 1
            return self.respond(session, sequence, status, 0)
        if self.window and session.waiting >= self.window:
            self.throttled += 1
            return self.respond(session, sequence, THROTTLED, 0)
        n = self.submitted
        status = self.fate(session.account, n, now_us)
        response_us = now_us + self.latency_us
        if self.jitter_us:
            response_us += <int64_t>(<uint64_t>draw(self.seed, n, 3) * <uint64_t>self.jitter_us >> 32)
        if status != 0 and status != SILENT:
            if status == THROTTLED:
                self.throttled += 1
            else:
                self.refused += 1
            return self.answer(session, sequence, status, 0, response_us, now_us)
        self.accepted += 1
        self.number += 1
        self.record(&m, now_us)
        wanted = self.receipt(&receipt, session.account, &m, n, now_us)
        early = wanted and self.early_limit and draw(self.seed, n, 5) < self.early_limit
        if early:
            if session.receive and self.free_slots(session):
                if not self.deliver(session, &receipt, now_us):
                    push(&(<Account>self.accounts[session.account]).queue, &receipt)
            else:
                push(&(<Account>self.accounts[session.account]).queue, &receipt)
                response_us += EARLY_LEAD_US
        if status == SILENT:
            self.silent += 1
        else:
            self.answer(session, sequence, 0, self.number, response_us, now_us)
        if wanted and not early:
            due_us = response_us + self.receipt_delay_us
            if self.receipt_jitter_us:
                due_us += <int64_t>(<uint64_t>draw(self.seed, n, 4) * <uint64_t>self.receipt_jitter_us >> 32)
            if due_us <= now_us:
                push(&(<Account>self.accounts[session.account]).queue, &receipt)
            else:
                self.later(&receipt, due_us, now_us)
        return 0

    cdef uint32_t fate(self, int account_number, uint64_t n, int64_t now_us) except? 0xFFFFFFF0:
        cdef Account account
        cdef int64_t depth
        cdef uint32_t chance
        cdef int i
        if self.tps:
            account = self.accounts[account_number]
            depth = max(2, self.tps // 5) * 1000000
            if account.refilled_us < 0:
                account.tokens = depth
            else:
                account.tokens = min(
                    depth, account.tokens + min(now_us - account.refilled_us, 10000000) * self.tps
                )
            account.refilled_us = now_us
            if account.tokens < 1000000:
                return THROTTLED
            account.tokens -= 1000000
        if self.fate_count:
            chance = draw(self.seed, n, 0)
            for i in range(self.fate_count):
                if chance < self.fate_limits[i]:
                    return self.fate_statuses[i]
        return 0

    cdef bint receipt(self, Item *item, int account, Message *m, uint64_t n, int64_t now_us) noexcept:
        """Fills a receipt; False where none is due."""
        cdef int wanted = m.registered_delivery & 3
        cdef uint32_t chance
        cdef int verdict = 0
        cdef int i
        if not wanted or draw(self.seed, n, 1) >= self.receipt_limit:
            return False
        chance = draw(self.seed, n, 2)
        while verdict < self.verdict_count and chance >= self.verdict_limits[verdict]:
            verdict += 1
        if (wanted == 2 and verdict == self.verdict_count) or (wanted == 3 and verdict < self.verdict_count):
            return False
        item.number = self.number
        item.submitted_s = now_us // 1000000
        item.owner = account
        item.sequence = item.status = 0
        item.response = item.used = 0
        item.verdict = <uint8_t>verdict
        item.source_ton = m.source_ton
        item.source_npi = m.source_npi
        item.dest_ton = m.dest_ton
        item.dest_npi = m.dest_npi
        item.source_length = <uint8_t>m.source_length
        item.dest_length = <uint8_t>m.dest_length
        memcpy(item.source, m.source, m.source_length)
        memcpy(item.dest, m.dest, m.dest_length)
        item.text_length = <uint8_t>min(m.text_length, 20) if m.data_coding == 0 else 0
        for i in range(item.text_length):
            item.text[i] = <char>m.text[i] if 0x20 <= m.text[i] <= 0x7E else 0x3F
        return True

    cdef int record(self, Message *m, int64_t now_us) except -1:
        cdef char *p
        cdef uint64_t mark = fingerprint(m.text, m.text_length)
        room(&self.records, RECORD_SIZE)
        p = self.records.data + self.records.size
        memcpy(p, &now_us, 8)
        memcpy(p + 8, &self.number, 8)
        memcpy(p + 16, &mark, 8)
        memcpy(p + 24, &m.reference, 2)
        p[26] = <char>m.part
        p[27] = <char>m.parts
        p[28] = <char>m.data_coding
        p[29] = <char>m.esm_class
        p[30] = <char>m.source_length
        p[31] = <char>m.dest_length
        memset(p + 32, 0, 40)
        memcpy(p + 32, m.source, m.source_length)
        memcpy(p + 52, m.dest, m.dest_length)
        self.records.size += RECORD_SIZE
        return 0

    cdef int answer(self, Session session, uint32_t sequence, uint32_t status, uint64_t number,
                    int64_t due_us, int64_t now_us) except -1:
        cdef Item item
        if due_us <= now_us:
            return self.respond(session, sequence, status, number)
        memset(&item, 0, sizeof(Item))
        item.response = 1
        item.owner = session.handle
        item.sequence = sequence
        item.status = status
        item.number = number
        session.waiting += 1
        return self.later(&item, due_us, now_us)

    cdef int respond(self, Session session, uint32_t sequence, uint32_t status, uint64_t number) except -1:
        cdef char *p
        cdef int length = 16
        room(&session.out, 48)
        p = session.out.data + session.out.size
        if status == 0:
            length += digits(p + 16, number, self.hex_ids)
            p[length] = 0
            length += 1
        elif not sequence & 1:
            p[16] = 0
            length = 17
        put32(p, length)
        put32(p + 4, SUBMIT_SM_RESP)
        put32(p + 8, status)
        put32(p + 12, sequence)
        session.out.size += length
        return 0

    cdef int answered(self, Session session, uint32_t sequence, uint32_t status, int64_t now_us) except -1:
        cdef Item *item
        if session.unanswered == NULL:
            self.unknown_answers += 1
            return 0
        item = &session.unanswered[sequence & self.slot_mask]
        if not item.used or item.sequence != sequence:
            self.unknown_answers += 1
            return 0
        item.used = 0
        session.unanswered_count -= 1
        if status == RX_T_APPN:
            self.later(item, now_us + RETRY_US, now_us)
        elif status:
            self.receipts_refused += 1
        else:
            self.receipts_answered += 1
        return 0

    cdef int64_t free_slots(self, Session session) noexcept:
        return 0 if session.paused else self.receipt_window - session.unanswered_count

    cdef int hand_out(self, Account account, int64_t now_us) except -1:
        cdef int count = <int>len(account.receivers)
        cdef int64_t share
        cdef int i
        cdef Session session
        if count == 0:
            return 0
        account.turn += 1
        for i in range(count):
            session = account.receivers[(account.turn + i) % count]
            share = min((account.queue.count + count - i - 1) // (count - i), self.free_slots(session))
            while share > 0:
                if not self.deliver(session, &account.queue.items[account.queue.head], now_us):
                    break
                pop(&account.queue)
                share -= 1
        return 0

    cdef bint deliver(self, Session session, Item *receipt, int64_t now_us) except -1:
        cdef uint32_t sequence = session.sequence % 0x7FFFFFFFU + 1
        cdef Item *item = &session.unanswered[sequence & self.slot_mask]
        if item.used:
            return False
        session.sequence = sequence
        item[0] = receipt[0]
        item.used = 1
        item.sequence = sequence
        session.unanswered_count += 1
        self.receipts_sent += 1
        self.deliver_sm(session, item, now_us // 1000000)
        return True

    cdef int deliver_sm(self, Session session, Item *item, int64_t now_s) except -1:
        cdef char *start
        cdef char *p
        cdef char *sm_length
        cdef char number[20]
        cdef int length = digits(number, item.number, self.hex_receipt_ids)
        room(&session.out, 320)
        start = session.out.data + session.out.size
        p = start + 16
        p[0] = 0
        p[1] = <char>item.dest_ton
        p[2] = <char>item.dest_npi
        p += 3
        memcpy(p, item.dest, item.dest_length)
        p += item.dest_length
        p[0] = 0
        p[1] = <char>item.source_ton
        p[2] = <char>item.source_npi
        p += 3
        memcpy(p, item.source, item.source_length)
        p += item.source_length
        memcpy(p, b"\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00", 10)
        sm_length = p + 10
        p += 11
        memcpy(p, b"id:", 3)
        memcpy(p + 3, number, length)
        p += 3 + length
        memcpy(p, b" sub:001 dlvrd:00", 17)
        p[17] = 49 if item.verdict == self.verdict_count else 48
        memcpy(p + 18, b" submit date:", 13)
        memcpy(p + 31, self.date(0, item.submitted_s), 10)
        memcpy(p + 41, b" done date:", 11)
        memcpy(p + 52, self.date(1, now_s), 10)
        memcpy(p + 62, b" stat:", 6)
        memcpy(p + 68, self.stats[item.verdict], 7)
        memcpy(p + 75, b" err:", 5)
        memcpy(p + 80, self.receipt_errors[item.verdict], 3)
        memcpy(p + 83, b" text:", 6)
        memcpy(p + 89, item.text, item.text_length)
        p += 89 + item.text_length
        sm_length[0] = <char>(p - sm_length - 1)
        memcpy(p, b"\x00\x1e\x00", 3)
        p[3] = <char>(length + 1)
        memcpy(p + 4, number, length)
        p += 4 + length
        memcpy(p, b"\x00\x04\x27\x00\x01", 5)
        p[5] = <char>self.states[item.verdict]
        p += 6
        put32(start, <uint32_t>(p - start))
        put32(start + 4, DELIVER_SM)
        put32(start + 8, 0)
        put32(start + 12, item.sequence)
        session.out.size += p - start
        return 0

    cdef char *date(self, int which, int64_t at_s) noexcept:
        """YYMMDDhhmm in UTC, kept for the minute."""
        cdef tm parts
        cdef time_t seconds = at_s
        cdef char *out = self.dates[which]
        if self.minutes[which] != at_s // 60:
            self.minutes[which] = at_s // 60
            gmtime_r(&seconds, &parts)
            two(out, parts.tm_year % 100)
            two(out + 2, parts.tm_mon + 1)
            two(out + 4, parts.tm_mday)
            two(out + 6, parts.tm_hour)
            two(out + 8, parts.tm_min)
        return out
