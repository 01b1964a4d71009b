/* The file of the audit log: a queue in memory, one write per turn of the loop, rotation. */
#include <errno.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/own.h"
#include "server/auth/audit.h"

enum { COPY_BYTES = 64 * 1024, CUT_BYTES = 256 * 1024 }; /* at a time */

static struct {
    struct loop *loop;
    int fd, old_fd; /* of audit.log and audit.log.1, opened before the sandbox closed */
    struct buf queue;
    bool flush_due, rotating, cutting;
    off_t size, copied;
    struct audit_counts counts;
} out = {.fd = -1, .old_fd = -1};

struct audit_counts audit_counts(void) {
    return out.counts;
}

static int open_log(const char *root, const char *name, int append, int *ret, struct err *err) {
    OWN(buf_done) struct buf path = {0};
    buf_printf(&path, "%s/var/log/atoll/%s", root, name);
    *ret = open(path.p, O_RDWR | O_CREAT | append | O_CLOEXEC | O_NOFOLLOW, 0600);
    return *ret < 0 ? err_errno(err, errno, "%s", path.p) : 0;
}

int audit_log_open(const char *root, struct err *err) {
    struct stat st;
    int rc = open_log(root, "audit.log", O_APPEND, &out.fd, err);
    if (rc == 0) rc = open_log(root, "audit.log.1", 0, &out.old_fd, err); /* for sendfile */
    if (rc == 0 && fstat(out.fd, &st) == 0) out.size = st.st_size;
    return rc;
}

void audit_log_start(struct loop *l) { out.loop = l; }

void audit_log_close(void) {
    close(out.fd);
    close(out.old_fd);
    buf_done(&out.queue);
    out.fd = out.old_fd = -1;
}

static void flush_later(void);

static void drop_queue(const char *why) {
    uint64_t lines = 0;
    for (size_t i = 0; i < out.queue.n; i++) lines += out.queue.p[i] == '\n';
    if (!out.counts.dropped) log_error("audit_lines_dropped", "reason=\"%s\"", why);
    out.counts.dropped += lines;
    buf_clear(&out.queue);
}

/* What the other file had is written over, which costs less than to free it first. */
static void copy_some(void) {
    off_t at = out.copied;
    ssize_t n = lseek(out.old_fd, at, SEEK_SET) < 0
                    ? -1
                    : sendfile(out.old_fd, out.fd, &out.copied, COPY_BYTES);
    if (n > 0) return;
    if (n != 0) log_warn("audit_log_not_kept", "errno=%d", errno);
    if (ftruncate(out.old_fd, at) < 0) log_warn("audit_log_not_cut", "errno=%d", errno);
    out.cutting = true;
    out.copied = 0;
}

static void cut_some(void) {
    off_t left = out.size > CUT_BYTES ? out.size - CUT_BYTES : 0;
    bool failed = ftruncate(out.fd, left) < 0;
    if (failed) log_warn("audit_log_not_cut", "errno=%d", errno);
    if (!failed) out.size = left;
    if (left == 0 || failed) out.rotating = out.cutting = false;
}

/* A slice of each turn: to free 64 MiB at once takes 10 ms. Lines wait in the queue meanwhile. */
static void rotate_some(void *user) {
    uint64_t until = loop_slice_end(out.loop, CLOCK_SLICE_NS);
    do {
        out.cutting ? cut_some() : copy_some();
    } while (out.rotating && clock_span_ns() < until);
    if (out.rotating)
        loop_defer(out.loop, rotate_some, NULL);
    else
        flush_later();
}

static void flush(void *user) {
    out.flush_due = false;
    if (out.rotating || !out.queue.n) return;
    ssize_t n = write(out.fd, out.queue.p, out.queue.n);
    if (n < 0) {
        drop_queue(strerror(errno));
        return;
    }
    out.size += n;
    buf_consume(&out.queue, (size_t)n);
    if (out.queue.n) drop_queue("the disk is full"); /* a line cut in two is ended by the next */
    if (out.size < LIMIT_AUDIT_FILE_BYTES) return;
    out.rotating = true;
    loop_defer(out.loop, rotate_some, NULL);
}

static void flush_later(void) {
    if (out.flush_due) return;
    out.flush_due = true;
    loop_defer(out.loop, flush, NULL);
}

void audit_log_line(struct slice line) {
    if (out.fd < 0) return;
    out.counts.events++;
    if (out.queue.n + line.n + 1 > LIMIT_AUDIT_QUEUE_BYTES) {
        out.counts.dropped++;
        return;
    }
    buf_slice(&out.queue, line);
    buf_char(&out.queue, '\n');
    flush_later();
}
