"""Binary COPY streams, in C. The twin in `pure` says what the columns are."""

from cpython cimport array
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_Resize
from libc.limits cimport INT_MAX
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

from engine._fast.arrays cimport ends_fit, int8s, int32s
from engine._fast.utf8 cimport copy_clean

cdef bytes SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # then flags and the length of the header's extension

cdef long long POSTGRES_EPOCH_US = 946_684_800_000_000  # 2000-01-01, from which timestamptz counts
cdef long long EARLIEST_US = -(1 << 63) + POSTGRES_EPOCH_US

WIDTHS = {"int2": 2, "int4": 4, "int8": 8, "timestamptz": 8}
TEXTS = ("text", "text_or_null")
MOST_COLUMNS = 1600

cdef enum:
    ITEM = 0  # the same octets in every row, already with their length
    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT32 = 5
    TEXT = 6

cdef dict SOURCES = {"b": INT8, "h": INT16, "i": INT32, "q": INT64, "I": UINT32}

cdef struct Field:
    int source
    int width
    long long shift
    bint empty_is_null
    const void* values  # the array's items, the texts' octets, or the constant item
    const int* end
    Py_ssize_t item_length
    const signed char* nulls


cdef inline void _put(unsigned char* out, uint64_t value, int width) noexcept nogil:
    cdef int i
    for i in range(width):
        out[i] = value >> 8 * (width - 1 - i) & 0xFF


cdef inline unsigned char* _put_length(unsigned char* out, int length) noexcept nogil:
    _put(out, <uint64_t>length, 4)
    return out + 4


cdef class _Fields:
    """The columns as C sees them, and what keeps their memory alive."""

    cdef Field* fields
    cdef Py_ssize_t n
    cdef Py_ssize_t rows
    cdef Py_ssize_t octets  # at most, of all rows
    cdef list held

    def __cinit__(self, columns, Py_ssize_t rows):
        self.n = len(columns)
        self.rows = rows
        self.octets = 2 * rows
        self.held = []
        self.fields = <Field*>calloc(self.n + 1, sizeof(Field))
        if self.fields == NULL:
            raise MemoryError()
        cdef Py_ssize_t i
        for i in range(self.n):
            self.read(&self.fields[i], columns[i])

    def __dealloc__(self):
        free(self.fields)

    cdef int read(self, Field* field, column) except -1:
        kind, *rest = column
        values = rest.pop(0) if rest else None
        if kind in TEXTS:
            self.read_text(field, kind, values, rest)
        elif kind in WIDTHS:
            self.read_numbers(field, kind, values)
        else:
            raise ValueError(f"unknown type {kind!r}")
        if len(rest) > 1:
            raise ValueError(f"too many items in a {kind} column")
        if rest:
            mask = rest[0]
            if not isinstance(mask, array.array) or mask.typecode != "b" or len(mask) < self.rows:
                raise ValueError("a null mask is an array('b') with an item a row")
            self.held.append(mask)
            field.nulls = int8s(mask, self.rows)
        return 0

    cdef int read_constant(self, Field* field, bytes item) except -1:
        self.held.append(item)
        field.source = ITEM
        field.values = <const char*>item
        field.item_length = len(item)
        self.octets += len(item) * self.rows
        return 0

    cdef int read_numbers(self, Field* field, str kind, values) except -1:
        cdef int width = WIDTHS[kind]
        cdef long long shift = POSTGRES_EPOCH_US if kind == "timestamptz" else 0
        cdef array.array items
        cdef Py_ssize_t i
        if values is None:
            return self.read_constant(field, b"\xff\xff\xff\xff")
        if isinstance(values, int):
            item = (values - shift).to_bytes(width, "big", signed=True)
            return self.read_constant(field, width.to_bytes(4, "big") + item)
        if not isinstance(values, array.array):
            raise ValueError(f"a {kind} column has an array, an int or None")
        items = values
        code = items.typecode
        if code not in SOURCES or items.itemsize > width or (code == "I" and width < 8):
            raise ValueError(f"array({code!r}) does not fit {kind}")
        if len(items) < self.rows:
            raise ValueError(f"a {kind} column is shorter than the rows")
        self.held.append(items)
        field.source = SOURCES[code]
        field.width = width
        field.shift = shift
        field.values = items.data.as_voidptr
        self.octets += (4 + width) * self.rows
        if shift and field.source == INT64:
            for i in range(self.rows):
                if items.data.as_longlongs[i] < EARLIEST_US:
                    raise OverflowError("a time does not fit timestamptz")
        return 0

    cdef int read_text(self, Field* field, str kind, data, list rest) except -1:
        cdef array.array end
        field.empty_is_null = kind == "text_or_null"
        if data is None:
            return self.read_constant(field, b"\xff\xff\xff\xff")
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise ValueError(f"a {kind} column has octets or None")
        if rest and isinstance(rest[0], array.array) and rest[0].typecode == "i":
            end = rest.pop(0)
            if len(end) < self.rows:
                raise ValueError(f"a {kind} column is shorter than the rows")
            texts = _Texts(data, end, self.rows)
            self.held.append(texts)
            field.source = TEXT
            field.values = (<_Texts>texts).octets
            field.end = (<_Texts>texts).ends
            self.octets += 4 * self.rows + (field.end[self.rows - 1] if self.rows else 0)
            return 0
        clean = bytes(data).decode("utf-8", "replace").replace("\0", "\ufffd").encode()
        if not clean and field.empty_is_null:
            return self.read_constant(field, b"\xff\xff\xff\xff")
        return self.read_constant(field, len(clean).to_bytes(4, "big") + clean)


cdef class _Texts:
    """A variable-length column held for reading; a clean copy of it where PostgreSQL would refuse a text."""

    cdef Py_buffer view
    cdef bint viewed
    cdef array.array end
    cdef unsigned char* copy
    cdef int* copy_end
    cdef const unsigned char* octets
    cdef const int* ends

    def __cinit__(self, data, array.array end, Py_ssize_t n):
        cdef Py_ssize_t i
        cdef Py_ssize_t length
        PyObject_GetBuffer(data, &self.view, PyBUF_SIMPLE)
        self.viewed = True
        self.end = end
        self.ends = int32s(end, n)
        self.octets = <const unsigned char*>self.view.buf
        ends_fit(self.ends, n, self.view.len)
        length = self.ends[n - 1] if n else 0
        for i in range(length):
            if self.octets[i] == 0 or self.octets[i] >= 0x80:
                self.clean(n, length)
                break

    cdef int clean(self, Py_ssize_t n, Py_ssize_t length) except -1:
        cdef Py_ssize_t i
        cdef Py_ssize_t used = 0
        cdef int start = 0
        if 3 * length > INT_MAX:
            raise OverflowError("texts of more than 2 GiB")
        self.copy = <unsigned char*>malloc(3 * length)
        self.copy_end = <int*>malloc(n * sizeof(int))
        if self.copy == NULL or self.copy_end == NULL:
            raise MemoryError()
        for i in range(n):
            used += copy_clean(self.octets + start, self.ends[i] - start, self.copy + used, True)
            start = self.ends[i]
            self.copy_end[i] = <int>used
        self.octets, self.ends = self.copy, self.copy_end
        return 0

    def __dealloc__(self):
        if self.viewed:
            PyBuffer_Release(&self.view)
        free(self.copy)
        free(self.copy_end)


cdef inline long long _number(const Field* field, Py_ssize_t row) noexcept nogil:
    if field.source == INT8:
        return (<const signed char*>field.values)[row]
    if field.source == INT16:
        return (<const short*>field.values)[row]
    if field.source == INT32:
        return (<const int*>field.values)[row]
    if field.source == UINT32:
        return (<const unsigned int*>field.values)[row]
    return (<const long long*>field.values)[row]


cdef unsigned char* _write_item(unsigned char* out, const Field* field, Py_ssize_t row) noexcept nogil:
    cdef int start, length
    if field.nulls != NULL and field.nulls[row]:
        return _put_length(out, -1)
    if field.source == ITEM:
        memcpy(out, field.values, field.item_length)
        return out + field.item_length
    if field.source == TEXT:
        start = field.end[row - 1] if row else 0
        length = field.end[row] - start
        if length == 0 and field.empty_is_null:
            return _put_length(out, -1)
        out = _put_length(out, length)
        memcpy(out, <const unsigned char*>field.values + start, length)
        return out + length
    out = _put_length(out, field.width)
    _put(out, <uint64_t>(_number(field, row) - field.shift), field.width)
    return out + field.width


def encode(columns, Py_ssize_t count):
    if count < 0:
        raise ValueError("a count is not negative")
    if len(columns) > MOST_COLUMNS:
        raise ValueError("PostgreSQL has at most 1600 columns")
    cdef _Fields fields = _Fields(columns, count)
    cdef bytearray stream = bytearray(SIGNATURE)
    cdef Py_ssize_t begin = len(stream)
    cdef unsigned char* out
    cdef Py_ssize_t row, i
    PyByteArray_Resize(stream, begin + fields.octets + 2)
    out = <unsigned char*>PyByteArray_AS_STRING(stream) + begin
    with nogil:
        for row in range(count):
            _put(out, <uint64_t>fields.n, 2)
            out += 2
            for i in range(fields.n):
                out = _write_item(out, &fields.fields[i], row)
        _put(out, 0xFFFF, 2)
        out += 2
    PyByteArray_Resize(stream, out - <unsigned char*>PyByteArray_AS_STRING(stream))
    return stream
