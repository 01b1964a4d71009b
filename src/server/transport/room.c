/*
 * Who makes room when there are too many connections. Those that could go are in two lists of each
 * peer, in the order of their dead-lines: to look through all connections for each one that comes
 * took longer than everything else that a connection costs.
 */
#include "server/transport/listener.h"

#include "base/own.h"

static struct resting *list_of(const struct conn *c) {
    struct resting_peer *p = &c->listener->resting[c->place];
    return c->rest.where == REST_IDLE ? &p->idle : &p->unserved;
}

static void unlink_rest(struct conn *c) {
    if (c->rest.where == REST_NONE) return;
    struct resting *r = list_of(c);
    if (c->rest.prev)
        c->rest.prev->rest.next = c->rest.next;
    else
        r->first = c->rest.next;
    if (c->rest.next)
        c->rest.next->rest.prev = c->rest.prev;
    else
        r->last = c->rest.prev;
    c->rest.where = REST_NONE;
}

static void link_rest(struct conn *c, enum conn_rest where) {
    c->rest.where = where;
    struct resting *r = list_of(c);
    c->rest.prev = r->last;
    c->rest.next = NULL;
    if (r->last)
        r->last->rest.next = c;
    else
        r->first = c;
    r->last = c;
}

static void count(struct listener *l, unsigned place) {
    unsigned n = ++l->peers[place], most = l->peers[l->most];
    if (place == l->most) return;
    l->others_most = MAX_OF(l->others_most, MIN_OF(n, most));
    if (n > most) l->most = place;
}

void room_enter(struct conn *c) {
    c->listener->n_conns++;
    count(c->listener, c->place);
    link_rest(c, REST_UNSERVED);
}

void room_leave(struct conn *c) {
    unlink_rest(c);
    c->listener->n_conns--;
    c->listener->peers[c->place]--;
}

void room_move(struct conn *c, unsigned place) {
    enum conn_rest where = c->rest.where;
    unlink_rest(c);
    c->listener->peers[c->place]--;
    c->place = place;
    count(c->listener, place);
    if (where != REST_NONE) link_rest(c, where);
}

void conn_begins(struct conn *c) {
    c->idle = false;
    unlink_rest(c);
    if (!c->served && !c->dead) link_rest(c, REST_UNSERVED);
}

void conn_serves(struct conn *c) {
    c->idle = false;
    c->served = true;
    unlink_rest(c);
}

void conn_idles(struct conn *c) {
    c->idle = true;
    unlink_rest(c);
    if (!c->dead) link_rest(c, REST_IDLE);
}

bool room_evict(struct listener *l, unsigned place) {
    struct conn *idle = l->resting[place].idle.first, *c = l->resting[place].unserved.first;
    if (!c || (idle && idle->deadline_ms < c->deadline_ms)) c = idle;
    if (c) conn_kill(c);
    return c;
}

unsigned room_biggest_peer(struct listener *l) {
    if (l->peers[l->most] >= l->others_most) return l->most;
    for (unsigned i = l->most = l->others_most = 0; i < LISTENER_PEERS; i++) {
        if (l->peers[i] > l->peers[l->most]) l->most = i;
    }
    for (unsigned i = 0; i < LISTENER_PEERS; i++)
        if (i != l->most) l->others_most = MAX_OF(l->others_most, l->peers[i]);
    return l->most;
}

bool room_make(struct listener *l, unsigned place) {
    unsigned most = room_biggest_peer(l);
    bool has_most = l->peers[place] >= l->peers[most];
    if (room_evict(l, has_most ? place : most)) return true;
    struct conn *c = has_most ? NULL : l->conns;
    while (c && c->place != most) c = c->next;
    if (c) conn_kill(c);
    return c;
}
