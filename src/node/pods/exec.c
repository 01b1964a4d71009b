#include "node/pods/exec.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/own.h"

struct exec {
    struct agent *agent;
    struct exec_events ev;
    bool tty, want_stdin, want_stdout, want_stderr;
    bool running, cancelled;
    uint32_t id;
};

static void id_key(char out[16], uint32_t id) { snprintf(out, 16, "%" PRIu32, id); }

static void ignore(void *user, struct ipc_msg *m, const struct err *err) {}

static void kill_id(struct agent *g, uint32_t id) {
    OWN(buf_done) struct buf b = {0};
    pack_u32(&b, id);
    link_call(g->broker, BROKER_EXEC_KILL, buf_view(&b), NULL, 0, ignore, NULL);
}

static int take(struct ipc_msg *m, size_t *at, bool want) {
    if (!want || *at >= m->n_fds) return -1;
    int fd = m->fds[*at];
    m->fds[(*at)++] = -1;
    return fd;
}

static void on_started(void *user, struct ipc_msg *m, const struct err *err) {
    struct exec *x = user;
    struct err bad = {0};
    uint32_t id = 0;
    if (!err) {
        struct unpack u = unpack_init(m->body);
        id = unpack_u32(&u);
        if (m->type != BROKER_EXEC_OK || unpack_end(&u) < 0) {
            err_set(&bad, ERR_INTERNAL, "malformed answer of the broker");
            err = &bad;
        }
    }
    if (x->cancelled) {
        if (!err) kill_id(x->agent, id);
        free(x);
        return;
    }
    if (err) {
        x->ev.started(x->ev.user, -1, -1, -1, err);
        free(x);
        return;
    }
    char key[16];
    size_t at = 0;
    x->id = id;
    x->running = true;
    id_key(key, id);
    map_put(&x->agent->execs, slice_of(key), x);
    int in = take(m, &at, x->tty || x->want_stdin);
    int out = take(m, &at, !x->tty && x->want_stdout);
    int err_fd = take(m, &at, !x->tty && x->want_stderr);
    x->ev.started(x->ev.user, in, out, err_fd, NULL);
}

struct exec *exec_start(struct agent *g, const struct exec_request *r,
                        const struct exec_events *ev) {
    struct exec *x = calloc(1, sizeof *x);
    if (!x) abort();
    *x = (struct exec){.agent = g,
                       .ev = *ev,
                       .tty = r->tty,
                       .want_stdin = r->want_stdin,
                       .want_stdout = r->want_stdout,
                       .want_stderr = r->want_stderr && !r->tty};
    struct broker_exec e = {.uid = r->uid,
                            .id = r->container_id,
                            .n_args = (uint32_t)r->n_args,
                            .args = (const char **)r->args,
                            .tty = r->tty,
                            .want_stdin = r->want_stdin,
                            .want_stdout = r->want_stdout,
                            .want_stderr = x->want_stderr};
    OWN(buf_done) struct buf b = {0};
    broker_exec_pack(&b, &e);
    link_call(g->broker, BROKER_EXEC, buf_view(&b), NULL, 0, on_started, x);
    return x;
}

void exec_resize(struct exec *x, uint16_t width, uint16_t height) {
    if (!x->running) return;
    OWN(buf_done) struct buf b = {0};
    pack_u32(&b, x->id);
    pack_u16(&b, width);
    pack_u16(&b, height);
    link_call(x->agent->broker, BROKER_EXEC_RESIZE, buf_view(&b), NULL, 0, ignore, NULL);
}

static void forget(struct exec *x) {
    char key[16];
    id_key(key, x->id);
    map_del(&x->agent->execs, slice_of(key));
}

void exec_cancel(struct exec *x) {
    if (!x) return;
    x->cancelled = true;
    if (!x->running) return; /* on_started frees it */
    forget(x);
    kill_id(x->agent, x->id);
    free(x);
}

static void end(struct exec *x, uint32_t code) {
    struct exec_events ev = x->ev;
    forget(x);
    free(x);
    ev.exited(ev.user, code);
}

void exec_on_exit(struct agent *g, uint32_t id, uint32_t code) {
    char key[16];
    id_key(key, id);
    struct exec *x = map_gets(&g->execs, key);
    if (x) end(x, code);
}

void exec_on_lost(struct agent *g) {
    while (g->execs.n) {
        size_t at = 0;
        struct map_entry *e = map_next(&g->execs, &at);
        assert(e);
        end(e->value, UINT32_MAX);
    }
}

/* ---- capture ---- */

struct capture_pipe {
    struct capture *x;
    int fd;
    struct fd_watch *watch;
};

struct capture {
    struct agent *agent;
    struct exec *exec;
    struct timer *timeout;
    struct capture_pipe pipes[2];
    struct buf output;
    capture_fn *fn;
    void *user;
    bool exited;
    uint32_t code;
};

static void pipe_close(struct capture_pipe *p) {
    fd_watch_free(p->watch);
    p->watch = NULL;
    close_p(&p->fd);
    p->fd = -1;
}

static void capture_free(struct capture *x) {
    timer_free(x->timeout);
    pipe_close(&x->pipes[0]);
    pipe_close(&x->pipes[1]);
    buf_done(&x->output);
    free(x);
}

static void capture_end(struct capture *x, enum exec_end how, uint32_t code, struct slice text) {
    capture_fn *fn = x->fn;
    void *user = x->user;
    fn(user, how, code, text.p ? text : buf_view(&x->output));
    capture_free(x);
}

static void capture_check(struct capture *x) {
    if (!x->exited || x->pipes[0].fd >= 0 || x->pipes[1].fd >= 0) return;
    capture_end(x, EXEC_EXITED, x->code, (struct slice){0});
}

static void on_output(void *user, unsigned events) {
    struct capture_pipe *p = user;
    struct capture *x = p->x;
    char tmp[4096];
    ssize_t n = read(p->fd, tmp, sizeof tmp);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        pipe_close(p);
        capture_check(x);
        return;
    }
    size_t room = EXEC_OUTPUT_MAX - x->output.n;
    buf_append(&x->output, tmp, MIN_OF((size_t)n, room));
}

static void capture_watch(struct capture *x, int i, int fd) {
    x->pipes[i] = (struct capture_pipe){.x = x, .fd = fd};
    if (fd < 0) return;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    x->pipes[i].watch = fd_watch_new(x->agent->loop, fd, FD_READ, on_output, &x->pipes[i]);
}

static void capture_started(void *user, int in, int out, int err_fd, const struct err *err) {
    struct capture *x = user;
    if (err) {
        x->exec = NULL;
        capture_end(x, EXEC_FAILED, 0, slice_of(err->text));
        return;
    }
    close_p(&in);
    capture_watch(x, 0, out);
    capture_watch(x, 1, err_fd);
}

/* What a background child keeps open is not waited for: the rest is read and the pipes close. */
static void capture_exited(void *user, uint32_t code) {
    struct capture *x = user;
    x->exec = NULL;
    x->exited = true;
    x->code = code;
    for (int i = 0; i < 2; i++) {
        struct capture_pipe *p = &x->pipes[i];
        char tmp[EXEC_OUTPUT_MAX];
        ssize_t n = p->fd < 0 ? 0 : read(p->fd, tmp, sizeof tmp);
        if (n > 0) buf_append(&x->output, tmp, MIN_OF((size_t)n, EXEC_OUTPUT_MAX - x->output.n));
        pipe_close(p);
    }
    capture_check(x);
}

static void capture_timeout(void *user) {
    struct capture *x = user;
    struct exec *e = TAKE(x->exec);
    exec_cancel(e);
    capture_end(x, EXEC_TIMEOUT, 0, (struct slice){0});
}

struct capture *capture_start(struct agent *g, const char *uid, const char *container_id,
                              const char *const *args, size_t n_args, uint64_t timeout_ms,
                              capture_fn *fn, void *user) {
    struct capture *x = calloc(1, sizeof *x);
    if (!x) abort();
    *x = (struct capture){.agent = g, .fn = fn, .user = user};
    x->pipes[0].fd = x->pipes[1].fd = -1;
    x->timeout = timer_new(g->loop, capture_timeout, x);
    timer_start(x->timeout, timeout_ms, 0);
    struct exec_request r = {.uid = uid,
                             .container_id = container_id,
                             .args = args,
                             .n_args = n_args,
                             .want_stdout = true,
                             .want_stderr = true};
    struct exec_events ev = {capture_started, capture_exited, x};
    x->exec = exec_start(g, &r, &ev);
    return x;
}

void capture_cancel(struct capture *x) {
    if (!x) return;
    exec_cancel(x->exec);
    capture_free(x);
}
