"""Writing octets: a growing buffer, big-endian integers, numbers and dates as text."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint32_t, uint64_t, uint8_t
from libc.stdlib cimport realloc

cdef struct Buffer:
    char *data
    Py_ssize_t size
    Py_ssize_t capacity


cdef inline uint32_t be32(const uint8_t *p) noexcept nogil:
    return (<uint32_t>p[0] << 24) | (<uint32_t>p[1] << 16) | (<uint32_t>p[2] << 8) | p[3]


cdef inline void put32(char *p, uint32_t value) noexcept nogil:
    p[0] = <char>(value >> 24)
    p[1] = <char>(value >> 16)
    p[2] = <char>(value >> 8)
    p[3] = <char>value


cdef struct IdForm:
    uint64_t base
    char letters           # what 10 is written as, less 10
    int width


cdef inline int digits(char *out, uint64_t number, const IdForm *form) noexcept nogil:
    """Writes the number, with zeros in front up to the form's width (at most 80); returns its length."""
    cdef char turned[80]
    cdef int length = 0
    cdef int i
    while True:
        i = <int>(number % form.base)
        turned[length] = <char>(48 + i if i < 10 else form.letters + i)
        length += 1
        number //= form.base
        if number == 0:
            break
    while length < form.width:
        turned[length] = 48
        length += 1
    for i in range(length):
        out[i] = turned[length - 1 - i]
    return length


cdef inline void two(char *out, int value) noexcept nogil:
    out[0] = <char>(48 + value // 10 % 10)
    out[1] = <char>(48 + value % 10)


cdef inline int room(Buffer *buffer, Py_ssize_t more) except -1:
    """Makes space for `more` octets behind `size`."""
    cdef Py_ssize_t capacity = buffer.capacity
    cdef char *data
    if buffer.size + more <= capacity:
        return 0
    capacity = max(4096, capacity * 2, buffer.size + more)
    data = <char *>realloc(buffer.data, capacity)
    if data == NULL:
        raise MemoryError
    buffer.data = data
    buffer.capacity = capacity
    return 0


cdef inline bytes take(Buffer *buffer):
    cdef bytes data = PyBytes_FromStringAndSize(buffer.data, buffer.size)
    buffer.size = 0
    return data
