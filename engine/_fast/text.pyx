"""Texts in C: GSM or UCS-2, septets and parts, templates. The twin in `pure` says what each means."""

from cpython cimport array
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_FromStringAndSize
from cpython.bytes cimport PyBytes_AS_STRING
from libc.limits cimport INT_MAX, SHRT_MAX
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memset

from engine._fast.arrays cimport ends_fit, fits, int32s, resized
from engine._fast.repertoire cimport UTF16, Repertoire, Writing, done
from engine._fast.utf8 cimport copy_clean, next_character

from engine._fast.alphabet import BASIC, ESCAPE, EXTENSION
from engine._fast.columns import TextTotals

ENCODING_GSM = GSM
ENCODING_UCS2 = UCS2

cdef enum:
    OUTSIDE = 0xFF  # not in the alphabet
    ESCAPED = 0x80  # a septet of the extension table

# By code point: the septet, with ESCAPED if an escape goes before it. The euro sign alone lies beyond.
cdef unsigned char[0x400] SEPTETS


cdef void _fill_septets():
    cdef int i
    for i in range(0x400):
        SEPTETS[i] = OUTSIDE
    for i, character in enumerate(BASIC):
        if i != ESCAPE:
            SEPTETS[<int>ord(character)] = i
    for character, septet in EXTENSION.items():
        if character != "€":
            SEPTETS[<int>ord(character)] = ESCAPED | <int>septet


_fill_septets()


cdef inline unsigned char _septet(unsigned int character) noexcept nogil:
    if character < 0x400:
        return SEPTETS[character]
    return ESCAPED | 0x65 if character == 0x20AC else OUTSIDE


cdef Py_ssize_t _to_gsm(const unsigned char* utf8, Py_ssize_t length, unsigned char* out) noexcept nogil:
    """Writes the septets, at most 2 for an octet; -1 if a character is outside the alphabet."""
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t used = 0
    cdef unsigned int character
    cdef unsigned char septet
    while i < length:
        if utf8[i] < 0x80:
            septet = SEPTETS[utf8[i]]
            i += 1
        else:
            i += next_character(utf8 + i, length - i, &character)
            septet = _septet(character)
        if septet < ESCAPED:
            out[used] = septet
            used += 1
        elif septet == OUTSIDE:
            return -1
        else:
            out[used] = 0x1B
            out[used + 1] = septet & 0x7F
            used += 2
    return used


cdef Py_ssize_t _to_ucs2(const unsigned char* utf8, Py_ssize_t length, unsigned char* out) noexcept nogil:
    """Writes UTF-16 big-endian, at most 2 octets for one of UTF-8."""
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t used = 0
    cdef unsigned int character
    cdef unsigned int high
    while i < length:
        i += next_character(utf8 + i, length - i, &character)
        if character >= 0x10000:
            high = 0xD800 | (character - 0x10000) >> 10
            out[used] = high >> 8
            out[used + 1] = high & 0xFF
            used += 2
            character = 0xDC00 | (character & 0x3FF)
        out[used] = character >> 8
        out[used + 1] = character & 0xFF
        used += 2
    return used


cdef int _hold(Message* message, Py_ssize_t octets) noexcept nogil:
    cdef unsigned char* larger
    if octets > message.capacity:
        larger = <unsigned char*>realloc(message.octets, octets * 2)
        if larger == NULL:
            return NO_MEMORY
        message.octets = larger
        message.capacity = octets * 2
    return 0


cdef int _encode(const unsigned char* utf8, Py_ssize_t length, Message* message) noexcept nogil:
    if _hold(message, 2 * length + 1) < 0:
        return NO_MEMORY
    message.encoding = GSM
    message.length = _to_gsm(utf8, length, message.octets)
    if message.length < 0:
        message.encoding = UCS2
        message.length = _to_ucs2(utf8, length, message.octets)
    return 0


def encode_gsm(str text not None):
    cdef bytearray out = bytearray(2 * len(text))
    cdef unsigned char* octets = out
    cdef Py_ssize_t used = 0
    cdef Py_UCS4 character
    cdef unsigned char septet
    for character in text:
        septet = _septet(character)
        if septet == OUTSIDE:
            return None
        if septet & ESCAPED:
            octets[used] = 0x1B
            used += 1
        octets[used] = septet & 0x7F
        used += 1
    return bytes(out[:used])


def encode_ucs2(str text not None):
    return text.encode("utf-16-be")


def parts(str text not None):
    octets = encode_gsm(text)
    encoding = GSM if octets is not None else UCS2
    if octets is None:
        octets = encode_ucs2(text)
    return count_parts(encoding, <const unsigned char*>PyBytes_AS_STRING(octets), len(octets))


def classify(data, array.array end not None):
    cdef Py_ssize_t n = len(end)
    cdef const int* ends = int32s(end, n)
    cdef array.array encodings = array.array("b")
    cdef array.array units = array.array("i")
    cdef array.array counts = array.array("h")
    cdef Message message = Message(NULL, 0, 0, GSM)
    cdef Py_buffer view
    cdef const unsigned char* octets
    cdef Py_ssize_t i
    cdef Py_ssize_t start = 0
    cdef Py_ssize_t number
    cdef int code = 0
    resized(encodings, n)
    resized(units, n)
    resized(counts, n)
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        ends_fit(ends, n, view.len)
        octets = <const unsigned char*>view.buf
        with nogil:
            for i in range(n):
                code = _encode(octets + start, ends[i] - start, &message)
                if code < 0:
                    break
                number = count_parts(message.encoding, message.octets, message.length)
                if number > SHRT_MAX:
                    code = 1
                    break
                encodings.data.as_schars[i] = message.encoding
                units.data.as_ints[i] = <int>(message.length if message.encoding == GSM else message.length // 2)
                counts.data.as_shorts[i] = <short>number
                start = ends[i]
    finally:
        free(message.octets)
        PyBuffer_Release(&view)
    if code == 1:
        raise OverflowError("a text of more than 32,767 parts")
    if code < 0:
        raise MemoryError()
    return encodings, units, counts


cdef int fail(int code, Py_ssize_t row) except -1:
    """Raises what a code of `compose` stands for."""
    if code == NO_ROW:
        raise IndexError(f"row {row} is outside the chunk")
    if code == BAD_OFFSETS:
        raise ValueError("a column's offsets do not fit its data")
    raise MemoryError()


cdef class Columns:
    """Arrow string columns, their buffers held as long as this lives."""

    def __dealloc__(self):
        cdef Py_ssize_t i
        for i in range(self.held):
            PyBuffer_Release(&self.buffers[i])
        free(self.buffers)
        free(self.views)

    cdef int hold(self, object columns, Py_ssize_t n) except -1:
        cdef Py_ssize_t i
        cdef Py_buffer* view
        self.buffers = <Py_buffer*>calloc(2 * n + 1, sizeof(Py_buffer))
        self.views = <ColumnView*>calloc(n + 1, sizeof(ColumnView))
        if self.buffers == NULL or self.views == NULL:
            raise MemoryError()
        for i in range(n):
            offsets, data = columns[i]
            for buffer in (offsets, b"" if data is None else data):
                PyObject_GetBuffer(buffer, &self.buffers[self.held], PyBUF_SIMPLE)
                self.held += 1
            view = &self.buffers[self.held - 2]
            self.views[i].offsets = <const int*>view[0].buf
            self.views[i].rows = view[0].len // <Py_ssize_t>sizeof(int) - 1
            self.views[i].data = <const unsigned char*>view[1].buf
            self.views[i].length = view[1].len
        return 0


cdef class Template:
    def __init__(self, segments):
        if self._parts != NULL:
            raise RuntimeError("a template is compiled once")
        self.segments = tuple(segments)
        self._encoded = []
        self._gsm = True
        self._count = len(self.segments)
        self._parts = <Segment*>calloc(self._count + 1, sizeof(Segment))
        if self._parts == NULL:
            raise MemoryError()
        cdef Py_ssize_t i
        for i, segment in enumerate(self.segments):
            if isinstance(segment, int):
                if segment < 0:
                    raise ValueError("a column reference is not negative")
                self._parts[i].column = segment
                self.columns = max(self.columns, self._parts[i].column + 1)
            else:
                self._fix(&self._parts[i], bytes(segment))

    cdef int _fix(self, Segment* part, bytes utf8) except -1:
        text = utf8.decode("utf-8")
        cdef bytes ucs2 = text.encode("utf-16-be")
        cdef bytes gsm = encode_gsm(text)
        self._encoded.append((utf8, gsm, ucs2))  # what the pointers below point into
        part.column = -1
        part.utf8 = <const unsigned char*>PyBytes_AS_STRING(utf8)
        part.utf8_length = len(utf8)
        part.ucs2 = <const unsigned char*>PyBytes_AS_STRING(ucs2)
        part.ucs2_length = len(ucs2)
        if gsm is None:
            self._gsm = False
        else:
            part.gsm = <const unsigned char*>PyBytes_AS_STRING(gsm)
            part.gsm_length = len(gsm)
        return 0

    def __dealloc__(self):
        free(self._parts)

    cdef Columns bind(self, object columns):
        """Holds the columns' buffers for a batch; ValueError if the template refers to more of them."""
        if len(columns) < self.columns:
            raise ValueError(f"the template refers to column {self.columns - 1} of {len(columns)}")
        held = Columns()
        held.hold(columns, self.columns)
        return held

    cdef Py_ssize_t reserve(self, const ColumnView* views, Py_ssize_t row, Message* message) noexcept nogil:
        """Checks the row, makes room for its text in either encoding; its octets of UTF-8, or an error."""
        cdef Py_ssize_t i
        cdef Py_ssize_t total = 0
        cdef const ColumnView* view
        for i in range(self._count):
            if self._parts[i].column < 0:
                total += self._parts[i].utf8_length
                continue
            view = &views[self._parts[i].column]
            if row < 0 or row >= view.rows:
                return NO_ROW
            if view.offsets[row] < 0 or view.offsets[row + 1] < view.offsets[row]:
                return BAD_OFFSETS
            if view.offsets[row + 1] > view.length:
                return BAD_OFFSETS
            total += view.offsets[row + 1] - view.offsets[row]
        if _hold(message, 2 * total + 1) < 0:
            return NO_MEMORY
        return total

    cdef int compose(self, const ColumnView* views, Py_ssize_t row, Message* message) noexcept nogil:
        """Writes the row's text into the message, in GSM if every character allows it, else in UCS-2."""
        cdef Py_ssize_t i
        cdef Py_ssize_t written
        cdef const Segment* part
        cdef const ColumnView* view
        cdef Py_ssize_t reserved = self.reserve(views, row, message)
        if reserved < 0:
            return <int>reserved
        message.encoding = GSM if self._gsm else UCS2
        message.length = i = 0
        while i < self._count:
            part = &self._parts[i]
            i += 1
            if part.column < 0:
                if message.encoding == GSM:
                    memcpy(message.octets + message.length, part.gsm, part.gsm_length)
                    message.length += part.gsm_length
                else:
                    memcpy(message.octets + message.length, part.ucs2, part.ucs2_length)
                    message.length += part.ucs2_length
                continue
            view = &views[part.column]
            if message.encoding == GSM:
                written = _to_gsm(
                    view.data + view.offsets[row],
                    view.offsets[row + 1] - view.offsets[row],
                    message.octets + message.length,
                )
                if written < 0:  # begin again in UCS-2
                    message.encoding = UCS2
                    message.length = i = 0
                    continue
            else:
                written = _to_ucs2(
                    view.data + view.offsets[row],
                    view.offsets[row + 1] - view.offsets[row],
                    message.octets + message.length,
                )
            message.length += written
        return 0


def render(Template template not None, columns, array.array rows not None):
    cdef Columns held = template.bind(columns)
    cdef Py_ssize_t n = len(rows)
    cdef const int* row = int32s(rows, n)
    cdef array.array end = array.array("i")
    cdef Message line = Message(NULL, 0, 0, GSM)
    cdef Message out = Message(NULL, 0, 0, GSM)
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t octets = 0
    resized(end, n)
    try:
        with nogil:
            while i < n:
                octets = template.reserve(held.views, row[i], &line)
                if octets < 0:
                    break
                if _hold(&out, out.length + 3 * octets + 1) < 0:
                    octets = NO_MEMORY
                    break
                _render_row(template, held.views, row[i], &out)
                if out.length > INT_MAX:
                    break
                end.data.as_ints[i] = <int>out.length
                i += 1
        if octets < 0:
            fail(<int>octets, row[i])
        if i < n:
            raise OverflowError("texts of more than 2 GiB")
        return PyByteArray_FromStringAndSize(<char*>out.octets, out.length), end
    finally:
        free(line.octets)
        free(out.octets)


cdef int compose_text(
    Template template, const ColumnView* views, Py_ssize_t row, Message* message
) noexcept nogil:
    """Writes the row's text into the message as clean UTF-8; 0, or a code for `fail`."""
    cdef Py_ssize_t octets = template.reserve(views, row, message)
    if octets < 0:
        return <int>octets
    if _hold(message, 3 * octets + 1) < 0:
        return NO_MEMORY
    message.length = 0
    _render_row(template, views, row, message)
    return 0


cdef void _render_row(
    Template template, const ColumnView* views, Py_ssize_t row, Message* out
) noexcept nogil:
    """Appends the row's text; the caller has made room for it, three octets for each that `reserve` gave."""
    cdef Py_ssize_t i
    cdef const Segment* part
    cdef const ColumnView* view
    for i in range(template._count):
        part = &template._parts[i]
        if part.column < 0:
            memcpy(out.octets + out.length, part.utf8, part.utf8_length)
            out.length += part.utf8_length
        else:
            view = &views[part.column]
            out.length += copy_clean(
                view.data + view.offsets[row],
                view.offsets[row + 1] - view.offsets[row],
                out.octets + out.length,
                False,
            )


def count(Template template not None, columns, array.array rows not None, Repertoire repertoire=None):
    cdef Columns held = template.bind(columns)
    cdef Py_ssize_t n = len(rows)
    cdef const int* row = int32s(rows, n)
    cdef Message message = Message(NULL, 0, 0, GSM)
    cdef Writing writing
    cdef array.array histogram, forms
    cdef Py_ssize_t[3] kinds  # gsm, ucs2, empty
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t total = 0
    cdef Py_ssize_t transliterated = 0
    cdef Py_ssize_t rejected = 0
    cdef Py_ssize_t number
    cdef Py_ssize_t most = -1
    cdef Py_ssize_t longest = -1
    cdef Py_ssize_t position = -1
    cdef bint by_form = repertoire is not None
    cdef int code = 0
    kinds[0] = kinds[1] = kinds[2] = 0
    memset(&writing, 0, sizeof(writing))
    totals = TextTotals()
    histogram = totals.histogram
    fits(histogram, b"q", 256)
    forms = totals.forms = array.array("q", bytes(8 * len(repertoire.forms)) if by_form else b"")
    with nogil:
        while i < n:
            if by_form:
                code = _compose_in(template, repertoire, held.views, row[i], &message, &writing)
            else:
                code = template.compose(held.views, row[i], &message)
            if code < 0:
                break
            if by_form:
                number = writing.parts
                message.encoding = GSM
                if number > 0:
                    message.length = writing.length
                    message.encoding = UCS2 if repertoire.views[writing.form].family == UTF16 else GSM
                    forms.data.as_longlongs[writing.form] += 1
                    transliterated += writing.transliterated
            else:
                number = count_parts(message.encoding, message.octets, message.length)
            if number < 0:
                rejected += 1
                number = 0
                message.length = 0
            elif number == 0:
                kinds[2] += 1
            else:
                kinds[message.encoding] += 1
                histogram.data.as_longlongs[min(number, 256) - 1] += 1
            total += number
            if number > most or (number == most and message.length > longest):
                most = number
                longest = message.length
                position = i
            i += 1
        free(message.octets)
        done(&writing)
    if code < 0:
        fail(code, row[i])
    totals.messages = n
    totals.parts = total
    totals.gsm, totals.ucs2, totals.empty = kinds[0], kinds[1], kinds[2]
    totals.transliterated, totals.rejected = transliterated, rejected
    totals.longest_row = position
    return totals


cdef int _compose_in(
    Template template, Repertoire repertoire, const ColumnView* views, Py_ssize_t row, Message* message,
    Writing* writing,
) noexcept nogil:
    """Writes the row's text in the cheapest of the repertoire's forms; 0, or a code for `fail`."""
    cdef int code = compose_text(template, views, row, message)
    return code if code < 0 else repertoire.compose(message.octets, message.length, writing)
