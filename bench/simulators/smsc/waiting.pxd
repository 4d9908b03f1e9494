"""What waits: records of responses and receipts, in rings (first in, first out) and in slots of a timing wheel."""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy

cdef struct Item:
    int64_t due_ms         # of a receipt that was sent: when, in microseconds
    uint64_t number
    int64_t submitted_s
    int32_t owner          # account of a receipt, session handle of a response
    uint32_t sequence
    uint32_t status
    uint8_t response       # 1: a submit_sm_resp, 0: a receipt
    uint8_t used           # in the unanswered ring
    uint8_t verdict
    uint8_t form           # of a receipt; of a response, 1: without an id
    uint8_t source_ton, source_npi, dest_ton, dest_npi
    uint8_t source_length, dest_length, text_length
    char source[20]
    char dest[20]
    char text[20]

cdef struct Slot:
    Item *items
    int count
    int capacity

cdef struct Ring:
    Item *items
    int64_t head, count, capacity


cdef inline int grow(Ring *ring) except -1:
    cdef int64_t capacity = max(64, ring.capacity * 2)
    cdef Item *items = <Item *>malloc(capacity * sizeof(Item))
    cdef int64_t first
    if items == NULL:
        raise MemoryError
    first = min(ring.count, ring.capacity - ring.head)
    if ring.count:
        memcpy(items, ring.items + ring.head, first * sizeof(Item))
        memcpy(items + first, ring.items, (ring.count - first) * sizeof(Item))
    free(ring.items)
    ring.items = items
    ring.capacity = capacity
    ring.head = 0
    return 0


cdef inline int push(Ring *ring, Item *item) except -1:
    if ring.count == ring.capacity:
        grow(ring)
    ring.items[(ring.head + ring.count) & (ring.capacity - 1)] = item[0]
    ring.count += 1
    return 0


cdef inline int push_front(Ring *ring, Item *item) except -1:
    if ring.count == ring.capacity:
        grow(ring)
    ring.head = (ring.head - 1) & (ring.capacity - 1)
    ring.items[ring.head] = item[0]
    ring.count += 1
    return 0


cdef inline void pop(Ring *ring) noexcept:
    ring.head = (ring.head + 1) & (ring.capacity - 1)
    ring.count -= 1
    if ring.count == 0 and ring.capacity > 65536:     # a burst's memory is given back
        free(ring.items)
        ring.items = NULL
        ring.head = ring.capacity = 0


cdef inline int add(Slot *slot, Item *item) except -1:
    cdef Item *items
    cdef int capacity
    if slot.count == slot.capacity:
        capacity = max(16, slot.capacity * 2)
        items = <Item *>realloc(slot.items, capacity * sizeof(Item))
        if items == NULL:
            raise MemoryError
        slot.items = items
        slot.capacity = capacity
    slot.items[slot.count] = item[0]
    slot.count += 1
    return 0
