/* What the sink and the limit client share: big-endian integers, command ids, one buffer a direction. */
#ifndef HELIOGRAPH_LIMIT_PDU_H
#define HELIOGRAPH_LIMIT_PDU_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    HEADER = 16,
    LONGEST = 65536,
    READ_OCTETS = 256 * 1024,
    BIND_RECEIVER = 1, BIND_TRANSMITTER = 2, SUBMIT_SM = 4, DELIVER_SM = 5, UNBIND = 6, BIND_TRANSCEIVER = 9,
    ENQUIRE_LINK = 0x15,
};
#define RESPONSE 0x80000000u

static inline uint32_t get32(const uint8_t *at) {
    uint32_t value;
    memcpy(&value, at, 4);
    return __builtin_bswap32(value);
}

static inline void put32(uint8_t *at, uint32_t value) {
    value = __builtin_bswap32(value);
    memcpy(at, &value, 4);
}

static inline void put_header(uint8_t *at, uint32_t length, uint32_t command, uint32_t status, uint32_t sequence) {
    put32(at, length);
    put32(at + 4, command);
    put32(at + 8, status);
    put32(at + 12, sequence);
}

static inline void die(const char *what) {
    perror(what);
    exit(1);
}

static inline void *grown(void *memory, size_t octets) {
    memory = realloc(memory, octets);
    if (!memory) die("memory");
    return memory;
}

/* Octets that wait: data[start..size] of `room`. */
typedef struct {
    uint8_t *data;
    size_t start, size, room;
} Buffer;

static inline uint8_t *reserve(Buffer *buffer, size_t octets) {
    if (buffer->start == buffer->size) buffer->start = buffer->size = 0;
    if (buffer->size + octets > buffer->room) {
        memmove(buffer->data, buffer->data + buffer->start, buffer->size - buffer->start);
        buffer->size -= buffer->start;
        buffer->start = 0;
        if (buffer->size + octets > buffer->room) {
            buffer->room = 2 * (buffer->size + octets);
            buffer->data = grown(buffer->data, buffer->room);
        }
    }
    return buffer->data + buffer->size;
}

/* The length of the whole PDU that stands first; 0: not all of it is there; -1: no PDU. */
static inline long whole(const Buffer *in) {
    size_t there = in->size - in->start;
    uint32_t length;
    if (there < HEADER) return 0;
    length = get32(in->data + in->start);
    if (length < HEADER || length > LONGEST) return -1;
    return length <= there ? (long)length : 0;
}

#endif
