"""Reading a submit_sm body where it lies (SMPP 3.4 §4.4.1), and telling its text apart from others."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t
from libc.string cimport memchr, memcpy

cdef enum:
    RINVCMDLEN = 0x2
    RINVSRCADR = 0xA
    RINVDSTADR = 0xB

cdef struct Message:
    uint8_t source_ton, source_npi, dest_ton, dest_npi
    const uint8_t *source
    int source_length
    const uint8_t *dest
    int dest_length
    uint8_t esm_class, registered_delivery, data_coding
    const uint8_t *text
    Py_ssize_t text_length
    uint16_t reference
    uint8_t part, parts
    bint tagged            # has the TLV that was asked for


cdef inline uint64_t fingerprint(const uint8_t *text, Py_ssize_t length) noexcept nogil:
    cdef uint64_t h = <uint64_t>length * 0x9E3779B97F4A7C15ULL
    cdef uint64_t word
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t k
    while i < length:
        word = 0
        if length - i >= 8:
            memcpy(&word, text + i, 8)      # little-endian machines only, like the witness's records
        else:
            for k in range(length - i):
                word |= <uint64_t>text[i + k] << (8 * k)
        h = (h ^ word) * 0xFF51AFD7ED558CCDULL
        h ^= h >> 32
        i += 8
    return h


cdef inline int c_string(const uint8_t *body, Py_ssize_t size, Py_ssize_t *position, int longest) noexcept nogil:
    """Length of the C-octet string at `position`, which moves behind it; -1 unterminated, -2 too long."""
    cdef const uint8_t *start = body + position[0]
    cdef const uint8_t *end = <const uint8_t *>memchr(start, 0, size - position[0])
    if end == NULL:
        return -1
    position[0] += end - start + 1
    return <int>(end - start) if end - start <= longest else -2


cdef inline void read_udh(Message *m) noexcept nogil:
    cdef const uint8_t *text = m.text
    cdef Py_ssize_t end = 1 + text[0] if m.text_length else 0
    cdef Py_ssize_t p = 1
    cdef int length
    if end > m.text_length:
        return
    while p + 2 <= end:
        length = text[p + 1]
        if p + 2 + length > end:
            break
        if text[p] == 0 and length == 3:
            m.reference = text[p + 2]
            m.parts = text[p + 3]
            m.part = text[p + 4]
        elif text[p] == 8 and length == 4:
            m.reference = <uint16_t>(text[p + 2] << 8 | text[p + 3])
            m.parts = text[p + 4]
            m.part = text[p + 5]
        p += 2 + length
    m.text += end
    m.text_length -= end


cdef inline uint32_t read_submit(const uint8_t *body, Py_ssize_t size, int required_tlv, Message *m) noexcept nogil:
    """0, or the command_status that answers a malformed body."""
    cdef Py_ssize_t p = 0
    cdef Py_ssize_t at
    cdef int length
    cdef bint bad_source = False
    if c_string(body, size, &p, 5) < 0 or p + 2 > size:
        return RINVCMDLEN
    m.source_ton = body[p]
    m.source_npi = body[p + 1]
    p += 2
    m.source = body + p
    length = c_string(body, size, &p, 20)
    if length < 0:
        return RINVCMDLEN if length == -1 else RINVSRCADR
    m.source_length = length
    if p + 2 > size:
        return RINVCMDLEN
    m.dest_ton = body[p]
    m.dest_npi = body[p + 1]
    p += 2
    m.dest = body + p
    length = c_string(body, size, &p, 20)
    if length < 0:
        return RINVCMDLEN if length == -1 else RINVDSTADR
    m.dest_length = length
    if p + 3 > size:
        return RINVCMDLEN
    m.esm_class = body[p]
    p += 3
    if c_string(body, size, &p, 16) < 0 or c_string(body, size, &p, 16) < 0 or p + 5 > size:
        return RINVCMDLEN
    m.registered_delivery = body[p]
    m.data_coding = body[p + 2]
    m.text_length = body[p + 4]
    p += 5
    if p + m.text_length > size:
        return RINVCMDLEN
    m.text = body + p
    p += m.text_length
    if m.dest_length == 0:
        return RINVDSTADR
    m.reference = 0
    m.part = 1
    m.parts = 1
    m.tagged = False
    while p + 4 <= size:
        at = p + 4
        length = body[p + 2] << 8 | body[p + 3]
        if at + length > size:
            return RINVCMDLEN
        if (body[p] << 8 | body[p + 1]) == required_tlv:
            m.tagged = True
        if body[p] == 0x04 and body[p + 1] == 0x24 and m.text_length == 0:
            m.text = body + at
            m.text_length = length
        elif body[p] == 0x02 and body[p + 1] == 0x0C and length == 2:
            m.reference = <uint16_t>(body[at] << 8 | body[at + 1])
        elif body[p] == 0x02 and body[p + 1] == 0x0E and length == 1:
            m.parts = body[at]
        elif body[p] == 0x02 and body[p + 1] == 0x0F and length == 1:
            m.part = body[at]
        p = at + length
    if m.esm_class & 0x40:
        read_udh(m)
    return 0
