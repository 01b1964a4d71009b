/* Container logs in the CRI format: `<RFC 3339 with nine digits> <stream> <F|P> <line>\n`
 * (kubernetes/cri-api; read by `kubectl logs`), with rotation name, name.1 … by size. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h> /* rename only */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim.h"

enum { OUT_BYTES = 32 * 1024, STAMP_BYTES = 30, TAG_BYTES = 12 };

/* Records on their way to a file. One for the whole process: it is empty between two calls. */
static char out[OUT_BYTES];
static size_t n_out;

static int open_file(struct log *l) {
    l->fd = open(l->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (l->fd < 0) return errno;
    struct stat st;
    l->size_bytes = fstat(l->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
    return 0;
}

int log_open(struct log *l, char *path, uint64_t limit_bytes, uint32_t files) {
    l->path = path;
    l->limit_bytes = limit_bytes;
    l->files = files;
    return open_file(l);
}

void log_close(struct log *l) {
    if (l->fd >= 0) close(l->fd);
    l->fd = -1;
    free(l->path);
    l->path = NULL;
}

static void numbered(char *to, const char *path, size_t n, uint32_t number) {
    memcpy(to, path, n);
    if (number) {
        to[n++] = '.';
        n += put_u64(to + n, number);
    }
    to[n] = 0;
}

static void rotate(struct log *l) {
    size_t n = strlen(l->path);
    char *from = malloc(n + 24), *to = malloc(n + 24);
    if (from && to) {
        for (uint32_t i = l->files - 1; i > 0; i--) {
            numbered(from, l->path, n, i - 1);
            numbered(to, l->path, n, i);
            rename(from, to);
        }
        if (l->files == 1) unlink(l->path);
    }
    free(from);
    free(to);
    close(l->fd);
    open_file(l);
}

static void flush(struct log *l) {
    if (n_out && l->files && l->size_bytes && l->size_bytes + n_out > l->limit_bytes) rotate(l);
    if (l->fd < 0) open_file(l);
    for (size_t at = 0; at < n_out && l->fd >= 0;) {
        ssize_t w = write(l->fd, out + at, n_out - at);
        if (w < 0 && errno == EINTR) continue;
        if (w <= 0) break; /* disk full: these records are lost, the container goes on */
        at += (size_t)w;
        l->size_bytes += (uint64_t)w;
    }
    n_out = 0;
}

static void put_digits(char *to, unsigned n, uint64_t v) {
    while (n--) {
        to[n] = (char)('0' + v % 10);
        v /= 10;
    }
}

/* Civil date from days since 1970 (H. Hinnant, "chrono-compatible low-level date algorithms"). */
static void put_stamp(char *to, int64_t ns) {
    int64_t s = ns / 1000000000;
    uint64_t days = (uint64_t)(s / 86400) + 719468, day_s = (uint64_t)(s % 86400);
    uint64_t era = days / 146097, doe = days % 146097;
    uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    uint64_t month = mp < 10 ? mp + 3 : mp - 9;
    memcpy(to, "0000-00-00T00:00:00.000000000Z", STAMP_BYTES);
    put_digits(to, 4, yoe + era * 400 + (month <= 2));
    put_digits(to + 5, 2, month);
    put_digits(to + 8, 2, doy - (153 * mp + 2) / 5 + 1);
    put_digits(to + 11, 2, day_s / 3600);
    put_digits(to + 14, 2, day_s / 60 % 60);
    put_digits(to + 17, 2, day_s % 60);
    put_digits(to + 20, 9, (uint64_t)(ns % 1000000000));
}

static void put_record(struct log *l, const char *stamp, const char *stream, char tag,
                       const char *line, size_t n) {
    if (n_out + STAMP_BYTES + TAG_BYTES + n > OUT_BYTES) flush(l);
    memcpy(out + n_out, stamp, STAMP_BYTES);
    n_out += STAMP_BYTES;
    out[n_out++] = ' ';
    size_t n_stream = strlen(stream);
    memcpy(out + n_out, stream, n_stream);
    n_out += n_stream;
    out[n_out++] = ' ';
    out[n_out++] = tag;
    out[n_out++] = ' ';
    memcpy(out + n_out, line, n);
    n_out += n;
    out[n_out++] = '\n';
}

size_t log_lines(struct log *l, const char *stream, const char *pending, size_t n, bool final) {
    char stamp[STAMP_BYTES];
    put_stamp(stamp, wall_ns());
    size_t at = 0;
    while (at < n) {
        const char *end = memchr(pending + at, '\n', n - at);
        size_t len = end ? (size_t)(end - (pending + at)) : n - at;
        if (len > SHIM_LINE_BYTES_MAX || (!end && len == SHIM_LINE_BYTES_MAX)) {
            put_record(l, stamp, stream, 'P', pending + at, SHIM_LINE_BYTES_MAX);
            at += SHIM_LINE_BYTES_MAX;
        } else if (end) {
            put_record(l, stamp, stream, 'F', pending + at, len);
            at += len + 1;
        } else if (final) { /* it never got its newline, and readers add none */
            put_record(l, stamp, stream, 'P', pending + at, len);
            at += len;
        } else {
            break;
        }
    }
    flush(l);
    return at;
}
