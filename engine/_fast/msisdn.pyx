"""Phone numbers to E.164 integers in C. The twin in `pure` says what is accepted and how it is read."""

from cpython cimport array
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.string cimport memcmp, memcpy, memset

from engine._fast.arrays cimport int64s, int8s

from array import array as new_array

from engine._fast import numbering

cdef enum:
    C_OK = 0
    C_EMPTY = 1
    C_NOT_A_NUMBER = 2
    C_TOO_SHORT = 3
    C_TOO_LONG = 4
    C_UNKNOWN_COUNTRY_CODE = 5
    NEEDS_PLAN = 6  # the country code's plan is not loaded yet

    MOST_DIGITS = 15
    KEPT = 64  # digits kept of one number; more are counted only

OK, EMPTY, NOT_A_NUMBER, TOO_SHORT, TOO_LONG, UNKNOWN_COUNTRY_CODE = range(6)

assert numbering.MAX_DIGITS == MOST_DIGITS
assert numbering.LEAD == 3


cdef struct Code:
    bint loaded
    unsigned int lengths
    int shortest
    int longest
    int prefix_length
    char[8] prefix


cdef struct Country:
    int code_length
    char[8] code
    int prefix_length
    char[8] prefix
    unsigned int lengths
    int longest
    unsigned short[1000] mobile_leads
    unsigned short[1000] number_leads


cdef Code[1000] CODES
cdef unsigned char[1000] CODE_LENGTHS
memset(CODES, 0, sizeof(CODES))


cdef int _copy(void* out, bytes table, Py_ssize_t size) except -1:
    assert len(table) == size
    memcpy(out, <const char*> table, size)
    return 0


_copy(CODE_LENGTHS, numbering.code_lengths(), sizeof(CODE_LENGTHS))


cdef int _highest(unsigned int mask) noexcept nogil:
    cdef int bit = -1
    while mask:
        mask >>= 1
        bit += 1
    return bit


cdef int _lowest(unsigned int mask) noexcept nogil:
    cdef int bit = 0
    if not mask:
        return -1
    while not mask & 1:
        mask >>= 1
        bit += 1
    return bit


cdef int _fill(char* out, bytes digits) except -1:
    if len(digits) > 8:
        raise ValueError("a prefix of more than 8 digits")
    memcpy(out, <const char*> digits, len(digits))
    return len(digits)


cdef int _load_code(int code) except -1:
    plan = numbering.international(code)
    cdef Code* entry = &CODES[code]
    entry.lengths = plan.lengths
    entry.shortest = _lowest(entry.lengths)
    entry.longest = _highest(entry.lengths)
    entry.prefix_length = _fill(entry.prefix, plan.prefix)
    entry.loaded = True
    return 0


cdef int _load_country(Country* country, str name) except -1:
    plan = numbering.national(name)
    country.code_length = _fill(country.code, plan.code)
    country.prefix_length = _fill(country.prefix, plan.prefix)
    country.lengths = plan.lengths
    country.longest = _highest(country.lengths)
    _copy(country.mobile_leads, plan.mobile_leads.tobytes(), sizeof(country.mobile_leads))
    _copy(country.number_leads, plan.number_leads.tobytes(), sizeof(country.number_leads))
    return 0


cdef inline long long _integer(const char* digits, int length) noexcept nogil:
    cdef long long value = 0
    cdef int i
    for i in range(length):
        value = value * 10 + (digits[i] - 48)
    return value


cdef inline bint _fits(int length, unsigned int lengths) noexcept nogil:
    return 0 <= length <= MOST_DIGITS and (lengths >> length) & 1


cdef inline int _lead(const char* digits, int length) noexcept nogil:
    """The first three digits, filled up with zeros."""
    cdef int value = digits[0] - 48 if length > 0 else 0
    value = value * 10 + (digits[1] - 48 if length > 1 else 0)
    return value * 10 + (digits[2] - 48 if length > 2 else 0)


cdef int _international(const char* digits, int length, long long* number, int* missing) noexcept nogil:
    cdef int size
    cdef int code
    cdef int rest
    cdef Code* plan
    cdef const char* national
    if length < 3:
        return C_TOO_SHORT
    size = CODE_LENGTHS[_lead(digits, length)]
    if size == 0:
        return C_UNKNOWN_COUNTRY_CODE
    code = <int> _integer(digits, size)
    plan = &CODES[code]
    if not plan.loaded:
        missing[0] = code
        return NEEDS_PLAN
    national = digits + size
    rest = length - size
    if (
        not _fits(rest, plan.lengths)
        and plan.prefix_length
        and rest >= plan.prefix_length
        and memcmp(national, plan.prefix, plan.prefix_length) == 0
        and _fits(rest - plan.prefix_length, plan.lengths)
    ):
        national += plan.prefix_length
        rest -= plan.prefix_length
    if rest < plan.shortest:
        return C_TOO_SHORT
    if rest > plan.longest or size + rest > MOST_DIGITS:
        return C_TOO_LONG
    number[0] = _integer(digits, size)
    for size in range(rest):
        number[0] = number[0] * 10 + (national[size] - 48)
    return C_OK


cdef inline bint _reads(
    const Country* plan, const char* rest, int length, const unsigned short* leads
) noexcept nogil:
    cdef unsigned int lengths = plan.lengths if leads == NULL else leads[_lead(rest, length)]
    return _fits(length, lengths) and plan.code_length + length <= MOST_DIGITS


cdef int _national(const char* digits, int length, const Country* plan, long long* number) noexcept nogil:
    cdef int trunk = 0  # its length, 0: not written with the trunk prefix
    cdef int coded = 0
    cdef int step
    cdef const unsigned short* leads
    cdef const char* rest = NULL
    cdef int size = 0
    if plan.prefix_length and length >= plan.prefix_length and memcmp(digits, plan.prefix, plan.prefix_length) == 0:
        trunk = length - plan.prefix_length
    if length >= plan.code_length and memcmp(digits, plan.code, plan.code_length) == 0:
        coded = length - plan.code_length
    for step in range(3):
        leads = NULL
        if step == 0:
            leads = &plan.mobile_leads[0]
        elif step == 1:
            leads = &plan.number_leads[0]
        if trunk and _reads(plan, digits + plan.prefix_length, trunk, leads):
            rest, size = digits + plan.prefix_length, trunk
        elif _reads(plan, digits, length, leads):
            rest, size = digits, length
        elif coded and _reads(plan, digits + plan.code_length, coded, leads):
            rest, size = digits + plan.code_length, coded
        if rest != NULL:
            number[0] = _integer(plan.code, plan.code_length)
            for step in range(size):
                number[0] = number[0] * 10 + (rest[step] - 48)
            return C_OK
    return C_TOO_LONG if (trunk if trunk else length) > plan.longest else C_TOO_SHORT


cdef inline int _blank(const unsigned char* text, int at, int stop) noexcept nogil:
    """Octets of the blank that stands here: space, tab, or a no-break space in UTF-8."""
    if text[at] == 0x20 or text[at] == 0x09:
        return 1
    return 2 if text[at] == 0xC2 and at + 1 < stop and text[at + 1] == 0xA0 else 0


cdef bint _plain(const unsigned char* text, int length, long long* number) noexcept nogil:
    """The common case, digits alone with their country code: False where it takes a closer look."""
    cdef long long value = 0
    cdef unsigned int digit
    cdef int i
    cdef int size
    cdef Code* plan
    if length < 4 or length > MOST_DIGITS:
        return False
    for i in range(length):
        digit = <unsigned int> text[i] - 48
        if digit > 9:
            return False
        value = value * 10 + digit
    i = (text[0] - 48) * 100 + (text[1] - 48) * 10 + text[2] - 48
    size = CODE_LENGTHS[i]
    if size == 0:
        return False
    plan = &CODES[i if size == 3 else i // 10 if size == 2 else i // 100]
    if not plan.loaded or not _fits(length - size, plan.lengths):
        return False
    number[0] = value
    return True


cdef int _one(
    const unsigned char* text, int at, int stop, const Country* plan, long long* number, int* missing
) noexcept nogil:
    cdef char[KEPT] digits
    cdef int length = 0
    cdef int dots = 0
    cdef int i
    cdef int size
    cdef bint plus = False
    cdef unsigned char octet
    if at < stop and (text[at] == 43 or plan == NULL):
        if _plain(text + at + (text[at] == 43), stop - at - (text[at] == 43), number):
            return C_OK
    while at < stop:
        size = _blank(text, at, stop)
        if size == 0:
            break
        at += size
    while stop > at:
        if text[stop - 1] == 0x20 or text[stop - 1] == 0x09:
            stop -= 1
        elif stop - at >= 2 and text[stop - 1] == 0xA0 and text[stop - 2] == 0xC2:
            stop -= 2
        else:
            break
    if at == stop:
        return C_EMPTY
    if stop - at >= 2 and text[stop - 1] == 48 and text[stop - 2] == 46:  # .0
        for i in range(at, stop):
            dots += text[i] == 46
        if dots == 1:
            stop -= 2
    while at < stop:
        octet = text[at]
        if 48 <= octet <= 57:
            if length < KEPT:
                digits[length] = octet
            length += 1
            at += 1
        elif octet == 43 and not plus and length == 0:
            plus = True
            at += 1
        elif octet == 40 and length and at + 2 < stop and text[at + 1] == 48 and text[at + 2] == 41:  # (0)
            at += 3
        elif 40 <= octet <= 41 or 45 <= octet <= 47:  # ( ) - . /
            at += 1
        else:
            size = _blank(text, at, stop)
            if size == 0:
                return C_NOT_A_NUMBER
            at += size
    if length == 0:
        return C_NOT_A_NUMBER
    if plus:
        return _international(digits, length, number, missing)
    if length >= 2 and digits[0] == 48 and digits[1] == 48:
        return _international(digits + 2, length - 2, number, missing)
    if plan == NULL:
        return _international(digits, length, number, missing)
    return _national(digits, length, plan, number)


def normalise(data, end, str default_country):
    """Read N numbers. Returns (numbers int64, -1 where there is none; reason int8, 0 ok)."""
    cdef Py_buffer text
    cdef Py_buffer ends
    cdef Country country
    cdef Country* plan = NULL
    if default_country:
        _load_country(&country, default_country)
        plan = &country
    PyObject_GetBuffer(data, &text, PyBUF_SIMPLE)
    try:
        PyObject_GetBuffer(end, &ends, PyBUF_SIMPLE)
        try:
            return _normalise(<const unsigned char*> text.buf, text.len, <const int*> ends.buf, ends.len // 4, plan)
        finally:
            PyBuffer_Release(&ends)
    finally:
        PyBuffer_Release(&text)


cdef tuple _normalise(
    const unsigned char* text, Py_ssize_t octets, const int* ends, Py_ssize_t count, const Country* plan
):
    cdef array.array numbers = array.clone(new_array("q"), count, zero=False)
    cdef array.array reasons = array.clone(new_array("b"), count, zero=False)
    cdef long long* number = int64s(numbers, count)
    cdef signed char* reason = int8s(reasons, count)
    cdef Py_ssize_t i = 0
    cdef int start = 0
    cdef int missing = 0
    cdef int found
    while i < count:
        if ends[i] < start or ends[i] > octets:
            raise ValueError("end must not decrease nor pass the data")
        found = _one(text, start, ends[i], plan, &number[i], &missing)
        if found == NEEDS_PLAN:
            _load_code(missing)
            continue
        if found != C_OK:
            number[i] = -1
        reason[i] = found
        start = ends[i]
        i += 1
    return numbers, reasons
