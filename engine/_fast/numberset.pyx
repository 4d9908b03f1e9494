"""Exact set of numbers in C. The twin in `pure` says what it does.

Numbers are grouped in pages of 65,536 by their upper 48 bits. A page holds the lower 16 bits of up to 4 numbers in
place, of more in an open hash table, and from where that would take 8 KiB as a bitmap: 2 to 5 octets a number of one
country's file, and one or two cache misses a number whatever the set's size.
"""

from cpython cimport array
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from engine._fast.arrays cimport int64s, int8s, resized

from array import array as new_array
from os import urandom

cdef extern from *:
    """
    #if defined(__GNUC__)
    #define HELIOGRAPH_PREFETCH(address) __builtin_prefetch((address), 1)
    #else
    #define HELIOGRAPH_PREFETCH(address) ((void) (address))
    #endif
    """
    void prefetch "HELIOGRAPH_PREFETCH"(const void* address) noexcept nogil

cdef enum:
    IN_PLACE = 4
    FIRST_BITS = 4  # of a page's first table: 16 slots
    MOST_BITS = 12  # of its last one: 4,096 slots of 2 octets, as much as a bitmap
    BITMAP = 16
    BITMAP_OCTETS = 8192
    TOO_FAR = 2048  # places from where a page belongs: chance alone gives some hundreds among millions
    AHEAD = 12  # rows whose slot is asked for before they are looked at


cdef union Body:
    uint16_t[IN_PLACE] few
    uint16_t* slots  # 0 is a free slot
    uint64_t* bitmap


cdef struct Page:
    uint64_t key  # the upper 48 bits + 1; 0: no page
    Body body
    uint32_t count
    unsigned char bits  # 0: in place
    unsigned char zero  # whether the number whose lower bits are 0 is in (of tables)


# Of this process. The golden ratio spreads the pages of a country best; a file whose pages are chosen to fall on
# each other under it would take hours to insert, but nobody can choose for this one.
cdef uint64_t SECRET = int.from_bytes(urandom(8), "little") | 1


cdef inline uint32_t _slot(uint16_t low, int bits) noexcept nogil:
    return ((<uint32_t> low * 0x9E37u) & 0xFFFFu) >> (16 - bits)


cdef inline bint _put(uint16_t* slots, int bits, uint16_t low) noexcept nogil:
    """False if the lower bits, which are not 0, were there."""
    cdef uint32_t mask = (<uint32_t> 1 << bits) - 1
    cdef uint32_t at = _slot(low, bits)
    while slots[at] != 0:
        if slots[at] == low:
            return False
        at = (at + 1) & mask
    slots[at] = low
    return True


cdef inline bint _set(uint64_t* bitmap, uint16_t low) noexcept nogil:
    cdef uint64_t bit = <uint64_t> 1 << (low & 63)
    if bitmap[low >> 6] & bit:
        return False
    bitmap[low >> 6] |= bit
    return True


cdef class NumberSet:
    cdef Page* _pages
    cdef int _bits
    cdef uint64_t _factor
    cdef Py_ssize_t _used
    cdef Py_ssize_t _count
    cdef Py_ssize_t _octets
    cdef bint _busy

    def __cinit__(self):
        self._bits = 6
        self._factor = 0x9E3779B97F4A7C15ULL
        self._pages = <Page*> calloc(1 << self._bits, sizeof(Page))
        if self._pages == NULL:
            raise MemoryError()
        self._octets = sizeof(Page) << self._bits

    def __dealloc__(self):
        cdef Py_ssize_t i
        if self._pages != NULL:
            for i in range(<Py_ssize_t> 1 << self._bits):
                if self._pages[i].bits:
                    free(self._pages[i].body.slots)
            free(self._pages)

    def __len__(self):
        return self._count

    @property
    def nbytes(self):
        """Octets held."""
        return self._octets

    def new(self, numbers, reason):
        """Adds the numbers of the rows with reason 0; returns int8, 1 where the number was not in before."""
        cdef Py_buffer values
        cdef Py_buffer reasons
        PyObject_GetBuffer(numbers, &values, PyBUF_SIMPLE)
        try:
            PyObject_GetBuffer(reason, &reasons, PyBUF_SIMPLE)
            try:
                if values.len // 8 != reasons.len:
                    raise ValueError("numbers and reason must have the same length")
                return self._take(<const long long*> values.buf, <const signed char*> reasons.buf, reasons.len)
            finally:
                PyBuffer_Release(&reasons)
        finally:
            PyBuffer_Release(&values)

    def add(self, numbers):
        """Adds all the numbers."""
        cdef Py_buffer values
        PyObject_GetBuffer(numbers, &values, PyBUF_SIMPLE)
        try:
            self._take(<const long long*> values.buf, NULL, values.len // 8)
        finally:
            PyBuffer_Release(&values)

    cdef array.array _take(self, const long long* numbers, const signed char* reasons, Py_ssize_t count):
        cdef Py_ssize_t wanted = count if reasons != NULL else 0
        cdef array.array keep = array.clone(new_array("b"), wanted, zero=wanted > 0)
        cdef signed char* out = int8s(keep, 0)
        cdef Py_ssize_t i
        cdef int found = 0
        if self._busy:
            raise RuntimeError("a set of numbers is not for two threads at once")
        self._busy = True
        with nogil:
            for i in range(count):
                if i + AHEAD < count:
                    self._fetch(numbers[i + AHEAD])
                if reasons != NULL and reasons[i]:
                    continue
                found = self._insert(numbers[i])
                if found < 0:
                    break
                if reasons != NULL:
                    out[i] = found
        self._busy = False
        if found < 0:
            raise MemoryError()
        return keep

    cdef inline Page* _page(self, uint64_t key) noexcept nogil:
        """The page of a key, or the free place where it belongs."""
        cdef uint64_t mask = (<uint64_t> 1 << self._bits) - 1
        cdef uint64_t at = (key * self._factor) >> (64 - self._bits)
        while self._pages[at].key != 0 and self._pages[at].key != key:
            at = (at + 1) & mask
        return &self._pages[at]

    cdef inline uint64_t _distance(self, const Page* page, uint64_t key) noexcept nogil:
        """Of a page from where its key belongs, in places."""
        cdef uint64_t at = <uint64_t> (page - self._pages)
        return (at - ((key * self._factor) >> (64 - self._bits))) & ((<uint64_t> 1 << self._bits) - 1)

    cdef inline void _fetch(self, long long number) noexcept nogil:
        cdef Page* page = self._page((<uint64_t> number >> 16) + 1)
        cdef uint16_t low = <uint16_t> number
        if page.bits == BITMAP:
            prefetch(&page.body.bitmap[low >> 6])
        elif page.bits:
            prefetch(&page.body.slots[_slot(low, page.bits)])

    cdef inline int _insert(self, long long number) noexcept nogil:
        """1 for a new number, 0 for a known one, -1 without memory."""
        cdef uint16_t low = <uint16_t> number
        cdef Page* page = self._page((<uint64_t> number >> 16) + 1)
        cdef uint32_t i
        if page.key == 0:
            if self._used >= (<Py_ssize_t> 1 << self._bits) // 4 * 3:
                if not self._rehash(self._bits + 1, self._factor):
                    return -1
                page = self._page((<uint64_t> number >> 16) + 1)
            if self._distance(page, (<uint64_t> number >> 16) + 1) > TOO_FAR:
                if not self._rehash(self._bits, self._factor * SECRET):
                    return -1
                page = self._page((<uint64_t> number >> 16) + 1)
            page.key = (<uint64_t> number >> 16) + 1
            self._used += 1
        if page.bits == 0:
            for i in range(page.count):
                if page.body.few[i] == low:
                    return 0
            if page.count < IN_PLACE:
                page.body.few[page.count] = low
                page.count += 1
                self._count += 1
                return 1
            if not self._widen(page):
                return -1
        elif page.bits < BITMAP and page.count >= (<uint32_t> 1 << page.bits) // 4 * 3:
            if not self._widen(page):
                return -1
        if page.bits == BITMAP:
            if not _set(page.body.bitmap, low):
                return 0
        elif low == 0:
            if page.zero:
                return 0
            page.zero = True
        elif not _put(page.body.slots, page.bits, low):
            return 0
        page.count += 1
        self._count += 1
        return 1

    cdef bint _widen(self, Page* page) noexcept nogil:
        """Gives a page its next larger body; False without memory."""
        cdef int bits = FIRST_BITS if page.bits == 0 else page.bits + 1
        cdef Py_ssize_t i
        cdef Py_ssize_t slots = <Py_ssize_t> 1 << page.bits if page.bits else page.count
        cdef const uint16_t* old = page.body.slots if page.bits else page.body.few
        cdef uint16_t* wider
        if bits > MOST_BITS:
            bits = BITMAP
        cdef Py_ssize_t octets = BITMAP_OCTETS if bits == BITMAP else <Py_ssize_t> 2 << bits
        wider = <uint16_t*> calloc(1, octets)
        if wider == NULL:
            return False
        for i in range(slots):
            if old[i] == 0 and page.bits:
                continue
            if bits == BITMAP:
                _set(<uint64_t*> wider, old[i])
            elif old[i] == 0:
                page.zero = True
            else:
                _put(wider, bits, old[i])
        if bits == BITMAP and page.zero:
            _set(<uint64_t*> wider, 0)
        self._octets += octets
        if page.bits:
            self._octets -= <Py_ssize_t> 2 << page.bits
            free(page.body.slots)
        page.body.slots = wider
        page.bits = bits
        return True

    cdef bint _rehash(self, int bits, uint64_t factor) noexcept nogil:
        """A new table of 1 << bits places for the pages; False without memory, and nothing has changed."""
        cdef Page* old = self._pages
        cdef Py_ssize_t count = <Py_ssize_t> 1 << self._bits
        cdef Py_ssize_t i
        cdef Page* wider = <Page*> calloc(<Py_ssize_t> 1 << bits, sizeof(Page))
        if wider == NULL:
            return False
        self._pages = wider
        self._bits = bits
        self._factor = factor
        for i in range(count):
            if old[i].key:
                memcpy(self._page(old[i].key), &old[i], sizeof(Page))
        free(old)
        self._octets += ((<Py_ssize_t> 1 << bits) - count) * sizeof(Page)
        return True


def kept(numbers, keep):
    """The numbers of the rows whose `keep` is not 0."""
    cdef Py_buffer values
    cdef Py_buffer keeps
    cdef array.array out
    cdef long long* to
    cdef Py_ssize_t i
    cdef Py_ssize_t used = 0
    PyObject_GetBuffer(numbers, &values, PyBUF_SIMPLE)
    try:
        PyObject_GetBuffer(keep, &keeps, PyBUF_SIMPLE)
        try:
            if values.len // 8 != keeps.len:
                raise ValueError("numbers and keep must have the same length")
            out = array.clone(new_array("q"), keeps.len, zero=False)
            to = int64s(out, keeps.len)
            for i in range(keeps.len):
                to[used] = (<const long long*> values.buf)[i]
                used += (<const signed char*> keeps.buf)[i] != 0
            resized(out, used)
            return out
        finally:
            PyBuffer_Release(&keeps)
    finally:
        PyBuffer_Release(&values)
