"""Raw pointers into array.array columns, checked once a batch."""

from cpython cimport array


cdef inline int fits(array.array column, char typecode, Py_ssize_t length) except -1:
    """TypeError for another item type, ValueError for fewer than `length` items."""
    if column is None:
        raise TypeError("a column is an array, not None")
    if column.ob_descr.typecode != typecode:
        raise TypeError(f"a column of type {chr(column.ob_descr.typecode)!r} where {chr(typecode)!r} is due")
    if len(column) < length:
        raise ValueError("a column is shorter than its batch")
    return 0


cdef inline signed char* int8s(array.array column, Py_ssize_t length) except? NULL:
    fits(column, b"b", length)
    return column.data.as_schars


cdef inline short* int16s(array.array column, Py_ssize_t length) except? NULL:
    fits(column, b"h", length)
    return column.data.as_shorts


cdef inline int* int32s(array.array column, Py_ssize_t length) except? NULL:
    fits(column, b"i", length)
    return column.data.as_ints


cdef inline long long* int64s(array.array column, Py_ssize_t length) except? NULL:
    fits(column, b"q", length)
    return column.data.as_longlongs


cdef inline unsigned int* uint32s(array.array column, Py_ssize_t length) except? NULL:
    fits(column, b"I", length)
    return column.data.as_uints


cdef inline int resized(array.array column, Py_ssize_t length) except -1:
    """Sets the length of an array that nothing else holds; its items are undefined until written."""
    if array.resize(column, length) < 0:
        raise MemoryError()
    return 0


cdef inline int ends_fit(const int* end, Py_ssize_t count, Py_ssize_t octets) except -1:
    """ValueError unless the ends of a variable-length column ascend within its data."""
    cdef Py_ssize_t i
    cdef int start = 0
    for i in range(count):
        if end[i] < start or end[i] > octets:
            raise ValueError("end does not fit the data")
        start = end[i]
    return 0


cdef inline array.array made(array.array like, Py_ssize_t length):
    """A new array of the type of `like`; its items are undefined until written."""
    return array.clone(like, length, False)
