/* The smallest SMSC: one thread, one epoll. Accepts every submit_sm under a fresh id.
 *
 *   sink [--receipts none|text|tlv|both] [--rtt-us N]
 *
 * `--receipts`: one deliver_sm "delivered" a message, right behind its response. `--rtt-us`: a response and its
 * receipt leave exactly that long after the submit_sm was read. Prints {"listening": PORT}, then a line with a
 * connection's counts as it closes. Ends at SIGTERM. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "pdu.h"

enum { MAX_EVENTS = 64, HIGH_WATER = 4 << 20, ADDRESS = 21, KEPT_TEXT = 20 };
enum { NO_RECEIPTS = 0, TEXT = 1, TLV = 2 };

/* A submit_sm that was read and not yet answered. */
typedef struct {
    int64_t due_ns;
    uint64_t id;
    uint32_t sequence;
    uint8_t registered, source_length, dest_length, text_length;
    uint8_t source[ADDRESS + 2], dest[ADDRESS + 2]; /* TON, NPI, address */
    uint8_t text[KEPT_TEXT];
} Waiting;

typedef struct {
    int fd, closing, reading, writing;
    Buffer in, out;
    Waiting *ring; /* in the order of their due times */
    size_t ring_mask, ring_first, ring_count;
    uint32_t sequence;
    uint64_t submitted, responses, receipts, acknowledged, enquiries;
} Connection;

static int epoll, timer, receipts;
static int64_t rtt_ns, armed_ns;
static uint64_t last_id = 1000000000;
static Connection *connections[MAX_EVENTS];

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

static uint8_t *put(uint8_t *at, const void *octets, size_t length) {
    memcpy(at, octets, length);
    return at + length;
}

#define PUT(at, literal) put(at, literal, sizeof(literal) - 1)

/* The id is ten digits: it counts from a milliard. */
static uint8_t *put_id(uint8_t *at, uint64_t id) {
    for (int i = 9; i >= 0; i--, id /= 10) at[i] = (uint8_t)('0' + id % 10);
    return at + 10;
}

/* YYMMDDhhmm of now in UTC, made once a second. */
static const char *date(void) {
    static char shown[16];
    static time_t of;
    time_t now = time(NULL);
    if (now != of) {
        struct tm parts;
        gmtime_r(&now, &parts);
        strftime(shown, sizeof shown, "%y%m%d%H%M", &parts);
        of = now;
    }
    return shown;
}

static void put_receipt(Connection *one, const Waiting *message, const char *when) {
    uint8_t *pdu = reserve(&one->out, 512), *at = pdu + HEADER, *length;
    *at++ = 0;
    at = put(at, message->dest, message->dest_length);
    *at++ = 0;
    at = put(at, message->source, message->source_length);
    at = PUT(at, "\0\x04\0\0\0\0\0\0\0\0");
    length = at++;
    if (receipts & TEXT) {
        at = PUT(at, "id:");
        at = put_id(at, message->id);
        at = PUT(at, " sub:001 dlvrd:001 submit date:");
        at = put(at, when, 10);
        at = PUT(at, " done date:");
        at = put(at, when, 10);
        at = PUT(at, " stat:DELIVRD err:000 text:");
        at = put(at, message->text, message->text_length);
    }
    *length = (uint8_t)(at - length - 1);
    if (receipts & TLV) {
        at = PUT(at, "\x00\x1e\x00\x0b");
        at = put_id(at, message->id);
        at = PUT(at, "\0\x04\x27\x00\x01\x02");
    }
    one->sequence = one->sequence % 0x7FFFFFFF + 1;
    put_header(pdu, (uint32_t)(at - pdu), DELIVER_SM, 0, one->sequence);
    one->out.size += (size_t)(at - pdu);
    one->receipts++;
}

static void answer(Connection *one, const Waiting *message, const char *when) {
    uint8_t *pdu = reserve(&one->out, 32);
    put_header(pdu, HEADER + 11, SUBMIT_SM | RESPONSE, 0, message->sequence);
    *put_id(pdu + HEADER, message->id) = 0;
    one->out.size += HEADER + 11;
    one->responses++;
    if (receipts && message->registered & 1) put_receipt(one, message, when);
}

static void respond(Connection *one, uint32_t command, uint32_t status, uint32_t sequence, const void *body, size_t n) {
    uint8_t *pdu = reserve(&one->out, HEADER + n);
    put_header(pdu, (uint32_t)(HEADER + n), command, status, sequence);
    memcpy(pdu + HEADER, body, n);
    one->out.size += HEADER + n;
}

/* A TON, an NPI and an address that ends with a NUL; NULL: malformed. */
static const uint8_t *address(const uint8_t *at, const uint8_t *end, uint8_t *kept, uint8_t *length) {
    const uint8_t *nul = end - at < 3 ? NULL : memchr(at + 2, 0, (size_t)(end - at - 2));
    if (!nul || nul - at > ADDRESS + 1) return NULL;
    *length = (uint8_t)(nul - at);
    memcpy(kept, at, *length);
    return nul + 1;
}

static int read_submit(const uint8_t *pdu, uint32_t size, Waiting *message) {
    const uint8_t *end = pdu + size, *at = memchr(pdu + HEADER, 0, size - HEADER);
    if (!at || !(at = address(at + 1, end, message->source, &message->source_length))) return 0;
    if (!(at = address(at, end, message->dest, &message->dest_length)) || end - at < 3) return 0;
    for (int i = 0; i < 2; i++) { /* schedule_delivery_time, validity_period */
        const uint8_t *from = i ? at : at + 3;
        if (from >= end || !(at = memchr(from, 0, (size_t)(end - from)))) return 0;
        at++;
    }
    if (end - at < 5 || end - at - 5 < at[4]) return 0;
    message->registered = at[0];
    message->text_length = at[2] ? 0 : at[4] < KEPT_TEXT ? at[4] : KEPT_TEXT;
    for (int i = 0; i < message->text_length; i++)
        message->text[i] = at[5 + i] >= 0x20 && at[5 + i] <= 0x7E ? at[5 + i] : '?';
    return 1;
}

static void keep(Connection *one, const Waiting *message) {
    if (one->ring_count > one->ring_mask || !one->ring) {
        size_t room = one->ring ? 2 * (one->ring_mask + 1) : 1024;
        Waiting *ring = grown(NULL, room * sizeof *ring);
        for (size_t i = 0; i < one->ring_count; i++) ring[i] = one->ring[(one->ring_first + i) & one->ring_mask];
        free(one->ring);
        one->ring = ring;
        one->ring_mask = room - 1;
        one->ring_first = 0;
    }
    one->ring[(one->ring_first + one->ring_count++) & one->ring_mask] = *message;
}

/* Wakes us when the next response is due. */
static void arm(void) {
    int64_t due = 0;
    for (int i = 0; i < MAX_EVENTS; i++)
        if (connections[i] && connections[i]->ring_count) {
            int64_t first = connections[i]->ring[connections[i]->ring_first].due_ns;
            if (!due || first < due) due = first;
        }
    if (due == armed_ns) return;
    struct itimerspec spec = {.it_value = {due / 1000000000, due % 1000000000}};
    if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &spec, NULL)) die("timerfd_settime");
    armed_ns = due;
}

static void drop(Connection *one) {
    printf("{\"submitted\": %lu, \"responses\": %lu, \"receipts\": %lu, \"acknowledged\": %lu, \"enquiries\": %lu}\n",
           one->submitted, one->responses, one->receipts, one->acknowledged, one->enquiries);
    fflush(stdout);
    for (int i = 0; i < MAX_EVENTS; i++)
        if (connections[i] == one) connections[i] = NULL;
    close(one->fd);
    free(one->in.data);
    free(one->out.data);
    free(one->ring);
    free(one);
}

/* Writes what waits. False: the connection is gone. */
static int flush(Connection *one) {
    while (one->out.size > one->out.start) {
        ssize_t n = write(one->fd, one->out.data + one->out.start, one->out.size - one->out.start);
        if (n < 0 && errno == EAGAIN) break;
        if (n < 0) {
            drop(one);
            return 0;
        }
        one->out.start += (size_t)n;
    }
    size_t left = one->out.size - one->out.start;
    if (one->closing && !left) {
        drop(one);
        return 0;
    }
    int writing = left > 0, reading = left < HIGH_WATER;
    if (writing != one->writing || reading != one->reading) {
        struct epoll_event event = {(reading ? EPOLLIN : 0) | (writing ? EPOLLOUT : 0), {.ptr = one}};
        epoll_ctl(epoll, EPOLL_CTL_MOD, one->fd, &event);
        one->writing = writing;
        one->reading = reading;
    }
    return 1;
}

static void take(Connection *one, const uint8_t *pdu, uint32_t size, int64_t due_ns, const char *when) {
    uint32_t command = get32(pdu + 4), sequence = get32(pdu + 12);
    Waiting message;
    switch (command) {
    case SUBMIT_SM:
        one->submitted++;
        if (!read_submit(pdu, size, &message)) {
            respond(one, SUBMIT_SM | RESPONSE, 0x08, sequence, "", 0);
            return;
        }
        message.id = ++last_id;
        message.sequence = sequence;
        message.due_ns = due_ns;
        if (due_ns) keep(one, &message);
        else answer(one, &message, when);
        return;
    case DELIVER_SM | RESPONSE:
        one->acknowledged += get32(pdu + 8) == 0;
        return;
    case BIND_RECEIVER: case BIND_TRANSMITTER: case BIND_TRANSCEIVER:
        respond(one, command | RESPONSE, 0, sequence, "sink\0\x02\x10\x00\x01\x34", 10);
        return;
    case ENQUIRE_LINK:
        one->enquiries++;
        respond(one, ENQUIRE_LINK | RESPONSE, 0, sequence, "", 0);
        return;
    case UNBIND:
        respond(one, UNBIND | RESPONSE, 0, sequence, "", 0);
        one->closing = 1;
        return;
    default:
        if (!(command & RESPONSE)) respond(one, RESPONSE, 3, sequence, "", 0); /* generic_nack, RINVCMDID */
    }
}

static void receive(Connection *one) {
    uint8_t *at = reserve(&one->in, READ_OCTETS);
    ssize_t n = read(one->fd, at, READ_OCTETS);
    if (n <= 0) {
        if (n < 0 && errno == EAGAIN) return;
        drop(one);
        return;
    }
    one->in.size += (size_t)n;
    int64_t due_ns = rtt_ns ? now_ns() + rtt_ns : 0;
    const char *when = date();
    long size;
    while (!one->closing && (size = whole(&one->in)) != 0) {
        if (size < 0) {
            drop(one);
            return;
        }
        take(one, one->in.data + one->in.start, (uint32_t)size, due_ns, when);
        one->in.start += (size_t)size;
    }
    flush(one);
}

static void release(void) {
    uint64_t ticks;
    if (read(timer, &ticks, sizeof ticks) < 0) return;
    armed_ns = 0;
    int64_t now = now_ns();
    const char *when = date();
    for (int i = 0; i < MAX_EVENTS; i++) {
        Connection *one = connections[i];
        if (!one || !one->ring_count) continue;
        while (one->ring_count && one->ring[one->ring_first].due_ns <= now) {
            answer(one, &one->ring[one->ring_first], when);
            one->ring_first = (one->ring_first + 1) & one->ring_mask;
            one->ring_count--;
        }
        flush(one);
    }
}

static void admit(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK), on = 1;
    if (fd < 0) return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    for (int i = 0; i < MAX_EVENTS; i++)
        if (!connections[i]) {
            Connection *one = calloc(1, sizeof *one);
            if (!one) die("memory");
            one->fd = fd;
            one->reading = 1;
            connections[i] = one;
            struct epoll_event event = {EPOLLIN, {.ptr = one}};
            epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
            return;
        }
    close(fd);
}

static void options(int argc, char **argv) {
    receipts = TEXT | TLV;
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *value = argv[i + 1];
        if (!strcmp(argv[i], "--rtt-us")) rtt_ns = atoll(value) * 1000;
        else if (strcmp(argv[i], "--receipts")) exit(2);
        else if (!strcmp(value, "none")) receipts = NO_RECEIPTS;
        else if (!strcmp(value, "text")) receipts = TEXT;
        else if (!strcmp(value, "tlv")) receipts = TLV;
        else if (strcmp(value, "both")) exit(2);
    }
}

int main(int argc, char **argv) {
    options(argc, argv);
    signal(SIGPIPE, SIG_IGN); /* a peer that went with answers on their way */
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof here;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, MAX_EVENTS)) die("listen");
    getsockname(listener, (struct sockaddr *)&here, &length);
    epoll = epoll_create1(0);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event on_listener = {EPOLLIN, {.ptr = &listener}}, on_timer = {EPOLLIN, {.ptr = &timer}};
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &on_listener);
    epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &on_timer);
    printf("{\"listening\": %d}\n", ntohs(here.sin_port));
    fflush(stdout);
    for (;;) {
        struct epoll_event events[MAX_EVENTS];
        int n = epoll_wait(epoll, events, MAX_EVENTS, -1), due = 0;
        for (int i = 0; i < n; i++) {
            void *what = events[i].data.ptr;
            if (what == &listener) admit(listener);
            else if (what == &timer) due = 1;
            else if (events[i].events & ~(uint32_t)EPOLLOUT) receive(what);
            else flush(what);
        }
        if (due) release(); /* it may drop a connection: none of these events may name it after that */
        if (rtt_ns) arm();
    }
}
