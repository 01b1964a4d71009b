#include "sp/links/link.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/own.h"
#include "proc/loop.h"
#include "sp/endpoints/endpoint.h"
#include "sp/links/edge.h"
#include "sp/links/link_private.h"
#include "sp/memory.h"
#include "sp/sp_service.h"

enum { READ_BYTES = 256 * 1024, LEFT_MAX_BYTES = READ_BYTES + 64 * 1024 };

static const struct sp_pipe_ops ops;

/* ---- its end ---- */

static void free_later(void *user) { free(user); }

static void handshakes_remove(struct sp_link *l) {
    struct sp_topology *t = l->pipe.topology;
    for (size_t i = 0; i < t->handshakes.n; i++) {
        if (t->handshakes.v[i] != l) continue;
        vec_swap_remove(&t->handshakes, i);
        return;
    }
}

/* Everything but the memory, which somebody further up may still look at. */
static void link_end(struct sp_link *l) {
    if (l->ended) return;
    l->ended = true;
    if (!l->open) handshakes_remove(l);
    if (l->open && l->dialect && l->dialect->closed) l->dialect->closed(l);
    if (l->codec_state && l->transport->codec->close) l->transport->codec->close(l);
    if (l->stream_state) l->transport->stream->close(l->stream_state);
    fd_watch_free(l->watch);
    timer_free(l->limit);
    close_p(&l->fd);
    sp_frames_done(&l->frames);
    sp_memory_holding(&l->pipe, 0);
    buf_done(&l->in);
    buf_done(&l->out);
    if (l->pipe.edge) sp_edge_link_closed(l->pipe.edge, l, str_or(l->pipe.why_closed, "closed"));
    loop_defer(l->pipe.topology->loop, free_later, l);
}

static void link_freed(struct sp_pipe *p) { link_end((struct sp_link *)p); }

void sp_link_close(struct sp_link *l, const char *why) {
    if (l->ended) return;
    if (l->open) {
        sp_pipe_close(&l->pipe, why);
        return;
    }
    l->pipe.why_closed = why;
    link_end(l);
}

void sp_link_close_now(struct sp_link *l, const char *why) {
    if (l->open)
        sp_pipe_close_now(&l->pipe, why);
    else
        sp_link_close(l, why);
}

/* A peer that breaks the rules, or does not prove who it is. */
static void refuse(struct sp_link *l, const struct err *err) {
    struct sp_topology *t = l->pipe.topology;
    struct sp_edge *e = l->pipe.edge;
    l->pipe.counters.errors++;
    if (e && !l->open) e->handshakes_failed++;
    t->broken++;
    if (t->service)
        sp_log(t->service, "link_refused", "topology=%s edge=%s peer=\"%s\" pid=%d reason=\"%s\"",
               t->config->name, e ? e->config->name : "-", l->pipe.who.name, (int)l->pipe.who.pid,
               err->text);
    snprintf(l->reason, sizeof l->reason, "%.150s", err->text);
    sp_link_close(l, l->reason);
}

static bool over(const struct sp_link *l) { return l->ended || l->pipe.closing; }

static void watch_update(struct sp_link *l) {
    unsigned events = l->want;
    if (over(l) || !l->watch) return;
    if (l->connecting)
        events = FD_WRITE;
    else if (!l->shaking)
        events |= !l->paused ? FD_READ : l->hangup_seen ? 0 : FD_HANGUP;
    if (l->send_blocked) events |= FD_WRITE;
    fd_watch_set(l->watch, events);
}

void sp_link_want(struct sp_link *l, unsigned events) {
    l->want = events;
    watch_update(l);
}

/* ---- what comes in ---- */

bool sp_link_may_read(const struct sp_link *l) {
    return !over(l) && (!l->open || sp_pipe_may_read(&l->pipe));
}

static ssize_t stream_read(struct sp_link *l, void *p, size_t n) {
    if (l->transport->stream) return l->transport->stream->read(l->stream_state, p, n);
    ssize_t got = recv(l->fd, p, n, MSG_DONTWAIT);
    return got < 0 ? -errno : got;
}

/* Lets the codec eat; what it leaves is kept. */
static void digest(struct sp_link *l, struct slice in) {
    struct err err = {0};
    bool kept = l->in.n > 0; /* then it is what we are given */
    int r = l->transport->codec->input(l, &in, &err);
    if (over(l)) return;
    if (r == 0 && in.n > LEFT_MAX_BYTES) r = err_set(&err, ERR_TOO_LARGE, "too much at once");
    if (r < 0) {
        refuse(l, &err);
        return;
    }
    if (kept) {
        buf_consume(&l->in, l->in.n - in.n);
        return;
    }
    buf_append(&l->in, in.p, in.n);
}

static void digest_new(struct sp_link *l, struct slice in) {
    if (!l->in.n) {
        digest(l, in);
        return;
    }
    buf_append(&l->in, in.p, in.n);
    digest(l, buf_view(&l->in));
}

static void read_some(struct sp_link *l) {
    static char bytes[READ_BYTES];
    if (l->open && sp_memory_holds(&l->pipe)) return;
    do {
        ssize_t n = stream_read(l, bytes, sizeof bytes);
        if (n == -EAGAIN || n == -EINTR) break;
        if (n <= 0) {
            if (l->open)
                sp_pipe_hung_up(&l->pipe, n < 0 ? strerror((int)-n) : "peer has closed");
            else
                sp_link_close(l, n < 0 ? strerror((int)-n) : "peer has closed");
            break;
        }
        sp_endpoints_catch_up(l->pipe.topology);
        digest_new(l, slice_from(bytes, (size_t)n));
    } while (sp_link_may_read(l) && l->transport->stream && l->transport->stream->pending &&
             l->transport->stream->pending(l->stream_state));
    if (!l->ended) sp_memory_holding(&l->pipe, l->in.cap + l->frames.part.cap);
}

static bool take_message(struct sp_link *l, struct slice header, struct slice body) {
    size_t room = header.n || l->header == SP_HEADER_TAGS ? SP_TAGS_BYTES_MAX : 0;
    struct sp_message *m = sp_message_new(room, body);
    if (header.n) {
        m->header_n = (uint16_t)header.n;
        memcpy(m->bytes + m->header_room - m->header_n, header.p, header.n);
    }
    return sp_pipe_received(&l->pipe, m);
}

/* For dialects: this payload is a message of the pattern. */
static int sp_link_message(struct sp_link *l, struct slice payload, struct err *err) {
    struct slice body = payload;
    uint32_t hops;
    int r = 0;
    if (l->header == SP_HEADER_TAGS)
        r = sp_tags_read(payload, l->pipe.topology->config->ttl, &body);
    if (l->header == SP_HEADER_HOPS)
        r = sp_hops_read(payload, l->pipe.topology->config->ttl, &hops, &body);
    if (r == -ELOOP) {
        l->pipe.counters.messages_in++;
        sp_pipe_lost(&l->pipe, 1, "too many hops");
        return 0;
    }
    if (r < 0) {
        err_set(err, ERR_BAD_REQUEST, "message without the header of its protocol");
        return r;
    }
    take_message(l, slice_from(payload.p, (size_t)(body.p - payload.p)), body);
    return 0;
}

int sp_link_payload(struct sp_link *l, struct slice bytes, struct err *err) {
    if (l->dialect && l->dialect->payload) return l->dialect->payload(l, bytes, err);
    return sp_link_message(l, bytes, err);
}

/* ---- greetings ---- */

/* A peer of a pair may be of either version; the one that is dialled is asked for the newer one
 * first, and for the other when it has refused. */
static uint16_t type_to_say(const struct sp_link *l) {
    const struct sp_edge *e = l->pipe.edge;
    if (l->dialect) return l->dialect->own;
    enum sp_role own = sp_protocol_of_role(l->role)->peer_role;
    if (own == SP_PAIR && e && e->attempts % 2 == 0) return SP_TYPE_PAIR1;
    return sp_protocol_of_role(own)->type;
}

bool sp_link_waits_for_greeting(const struct sp_link *l) {
    return l->role == SP_PAIR && !l->dialled;
}

int sp_link_opened(struct sp_link *l, uint16_t peer_type, struct err *err) {
    struct sp_topology *t = l->pipe.topology;
    if (sp_link_waits_for_greeting(l) && (peer_type == SP_TYPE_PAIR0 || peer_type == SP_TYPE_PAIR1))
        l->own_type = peer_type;
    int r = l->dialect && peer_type == l->dialect->peer
                ? 0
                : sp_handshake_check(l->own_type, peer_type, err);
    if (r < 0) return r;
    const struct sp_protocol *protocol = sp_protocol_of_type(peer_type);
    l->peer_type = peer_type;
    l->header = protocol && !l->dialect ? protocol->header : SP_HEADER_NONE;
    l->pipe.raw = true;
    l->pipe.forwarded = l->dialect != NULL;
    r = sp_pipe_open(&l->pipe, err);
    if (r < 0) return r;
    handshakes_remove(l);
    l->greeted = l->open = true;
    timer_free(l->limit);
    l->limit = NULL;
    t->changed = true;
    if (l->pipe.edge) sp_edge_link_opened(l->pipe.edge, l);
    if (l->dialect && l->dialect->opened) l->dialect->opened(l);
    return 0;
}

/* The bytes flow: say hello. */
static void talk(struct sp_link *l) {
    struct err err = {0};
    l->want = 0;
    l->frames.framing = SP_FRAMING_TCP;
    l->frames.limit_bytes = l->limit_bytes;
    if (l->transport->codec->open(l, l->dialled, &err) < 0) {
        refuse(l, &err);
        return;
    }
    sp_link_flush(l);
    watch_update(l);
}

/* What the stream has read ahead makes no descriptor readable. The link lives at least until the
 * loop has done what was deferred before its end. */
static void read_rest(void *user) {
    struct sp_link *l = user;
    const struct sp_stream *s = l->ended ? NULL : l->transport->stream;
    if (!s || !s->pending || !s->pending(l->stream_state) || !sp_link_may_read(l)) return;
    read_some(l);
    sp_pipes_flush();
}

static void shake_hands(struct sp_link *l) {
    struct err err = {0};
    int r = l->transport->stream->handshake(l->stream_state, &err);
    if (r < 0) {
        refuse(l, &err);
    } else if (r > 0) {
        l->shaking = false;
        talk(l);
        if (!over(l)) loop_defer(l->pipe.topology->loop, read_rest, l);
    }
}

static void connected(struct sp_link *l) {
    struct err err = {0};
    l->connecting = false;
    if (!l->transport->stream) {
        talk(l);
        return;
    }
    l->stream_state = l->transport->stream->open(l, l->dialled, &err);
    if (!l->stream_state) {
        refuse(l, &err);
        return;
    }
    l->shaking = true;
    shake_hands(l);
    watch_update(l);
}

static void on_connected(struct sp_link *l) {
    int error = 0;
    socklen_t n = sizeof error;
    if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0) error = errno;
    if (error)
        sp_link_close(l, strerror(error));
    else
        connected(l);
}

static void on_limit(void *user) {
    struct err err;
    err_set(&err, ERR_TIMEOUT, "no handshake within %d s", SP_NEGOTIATE_MS / 1000);
    refuse(user, &err);
}

static void on_event(void *user, unsigned events) {
    struct sp_link *l = user;
    if (l->pipe.closing) {
        fd_watch_set(l->watch, 0);
        return;
    }
    if (l->connecting) {
        on_connected(l);
    } else if (l->shaking) {
        shake_hands(l);
    } else {
        if (events & FD_WRITE) {
            l->send_blocked = false;
            sp_link_flush(l);
            if (!over(l) && l->open) sp_pipe_flush(&l->pipe);
            watch_update(l);
        }
        if (!over(l) && events & FD_HANGUP && l->paused) {
            l->hangup_seen = true;
            watch_update(l);
            sp_pipe_hung_up(&l->pipe, "peer has closed");
        }
        if (!over(l) && events & (FD_READ | l->want) && sp_link_may_read(l)) read_some(l);
    }
    sp_pipes_flush();
}

static void pause_reading(struct sp_pipe *p, bool paused) {
    struct sp_link *l = (struct sp_link *)p;
    l->paused = paused;
    if (!paused) l->hangup_seen = false;
    if (!paused && l->in.n) digest(l, buf_view(&l->in));
    if (!paused && !over(l) && l->stream_state) loop_defer(l->pipe.topology->loop, read_rest, l);
    watch_update(l);
}

/* ---- life ---- */

static const struct sp_pipe_ops ops = {
    .door = "stream", .flush = sp_link_pipe_flush, .pause = pause_reading, .freed = link_freed};

/* What else a payload may hold besides the body. */
static uint64_t payload_limit(const struct sp_topology *t) {
    return (uint64_t)t->config->message_max_bytes + SP_TAGS_BYTES_MAX + SP_EXTRA_MAX;
}

struct sp_link *sp_link_new(struct sp_topology *t, struct sp_edge *edge,
                            const struct sp_transport *transport, int fd, bool dialled,
                            enum sp_role peer_role, const struct sp_credentials *who) {
    struct sp_link *l = calloc(1, sizeof *l);
    if (!l) abort();
    l->transport = transport;
    l->fd = fd;
    l->dialled = l->connecting = dialled;
    l->role = peer_role;
    l->limit_bytes = payload_limit(t);
    l->pipe = (struct sp_pipe){.topology = t, .ops = &ops, .role = peer_role, .edge = edge};
    if (edge) l->pipe.priority = edge->config->priority;
    if (who) l->pipe.who = *who;
    if (edge && edge->config->forwarding && &sp_dialect_forward) l->dialect = sp_dialect_forward;
    l->own_type = type_to_say(l);
    vec_push(&t->handshakes, l);
    l->limit = timer_new(t->loop, on_limit, l);
    timer_start(l->limit, SP_NEGOTIATE_MS, 0);
    l->watch = fd_watch_new(t->loop, fd, dialled ? FD_WRITE : 0, on_event, l);
    if (!dialled) connected(l);
    return l;
}
