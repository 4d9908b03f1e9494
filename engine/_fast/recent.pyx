"""Recent SMSC message ids, in C: entries in one block, linked from oldest to newest, under a hash index.

The twin in `pure` says what each method means.
"""

from cpython cimport array
from cpython.bytearray cimport PyByteArray_AS_STRING
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy

from engine._fast.arrays cimport ends_fit, int8s, int16s, int32s, int64s, resized

from engine._fast.columns import ACCEPTED, KIND_OTHER_ACK, MatchBatch

import os

cdef extern from *:
    """
    #if defined(__GNUC__)
    #define heliograph_prefetch(address) __builtin_prefetch(address)
    #else
    #define heliograph_prefetch(address) ((void)(address))
    #endif
    #if defined(__linux__)
    #include <sys/mman.h>
    #define heliograph_huge_pages(address, size) ((void)madvise(address, size, MADV_HUGEPAGE))
    #else
    #define heliograph_huge_pages(address, size) ((void)(address))
    #endif
    """
    void heliograph_prefetch(const void* address) noexcept nogil
    void heliograph_huge_pages(void* address, size_t size) noexcept nogil

cdef enum:
    PAGE = 1 << 21
    AHEAD = 8  # ids whose place in the index is fetched before its turn: it is seldom in a cache
    INLINE = 24  # octets of an id kept in its entry; a longer one has memory of its own
    NONE = -1
    OK = 0
    OTHER_ACK = 3

assert (OK, OTHER_ACK) == (ACCEPTED, KIND_OTHER_ACK)

cdef union IdOctets:
    char inline_octets[INLINE]
    char* long_octets

cdef struct Entry:
    uint64_t hash
    int64_t slice_id
    IdOctets id
    int account  # negative - 1 where the id is kept as a number
    int id_length
    uint32_t sent_s
    int tail  # last nine digits of the destination, -1 where it has fewer than eight
    int row
    int campaign
    int older
    int newer
    short part
    short parts
    signed char verdict


cdef struct Place:
    uint32_t tag  # low bits of the entry's hash: where it belongs, without a look at the entry
    uint32_t entry  # its position + 1; 0: empty


cdef inline const char* _id_of(const Entry* entry) noexcept:
    if entry.id_length <= INLINE:
        return &entry.id.inline_octets[0]
    return entry.id.long_octets


cdef inline uint64_t _mix(uint64_t value) noexcept:
    value = (value ^ value >> 32) * <uint64_t>0xD6E8FEB86659FD93u
    value = (value ^ value >> 32) * <uint64_t>0xD6E8FEB86659FD93u
    return value ^ value >> 32


cdef inline int _digit(unsigned char octet) noexcept:
    if 48 <= octet <= 57:
        return octet - 48
    octet |= 0x20
    return octet - 87 if 97 <= octet <= 102 else 99


cdef bint _number_of(const char* octets, int length, int base, uint64_t* number) noexcept:
    """The id as a number of base 10 or 16; False where it is none, or has more than 64 bits."""
    cdef uint64_t value = 0
    cdef uint64_t most
    cdef int digit
    cdef int i
    if base == 0 or length == 0:
        return False
    most = <uint64_t>-1
    for i in range(length):
        digit = _digit(<unsigned char>octets[i])
        if digit >= base or value > (most - digit) // <uint64_t>base:
            return False
        value = value * base + digit
    number[0] = value
    return True


cdef inline int _tail(long long msisdn) noexcept:
    return <int>(msisdn % 1000000000) if msisdn >= 10000000 else -1


cdef inline bint _same_destination(long long msisdn, int tail) noexcept:
    if msisdn < 10000000 or tail < 0:
        return False
    if msisdn >= 100000000:
        return msisdn % 1000000000 == tail
    return msisdn == tail % 100000000


cdef int _check(int base) except -1:
    if base != 0 and base != 10 and base != 16:
        raise ValueError("a base is 0, 10 or 16")
    return 0


cdef class RecentIds:
    cdef readonly Py_ssize_t capacity
    cdef Py_ssize_t _count
    cdef Entry* _entries
    cdef Place* _index
    cdef void* _index_memory
    cdef uint64_t _mask, _seed
    cdef int _oldest, _newest

    def __cinit__(self, Py_ssize_t capacity):
        if not 1 <= capacity <= 1 << 28:
            raise ValueError("a capacity is from 1 to 2^28")
        cdef Py_ssize_t places = 16
        while places < 2 * capacity:
            places *= 2
        self.capacity = capacity
        self._mask = places - 1
        self._seed = int.from_bytes(os.urandom(8), "little")  # no peer can choose ids that collide
        self._oldest = self._newest = NONE
        self._entries = <Entry*>calloc(capacity, sizeof(Entry))
        self._index_memory = calloc(places * sizeof(Place) + PAGE, 1)
        if self._entries == NULL or self._index_memory == NULL:
            raise MemoryError()
        # each look is at random in it: on small pages most would miss the TLB, too
        self._index = <Place*>((<uintptr_t>self._index_memory + PAGE - 1) & ~<uintptr_t>(PAGE - 1))
        if places * sizeof(Place) >= PAGE:
            heliograph_huge_pages(self._index, places * sizeof(Place))

    def __dealloc__(self):
        cdef Py_ssize_t i
        for i in range(self._count):
            if self._entries[i].id_length > INLINE:
                free(self._entries[i].id.long_octets)
        free(self._entries)
        free(self._index_memory)

    def __len__(self):
        return self._count

    cdef uint64_t _hash(self, int64_t account, const char* octets, Py_ssize_t length) noexcept:
        cdef uint64_t value = _mix(self._seed ^ <uint64_t>account)
        cdef uint64_t word
        value ^= <uint64_t>length
        while length > 0:
            word = 0
            memcpy(&word, octets, min(length, 8))
            value = _mix(value ^ word)
            octets += 8
            length -= 8
        return value

    cdef void _fetch(self, int account, const char* octets, const int* ends, Py_ssize_t i) noexcept:
        """Let the memory of the i-th id's place in the index come near."""
        cdef int start = ends[i - 1] if i else 0
        heliograph_prefetch(&self._index[self._hash(account, octets + start, ends[i] - start) & self._mask])

    cdef uint64_t _seek(
        self, uint64_t hash, int64_t account, const char* octets, Py_ssize_t length
    ) noexcept:
        """The place in the index of this id, or the empty one where it would go."""
        cdef uint64_t place = hash & self._mask
        cdef const Entry* entry
        while self._index[place].entry:
            entry = &self._entries[self._index[place].entry - 1]
            if (
                self._index[place].tag == <uint32_t>hash
                and entry.hash == hash
                and entry.account == account
                and entry.id_length == length
                and memcmp(_id_of(entry), octets, length) == 0
            ):
                break
            place = (place + 1) & self._mask
        return place

    cdef void _unlink(self, int position) noexcept:
        cdef Entry* entry = &self._entries[position]
        if entry.older == NONE:
            self._oldest = entry.newer
        else:
            self._entries[entry.older].newer = entry.newer
        if entry.newer == NONE:
            self._newest = entry.older
        else:
            self._entries[entry.newer].older = entry.older

    cdef void _link_newest(self, int position) noexcept:
        self._entries[position].older = self._newest
        self._entries[position].newer = NONE
        if self._newest == NONE:
            self._oldest = position
        else:
            self._entries[self._newest].newer = position
        self._newest = position

    cdef int _evict_oldest(self) noexcept:
        """Takes the oldest entry out of the index and the list; returns its position, now free."""
        cdef int position = self._oldest
        cdef Entry* entry = &self._entries[position]
        # those that go next stand behind it, most of the time
        if position + AHEAD < self._count:
            heliograph_prefetch(&self._index[self._entries[position + AHEAD].hash & self._mask])
        cdef uint64_t hole = entry.hash & self._mask
        cdef uint64_t place, home
        while self._index[hole].entry != <uint32_t>position + 1:
            hole = (hole + 1) & self._mask
        place = hole
        while True:  # close the hole, so that no probe ends at it too early
            place = (place + 1) & self._mask
            if self._index[place].entry == 0:
                break
            home = self._index[place].tag & self._mask
            if ((place - home) & self._mask) >= ((place - hole) & self._mask):
                self._index[hole] = self._index[place]
                hole = place
        self._index[hole].entry = 0
        self._unlink(position)
        if entry.id_length > INLINE:
            free(entry.id.long_octets)
        entry.id_length = 0
        return position

    cdef Entry* _enter(self, int account, const char* octets, int length) except NULL:
        """The entry of an id, new or known, as the newest."""
        cdef uint64_t hash = self._hash(account, octets, length)
        cdef uint64_t place = self._seek(hash, account, octets, length)
        cdef char* long_octets = NULL
        cdef int position
        cdef Entry* entry
        if self._index[place].entry:
            position = <int>self._index[place].entry - 1
            self._unlink(position)
            self._link_newest(position)
            return &self._entries[position]
        if length > INLINE:
            long_octets = <char*>malloc(length)
            if long_octets == NULL:
                raise MemoryError()
        if self._count == self.capacity:
            position = self._evict_oldest()
            place = self._seek(hash, account, octets, length)
        else:
            position = <int>self._count
            self._count += 1
        entry = &self._entries[position]
        entry.hash = hash
        entry.account = account
        entry.id_length = length
        if long_octets == NULL:
            memcpy(&entry.id.inline_octets[0], octets, length)
        else:
            memcpy(long_octets, octets, length)
            entry.id.long_octets = long_octets
        self._index[place] = Place(<uint32_t>hash, <uint32_t>position + 1)
        self._link_newest(position)
        return entry

    def put(self, results, array.array outcome not None, int account_id, campaign, int base=0):
        _check(base)
        cdef Py_ssize_t n = results.count
        if len(outcome) != n:
            raise ValueError("one outcome for each result")
        cdef const signed char* codes = int8s(outcome, n)
        cdef const signed char* lates = int8s(results.late, n)
        cdef const int* claims = int32s(results.claim, n)
        cdef const int* rows = int32s(results.row, n)
        cdef const short* part = int16s(results.part, n)
        cdef const short* parts = int16s(results.parts, n)
        cdef const long long* slices = int64s(results.slice_id, n)
        cdef const long long* numbers = int64s(results.msisdn, n)
        cdef const long long* sent_us = int64s(results.sent_us, n)
        cdef uint64_t number = 0
        cdef const int* ends = int32s(results.id_end, n)
        cdef bytearray ids = results.ids
        cdef const char* octets = PyByteArray_AS_STRING(ids)
        cdef bint one = isinstance(campaign, int)
        cdef int handle = campaign if one else 0
        cdef bint looked_up = one
        cdef Entry* entry
        cdef Py_ssize_t i
        cdef Py_ssize_t kept = 0
        cdef int start, stop
        ends_fit(ends, n, len(ids))
        stop = 0
        for i in range(n):
            if not base and i + AHEAD < n:
                self._fetch(account_id, octets, ends, i + AHEAD)
            start, stop = stop, ends[i]
            if not one and i and claims[i] != claims[i - 1]:
                looked_up = False
            if codes[i] != OK or lates[i] or start == stop:
                continue
            if not looked_up:
                handle = campaign[claims[i]]
                looked_up = True
            if _number_of(octets + start, stop - start, base, &number):
                entry = self._enter(-account_id - 1, <const char*>&number, sizeof(number))
            else:
                entry = self._enter(account_id, octets + start, stop - start)
            entry.sent_s = <uint32_t>(sent_us[i] // 1000000) if sent_us[i] > 0 else 0
            entry.tail = _tail(numbers[i])
            entry.slice_id = slices[i]
            entry.row = rows[i]
            entry.part = part[i]
            entry.parts = parts[i]
            entry.campaign = handle
            entry.verdict = 0
            kept += 1
        return kept

    cdef Entry* _look_up(self, int account, const char* octets, int length) noexcept:
        cdef uint64_t hash = self._hash(account, octets, length)
        cdef uint64_t place = self._seek(hash, account, octets, length)
        return &self._entries[self._index[place].entry - 1] if self._index[place].entry else NULL

    def match(self, receipts, int account_id, int base=0):
        _check(base)
        cdef Py_ssize_t n = receipts.count
        cdef const signed char* kinds = int8s(receipts.kind, n)
        cdef const signed char* verdicts = int8s(receipts.verdict, n)
        cdef const int* ends = int32s(receipts.id_end, n)
        cdef bytearray ids = receipts.ids
        cdef const char* octets = PyByteArray_AS_STRING(ids)
        cdef const long long* numbers = int64s(receipts.msisdn, n) if base else NULL
        cdef _Matches matches = _Matches(n)
        cdef Entry* entry
        cdef uint64_t number = 0
        cdef bint by_number
        cdef Py_ssize_t i
        cdef int start, stop
        ends_fit(ends, n, len(ids))
        stop = 0
        for i in range(n):
            if not base and i + AHEAD < n:
                self._fetch(account_id, octets, ends, i + AHEAD)
            start, stop = stop, ends[i]
            entry = NULL
            by_number = False
            if kinds[i] != OTHER_ACK and start < stop:
                if _number_of(octets + start, stop - start, base, &number):
                    entry = self._look_up(-account_id - 1, <const char*>&number, sizeof(number))
                    if entry != NULL and not _same_destination(numbers[i], entry.tail):
                        entry = NULL
                    by_number = entry != NULL
                if entry == NULL:
                    entry = self._look_up(account_id, octets + start, stop - start)
            matches.note(i, entry, verdicts[i], by_number)
        return matches.batch


cdef class _Matches:
    """A MatchBatch being written."""

    cdef object batch
    cdef array.array found, slices, rows, part_numbers, part_counts, campaigns, befores, afters, firsts
    cdef array.array sents, by_numbers

    def __cinit__(self, Py_ssize_t n):
        batch = self.batch = MatchBatch()
        self.found, self.slices, self.rows, self.campaigns = batch.found, batch.slice_id, batch.row, batch.campaign
        self.part_numbers, self.part_counts = batch.part, batch.parts
        self.befores, self.afters, self.firsts = batch.before, batch.after, batch.first
        self.sents, self.by_numbers = batch.sent_s, batch.by_number
        for column in (
            self.found, self.slices, self.rows, self.part_numbers, self.part_counts, self.campaigns,
            self.befores, self.afters, self.firsts, self.sents, self.by_numbers,
        ):
            resized(column, n)
            array.zero(column)

    cdef void note(self, Py_ssize_t i, Entry* entry, signed char verdict, bint by_number) noexcept:
        """Row i matches this entry; it keeps the higher verdict. Rows without one stay zero."""
        if entry == NULL:
            return
        self.found.data.as_schars[i] = 1
        self.sents.data.as_longlongs[i] = entry.sent_s
        self.by_numbers.data.as_schars[i] = by_number
        self.slices.data.as_longlongs[i] = entry.slice_id
        self.rows.data.as_ints[i] = entry.row
        self.part_numbers.data.as_shorts[i] = entry.part
        self.part_counts.data.as_shorts[i] = entry.parts
        self.campaigns.data.as_ints[i] = entry.campaign
        self.befores.data.as_schars[i] = entry.verdict
        self.firsts.data.as_schars[i] = entry.verdict == 0 and verdict > 0
        if verdict > entry.verdict:
            entry.verdict = verdict
        self.afters.data.as_schars[i] = entry.verdict
