#include "server/transport/proxy.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/own.h"
#include "proto/html_links.h"
#include "server/transport/outq.h"
#include "server/transport/request_impl.h"
#include "wire/egress.h"

enum {
    QUEUE_BYTES = 256 * 1024, /* either way, before the other side is told to wait */
    PIECE_BYTES = 32 * 1024,
    READ_TURNS = 4,
    HANGUP_CHECK_MS = 1000,
    STOP_DONE = 1,
};

struct proxy {
    struct request *r;
    struct loop *loop;
    int fd;
    struct fd_watch *watch;
    struct timer *hangup; /* after the backend's half close: is it gone altogether? */
    struct http1 *parser;
    struct outq out;                     /* to the backend */
    const char *trouble, *prefix, *host; /* of the plan, in the request's arena */
    struct buf word;                     /* of the egress service, until it is whole */
    struct html_links links;             /* of a page on its way; see html */
    bool waiting;                        /* for that word */
    bool html;
    bool upgrade, answered, tunnel, done;
    bool paused;        /* the client is slow: the backend is not read */
    bool client_paused; /* and the other way round */
    bool client_eof, backend_eof, backend_shut;
    bool busy; /* on_backend is on the stack */
};

static void proxy_free(struct proxy *p) {
    fd_watch_free(p->watch);
    timer_free(p->hangup);
    if (p->fd >= 0) close(p->fd);
    http1_free(p->parser);
    outq_done(&p->out);
    buf_done(&p->word);
    free(p);
}

static void rewatch(struct proxy *p) {
    unsigned want = p->paused || p->backend_eof ? 0 : FD_READ;
    if (p->out.bytes > 0) want |= FD_WRITE;
    fd_watch_set(p->watch, want);
}

/* ---- Headers ---- */

static bool in_list(const char *const *list, const char *name) {
    for (; *list; list++)
        if (strcmp(*list, name) == 0) return true;
    return false;
}

/* RFC 9110 section 7.6.1, and what only the api service may see or say. */
static const char *const dropped[] = {"connection",
                                      "keep-alive",
                                      "proxy-connection",
                                      "te",
                                      "trailer",
                                      "transfer-encoding",
                                      "upgrade",
                                      "proxy-authenticate",
                                      "proxy-authorization",
                                      "content-length",
                                      "host",
                                      "authorization",
                                      "expect",
                                      NULL};
static const char *const dropped_back[] = {
    "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding",
    "upgrade",    "date",       "content-type",     NULL};

static void put(struct http_headers *h, const char *name, const char *value) {
    h->v[h->n++] = (struct http_header){name, value};
}

static void queue_request(struct proxy *p, const struct proxy_plan *plan) {
    struct request *r = p->r;
    const struct http_headers *extra = plan->extra;
    size_t n_extra = extra ? extra->n : 0;
    struct http_headers h = {ARENA_ARRAY(r->arena, struct http_header, r->headers.n + n_extra + 5),
                             0};
    if (plan->host) put(&h, "host", plan->host);
    for (size_t i = 0; i < r->headers.n; i++) {
        const char *name = r->headers.v[i].name;
        bool forged = str_starts(name, "x-remote-") || str_starts(name, "x-atoll-") ||
                      (extra && http_header(extra, name));
        if (p->prefix && str_eq(name, "accept-encoding")) continue; /* pages are read */
        if (!forged && !in_list(dropped, name)) put(&h, name, r->headers.v[i].value);
    }
    put(&h, "connection", p->upgrade ? "upgrade" : "close");
    if (p->upgrade) put(&h, "upgrade", http_header(&r->headers, "upgrade"));
    char length[24];
    snprintf(length, sizeof length, "%zu", r->body.n);
    bool plain = strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0;
    if (r->body.n > 0 || !plain) put(&h, "content-length", length);
    for (size_t i = 0; i < n_extra; i++) put(&h, extra->v[i].name, extra->v[i].value);
    OWN(buf_done) struct buf b = {0};
    buf_slice(&b, plan->prelude);
    http1_write_request(&b, r->method, plan->target, &h);
    buf_slice(&b, r->body);
    outq_copy(&p->out, buf_view(&b));
}

/* ---- To the client ---- */

static void throttle(struct proxy *p, size_t queued) {
    if (queued > QUEUE_BYTES) p->paused = true;
}

static void client_drained(struct proxy *p) {
    p->paused = false;
    rewatch(p);
}

static void on_client_gone(struct request *r) { proxy_free(r->handler_data); }
static void on_client_drained(struct request *r) { client_drained(r->handler_data); }

static void flush_backend(struct proxy *p);

/* Both directions have ended: the tunnel is over. */
static void tunnel_over(struct proxy *p) {
    p->done = true;
    p->r->impl->ops->tunnel_close(p->r);
}

static void tunnel_data(void *user, struct slice bytes) {
    struct proxy *p = user;
    if (p->backend_shut) return;
    outq_copy(&p->out, bytes);
    flush_backend(p);
}

static void tunnel_eof(void *user) {
    struct proxy *p = user;
    p->client_eof = true;
    flush_backend(p);
}

static void tunnel_drained(void *user) { client_drained(user); }
static void tunnel_closed(void *user) { proxy_free(user); }

static const struct tunnel_events tunnel_events = {
    .data = tunnel_data, .eof = tunnel_eof, .drained = tunnel_drained, .closed = tunnel_closed};

static void begin_tunnel(struct proxy *p, const struct http1_head *m) {
    struct request *r = p->r;
    struct http_headers h = {ARENA_ARRAY(r->arena, struct http_header, m->headers.n + 2), 0};
    put(&h, "connection", "Upgrade");
    put(&h, "upgrade", http_header(&m->headers, "upgrade"));
    for (size_t i = 0; i < m->headers.n; i++)
        if (!in_list(dropped_back, m->headers.v[i].name))
            put(&h, m->headers.v[i].name, m->headers.v[i].value);
    p->tunnel = true;
    r->impl->ops->tunnel(r, &h, &tunnel_events, p);
}

/* Where a redirection leads, seen from the client. */
static const char *moved(const struct proxy *p, const char *location) {
    const char *path = location;
    size_t n = p->host ? strlen(p->host) : 0;
    const char *authority = str_starts(path, "https://")  ? path + 8
                            : str_starts(path, "http://") ? path + 7
                                                          : NULL;
    if (authority && n && strncmp(authority, p->host, n) == 0 &&
        (authority[n] == '/' || !authority[n]))
        path = authority[n] ? authority + n : "/";
    if (path[0] != '/' || path[1] == '/') return location;
    return arena_printf(p->r->arena, "%s%s", p->prefix, path);
}

static int on_head(void *user, const struct http1_head *m) {
    struct proxy *p = user;
    struct request *r = p->r;
    p->answered = true;
    if (m->status == 101) {
        if (p->upgrade && m->upgrade) {
            begin_tunnel(p, m);
            return 0;
        }
        p->done = true;
        request_fail(r, 502, ERR_INTERNAL, "the backend switched protocols unasked");
        return STOP_DONE;
    }
    const char *type = http_header(&m->headers, "content-type");
    const char *encoding = http_header(&m->headers, "content-encoding");
    p->html = p->prefix && m->has_body && type && str_starts(type, "text/html") &&
              (!encoding || str_eq(encoding, "identity"));
    p->links = (struct html_links){.prefix = p->prefix};
    struct http_headers h = {ARENA_ARRAY(r->arena, struct http_header, m->headers.n + 1), 0};
    for (size_t i = 0; i < m->headers.n; i++) {
        const char *name = m->headers.v[i].name, *value = m->headers.v[i].value;
        if (in_list(dropped_back, name) || (p->html && str_eq(name, "content-length"))) continue;
        put(&h, name, p->prefix && str_eq(name, "location") ? moved(p, value) : value);
    }
    request_stream_begin(r, m->status, type, &h);
    return 0;
}

static int on_body(void *user, struct slice data) {
    struct proxy *p = user;
    OWN(buf_done) struct buf page = {0};
    if (p->html) {
        html_links_feed(&p->links, data, &page);
        data = buf_view(&page);
    }
    if (data.n) throttle(p, request_stream_write(p->r, data));
    return 0;
}

static int on_end(void *user) {
    struct proxy *p = user;
    if (p->tunnel) return 0;
    OWN(buf_done) struct buf page = {0};
    if (p->html) html_links_end(&p->links, &page);
    if (page.n) request_stream_write(p->r, buf_view(&page));
    p->done = true;
    request_stream_end(p->r);
    return STOP_DONE;
}

static const struct http1_events answer_events = {on_head, on_body, on_end};

/* ---- From the backend ---- */

static void give_up(struct proxy *p, const char *why) {
    if (p->done) return;
    p->done = true;
    if (p->tunnel)
        p->r->impl->ops->tunnel_close(p->r);
    else if (p->answered)
        request_stream_abort(p->r);
    else
        request_fail(p->r, 0, ERR_UNAVAILABLE, arena_printf(p->r->arena, "%s%s", p->trouble, why));
}

/* The egress service says whether there is a connection; *bytes is what follows. False: not yet,
 * or never. */
static bool word_heard(struct proxy *p, struct slice *bytes) {
    struct egress_answer answer;
    struct slice body;
    size_t used;
    buf_slice(&p->word, *bytes);
    int r = egress_frame(buf_view(&p->word), &body, &used);
    if (r == 0) return false;
    if (r < 0 || egress_answer_unpack(body, p->r->arena, &answer) < 0) {
        give_up(p, "the egress service spoke nonsense");
        return false;
    }
    if (answer.status != EGRESS_OK) {
        give_up(p, answer.text);
        return false;
    }
    p->waiting = false;
    *bytes = slice_from(p->word.p + used, p->word.n - used);
    return true;
}

static bool backend_hung_up(struct proxy *p) {
    struct pollfd f = {.fd = p->fd};
    return poll(&f, 1, 0) > 0 && (f.revents & (POLLHUP | POLLERR));
}

static void check_hangup(void *user) {
    struct proxy *p = user;
    if (!backend_hung_up(p)) return;
    tunnel_over(p);
    proxy_free(p);
}

static void backend_ended(struct proxy *p) {
    p->backend_eof = true;
    if (!p->tunnel) {
        if (http1_eof(p->parser) < 0 || !p->done) give_up(p, "the backend closed the connection");
        return;
    }
    if ((p->client_eof && p->out.bytes == 0) || backend_hung_up(p)) {
        tunnel_over(p);
        return;
    }
    p->r->impl->ops->tunnel_half_close(p->r);
    p->hangup = timer_new(p->loop, check_hangup, p);
    timer_start(p->hangup, HANGUP_CHECK_MS, HANGUP_CHECK_MS);
}

static void backend_bytes(struct proxy *p, struct slice bytes) {
    if (p->waiting && !word_heard(p, &bytes)) return;
    if (!p->tunnel) {
        struct err err;
        size_t used;
        int r = http1_feed(p->parser, bytes, &used, &err);
        if (r < 0) give_up(p, "the backend sent a malformed answer");
        bytes = slice_from(bytes.p + used, bytes.n - used);
    }
    if (p->tunnel && !p->done && bytes.n > 0)
        throttle(p, p->r->impl->ops->tunnel_write(p->r, bytes));
}

static void read_backend(struct proxy *p) {
    static char piece[PIECE_BYTES]; /* one loop, never nested: callbacks only queue */
    for (int turn = 0; turn < READ_TURNS && !p->done && !p->paused && !p->backend_eof; turn++) {
        ssize_t n = recv(p->fd, piece, sizeof piece, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (n > 0)
            backend_bytes(p, slice_from(piece, (size_t)n));
        else if (n == 0)
            backend_ended(p);
        else
            give_up(p, "the connection to the backend broke");
    }
}

/* ---- To the backend ---- */

static bool send_backend(struct proxy *p) {
    while (p->out.bytes > 0) {
        struct iovec iov[16];
        struct msghdr m = {.msg_iov = iov};
        m.msg_iovlen = (size_t)outq_iov(&p->out, iov, 16);
        ssize_t n = sendmsg(p->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0) return errno == EAGAIN || errno == EINTR;
        outq_consume(&p->out, (size_t)n);
    }
    return true;
}

static void flush_backend(struct proxy *p) {
    if (!p->backend_shut && !send_backend(p)) {
        /* It reads no more; what it said before is still to be read, its end comes with that. */
        outq_consume(&p->out, p->out.bytes);
        p->backend_shut = true;
    }
    if (p->tunnel) {
        bool wait = p->out.bytes > QUEUE_BYTES;
        if (wait != p->client_paused) p->r->impl->ops->tunnel_pause(p->r, wait);
        p->client_paused = wait;
    }
    if (p->client_eof && p->out.bytes == 0 && !p->backend_shut) {
        p->backend_shut = true;
        shutdown(p->fd, SHUT_WR);
    }
    bool over = p->tunnel && p->client_eof && p->backend_eof && p->out.bytes == 0;
    if (over) tunnel_over(p);
    if (p->busy) return;
    if (over)
        proxy_free(p);
    else
        rewatch(p);
}

static void on_backend(void *user, unsigned events) {
    struct proxy *p = user;
    p->busy = true;
    if (events & FD_WRITE) flush_backend(p);
    if (!p->done && (events & FD_READ)) read_backend(p);
    p->busy = false;
    if (p->done)
        proxy_free(p);
    else
        rewatch(p);
}

/* ---- Start ---- */

static int connect_backend(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) return -1;
    memcpy(address.sun_path, path, strlen(path) + 1);
    OWN(close_p) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) return -1;
    return TAKE_FD(fd);
}

void request_proxy_to(struct request *r, const struct proxy_plan *plan) {
    const char *trouble = arena_str(r->arena, str_or(plan->trouble, ""));
    int fd = connect_backend(plan->socket_path);
    if (fd < 0) {
        request_fail(r, 0, ERR_UNAVAILABLE,
                     arena_printf(r->arena, "%sthe backend cannot be reached", trouble));
        return;
    }
    struct proxy *p = calloc(1, sizeof *p);
    if (!p) abort();
    p->r = r;
    p->loop = r->impl->loop;
    p->fd = fd;
    p->trouble = trouble;
    p->prefix = arena_str(r->arena, plan->prefix);
    p->host = arena_str(r->arena, plan->host);
    p->waiting = plan->prelude.n > 0;
    p->upgrade = r->impl->upgrade && r->impl->ops->tunnel;
    p->parser = http1_new(HTTP1_RESPONSES, &answer_events, p);
    if (strcmp(r->method, "HEAD") == 0) http1_expect_no_body(p->parser);
    r->handler_data = p;
    r->on_close = on_client_gone;
    r->on_drain = on_client_drained;
    r->impl->must_end = p->upgrade;
    queue_request(p, plan);
    p->watch = fd_watch_new(p->loop, fd, FD_READ | FD_WRITE, on_backend, p);
}

void request_proxy(struct request *r, const char *socket_path, const char *target,
                   const struct http_headers *extra) {
    request_answering(r, 0, (struct slice){0});
    request_proxy_to(
        r, &(struct proxy_plan){.socket_path = socket_path, .target = target, .extra = extra});
}
