"""The carrier in C: a receive buffer to responses, witness records and receipts in one call.

`pure/carrier.py` is its twin and says what each call means. Delayed work lies in a timing wheel of 1 ms slots,
each a growing buffer of fixed records; queues and unanswered receipts are rings of the same records.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from bench.simulators.smsc.octets cimport Buffer, IdForm, be32, digits, put32, room, take, two
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
    DATA_SM = 0x103
    RINVBNDSTS = 0x4
    QUEUE_FULL = 0x14
    THROTTLED = 0x58
    RX_T_APPN = 0x64
    RMISSINGOPTPARAM = 0xC3
    MAX_PDU = 65536
    WHEEL = 65536
    EARLY_LEAD_US = 10000
    RETRY_US = 1000000
    RECORD_SIZE = 72
    MAX_VERDICTS = 16
    MAX_FATES = 256
    MAX_STAT = 16
    MAX_PIECES = 16
    MAX_FIXED = 160
    LONGEST_TEXT = 254
    CONGESTION_AUTO = 101
    # codes of receipt forms and of a template's fields: dialects.py
    TEXT_FORM = 1
    TLV_FORM = 2
    PAYLOAD_FORM = 3
    UCS2_FORM = 4
    DATA_FORM = 5
    ID_FIELD = 1
    DLVRD_FIELD = 2
    STAT_FIELD = 3
    ERR_FIELD = 4
    TEXT_FIELD = 5
    FIRST_TIME_FIELD = 6

cdef uint32_t SUBMIT_SM_RESP = 0x80000004
cdef uint32_t DELIVER_SM_RESP = 0x80000005
cdef uint32_t DATA_SM_RESP = 0x80000103
cdef uint32_t SILENT = 0xFFFFFFFF
cdef uint64_t GOLDEN = 0x9E3779B97F4A7C15ULL
cdef uint64_t OTHER = 0x5851F42D4C957F2DULL

cdef struct Bucket:
    int64_t tokens, refilled_us


cdef struct Piece:
    int start, length, field


cdef inline int64_t depth_of(int64_t tps) noexcept nogil:
    return max(2, tps // 5) * 1000000


cdef inline bint take_token(Bucket *bucket, int64_t tps, int64_t now_us) noexcept nogil:
    if bucket.refilled_us < 0:
        bucket.tokens = depth_of(tps)
    else:
        bucket.tokens = min(depth_of(tps), bucket.tokens + min(now_us - bucket.refilled_us, 10000000) * tps)
    bucket.refilled_us = now_us
    if bucket.tokens < 1000000:
        return False
    bucket.tokens -= 1000000
    return True


cdef inline uint32_t draw(uint64_t seed, uint64_t number, uint64_t salt) noexcept nogil:
    cdef uint64_t z = seed + (number * 8 + salt + 1) * GOLDEN
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL
    return <uint32_t>((z ^ (z >> 31)) >> 32)


cdef class Account:
    cdef Ring queue
    cdef list receivers
    cdef int64_t turn
    cdef uint64_t ids
    cdef int64_t free_us
    cdef Bucket bucket

    def __cinit__(self):
        self.receivers = []
        self.bucket.refilled_us = -1

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
    cdef Bucket bucket

    def __cinit__(self, int32_t handle):
        self.bucket.refilled_us = -1
        self.handle = handle
        self.account = -1

    def __dealloc__(self):
        free(self.out.data)
        free(self.unanswered)


cdef class Carrier:
    cdef public bint noting
    cdef object plan
    cdef uint64_t seed, other_seed, id_base, ids, id_reuse
    cdef uint64_t receipt_limit, early_limit, late_limit, full_box_limit, empty_id_limit, reply_limit
    cdef uint64_t pair_limits[3]
    cdef int64_t latency_us, jitter_us, late_us, window, service_tps, tps, bind_tps, storm_every_us, storm_us, full_box_us
    cdef int64_t receipt_delay_us, receipt_jitter_us, receipt_window, second_receipt_us, unanswered_us, began_us
    cdef int required_tlv, congestion, receipt_esm_class, form_count, piece_count
    cdef bint local_numbers, ids_per_account
    cdef IdForm id_form, receipt_id_form
    cdef int fate_count, verdict_count
    cdef uint64_t fate_limits[MAX_FATES]
    cdef uint32_t fate_statuses[MAX_FATES]
    cdef uint64_t verdict_limits[MAX_VERDICTS]
    cdef char stats[MAX_VERDICTS][MAX_STAT]
    cdef int stat_lengths[MAX_VERDICTS]
    cdef uint8_t states[MAX_VERDICTS]
    cdef char receipt_errors[MAX_VERDICTS][3]
    cdef uint8_t forms[8]
    cdef Piece pieces[MAX_PIECES]
    cdef char fixed[MAX_FIXED]
    cdef dict sessions
    cdef list accounts
    cdef int32_t next_session
    cdef Buffer records
    cdef Buffer notes
    cdef Slot *wheel
    cdef int64_t waiting, cursor
    cdef uint32_t slot_mask
    cdef int64_t minutes[2]          # what the two cached dates stand for: submit, done
    cdef char dates[2][10]
    cdef int64_t submitted, accepted, throttled, refused, silent, malformed, without_id
    cdef int64_t receipts_sent, receipts_answered, receipts_refused, unknown_answers
    cdef int64_t replies_sent, replies_answered

    def __cinit__(self, plan, id_base):
        cdef int i
        cdef int used = 0
        self.plan = plan
        self.seed = plan.seed
        self.other_seed = self.seed ^ OTHER
        self.id_base = id_base
        self.began_us = -1
        for name in ("id_form", "receipt_id_form"):
            if getattr(plan, name).width > 72:
                raise ValueError("an id has at most 72 octets")
        self.id_form = IdForm(plan.id_form.base, 55 if plan.id_form.upper else 87, plan.id_form.width)
        self.receipt_id_form = IdForm(
            plan.receipt_id_form.base, 55 if plan.receipt_id_form.upper else 87, plan.receipt_id_form.width
        )
        self.id_reuse = plan.id_reuse
        self.ids_per_account = plan.ids_per_account
        self.latency_us = plan.latency_us
        self.service_tps = plan.service_tps
        self.jitter_us = plan.jitter_us
        self.late_limit = plan.late_limit
        self.late_us = plan.late_us
        self.window = plan.window
        self.tps = plan.tps
        self.bind_tps = plan.bind_tps
        self.storm_every_us = plan.storm_every_us
        self.storm_us = plan.storm_us
        self.full_box_limit = plan.full_box_limit
        self.full_box_us = plan.full_box_us
        self.empty_id_limit = plan.empty_id_limit
        self.required_tlv = plan.required_tlv
        self.congestion = plan.congestion
        self.receipt_limit = plan.receipt_limit
        self.early_limit = plan.early_limit
        self.reply_limit = plan.reply_limit
        self.second_receipt_us = plan.second_receipt_us
        self.receipt_delay_us = plan.receipt_delay_us
        self.receipt_jitter_us = plan.receipt_jitter_us
        self.receipt_window = plan.receipt_window
        self.receipt_esm_class = plan.receipt_esm_class
        self.local_numbers = plan.local_numbers
        self.unanswered_us = plan.unanswered_us
        self.fate_count = len(plan.fate_limits)
        self.verdict_count = len(plan.verdict_limits)
        self.form_count = len(plan.forms)
        self.piece_count = len(plan.template)
        if self.fate_count > MAX_FATES or self.verdict_count + 2 > MAX_VERDICTS:
            raise ValueError("too many error shares")
        if self.form_count > 8 or self.piece_count > MAX_PIECES:
            raise ValueError("too many receipt forms, or pieces of a template")
        for i in range(3):
            self.pair_limits[i] = plan.pair_limits[i]
        for i in range(self.form_count):
            self.forms[i] = plan.forms[i]
        for i in range(self.piece_count):
            piece, field = plan.template[i]
            if used + len(piece) > MAX_FIXED:
                raise ValueError("too long a template")
            self.pieces[i] = Piece(used, len(piece), field)
            memcpy(self.fixed + used, PyBytes_AS_STRING(piece), len(piece))
            used += len(piece)
        for i in range(self.fate_count):
            self.fate_limits[i] = plan.fate_limits[i]
            self.fate_statuses[i] = plan.fate_statuses[i]
        for i in range(self.verdict_count + 2):
            if i < self.verdict_count:
                self.verdict_limits[i] = plan.verdict_limits[i]
            self.states[i] = plan.states[i]
            if len(plan.stats[i]) > MAX_STAT or len(plan.receipt_errors[i]) != 3:
                raise ValueError("stat has at most 16 letters and err 3")
            self.stat_lengths[i] = len(plan.stats[i])
            memcpy(self.stats[i], PyBytes_AS_STRING(plan.stats[i]), self.stat_lengths[i])
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
        free(self.notes.data)
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
            "without_id": self.without_id,
            "receipts_sent": self.receipts_sent,
            "receipts_answered": self.receipts_answered,
            "receipts_refused": self.receipts_refused,
            "replies_sent": self.replies_sent,
            "replies_answered": self.replies_answered,
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

    def acknowledged(self):
        return take(&self.notes)

    def overdue(self, int64_t now_us):
        cdef Session session
        cdef uint32_t k
        handles = []
        for session in self.sessions.values():
            if session.unanswered_count == 0:
                continue
            for k in range(self.slot_mask + 1):
                if session.unanswered[k].used and session.unanswered[k].due_ms < now_us - self.unanswered_us:
                    handles.append(session.handle)
                    break
        return handles

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
            elif command == DELIVER_SM_RESP or command == DATA_SM_RESP:
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
                self.respond(session, item.sequence, item.status, item.number, item.form)
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
        cdef Item first, final, reply
        cdef Account account
        cdef uint32_t status
        cdef uint64_t n, number
        cdef int64_t response_us, due_us
        cdef bint wanted, twice, early
        cdef bint without_id
        self.submitted += 1
        if not session.transmit:
            self.refused += 1
            return self.respond(session, sequence, RINVBNDSTS, 0, 0)
        status = read_submit(body, size, self.required_tlv, &m)
        if status:
            self.malformed += 1
            return self.respond(session, sequence, status, 0, 0)
        if self.required_tlv and not m.tagged:
            self.refused += 1
            return self.respond(session, sequence, RMISSINGOPTPARAM, 0, 0)
        if self.window and session.waiting >= self.window:
            self.throttled += 1
            return self.respond(session, sequence, THROTTLED, 0, 0)
        n = self.submitted
        account = self.accounts[session.account]
        status = self.fate(session, account, &m, n, now_us)
        response_us = now_us + self.latency_us
        if self.service_tps and (status == 0 or status == SILENT):
            account.free_us = max(account.free_us, now_us) + 1000000 // self.service_tps
            response_us += account.free_us - now_us
        if self.jitter_us:
            response_us += <int64_t>(<uint64_t>draw(self.seed, n, 3) * <uint64_t>self.jitter_us >> 32)
        if self.late_limit and draw(self.other_seed, n, 1) < self.late_limit:
            response_us += self.late_us
        if status != 0 and status != SILENT:
            if status == THROTTLED:
                self.throttled += 1
            else:
                self.refused += 1
            return self.answer(session, sequence, status, 0, 0, response_us, now_us)
        self.accepted += 1
        number = self.next_number(account)
        self.record(&m, number, now_us)
        wanted = self.receipt(&final, session.account, &m, number, n, now_us)
        twice = False
        if wanted:
            first = final
            twice = self.second(&first, &final, n)
        early = wanted and self.early_limit and draw(self.seed, n, 5) < self.early_limit
        if early:
            if session.receive and self.free_slots(session):
                if not self.deliver(session, &first, now_us):
                    push(&account.queue, &first)
            else:
                push(&account.queue, &first)
                response_us += EARLY_LEAD_US
        if status == SILENT:
            self.silent += 1
        else:
            without_id = self.empty_id_limit and draw(self.other_seed, n, 0) < self.empty_id_limit
            self.without_id += without_id
            self.answer(session, sequence, 0, number, without_id, response_us, now_us)
        due_us = response_us + self.receipt_delay_us
        if self.receipt_jitter_us:
            due_us += <int64_t>(<uint64_t>draw(self.seed, n, 4) * <uint64_t>self.receipt_jitter_us >> 32)
        if wanted and not early:
            self.schedule(&first, due_us, now_us)
        if twice:
            self.schedule(&final, due_us + self.second_receipt_us, now_us)
        if self.reply_limit and draw(self.other_seed, n, 4) < self.reply_limit:
            self.fill(&reply, session.account, &m, number, n, self.verdict_count + 2, now_us)
            self.schedule(&reply, due_us, now_us)
        return 0

    cdef uint64_t next_number(self, Account account) noexcept:
        cdef uint64_t count
        if self.ids_per_account:
            account.ids += 1
            count = account.ids
        else:
            self.ids += 1
            count = self.ids
        if self.id_reuse:
            count = (count - 1) % self.id_reuse + 1
        return self.id_base + count

    cdef uint32_t fate(self, Session session, Account account, Message *m, uint64_t n, int64_t now_us) noexcept:
        cdef uint32_t chance
        cdef int64_t since_us
        cdef int i
        if self.began_us < 0:
            self.began_us = now_us
        since_us = now_us - self.began_us
        if self.bind_tps and not take_token(&session.bucket, self.bind_tps, now_us):
            return THROTTLED
        if self.tps and not take_token(&account.bucket, self.tps, now_us):
            return THROTTLED
        if self.storm_us and since_us % self.storm_every_us < self.storm_us:
            return THROTTLED
        if self.full_box_limit and (not self.full_box_us or since_us < self.full_box_us):
            if draw(self.other_seed, fingerprint(m.dest, m.dest_length), 7) < self.full_box_limit:
                return QUEUE_FULL
        if self.fate_count:
            chance = draw(self.seed, n, 0)
            for i in range(self.fate_count):
                if chance < self.fate_limits[i]:
                    return self.fate_statuses[i]
        return 0

    cdef bint receipt(self, Item *item, int account, Message *m, uint64_t number, uint64_t n,
                      int64_t now_us) noexcept:
        """Fills a receipt; False where none is due."""
        cdef int wanted = m.registered_delivery & 3
        cdef uint32_t chance
        cdef int verdict = 0
        if not wanted or draw(self.seed, n, 1) >= self.receipt_limit:
            return False
        chance = draw(self.seed, n, 2)
        while verdict < self.verdict_count and chance >= self.verdict_limits[verdict]:
            verdict += 1
        if (wanted == 2 and verdict == self.verdict_count) or (wanted == 3 and verdict < self.verdict_count):
            return False
        self.fill(item, account, m, number, n, verdict, now_us)
        return True

    cdef void fill(self, Item *item, int account, Message *m, uint64_t number, uint64_t n, int verdict,
                   int64_t now_us) noexcept:
        cdef int i
        item.number = number
        item.submitted_s = now_us // 1000000
        item.owner = account
        item.sequence = item.status = 0
        item.response = item.used = 0
        item.verdict = <uint8_t>verdict
        item.form = self.forms[<uint64_t>draw(self.other_seed, n, 3) * <uint64_t>self.form_count >> 32]
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

    cdef bint second(self, Item *first, Item *final, uint64_t n) noexcept:
        """Sets the two verdicts of a message that gets two receipts; False where it gets one."""
        cdef uint32_t chance
        if self.pair_limits[2] == 0:
            return False
        chance = draw(self.other_seed, n, 2)
        if chance < self.pair_limits[0]:
            first.verdict = <uint8_t>(self.verdict_count + 1)
        elif chance < self.pair_limits[1]:
            first.verdict = 0
            final.verdict = <uint8_t>self.verdict_count
        elif chance >= self.pair_limits[2]:
            return False
        return True

    cdef int schedule(self, Item *item, int64_t due_us, int64_t now_us) except -1:
        if due_us <= now_us:
            return push(&(<Account>self.accounts[item.owner]).queue, item)
        return self.later(item, due_us, now_us)

    cdef int record(self, Message *m, uint64_t number, int64_t now_us) except -1:
        cdef char *p
        cdef uint64_t mark = fingerprint(m.text, m.text_length)
        room(&self.records, RECORD_SIZE)
        p = self.records.data + self.records.size
        memcpy(p, &now_us, 8)
        memcpy(p + 8, &number, 8)
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

    cdef int answer(self, Session session, uint32_t sequence, uint32_t status, uint64_t number, bint without_id,
                    int64_t due_us, int64_t now_us) except -1:
        cdef Item item
        if due_us <= now_us:
            return self.respond(session, sequence, status, number, without_id)
        memset(&item, 0, sizeof(Item))
        item.response = 1
        item.owner = session.handle
        item.sequence = sequence
        item.status = status
        item.number = number
        item.form = without_id
        session.waiting += 1
        return self.later(&item, due_us, now_us)

    cdef int respond(self, Session session, uint32_t sequence, uint32_t status, uint64_t number,
                     bint without_id) except -1:
        cdef char *p
        cdef int length = 16
        room(&session.out, 128)
        p = session.out.data + session.out.size
        if status == 0 and not without_id:
            length += digits(p + 16, number, &self.id_form)
            p[length] = 0
            length += 1
            if self.congestion >= 0:
                memcpy(p + length, b"\x04\x28\x00\x01", 4)
                p[length + 4] = <char>self.congestion_of(session)
                length += 5
        elif not sequence & 1:
            p[16] = 0
            length = 17
        put32(p, length)
        put32(p + 4, SUBMIT_SM_RESP)
        put32(p + 8, status)
        put32(p + 12, sequence)
        session.out.size += length
        return 0

    cdef int congestion_of(self, Session session) except -1:
        if self.congestion != CONGESTION_AUTO:
            return self.congestion
        if not self.tps or session.account < 0:
            return 0
        return 100 - <int>((<Account>self.accounts[session.account]).bucket.tokens * 100 // depth_of(self.tps))

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
        elif item.verdict == self.verdict_count + 2:
            self.replies_answered += 1
        else:
            self.receipts_answered += 1
            if self.noting:
                self.note(item)
        return 0

    cdef int note(self, Item *item) except -1:
        cdef char *p
        room(&self.notes, 16)
        p = self.notes.data + self.notes.size
        memset(p, 0, 16)
        memcpy(p, &item.number, 8)
        memcpy(p + 8, &item.owner, 4)
        p[12] = <char>item.verdict
        self.notes.size += 16
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
        item.due_ms = now_us
        session.unanswered_count += 1
        if item.verdict == self.verdict_count + 2:
            self.replies_sent += 1
        else:
            self.receipts_sent += 1
        self.deliver_sm(session, item, now_us // 1000000)
        return True

    cdef int deliver_sm(self, Session session, Item *item, int64_t now_s) except -1:
        cdef char *start
        cdef char *p
        cdef char *sm_length
        cdef char number[80]
        cdef char text[768]
        cdef int length = digits(number, item.number, &self.receipt_id_form)
        cdef int size = 0
        cdef int cut = 0
        cdef int i
        cdef uint32_t command = DELIVER_SM
        cdef bint tlvs = True
        room(&session.out, 1200)
        start = session.out.data + session.out.size
        p = start + 16
        p[0] = 0
        p[1] = <char>item.dest_ton
        p[2] = <char>item.dest_npi
        p += 3
        if self.local_numbers and item.dest_length > 4:
            (p - 2)[0] = 2
            p[0] = 48
            p += 1
            cut = 2
        memcpy(p, item.dest + cut, item.dest_length - cut)
        p += item.dest_length - cut
        p[0] = 0
        p[1] = <char>item.source_ton
        p[2] = <char>item.source_npi
        p += 3
        memcpy(p, item.source, item.source_length)
        p += item.source_length
        if item.verdict == self.verdict_count + 2:
            memcpy(p, b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04STOP", 15)
            p += 15
            tlvs = False
        else:
            p[0] = 0
            p[1] = <char>self.receipt_esm_class
            p += 2
            if item.form == DATA_FORM:
                command = DATA_SM
                memset(p, 0, 2)
                p += 2
            else:
                memset(p, 0, 9)
                sm_length = p + 8
                if item.form != TLV_FORM:
                    size = self.text(text, item, number, length, now_s)
                if item.form == UCS2_FORM:
                    p[6] = 8
                    for i in range(size - 1, -1, -1):
                        text[2 * i + 1] = text[i]
                        text[2 * i] = 0
                    size *= 2
                p += 9
                if item.form == PAYLOAD_FORM or size > LONGEST_TEXT:
                    memcpy(p, b"\x04\x24", 2)
                    p[2] = <char>(size >> 8)
                    p[3] = <char>size
                    memcpy(p + 4, text, size)
                    p += 4 + size
                    tlvs = False
                else:
                    sm_length[0] = <char>size
                    memcpy(p, text, size)
                    p += size
                    tlvs = item.form != TEXT_FORM
        if tlvs:
            memcpy(p, b"\x00\x1e\x00", 3)
            p[3] = <char>(length + 1)
            memcpy(p + 4, number, length)
            p += 4 + length
            memcpy(p, b"\x00\x04\x27\x00\x01", 5)
            p[5] = <char>self.states[item.verdict]
            p += 6
        put32(start, <uint32_t>(p - start))
        put32(start + 4, command)
        put32(start + 8, 0)
        put32(start + 12, item.sequence)
        session.out.size += p - start
        return 0

    cdef int text(self, char *out, Item *item, const char *number, int length, int64_t now_s) noexcept:
        """Writes the receipt's text (at most 384 octets); returns its length."""
        cdef char *p = out
        cdef int i, field
        for i in range(self.piece_count):
            memcpy(p, self.fixed + self.pieces[i].start, self.pieces[i].length)
            p += self.pieces[i].length
            field = self.pieces[i].field
            if field == ID_FIELD:
                memcpy(p, number, length)
                p += length
            elif field == DLVRD_FIELD:
                memcpy(p, b"000", 3)
                if item.verdict == self.verdict_count:
                    p[2] = 49
                p += 3
            elif field == STAT_FIELD:
                memcpy(p, self.stats[item.verdict], self.stat_lengths[item.verdict])
                p += self.stat_lengths[item.verdict]
            elif field == ERR_FIELD:
                memcpy(p, self.receipt_errors[item.verdict], 3)
                p += 3
            elif field == TEXT_FIELD:
                memcpy(p, item.text, item.text_length)
                p += item.text_length
            elif field >= FIRST_TIME_FIELD + 4:
                p += self.time_text(p, 1, field - FIRST_TIME_FIELD - 4, now_s)
            elif field >= FIRST_TIME_FIELD:
                p += self.time_text(p, 0, field - FIRST_TIME_FIELD, item.submitted_s)
        return <int>(p - out)

    cdef int time_text(self, char *out, int which, int shape, int64_t at_s) noexcept:
        """10, 12 or 14 digits, or seconds of unix time: shapes 0 to 3."""
        cdef IdForm seconds
        if shape == 3:
            seconds.base = 10
            seconds.letters = 0
            seconds.width = 0
            return digits(out, at_s, &seconds)
        if shape == 2:
            out[0] = 50
            out[1] = 48
            out += 2
        memcpy(out, self.date(which, at_s), 10)
        if shape == 0:
            return 10
        two(out + 10, <int>(at_s % 60))
        return 12 if shape == 1 else 14

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
