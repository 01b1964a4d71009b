/* Messages between the service and those who share memory with it. */
#include <errno.h>
#include <string.h>

#include "base/own.h"
#include "sp/endpoints/ring_door.h"

enum {
    AGAIN_MS = 2, /* between two looks at a busy publisher whose readers we wake */
    BATCH = 256,  /* messages of one client in a turn */
};

/* ---- from the client ---- */

static void take(struct ring_client *c, const unsigned char *bytes, uint32_t n) {
    bool numbered = c->pipe.role == SP_REQ || c->pipe.role == SP_REP;
    uint64_t number;
    if (numbered) {
        if (n < sizeof number) {
            sp_pipe_fault(&c->pipe, "broken message");
            return;
        }
        memcpy(&number, bytes, sizeof number);
        bytes += sizeof number;
        n -= (uint32_t)sizeof number;
        if (c->pipe.role == SP_REP && number != c->number) return; /* to an older request */
        c->number = number;
    }
    struct sp_message *m = sp_message_new(numbered ? SP_TAGS_BYTES_MAX : 0, slice_from(bytes, n));
    sp_pipe_received(&c->pipe, m);
}

static void show(struct ring_client *c) {
    uint64_t before = c->shown;
    if (before == c->cursor.position) return;
    c->shown = c->cursor.position;
    sp_side_show(c->own, 0, c->shown);
    if (sp_ring_wanted(&c->in, before, c->shown)) ring_client_ring(c);
}

/* True: there may be more. */
static bool read_batch(struct ring_client *c) {
    const unsigned char *bytes;
    uint32_t n;
    for (int i = 0; i < BATCH; i++) {
        if (!sp_pipe_may_read(&c->pipe)) break;
        uint64_t lost = c->cursor.lost;
        int r = sp_ring_next(&c->in, &c->cursor, NULL, NULL, 1, &bytes, &n);
        c->pipe.counters.gaps += c->cursor.lost - lost;
        if (r < 0) sp_pipe_fault(&c->pipe, "broken ring");
        if (r <= 0) break;
        take(c, bytes, n);
    }
    show(c);
    return sp_pipe_may_read(&c->pipe) && sp_ring_pending(&c->in, &c->cursor);
}

static bool wakes_others(const struct ring_client *c) {
    return c->pipe.role == SP_PUB && c->links.n > SP_READERS_RUNG;
}

static void later(struct ring_client *c) {
    if (!timer_active(c->again)) timer_start(c->again, AGAIN_MS, 0);
}

/* The client has written, or has read what we wrote. */
void ring_client_look(struct ring_client *c) {
    if (!c->joined || c->pipe.closing) return;
    bool more = c->reading && read_batch(c);
    if (wakes_others(c) && sp_ring_written(&c->in) != c->scanned) {
        c->scanned = sp_ring_written(&c->in);
        ring_links_wake(c);
    }
    sp_pipe_flush(&c->pipe);
    sp_pipes_flush();
    if (c->pipe.closing) return;
    if (more) {
        timer_start(c->again, 0, 0);
        return;
    }
    if (c->ended && !(c->reading && sp_ring_pending(&c->in, &c->cursor))) {
        sp_pipe_close(&c->pipe, "client has closed");
        return;
    }
    if (c->ended && c->pipe.paused) sp_pipe_hung_up(&c->pipe, "client has closed");
    /* A publisher whose messages need nothing of us does not have to ring for each. */
    if (c->pipe.role == SP_PUB && !c->reading && !wakes_others(c)) return;
    sp_side_arm(c->own);
    if (c->reading && sp_pipe_may_read(&c->pipe) && sp_ring_pending(&c->in, &c->cursor))
        timer_start(c->again, 0, 0);
    else if (wakes_others(c) && sp_ring_written(&c->in) != c->scanned)
        later(c);
}

void ring_client_again(void *user) { ring_client_look(user); }

static void pause_reading(struct sp_pipe *p, bool paused) {
    struct ring_client *c = (struct ring_client *)p;
    if (!paused && c->joined) timer_start(c->again, 0, 0);
}

/* ---- to the client ---- */

static void tell_active(struct ring_client *c) {
    while (c->pipe.controls.n && !c->blocked) {
        struct sp_session_message m = {.kind = SP_SESSION_ACTIVE, .id = c->asked};
        if (ring_client_tell(c, &m, NULL, 0, NULL, 0)) sp_pipe_sent(&c->pipe, 1);
    }
    if (c->blocked) ring_client_watch(c);
}

static int put(struct ring_client *c, struct sp_message *m) {
    struct iovec v[2] = {{&c->number, sizeof c->number}, {sp_message_body_p(m), m->body_n}};
    bool numbered = c->pipe.role == SP_REQ || c->pipe.role == SP_REP;
    uint64_t number = c->number;
    if (c->pipe.role == SP_REP) c->number++;
    int r = sp_ring_put(&c->out, numbered ? v : v + 1, numbered ? 2 : 1);
    if (r == -EAGAIN) {
        sp_ring_limit(&c->out, sp_side_position(c->side, 0));
        r = sp_ring_put(&c->out, numbered ? v : v + 1, numbered ? 2 : 1);
    }
    if (r < 0) c->number = number;
    return r;
}

static void flush(struct sp_pipe *p) {
    struct ring_client *c = (struct ring_client *)p;
    struct sp_message *m;
    bool any = false;
    if (!c->joined) return;
    if (p->controls.n) tell_active(c);
    while (c->has_out && !p->controls.n && (m = sp_pipe_peek(p, 0))) {
        int r = put(c, m);
        if (r == -EAGAIN) {
            uint64_t seen = c->out.limit - c->out.ring.size; /* when there was no room */
            sp_ring_want(&c->out, seen + c->out.ring.size / 8);
            if (sp_side_position(c->side, 0) == seen) break;
            continue;
        }
        if (r < 0) {
            sp_pipe_unsendable(p);
            continue;
        }
        sp_pipe_sent(p, 1);
        any = true;
    }
    if (!any) return;
    sp_ring_publish(&c->out);
    if (sp_side_asks(c->side, &c->rung)) ring_client_ring(c);
}

static bool has_already(const struct sp_pipe *receiver, const struct sp_pipe *source) {
    return source->ops == &ring_pipe_ops && source->role == SP_PUB &&
           ring_links_has((const struct ring_client *)receiver, (const struct ring_client *)source);
}

/* ---- who needs us to read a publisher's ring ---- */

static void reread(struct ring_client *c) {
    bool needed = ring_links_need_us(c);
    if (!c->joined || c->pipe.closing || needed == c->reading) return;
    if (needed) {
        sp_ring_detach(&c->cursor);
        sp_ring_attach(&c->in, &c->cursor);
        c->shown = c->cursor.position;
        sp_side_show(c->own, 0, c->shown);
    }
    c->reading = needed;
    if (c->service_told) vec_push(&c->gone, 0); /* and anew, with its position counting or not */
    c->service_told = false;
    /* GONE goes first. */
    if (ring_links_tell(c)) ring_client_tell_all(c);
    if (c->blocked) ring_client_watch(c);
    timer_start(c->again, 0, 0);
}

/* What clients were told of the queue's policy holds no more. */
static void close_outdated(struct sp_topology *t) {
    for (size_t i = 0; i < t->pipes.n; i++) {
        struct sp_pipe *p = t->pipes.v[i];
        if (!p || p->ops != &ring_pipe_ops) continue;
        if (((struct ring_client *)p)->policy != t->config->queue.policy)
            sp_pipe_close(p, "the queue's policy has changed");
    }
}

void ring_pipes_changed(struct sp_topology *t) {
    struct sp_pipe *p;
    close_outdated(t);
    for (size_t i = 0; (p = sp_topology_next(t, SP_PUB, &i));)
        if (p->ops == &ring_pipe_ops) reread((struct ring_client *)p);
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; (p = sp_topology_next(t, k ? SP_REQ : SP_PUSH, &i));) {
            struct ring_client *c = (struct ring_client *)p;
            if (p->ops == &ring_pipe_ops && c->joined)
                atomic_store_explicit(&c->own->helps, ring_links_help(c), memory_order_relaxed);
        }
}

void ring_client_count(struct ring_client *c) {
    uint64_t sent = sp_ring_sent(&c->in), written = sp_ring_written(&c->in);
    if (sent == c->counted) return;
    if (!c->reading) {
        c->pipe.counters.messages_in += sent - c->counted;
        c->pipe.counters.bytes_in += written - c->counted_bytes;
    }
    c->counted = sent;
    c->counted_bytes = written;
    c->pipe.topology->changed = true;
}

const struct sp_pipe_ops ring_pipe_ops = {.door = "ring",
                                          .flush = flush,
                                          .pause = pause_reading,
                                          .freed = ring_client_freed,
                                          .has_already = has_already};
