"""Line scanner in C. The twin in `pure` says what a line, a field and a bad line are."""

from cpython cimport array
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize, PyByteArray_Resize
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memchr, memcpy

from engine._fast.arrays cimport ends_fit, int32s, resized
from engine._fast.utf8 cimport next_character

from array import array as new_array

from engine._fast.line_block import LineBlock

cdef extern from *:
    """
    #include <string.h>
    #if defined(__SSE2__)
    #include <emmintrin.h>
    #endif

    /* Of 16 octets: the ones equal to `octet`, and the ones over 0x7F, one bit each. */
    static inline unsigned int heliograph_marks(const unsigned char* text, int octet, unsigned int* high)
    {
    #if defined(__SSE2__)
        __m128i octets = _mm_loadu_si128((const __m128i*) text);
        *high = (unsigned int) _mm_movemask_epi8(octets);
        return (unsigned int) _mm_movemask_epi8(_mm_cmpeq_epi8(octets, _mm_set1_epi8((char) octet)));
    #else
        unsigned int equal = 0, over = 0;
        for (int i = 0; i < 16; i++) {
            equal |= (unsigned int) (text[i] == octet) << i;
            over |= (unsigned int) (text[i] >> 7) << i;
        }
        *high = over;
        return equal;
    #endif
    }

    static inline int heliograph_lowest(unsigned int bits)
    {
    #if defined(__GNUC__)
        return __builtin_ctz(bits);
    #else
        int at = 0;
        while (!(bits >> at & 1)) at++;
        return at;
    #endif
    }
    """
    unsigned int marks "heliograph_marks"(const unsigned char* text, int octet, unsigned int* high) noexcept nogil
    int lowest "heliograph_lowest"(unsigned int bits) noexcept nogil

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
    FIELDS = 4096
    FIELDS_KEPT = 1 << 18  # 3 MiB: a block of 256 KiB has no more
    SLACK = 32  # octets written behind a column's end while it is filled


cdef struct Field:
    int start  # ~start for one that holds doubled quotes or text after its closing quote
    int length  # of the value, unquoted
    int stop  # of its raw octets


cdef struct Fields:
    Field* items
    Py_ssize_t count
    Py_ssize_t room


# Where the fields of a block stand, kept for the next block: fresh pages for each would cost as much as reading
# it. Taken and given back with the GIL held.
cdef Fields SCRATCH
SCRATCH.items, SCRATCH.count, SCRATCH.room = NULL, 0, 0


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
    cdef unsigned long long word
    cdef unsigned int character
    while i < length:
        if length - i >= 8:
            memcpy(&word, line + i, 8)
            if not word & 0x8080808080808080ULL:
                i += 8
                continue
        if line[i] < 0x80:
            i += 1
            continue
        taken = next_character(line + i, length - i, &character)
        # U+FFFD itself is three octets, EF BF BD; anything else read as it is an error.
        if character == 0xFFFD and not (taken == 3 and line[i] == 0xEF and line[i + 1] == 0xBF and line[i + 2] == 0xBD):
            return i + 1
        i += taken
    return 0


cdef Py_ssize_t _split_plain(
    Fields* fields, const unsigned char* data, int start, int stop, int size, int separator, bint* high
) except -1 nogil:
    """Appends the fields of data[start:stop], which holds no quote; returns how many. high: whether any octet is
    over 0x7F. Looks at 16 octets at a time, also behind `stop`, but not behind `size`."""
    cdef Py_ssize_t found = 0
    cdef int begin = start
    cdef int at = start
    cdef unsigned int equal
    cdef unsigned int over
    cdef unsigned int every = 0xFFFF
    cdef unsigned int seen = 0
    while at < stop:
        if at + 16 <= size:
            equal = marks(data + at, separator, &over)
            if stop - at < 16:
                every = ((<unsigned int> 1) << (stop - at)) - 1
            equal &= every
            seen |= over & every
        else:  # the block's last octets, one at a time
            equal = data[at] == separator
            seen |= data[at] & 0x80
        if separator:
            while equal:
                over = at + lowest(equal)
                _push(fields, begin, <int> over - begin, <int> over)
                found += 1
                begin = <int> over + 1
                equal &= equal - 1
        at += 16 if at + 16 <= size else 1
    high[0] = seen != 0
    _push(fields, begin, stop - begin, stop)
    return found + 1


cdef inline bint _any_high(const unsigned char* line, Py_ssize_t length) noexcept nogil:
    cdef Py_ssize_t i
    cdef unsigned char seen = 0
    for i in range(length):
        seen |= line[i]
    return seen & 0x80


cdef Py_ssize_t _split(
    Fields* fields, const unsigned char* data, int start, int stop, int separator
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
        if at < stop and data[at] == QUOTE:
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


cdef list _columns(Fields* fields, const unsigned char* data, int size, Py_ssize_t rows, Py_ssize_t columns):
    """[(offsets, data)] of all columns."""
    cdef Py_ssize_t* totals = <Py_ssize_t*> calloc(columns, sizeof(Py_ssize_t))
    cdef int** ends = <int**> malloc(columns * sizeof(int*))
    cdef unsigned char** out = <unsigned char**> malloc(columns * sizeof(unsigned char*))
    cdef array.array offsets
    cdef Py_ssize_t row
    cdef Py_ssize_t column
    cdef int at
    cdef Field* one = fields.items
    cdef list found = []
    try:
        if totals == NULL or ends == NULL or out == NULL:
            raise MemoryError()
        with nogil:
            for row in range(rows):
                for column in range(columns):
                    totals[column] += one.length
                    one += 1
        for column in range(columns):
            offsets = array.clone(new_array("i"), rows + 1, zero=False)
            ends[column] = int32s(offsets, rows + 1)
            ends[column][0] = 0
            values = PyByteArray_FromStringAndSize(NULL, totals[column] + SLACK)
            out[column] = <unsigned char*> PyByteArray_AS_STRING(values)
            found.append((offsets, values))
        one = fields.items
        with nogil:
            for row in range(rows):
                for column in range(columns):
                    at = ends[column][row]
                    ends[column][row + 1] = at + one.length
                    if one.start < 0:
                        _unquote(data, ~one.start, one.stop, out[column] + at)
                    elif one.length <= SLACK and one.start + SLACK <= size:
                        memcpy(out[column] + at, data + one.start, SLACK)  # a fixed length is two instructions
                    else:
                        memcpy(out[column] + at, data + one.start, one.length)
                    one += 1
        for column in range(columns):
            PyByteArray_Resize(found[column][1], totals[column])
        return found
    finally:
        free(totals)
        free(ends)
        free(out)


def gather(pieces, keep):
    """One column of several blocks, with the rows to keep only."""
    cdef Py_buffer kept
    cdef Py_buffer ends
    cdef Py_buffer text
    cdef const signed char* keeps
    cdef array.array offsets
    cdef int* out_ends = NULL
    cdef unsigned char* out = NULL
    cdef const int* at
    cdef Py_ssize_t rows = 0
    cdef Py_ssize_t total = 0
    cdef Py_ssize_t first = 0
    cdef Py_ssize_t row
    cdef Py_ssize_t run
    cdef Py_ssize_t count
    cdef Py_ssize_t used = 0
    cdef Py_ssize_t step
    PyObject_GetBuffer(keep, &kept, PyBUF_SIMPLE)
    try:
        keeps = <const signed char*> kept.buf
        for step in range(2):  # sizes, then octets
            if step:
                offsets = array.clone(new_array("i"), rows + 1, zero=False)
                out_ends = int32s(offsets, rows + 1)
                out_ends[0] = 0
                values = PyByteArray_FromStringAndSize(NULL, total)
                out = <unsigned char*> PyByteArray_AS_STRING(values)
                rows = first = used = 0
            for column_offsets, column_data in pieces:
                PyObject_GetBuffer(column_offsets, &ends, PyBUF_SIMPLE)
                try:
                    count = ends.len // 4 - 1
                    at = <const int*> ends.buf
                    if count < 0 or first + count > kept.len:
                        raise ValueError("keep is as long as the pieces have rows")
                    PyObject_GetBuffer(column_data, &text, PyBUF_SIMPLE)
                    try:
                        if step == 0:
                            if at[0] != 0:
                                raise ValueError("offsets begin with 0")
                            ends_fit(at + 1, count, text.len)
                        with nogil:
                            row = 0
                            while row < count:
                                if not keeps[first + row]:
                                    row += 1
                                    continue
                                run = row
                                while row < count and keeps[first + row]:
                                    if step:
                                        out_ends[rows + row - run + 1] = <int> used + at[row + 1] - at[run]
                                    row += 1
                                if step:
                                    memcpy(out + used, <const unsigned char*> text.buf + at[run], at[row] - at[run])
                                    used += at[row] - at[run]
                                else:
                                    total += at[row] - at[run]
                                rows += row - run
                    finally:
                        PyBuffer_Release(&text)
                finally:
                    PyBuffer_Release(&ends)
                first += count
            if first != kept.len:
                raise ValueError("keep is as long as the pieces have rows")
            if total > MOST_OCTETS:
                raise ValueError("a column holds at most 1 GiB")
        return offsets, values
    finally:
        PyBuffer_Release(&kept)


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
    cdef Fields fields = SCRATCH
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
    cdef Py_ssize_t split
    cdef Py_ssize_t first
    cdef bint high
    cdef int* row_lines
    global SCRATCH
    next.lf = next.cr = next.nul = next.quote = -1
    SCRATCH.items, SCRATCH.room = NULL, 0  # of this call: columns are filled without the GIL
    fields.count = 0
    try:
        if fields.items == NULL:
            fields.room = FIELDS
            fields.items = <Field*> malloc(sizeof(Field) * FIELDS)
            if fields.items == NULL:
                raise MemoryError()
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
                    split = 0
                    if next.quote < at:
                        high = _any_high(data + start, at - start)
                    else:
                        split = _split_plain(&fields, data, start, at, size, separator, &high)
                    if high:
                        info = _bad_octet(data + start, at - start)
                    if info:
                        reason = BAD_UTF8
                    else:
                        info = split if split else _split(&fields, data, start, at, separator)
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
            columns=_columns(&fields, data, size, rows, columns),
            line=line,
            bad_line=bad_line,
            bad_reason=bad_reason,
            bad_info=bad_info,
            lines=lines,
            consumed=start,
            in_long=in_long,
        )
    finally:
        if SCRATCH.items == NULL and fields.room <= FIELDS_KEPT:
            SCRATCH = fields
        else:
            free(fields.items)
