/* Connections: frames in, replies, events and attach output out. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shim.h"

struct conn {
    struct source source; /* first member */
    struct conn *next;
    struct bytes in, out;
    struct container *attached;
    bool attach;  /* an attach stream, even after its container is gone */
    bool deaf;    /* nothing can be sent any more */
    bool dead;    /* closed, waits for the end of the current call to be freed */
    bool closing; /* close when everything is written */
};

static struct conn *conns;
static struct source listener;

static void conn_close(struct conn *c) {
    source_close(&c->source);
    c->dead = true;
    struct container *k = c->attached;
    c->attached = NULL;
    if (k && (k->flags & SHIM_FLAG_STDIN_ONCE)) container_input_end(k);
    for (struct container *s = containers; s; s = s->next)
        if (s->starter == c) s->starter = NULL;
}

static void conns_sweep(void) {
    for (struct conn **p = &conns; *p;) {
        struct conn *c = *p;
        if (!c->dead) {
            p = &c->next;
            continue;
        }
        *p = c->next;
        bytes_free(&c->in);
        bytes_free(&c->out);
        free(c);
    }
}

static void conn_events(struct conn *c) {
    if (c->dead) return;
    bool paused = c->attached && container_input_full(c->attached);
    source_set(&c->source, (paused ? 0u : EPOLLIN) | (c->out.n ? EPOLLOUT : 0u));
}

static void conn_flush(struct conn *c) {
    while (!c->dead && c->out.n) {
        ssize_t w = send(c->source.fd, c->out.p, c->out.n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (w < 0 && errno == EINTR) continue;
        if (w < 0 && errno == EAGAIN) break;
        if (w < 0) { /* the peer left; what it asked before is still to be read, then the end */
            c->deaf = true;
            bytes_free(&c->out);
        } else {
            bytes_drop(&c->out, (size_t)w);
        }
    }
    if (!c->dead && !c->out.n && c->closing) conn_close(c);
    conn_events(c);
}

static void put_frame(struct conn *c, uint16_t type, uint32_t id, const void *body, size_t n) {
    if (c->deaf) return;
    bytes_u32(&c->out, (uint32_t)n);
    bytes_u32(&c->out, type);
    bytes_u32(&c->out, id);
    bytes_add(&c->out, body, n);
}

void conn_reply(struct conn *c, uint16_t type, uint32_t id, const void *body, size_t n) {
    if (c->dead) return;
    put_frame(c, type, id, body, n);
    conn_flush(c);
}

void conn_broadcast_started(const struct container *k) {
    struct bytes b = {0};
    bytes_str(&b, k->id, strlen(k->id));
    bytes_u32(&b, (uint32_t)k->pid);
    for (struct conn *c = conns; c; c = c->next)
        if (!c->attach && c != k->starter) conn_reply(c, SHIM_STARTED, 0, b.p, b.n);
    bytes_free(&b);
}

void conn_broadcast_exit(const struct container *k) {
    struct bytes b = {0};
    bytes_str(&b, k->id, strlen(k->id));
    bytes_u32(&b, k->exit_code);
    bytes_u32(&b, k->exit_signal);
    bytes_u64(&b, (uint64_t)k->started_ns);
    bytes_u64(&b, (uint64_t)k->finished_ns);
    for (struct conn *c = conns; c; c = c->next) {
        if (c->dead || c == k->starter || (c->attach && c->attached != k)) continue;
        c->closing |= c->attach;
        conn_reply(c, SHIM_EXITED, 0, b.p, b.n);
    }
    bytes_free(&b);
}

void conn_output(const struct container *k, enum stream_name name, const char *p, size_t n) {
    for (struct conn *c = conns; c; c = c->next) {
        if (c->dead || c->attached != k) continue;
        if (c->out.n + n > SHIM_ATTACH_QUEUE_BYTES) {
            conn_close(c);
            continue;
        }
        conn_reply(c, name == STREAM_STDOUT ? SHIM_STDOUT : SHIM_STDERR, 0, p, n);
    }
}

void conn_forget_container(const struct container *k) {
    for (struct conn *c = conns; c; c = c->next) {
        if (c->attached != k) continue;
        c->attached = NULL;
        c->closing = true;
        conn_flush(c);
    }
}

/* ---- requests ---- */

static void done(struct conn *c, uint32_t id, int error) {
    struct bytes b = {0};
    if (error) bytes_u32(&b, (uint32_t)error);
    conn_reply(c, error ? SHIM_FAILED : SHIM_DONE, id, b.p, b.n);
    bytes_free(&b);
}

static void start_free(struct start *s) {
    free(s->id);
    free(s->log_path);
    free(s->pid_file);
    free(s->exit_file);
    free(s->console);
    for (uint32_t i = 0; i < s->n_args; i++) free(s->args[i]);
}

static void on_start(struct conn *c, uint32_t id, struct reader *r) {
    struct start s = {0};
    s.id = read_str(r, SHIM_ID_BYTES_MAX);
    s.flags = read_u8(r);
    s.log_path = read_str(r, SHIM_PATH_BYTES_MAX);
    s.log_bytes = read_u64(r);
    s.log_files = read_u32(r);
    s.pid_file = read_str(r, SHIM_PATH_BYTES_MAX);
    s.exit_file = read_str(r, SHIM_PATH_BYTES_MAX);
    s.console = read_str(r, SHIM_PATH_BYTES_MAX);
    uint32_t n = read_u32(r);
    r->bad |= n == 0 || n > SHIM_ARGS_MAX || s.log_files > 100;
    while (!r->bad && s.n_args < n) {
        s.args[s.n_args] = read_str(r, SHIM_PATH_BYTES_MAX);
        s.n_args += s.args[s.n_args] != NULL;
    }
    int e = r->bad || r->n ? EINVAL : container_start(&s, c, id);
    if (e) done(c, id, e);
    start_free(&s);
}

static void on_signal(struct conn *c, uint32_t id, struct reader *r) {
    char *name = read_str(r, SHIM_ID_BYTES_MAX);
    uint32_t number = read_u32(r);
    struct container *k = name ? container_find(name) : NULL;
    int e = 0;
    if (r->bad || number > 64) {
        e = EINVAL;
    } else if (!k || k->state != CONTAINER_RUNNING) {
        e = ESRCH;
    } else if (kill(k->pid, (int)number) < 0) {
        e = errno;
    }
    done(c, id, e);
    free(name);
}

static void on_remove(struct conn *c, uint32_t id, struct reader *r) {
    char *name = read_str(r, SHIM_ID_BYTES_MAX);
    struct container *k = name ? container_find(name) : NULL;
    int e = r->bad ? EINVAL : k && k->state != CONTAINER_EXITED ? EBUSY : 0;
    if (k && !e) container_free(k);
    done(c, id, e);
    free(name);
}

static void on_list(struct conn *c, uint32_t id, struct reader *r) {
    (void)r;
    struct bytes b = {0};
    uint32_t n = 0;
    for (struct container *k = containers; k; k = k->next) n++;
    bytes_u32(&b, n);
    for (struct container *k = containers; k; k = k->next) {
        bytes_str(&b, k->id, strlen(k->id));
        bytes_add(&b, k->state == CONTAINER_EXITED ? "\0" : "\1", 1);
        bytes_u32(&b, (uint32_t)k->pid);
        bytes_u32(&b, k->exit_code);
        bytes_u32(&b, k->exit_signal);
        bytes_u64(&b, (uint64_t)k->started_ns);
        bytes_u64(&b, (uint64_t)k->finished_ns);
    }
    conn_reply(c, SHIM_LIST_OK, id, b.p, b.n);
    bytes_free(&b);
}

static void on_quit(struct conn *c, uint32_t id, struct reader *r) {
    (void)c, (void)id, (void)r;
    container_kill_all();
    _exit(0);
}

static void on_attach(struct conn *c, uint32_t id, struct reader *r) {
    char *name = read_str(r, SHIM_ID_BYTES_MAX);
    struct container *k = name ? container_find(name) : NULL;
    free(name);
    if (r->bad || !k || k->state == CONTAINER_EXITED) {
        done(c, id, r->bad ? EINVAL : ESRCH);
        return;
    }
    c->attach = true;
    c->attached = k;
    conn_reply(c, SHIM_ATTACH_OK, id, NULL, 0);
}

static void on_input(struct conn *c, uint32_t id, struct reader *r) {
    (void)id;
    if (c->attached) container_input(c->attached, r->p, r->n);
}

static void on_input_end(struct conn *c, uint32_t id, struct reader *r) {
    (void)id, (void)r;
    if (c->attached) container_input_end(c->attached);
}

static void on_resize(struct conn *c, uint32_t id, struct reader *r) {
    (void)id;
    uint16_t width = read_u16(r), height = read_u16(r);
    if (c->attached && !r->bad) container_resize(c->attached, width, height);
}

static const struct {
    void (*fn)(struct conn *c, uint32_t id, struct reader *r);
    bool attach; /* allowed on an attach stream only; the others on a control connection only */
} requests[] = {
    [SHIM_START] = {on_start, false},   [SHIM_SIGNAL] = {on_signal, false},
    [SHIM_REMOVE] = {on_remove, false}, [SHIM_LIST] = {on_list, false},
    [SHIM_QUIT] = {on_quit, false},     [SHIM_ATTACH] = {on_attach, false},
    [SHIM_INPUT] = {on_input, true},    [SHIM_INPUT_END] = {on_input_end, true},
    [SHIM_RESIZE] = {on_resize, true},
};

/* Handles the first frame in the buffer; false when it is not complete yet. */
static bool take_frame(struct conn *c) {
    struct reader r = {(const unsigned char *)c->in.p, c->in.n, false};
    uint32_t n = read_u32(&r);
    uint16_t type = read_u16(&r), zero = read_u16(&r);
    uint32_t id = read_u32(&r);
    if (r.bad) return false;
    bool known = type < sizeof requests / sizeof *requests && requests[type].fn;
    if (n > SHIM_FRAME_BYTES_MAX || zero || !known || requests[type].attach != c->attach) {
        conn_close(c);
        return false;
    }
    if (r.n < n) return false;
    r.n = n;
    requests[type].fn(c, id, &r);
    bytes_drop(&c->in, SHIM_HEADER_BYTES + (size_t)n);
    return !c->dead && !(c->attached && container_input_full(c->attached));
}

void conn_resume_input(const struct container *k) {
    for (struct conn *c = conns; c; c = c->next) {
        if (c->attached != k) continue;
        while (!c->dead && take_frame(c)) {
        }
        conn_events(c);
    }
}

static void conn_ready(struct source *source, uint32_t events) {
    struct conn *c = (struct conn *)source;
    if (events & EPOLLOUT) conn_flush(c);
    if (!c->dead && (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
        static char chunk[16 * 1024];
        ssize_t n = recv(source->fd, chunk, sizeof chunk, MSG_DONTWAIT);
        if (n > 0) {
            if (!bytes_add(&c->in, chunk, (size_t)n)) conn_close(c);
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            conn_close(c);
        }
    }
    while (!c->dead && take_frame(c)) {
    }
    conn_events(c);
    conns_sweep();
}

static void listener_ready(struct source *source, uint32_t events) {
    (void)events;
    int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    struct conn *c = calloc(1, sizeof *c);
    if (!c) {
        close(fd);
        return;
    }
    c->next = conns;
    conns = c;
    conns_sweep();
    source_add(&c->source, fd, EPOLLIN, conn_ready);
}

int conn_listen(int fd) { return source_add(&listener, fd, EPOLLIN, listener_ready); }
