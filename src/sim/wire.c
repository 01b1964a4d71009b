#include "sim/wire.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/own.h"
#include "client/connection.h"
#include "sim/faults.h"

struct peer { /* the API's end of one connection */
    struct sim *s;
    struct connection *c; /* NULL: closed by its owner */
    char *process;
    unsigned refs;       /* its owner's and one per event under way */
    unsigned generation; /* of the request: answers to an older one are dropped */
    struct sim_resource *watched;
    struct sim_filter filter;
    uint64_t next;    /* number of the change it tells next */
    uint64_t held_us; /* tells nothing before */
    bool pumping;
};

struct sim_wire {
    struct connection_transport transport;
    VEC(struct peer *) peers;
    VEC(char *) refused;
    struct sim_wire_stats stats;
};

static void peer_unref(struct peer *p) {
    if (--p->refs) return;
    free(p->process);
    free(p);
}

/* ---- watches ---- */

static const char *const type_names[] = {"ADDED", "MODIFIED", "DELETED"};

static void deliver(struct peer *p, uint64_t from, uint64_t to) {
    OWN(buf_done) struct buf b = {0};
    struct sim_resource *r = p->watched;
    for (uint64_t i = from; i < to; i++) {
        const struct sim_change *c = &r->log.v[i - r->log_first];
        if (!filter_passes(&p->filter, c->object)) continue;
        if (p->s->bugs & SIM_BUG_SKIP && random_one_in(&p->s->random, 20)) continue;
        buf_printf(&b, "{\"type\":\"%s\",\"object\":", type_names[c->type]);
        buf_slice(&b, c->object->json);
        buf_str(&b, "}\n");
        p->s->wire->stats.changes_told++;
    }
    if (b.n) connection_deliver_body(p->c, buf_view(&b));
}

static void expire(struct peer *p) {
    OWN(buf_done) struct buf b = {0};
    buf_str(&b, "{\"type\":\"ERROR\",\"object\":");
    api_status_text(&b, ERR_EXPIRED, "too old resource version");
    buf_str(&b, "}\n");
    p->watched = NULL;
    connection_deliver_body(p->c, buf_view(&b));
}

static void pump_soon(struct peer *p);

static void pump(struct sim *s, void *user) {
    struct peer *p = user;
    p->pumping = false;
    if (p->c && p->watched) {
        struct sim_resource *r = p->watched;
        uint64_t end = r->log_first + r->log.n;
        if (p->held_us > s->now_us) {
            pump_soon(p);
        } else if (p->next < r->log_first) {
            expire(p);
        } else if (p->next < end) {
            uint64_t from = p->next;
            p->next = end;
            deliver(p, from, end);
        }
    }
    peer_unref(p);
}

static void pump_soon(struct peer *p) {
    if (p->pumping) return;
    p->pumping = true;
    p->refs++;
    uint64_t delay = faults_event_delay_us(p->s);
    if (p->held_us > p->s->now_us + delay) delay = p->held_us - p->s->now_us;
    sim_after_surely(p->s, delay, pump, p);
}

static void on_changed(struct sim *s, const struct sim_change *c, const struct sim_object *old) {
    struct sim_resource *r = store_resource(s, c->object->kind);
    (void)old;
    for (size_t i = 0; i < s->wire->peers.n; i++)
        if (s->wire->peers.v[i]->watched == r) pump_soon(s->wire->peers.v[i]);
}

/* The first change after that revision; false: it is not in the log any more. */
static bool find_start(const struct sim_resource *r, uint64_t revision, uint64_t *ret) {
    if (revision < r->compacted) return false;
    size_t low = 0, high = r->log.n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (r->log.v[mid].object->revision <= revision)
            low = mid + 1;
        else
            high = mid;
    }
    *ret = r->log_first + low;
    return true;
}

static void start_watch(struct peer *p, const struct sim_request *q) {
    uint64_t revision;
    struct sim_resource *r = api_watched(p->s, q, &revision, &p->filter);
    p->s->wire->stats.watches++;
    if (!r) {
        OWN(buf_done) struct buf b = {0};
        api_status_text(&b, ERR_NOT_FOUND, "no such resource");
        connection_deliver_head(p->c, 404);
        connection_deliver_body(p->c, buf_view(&b));
        connection_deliver_end(p->c);
        return;
    }
    connection_deliver_head(p->c, 200);
    if (!p->c) return;
    p->watched = r;
    if (!find_start(r, revision, &p->next))
        expire(p);
    else if (p->next < r->log_first + r->log.n)
        pump_soon(p);
}

/* ---- requests ---- */

struct travel { /* a request, then its answer */
    struct peer *peer;
    unsigned generation;
    char *method, *target, *content_type;
    struct buf body;
    struct sim_reply reply;
};

static void travel_free(struct travel *t) {
    peer_unref(t->peer);
    free(t->method);
    free(t->target);
    free(t->content_type);
    buf_done(&t->body);
    buf_done(&t->reply.body);
    free(t);
}

static bool stale(const struct travel *t) {
    return !t->peer->c || t->peer->generation != t->generation;
}

static void answer(struct sim *s, void *user) {
    struct travel *t = user;
    struct peer *p = t->peer;
    (void)s;
    if (!stale(t)) connection_deliver_head(p->c, t->reply.status);
    if (!stale(t)) connection_deliver_body(p->c, buf_view(&t->reply.body));
    if (!stale(t)) connection_deliver_end(p->c);
    travel_free(t);
}

static void lose(struct sim *s, void *user) {
    struct travel *t = user;
    struct err err;
    (void)s;
    err_set(&err, ERR_UNAVAILABLE, "the API server closed the connection");
    if (!stale(t)) connection_deliver_lost(t->peer->c, &err);
    travel_free(t);
}

static void refuse(struct travel *t, enum err_reason reason) {
    api_status_text(&t->reply.body, reason, "the simulator refuses this request");
    t->reply.status = err_http(reason);
}

static void arrive(struct sim *s, void *user) {
    struct travel *t = user;
    struct sim_request q = {t->method, t->target, buf_view(&t->body), str_or(t->content_type, ""),
                            t->peer->process};
    if (stale(t)) { /* sent by a process that is gone: on its way, it may still have arrived */
        travel_free(t);
        return;
    }
    if (api_is_watch(&q)) {
        start_watch(t->peer, &q);
        travel_free(t);
        return;
    }
    struct sim_fault f = faults_of_request(s, &q);
    if (str_eq(q.method, "GET") && f.refuse == ERR_NONE) s->wire->stats.lists++;
    if (f.refuse != ERR_NONE)
        refuse(t, f.refuse);
    else if (!f.lost_before)
        api_serve(s, &q, &t->reply);
    if (f.kill) faults_kill(s, t->peer->process);
    sim_after_surely(s, faults_latency_us(s), f.lost_before || f.lost_after ? lose : answer, t);
}

/* ---- the transport ---- */

static int wire_open(void *user, const char *socket_path, struct connection *c, void **ret_peer,
                     struct err *err) {
    struct sim *s = user;
    for (size_t i = 0; i < s->wire->refused.n; i++)
        if (str_eq(s->wire->refused.v[i], socket_path))
            return err_set(err, ERR_UNAVAILABLE, "the API server cannot be reached");
    struct peer *p = calloc(1, sizeof *p);
    if (!p || !(p->process = strdup(socket_path))) abort();
    p->s = s;
    p->c = c;
    p->refs = 1;
    vec_push(&s->wire->peers, p);
    *ret_peer = p;
    return 0;
}

static void wire_close(void *user, void *peer) {
    struct sim *s = user;
    struct peer *p = peer;
    p->c = NULL;
    p->watched = NULL;
    for (size_t i = 0; i < s->wire->peers.n; i++)
        if (s->wire->peers.v[i] == p) vec_remove(&s->wire->peers, i);
    peer_unref(p);
}

static char *copy(const char *s) {
    char *p = s ? strdup(s) : NULL;
    if (s && !p) abort();
    return p;
}

static void wire_send(void *user, void *peer, const char *method, const char *target,
                      struct slice body, const char *content_type) {
    struct sim *s = user;
    struct peer *p = peer;
    struct travel *t = calloc(1, sizeof *t);
    if (!t) abort();
    *t = (struct travel){.peer = p,
                         .generation = ++p->generation,
                         .method = copy(method),
                         .target = copy(target),
                         .content_type = copy(content_type)};
    buf_slice(&t->body, body);
    p->refs++;
    s->wire->stats.requests++;
    sim_after_surely(s, faults_latency_us(s), arrive, t);
}

/* ---- what faults do ---- */

static void break_off(struct peer *p) {
    struct err err;
    err_set(&err, ERR_UNAVAILABLE, "the API server closed the connection");
    p->watched = NULL;
    if (p->c) connection_deliver_lost(p->c, &err);
}

void wire_cut(struct sim *s, const char *process, bool no_more) {
    struct sim_wire *w = s->wire;
    for (size_t i = 0; i < w->refused.n; i++)
        if (str_eq(w->refused.v[i], process)) {
            free(w->refused.v[i]);
            vec_remove(&w->refused, i);
            break;
        }
    if (no_more) vec_push(&w->refused, copy(process));
    for (size_t i = w->peers.n; i-- > 0;) {
        if (i >= w->peers.n || !str_eq(w->peers.v[i]->process, process)) continue;
        struct peer *p = w->peers.v[i];
        p->refs++;
        break_off(p);
        peer_unref(p);
    }
}

static struct peer *watch_at(struct sim *s, uint64_t n) {
    VEC(struct peer *) list = {0};
    struct peer *p = NULL;
    for (size_t i = 0; i < s->wire->peers.n; i++)
        if (s->wire->peers.v[i]->watched && s->wire->peers.v[i]->watched->n_writes)
            vec_push(&list, s->wire->peers.v[i]);
    if (list.n) p = list.v[n % list.n];
    vec_done(&list);
    return p;
}

void wire_break_watch(struct sim *s, uint64_t n, bool compacted) {
    struct peer *p = watch_at(s, n);
    if (!p) return;
    sim_say(s, "fault: the watch of %s by %s breaks%s", p->watched->kind->plural, p->process,
            compacted ? ", and its log is compacted" : "");
    if (compacted) store_compact(s, p->watched);
    p->refs++;
    break_off(p);
    peer_unref(p);
}

void wire_hold_watch(struct sim *s, uint64_t n, uint64_t for_us) {
    struct peer *p = watch_at(s, n);
    if (!p) return;
    sim_say(s, "fault: the watch of %s by %s lags for %.1f s", p->watched->kind->plural, p->process,
            (double)for_us / 1e6);
    p->held_us = s->now_us + for_us;
}

void wire_repeat_watch(struct sim *s, uint64_t n) {
    struct peer *p = watch_at(s, n);
    if (!p || p->next <= p->watched->log_first) return;
    uint64_t back = p->next - p->watched->log_first;
    sim_say(s, "fault: the watch of %s by %s repeats itself", p->watched->kind->plural, p->process);
    p->refs++;
    deliver(p, p->next - (back < 5 ? back : 5), p->next);
    peer_unref(p);
}

struct sim_wire_stats wire_stats(const struct sim *s) {
    return s->wire->stats;
}

void wire_new(struct sim *s) {
    struct sim_wire *w = s->wire = calloc(1, sizeof *w);
    if (!w) abort();
    w->transport = (struct connection_transport){wire_open, wire_close, wire_send, s};
    connection_replace(&w->transport);
    store_listen(s, on_changed);
}

void wire_free(struct sim *s) {
    struct sim_wire *w = s->wire;
    if (!w) return;
    connection_replace(NULL);
    vec_done(&w->peers);
    for (size_t i = 0; i < w->refused.n; i++) free(w->refused.v[i]);
    vec_done(&w->refused);
    free(w);
    s->wire = NULL;
}
