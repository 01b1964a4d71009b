/*
 * kubectl exec and attach: the channels of v1/v4/v5.channel.k8s.io, over WebSocket or SPDY/3.1, to
 * a command's descriptors or to the shim's attach socket (KEP-4006; apimachinery remotecommand).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "node/pods/exec.h"
#include "node/streams/spdy_channels.h"
#include "node/streams/stream.h"
#include "proto/websocket.h"
#include "wire/shim.h"

struct session;
struct out_pipe {
    struct session *x;
    int fd;
    struct fd_watch *watch;
    unsigned char channel;
};

struct session {
    struct stream *s;
    struct agent *agent;
    struct pod *pod;
    struct exec *exec;
    const struct stream_request *request;
    const char *container_id;
    bool tty, want_stdin, want_stdout, want_stderr;
    struct channels_manner manner;
    bool closed, finished, stdin_ended, attach;
    int calls;
    struct out_pipe out, err;
    int in; /* stdin of the command; for a tty and for attach the same descriptor reads, too */
    struct fd_watch *in_watch;
    struct buf in_queue;
    struct buf frame;       /* attach: an incomplete frame from the shim */
    uint16_t width, height; /* a resize that came before the start */
};

/* ---- the end ---- */

static void pipe_close(struct out_pipe *p) {
    fd_watch_free(p->watch);
    p->watch = NULL;
    close_p(&p->fd);
    p->fd = -1;
}

static void in_close(struct session *x) {
    fd_watch_free(x->in_watch);
    x->in_watch = NULL;
    if (x->in >= 0 && x->in != x->out.fd) close(x->in);
    x->in = -1;
}

static void maybe_free(struct session *x) {
    if (!x->closed || x->calls) return;
    exec_cancel(TAKE(x->exec));
    in_close(x);
    pipe_close(&x->out);
    pipe_close(&x->err);
    buf_done(&x->in_queue);
    buf_done(&x->frame);
    pod_unref(x->pod);
    free(x);
}

static void on_closed(void *user) {
    struct session *x = user;
    x->closed = true;
    maybe_free(x);
}

/* status: a Status in JSON; message: the same for protocols without it, NULL = success. */
static void finish(struct session *x, const char *status, const char *message) {
    if (x->finished || x->closed) return;
    x->finished = true;
    if (x->manner.plain_status) status = message;
    if (status) stream_channel(x->s, CHANNEL_ERROR, slice_of(status));
    stream_close(x->s, WEBSOCKET_NORMAL);
}

static void finish_error(struct session *x, const char *text) {
    OWN(buf_done) struct buf b = {0};
    buf_str(&b, "{\"metadata\":{},\"status\":\"Failure\",\"message\":");
    buf_json_str(&b, slice_of(text));
    buf_str(&b, ",\"reason\":\"InternalError\",\"details\":{\"causes\":[{\"message\":");
    buf_json_str(&b, slice_of(text));
    buf_str(&b, "}]},\"code\":500}");
    finish(x, b.p, text);
}

static void finish_code(struct session *x, uint32_t code) {
    OWN(buf_done) struct buf b = {0}, text = {0};
    if (!code) {
        finish(x, "{\"metadata\":{},\"status\":\"Success\"}", NULL);
        return;
    }
    buf_printf(&text, "command terminated with non-zero exit code: exit status %" PRIu32, code);
    buf_printf(&b,
               "{\"metadata\":{},\"status\":\"Failure\",\"message\":\"%s\","
               "\"reason\":\"NonZeroExitCode\",\"details\":{\"causes\":[{\"reason\":"
               "\"ExitCode\",\"message\":\"%" PRIu32 "\"}]}}",
               text.p, code);
    finish(x, b.p, text.p);
}

/* ---- from the container ---- */

static bool read_pipe(struct out_pipe *p) {
    char tmp[32 * 1024];
    ssize_t n = read(p->fd, tmp, sizeof tmp);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (n <= 0) { /* a tty ends with EIO */
        if (p->x->in == p->fd) in_close(p->x);
        pipe_close(p);
        return false;
    }
    size_t queued = stream_channel(p->x->s, p->channel, slice_from(tmp, (size_t)n));
    if (queued > STREAM_HIGH_BYTES && p->watch) fd_watch_set(p->watch, 0);
    return true;
}

static void flush_in(struct session *x);

static void on_output(void *user, unsigned events) {
    struct out_pipe *p = user;
    struct session *x = p->x;
    if (events & FD_READ) read_pipe(p);
    if (p->fd >= 0 && (events & FD_WRITE) && x->in == p->fd) flush_in(x);
}

static void on_drain(void *user) {
    struct session *x = user;
    unsigned more = x->in == x->out.fd && x->in_queue.n ? FD_WRITE : 0;
    if (x->out.watch) fd_watch_set(x->out.watch, FD_READ | more);
    if (x->err.watch) fd_watch_set(x->err.watch, FD_READ);
    if (x->attach && x->in_watch)
        fd_watch_set(x->in_watch, FD_READ | (x->in_queue.n ? FD_WRITE : 0));
}

/* ---- to the container ---- */

static void watch_in(struct session *x) {
    unsigned want = (x->in_queue.n ? FD_WRITE : 0) | (x->attach ? FD_READ : 0);
    if (x->in_watch)
        fd_watch_set(x->in_watch, want);
    else if (x->out.watch && x->in == x->out.fd)
        fd_watch_set(x->out.watch, FD_READ | want);
    stream_pause(x->s, x->in_queue.n > STREAM_INPUT_HIGH_BYTES);
}

static void flush_in(struct session *x) {
    while (x->in >= 0 && x->in_queue.n) {
        ssize_t n = write(x->in, x->in_queue.p, x->in_queue.n);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) break;
        if (n < 0) { /* nobody reads: the rest is dropped */
            buf_clear(&x->in_queue);
            break;
        }
        buf_consume(&x->in_queue, (size_t)n);
    }
    watch_in(x);
    if (!x->in_queue.n && x->stdin_ended && !x->tty && !x->attach) in_close(x);
}

static void on_in_ready(void *user, unsigned events) { flush_in(user); }

static void shim_frame(struct session *x, uint16_t type, struct slice body) {
    pack_u32(&x->in_queue, (uint32_t)body.n);
    pack_u16(&x->in_queue, type);
    pack_u16(&x->in_queue, 0);
    pack_u32(&x->in_queue, 0);
    buf_slice(&x->in_queue, body);
}

static void input(struct session *x, struct slice data) {
    if (!x->want_stdin || x->stdin_ended) return;
    if (x->attach) {
        for (size_t at = 0; at < data.n; at += 16 * 1024)
            shim_frame(x, SHIM_INPUT,
                       slice_from(data.p + at, MIN_OF(data.n - at, (size_t)16 * 1024)));
    } else {
        buf_slice(&x->in_queue, data);
    }
    flush_in(x);
}

static void input_end(struct session *x) {
    if (x->stdin_ended) return;
    x->stdin_ended = true;
    if (x->attach && x->want_stdin) shim_frame(x, SHIM_INPUT_END, slice_from("", 0));
    if (x->tty && !x->attach && x->want_stdin) buf_char(&x->in_queue, 4); /* end of input */
    flush_in(x);
}

static void resize(struct session *x, struct slice data) {
    json_t *j = json_loadb(data.p, data.n, 0, NULL);
    json_int_t w = json_integer_value(json_object_get(j, "Width"));
    json_int_t h = json_integer_value(json_object_get(j, "Height"));
    json_decref(j);
    if (w <= 0 || h <= 0 || w > UINT16_MAX || h > UINT16_MAX) return;
    x->width = (uint16_t)w, x->height = (uint16_t)h;
    if (x->exec) exec_resize(x->exec, x->width, x->height);
    if (x->attach && x->in >= 0) {
        OWN(buf_done) struct buf b = {0};
        pack_u16(&b, x->width);
        pack_u16(&b, x->height);
        shim_frame(x, SHIM_RESIZE, buf_view(&b));
        flush_in(x);
    }
}

static void on_message(void *user, bool text, struct slice data) {
    struct session *x = user;
    if (!data.n) return;
    unsigned char channel = (unsigned char)data.p[0];
    data = slice_from(data.p + 1, data.n - 1);
    if (channel == CHANNEL_STDIN && data.n) input(x, data);
    if (channel == CHANNEL_RESIZE) resize(x, data);
    if (channel == CHANNEL_CLOSE && x->manner.input_can_end && data.n && data.p[0] == CHANNEL_STDIN)
        input_end(x);
}

/* ---- exec ---- */

static void pipe_open(struct session *x, struct out_pipe *p, int fd, unsigned char channel) {
    *p = (struct out_pipe){.x = x, .fd = fd, .channel = channel};
    if (fd < 0) return;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    p->watch = fd_watch_new(x->agent->loop, fd, FD_READ, on_output, p);
}

static void in_open(struct session *x, int fd) {
    x->in = fd;
    if (fd < 0) return;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    x->in_watch = fd_watch_new(x->agent->loop, fd, 0, on_in_ready, x);
    flush_in(x);
}

static void on_started(void *user, int in, int out, int err_fd, const struct err *err) {
    struct session *x = user;
    if (err) {
        x->exec = NULL;
        finish_error(x, err->text);
        return;
    }
    if (x->tty) {
        pipe_open(x, &x->out, in, CHANNEL_STDOUT);
        x->in = in;
        flush_in(x);
    } else {
        pipe_open(x, &x->out, out, CHANNEL_STDOUT);
        pipe_open(x, &x->err, err_fd, CHANNEL_STDERR);
        in_open(x, in);
    }
    if (x->width) exec_resize(x->exec, x->width, x->height);
}

static void on_exited(void *user, uint32_t code) {
    struct session *x = user;
    x->exec = NULL;
    while (x->out.fd >= 0 && read_pipe(&x->out)) {
    }
    while (x->err.fd >= 0 && read_pipe(&x->err)) {
    }
    if (code == UINT32_MAX)
        finish_error(x, "the connection to the container was lost");
    else
        finish_code(x, code);
}

static struct session *session_new(struct agent *g, struct stream *s,
                                   const struct stream_request *r, struct container **ret_c) {
    struct err err = {0};
    struct pod *p = NULL;
    bool tty = stream_flag(&r->query, "tty");
    struct channels_manner manner = {0};
    bool in = stream_flag(&r->query, "stdin"), out = stream_flag(&r->query, "stdout");
    bool err_out = stream_flag(&r->query, "stderr") && !tty;
    unsigned channels = 1u << CHANNEL_ERROR | (unsigned)in << CHANNEL_STDIN |
                        (unsigned)out << CHANNEL_STDOUT | (unsigned)err_out << CHANNEL_STDERR |
                        (unsigned)tty << CHANNEL_RESIZE;
    if (stream_target(g, r, stream_arena(s), &p, ret_c, &err) < 0) {
        stream_fail(s, &err);
        return NULL;
    }
    if ((*ret_c)->state != CONTAINER_RUNNING) {
        err_set(&err, ERR_INTERNAL, "container not found (\"%s\")", (*ret_c)->name);
        stream_fail(s, &err);
        return NULL;
    }
    if (stream_upgrade_channels(s, channels, &manner, &err) < 0) {
        stream_fail(s, &err);
        return NULL;
    }
    struct session *x = calloc(1, sizeof *x);
    if (!x) abort();
    *x = (struct session){.s = s, .agent = g, .pod = p, .in = -1, .out.fd = -1, .err.fd = -1};
    pod_ref(p);
    x->request = r; /* as old as the stream */
    x->container_id = arena_str(stream_arena(s), (*ret_c)->id);
    x->manner = manner;
    x->tty = tty, x->want_stdin = in, x->want_stdout = out, x->want_stderr = err_out;
    return x;
}

static struct str_list command(struct stream *s, const struct stream_request *r) {
    struct str_list args = {0};
    for (size_t i = 0; i < r->query.n; i++)
        if (str_eq(r->query.v[i].key, "command"))
            *ARENA_PUSH(stream_arena(s), &args) = r->query.v[i].value;
    return args;
}

static void exec_ready(void *user) {
    struct session *x = user;
    struct str_list args = command(x->s, x->request);
    struct exec_request er = {.uid = x->pod->uid,
                              .container_id = x->container_id,
                              .args = (const char *const *)args.v,
                              .n_args = args.n,
                              .tty = x->tty,
                              .want_stdin = x->want_stdin,
                              .want_stdout = x->want_stdout,
                              .want_stderr = x->want_stderr};
    struct exec_events ev = {on_started, on_exited, x};
    x->exec = exec_start(x->agent, &er, &ev);
}

static const struct stream_ops exec_ops = {on_message, on_drain, on_closed, exec_ready};

void stream_exec(struct agent *g, struct stream *s, const struct stream_request *r) {
    struct container *c = NULL;
    struct err err = {0};
    if (!command(s, r).n) {
        err_set(&err, ERR_BAD_REQUEST, "you must specify at least one command for the container");
        stream_fail(s, &err);
        return;
    }
    struct session *x = session_new(g, s, r, &c);
    if (x) stream_set(s, &exec_ops, x);
}

/* ---- attach: frames from and to the shim ---- */

static void attach_frame(struct session *x, uint16_t type, struct slice body) {
    if (type == SHIM_STDOUT && x->want_stdout) stream_channel(x->s, CHANNEL_STDOUT, body);
    if (type == SHIM_STDERR && x->want_stderr) stream_channel(x->s, CHANNEL_STDERR, body);
    /* The container's end is the end of attaching, not its failure: a code here makes kubectl run
     * print the logs again. Who wants the code reads the pod's status. */
    if (type == SHIM_EXITED) finish_code(x, 0);
}

static void on_attached_data(void *user, unsigned events) {
    struct session *x = user;
    char tmp[32 * 1024];
    if (events & FD_WRITE) flush_in(x);
    if (!(events & FD_READ)) return;
    ssize_t n = read(x->in, tmp, sizeof tmp);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        fd_watch_set(x->in_watch, 0);
        finish_code(x, 0);
        return;
    }
    buf_append(&x->frame, tmp, (size_t)n);
    while (x->frame.n >= SHIM_HEADER_BYTES) {
        struct unpack u = unpack_init(buf_view(&x->frame));
        uint32_t size = unpack_u32(&u);
        uint16_t type = unpack_u16(&u);
        if (size > SHIM_FRAME_BYTES_MAX) {
            finish_error(x, "malformed frame of the shim");
            return;
        }
        if (x->frame.n < SHIM_HEADER_BYTES + (size_t)size) break;
        attach_frame(x, type, slice_from(x->frame.p + SHIM_HEADER_BYTES, size));
        buf_consume(&x->frame, SHIM_HEADER_BYTES + (size_t)size);
    }
    if (stream_queued(x->s) > STREAM_HIGH_BYTES) fd_watch_set(x->in_watch, 0); /* until drain */
}

static void on_attached(void *user, struct ipc_msg *m, const struct err *err) {
    struct session *x = user;
    x->calls--;
    if (x->closed) {
        maybe_free(x);
        return;
    }
    if (err || !m->n_fds) {
        finish_error(x, err ? err->text : "malformed answer of the broker");
        return;
    }
    x->in = m->fds[0];
    m->fds[0] = -1;
    fcntl(x->in, F_SETFL, fcntl(x->in, F_GETFL) | O_NONBLOCK);
    x->in_watch = fd_watch_new(x->agent->loop, x->in, FD_READ, on_attached_data, x);
    if (x->width) {
        OWN(buf_done) struct buf b = {0};
        pack_u16(&b, x->width);
        pack_u16(&b, x->height);
        shim_frame(x, SHIM_RESIZE, buf_view(&b));
    }
    flush_in(x);
}

static void attach_ready(void *user) {
    struct session *x = user;
    OWN(buf_done) struct buf b = {0};
    pack_str(&b, x->pod->uid);
    pack_str(&b, x->container_id);
    x->calls++;
    link_call(x->agent->broker, BROKER_ATTACH, buf_view(&b), NULL, 0, on_attached, x);
}

static const struct stream_ops attach_ops = {on_message, on_drain, on_closed, attach_ready};

void stream_attach(struct agent *g, struct stream *s, const struct stream_request *r) {
    struct container *c = NULL;
    struct session *x = session_new(g, s, r, &c);
    if (!x) return;
    x->attach = true;
    x->tty = container_spec(c)->tty;
    stream_set(s, &attach_ops, x);
}
