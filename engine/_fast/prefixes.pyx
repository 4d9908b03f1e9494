"""Values by number prefix, in C: a trie of digits. The twin in `pure` says what each function means."""

from cpython cimport array
from libc.stdlib cimport free, realloc
from libc.string cimport memset

from engine._fast.arrays cimport int8s, int32s, int64s, resized

cdef enum:
    LONGEST = 15

cdef struct Node:
    int child[10]  # 0: none
    int known
    long long value


cdef class PrefixTable:
    cdef Node* nodes
    cdef int used, room, count
    cdef long long default

    def __init__(self, prefixes, values, long long default=-1):
        if len(prefixes) != len(values):
            raise ValueError("one value for each prefix")
        if self.nodes != NULL:
            raise ValueError("a table is filled once")
        self.default = default
        self._node()
        for prefix, value in zip(prefixes, values):
            if len(prefix) > LONGEST or not (prefix == "" or (prefix.isascii() and prefix.isdigit())):
                raise ValueError(f"prefix {prefix!r} is not up to 15 digits")
            self._put(prefix.encode("ascii"), value)

    def __dealloc__(self):
        free(self.nodes)

    def __len__(self):
        return self.count

    cdef int _node(self) except -1:
        """A fresh node's index. Moves the nodes: pointers into them do not outlive it."""
        cdef Node* grown
        cdef int room
        if self.used == self.room:
            room = max(64, 2 * self.room)
            grown = <Node*>realloc(self.nodes, room * sizeof(Node))
            if grown == NULL:
                raise MemoryError()
            self.nodes, self.room = grown, room
        memset(&self.nodes[self.used], 0, sizeof(Node))
        self.used += 1
        return self.used - 1

    cdef int _put(self, bytes prefix, long long value) except -1:
        cdef int at = 0, fresh
        cdef unsigned char digit
        for digit in prefix:
            if self.nodes[at].child[digit - 48] == 0:
                fresh = self._node()
                self.nodes[at].child[digit - 48] = fresh
            at = self.nodes[at].child[digit - 48]
        if self.nodes[at].known:
            raise ValueError(f"prefix {prefix.decode()!r} stands twice")
        self.nodes[at].known, self.nodes[at].value = 1, value
        self.count += 1
        return 0

    cdef long long _one(self, long long number) noexcept nogil:
        cdef unsigned char[20] digits
        cdef int length = 0, at = 0
        cdef long long value
        if number <= 0:
            return self.default
        while number:
            digits[length] = <unsigned char>(number % 10)
            number //= 10
            length += 1
        value = self.nodes[0].value if self.nodes[0].known else self.default
        while length:
            length -= 1
            at = self.nodes[at].child[digits[length]]
            if at == 0:
                break
            if self.nodes[at].known:
                value = self.nodes[at].value
        return value

    def look_up(self, msisdn):
        cdef Py_ssize_t n = len(msisdn), i
        cdef const long long* numbers = int64s(msisdn, n)
        cdef array.array found = array.array("q")
        resized(found, n)
        cdef long long* values = found.data.as_longlongs
        for i in range(n):
            values[i] = self._one(numbers[i])
        return found


def gather(values, index):
    cdef Py_ssize_t n = len(index), most = len(values), i
    cdef const int* at = int32s(index, n)
    cdef const long long* given = int64s(values, most)
    cdef array.array found = array.array("q")
    resized(found, n)
    cdef long long* taken = found.data.as_longlongs
    for i in range(n):
        if not 0 <= at[i] < most:
            raise IndexError("index outside the values")
        taken[i] = given[at[i]]
    return found


def sums(values, codes, int kinds):
    cdef Py_ssize_t n = len(values), i
    cdef const long long* given
    cdef const signed char* code
    if len(codes) != n:
        raise ValueError("one code for each value")
    given, code = int64s(values, n), int8s(codes, n)
    cdef array.array found = array.array("q")
    resized(found, kinds)
    cdef long long* total = found.data.as_longlongs
    memset(total, 0, kinds * sizeof(long long))
    for i in range(n):
        if not 0 <= code[i] < kinds:
            raise ValueError(f"code {code[i]} is none of {kinds}")
        total[code[i]] += given[i]
    return found


def row_sums(rows, values, int first, int count):
    cdef Py_ssize_t n = len(values), i
    if len(rows) != n:
        raise ValueError("one row for each value")
    cdef const int* row = int32s(rows, n)
    cdef const long long* given = int64s(values, n)
    cdef array.array found = array.array("i")
    resized(found, count)
    cdef int* total = found.data.as_ints
    cdef long long at, sum_
    memset(total, 0, count * sizeof(int))
    for i in range(n):
        at = <long long>row[i] - first
        if 0 <= at < count:
            if given[i] > 0x7FFFFFFF or given[i] < -0x7FFFFFFF:
                raise OverflowError("the sum of a row does not fit 31 bits")
            sum_ = total[at] + given[i]
            if not 0 <= sum_ <= 0x7FFFFFFF:
                raise OverflowError("the sum of a row does not fit 31 bits")
            total[at] = <int>sum_
    return found


cdef inline unsigned long long mixed(unsigned long long key) noexcept nogil:
    key += 0x9E3779B97F4A7C15ULL
    key = (key ^ key >> 30) * 0xBF58476D1CE4E5B9ULL
    key = (key ^ key >> 27) * 0x94D049BB133111EBULL
    return key ^ key >> 31


def spread(keys, choice, start, ends, values):
    cdef Py_ssize_t n = len(keys), known = len(start) - 1, size = len(values), i, j
    if len(choice) != n or known < 0 or len(ends) != size:
        raise ValueError("the columns do not fit together")
    cdef const long long* key = int64s(keys, n)
    cdef const long long* chosen = int64s(choice, n)
    cdef const int* first = int32s(start, known + 1)
    cdef const int* end = int32s(ends, size)
    cdef const int* value = int32s(values, size)
    cdef unsigned long long point
    if first[0] != 0:
        raise ValueError("the columns do not fit together")
    for i in range(known):
        if first[i + 1] < first[i] or first[i + 1] > size:
            raise ValueError("the choices do not cover the values")
    if first[known] != size:
        raise ValueError("the choices do not cover the values")
    for i in range(known):
        for j in range(first[i], first[i + 1]):
            if end[j] < (0 if j == first[i] else end[j - 1]):
                raise ValueError("the weights of a choice do not ascend")
    cdef array.array found = array.array("i")
    resized(found, n)
    cdef int* picked = found.data.as_ints
    for i in range(n):
        picked[i] = -1
        if chosen[i] >= known:
            raise ValueError(f"choice {chosen[i]} is none of {known}")
        if chosen[i] < 0 or first[chosen[i] + 1] == first[chosen[i]] or end[first[chosen[i] + 1] - 1] == 0:
            continue
        point = mixed(<unsigned long long>key[i]) % <unsigned long long>end[first[chosen[i] + 1] - 1]
        j = first[chosen[i]]
        while point >= <unsigned long long>end[j]:
            j += 1
        picked[i] = value[j]
    return found
