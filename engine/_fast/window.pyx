"""What a bind has in flight, in C: a ring of 4 x size slots and an overflow table for what outlives its slot.

A sequence_number's slot is its low bits. When a newer PDU needs the slot of one still in flight, the older one
moves to the overflow table (open addressing), so each lookup stays a slot and, at worst, one short probe.
The twin in `pure` says what each method means.
"""

from cpython cimport array
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize, PyByteArray_Resize
from libc.stdlib cimport calloc, free, malloc, qsort
from libc.string cimport memcpy, memset

from engine._fast.arrays cimport ends_fit, int16s, int32s, int64s, made, resized, uint32s

from array import array as new_array

from engine._fast.columns import STATUS_LOST, STATUS_TIMEOUT, ResultBatch

cdef array.array INT8 = new_array("b")
cdef array.array INT16 = new_array("h")
cdef array.array INT32 = new_array("i")
cdef array.array INT64 = new_array("q")

cdef enum:
    EMPTY = 0
    WAITING = 1
    REPORTED = 2  # as STATUS_TIMEOUT: counts until its late response

cdef struct Slot:
    long long slice_id
    long long msisdn
    long long sent_us
    unsigned long long serial  # order of registration
    unsigned int sequence
    int claim
    int index
    int row
    short part
    short parts
    short attempt
    short state

assert (STATUS_TIMEOUT, STATUS_LOST) == (-1, -2)


cdef int _by_serial(const void* a, const void* b) noexcept nogil:
    cdef unsigned long long left = (<const Slot* const*>a)[0].serial
    cdef unsigned long long right = (<const Slot* const*>b)[0].serial
    return (left > right) - (left < right)


cdef class _Results:
    """A ResultBatch being written, sized for its most rows."""

    cdef array.array claims, indices, slices, rows, part_numbers, part_counts, attempts
    cdef array.array numbers, statuses, sents, dones, lates, id_ends
    cdef bytearray ids
    cdef Py_ssize_t most, count, used

    def __cinit__(self, Py_ssize_t most, Py_ssize_t id_octets):
        self.most = most
        self.claims, self.indices = made(INT32, most), made(INT32, most)
        self.slices, self.rows = made(INT64, most), made(INT32, most)
        self.part_numbers, self.part_counts = made(INT16, most), made(INT16, most)
        self.attempts, self.numbers = made(INT16, most), made(INT64, most)
        self.statuses, self.sents = made(INT64, most), made(INT64, most)
        self.dones, self.lates, self.id_ends = made(INT64, most), made(INT8, most), made(INT32, most)
        self.ids = PyByteArray_FromStringAndSize(NULL, id_octets)

    cdef int size(self, Py_ssize_t rows) except -1:
        resized(self.claims, rows)
        resized(self.indices, rows)
        resized(self.slices, rows)
        resized(self.rows, rows)
        resized(self.part_numbers, rows)
        resized(self.part_counts, rows)
        resized(self.attempts, rows)
        resized(self.numbers, rows)
        resized(self.statuses, rows)
        resized(self.sents, rows)
        resized(self.dones, rows)
        resized(self.lates, rows)
        resized(self.id_ends, rows)
        return 0

    cdef void append(
        self, const Slot* slot, long long status, long long done_us, const char* id_octets, Py_ssize_t length
    ) noexcept:
        cdef Py_ssize_t i = self.count
        self.claims.data.as_ints[i] = slot.claim
        self.indices.data.as_ints[i] = slot.index
        self.slices.data.as_longlongs[i] = slot.slice_id
        self.rows.data.as_ints[i] = slot.row
        self.part_numbers.data.as_shorts[i] = slot.part
        self.part_counts.data.as_shorts[i] = slot.parts
        self.attempts.data.as_shorts[i] = slot.attempt
        self.numbers.data.as_longlongs[i] = slot.msisdn
        self.statuses.data.as_longlongs[i] = status
        self.sents.data.as_longlongs[i] = slot.sent_us
        self.dones.data.as_longlongs[i] = done_us
        self.lates.data.as_schars[i] = slot.state == REPORTED
        memcpy(PyByteArray_AS_STRING(self.ids) + self.used, id_octets, length)
        self.used += length
        self.id_ends.data.as_ints[i] = <int>self.used
        self.count += 1

    cdef object finish(self):
        if self.count < self.most:
            self.size(self.count)
        if self.used < len(self.ids):
            PyByteArray_Resize(self.ids, self.used)
        return ResultBatch(
            self.count, self.claims, self.indices, self.slices, self.rows, self.part_numbers, self.part_counts,
            self.attempts, self.numbers, self.statuses, self.sents, self.dones, self.lates, self.ids, self.id_ends,
        )


cdef class Window:
    cdef readonly Py_ssize_t size
    cdef readonly Py_ssize_t in_flight
    cdef public long long unknown
    cdef Slot* _slots  # the ring, then the overflow table
    cdef Slot* _overflow
    cdef unsigned int _ring_mask, _overflow_mask
    cdef Py_ssize_t _overflown
    cdef unsigned long long _serial

    def __cinit__(self, Py_ssize_t size):
        if not 1 <= size <= 1 << 20:
            raise ValueError("a window holds from 1 to 2^20 PDUs")
        cdef unsigned int ring = 16
        while ring < 4 * size:
            ring *= 2
        self.size = size
        self._ring_mask = ring - 1
        self._overflow_mask = ring // 2 - 1
        self._slots = <Slot*>calloc(ring + ring // 2, sizeof(Slot))
        if self._slots == NULL:
            raise MemoryError()
        self._overflow = self._slots + ring

    def __dealloc__(self):
        free(self._slots)

    @property
    def free(self):
        return self.size - self.in_flight

    @property
    def oldest_us(self):
        cdef Py_ssize_t i
        cdef bint found = False
        cdef long long oldest = -1
        if self.in_flight:
            for i in range(self._total()):
                if self._slots[i].state == WAITING and (not found or self._slots[i].sent_us < oldest):
                    oldest = self._slots[i].sent_us
                    found = True
        return oldest

    cdef inline Py_ssize_t _total(self) noexcept:
        return <Py_ssize_t>self._ring_mask + 1 + self._overflow_mask + 1

    cdef inline unsigned int _home(self, unsigned int sequence) noexcept:
        return (sequence * 2654435769u >> 7) & self._overflow_mask

    cdef Slot* _find(self, unsigned int sequence) noexcept:
        cdef Slot* slot = &self._slots[sequence & self._ring_mask]
        cdef unsigned int i
        if slot.state != EMPTY and slot.sequence == sequence:
            return slot
        if self._overflown:
            i = self._home(sequence)
            while self._overflow[i].state != EMPTY:
                if self._overflow[i].sequence == sequence:
                    return &self._overflow[i]
                i = (i + 1) & self._overflow_mask
        return NULL

    cdef Slot* _place(self, unsigned int sequence) noexcept:
        """The ring's slot for a new sequence_number; whoever is in it moves to the overflow table."""
        cdef Slot* slot = &self._slots[sequence & self._ring_mask]
        cdef unsigned int i
        if slot.state != EMPTY:
            i = self._home(slot.sequence)
            while self._overflow[i].state != EMPTY:
                i = (i + 1) & self._overflow_mask
            self._overflow[i] = slot[0]
            self._overflown += 1
        self.in_flight += 1
        return slot

    cdef void _remove(self, Slot* slot) noexcept:
        cdef unsigned int hole, i, home
        self.in_flight -= 1
        slot.state = EMPTY
        if slot < self._overflow:
            return
        self._overflown -= 1
        hole = i = <unsigned int>(slot - self._overflow)
        while True:  # close the hole, so that no probe ends at it too early
            i = (i + 1) & self._overflow_mask
            if self._overflow[i].state == EMPTY:
                return
            home = self._home(self._overflow[i].sequence)
            if ((i - home) & self._overflow_mask) >= ((i - hole) & self._overflow_mask):
                self._overflow[hole] = self._overflow[i]
                self._overflow[i].state = EMPTY
                hole = i

    def register(
        self,
        batch,
        Py_ssize_t start,
        Py_ssize_t stop,
        long long slice_id,
        short attempt,
        int claim,
        long long now_us,
        array.array index=None,
    ):
        cdef Py_ssize_t count = batch.count
        cdef const unsigned int* sequences = uint32s(batch.sequence, count)
        cdef const int* rows = int32s(batch.row, count)
        cdef const short* part = int16s(batch.part, count)
        cdef const short* parts = int16s(batch.parts, count)
        cdef const long long* numbers = int64s(batch.msisdn, count)
        cdef const int* indices = NULL
        cdef Slot* slot
        cdef Py_ssize_t i
        if not 0 <= start <= stop <= count:
            raise IndexError("PDUs outside the batch")
        if index is not None:
            if len(index) < stop:
                raise IndexError("index is shorter than the batch")
            indices = int32s(index, stop)
        if stop - start > self.size - self.in_flight:
            raise ValueError(f"{stop - start} PDUs do not fit a window with {self.free} free")
        for i in range(start, stop):
            if self._find(sequences[i]) != NULL:
                while i > start:
                    i -= 1
                    self._remove(self._find(sequences[i]))
                raise ValueError("a sequence_number is in flight already")
            slot = self._place(sequences[i])
            slot.sequence = sequences[i]
            slot.state = WAITING
            slot.claim = claim
            slot.index = <int>i if indices == NULL else indices[i]
            slot.slice_id = slice_id
            slot.row = rows[i]
            slot.part = part[i]
            slot.parts = parts[i]
            slot.attempt = attempt
            slot.msisdn = numbers[i]
            slot.sent_us = now_us
            slot.serial = self._serial
            self._serial += 1

    def resolve(self, parsed, long long now_us):
        cdef Py_ssize_t n = len(parsed.resp_sequence)
        cdef const unsigned int* sequences = uint32s(parsed.resp_sequence, n)
        cdef const unsigned int* statuses = uint32s(parsed.resp_status, n)
        cdef const int* ends = int32s(parsed.resp_id_end, n)
        cdef bytearray ids = parsed.resp_ids
        cdef const char* octets = PyByteArray_AS_STRING(ids)
        cdef _Results results = _Results(min(n, self.in_flight), len(ids))
        cdef Slot* slot
        cdef Py_ssize_t i
        cdef int start = 0
        ends_fit(ends, n, len(ids))
        for i in range(n):
            slot = self._find(sequences[i])
            if slot == NULL:
                self.unknown += 1
            else:
                results.append(slot, statuses[i], now_us, octets + start, ends[i] - start)
                self._remove(slot)
            start = ends[i]
        return results.finish()

    def resolve_one(self, unsigned int sequence, long long status, long long now_us):
        cdef _Results results = _Results(1, 0)
        cdef Slot* slot = self._find(sequence)
        if slot == NULL:
            self.unknown += 1
        else:
            results.append(slot, status, now_us, b"", 0)
            self._remove(slot)
        return results.finish()

    cdef Py_ssize_t _waiting(self, Slot** found, long long before_us, bint all_of_them) noexcept:
        """The slots not yet reported and sent before a time, or all of them, in the order of registration."""
        cdef Py_ssize_t i
        cdef Py_ssize_t n = 0
        for i in range(self._total()):
            if self._slots[i].state == WAITING and (all_of_them or self._slots[i].sent_us < before_us):
                found[n] = &self._slots[i]
                n += 1
        qsort(found, n, sizeof(Slot*), _by_serial)
        return n

    cdef object _report(self, long long status, long long before_us, bint all_of_them, long long done_us):
        cdef Slot** found = <Slot**>malloc((self.in_flight + 1) * sizeof(Slot*))
        cdef _Results results
        cdef Py_ssize_t i, n
        if found == NULL:
            raise MemoryError()
        try:
            n = self._waiting(found, before_us, all_of_them) if self.in_flight else 0
            results = _Results(n, 0)
            for i in range(n):
                results.append(found[i], status, done_us, b"", 0)
                found[i].state = REPORTED
            return results.finish()
        finally:
            free(found)

    def expire(self, long long before_us, long long now_us=-1):
        return self._report(-1, before_us, False, before_us if now_us < 0 else now_us)

    def forget_before(self, long long before_us):
        cdef Py_ssize_t before = self.in_flight
        cdef Py_ssize_t i = 0
        while i < self._total():
            if self._slots[i].state == REPORTED and self._slots[i].sent_us < before_us:
                self._remove(&self._slots[i])  # may move a later entry of the overflow table here
            else:
                i += 1
        return before - self.in_flight

    def drain(self, long long now_us):
        results = self._report(-2, 0, True, now_us)
        memset(self._slots, 0, self._total() * sizeof(Slot))
        self.in_flight = self._overflown = 0
        return results
