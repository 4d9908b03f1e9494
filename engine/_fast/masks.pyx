"""Columns counted and picked by masks of 0 and 1 bytes, in C. The twin in `pure` says what each means."""

from cpython cimport array
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.string cimport memcpy

from engine._fast.arrays cimport ends_fit, int8s, int32s, resized

ctypedef signed char schar
ctypedef long long longlong
ctypedef unsigned int uint

ctypedef fused item:
    schar
    short
    int
    longlong
    uint


cdef int _chosen(bytes mask, Py_ssize_t n) except -1:
    if len(mask) != n:
        raise ValueError("one octet of the mask for each item")
    return 0


def distinct(array.array column):
    cdef Py_ssize_t n = len(column), i
    cdef const int* values = int32s(column, n)
    cdef dict found = {}
    cdef int last = 0
    for i in range(n):
        if i and values[i] == last:
            continue
        last = values[i]
        found[last] = None
    return list(found)


def counts(array.array column, bytes mask):
    cdef Py_ssize_t n = len(column), i
    cdef const int* values = int32s(column, n)
    cdef const char* wanted
    cdef dict found = {}
    cdef int last = 0
    cdef Py_ssize_t run = 0
    _chosen(mask, n)
    wanted = PyBytes_AS_STRING(mask)
    for i in range(n):
        if not wanted[i]:
            continue
        if run and values[i] != last:
            found[last] = found.get(last, 0) + run
            run = 0
        last = values[i]
        run += 1
    if run:
        found[last] = found.get(last, 0) + run
    return found


cdef void _compare(const item* values, Py_ssize_t n, long long value, char* mask) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        mask[i] = values[i] == value


cdef bint _set(const item* values, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        if values[i]:
            return True
    return False


cdef Py_ssize_t _pick(const item* values, Py_ssize_t n, const char* mask, item* picked) noexcept nogil:
    cdef Py_ssize_t i, k = 0
    for i in range(n):
        if mask[i]:
            picked[k] = values[i]
            k += 1
    return k


cdef object _unknown(array.array column):
    return TypeError(f"a column of type {chr(column.ob_descr.typecode)!r} is none of bhiqI")


def equal(array.array column not None, long long value):
    cdef Py_ssize_t n = len(column)
    cdef bytes mask = PyBytes_FromStringAndSize(NULL, n)
    cdef char* out = PyBytes_AS_STRING(mask)
    cdef int code = column.ob_descr.typecode
    if code == c"b":
        _compare[schar](column.data.as_schars, n, value, out)
    elif code == c"h":
        _compare[short](column.data.as_shorts, n, value, out)
    elif code == c"i":
        _compare[int](column.data.as_ints, n, value, out)
    elif code == c"q":
        _compare[longlong](column.data.as_longlongs, n, value, out)
    elif code == c"I":
        _compare[uint](column.data.as_uints, n, value, out)
    else:
        raise _unknown(column)
    return mask


def same(array.array left, array.array right):
    cdef Py_ssize_t n = len(left), i
    cdef const signed char* ours
    cdef const signed char* theirs
    if len(right) != n:
        raise ValueError("columns of one length")
    ours, theirs = int8s(left, n), int8s(right, n)
    cdef bytes mask = PyBytes_FromStringAndSize(NULL, n)
    cdef char* out = PyBytes_AS_STRING(mask)
    for i in range(n):
        out[i] = ours[i] == theirs[i]
    return mask


def any_set(array.array column not None):
    cdef Py_ssize_t n = len(column)
    cdef int code = column.ob_descr.typecode
    if code == c"b":
        return _set[schar](column.data.as_schars, n)
    if code == c"h":
        return _set[short](column.data.as_shorts, n)
    if code == c"i":
        return _set[int](column.data.as_ints, n)
    if code == c"q":
        return _set[longlong](column.data.as_longlongs, n)
    if code == c"I":
        return _set[uint](column.data.as_uints, n)
    raise _unknown(column)


def pick(array.array column not None, bytes mask):
    cdef Py_ssize_t n = len(column), k = 0
    cdef int code = column.ob_descr.typecode
    cdef const char* wanted
    cdef array.array picked
    if code not in (c"b", c"h", c"i", c"q", c"I"):
        raise _unknown(column)
    _chosen(mask, n)
    wanted = PyBytes_AS_STRING(mask)
    picked = array.clone(column, n, False)
    if code == c"b":
        k = _pick[schar](column.data.as_schars, n, wanted, picked.data.as_schars)
    elif code == c"h":
        k = _pick[short](column.data.as_shorts, n, wanted, picked.data.as_shorts)
    elif code == c"i":
        k = _pick[int](column.data.as_ints, n, wanted, picked.data.as_ints)
    elif code == c"q":
        k = _pick[longlong](column.data.as_longlongs, n, wanted, picked.data.as_longlongs)
    else:
        k = _pick[uint](column.data.as_uints, n, wanted, picked.data.as_uints)
    resized(picked, k)
    return picked


def pick_text(bytearray data not None, array.array end, bytes mask):
    cdef Py_ssize_t n = len(end), i, k = 0, used = 0
    cdef const int* ends = int32s(end, n)
    cdef int start = 0
    cdef const char* wanted
    cdef const char* octets = PyByteArray_AS_STRING(data)
    _chosen(mask, n)
    ends_fit(ends, n, len(data))
    wanted = PyBytes_AS_STRING(mask)
    cdef bytearray picked = bytearray(len(data))
    cdef char* out = PyByteArray_AS_STRING(picked)
    cdef array.array picked_end = array.clone(end, n, False)
    cdef int* stops = picked_end.data.as_ints
    for i in range(n):
        if wanted[i]:
            memcpy(out + used, octets + start, ends[i] - start)
            used += ends[i] - start
            stops[k] = <int>used
            k += 1
        start = ends[i]
    PyByteArray_Resize(picked, used)
    resized(picked_end, k)
    return picked, picked_end
