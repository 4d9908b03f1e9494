/* The limit client: the smallest loop that keeps a window full. It knows its PDUs beforehand and keeps nothing
 * about a message but that it is out.
 *
 *   client PORT COUNT WINDOW RECEIPTS PDUS
 *
 * PDUS: a file of submit_sm with sequence_numbers from 1, more of them than the window; sent over and over.
 * RECEIPTS: 1 to wait for one deliver_sm a message, each acknowledged. Prints one JSON line; the clock runs from
 * the bind's response to the last response or receipt. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "pdu.h"

static int peer;
static uint8_t *pdus; /* of the file */
static size_t *ends;  /* of each of its PDUs */
static size_t known;
static Buffer in, acknowledgements;
static uint64_t count, window, sent, answered, accepted, receipts, reads, writes;
static size_t cut; /* octets of PDU `sent` that are written already */

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double cpu_seconds(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void load(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) die(path);
    size_t size = (size_t)ftell(file);
    rewind(file);
    pdus = grown(NULL, size);
    if (fread(pdus, 1, size, file) != size) die(path);
    fclose(file);
    for (size_t at = 0; at < size; known++) {
        at += get32(pdus + at);
        if (known % 4096 == 0) ends = grown(ends, (known + 4096) * sizeof *ends);
        ends[known] = at;
    }
    if (known <= window) exit(2);
}

/* Handles what was read; returns false where the peer does not keep to the protocol. */
static int understand(void) {
    long size;
    while ((size = whole(&in)) > 0) {
        const uint8_t *pdu = in.data + in.start;
        uint32_t command = get32(pdu + 4);
        if (command == (SUBMIT_SM | RESPONSE)) {
            answered++;
            accepted += get32(pdu + 8) == 0;
        } else if (command == DELIVER_SM) {
            receipts++;
            uint8_t *out = reserve(&acknowledgements, 17);
            put_header(out, 17, DELIVER_SM | RESPONSE, 0, get32(pdu + 12));
            out[16] = 0;
            acknowledgements.size += 17;
        }
        in.start += (size_t)size;
    }
    return size == 0;
}

static size_t begin_of(uint64_t message) { return message % known ? ends[message % known - 1] : 0; }

/* One write of the acknowledgements and all that the window takes, up to the end of the file's PDUs. */
static void send_some(void) {
    uint64_t stop = answered + window < count ? answered + window : count;
    struct iovec parts[2];
    int n = 0;
    size_t acks = acknowledgements.size - acknowledgements.start;
    if (acks && !cut) parts[n++] = (struct iovec){acknowledgements.data + acknowledgements.start, acks};
    else acks = 0;
    if (sent < stop) {
        uint64_t last = sent + (known - sent % known) < stop ? sent + (known - sent % known) : stop;
        size_t from = begin_of(sent) + cut;
        parts[n++] = (struct iovec){pdus + from, ends[(last - 1) % known] - from};
    }
    if (!n) return;
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)n};
    ssize_t wrote = sendmsg(peer, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    writes++;
    if (wrote < 0 && errno == EAGAIN) return;
    if (wrote < 0) die("write");
    size_t left = (size_t)wrote;
    if (left < acks) {
        acknowledgements.start += left;
        return;
    }
    acknowledgements.start += acks;
    left -= acks;
    while (left) {
        size_t size = ends[sent % known] - begin_of(sent) - cut;
        if (left < size) {
            cut += left;
            return;
        }
        left -= size;
        cut = 0;
        sent++;
    }
}

static int unwritten(void) {
    uint64_t stop = answered + window < count ? answered + window : count;
    return sent < stop || acknowledgements.size > acknowledgements.start;
}

static void read_some(int wait) {
    uint8_t *at = reserve(&in, READ_OCTETS);
    ssize_t n = recv(peer, at, READ_OCTETS, wait ? 0 : MSG_DONTWAIT);
    reads++;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) die("the peer is gone");
    in.size += (size_t)n;
    if (!understand()) die("no PDU");
}

static void connect_and_bind(int port) {
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1;
    peer = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(peer, (struct sockaddr *)&there, sizeof there)) die("connect");
    setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    uint8_t bind[] = "................limit\0\0\0\x34\0\0"; /* and the array's own NUL */
    put_header(bind, sizeof bind, BIND_TRANSCEIVER, 0, 1);
    if (write(peer, bind, sizeof bind) != sizeof bind) die("bind");
    reserve(&in, READ_OCTETS);
    while (!whole(&in)) {
        ssize_t n = read(peer, in.data + in.size, in.room - in.size);
        if (n <= 0) die("bind");
        in.size += (size_t)n;
    }
    if (get32(in.data + 4) != (BIND_TRANSCEIVER | RESPONSE) || get32(in.data + 8)) exit(3);
    in.start = (size_t)whole(&in);
}

int main(int argc, char **argv) {
    if (argc != 6) exit(2);
    count = strtoull(argv[2], NULL, 10);
    window = strtoull(argv[3], NULL, 10);
    uint64_t due = atoi(argv[4]) ? count : 0;
    load(argv[5]);
    connect_and_bind(atoi(argv[1]));
    double began = seconds(), cpu = cpu_seconds();
    while (answered < count || receipts < due) {
        send_some();
        if (unwritten()) {
            struct pollfd both = {peer, POLLIN | POLLOUT, 0};
            poll(&both, 1, -1);
            if (both.revents & POLLIN) read_some(0);
        } else {
            read_some(1);
        }
    }
    double took = seconds() - began;
    while (acknowledgements.size > acknowledgements.start) send_some();
    printf("{\"messages\": %lu, \"accepted\": %lu, \"receipts\": %lu, \"seconds\": %.6f, \"cpu_s\": %.6f, "
           "\"reads\": %lu, \"writes\": %lu}\n",
           answered, accepted, receipts, took, cpu_seconds() - cpu, reads, writes);
    uint8_t unbind[HEADER];
    put_header(unbind, HEADER, UNBIND, 0, 0x7FFFFFFF);
    if (write(peer, unbind, HEADER) != HEADER) return 1;
    while (recv(peer, in.data, in.room, 0) > 0) continue;
    return 0;
}
