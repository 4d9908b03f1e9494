cdef enum:
    GSM = 0
    UCS2 = 1

    # Errors of `compose`, raised by `fail`.
    NO_ROW = -1
    BAD_OFFSETS = -2
    NO_MEMORY = -3


cdef struct Segment:
    Py_ssize_t column  # -1: the fixed octets below
    const unsigned char* utf8
    Py_ssize_t utf8_length
    const unsigned char* gsm
    Py_ssize_t gsm_length
    const unsigned char* ucs2
    Py_ssize_t ucs2_length


cdef struct ColumnView:
    const int* offsets
    Py_ssize_t rows
    const unsigned char* data
    Py_ssize_t length


cdef struct Message:
    unsigned char* octets  # malloc'd, reused from row to row; the owner frees it
    Py_ssize_t length
    Py_ssize_t capacity
    int encoding


cdef class Columns:
    cdef Py_buffer* buffers
    cdef Py_ssize_t held
    cdef ColumnView* views
    cdef int hold(self, object columns, Py_ssize_t n) except -1


cdef class Template:
    cdef readonly tuple segments
    cdef readonly Py_ssize_t columns
    cdef list _encoded
    cdef Segment* _parts
    cdef Py_ssize_t _count
    cdef bint _gsm
    cdef int _fix(self, Segment* part, bytes utf8) except -1
    cdef Py_ssize_t reserve(self, const ColumnView* views, Py_ssize_t row, Message* message) noexcept nogil
    cdef int compose(self, const ColumnView* views, Py_ssize_t row, Message* message) noexcept nogil
    cdef Columns bind(self, object columns)


cdef int compose_text(
    Template template, const ColumnView* views, Py_ssize_t row, Message* message
) noexcept nogil
cdef int fail(int code, Py_ssize_t row) except -1


cdef inline Py_ssize_t part_end(
    int encoding, const unsigned char* octets, Py_ssize_t length, Py_ssize_t start
) noexcept nogil:
    """Where the part of a multi-part message that begins at `start` ends: never inside a pair."""
    cdef Py_ssize_t stop = start + (153 if encoding == GSM else 134)
    if stop >= length:
        return length
    if encoding == GSM:
        return stop - (octets[stop - 1] == 0x1B)
    return stop - 2 * (octets[stop - 2] & 0xFC == 0xD8)


cdef inline Py_ssize_t count_parts(int encoding, const unsigned char* octets, Py_ssize_t length) noexcept nogil:
    cdef Py_ssize_t start = 0
    cdef Py_ssize_t parts = 0
    if length == 0:
        return 0
    if length <= (160 if encoding == GSM else 140):
        return 1
    while start < length:
        start = part_end(encoding, octets, length, start)
        parts += 1
    return parts
