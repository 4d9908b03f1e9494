"""UTF-8, one character at a time."""

cdef enum:
    REPLACEMENT = 0xFFFD


cdef inline bint _continues(const unsigned char* octets, Py_ssize_t length, Py_ssize_t i) noexcept nogil:
    return i < length and octets[i] & 0xC0 == 0x80


cdef inline Py_ssize_t next_character(
    const unsigned char* octets, Py_ssize_t length, unsigned int* character
) noexcept nogil:
    """Reads the first of `length` > 0 octets' characters and returns the octets it takes.

    What is not UTF-8 gives U+FFFD for each maximal subpart (Unicode §3.9), as bytes.decode(errors="replace").
    """
    cdef unsigned char lead = octets[0]
    cdef unsigned char low = 0x80
    cdef unsigned char high = 0xBF
    if lead < 0x80:
        character[0] = lead
        return 1
    character[0] = REPLACEMENT
    if lead < 0xC2 or lead > 0xF4:
        return 1
    if lead < 0xE0:
        if _continues(octets, length, 1):
            character[0] = (lead & 0x1F) << 6 | (octets[1] & 0x3F)
            return 2
        return 1
    if lead == 0xE0:
        low = 0xA0
    elif lead == 0xED:
        high = 0x9F
    elif lead == 0xF0:
        low = 0x90
    elif lead == 0xF4:
        high = 0x8F
    if length < 2 or octets[1] < low or octets[1] > high:
        return 1
    if not _continues(octets, length, 2):
        return 2
    if lead < 0xF0:
        character[0] = (lead & 0x0F) << 12 | (octets[1] & 0x3F) << 6 | (octets[2] & 0x3F)
        return 3
    if not _continues(octets, length, 3):
        return 3
    character[0] = (
        (lead & 0x07) << 18 | (octets[1] & 0x3F) << 12 | (octets[2] & 0x3F) << 6 | (octets[3] & 0x3F)
    )
    return 4


cdef inline Py_ssize_t copy_clean(
    const unsigned char* octets, Py_ssize_t length, unsigned char* out, bint nul_too
) noexcept nogil:
    """Copies text with U+FFFD for what is not UTF-8, and for NUL if `nul_too`; at most 3 octets for each."""
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t taken
    cdef Py_ssize_t used = 0
    cdef Py_ssize_t k
    cdef unsigned int character
    while i < length:
        taken = next_character(octets + i, length - i, &character)
        if character == REPLACEMENT or (nul_too and character == 0):
            out[used] = 0xEF
            out[used + 1] = 0xBF
            out[used + 2] = 0xBD
            used += 3
        else:
            for k in range(taken):
                out[used + k] = octets[i + k]
            used += taken
        i += taken
    return used
