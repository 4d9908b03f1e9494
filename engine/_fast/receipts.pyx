"""deliver_sm and data_sm as delivery receipts in C. The twin in `pure` says what each dialect means."""

from cpython cimport array
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_FromStringAndSize
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memchr, memcmp, memcpy

from engine._fast.arrays cimport ends_fit, int16s, int32s, int64s, int8s, made, uint32s

from array import array as new_array

from engine._fast.columns import ReceiptBatch

cdef array.array INT8 = new_array("b")
cdef array.array INT16 = new_array("h")
cdef array.array INT32 = new_array("i")
cdef array.array INT64 = new_array("q")
cdef array.array UINT32 = new_array("I")

cdef enum:
    RECEIPT = 0
    MO = 1
    INTERMEDIATE = 2
    OTHER_ACK = 3

    DATA_SM = 0x103
    TLV_RECEIPTED_MESSAGE_ID = 0x001E
    TLV_NETWORK_ERROR_CODE = 0x0423
    TLV_MESSAGE_PAYLOAD = 0x0424
    TLV_MESSAGE_STATE = 0x0427

    UNKNOWN_STATE = 255
    ERROR_LENGTH = 6
    NUMBER_LENGTH = 18
    DATE_LENGTH = 20

    KEY_NONE = 0
    KEY_ID = 1
    KEY_STAT = 2
    KEY_ERR = 3
    KEY_TEXT = 4
    KEY_DONE = 5
    KEY_SUBMIT = 6
    KEY_OTHER = 7  # sub, dlvrd: known, not needed


cdef struct Span:
    const unsigned char* at
    int length
    bint set


cdef struct Body:
    Span source
    Span destination
    Span message
    int esm_class
    int data_coding
    Span receipted_id
    Span error_code
    Span payload
    Span state


cdef struct Row:
    int kind
    Span identity
    int state
    int verdict
    char[ERROR_LENGTH] error
    int error_length
    long long done_s
    long long submit_s
    Span done_raw
    Span network


cdef struct Name:
    const char* spelling
    int value


cdef Name[24] STATES
STATES = [
    Name(b"delivrd", 2), Name(b"undeliv", 5), Name(b"acceptd", 6), Name(b"enroute", 1), Name(b"expired", 3),
    Name(b"rejectd", 8), Name(b"unknown", 7), Name(b"deleted", 4), Name(b"delivered", 2), Name(b"deliverd", 2),
    Name(b"dlvrd", 2), Name(b"schedul", 0), Name(b"scheduled", 0), Name(b"en_route", 1), Name(b"expird", 3),
    Name(b"deletd", 4), Name(b"undeliverable", 5), Name(b"undelivered", 5), Name(b"undelivrd", 5),
    Name(b"failed", 5), Name(b"accepted", 6), Name(b"rejected", 8), Name(b"skipped", 9), Name(NULL, 0),
]

cdef inline unsigned char _lower(unsigned char octet) noexcept nogil:
    return octet | 0x20 if 65 <= octet <= 90 else octet


cdef inline bint _is_space(unsigned char octet) noexcept nogil:
    return octet <= 32 and (octet == 32 or octet == 9 or octet == 13 or octet == 10 or octet == 0)


cdef inline bint _is_digit(unsigned char octet) noexcept nogil:
    return 48 <= octet <= 57


cdef bint _all_digits(const unsigned char* text, int length) noexcept nogil:
    cdef int i
    for i in range(length):
        if not _is_digit(text[i]):
            return False
    return length > 0


cdef inline long long _integer(const unsigned char* digits, int length) noexcept nogil:
    cdef long long value = 0
    cdef int i
    for i in range(length):
        value = value * 10 + (digits[i] - 48)
    return value


cdef inline unsigned int _uint32(const unsigned char* at) noexcept nogil:
    return <unsigned int> at[0] << 24 | <unsigned int> at[1] << 16 | <unsigned int> at[2] << 8 | at[3]


cdef inline Span _span(const unsigned char* at, int length) noexcept nogil:
    cdef Span span
    span.at, span.length, span.set = at, length, True
    return span


cdef inline Span _nothing() noexcept nogil:
    cdef Span span
    span.at, span.length, span.set = NULL, 0, False
    return span


cdef inline int _c_string(const unsigned char* pdu, int at, int size, Span* value) noexcept nogil:
    """Position after the terminator, -1 where there is none."""
    if at >= size:
        return -1
    cdef const void* close = memchr(pdu + at, 0, size - at)
    if close == NULL:
        return -1
    value[0] = _span(pdu + at, <int> (<const unsigned char*> close - pdu) - at)
    return at + value.length + 1


cdef bint _body(const unsigned char* pdu, int size, unsigned int command, Body* body) noexcept nogil:
    """False where the mandatory part is malformed. A cut-off TLV ends the list."""
    cdef Span skipped
    cdef int at
    cdef int tag
    cdef int length
    body.message = body.receipted_id = body.error_code = body.payload = body.state = _nothing()
    at = _c_string(pdu, 16, size, &skipped)  # service_type
    if at < 0:
        return False
    at = _c_string(pdu, at + 2, size, &body.source)
    if at < 0:
        return False
    at = _c_string(pdu, at + 2, size, &body.destination)
    if at < 0 or at >= size:
        return False
    body.esm_class = pdu[at]
    if command == DATA_SM:
        if at + 2 >= size:
            return False
        body.data_coding = pdu[at + 2]
        at += 3
    else:
        at = _c_string(pdu, at + 3, size, &skipped)  # schedule_delivery_time
        if at < 0:
            return False
        at = _c_string(pdu, at, size, &skipped)  # validity_period
        if at < 0 or at + 4 >= size:
            return False
        body.data_coding = pdu[at + 2]
        length = pdu[at + 4]
        at += 5
        if at + length > size:
            return False
        body.message = _span(pdu + at, length)
        at += length
    while at + 4 <= size:
        tag = pdu[at] << 8 | pdu[at + 1]
        length = pdu[at + 2] << 8 | pdu[at + 3]
        at += 4
        if at + length > size:
            break
        if tag == TLV_RECEIPTED_MESSAGE_ID and not body.receipted_id.set:
            body.receipted_id = _span(pdu + at, length)
        elif tag == TLV_MESSAGE_STATE and not body.state.set:
            body.state = _span(pdu + at, length)
        elif tag == TLV_MESSAGE_PAYLOAD and not body.payload.set:
            body.payload = _span(pdu + at, length)
        elif tag == TLV_NETWORK_ERROR_CODE and not body.error_code.set:
            body.error_code = _span(pdu + at, length)
        at += length
    return True


cdef Span _plain(const Body* body, unsigned char* narrow) noexcept nogil:
    """The message without its user data header; UCS-2 goes to `narrow`, with ? outside ASCII."""
    cdef Span message = body.message if body.message.length else body.payload
    cdef const unsigned char* at = message.at
    cdef int header
    cdef int i
    cdef bint little
    if body.esm_class & 0x40 and message.length:
        header = at[0] + 1
        if header > message.length:
            header = message.length
        message = _span(at + header, message.length - header)
        at = message.at
    if message.length == 0:
        return message
    if not (
        (body.data_coding & 0x0C) == 0x08
        or at[0] == 0
        or (message.length > 1 and ((at[0] == 0xFE and at[1] == 0xFF) or (at[0] == 0xFF and at[1] == 0xFE)))
    ):
        return message
    if message.length < 2:
        return _nothing()
    little = (at[0] == 0xFF and at[1] == 0xFE) or (at[0] != 0 and at[1] == 0)
    if (at[0] == 0xFE and at[1] == 0xFF) or (at[0] == 0xFF and at[1] == 0xFE):
        message = _span(at + 2, message.length - 2)
        at = message.at
    for i in range(message.length // 2):
        if little:
            narrow[i] = at[2 * i] if at[2 * i + 1] == 0 and at[2 * i] < 0x80 else 0x3F
        else:
            narrow[i] = at[2 * i + 1] if at[2 * i] == 0 and at[2 * i + 1] < 0x80 else 0x3F
    return _span(narrow, message.length // 2)


cdef inline unsigned int _word(const unsigned char* at) noexcept nogil:
    """Four octets with the bit set that makes letters small: equal only to the same letters."""
    cdef unsigned int word
    memcpy(&word, at, 4)
    return word | 0x20202020u


cdef unsigned int DATE = _word(b"date")
cdef unsigned int DLVR = _word(b"dlvr")
cdef unsigned int DONE = _word(b"done")
cdef unsigned int STAT = _word(b"stat")
cdef unsigned int SUBM = _word(b"subm")
cdef unsigned int TEXT = _word(b"text")


cdef inline int _spelt(const unsigned char* text, int left, int* key) noexcept nogil:
    """The octets of the key that stands first, 0 where none does: id, err, text, stat, sub, dlvrd, and done or
    submit date, with or without a space or underscore between."""
    cdef unsigned char lead
    cdef unsigned int word
    cdef int dated = 0
    if left < 3:
        return 0
    lead = text[0] | 0x20
    if lead == 105:  # id
        key[0] = KEY_ID
        return 2 if text[1] | 0x20 == 100 else 0
    if lead == 101:  # err
        key[0] = KEY_ERR
        return 3 if text[1] | 0x20 == 114 and text[2] | 0x20 == 114 else 0
    if left < 4 or (lead != 100 and lead != 115 and lead != 116):
        return 0
    word = _word(text)
    if word == TEXT or word == STAT:
        key[0] = KEY_TEXT if word == TEXT else KEY_STAT
        return 4
    if word == DONE:
        key[0], dated = KEY_DONE, 4
    elif word == SUBM:
        if left < 6 or text[4] | 0x20 != 105 or text[5] | 0x20 != 116:
            return 0
        key[0], dated = KEY_SUBMIT, 6
    elif word == DLVR:
        key[0] = KEY_OTHER
        return 5 if left >= 5 and text[4] | 0x20 == 100 else 0
    elif lead == 115 and text[1] | 0x20 == 117 and text[2] | 0x20 == 98:  # sub
        key[0] = KEY_OTHER
        return 3
    else:
        return 0
    if dated < left and (text[dated] == 32 or text[dated] == 95):
        dated += 1
    return dated + 4 if dated + 4 <= left and _word(text + dated) == DATE else 0


cdef int _key(const unsigned char* text, int at, int length, int* value_at) noexcept nogil:
    """The key that stands here with its colon, and where its value begins."""
    cdef int key = KEY_NONE
    cdef int i = _spelt(text + at, length - at, &key)
    if i == 0:
        return KEY_NONE
    i += at
    while i < length and text[i] == 32:
        i += 1
    if i < length and text[i] == 58:
        value_at[0] = i + 1
        return key
    return KEY_NONE


cdef void _fields(Span message, Span* found) noexcept nogil:
    """The first value of each key up to `text:`; found is indexed by KEY_*."""
    cdef const unsigned char* text = message.at
    cdef int length = message.length
    cdef int at = 0
    cdef int value_at = 0
    cdef int ignored = 0
    cdef int key
    cdef int begin
    while at < length:
        if _is_space(text[at]):
            at += 1
            continue
        key = _key(text, at, length, &value_at)
        if key == KEY_TEXT:
            return
        if key:
            at = value_at
            while at < length and _is_space(text[at]):
                at += 1
            if _key(text, at, length, &ignored):
                if not found[key].set:
                    found[key] = _span(text + at, 0)
                continue
        begin = at
        while at < length and not _is_space(text[at]):
            at += 1
        if key and not found[key].set:
            found[key] = _span(text + begin, at - begin)


cdef int _state(Span tlv, Span text, bint prefer_text) noexcept nogil:
    cdef int by_tlv = tlv.at[0] if tlv.length == 1 and tlv.at[0] <= 9 else UNKNOWN_STATE
    cdef int by_text
    if by_tlv != UNKNOWN_STATE and not prefer_text:
        return by_tlv
    by_text = _text_state(text)
    return by_text if by_text != UNKNOWN_STATE else by_tlv


cdef int _text_state(Span text) noexcept nogil:
    cdef const Name* name = &STATES[0]
    cdef long long number
    cdef int i
    if _all_digits(text.at, text.length):
        if text.length > 3:
            return UNKNOWN_STATE
        number = _integer(text.at, text.length)
        return <int> number if number <= 9 else UNKNOWN_STATE
    while name.spelling != NULL:
        i = 0
        while i < text.length and name.spelling[i] and _lower(text.at[i]) == <unsigned char> name.spelling[i]:
            i += 1
        if i == text.length and name.spelling[i] == 0:
            return name.value
        name += 1
    return UNKNOWN_STATE


cdef int _error(Span tlv, Span text, char* out) noexcept nogil:
    cdef int length = 0
    cdef int i
    cdef unsigned char octet
    cdef unsigned int code
    for i in range(text.length if text.length < ERROR_LENGTH else ERROR_LENGTH):
        octet = text.at[i]
        if _is_digit(octet) or 97 <= _lower(octet) <= 122:
            out[length] = octet
            length += 1
    if length or tlv.length == 0:
        return length
    if tlv.length == 3:
        code = tlv.at[1] << 8 | tlv.at[2]
        length = 3 if code < 1000 else 4 if code < 10000 else 5
        for i in range(length - 1, -1, -1):
            out[i] = 48 + code % 10
            code //= 10
        return length
    for i in range(2 * tlv.length if tlv.length < 3 else ERROR_LENGTH):
        octet = tlv.at[i // 2]
        octet = octet & 0x0F if i & 1 else octet >> 4
        out[i] = 48 + octet if octet < 10 else 87 + octet
    return 2 * tlv.length if tlv.length < 3 else ERROR_LENGTH


cdef long long _calendar(int year, const unsigned char* rest, bint seconds) noexcept nogil:
    """Epoch seconds of the year with MMDDhhmm[ss], -1 where there is no such time."""
    cdef int month = (rest[0] - 48) * 10 + rest[1] - 48
    cdef int day = (rest[2] - 48) * 10 + rest[3] - 48
    cdef int hour = (rest[4] - 48) * 10 + rest[5] - 48
    cdef int minute = (rest[6] - 48) * 10 + rest[7] - 48
    cdef int second = (rest[8] - 48) * 10 + rest[9] - 48 if seconds else 0
    cdef int longest
    cdef long long days
    if month < 1 or month > 12 or day < 1 or hour > 23 or minute > 59 or second > 59:
        return -1
    if month == 2:
        longest = 29 if year % 4 == 0 else 28  # 2000 to 2099
    else:
        longest = 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31
    if day > longest:
        return -1
    # Days since 1970 in the proleptic Gregorian calendar, years beginning in March.
    if month <= 2:
        year -= 1
        month += 12
    days = 365 * <long long> year + year // 4 - year // 100 + year // 400 + (153 * (month - 3) + 2) // 5 + day - 719469
    return days * 86400 + hour * 3600 + minute * 60 + second


cdef long long _date(Span text) noexcept nogil:
    cdef const unsigned char* at = text.at
    cdef long long found
    cdef int year
    if not _all_digits(at, text.length):
        return -1
    year = <int> _integer(at, 2) if text.length >= 2 else 0
    if text.length == 13:
        return _integer(at, 13) // 1000
    if text.length == 10:
        return _integer(at, 10) if 16 <= year <= 19 else _calendar(2000 + year, at + 2, False)
    if text.length == 12:
        found = _calendar(2000 + year, at + 2, True)
        return found if found >= 0 or year != 20 else _calendar(<int> _integer(at, 4), at + 4, False)
    if text.length == 14 and year == 20:
        return _calendar(<int> _integer(at, 4), at + 4, True)
    return -1


cdef struct Dated:  # the date read last: receipts of one moment carry the same
    unsigned char[16] text
    int length
    long long found


cdef inline long long _date_again(Span text, Dated* last) noexcept nogil:
    if text.length == 0 or text.length > 16:
        return -1
    if text.length != last.length or memcmp(text.at, last.text, text.length) != 0:
        last.found = _date(text)
        last.length = text.length
        memcpy(last.text, text.at, text.length)
    return last.found


cdef long long _number(Span source) noexcept nogil:
    if source.length and source.at[0] == 43:
        source = _span(source.at + 1, source.length - 1)
    if source.length > NUMBER_LENGTH or not _all_digits(source.at, source.length):
        return -1
    return _integer(source.at, source.length)


cdef void _read(
    const Body* body, Row* row, unsigned char* narrow, bint prefer_text, Dated* last
) noexcept nogil:
    cdef Span[KEY_OTHER + 1] found
    cdef int i
    cdef const void* close
    cdef int message_type = body.esm_class & 0x3C
    if message_type == 0x04:
        row.kind = RECEIPT
    elif message_type == 0x20:
        row.kind = INTERMEDIATE
    elif message_type == 0:
        row.kind = MO
    else:
        return
    for i in range(KEY_OTHER + 1):
        found[i] = _nothing()
    _fields(_plain(body, narrow), found)
    row.identity = body.receipted_id
    if row.identity.length:
        close = memchr(row.identity.at, 0, row.identity.length)
        if close != NULL:
            row.identity.length = <int> (<const unsigned char*> close - row.identity.at)
    if row.identity.length == 0 or (prefer_text and found[KEY_ID].length):
        row.identity = found[KEY_ID]
    row.state = _state(body.state, found[KEY_STAT], prefer_text)
    if row.kind == MO and (row.identity.length == 0 or row.state == UNKNOWN_STATE):
        row.identity = _nothing()
        row.state = UNKNOWN_STATE
        return
    row.error_length = _error(body.error_code, found[KEY_ERR], row.error)
    row.done_s = _date_again(found[KEY_DONE], last)
    row.submit_s = _date_again(found[KEY_SUBMIT], last)
    row.done_raw = found[KEY_DONE]
    if row.done_raw.length > DATE_LENGTH:
        row.done_raw.length = DATE_LENGTH
    row.network = body.error_code
    if row.kind != INTERMEDIATE:
        if row.state == 2:
            row.verdict = 2
        elif row.state in (3, 4, 5, 8, 9):
            row.verdict = 1


cdef struct Texts:
    unsigned char* out
    int used
    Py_ssize_t room
    bint failed  # there was no memory
    int* end


cdef bint _grow(Texts* texts, int length) noexcept nogil:
    cdef Py_ssize_t room = 2 * (<Py_ssize_t> texts.used + length)
    cdef unsigned char* out = <unsigned char*> realloc(texts.out, room)
    if out == NULL:
        texts.failed = True
        return False
    texts.out, texts.room = out, room
    return True


cdef inline void _put(Texts* texts, Py_ssize_t i, const unsigned char* at, int length) noexcept nogil:
    """Item i of a variable-length column."""
    if length and (texts.used + length <= texts.room or _grow(texts, length)):
        memcpy(texts.out + texts.used, at, length)
        texts.used += length
    texts.end[i] = texts.used


cdef inline void _put_hex(Texts* texts, Py_ssize_t i, Span octets) noexcept nogil:
    cdef int k
    cdef unsigned char half
    if octets.length and (texts.used + 2 * octets.length <= texts.room or _grow(texts, 2 * octets.length)):
        for k in range(2 * octets.length):
            half = octets.at[k // 2]
            half = half & 0x0F if k & 1 else half >> 4
            texts.out[texts.used + k] = 48 + half if half < 10 else 87 + half
        texts.used += 2 * octets.length
    texts.end[i] = texts.used


cdef class _Column:
    """A variable-length column being written: `count` items, and memory that grows with them."""

    cdef Texts texts
    cdef array.array end

    def __cinit__(self, Py_ssize_t size, Py_ssize_t count):
        """`size`: what an item has mostly."""
        self.end = made(INT32, count)
        self.texts.end = self.end.data.as_ints
        self.texts.room = size * count
        if size:
            self.texts.out = <unsigned char*> malloc(self.texts.room + 1)
            if self.texts.out == NULL:
                raise MemoryError()

    def __dealloc__(self):
        free(self.texts.out)

    cdef bytearray written(self):
        if self.texts.failed:
            raise MemoryError()
        return PyByteArray_FromStringAndSize(<char*> self.texts.out, self.texts.used)


def parse(data, array.array start not None, array.array end not None, bint prefer_text=False):
    """Read the PDUs data[start[i]:end[i]], each a whole deliver_sm or data_sm."""
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        return _parse(<const unsigned char*> view.buf, view.len, start, end, prefer_text)
    finally:
        PyBuffer_Release(&view)


cdef _parse(
    const unsigned char* data, Py_ssize_t size, array.array start, array.array end, bint prefer_text
):
    cdef Py_ssize_t count = len(start)
    cdef Py_ssize_t total = 0
    cdef Py_ssize_t longest = 0
    cdef Py_ssize_t i
    cdef const int* first = int32s(start, count)
    cdef const int* last
    cdef const unsigned char* pdu
    cdef unsigned char* narrow
    cdef unsigned int command
    cdef Body body
    cdef Row row
    cdef Dated last_date
    last_date.length = 0
    if len(end) != count:
        raise ValueError("start and end must have the same length")
    last = int32s(end, count)
    for i in range(count):
        if first[i] < 0 or <Py_ssize_t> last[i] - first[i] < 16 or last[i] > size:
            raise ValueError("a PDU lies outside the data or is shorter than its header")
        total += last[i] - first[i]
        longest = max(longest, last[i] - first[i])
    if total >= 1 << 30:
        raise ValueError("a batch holds less than 1 GiB")
    cdef array.array sequences = made(UINT32, count)
    cdef array.array commands = made(UINT32, count)
    cdef array.array kinds = made(INT8, count)
    cdef array.array numbers = made(INT64, count)
    cdef array.array verdicts = made(INT8, count)
    cdef array.array states = made(INT16, count)
    cdef array.array dates = made(INT64, count)
    cdef array.array submits = made(INT64, count)
    cdef unsigned int* sequence = uint32s(sequences, count)
    cdef unsigned int* commanded = uint32s(commands, count)
    cdef signed char* kind = int8s(kinds, count)
    cdef long long* number = int64s(numbers, count)
    cdef signed char* verdict = int8s(verdicts, count)
    cdef short* state = int16s(states, count)
    cdef long long* done_s = int64s(dates, count)
    cdef long long* submit_s = int64s(submits, count)
    cdef _Column ids = _Column(24, count)
    cdef _Column errors = _Column(ERROR_LENGTH, count)
    cdef _Column done_raw = _Column(DATE_LENGTH, count)
    cdef _Column network = _Column(0, count)
    cdef _Column sender = _Column(24, count)
    cdef _Column kept = _Column(0, count)
    narrow = <unsigned char*> malloc(longest + 1)
    if narrow == NULL:
        raise MemoryError()
    with nogil:
        for i in range(count):
            pdu = data + first[i]
            command = _uint32(pdu + 4)
            row.kind, row.state, row.verdict, row.error_length = OTHER_ACK, UNKNOWN_STATE, 0, 0
            row.done_s = row.submit_s = -1
            row.identity = row.done_raw = row.network = body.destination = _nothing()
            number[i] = -1
            if _body(pdu, last[i] - first[i], command, &body):
                number[i] = _number(body.source)
                _read(&body, &row, narrow, prefer_text, &last_date)
            else:
                body.destination = _nothing()
            sequence[i] = _uint32(pdu + 12)
            commanded[i] = command
            kind[i] = row.kind
            verdict[i] = row.verdict
            state[i] = row.state
            done_s[i] = row.done_s
            submit_s[i] = row.submit_s
            _put(&ids.texts, i, row.identity.at, row.identity.length)
            _put(&errors.texts, i, <unsigned char*> row.error, row.error_length)
            _put(&done_raw.texts, i, row.done_raw.at, row.done_raw.length)
            _put_hex(&network.texts, i, row.network)
            _put(&sender.texts, i, body.destination.at, body.destination.length)
            _put(&kept.texts, i, pdu, last[i] - first[i] if row.kind == MO or row.kind == OTHER_ACK else 0)
        free(narrow)
    return ReceiptBatch(  # in the order of its fields: names would cost a dict
        count, sequences, commands, kinds, ids.written(), ids.end, numbers, verdicts, states,
        errors.written(), errors.end, dates, submits, done_raw.written(), done_raw.end, network.written(),
        network.end, sender.written(), sender.end, kept.written(), kept.end,
    )


def delivered_at(
    array.array done_s not None,
    done_raw,
    array.array done_raw_end not None,
    array.array sent_s not None,
    long long received_us,
    long long offset_s,
):
    """When each was done: its done date, if it lies between submit and arrival, else the arrival."""
    cdef Py_ssize_t count = len(done_s)
    cdef const long long* done = int64s(done_s, count)
    cdef const long long* sent = int64s(sent_s, count)
    cdef const int* end = int32s(done_raw_end, count)
    cdef array.array found = made(INT64, count)
    cdef long long* out = int64s(found, count)
    cdef const unsigned char* text
    cdef Py_buffer view
    cdef Py_ssize_t i
    cdef int start = 0
    cdef int length
    cdef long long at_us
    PyObject_GetBuffer(done_raw, &view, PyBUF_SIMPLE)
    try:
        ends_fit(end, count, view.len)
        for i in range(count):
            text = <const unsigned char*> view.buf + start
            length = end[i] - start
            start = end[i]
            at_us = done[i]
            if not (length == 13 or (length == 10 and text[0] == 49 and 54 <= text[1] <= 57)):
                at_us -= offset_s
            at_us *= 1000000
            out[i] = at_us if done[i] >= 0 and sent[i] * 1000000 <= at_us <= received_us else received_us
    finally:
        PyBuffer_Release(&view)
    return found
