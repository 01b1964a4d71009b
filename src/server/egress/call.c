#include "server/egress/call.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "proc/unix_socket.h"

enum {
    IDLE_MAX = 64,
    IDLE_MS = 30 * 1000, /* less than servers keep an idle connection */
    PIECE_BYTES = 32 * 1024,
    STOP_DONE = 1,
    STOP_TOO_LARGE = 2,
};

/* One pipe through the egress service. */
struct link {
    struct link *next; /* idle: the youngest first */
    struct loop *loop;
    int fd;
    struct fd_watch *watch;
    struct timer *idle_timer;
    struct http1 *parser;
    struct buf key;    /* the prelude without its time: where it leads */
    struct buf answer; /* of the egress service, until it is whole */
    bool open;         /* it answered yes */
    struct egress_call *call;
};

struct egress_call {
    struct loop *loop;
    struct link *link;
    struct timer *timer; /* the dead-line; or soon, when nothing can be done */
    struct arena *arena;
    egress_done_fn *fn;
    void *user;
    struct buf prelude, request, body, key;
    size_t sent; /* of prelude and request */
    size_t max_body_bytes;
    const char *socket; /* where links go */
    const char *title;  /* Post "https://…" */
    bool head_request, reused, heard, keep;
    struct egress_result result;
};

static struct link *idle_links;
static size_t n_idle;

static void on_link(void *user, unsigned events);

/* ---- links ---- */

static void link_free(struct link *l) {
    fd_watch_free(l->watch);
    timer_free(l->idle_timer);
    close_p(&l->fd);
    http1_free(l->parser);
    buf_done(&l->key);
    buf_done(&l->answer);
    free(l);
}

static void idle_remove(struct link *l) {
    for (struct link **at = &idle_links; *at; at = &(*at)->next) {
        if (*at != l) continue;
        *at = l->next;
        n_idle--;
        return;
    }
}

static void idle_over(void *user) {
    idle_remove(user);
    link_free(user);
}

static struct link *idle_take(struct slice key) {
    for (struct link *l = idle_links; l; l = l->next) {
        if (!slice_eq(buf_view(&l->key), key)) continue;
        idle_remove(l);
        timer_stop(l->idle_timer);
        return l;
    }
    return NULL;
}

static void idle_put(struct link *l) {
    if (n_idle == IDLE_MAX) {
        struct link *oldest = idle_links;
        while (oldest->next) oldest = oldest->next;
        idle_over(oldest);
    }
    l->call = NULL;
    l->next = idle_links;
    idle_links = l;
    n_idle++;
    fd_watch_set(l->watch, FD_READ); /* whatever comes ends it */
    timer_start(l->idle_timer, IDLE_MS, 0);
}

/* ---- the end of a call ---- */

static void call_free(struct egress_call *c) {
    timer_free(c->timer);
    buf_done(&c->prelude);
    buf_done(&c->request);
    buf_done(&c->body);
    buf_done(&c->key);
    arena_free(c->arena);
    free(c);
}

void egress_call_cancel(struct egress_call *c) {
    if (!c) return;
    if (c->link) link_free(c->link);
    call_free(c);
}

static void finish(struct egress_call *c) {
    struct link *l = c->link;
    c->link = NULL;
    if (l && c->keep && c->result.err.reason == ERR_NONE)
        idle_put(l);
    else if (l)
        link_free(l);
    c->result.body = buf_view(&c->body);
    c->fn(c->user, &c->result);
    call_free(c);
}

static void fail(struct egress_call *c, enum err_reason reason, const char *why) {
    err_set(&c->result.err, reason, "%s: %s", c->title, why);
    finish(c);
}

static void on_deadline(void *user) {
    struct egress_call *c = user;
    if (c->result.err.reason != ERR_NONE)
        finish(c);
    else
        fail(c, ERR_TIMEOUT, "context deadline exceeded");
}

/* Told from the loop: the caller does not have its handle yet. */
static void fail_soon(struct egress_call *c, const char *why) {
    err_set(&c->result.err, ERR_UNAVAILABLE, "%s: %s", c->title, why);
    timer_start(c->timer, 0, 0);
}

/* ---- the answer ---- */

static int on_head(void *user, const struct http1_head *m) {
    struct egress_call *c = ((struct link *)user)->call;
    struct http_headers *h = &c->result.headers;
    c->result.status = m->status;
    c->keep = m->keep_alive && m->status != 101;
    h->v = ARENA_ARRAY(c->arena, struct http_header, m->headers.n);
    for (h->n = 0; h->n < m->headers.n; h->n++)
        h->v[h->n] = (struct http_header){arena_str(c->arena, m->headers.v[h->n].name),
                                          arena_str(c->arena, m->headers.v[h->n].value)};
    return 0;
}

static int on_body(void *user, struct slice data) {
    struct egress_call *c = ((struct link *)user)->call;
    if (data.n > c->max_body_bytes - c->body.n) return STOP_TOO_LARGE;
    buf_slice(&c->body, data);
    return 0;
}

static int on_end(void *user) { return STOP_DONE; }

static const struct http1_events answer_events = {on_head, on_body, on_end};

static void start_link(struct egress_call *c, bool fresh);

/* The connection ended. One that had been kept may have been closed by the server in the very
 * moment: once more on a new one. */
static void lost(struct egress_call *c, const char *why) {
    if (!c->reused || c->heard) {
        fail(c, ERR_UNAVAILABLE, why);
        return;
    }
    link_free(c->link);
    c->link = NULL;
    start_link(c, true);
}

/* True: go on; false: the call is over. */
static bool feed(struct egress_call *c, struct slice bytes) {
    struct err err;
    size_t used;
    c->heard = true;
    int r = http1_feed(c->link->parser, bytes, &used, &err);
    if (r == 0 && used == bytes.n) return true;
    if (used != bytes.n) c->keep = false; /* more than was asked for */
    if (r == STOP_DONE)
        finish(c);
    else if (r == STOP_TOO_LARGE)
        fail(c, ERR_TOO_LARGE, "the answer is too large");
    else
        fail(c, ERR_UNAVAILABLE, "malformed HTTP response");
    return false;
}

/* The egress service's own word, before anything of the peer. */
static bool opened(struct egress_call *c, struct slice bytes) {
    struct link *l = c->link;
    struct egress_answer a = {EGRESS_STATUS_COUNT, ""};
    struct slice body, rest;
    size_t used;
    buf_slice(&l->answer, bytes);
    int r = egress_frame(buf_view(&l->answer), &body, &used);
    if (r == 0) return true;
    if (r < 0 || egress_answer_unpack(body, c->arena, &a) < 0 || a.status != EGRESS_OK) {
        bool late = a.status == EGRESS_TIMED_OUT;
        fail(c, late ? ERR_TIMEOUT : ERR_UNAVAILABLE,
             a.status == EGRESS_STATUS_COUNT ? "the egress service spoke nonsense" : a.text);
        return false;
    }
    l->open = true;
    rest = slice_from(l->answer.p + used, l->answer.n - used);
    bool more = rest.n == 0 || feed(c, rest);
    if (more) buf_done(&l->answer);
    return more;
}

static void ended(struct egress_call *c) {
    struct link *l = c->link;
    c->keep = false;
    if (l->open && c->heard && c->result.status && http1_eof(l->parser) >= 0)
        finish(c);
    else
        lost(c, c->heard ? "unexpected EOF" : "EOF");
}

static void read_link(struct egress_call *c) {
    static char piece[PIECE_BYTES]; /* one loop, never nested */
    struct link *l = c->link;
    for (;;) {
        ssize_t n = recv(l->fd, piece, sizeof piece, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (n <= 0) {
            ended(c);
            return;
        }
        struct slice bytes = slice_from(piece, (size_t)n);
        if (!(l->open ? feed(c, bytes) : opened(c, bytes))) return;
    }
}

/* ---- the request ---- */

static bool send_some(struct egress_call *c) {
    while (c->sent < c->prelude.n + c->request.n) {
        bool head = c->sent < c->prelude.n;
        const struct buf *b = head ? &c->prelude : &c->request;
        size_t at = head ? c->sent : c->sent - c->prelude.n;
        ssize_t n = send(c->link->fd, b->p + at, b->n - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0) return errno == EAGAIN || errno == EINTR;
        c->sent += (size_t)n;
    }
    fd_watch_set(c->link->watch, FD_READ);
    return true;
}

static void on_link(void *user, unsigned events) {
    struct link *l = user;
    struct egress_call *c = l->call;
    if (!c) {
        idle_over(l);
        return;
    }
    /* A peer that reads no more may still have said why. */
    if ((events & FD_WRITE) && !send_some(c)) fd_watch_set(l->watch, FD_READ);
    if (events & (FD_READ | FD_HANGUP)) read_link(c);
}

static struct link *link_new(struct loop *loop, const char *socket, struct slice key) {
    struct err err;
    int fd;
    if (unix_connect(socket, true, &fd, &err) < 0) {
        log_warn("egress_unreachable", "why=%s", err.text);
        return NULL;
    }
    struct link *l = calloc(1, sizeof *l);
    if (!l) abort();
    *l = (struct link){.loop = loop, .fd = fd};
    buf_slice(&l->key, key);
    l->parser = http1_new(HTTP1_RESPONSES, &answer_events, l);
    l->idle_timer = timer_new(loop, idle_over, l);
    l->watch = fd_watch_new(loop, fd, FD_READ | FD_WRITE, on_link, l);
    return l;
}

static void start_link(struct egress_call *c, bool fresh) {
    c->link = fresh ? NULL : idle_take(buf_view(&c->key));
    c->reused = c->link;
    if (!c->link) c->link = link_new(c->loop, c->socket, buf_view(&c->key));
    if (!c->link) {
        fail_soon(c, "the service that carries it is not reachable");
        return;
    }
    c->link->call = c;
    c->link->open |= c->prelude.n == 0;
    c->sent = c->reused ? c->prelude.n : 0;
    if (c->head_request) http1_expect_no_body(c->link->parser);
    fd_watch_set(c->link->watch, FD_READ | FD_WRITE);
}

static void write_request(struct egress_call *c, const struct egress_request *q) {
    size_t n_more = q->headers ? q->headers->n : 0, n = 0;
    struct http_header *v = ARENA_ARRAY(c->arena, struct http_header, n_more + 5);
    char length[24];
    snprintf(length, sizeof length, "%zu", q->body.n);
    v[n++] = (struct http_header){"host", q->target->authority};
    v[n++] = (struct http_header){"user-agent", "atoll"};
    for (size_t i = 0; i < n_more; i++) v[n++] = q->headers->v[i];
    bool has_body = q->body.p || !str_eq(q->method, "GET");
    if (has_body) v[n++] = (struct http_header){"content-length", length};
    if (q->body.p)
        v[n++] = (struct http_header){"content-type", str_or(q->content_type, "application/json")};
    http1_write_request(&c->request, q->method, q->target->path, &(struct http_headers){v, n});
    buf_slice(&c->request, q->body);
}

/* `Post "https://…"`, as Go's net/http begins its errors. */
static const char *title(struct arena *a, const struct egress_request *q) {
    char *method = arena_str(a, q->method);
    for (char *p = method + 1; *method && *p; p++)
        if (*p >= 'A' && *p <= 'Z') *p = (char)(*p | 32);
    return arena_printf(a, "%s \"%s\"", method, egress_target_text(a, q->target));
}

static void write_preludes(struct egress_call *c, const struct egress_request *q) {
    struct egress_prelude p = egress_target_prelude(q->target, EGRESS_TIMEOUT_MAX_MS);
    egress_prelude_pack(&c->key, &p);
    p = egress_target_prelude(q->target, MAX_OF(q->timeout_ms, 1));
    egress_prelude_pack(&c->prelude, &p);
}

struct egress_call *egress_call(struct api *api, const struct egress_request *q, egress_done_fn *fn,
                                void *user) {
    struct egress_call *c = calloc(1, sizeof *c);
    if (!c) abort();
    *c = (struct egress_call){.loop = api->loop, .arena = arena_new(), .fn = fn, .user = user};
    c->max_body_bytes = q->max_body_bytes ? q->max_body_bytes : EGRESS_BODY_MAX_BYTES;
    c->title = title(c->arena, q);
    c->head_request = str_eq(q->method, "HEAD");
    c->timer = timer_new(c->loop, on_deadline, c);
    timer_start(c->timer, q->timeout_ms, 0);
    c->socket = q->local_socket ? q->local_socket : "egress.sock";
    if (q->local_socket)
        buf_str(&c->key, q->local_socket);
    else
        write_preludes(c, q);
    write_request(c, q);
    start_link(c, false);
    return c;
}
