"""Line scanner in C. The twin in `pure` says what a line, a field and a bad line are."""

from cpython cimport array
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from libc.stdlib cimport free, realloc
from libc.string cimport memchr, memcpy

from engine._fast.arrays cimport int32s, resized
from engine._fast.utf8 cimport next_character

from array import array as new_array

from engine._fast.line_block import LineBlock

cdef enum:
    OVER_LONG = 1
    BAD_UTF8 = 2
    OPEN_QUOTE = 3
    NUL = 4
    COLUMNS = 5

    QUOTE = 0x22
    LF = 0x0A
    CR = 0x0D

    MOST_OCTETS = 1 << 30


cdef struct Field:
    int start  # ~start for one that holds doubled quotes or text after its closing quote
    int length  # of the value, unquoted
    int stop  # of its raw octets


cdef struct Fields:
    Field* items
    Py_ssize_t count
    Py_ssize_t room


cdef inline int _push(Fields* fields, int start, int length, int stop) except -1 nogil:
    cdef Field* grown
    if fields.count == fields.room:
        grown = <Field*> realloc(fields.items, sizeof(Field) * 2 * fields.room)
        if grown == NULL:
            raise MemoryError()
        fields.items = grown
        fields.room *= 2
    fields.items[fields.count].start = start
    fields.items[fields.count].length = length
    fields.items[fields.count].stop = stop
    fields.count += 1
    return 0


cdef struct Next:
    # Where the next octet of a kind stands, or the block's size: found once, used by every line before it.
    int lf
    int cr
    int nul
    int quote


cdef inline int _find(const unsigned char* data, int start, int size, int octet) noexcept nogil:
    cdef const void* hit = memchr(data + start, octet, size - start)
    return <int> (<const unsigned char*> hit - data) if hit != NULL else size


cdef inline bint _ascii(const unsigned char* line, Py_ssize_t length) noexcept nogil:
    cdef unsigned long long word
    cdef unsigned long long seen = 0
    while length >= 8:
        memcpy(&word, line, 8)
        seen |= word
        line += 8
        length -= 8
    while length:
        seen |= <unsigned long long> line[0] << 56
        line += 1
        length -= 1
    return not seen & 0x8080808080808080ULL


cdef inline bint _blank(const unsigned char* data, int start, int stop, int separator) noexcept nogil:
    while start < stop:
        if data[start] != 0x20 and data[start] != 0x09 and (data[start] != separator or not separator):
            return False
        start += 1
    return True


cdef Py_ssize_t _bad_octet(const unsigned char* line, Py_ssize_t length) noexcept nogil:
    """The first octet, from 1, of what is not UTF-8; 0 if all is."""
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t taken
    cdef unsigned int character
    while i < length:
        if line[i] < 0x80:
            i += 1
            continue
        taken = next_character(line + i, length - i, &character)
        # U+FFFD itself is three octets, EF BF BD; anything else read as it is an error.
        if character == 0xFFFD and not (taken == 3 and line[i] == 0xEF and line[i + 1] == 0xBF and line[i + 2] == 0xBD):
            return i + 1
        i += taken
    return 0


cdef Py_ssize_t _split(
    Fields* fields, const unsigned char* data, int start, int stop, int separator, bint quotes
) except -1 nogil:
    """Appends the fields of data[start:stop]; returns how many, or -column - 1 of an open quote (as 1 << 40 | column)."""
    cdef Py_ssize_t found = 0
    cdef int at = start
    cdef int begin
    cdef int length
    cdef int close
    cdef bint mixed
    cdef const void* hit
    while True:
        if quotes and at < stop and data[at] == QUOTE:
            begin = at
            at += 1
            length = 0
            mixed = False
            while True:
                hit = memchr(data + at, QUOTE, stop - at)
                if hit == NULL:
                    return (<Py_ssize_t> 1 << 40) | (found + 1)
                close = <int> (<const unsigned char*> hit - data)
                length += close - at
                at = close + 1
                if at >= stop or data[at] != QUOTE:
                    break
                mixed = True
                length += 1
                at += 1
            hit = memchr(data + at, separator, stop - at) if separator else NULL
            close = <int> (<const unsigned char*> hit - data) if hit != NULL else stop
            if close > at:
                mixed = True
                length += close - at
            _push(fields, ~begin if mixed else begin + 1, length, close)
        else:
            begin = at
            if separator:
                while at < stop and data[at] != separator:
                    at += 1
                close = at
            else:
                close = stop
            _push(fields, begin, close - begin, close)
        found += 1
        if close >= stop:
            return found
        at = close + 1


cdef void _unquote(const unsigned char* data, int start, int stop, unsigned char* out) noexcept nogil:
    """Copies a quoted field that cannot be copied in one piece."""
    cdef int at = start + 1
    while True:
        if data[at] == QUOTE:
            at += 1
            if at >= stop or data[at] != QUOTE:
                break
        out[0] = data[at]
        out += 1
        at += 1
    memcpy(out, data + at, stop - at)


cdef tuple _column(Fields* fields, const unsigned char* data, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t column):
    """(offsets, data) of one column."""
    cdef array.array offsets = array.clone(new_array("i"), rows + 1, zero=False)
    cdef int* ends = int32s(offsets, rows + 1)
    cdef Py_ssize_t row
    cdef int total = 0
    cdef Field* one
    ends[0] = 0
    for row in range(rows):
        total += fields.items[row * columns + column].length
        ends[row + 1] = total
    values = PyByteArray_FromStringAndSize(NULL, total)
    cdef unsigned char* out = <unsigned char*> PyByteArray_AS_STRING(values)
    with nogil:
        for row in range(rows):
            one = fields.items + row * columns + column
            if one.start < 0:
                _unquote(data, ~one.start, one.stop, out + ends[row])
            else:
                memcpy(out + ends[row], data + one.start, one.length)
    return offsets, values


def scan(data, Py_ssize_t columns, int separator, *, bint final=False, bint in_long=False, Py_ssize_t max_line=65536):
    """Split the complete lines of `data` (UTF-8 bytes) into `columns` fields at the byte `separator`."""
    cdef Py_buffer view
    if columns < 1 or max_line < 1:
        raise ValueError("columns and max_line are at least 1")
    if separator < 0 or separator > 255:
        raise ValueError("separator must be in range(0, 256)")
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        if view.len > MOST_OCTETS:
            raise ValueError("a block holds at most 1 GiB")
        return _scan(<const unsigned char*> view.buf, <int> view.len, columns, separator, final, in_long, max_line)
    finally:
        PyBuffer_Release(&view)


cdef _scan(
    const unsigned char* data, int size, Py_ssize_t columns, int separator, bint final, bint in_long, Py_ssize_t max_line
):
    cdef Next next
    cdef Fields fields
    cdef array.array line = new_array("i")
    bad_line, bad_reason, bad_info = new_array("i"), new_array("b"), new_array("i")
    cdef int start = 0
    cdef int at
    cdef int lines = 0
    cdef int following
    cdef int reason
    cdef Py_ssize_t rows = 0
    cdef Py_ssize_t room = 1024
    cdef Py_ssize_t info
    cdef Py_ssize_t first
    cdef int i
    cdef int* row_lines
    next.lf = next.cr = next.nul = next.quote = -1
    fields.count, fields.room = 0, 4096
    fields.items = <Field*> realloc(NULL, sizeof(Field) * fields.room)
    if fields.items == NULL:
        raise MemoryError()
    try:
        resized(line, room)
        row_lines = int32s(line, room)
        while True:
            following = -1
            if next.lf < start:
                next.lf = _find(data, start, size, LF)
            if next.cr < start:
                next.cr = _find(data, start, size, CR)
            if next.cr < next.lf:
                at = next.cr
                if at + 1 < size:
                    following = at + 2 if data[at + 1] == LF else at + 1
                elif final:
                    following = at + 1
            else:
                at = next.lf
                if at < size:
                    following = at + 1
            if following < 0 and not (final and (in_long or start < size)):
                break
            reason, info = 0, 0
            first = fields.count
            if in_long or at - start > max_line:
                reason = OVER_LONG
            elif not _blank(data, start, at, separator):
                if next.nul < start:
                    next.nul = _find(data, start, size, 0)
                if next.quote < start:
                    next.quote = _find(data, start, size, QUOTE)
                if next.nul < at:
                    reason, info = NUL, next.nul - start + 1
                else:
                    if not _ascii(data + start, at - start):
                        info = _bad_octet(data + start, at - start)
                    if info:
                        reason = BAD_UTF8
                    else:
                        info = _split(&fields, data, start, at, separator, next.quote < at)
                        if info >> 40:
                            reason, info = OPEN_QUOTE, info & 0xFFFFFF
                        elif info != columns:
                            reason = COLUMNS
                        else:
                            if rows == room:
                                room *= 2
                                resized(line, room)
                                row_lines = int32s(line, room)
                            row_lines[rows] = lines
                            rows += 1
            if reason:
                fields.count = first
                bad_line.append(lines)
                bad_reason.append(reason)
                bad_info.append(info)
            in_long = False
            lines += 1
            if following < 0:
                start = size
                break
            start = following
        resized(line, rows)
        first = 1 if start < size and data[size - 1] == CR else 0
        if not final and (in_long or size - start - first > max_line):
            in_long = True
            start = size - <int> first
        return LineBlock(
            rows=rows,
            columns=[_column(&fields, data, rows, columns, i) for i in range(columns)],
            line=line,
            bad_line=bad_line,
            bad_reason=bad_reason,
            bad_info=bad_info,
            lines=lines,
            consumed=start,
            in_long=in_long,
        )
    finally:
        free(fields.items)
