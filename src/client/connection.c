#include "client/connection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/own.h"

enum { READ_BYTES = 64 * 1024, READS_PER_TURN = 8, PARSER_STOP = 1 };

static const struct connection_transport *replaced;

struct connection {
    const struct connection_transport *transport; /* NULL: a socket */
    void *peer;
    struct loop *loop;
    struct connection_events ev;
    void *user;
    int fd;
    struct fd_watch *watch;
    struct http1 *parser;
    struct buf out;
    unsigned refs; /* the owner's and one per running callback */
    bool closed, answered, ended, keep_alive;
};

static void connection_unref(struct connection *c) {
    if (--c->refs) return;
    http1_free(c->parser);
    buf_done(&c->out);
    free(c);
}

void connection_close(struct connection *c) {
    if (!c || c->closed) return;
    c->closed = true;
    if (c->transport) {
        c->transport->close(c->transport->user, c->peer);
    } else {
        fd_watch_free(c->watch);
        close(c->fd);
    }
    connection_unref(c);
}

bool connection_answered(const struct connection *c) { return c->answered; }

/* ---- the parser's events ---- */

static int on_head(void *user, const struct http1_head *h) {
    struct connection *c = user;
    c->keep_alive = h->keep_alive;
    c->ev.head(c->user, h->status);
    return c->closed ? PARSER_STOP : 0;
}

static int on_body(void *user, struct slice data) {
    struct connection *c = user;
    c->ev.body(c->user, data);
    return c->closed ? PARSER_STOP : 0;
}

/* Told outside the parser, so that the next request may be sent from the callback. */
static int on_end(void *user) {
    struct connection *c = user;
    c->ended = true;
    return PARSER_STOP;
}

static const struct http1_events parser_events = {on_head, on_body, on_end};

static void lost(struct connection *c, const struct err *err) {
    if (c->closed) return;
    c->ev.lost(c->user, err);
}

static void deliver_end(struct connection *c) {
    c->ended = false;
    c->ev.end(c->user, c->keep_alive);
}

/* All bytes of one read. */
static void feed(struct connection *c, struct slice bytes) {
    while (bytes.n && !c->closed) {
        struct err err = {0};
        size_t used = 0;
        c->answered = true;
        int r = http1_feed(c->parser, bytes, &used, &err);
        if (c->closed) return;
        if (r < 0) {
            if (err.reason == ERR_NONE) err_set(&err, ERR_UNAVAILABLE, "answer is not HTTP/1.1");
            lost(c, &err);
            return;
        }
        bytes.p += used;
        bytes.n -= used;
        if (c->ended)
            deliver_end(c);
        else if (used == 0)
            return;
    }
}

static void end_of_stream(struct connection *c, int errnum) {
    struct err err;
    if (errnum == 0 && http1_eof(c->parser) == 0 && c->ended) {
        c->keep_alive = false;
        deliver_end(c);
        if (c->closed) return;
    }
    if (errnum)
        err_set(&err, ERR_UNAVAILABLE, "connection to the API server: %s", strerror(errnum));
    else
        err_set(&err, ERR_UNAVAILABLE, "the API server closed the connection");
    lost(c, &err);
}

static void read_some(struct connection *c) {
    char bytes[READ_BYTES];
    for (int i = 0; i < READS_PER_TURN && !c->closed; i++) {
        ssize_t n = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) {
            end_of_stream(c, n < 0 ? errno : 0);
            return;
        }
        feed(c, slice_from(bytes, (size_t)n));
        if ((size_t)n < sizeof bytes) return;
    }
}

static void write_some(struct connection *c) {
    while (c->out.n) {
        ssize_t n = send(c->fd, c->out.p, c->out.n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) break; /* EAGAIN waits; what else there is, the next read reports */
        buf_consume(&c->out, (size_t)n);
    }
    if (!c->out.n) buf_done(&c->out);
    fd_watch_set(c->watch, FD_READ | (c->out.n ? FD_WRITE : 0));
}

static void on_ready(void *user, unsigned events) {
    struct connection *c = user;
    c->refs++;
    if (events & FD_WRITE) write_some(c);
    if (events & FD_READ) read_some(c);
    connection_unref(c);
}

static int socket_connect(const char *path, int *ret_fd, struct err *err) {
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof sun.sun_path)
        return err_set(err, ERR_BAD_REQUEST, "socket path %s is too long", path);
    memcpy(sun.sun_path, path, strlen(path));
    OWN(close_p) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return err_errno(err, errno, "socket");
    if (connect(fd, (struct sockaddr *)&sun, sizeof sun) < 0)
        return err_set(err, ERR_UNAVAILABLE, "the API server cannot be reached at %s: %s", path,
                       strerror(errno));
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/* ---- the simulator ---- */

void connection_replace(const struct connection_transport *t) { replaced = t; }

void connection_deliver_head(struct connection *c, int status) {
    if (c->closed) return;
    c->answered = true;
    c->ev.head(c->user, status);
}

void connection_deliver_body(struct connection *c, struct slice data) {
    if (!c->closed) c->ev.body(c->user, data);
}

void connection_deliver_end(struct connection *c) {
    if (!c->closed) c->ev.end(c->user, true);
}

void connection_deliver_lost(struct connection *c, const struct err *err) { lost(c, err); }

static int replaced_open(const char *socket_path, const struct connection_events *ev, void *user,
                         struct connection **ret, struct err *err) {
    struct connection *c = calloc(1, sizeof *c);
    if (!c) abort();
    *c = (struct connection){
        .transport = replaced, .ev = *ev, .user = user, .fd = -1, .refs = 1, .keep_alive = true};
    int r = replaced->open(replaced->user, socket_path, c, &c->peer, err);
    if (r < 0) {
        free(c);
        return r;
    }
    *ret = c;
    return 0;
}

int connection_open(struct loop *l, const char *socket_path, const struct connection_events *ev,
                    void *user, struct connection **ret, struct err *err) {
    if (replaced) return replaced_open(socket_path, ev, user, ret, err);
    int fd;
    int r = socket_connect(socket_path, &fd, err);
    if (r < 0) return r;
    struct connection *c = calloc(1, sizeof *c);
    if (!c) abort();
    *c = (struct connection){.loop = l, .ev = *ev, .user = user, .fd = fd, .refs = 1};
    c->parser = http1_new(HTTP1_RESPONSES, &parser_events, c);
    c->watch = fd_watch_new(l, fd, FD_READ, on_ready, c);
    *ret = c;
    return 0;
}

void connection_send(struct connection *c, const char *method, const char *target,
                     const char *content_type, struct slice body) {
    if (c->transport) {
        c->answered = false;
        c->transport->send(c->transport->user, c->peer, method, target, body, content_type);
        return;
    }
    char length[24];
    struct http_header v[4] = {{"accept", "application/json"}, {"user-agent", "atoll"}};
    struct http_headers h = {v, 2};
    if (content_type) {
        v[h.n++] = (struct http_header){"content-type", content_type};
        snprintf(length, sizeof length, "%zu", body.n);
        v[h.n++] = (struct http_header){"content-length", length};
    }
    http1_write_request(&c->out, method, target, &h);
    if (content_type) buf_slice(&c->out, body);
    c->answered = false;
    write_some(c);
}
