/*
 * kubectl port-forward: TCP connections inside the pod's network namespace, carried by SPDY/3.1
 * frames, as they are (kubectl before 1.31) or inside WebSocket messages (KEP-4006), or by the two
 * channels per port of v4.channel.k8s.io (other client libraries).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/own.h"
#include "node/streams/stream.h"
#include "proto/spdy.h"
#include "proto/websocket.h"

enum { FORWARDS_MAX = 256, CHANNEL_PORTS_MAX = 64 };

static const char *const protocols[] = {"SPDY/3.1+portforward.k8s.io", "v4.channel.k8s.io", NULL};
static const char *const spdy_protocols[] = {"portforward.k8s.io", NULL};

struct forward;

/* One connection: a pair of streams (or channels), data and error. */
struct pipe {
    struct forward *f;
    char request_id[64];
    uint32_t data_id, error_id; /* SPDY stream ids; 0 = not there yet. Channels: 2i, 2i+1 */
    uint16_t port;
    int fd;
    struct fd_watch *watch;
    struct buf to_pod;
    bool asked, connected, client_done, pod_done, dead;
};

struct forward {
    struct stream *s;
    struct agent *agent;
    struct pod *pod;
    struct spdy *spdy; /* NULL: channels */
    VEC(struct pipe *) pipes;
    bool closed;
    int calls;
};

/* ---- frames out ---- */

static void send_out(struct forward *f, struct buf *b) {
    if (b->n) stream_message(f->s, buf_view(b));
}

static void send_data(struct pipe *p, bool error, struct slice data, bool fin) {
    struct forward *f = p->f;
    uint32_t id = error ? p->error_id : p->data_id;
    if (!f->spdy) {
        if (data.n) stream_channel(f->s, (unsigned char)id, data);
        return;
    }
    OWN(buf_done) struct buf b = {0};
    if (id) spdy_write_data(&b, id, data, fin);
    send_out(f, &b);
}

/* ---- life of a pipe ---- */

static void pipe_hang_up(struct pipe *p) {
    fd_watch_free(p->watch);
    p->watch = NULL;
    close_p(&p->fd);
    p->fd = -1;
}

static void forward_free(struct forward *f) {
    if (!f->closed || f->calls) return;
    for (size_t i = 0; i < f->pipes.n; i++) {
        pipe_hang_up(f->pipes.v[i]);
        buf_done(&f->pipes.v[i]->to_pod);
        free(f->pipes.v[i]);
    }
    vec_done(&f->pipes);
    spdy_free(f->spdy);
    pod_unref(f->pod);
    free(f);
}

static void pipe_end(struct pipe *p, const char *error) {
    if (p->dead) return;
    p->dead = true;
    pipe_hang_up(p);
    buf_done(&p->to_pod);
    if (error) send_data(p, true, slice_of(error), false);
    send_data(p, true, slice_from("", 0), true);
    if (!p->pod_done) send_data(p, false, slice_from("", 0), true);
    p->pod_done = true;
    bool any = p->f->spdy;
    for (size_t i = 0; i < p->f->pipes.n && !any; i++) any = !p->f->pipes.v[i]->dead;
    if (!any) stream_close(p->f->s, WEBSOCKET_NORMAL); /* channels cannot end one by one */
}

static void fail(struct pipe *p, const char *what, int e) {
    OWN(buf_done) struct buf b = {0};
    buf_printf(&b, "error forwarding port %u to pod %s: %s: %s", (unsigned)p->port, p->f->pod->uid,
               what, strerror(e));
    pipe_end(p, b.p);
}

static void watch(struct pipe *p) {
    if (!p->watch) return;
    bool full = stream_queued(p->f->s) > STREAM_HIGH_BYTES;
    bool want_write = !p->connected || p->to_pod.n || (p->client_done && !p->pod_done);
    fd_watch_set(p->watch, (p->pod_done || full || !p->connected ? 0 : FD_READ) |
                               (want_write ? FD_WRITE : 0));
}

static void pause_client(struct forward *f) {
    bool full = false;
    for (size_t i = 0; i < f->pipes.n; i++)
        full |= f->pipes.v[i]->to_pod.n > STREAM_INPUT_HIGH_BYTES;
    stream_pause(f->s, full);
}

static void to_pod(struct pipe *p) {
    while (p->to_pod.n) {
        ssize_t n = send(p->fd, p->to_pod.p, p->to_pod.n, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) break;
        if (n < 0) {
            pipe_end(p, NULL);
            return;
        }
        buf_consume(&p->to_pod, (size_t)n);
    }
    if (!p->to_pod.n && p->client_done) shutdown(p->fd, SHUT_WR);
    pause_client(p->f);
}

static void from_pod(struct pipe *p) {
    char tmp[32 * 1024];
    ssize_t n = recv(p->fd, tmp, sizeof tmp, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        pipe_end(p, NULL);
        return;
    }
    send_data(p, false, slice_from(tmp, (size_t)n), false);
}

static void on_ready(void *user, unsigned events) {
    struct pipe *p = user;
    if (!p->connected) {
        int e = 0;
        socklen_t len = sizeof e;
        if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0) e = errno;
        if (e) {
            fail(p, "failed to connect to localhost", e);
            return;
        }
        p->connected = true;
    }
    if (events & FD_READ) from_pod(p);
    if (!p->dead && (p->to_pod.n || p->client_done)) {
        bool done = !p->to_pod.n;
        to_pod(p);
        if (!p->dead && done && p->watch) {
            fd_watch_set(p->watch, FD_READ);
            return;
        }
    }
    if (!p->dead) watch(p);
}

/* ---- the connection ---- */

struct dial_op {
    struct forward *f;
    struct pipe *p;
};

static void dial(struct pipe *p) {
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(p->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (connect(p->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) {
        fail(p, "failed to connect to localhost", errno);
        return;
    }
    p->watch = fd_watch_new(p->f->agent->loop, p->fd, FD_WRITE, on_ready, p);
}

static void on_socket(void *user, struct ipc_msg *m, const struct err *err) {
    struct dial_op *op = user;
    struct forward *f = op->f;
    struct pipe *p = op->p;
    free(op);
    f->calls--;
    if (f->closed) {
        forward_free(f);
        return;
    }
    if (p->dead) return;
    if (err || !m->n_fds) {
        pipe_end(p, err ? err->text : "malformed answer of the broker");
        return;
    }
    p->fd = m->fds[0];
    m->fds[0] = -1;
    dial(p);
}

static void ask_socket(struct pipe *p) {
    struct dial_op *op = calloc(1, sizeof *op);
    if (!op) abort();
    *op = (struct dial_op){p->f, p};
    OWN(buf_done) struct buf b = {0};
    p->asked = true;
    p->f->calls++;
    pack_str(&b, p->f->pod->uid);
    pack_str(&b, "tcp");
    link_call(p->f->agent->broker, BROKER_NET_SOCKET, buf_view(&b), NULL, 0, on_socket, op);
}

static struct pipe *pipe_new(struct forward *f) {
    struct pipe *p = NULL;
    for (size_t i = 0; f->spdy && i < f->pipes.n && !p; i++)
        if (f->pipes.v[i]->dead) p = f->pipes.v[i];
    if (!p && f->pipes.n >= FORWARDS_MAX) return NULL;
    if (!p) {
        p = calloc(1, sizeof *p);
        if (!p) abort();
        vec_push(&f->pipes, p);
    }
    *p = (struct pipe){.f = f, .fd = -1};
    return p;
}

/* ---- SPDY in ---- */

static int refuse(struct forward *f, uint32_t id) {
    OWN(buf_done) struct buf b = {0};
    spdy_write_rst(&b, id, SPDY_REFUSED_STREAM);
    send_out(f, &b);
    return 0;
}

static int on_syn(void *user, uint32_t id, const struct http_headers *h, bool fin) {
    struct forward *f = user;
    const char *type = http_header(h, "streamtype"), *port = http_header(h, "port");
    const char *request = str_or(http_header(h, "requestid"), "");
    uint64_t n = 0;
    if (!type || !port || slice_u64(slice_of(port), &n) < 0 || !n || n > UINT16_MAX)
        return refuse(f, id);
    struct pipe *p = NULL;
    for (size_t i = 0; i < f->pipes.n && !p; i++)
        if (!f->pipes.v[i]->dead && !strcmp(f->pipes.v[i]->request_id, request) &&
            f->pipes.v[i]->port == n)
            p = f->pipes.v[i];
    bool error = str_eq(type, "error");
    if (!error && !str_eq(type, "data")) return refuse(f, id);
    if (!p || (error ? p->error_id : p->data_id)) p = pipe_new(f);
    if (!p || strlen(request) >= sizeof p->request_id) return refuse(f, id);
    memcpy(p->request_id, request, strlen(request) + 1);
    p->port = (uint16_t)n;
    *(error ? &p->error_id : &p->data_id) = id;
    if (fin && !error) p->client_done = true;
    OWN(buf_done) struct buf b = {0};
    struct http_headers none = {0};
    spdy_write_syn_reply(f->spdy, &b, id, &none, false);
    send_out(f, &b);
    if (p->data_id && p->error_id && !p->asked) ask_socket(p);
    return 0;
}

static int on_data(void *user, uint32_t id, struct slice data, bool fin) {
    struct forward *f = user;
    for (size_t i = 0; i < f->pipes.n; i++) {
        struct pipe *p = f->pipes.v[i];
        if (p->dead || p->data_id != id) continue;
        buf_slice(&p->to_pod, data);
        if (fin) p->client_done = true;
        if (p->connected) {
            to_pod(p);
            if (!p->dead && p->to_pod.n) watch(p);
        }
        pause_client(f);
    }
    return 0;
}

static int on_rst(void *user, uint32_t id, uint32_t status) {
    struct forward *f = user;
    for (size_t i = 0; i < f->pipes.n; i++)
        if (!f->pipes.v[i]->dead && (f->pipes.v[i]->data_id == id)) pipe_end(f->pipes.v[i], NULL);
    return 0;
}

static int on_spdy_ping(void *user, uint32_t id) {
    OWN(buf_done) struct buf b = {0};
    spdy_write_ping(&b, id);
    send_out(user, &b);
    return 0;
}

static const struct spdy_events spdy_events = {
    .syn_stream = on_syn, .data = on_data, .rst = on_rst, .ping = on_spdy_ping};

/* ---- channels ---- */

static void on_channel(struct forward *f, struct slice data) {
    unsigned char channel = (unsigned char)data.p[0];
    if (channel % 2 || channel / 2 >= f->pipes.n) return;
    on_data(f, channel, slice_from(data.p + 1, data.n - 1), false);
}

/* Ports of the query: ports=80&ports=81 or ports=80,81. */
static int channel_ports(struct forward *f, const struct http_query *q, struct err *err) {
    for (size_t i = 0; i < q->n; i++) {
        struct slice rest = slice_of(q->v[i].value), one;
        if (!str_eq(q->v[i].key, "ports") && !str_eq(q->v[i].key, "port")) continue;
        while (slice_cut(&rest, ',', &one)) {
            uint64_t n = 0;
            if (slice_u64(one, &n) < 0 || !n || n > UINT16_MAX || f->pipes.n >= CHANNEL_PORTS_MAX)
                return err_set(err, ERR_BAD_REQUEST, "invalid value for ports: \"%s\"",
                               q->v[i].value);
            struct pipe *p = pipe_new(f);
            p->data_id = (uint32_t)(f->pipes.n - 1) * 2;
            p->error_id = p->data_id + 1;
            p->port = (uint16_t)n;
        }
    }
    if (!f->pipes.n) return err_set(err, ERR_BAD_REQUEST, "query parameter \"ports\" is required");
    return 0;
}

/* The first message on each channel is its port, little endian. */
static void channels_begin(struct forward *f) {
    for (size_t i = 0; i < f->pipes.n; i++) {
        struct pipe *p = f->pipes.v[i];
        unsigned char port[] = {(unsigned char)(p->port & 0xff), (unsigned char)(p->port >> 8)};
        stream_channel(f->s, (unsigned char)p->data_id, slice_from(port, 2));
        stream_channel(f->s, (unsigned char)p->error_id, slice_from(port, 2));
        ask_socket(p);
    }
}

/* ---- the request ---- */

static void on_message(void *user, bool text, struct slice data) {
    struct forward *f = user;
    struct err err = {0};
    if (!data.n) return;
    if (!f->spdy)
        on_channel(f, data);
    else if (spdy_feed(f->spdy, data, &err) < 0)
        stream_close(f->s, WEBSOCKET_PROTOCOL_ERROR);
}

static void on_drain(void *user) {
    struct forward *f = user;
    for (size_t i = 0; i < f->pipes.n; i++)
        if (!f->pipes.v[i]->dead) watch(f->pipes.v[i]);
}

static void on_closed(void *user) {
    struct forward *f = user;
    f->closed = true;
    forward_free(f);
}

static const struct stream_ops ops = {on_message, on_drain, on_closed};

void stream_portforward(struct agent *g, struct stream *s, const struct stream_request *r) {
    struct err err = {0};
    struct pod *p = NULL;
    const char *protocol = "";
    int rc = stream_target(g, r, stream_arena(s), &p, NULL, &err);
    if (rc >= 0 && (!p->sandbox_ready || p->state >= POD_TEARDOWN))
        rc = err_set(&err, ERR_BAD_REQUEST,
                     "unable to forward port because pod is not running. Current status=%s",
                     str_or(p->object->status.phase, "Pending"));
    struct forward *f = calloc(1, sizeof *f);
    if (!f) abort();
    *f = (struct forward){.s = s, .agent = g};
    const char *offered = http_header(&r->headers, "sec-websocket-protocol");
    bool raw = spdy_wanted(&r->headers), spdy = raw || (offered && strstr(offered, protocols[0]));
    if (rc >= 0 && !spdy) rc = channel_ports(f, &r->query, &err);
    if (rc >= 0)
        rc = raw ? stream_upgrade_spdy(s, spdy_protocols, &err)
                 : stream_upgrade(s, protocols + (spdy ? 0 : 1), &protocol, &err);
    if (rc < 0) {
        for (size_t i = 0; i < f->pipes.n; i++) free(f->pipes.v[i]);
        vec_done(&f->pipes);
        free(f);
        stream_fail(s, &err);
        return;
    }
    f->pod = p;
    pod_ref(p);
    if (spdy) f->spdy = spdy_new(&spdy_events, f);
    stream_set(s, &ops, f);
    if (!spdy) channels_begin(f);
}
