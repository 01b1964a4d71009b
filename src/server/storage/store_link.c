#include "server/storage/store_link.h"

#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/own.h"
#include "proc/ipc.h"

enum {
    RETRY_MIN_MS = 5,
    RETRY_MAX_MS = 500,
    WAIT_MS = 5000,
    WAITING_MAX = 4096,
    KEEP_BYTES = 16 * 1024, /* of a row's memory */
    DONE_MAX = 4096,        /* writes that are remembered as done */
    HISTORY_EVENTS = 12000, /* that watches can resume from after a restart of this service */
};

struct pending {
    uint32_t id;
    uint16_t type;
    store_write_fn *written;
    store_row_fn *row;
    store_done_fn *done;
    void *user;
    struct buf body; /* kept until it is answered */
    bool resent;     /* sent again on a new connection: the first one may have had its effect */
    uint64_t change; /* which version of which object it ends; 0 = none, a creation */
    uint64_t deadline_ms;
};

struct store_link {
    struct loop *loop;
    char *path;
    struct cache *cache;
    struct seal *seal;
    struct buf opened, made; /* one row at a time */
    struct store_link_events ev;
    struct ipc *ipc;
    bool live;          /* STORE_WATCH_OK has come on this connection */
    bool told;          /* ev.synced was called */
    uint64_t synced_at; /* the cache is complete at this revision */
    struct timer *retry;
    uint64_t retry_ms;
    struct map sent;               /* by id */
    VEC(struct pending *) waiting; /* for a connection, in order */
    uint32_t last_id;
    uint64_t writes;
    uint64_t done[DONE_MAX]; /* the last changes that were answered as done, a ring */
    size_t n_done;
};

static void finish(struct pending *p, struct slice value, const struct err *err) {
    if (p->written)
        p->written(p->user, value, err);
    else if (p->done)
        p->done(p->user, err);
    buf_give(&p->body);
    free(p);
}

static void fail_all(struct store_link *s, const char *why) {
    struct err err;
    err_set(&err, ERR_UNAVAILABLE, "%s", why);
    struct map sent = s->sent;
    s->sent = (struct map){0};
    size_t i = 0;
    for (struct map_entry *e; (e = map_next(&sent, &i));) finish(e->value, (struct slice){0}, &err);
    map_done(&sent);
}

static int by_id(const void *x, const void *y) {
    uint32_t a = (*(struct pending *const *)x)->id, b = (*(struct pending *const *)y)->id;
    return a < b ? -1 : a > b;
}

/* After a lost connection: writes go again, in their order, and are told apart later from what they
 * did already; ranges have delivered rows and fail. */
static void requeue_sent(struct store_link *s) {
    struct map sent = s->sent;
    s->sent = (struct map){0};
    struct err err;
    err_set(&err, ERR_UNAVAILABLE, "the store's connection was lost before it answered");
    VEC(struct pending *) again = {0};
    size_t i = 0;
    for (struct map_entry *e; (e = map_next(&sent, &i));) {
        struct pending *p = e->value;
        if (!p->written) {
            finish(p, (struct slice){0}, &err);
            continue;
        }
        p->resent = true;
        p->deadline_ms = loop_now_ms(s->loop) + WAIT_MS;
        vec_push(&again, p);
    }
    map_done(&sent);
    if (again.n) qsort(again.v, again.n, sizeof *again.v, by_id);
    for (i = 0; i < s->waiting.n; i++) /* behind them: what was waiting already */
        vec_push(&again, s->waiting.v[i]);
    vec_done(&s->waiting);
    s->waiting.v = again.v;
    s->waiting.n = again.n;
    s->waiting.cap = again.cap;
}

/* y is x without its revision. */
static bool same_but_revision(struct slice x, struct slice y) {
    size_t n = 0, digits = x.n > y.n ? x.n - y.n : 0;
    if (x.n < y.n) return false;
    while (n < y.n && x.p[n] == y.p[n]) n++;
    return memcmp(x.p + n + digits, y.p + n, y.n - n) == 0;
}

/* The event that ended the version which w expected (a creation: that made the object), or NULL. */
static const struct event *event_of(const struct resource *r, struct slice name,
                                    const struct store_write *w, struct slice value) {
    for (size_t i = r->n; i-- > 0;) {
        const struct event *e = resource_event(r, i);
        if (!slice_eq(slice_from(e->now->key, e->now->key_n), name)) continue;
        bool creation = e->type == EVENT_ADDED;
        if (w->op == STORE_CREATE) {
            if (creation && same_but_revision(object_json(e->now), value)) return e;
        } else if (!creation && e->old && e->old->revision == w->expected_revision) {
            if (w->op == STORE_DELETE) return e->type == EVENT_DELETED ? e : NULL;
            bool same = same_but_revision(object_json(e->now), value);
            return e->type == EVENT_MODIFIED && same ? e : NULL;
        }
    }
    return NULL;
}

/* The write was refused the second time because the first time it was done: the history of the
 * cache shows it. What the object is by now says nothing: others may have written since. */
static bool already_done(struct store_link *s, const struct pending *p, uint64_t *ret_revision) {
    struct store_write w;
    if (store_write_unpack(buf_view(&p->body), &w) < 0) return false;
    const char *slash = w.key.n > 1 ? memchr(w.key.p + 1, '/', w.key.n - 1) : NULL;
    if (!slash) return false;
    size_t n = (size_t)(slash + 1 - w.key.p);
    const struct resource *r = map_get(&s->cache->resources, slice_from(w.key.p, n));
    struct slice value = w.value;
    buf_clear(&s->opened);
    /* Sealed with no revision, it opens to what was given to seal_close. */
    if (!r ||
        (seal_applies(w.key) && seal_open(s->seal, w.key, w.value, &s->opened, &value, NULL) < 0))
        return false;
    const struct event *e = event_of(r, slice_from(w.key.p + n, w.key.n - n), &w, value);
    if (e) *ret_revision = e->revision;
    return e;
}

/* Of several writes that would end the same version, one did. */
static uint64_t change_of(const struct store_write *w) {
    uint64_t h = UINT64_C(0xcbf29ce484222325) ^ w->expected_revision; /* FNV-1a */
    if (w->op == STORE_CREATE) return 0;
    for (size_t i = 0; i < w->key.n; i++)
        h = (h ^ (unsigned char)w->key.p[i]) * UINT64_C(0x100000001b3);
    return h ? h : 1;
}

static void remember_done(struct store_link *s, const struct pending *p) {
    if (p->change) s->done[s->n_done++ % DONE_MAX] = p->change;
}

static bool done_by_another(const struct store_link *s, const struct pending *p) {
    for (size_t i = 0; p->change && i < MIN_OF(s->n_done, (size_t)DONE_MAX); i++)
        if (s->done[i] == p->change) return true;
    return false;
}

static void transmit(struct store_link *s, struct pending *p) {
    map_put(&s->sent, slice_from(&p->id, sizeof p->id), p);
    ipc_send(s->ipc, p->type, p->id, buf_view(&p->body), NULL, 0);
}

static void flush_waiting(struct store_link *s) {
    for (size_t i = 0; i < s->waiting.n; i++) transmit(s, s->waiting.v[i]);
    s->waiting.n = 0;
}

/* The snapshot is of a while ago, so that the cache gets to know the last events too. */
static void tell_if_synced(struct store_link *s) {
    if (s->told || !s->cache->synced || s->cache->revision < s->synced_at) return;
    s->told = true;
    s->ev.synced(s->ev.user);
}

static void on_watch_ok(struct store_link *s, struct slice body) {
    struct unpack u = unpack_init(body);
    uint64_t revision = unpack_u64(&u), compacted = unpack_u64(&u);
    s->synced_at = unpack_u64(&u);
    if (unpack_end(&u)) return;
    s->live = true;
    s->retry_ms = RETRY_MIN_MS;
    if (!s->cache->synced) cache_snapshot_end(s->cache, revision, compacted);
    s->cache->compacted = compacted;
    tell_if_synced(s);
    flush_waiting(s);
}

/* The value of a row as it is meant, borrowed until the next. A secret that cannot be opened ends
 * this process: going on without it would look like a deletion. */
static bool value_open(struct store_link *s, struct store_event *ret) {
    struct err err;
    if (!seal_applies(ret->key)) return true;
    buf_clear(&s->opened);
    if (seal_open(s->seal, ret->key, ret->value, &s->opened, &ret->value, &err) == 0) return true;
    s->ev.lost(s->ev.user, &err);
    return false;
}

static bool row_open(struct store_link *s, struct slice body, struct store_event *ret) {
    if (store_event_unpack(body, ret) == 0) return value_open(s, ret);
    log_error("store_event_malformed", "bytes=%zu", body.n);
    return false;
}

static void on_event(struct store_link *s, struct slice body) {
    struct store_event e;
    if (!row_open(s, body, &e)) return;
    if (!s->cache->synced)
        cache_row(s->cache, e.key, e.revision, e.value);
    else if (e.revision > s->cache->revision)
        cache_event(s->cache, e.op, e.key, e.revision, e.value, loop_now_ms(s->loop));
    tell_if_synced(s);
}

/* What the write came to, with its revision, borrowed. The answer is its event too, unless that
 * came by itself, while this connection caught up. */
static struct slice outcome(struct store_link *s, const struct pending *p, uint64_t revision) {
    struct cache *cache = s->cache;
    struct store_write w;
    store_write_unpack(buf_view(&p->body), &w); /* it was packed here */
    struct slice rest = slice_from(w.value.p + w.rv_offset, w.value.n - w.rv_offset);
    struct store_event e = {.op = w.op, .revision = revision, .key = w.key};
    buf_clear(&s->made);
    buf_reserve(&s->made, w.value.n + 24);
    buf_append(&s->made, w.value.p, w.rv_offset);
    buf_u64(&s->made, revision);
    buf_slice(&s->made, rest);
    e.value = buf_view(&s->made);
    if (!value_open(s, &e)) return (struct slice){0};
    if (s->live && cache->synced && revision > cache->revision) {
        cache_event(cache, e.op, e.key, revision, e.value, loop_now_ms(s->loop));
        if (cache->latest && cache->latest->revision == revision) return object_json(cache->latest);
    }
    return e.value;
}

static void on_reply(struct store_link *s, struct ipc_msg *m) {
    struct pending *p = map_get(&s->sent, slice_from(&m->id, sizeof m->id));
    if (!p) return;
    struct err err = {0};
    uint64_t revision = 0;
    if (m->type == STORE_RANGE_ROW) {
        struct store_event e;
        if (p->row && row_open(s, m->body, &e)) p->row(p->user, &e);
        return;
    }
    map_del(&s->sent, slice_from(&m->id, sizeof m->id));
    if (m->type == STORE_WRITE_OK) {
        struct unpack u = unpack_init(m->body);
        revision = unpack_u64(&u);
    } else if (m->type == IPC_ERROR) {
        ipc_decode_error(m->body, &err);
    }
    if (p->resent && err.reason && !done_by_another(s, p) && already_done(s, p, &revision))
        err.reason = ERR_NONE;
    bool done = !err.reason && p->written;
    if (!err.reason) remember_done(s, p);
    finish(p, done ? outcome(s, p, revision) : (struct slice){0}, err.reason ? &err : NULL);
    if (done) tell_if_synced(s);
    if (s->made.cap > KEEP_BYTES) buf_done(&s->made);
}

static void on_message(struct ipc *c, struct ipc_msg *m, void *user) {
    struct store_link *s = user;
    if (m->type == STORE_EVENT && m->id == 0) {
        on_event(s, m->body);
    } else if (m->type == STORE_WATCH_OK) {
        on_watch_ok(s, m->body);
    } else if (m->type == IPC_ERROR && !s->live) {
        struct err err;
        ipc_decode_error(m->body, &err);
        s->ev.lost(s->ev.user, &err);
    } else {
        on_reply(s, m);
    }
}

static void retry_later(struct store_link *s) {
    timer_start(s->retry, s->retry_ms, 0);
    s->retry_ms = s->retry_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : s->retry_ms * 2;
}

static void on_closed(struct ipc *c, void *user) {
    struct store_link *s = user;
    s->ipc = NULL;
    s->live = false;
    if (!s->cache->synced) {
        fail_all(s, "the store's connection was lost before it answered");
        struct err err;
        err_set(&err, ERR_UNAVAILABLE, "the store went away during the first snapshot");
        s->ev.lost(s->ev.user, &err);
        return;
    }
    requeue_sent(s);
    retry_later(s);
}

static void drop_late(struct store_link *s) {
    struct err err;
    err_set(&err, ERR_UNAVAILABLE, "the store is not reachable");
    uint64_t now = loop_now_ms(s->loop);
    while (s->waiting.n && s->waiting.v[0]->deadline_ms <= now) {
        struct pending *p = s->waiting.v[0];
        vec_remove(&s->waiting, 0);
        finish(p, (struct slice){0}, &err);
    }
}

static void connect_now(void *user) {
    struct store_link *s = user;
    drop_late(s);
    if (s->ipc) return;
    struct ipc_handler h = {on_message, on_closed, s};
    if (ipc_connect(s->loop, s->path, &h, &s->ipc, NULL) < 0) {
        s->ipc = NULL;
        retry_later(s);
        return;
    }
    struct buf b = {0};
    pack_u64(&b, s->cache->synced ? s->cache->revision : 0);
    pack_u64(&b, HISTORY_EVENTS);
    ipc_send(s->ipc, STORE_WATCH, ++s->last_id, buf_view(&b), NULL, 0);
    buf_done(&b);
}

struct store_link *store_link_new(struct loop *l, const char *path, struct cache *c,
                                  struct seal *seal, const struct store_link_events *ev) {
    struct store_link *s = calloc(1, sizeof *s);
    if (!s || !(s->path = strdup(path))) abort();
    s->loop = l;
    s->cache = c;
    s->seal = seal;
    s->ev = *ev;
    s->retry_ms = RETRY_MIN_MS;
    s->retry = timer_new(l, connect_now, s);
    timer_start(s->retry, 0, 0);
    return s;
}

void store_link_free(struct store_link *s) {
    ipc_close(s->ipc);
    for (size_t i = 0; i < s->waiting.n; i++)
        map_put(&s->sent, slice_from(&s->waiting.v[i]->id, sizeof(uint32_t)), s->waiting.v[i]);
    fail_all(s, "the api service ends");
    vec_done(&s->waiting);
    timer_free(s->retry);
    buf_done(&s->opened);
    buf_done(&s->made);
    free(s->path);
    free(s);
}

bool store_link_connected(const struct store_link *s) { return s->live; }
uint64_t store_link_writes(const struct store_link *s) { return s->writes; }

static void submit(struct store_link *s, struct pending *p, struct buf *body) {
    if (++s->last_id == 0) s->last_id = 1;
    p->id = s->last_id;
    p->body = *body;
    *body = (struct buf){0};
    if (s->live) {
        transmit(s, p);
        return;
    }
    if (s->waiting.n >= WAITING_MAX) {
        struct err err;
        err_set(&err, ERR_UNAVAILABLE, "the store is not reachable");
        finish(p, (struct slice){0}, &err);
        return;
    }
    p->deadline_ms = loop_now_ms(s->loop) + WAIT_MS;
    vec_push(&s->waiting, p);
}

static struct pending *pending_new(uint16_t type, void *user) {
    struct pending *p = calloc(1, sizeof *p);
    if (!p) abort();
    p->type = type;
    p->user = user;
    return p;
}

void store_link_write(struct store_link *s, const struct store_write *w, store_write_fn *fn,
                      void *user) {
    struct pending *p = pending_new(STORE_WRITE, user);
    p->written = fn;
    s->writes++;
    struct buf b = {0}, sealed = {0};
    struct store_write out = *w;
    struct err err;
    p->change = change_of(w);
    if (seal_applies(w->key)) {
        if (seal_close(s->seal, w->key, w->value, w->rv_offset, &sealed, &out.rv_offset, &err) <
            0) {
            buf_done(&sealed);
            finish(p, (struct slice){0}, &err);
            return;
        }
        out.value = buf_view(&sealed);
    }
    b = buf_take();
    store_write_pack(&b, &out);
    buf_done(&sealed);
    submit(s, p, &b);
    buf_done(&b);
}

static bool creates_in(const struct pending *p, const char *ns) {
    struct store_write w;
    struct slice rest, part;
    if (!p->written || store_write_unpack(buf_view(&p->body), &w) < 0 || w.op != STORE_CREATE)
        return false;
    rest = w.key; /* "/pods./NAMESPACE/NAME" */
    slice_cut(&rest, '/', &part);
    slice_cut(&rest, '/', &part);
    return slice_cut(&rest, '/', &part) && slice_is(part, ns);
}

bool store_link_creates_in(const struct store_link *s, const char *ns) {
    size_t i = 0;
    for (const struct map_entry *e; (e = map_next(&s->sent, &i));)
        if (creates_in(e->value, ns)) return true;
    for (i = 0; i < s->waiting.n; i++)
        if (creates_in(s->waiting.v[i], ns)) return true;
    return false;
}

void store_link_range(struct store_link *s, const struct store_range *r, store_row_fn *row,
                      store_done_fn *done, void *user) {
    struct pending *p = pending_new(STORE_RANGE, user);
    p->row = row;
    p->done = done;
    struct buf b = {0};
    store_range_pack(&b, r);
    submit(s, p, &b);
    buf_done(&b);
}

void store_link_compact(struct store_link *s, store_done_fn *done, void *user) {
    struct pending *p = pending_new(STORE_COMPACT, user);
    p->done = done;
    struct buf b = {0};
    submit(s, p, &b);
    buf_done(&b);
}
