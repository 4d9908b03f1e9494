"""Messages' outcomes from their parts', in C. The twin in `pure` says what each method means."""

from cpython cimport array
from libc.stdlib cimport calloc, free

from engine._fast.arrays cimport fits, int8s, int32s

from engine._fast.columns import ACCEPTED, DEFERRED, DOUBT, FAILED, ClaimUpdate

cdef enum:
    OK = 0
    BAD = 1
    UNKNOWN = 4
    LATER = 5

cdef struct Part:
    int message
    int done

cdef struct Row:
    int row
    int open_parts  # -1: released
    int accepted
    signed char failed
    signed char doubt
    signed char deferred
    signed char touched  # some part had an outcome, even RETRY: it was sent

assert (OK, BAD, UNKNOWN, LATER) == (ACCEPTED, FAILED, DOUBT, DEFERRED)


cdef class _Claim:
    cdef Part* parts  # by index of the PDU
    cdef Row* rows
    cdef Py_ssize_t part_count, row_count, open_rows
    # sent, undelivered, failed, in doubt, accepted parts, deferred: of this `apply`
    cdef Py_ssize_t[6] counts

    def __cinit__(self, batch):
        cdef Py_ssize_t n = batch.count
        cdef const int* rows = int32s(batch.row, n)
        cdef Py_ssize_t i
        self.parts = <Part*>calloc(n + 1, sizeof(Part))
        self.rows = <Row*>calloc(n + 1, sizeof(Row))
        if self.parts == NULL or self.rows == NULL:
            raise MemoryError()
        for i in range(n):
            if i == 0 or rows[i] != rows[i - 1]:
                self.rows[self.row_count].row = rows[i]
                self.row_count += 1
            self.parts[i].message = <int>(self.row_count - 1)
            self.rows[self.row_count - 1].open_parts += 1
        self.part_count = n
        self.open_rows = self.row_count

    def __dealloc__(self):
        free(self.parts)
        free(self.rows)

    cdef void take(self, int index, signed char code) noexcept:
        """One outcome of the part at `index`."""
        cdef Part* part = &self.parts[index]
        cdef Row* row = &self.rows[part.message]
        row.touched = 1
        if part.done or row.open_parts < 0 or code not in (OK, BAD, UNKNOWN, LATER):
            return
        part.done = 1
        row.open_parts -= 1
        if code == OK:
            row.accepted += 1
            self.counts[4] += 1
        elif code == BAD:
            row.failed = 1
        elif code == UNKNOWN:
            row.doubt = 1
        else:
            row.deferred = 1
        if row.open_parts == 0:
            self.open_rows -= 1
            if row.deferred:
                self.counts[5] += 1
            elif not row.failed and not row.doubt:
                self.counts[0] += 1
            elif row.failed:
                self.counts[1 if row.accepted else 2] += 1
            else:
                self.counts[3] += 1

    cdef object update(self, int number):
        """What this `apply` changed; counts from zero after it."""
        cdef Py_ssize_t i
        update = ClaimUpdate(
            number, self.counts[0], self.counts[1], self.counts[2], self.counts[3], self.counts[4],
            self.counts[5], self.open_rows == 0,
        )
        for i in range(6):
            self.counts[i] = 0
        return update


cdef class Tally:
    cdef dict _claims

    def __cinit__(self):
        self._claims = {}

    def __len__(self):
        return len(self._claims)

    def open_rows(self, int claim):
        cdef _Claim found = self._claims.get(claim)
        return 0 if found is None else found.open_rows

    def open(self, int claim, batch):
        if claim in self._claims:
            raise ValueError(f"claim {claim} is open already")
        cdef _Claim followed = _Claim(batch)
        if followed.open_rows:
            self._claims[claim] = followed
        return followed.open_rows

    def apply(self, results, array.array outcome not None):
        cdef Py_ssize_t n = results.count
        if len(outcome) != n:
            raise ValueError("one outcome for each result")
        cdef const signed char* codes = int8s(outcome, n)
        cdef const signed char* lates = int8s(results.late, n)
        cdef const int* claims = int32s(results.claim, n)
        cdef const int* indices = int32s(results.index, n)
        cdef dict touched = {}
        cdef _Claim claim = None
        cdef bint noted = False
        cdef Py_ssize_t i
        for i in range(n):
            if i == 0 or claims[i] != claims[i - 1]:
                claim = self._claims.get(claims[i])
                noted = False
            if claim is None or lates[i] or indices[i] < 0 or indices[i] >= claim.part_count:
                continue
            if claim.open_rows == 0:  # closed by an earlier result of this batch
                continue
            if not noted:
                touched.setdefault(claims[i], claim)
                noted = True
            claim.take(indices[i], codes[i])
        updates = []
        for number, claim in touched.items():
            if claim.open_rows == 0:
                del self._claims[number]
            updates.append(claim.update(number))
        return updates

    def release(self, int claim, long long from_row):
        cdef _Claim found = self._claims.get(claim)
        cdef Row* row
        cdef Py_ssize_t i
        cdef Py_ssize_t dropped = 0
        if found is None:
            return 0
        for i in range(found.row_count):
            row = &found.rows[i]
            if row.row >= from_row and row.open_parts > 0 and not row.touched:
                row.open_parts = -1
                dropped += 1
        found.open_rows -= dropped
        if found.open_rows == 0:
            del self._claims[claim]
        return dropped
