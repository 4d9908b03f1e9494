/* Preloaded into a program under test: moves its wall clock, and fills its disk, as a shared page says.
 * The monotonic clock is left alone: it does not step in life either. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct page { int64_t offset_ns; int64_t disk_full; };
static volatile struct page none, *page = &none;

__attribute__((constructor)) static void open_page(void) {
    const char *path = getenv("HELIOGRAPH_CHAOS_PAGE");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *found = file < 0 ? MAP_FAILED : mmap(0, sizeof(struct page), PROT_READ, MAP_SHARED, file, 0);
    if (found != MAP_FAILED) page = found;
    if (file >= 0) close(file);
}

#define NEXT(name) \
    static __typeof__(&name) next; \
    if (!next) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

int clock_gettime(clockid_t clock, struct timespec *at) {
    NEXT(clock_gettime);
    int result = next(clock, at);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t ns = at->tv_sec * INT64_C(1000000000) + at->tv_nsec + page->offset_ns;
        at->tv_sec = ns / 1000000000;
        at->tv_nsec = ns % 1000000000;
    }
    return result;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}

/* A full disk: what would make a file longer fails; what is there can be overwritten. */
static int refuse(int file, off_t offset, size_t size) {
    off_t end;
    if (!page->disk_full || size == 0) return 0;
    end = lseek(file, 0, SEEK_CUR) < 0 ? -1 : 0;  /* a pipe or a socket has no end */
    if (end < 0) return 0;
    if (offset < 0) offset = lseek(file, 0, SEEK_CUR);
    {
        off_t here = lseek(file, 0, SEEK_CUR), last = lseek(file, 0, SEEK_END);
        lseek(file, here, SEEK_SET);
        if (offset + (off_t)size <= last) return 0;
    }
    errno = ENOSPC;
    return 1;
}

ssize_t write(int file, const void *data, size_t size) {
    NEXT(write);
    return refuse(file, -1, size) ? -1 : next(file, data, size);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t offset) {
    NEXT(pwrite);
    return refuse(file, offset, size) ? -1 : next(file, data, size, offset);
}

ssize_t pwritev(int file, const struct iovec *pieces, int count, off_t offset) {
    NEXT(pwritev);
    size_t size = 0;
    for (int i = 0; i < count; i++) size += pieces[i].iov_len;
    return refuse(file, offset, size) ? -1 : next(file, pieces, count, offset);
}

ssize_t pwrite64(int file, const void *data, size_t size, off_t offset) {
    return pwrite(file, data, size, offset);
}

ssize_t pwritev64(int file, const struct iovec *pieces, int count, off_t offset) {
    return pwritev(file, pieces, count, offset);
}

int posix_fallocate(int file, off_t offset, off_t size) {
    NEXT(posix_fallocate);
    return page->disk_full ? ENOSPC : next(file, offset, size);
}

int posix_fallocate64(int file, off_t offset, off_t size) {
    return posix_fallocate(file, offset, size);
}
