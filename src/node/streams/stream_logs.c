/*
 * kubectl logs: a container's log file, decoded from CRI form, from the end or from a time, with
 * follow. The file is read through descriptors that the broker opens.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/own.h"
#include "base/times.h"
#include "node/streams/cri_log.h"
#include "node/streams/stream.h"
#include "proto/websocket.h"

enum { READ_BYTES = 64 * 1024, POLL_MS = 50 };

struct log_stream {
    struct stream *s;
    struct agent *agent;
    const struct stream_request *request; /* as old as the stream */
    struct pod *pod;
    char *container;
    uint32_t attempt;
    bool follow, timestamps, limited, begun, opening, closed, last_partial, messages;
    int64_t tail_lines; /* −1 = all */
    int64_t since_ns;   /* 0 = all */
    uint64_t limit_bytes;
    int fd;
    off_t at;
    struct buf line; /* an incomplete line of the file */
    struct timer *poll;
    ino_t inode;
    int callbacks; /* broker calls in flight */
};

static void pump(void *user);

static void maybe_free(struct log_stream *l) {
    if (!l->closed || l->callbacks) return;
    timer_free(l->poll);
    close_p(&l->fd);
    buf_done(&l->line);
    free(l->container);
    pod_unref(l->pod);
    free(l);
}

static void on_closed(void *user) {
    struct log_stream *l = user;
    l->closed = true;
    timer_stop(l->poll);
    maybe_free(l);
}

static void on_drain(void *user) { pump(user); }

static const struct stream_ops ops = {NULL, on_drain, on_closed};

/* ---- output ---- */

static void log_end(struct log_stream *l) {
    if (l->messages)
        stream_close(l->s, WEBSOCKET_NORMAL);
    else
        stream_end(l->s);
}

static void put(struct log_stream *l, struct slice s) {
    if (l->limited) s.n = (size_t)MIN_OF((uint64_t)s.n, l->limit_bytes);
    if (s.n && l->messages)
        stream_message(l->s, s);
    else if (s.n)
        stream_write(l->s, s);
    if (l->limited) l->limit_bytes -= s.n;
}

static void put_line(struct log_stream *l, const struct cri_line *c, struct buf *out) {
    int64_t ns;
    if (l->since_ns) {
        char t[TIME_TEXT_MAX + 8];
        size_t n = MIN_OF(c->time.n, sizeof t - 1);
        memcpy(t, c->time.p, n);
        t[n] = 0;
        if (time_parse(t, &ns) == 0 && ns < l->since_ns) return;
    }
    if (l->timestamps && !l->last_partial) {
        buf_slice(out, c->time);
        buf_char(out, ' ');
    }
    buf_slice(out, c->message);
    if (!c->partial) buf_char(out, '\n');
    l->last_partial = c->partial;
}

/* Decodes the complete lines of what was read. */
static void decode(struct log_stream *l, struct slice bytes) {
    OWN(buf_done) struct buf out = {0};
    buf_slice(&l->line, bytes);
    size_t used = 0;
    while (used < l->line.n) {
        const char *nl = memchr(l->line.p + used, '\n', l->line.n - used);
        if (!nl) break;
        size_t n = (size_t)(nl - (l->line.p + used));
        struct cri_line c;
        if (cri_line_parse(slice_from(l->line.p + used, n), &c) == 0) put_line(l, &c, &out);
        used += n + 1;
    }
    buf_consume(&l->line, used);
    if (l->line.n > LIMIT_LOG_FILE_BYTES) buf_clear(&l->line);
    put(l, buf_view(&out));
}

/* ---- tail: the offset where the last n lines begin ---- */

static off_t tail_offset(int fd, off_t size, int64_t lines) {
    char tmp[READ_BYTES];
    off_t end = size;
    if (lines == 0) return size;
    while (end > 0) {
        off_t from = end > READ_BYTES ? end - READ_BYTES : 0;
        ssize_t n = pread(fd, tmp, (size_t)(end - from), from);
        if (n <= 0) return 0;
        for (ssize_t i = n; i-- > 0;) {
            if (tmp[i] != '\n' || from + i == size - 1) continue;
            /* a line that ends here; parts of a line are not counted */
            if (--lines == 0) return from + i + 1;
        }
        end = from;
    }
    return 0;
}

/* ---- reading ---- */

static bool ended(const struct log_stream *l) {
    const struct container *c = pod_container(l->pod, l->container);
    return !c || l->pod->state >= POD_TEARDOWN || c->attempt != l->attempt || !container_alive(c);
}

static void on_reopened(void *user, struct ipc_msg *m, const struct err *err);

static void open_log(struct log_stream *l, link_reply_fn *fn) {
    OWN(buf_done) struct buf b = {0};
    pack_str(&b, l->pod->uid);
    pack_str(&b, l->pod->ns);
    pack_str(&b, l->pod->name);
    pack_str(&b, l->container);
    pack_u32(&b, l->attempt);
    l->callbacks++;
    l->opening = true;
    link_call(l->agent->broker, BROKER_LOG_OPEN, buf_view(&b), NULL, 0, fn, l);
}

static void at_end(struct log_stream *l, bool was_ended) {
    if (!l->follow || was_ended) {
        log_end(l);
        return;
    }
    if (l->at >= LIMIT_LOG_FILE_BYTES / 2) {
        open_log(l, on_reopened);
        return;
    }
    timer_start(l->poll, POLL_MS, 0);
}

static void pump(void *user) {
    struct log_stream *l = user;
    char tmp[READ_BYTES];
    if (l->closed || l->opening || l->fd < 0) return;
    for (;;) {
        bool was_ended = ended(l); /* before the read: what is written later is read again */
        if (l->limited && !l->limit_bytes) {
            log_end(l);
            return;
        }
        if (stream_queued(l->s) > STREAM_HIGH_BYTES) return; /* drain() goes on */
        ssize_t n = pread(l->fd, tmp, sizeof tmp, l->at);
        if (n <= 0) {
            at_end(l, was_ended);
            return;
        }
        l->at += n;
        decode(l, slice_from(tmp, (size_t)n));
        if (l->closed) return;
    }
}

/* Chunks of text, or WebSocket messages (binary.k8s.io) for those who ask for an upgrade. */
static bool log_begin(struct log_stream *l) {
    static const char *const protocols[] = {"binary.k8s.io", NULL};
    const char *protocol;
    struct err err = {0};
    if (!http_header(&l->request->headers, "upgrade")) {
        stream_begin(l->s, 200, "text/plain");
        return true;
    }
    if (stream_upgrade(l->s, protocols, &protocol, &err) < 0) {
        stream_fail(l->s, &err);
        return false;
    }
    l->messages = true;
    return true;
}

static void on_reopened(void *user, struct ipc_msg *m, const struct err *err) {
    struct log_stream *l = user;
    struct stat st;
    l->callbacks--;
    l->opening = false;
    if (!err && m->n_fds && fstat(m->fds[0], &st) == 0 && st.st_ino != l->inode && !l->closed) {
        close_p(&l->fd);
        l->fd = m->fds[0];
        m->fds[0] = -1;
        l->inode = st.st_ino;
        l->at = 0;
    }
    if (l->closed)
        maybe_free(l);
    else
        timer_start(l->poll, POLL_MS, 0);
}

static void on_opened(void *user, struct ipc_msg *m, const struct err *err) {
    struct log_stream *l = user;
    struct stat st;
    l->callbacks--;
    l->opening = false;
    if (l->closed) {
        maybe_free(l);
        return;
    }
    if (!err && (!m->n_fds || fstat(m->fds[0], &st) < 0)) {
        struct err bad;
        err_set(&bad, ERR_INTERNAL, "malformed answer of the broker");
        stream_fail(l->s, &bad);
        return;
    }
    if (err) {
        stream_fail(l->s, err);
        return;
    }
    l->fd = m->fds[0];
    m->fds[0] = -1;
    l->inode = st.st_ino;
    if (l->tail_lines >= 0) l->at = tail_offset(l->fd, st.st_size, l->tail_lines);
    if (log_begin(l)) pump(l);
}

/* ---- the request ---- */

static int number(const struct http_query *q, const char *key, int64_t min, int64_t *ret,
                  struct err *err) {
    const char *v = http_query_get(q, key);
    uint64_t n;
    if (!v) return 0;
    if (slice_u64(slice_of(v), &n) < 0 || n > INT64_MAX || (int64_t)n < min)
        return err_set(err, ERR_BAD_REQUEST, "invalid value for %s: \"%s\"", key, v);
    *ret = (int64_t)n;
    return 0;
}

static int options(struct log_stream *l, const struct http_query *q, struct err *err) {
    int64_t since_s = 0, limit = 0;
    const char *since = http_query_get(q, "sinceTime");
    l->follow = stream_flag(q, "follow");
    l->timestamps = stream_flag(q, "timestamps");
    l->tail_lines = -1;
    int rc = number(q, "tailLines", 0, &l->tail_lines, err);
    if (rc >= 0) rc = number(q, "sinceSeconds", 1, &since_s, err);
    if (rc >= 0) rc = number(q, "limitBytes", 1, &limit, err);
    if (rc < 0) return rc;
    if (since && since_s)
        return err_set(err, ERR_BAD_REQUEST,
                       "at most one of sinceTime or sinceSeconds may be "
                       "specified");
    if (since && time_parse(since, &l->since_ns) < 0)
        return err_set(err, ERR_BAD_REQUEST, "invalid value for sinceTime: \"%s\"", since);
    if (since_s > 0 && since_s < INT64_MAX / 1000000000)
        l->since_ns = loop_wall_ns(l->agent->loop) - since_s * 1000000000;
    l->limited = limit > 0;
    l->limit_bytes = (uint64_t)limit;
    return 0;
}

/* Which run is asked for; upstream's words when there is none. */
static int choose_run(const struct container *c, bool previous, uint32_t *ret, struct err *err) {
    const char *pod = c->pod->name;
    bool has_run = container_alive(c) || c->state == CONTAINER_TERMINATED;
    if (previous) {
        uint32_t attempt = c->attempt;
        if (c->state == CONTAINER_TERMINATED && c->wait_reason) {
            *ret = attempt; /* the next run has not begun: this one is the previous */
            return 0;
        }
        if (!attempt)
            return err_set(err, ERR_BAD_REQUEST,
                           "previous terminated container \"%s\" in pod \"%s\" "
                           "not found",
                           c->name, pod);
        *ret = attempt - 1;
        return 0;
    }
    if (!has_run || c->state == CONTAINER_STARTING) {
        bool pulling =
            str_eq(c->wait_reason, "ErrImagePull") || str_eq(c->wait_reason, "ImagePullBackOff");
        const char *why = c->wait_reason ? c->wait_reason
                          : c->kind == CONTAINER_MAIN && !c->pod->initialized &&
                                  c->pod->containers[0]->kind != CONTAINER_MAIN
                              ? "PodInitializing"
                              : "ContainerCreating";
        if (pulling)
            return err_set(err, ERR_BAD_REQUEST,
                           "container \"%s\" in pod \"%s\" is waiting to start: "
                           "trying and failing to pull image",
                           c->name, pod);
        return err_set(err, ERR_BAD_REQUEST,
                       "container \"%s\" in pod \"%s\" is waiting to start: %s", c->name, pod, why);
    }
    *ret = c->attempt;
    return 0;
}

void stream_logs(struct agent *g, struct stream *s, const struct stream_request *r) {
    struct pod *p = NULL;
    struct container *c = NULL;
    struct err err = {0};
    uint32_t attempt = 0;
    if (stream_target(g, r, stream_arena(s), &p, &c, &err) < 0 ||
        choose_run(c, stream_flag(&r->query, "previous"), &attempt, &err) < 0) {
        stream_fail(s, &err);
        return;
    }
    struct log_stream *l = calloc(1, sizeof *l);
    if (!l) abort();
    *l = (struct log_stream){
        .s = s, .agent = g, .request = r, .pod = p, .attempt = attempt, .fd = -1};
    l->container = strdup(c->name);
    l->poll = timer_new(g->loop, pump, l);
    pod_ref(p);
    stream_set(s, &ops, l);
    if (options(l, &r->query, &err) < 0) {
        stream_fail(s, &err);
        return;
    }
    open_log(l, on_opened);
}
