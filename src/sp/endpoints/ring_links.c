/* Who shares memory with whom: made when one joins, told to both, taken back when one leaves. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/own.h"
#include "sp/endpoints/ring_door.h"
#include "sp/sp_service.h"

enum { FULL_SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

static struct ring_client *as_ring(struct sp_pipe *p) {
    return p->ops == &ring_pipe_ops ? (struct ring_client *)p : NULL;
}

/* A place in the client's side that has not been used for long; 0: there is none. */
static uint16_t slot_take(struct ring_client *c) {
    for (unsigned tried = 1; tried < SP_SIDE_SLOTS; tried++) {
        uint16_t slot = (uint16_t)(c->next_slot % (SP_SIDE_SLOTS - 1) + 1);
        bool used = false;
        c->next_slot++;
        for (size_t i = 0; i < c->links.n && !used; i++) {
            const struct ring_link *l = c->links.v[i];
            used = (l->from == c ? l->from_slot : l->to_slot) == slot;
        }
        if (!used) return slot;
    }
    return 0;
}

/* ---- making ---- */

static void link_free(struct ring_link *l) {
    if (l->lane >= 0) close(l->lane);
    free(l);
}

static int make_lane(struct ring_link *l, bool duplex) {
    size_t half = SP_RING_HEADER_BYTES + SP_LANE_BYTES, bytes = half * (duplex ? 2 : 1);
    struct sp_ring_writer w;
    void *p;
    int r = ring_memfd("atoll-sp-lane", bytes, &p, &l->lane, FULL_SEALS);
    if (r < 0) return r;
    for (int i = 0; i < (duplex ? 2 : 1); i++)
        sp_ring_format((char *)p + (size_t)i * half, SP_LANE_BYTES, sp_ring_largest(SP_LANE_BYTES),
                       &w);
    munmap(p, bytes);
    return 0;
}

static unsigned ringing(const struct ring_client *c) {
    unsigned n = 0;
    for (size_t i = 0; i < c->links.n; i++) n += c->links.v[i]->rings;
    return n;
}

/* Where the subscriber begins, before anybody has told it: where we are ourselves, if we read,
 * since what we have read may come to it as retained; else at what is written from now on. */
static void set_start(struct ring_link *l) {
    const struct ring_client *from = l->from;
    struct sp_ring_cursor now = from->cursor;
    if (!from->reading) sp_ring_attach(&from->in, &now);
    l->start = now.position;
    if (!from->reading) sp_ring_detach(&now);
}

static void make(struct ring_client *from, struct ring_client *to) {
    struct ring_link *l = calloc(1, sizeof *l);
    enum sp_role role = from->pipe.role;
    if (!l) abort();
    *l = (struct ring_link){.from = from, .to = to, .lane = -1};
    l->to_slot = slot_take(to);
    l->from_slot = role == SP_REQ ? slot_take(from) : 0;
    l->rings = role != SP_PUB || ringing(from) < SP_READERS_RUNG;
    bool ok = l->to_slot && (role != SP_REQ || l->from_slot);
    if (!ok || (role != SP_PUB && make_lane(l, role == SP_REQ) < 0)) {
        link_free(l); /* they speak through us */
        return;
    }
    if (role == SP_PUB) set_start(l);
    /* A publisher need not know of readers that it neither wakes nor waits for. */
    l->told_from = role == SP_PUB && !l->rings && from->policy != SP_BLOCK;
    from->untold += !l->told_from;
    to->untold++;
    vec_push(&from->links, l);
    vec_push(&to->links, l);
    if (!l->rings) timer_start(from->again, 0, 0);
}

void ring_links_join(struct ring_client *c) {
    struct sp_topology *t = c->pipe.topology;
    const struct sp_protocol *protocol = sp_protocol_of_role(c->pipe.role);
    bool first = c->pipe.role == SP_PUB || c->pipe.role == SP_PUSH || c->pipe.role == SP_REQ;
    struct sp_pipe *p;
    for (size_t i = 0; (p = sp_topology_next(t, protocol->peer_role, &i));) {
        struct ring_client *other = as_ring(p);
        if (!other || !other->joined || other->ended) continue;
        make(first ? c : other, first ? other : c);
        ring_client_tell_all(other);
    }
}

/* ---- telling ---- */

static bool tell_reader(const struct ring_link *l) { /* the publisher, of who reads it */
    bool block = l->from->policy == SP_BLOCK;
    struct sp_session_message m = {.kind = SP_SESSION_READER,
                                   .id = l->to->pipe.id,
                                   .peer_slot = l->to_slot,
                                   .flags = (l->rings ? SP_SESSION_RING : 0U) |
                                            (block ? SP_SESSION_BLOCK : 0U)};
    int fds[] = {l->to->side_fd, l->to->bell};
    return ring_client_tell(l->from, &m, NULL, 0, fds, 2);
}

static bool tell_source(const struct ring_link *l) { /* the subscriber, of what it reads */
    bool block = l->from->policy == SP_BLOCK;
    struct sp_session_message m = {.kind = SP_SESSION_SOURCE,
                                   .id = l->from->pipe.id,
                                   .own_slot = l->to_slot,
                                   .flags =
                                       SP_SESSION_BELL_EMPTIES | (block ? SP_SESSION_BLOCK : 0U)};
    int fds[] = {l->from->ring_fd, l->from->bell};
    return ring_client_tell(l->to, &m, NULL, 0, fds, block ? 2 : 1);
}

static bool tell_lane(const struct ring_link *l, bool first) {
    struct ring_client *c = first ? l->from : l->to, *other = first ? l->to : l->from;
    struct sp_session_message m = {.kind = SP_SESSION_LANE,
                                   .id = other->pipe.id,
                                   .own_slot = first ? l->from_slot : l->to_slot,
                                   .peer_slot = first ? l->to_slot : l->from_slot,
                                   .size = SP_LANE_BYTES};
    if (!first) m.flags |= SP_SESSION_SECOND;
    if (l->from->pipe.role == SP_REQ) m.flags |= SP_SESSION_DUPLEX;
    if (ring_empties(other->pipe.role)) m.flags |= SP_SESSION_BELL_EMPTIES;
    int fds[] = {l->lane, other->side_fd, other->bell};
    return ring_client_tell(c, &m, NULL, 0, fds, 3);
}

static bool tell_link(struct ring_client *c, struct ring_link *l) {
    bool first = l->from == c, *told = first ? &l->told_from : &l->told_to;
    if (*told) return true;
    bool ok = c->pipe.role == SP_PUB   ? tell_reader(l)
              : c->pipe.role == SP_SUB ? tell_source(l)
                                       : tell_lane(l, first);
    if (!ok) return false;
    *told = true;
    c->untold--;
    if (l->told_from && l->told_to && l->lane >= 0) {
        close(l->lane);
        l->lane = -1;
    }
    return true;
}

bool ring_links_tell(struct ring_client *c) {
    while (c->gone.n) {
        struct sp_session_message m = {.kind = SP_SESSION_GONE, .id = c->gone.v[0]};
        if (!ring_client_tell(c, &m, NULL, 0, NULL, 0)) return false;
        vec_remove(&c->gone, 0);
    }
    for (size_t i = 0; c->untold && i < c->links.n; i++)
        if (!tell_link(c, c->links.v[i])) return false;
    return true;
}

/* ---- ending ---- */

static void forget(struct ring_client *c, const struct ring_link *l) {
    for (size_t i = 0; i < c->links.n; i++) {
        if (c->links.v[i] != l) continue;
        vec_swap_remove(&c->links, i);
        return;
    }
}

/* The other one hears of the end, if it has heard of the beginning. A link that it was not to know
 * of counts as told. */
static void part(struct ring_client *other, const struct ring_client *c, struct ring_link *l) {
    bool told = other == l->from ? l->told_from : l->told_to;
    bool knows = told && (other->pipe.role != SP_PUB || l->rings || other->policy == SP_BLOCK);
    if (knows) vec_push(&other->gone, c->pipe.id);
    if (!told) other->untold--;
    forget(other, l);
    ring_client_tell_all(other);
}

void ring_links_leave(struct ring_client *c) {
    while (c->links.n) {
        struct ring_link *l = c->links.v[--c->links.n];
        part(l->from == c ? l->to : l->from, c, l);
        link_free(l);
    }
    vec_done(&c->links);
}

void ring_links_break(struct ring_client *to, uint32_t from_id) {
    for (size_t i = 0; i < to->links.n; i++) {
        struct ring_link *l = to->links.v[i];
        if (l->to != to || l->from->pipe.id != from_id || l->from->pipe.role != SP_PUB) continue;
        if (!l->told_to) to->untold--;
        forget(to, l);
        part(l->from, to, l);
        link_free(l);
        break;
    }
    /* Its messages come through us from now on, if they are any better then. */
    ring_pipes_changed(to->pipe.topology);
}

/* ---- publishers ---- */

bool ring_links_has(const struct ring_client *to, const struct ring_client *from) {
    for (size_t i = 0; i < to->links.n; i++)
        if (to->links.v[i]->from == from) return true;
    return false;
}

void ring_links_wake(struct ring_client *from) {
    for (size_t i = 0; i < from->links.n; i++) {
        struct ring_link *l = from->links.v[i];
        if (!l->rings && sp_side_asks(l->to->side, &l->rung)) ring_client_ring(l->to);
    }
}

bool ring_links_need_us(const struct ring_client *from) {
    const struct sp_topology *t = from->pipe.topology;
    struct sp_pipe *p;
    if (t->config->retain) return true;
    for (size_t i = 0; (p = sp_topology_next(t, SP_SUB, &i));) {
        const struct ring_client *c = as_ring(p);
        if (!c || (c->joined && !ring_links_has(c, from))) return true;
    }
    return false;
}

bool ring_links_help(const struct ring_client *c) {
    enum sp_role other = sp_protocol_of_role(c->pipe.role)->peer_role;
    struct sp_pipe *p;
    for (size_t i = 0; (p = sp_topology_next(c->pipe.topology, other, &i));) {
        const struct ring_client *r = as_ring(p);
        if (!r || (r->joined && !ring_links_has(r, c))) return true;
    }
    return false;
}

void ring_links_watch(struct ring_client *from, uint64_t now_ms) {
    uint64_t wanted = sp_ring_waits_for(&from->in);
    uint32_t limit = from->pipe.topology->config->queue.block_timeout_ms;
    for (size_t i = 0; i < from->links.n; i++) {
        struct ring_link *l = from->links.v[i];
        uint64_t position = sp_side_position(l->to->side, l->to_slot);
        bool holds_up = wanted && position < wanted && wanted <= sp_ring_written(&from->in);
        if (!holds_up || position != l->seen || !l->seen_ms) {
            l->seen = position;
            l->seen_ms = holds_up ? now_ms : 0;
        } else if (limit && now_ms - l->seen_ms >= limit) {
            sp_log(from->pipe.topology->service, "receiver_too_slow",
                   "topology=%s pid=%d peer=\"ring\"", from->pipe.topology->config->name,
                   (int)l->to->pipe.who.pid);
            sp_pipe_close(&l->to->pipe, "blocked its senders for too long");
        }
    }
}
