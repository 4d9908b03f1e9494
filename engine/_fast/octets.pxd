"""Big-endian integers and decimal digits, written and read at a pointer."""

from libc.stdint cimport uint64_t


cdef inline void put32(unsigned char* out, unsigned int value) noexcept nogil:
    out[0] = value >> 24
    out[1] = value >> 16 & 0xFF
    out[2] = value >> 8 & 0xFF
    out[3] = value & 0xFF


cdef inline unsigned int get32(const unsigned char* octets) noexcept nogil:
    return (
        <unsigned int>octets[0] << 24 | <unsigned int>octets[1] << 16
        | <unsigned int>octets[2] << 8 | octets[3]
    )


cdef inline Py_ssize_t put_decimal(unsigned char* out, uint64_t value) noexcept nogil:
    cdef unsigned char[20] digits
    cdef Py_ssize_t n = 0
    cdef Py_ssize_t i
    while True:
        digits[n] = 48 + value % 10
        value //= 10
        n += 1
        if value == 0:
            break
    for i in range(n):
        out[i] = digits[n - 1 - i]
    return n
