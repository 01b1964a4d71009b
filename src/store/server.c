#include "store/server.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/own.h"
#include "base/vec.h"

enum {
    PIECE_ROWS = 512,             /* of a snapshot, range or replay, sent in one turn */
    PIECE_BYTES = 1024 * 1024,    /* likewise */
    PIPE_BYTES = 4 * 1024 * 1024, /* queued for a peer before a stream waits for it */
    PIPE_WAIT_MS = 2,
    COMPACT_EVERY_WRITES = 512,
    COMPACT_ROWS = 2048, /* at once: more than arrive in between */
    IDLE_MS = 2000,
};

/* Rows of a range on their way to a peer. */
struct stream {
    uint32_t id;
    bool snapshot; /* of a watch: STORE_EVENT rows, then STORE_WATCH_OK */
    uint64_t revision;
    uint32_t limit, sent;
    struct buf prefix, after;
};

enum watch_state { WATCH_NONE, WATCH_SNAPSHOT, WATCH_REPLAY, WATCH_LIVE };

struct held_answer {
    uint32_t id;
    uint64_t revision;
    struct err *err; /* NULL: done */
};

struct conn {
    struct store_server *server;
    struct ipc *ipc;
    enum watch_state watch;
    uint64_t watch_at; /* last revision sent, in WATCH_REPLAY */
    VEC(struct stream *) streams;
    VEC(struct held_answer) held; /* answers that wait until their events have been sent */
};

struct pending {
    struct conn *conn; /* NULL when it has gone */
    uint32_t id;
};

struct store_server {
    struct loop *loop;
    struct store_backend *backend;
    VEC(struct conn *) conns;
    struct arena *arena; /* of the batch that gathers */
    VEC(struct store_write) writes;
    VEC(struct pending) pending;
    uint64_t writes_since_compaction;
    struct upkeep *upkeep; /* NULL: none is due */
    struct timer *flush, *pump, *idle;
};

/* The housekeeping that is due when the answers have left; the server may go before. */
struct upkeep {
    struct store_server *server; /* NULL: has gone */
};

static _Noreturn void fatal(const struct err *err) {
    log_error("store_failed", "error=\"%s\" action=exit", err->text);
    abort();
}

/* ---- answers ---- */

static void answer_send(struct conn *c, uint32_t id, uint64_t revision, const struct err *err) {
    if (err) {
        ipc_send_error(c->ipc, id, err);
        return;
    }
    OWN(buf_done) struct buf b = {0};
    pack_u64(&b, revision);
    ipc_send(c->ipc, STORE_WRITE_OK, id, buf_view(&b), NULL, 0);
}

static void answer(struct conn *c, uint32_t id, uint64_t revision, const struct err *err) {
    if (c->watch != WATCH_REPLAY) {
        answer_send(c, id, revision, err);
        return;
    }
    struct held_answer h = {id, revision, NULL};
    if (err) {
        h.err = malloc(sizeof *h.err);
        if (!h.err) abort();
        *h.err = *err;
    }
    vec_push(&c->held, h);
}

static void held_release(struct conn *c, bool send) {
    for (size_t i = 0; i < c->held.n; i++) {
        if (send) answer_send(c, c->held.v[i].id, c->held.v[i].revision, c->held.v[i].err);
        free(c->held.v[i].err);
    }
    vec_done(&c->held);
}

static void event_send(struct conn *c, uint16_t type, uint32_t id, const struct store_event *e) {
    OWN(buf_done) struct buf b = {0};
    buf_reserve(&b, e->key.n + e->value.n + 32);
    store_event_pack(&b, e);
    ipc_send(c->ipc, type, id, buf_view(&b), NULL, 0);
}

static void watch_ok_send(struct conn *c, uint32_t id, uint64_t revision) {
    struct store_stats st;
    c->server->backend->ops->stats(c->server->backend, &st);
    OWN(buf_done) struct buf b = {0};
    pack_u64(&b, revision);
    pack_u64(&b, st.compacted);
    pack_u64(&b, st.revision);
    ipc_send(c->ipc, STORE_WATCH_OK, id, buf_view(&b), NULL, 0);
}

/* ---- commit ---- */

/* To all who watch but the writer, to whom the answer tells as much. */
static void broadcast(struct store_server *s, const struct conn *writer,
                      const struct store_write *w, const struct store_result *res) {
    OWN(buf_done) struct buf b = {0};
    for (size_t i = 0; i < s->conns.n; i++) {
        const struct conn *c = s->conns.v[i];
        if (c == writer || c->watch != WATCH_LIVE) continue;
        if (!b.n)
            store_event_pack(&b, &(struct store_event){w->op, res->revision, res->prev_revision,
                                                       w->key, res->value});
        ipc_send(c->ipc, STORE_EVENT, 0, buf_view(&b), NULL, 0);
    }
}

static void refusal(struct err *err, const struct store_write *w, const struct store_result *res) {
    int n = (int)MIN_OF(w->key.n, 400u);
    if (res->reason == ERR_CONFLICT)
        err_set(err, ERR_CONFLICT, "%.*s: revision %llu was expected, it is at %llu", n, w->key.p,
                (unsigned long long)w->expected_revision, (unsigned long long)res->revision);
    else
        err_set(err, res->reason, "%.*s %s", n, w->key.p,
                res->reason == ERR_ALREADY_EXISTS ? "already exists" : "not found");
}

static void batch_answer(struct store_server *s, const struct store_result *res,
                         const struct err *batch_err) {
    for (size_t i = 0; i < s->pending.n; i++) {
        const struct pending *p = &s->pending.v[i];
        struct err err;
        bool done = !batch_err && res[i].reason == ERR_NONE;
        if (done) broadcast(s, p->conn, &s->writes.v[i], &res[i]);
        if (!p->conn) continue;
        if (!done && !batch_err) refusal(&err, &s->writes.v[i], &res[i]);
        answer(p->conn, p->id, done ? res[i].revision : 0,
               done ? NULL : (batch_err ? batch_err : &err));
    }
}

static void on_upkeep(void *user) {
    struct upkeep *u = user;
    struct store_server *s = u->server;
    struct err err;
    free(u);
    if (!s) return;
    s->upkeep = NULL;
    int unavailable = err_code(ERR_UNAVAILABLE);
    int r = s->backend->ops->maintain(s->backend, &err);
    if (r < 0 && r != unavailable) fatal(&err);
    if (s->writes_since_compaction < COMPACT_EVERY_WRITES) return;
    s->writes_since_compaction = 0;
    r = s->backend->ops->compact(s->backend, LIMIT_STORE_LOG_ROWS, COMPACT_ROWS, &err);
    if (r == unavailable)
        log_warn("store_compaction_postponed", "error=\"%s\"", err.text);
    else if (r < 0)
        fatal(&err);
}

/* Answers are sent by deferred calls: this one comes behind them. */
static void upkeep_later(struct store_server *s) {
    if (s->upkeep) return;
    s->upkeep = malloc(sizeof *s->upkeep);
    if (!s->upkeep) abort();
    s->upkeep->server = s;
    loop_defer(s->loop, on_upkeep, s->upkeep);
}

void store_server_flush(struct store_server *s) {
    size_t n = s->writes.n;
    if (n == 0) return;
    struct store_result *res = ARENA_ARRAY(s->arena, struct store_result, n);
    struct err err;
    int r = s->backend->ops->write(s->backend, s->arena, s->writes.v, n, res, &err);
    if (r < 0 && r != err_code(ERR_UNAVAILABLE)) fatal(&err);
    batch_answer(s, res, r < 0 ? &err : NULL);
    s->writes.n = s->pending.n = 0;
    arena_reset(s->arena);
    s->writes_since_compaction += n;
    upkeep_later(s);
    timer_start(s->idle, IDLE_MS, 0);
}

static void on_flush(void *user) { store_server_flush(user); }

static void on_idle(void *user) {
    struct store_server *s = user;
    if (s->writes.n) return; /* came in this very turn: their flush starts the timer again */
    vec_done(&s->writes);
    vec_done(&s->pending);
    arena_free(s->arena);
    s->arena = arena_new();
    struct err err;
    int r = s->backend->ops->idle(s->backend, &err);
    if (r < 0 && r != err_code(ERR_UNAVAILABLE)) fatal(&err);
}

/* ---- streams ---- */

static void stream_free(struct stream *st) {
    buf_done(&st->prefix);
    buf_done(&st->after);
    free(st);
}

struct piece {
    struct conn *conn;
    struct stream *stream; /* NULL: replay */
    size_t rows, bytes;
};

static int piece_row(void *user, const struct store_event *row) {
    struct piece *p = user;
    struct stream *st = p->stream;
    bool range = st && !st->snapshot;
    event_send(p->conn, range ? STORE_RANGE_ROW : STORE_EVENT, range ? st->id : 0, row);
    if (st) {
        buf_clear(&st->after);
        buf_slice(&st->after, row->key);
        st->sent++;
    } else {
        p->conn->watch_at = row->revision;
    }
    p->rows++;
    p->bytes += row->key.n + row->value.n;
    return p->bytes >= PIECE_BYTES; /* 1 stops here, the next piece goes on */
}

static int past_row(void *user, const struct store_event *row) {
    piece_row(user, row);
    return 0;
}

/* One piece. Returns whether the stream is over (then it is freed). */
static bool stream_piece(struct conn *c, struct stream *st) {
    struct store_backend *b = c->server->backend;
    struct piece p = {.conn = c, .stream = st};
    uint32_t rows = PIECE_ROWS;
    if (st->limit) rows = MIN_OF(rows, st->limit - st->sent);
    struct store_range r = {buf_view(&st->prefix), buf_view(&st->after), st->revision, rows,
                            st->snapshot};
    struct err err;
    int result = b->ops->range(b, &r, piece_row, &p, &st->revision, &err);
    if (result == 1 || (result == 0 && p.rows == rows && (!st->limit || st->sent < st->limit)))
        return false;
    /* What changed since, also while the pieces were under way. */
    if (result == 0 && st->snapshot) result = b->ops->past(b, st->revision, past_row, &p, &err);
    if (result < 0 && err.reason == ERR_INTERNAL) fatal(&err);
    if (result < 0) {
        ipc_send_error(c->ipc, st->id, &err);
        if (st->snapshot) c->watch = WATCH_NONE;
    } else if (st->snapshot) {
        watch_ok_send(c, st->id, st->revision);
        c->watch = WATCH_REPLAY;
        c->watch_at = st->revision;
    } else {
        OWN(buf_done) struct buf done = {0};
        pack_u64(&done, st->revision);
        ipc_send(c->ipc, STORE_RANGE_OK, st->id, buf_view(&done), NULL, 0);
    }
    stream_free(st);
    return true;
}

static void conn_free(struct conn *c) {
    struct store_server *s = c->server;
    for (size_t i = 0; i < s->pending.n; i++)
        if (s->pending.v[i].conn == c) s->pending.v[i].conn = NULL;
    for (size_t i = 0; i < s->conns.n; i++)
        if (s->conns.v[i] == c) {
            vec_swap_remove(&s->conns, i);
            break;
        }
    for (size_t i = 0; i < c->streams.n; i++) stream_free(c->streams.v[i]);
    vec_done(&c->streams);
    held_release(c, false);
    free(c);
}

/* The missed events, a piece; then the connection is live. Returns whether c still exists. */
static bool replay_piece(struct conn *c) {
    struct store_backend *b = c->server->backend;
    struct piece p = {.conn = c};
    struct err err;
    int r = b->ops->log(b, c->watch_at, PIECE_ROWS, piece_row, &p, &err);
    if (r < 0 && err.reason == ERR_INTERNAL) fatal(&err);
    if (r < 0) { /* compacted meanwhile: the peer is too slow */
        log_warn("store_watch_cut_off", "error=\"%s\"", err.text);
        ipc_close(c->ipc);
        conn_free(c);
        return false;
    }
    if (r == 0 && p.rows < PIECE_ROWS) {
        c->watch = WATCH_LIVE;
        held_release(c, true);
    }
    return true;
}

/* Moves on everything of a connection that waits. Returns whether more is waiting. */
static bool conn_pump(struct conn *c) {
    if (ipc_queued_bytes(c->ipc) >= PIPE_BYTES) return true;
    /* One after the other: the first asked is the first done. */
    if (c->streams.n && stream_piece(c, c->streams.v[0])) vec_remove(&c->streams, 0);
    if (c->watch == WATCH_REPLAY && !replay_piece(c)) return false;
    return c->streams.n > 0 || c->watch == WATCH_REPLAY;
}

static void on_pump(void *user) {
    struct store_server *s = user;
    bool more = false, room = false;
    for (size_t i = s->conns.n; i-- > 0;) {
        struct conn *c = s->conns.v[i];
        if (c->streams.n == 0 && c->watch != WATCH_REPLAY) continue;
        if (!conn_pump(c)) continue;
        more = true;
        room = room || ipc_queued_bytes(c->ipc) < PIPE_BYTES;
    }
    if (more) timer_start(s->pump, room ? 0 : PIPE_WAIT_MS, 0);
}

static void stream_start(struct conn *c, struct stream st, struct slice prefix,
                         struct slice after) {
    struct stream *p = malloc(sizeof *p);
    if (!p) abort();
    *p = st;
    buf_slice(&p->prefix, prefix);
    buf_slice(&p->after, after);
    vec_push(&c->streams, p);
    timer_start(c->server->pump, 0, 0);
}

/* ---- requests ---- */

static int on_write(struct conn *c, const struct ipc_msg *m, struct err *err) {
    struct store_server *s = c->server;
    struct store_write w;
    if (store_write_unpack(m->body, &w) < 0)
        return err_set(err, ERR_BAD_REQUEST, "STORE_WRITE is malformed");
    int r = store_write_check(&w, err);
    if (r < 0) return r;
    w.key = slice_from(arena_copy(s->arena, w.key.p, w.key.n), w.key.n);
    w.value = slice_from(arena_copy(s->arena, w.value.p, w.value.n), w.value.n);
    if (s->writes.n == 0) timer_start(s->flush, 0, 0);
    vec_push(&s->writes, w);
    vec_push(&s->pending, (struct pending){c, m->id});
    return 0;
}

static int on_watch(struct conn *c, const struct ipc_msg *m, struct err *err) {
    struct unpack u = unpack_init(m->body);
    uint64_t from = unpack_u64(&u), history = unpack_u64(&u);
    if (unpack_end(&u) < 0) return err_set(err, ERR_BAD_REQUEST, "STORE_WATCH is malformed");
    if (c->watch != WATCH_NONE)
        return err_set(err, ERR_BAD_REQUEST, "this connection watches already");
    struct store_stats st;
    c->server->backend->ops->stats(c->server->backend, &st);
    if (from == 0) {
        c->watch = WATCH_SNAPSHOT;
        /* Revision 0, an empty store, means "now": the first piece pins it. The log may be cut
         * while the snapshot is under way, so it does not begin at its very end. */
        uint64_t oldest = MIN_OF(st.compacted + COMPACT_ROWS, st.revision);
        if (st.compacted == 0) oldest = MIN_OF(st.revision, 1u);
        uint64_t at = st.revision > history ? st.revision - history : 0;
        stream_start(c,
                     (struct stream){.id = m->id, .snapshot = true, .revision = MAX_OF(at, oldest)},
                     SLICE("/"), (struct slice){0});
        return 0;
    }
    if (from < st.compacted || from > st.revision)
        return err_set(err, ERR_EXPIRED, "revision %llu is not in the log (%llu to %llu)",
                       (unsigned long long)from, (unsigned long long)st.compacted,
                       (unsigned long long)st.revision);
    watch_ok_send(c, m->id, st.revision);
    c->watch = WATCH_REPLAY;
    c->watch_at = from;
    timer_start(c->server->pump, 0, 0);
    return 0;
}

static int on_compact(struct conn *c, const struct ipc_msg *m, struct err *err) {
    struct store_server *s = c->server;
    if (m->body.n) return err_set(err, ERR_BAD_REQUEST, "STORE_COMPACT is malformed");
    store_server_flush(s);
    int r = s->backend->ops->compact(s->backend, 0, UINT64_MAX, err);
    if (r < 0 && r != err_code(ERR_UNAVAILABLE)) fatal(err);
    if (r == 0) ipc_send(c->ipc, STORE_COMPACT_OK, m->id, SLICE(""), NULL, 0);
    return r;
}

static int on_range(struct conn *c, const struct ipc_msg *m, struct err *err) {
    struct store_range r;
    if (store_range_unpack(m->body, &r) < 0)
        return err_set(err, ERR_BAD_REQUEST, "STORE_RANGE is malformed");
    if (r.prefix.n > LIMIT_STORE_KEY_BYTES || r.after.n > LIMIT_STORE_KEY_BYTES)
        return err_set(err, ERR_BAD_REQUEST, "prefix and after have at most %d bytes",
                       LIMIT_STORE_KEY_BYTES);
    stream_start(c, (struct stream){.id = m->id, .revision = r.revision, .limit = r.limit},
                 r.prefix, r.after);
    return 0;
}

static int on_stats(struct conn *c, const struct ipc_msg *m, struct err *err) {
    struct store_stats st;
    c->server->backend->ops->stats(c->server->backend, &st);
    OWN(buf_done) struct buf b = {0};
    store_stats_pack(&b, &st);
    ipc_send(c->ipc, STORE_STATS_OK, m->id, buf_view(&b), NULL, 0);
    return 0;
}

static const struct {
    uint16_t type;
    int (*handle)(struct conn *c, const struct ipc_msg *m, struct err *err);
} requests[] = {
    {STORE_WRITE, on_write}, {STORE_WATCH, on_watch}, {STORE_COMPACT, on_compact},
    {STORE_RANGE, on_range}, {STORE_STATS, on_stats},
};

static void on_message(struct ipc *ipc, struct ipc_msg *m, void *user) {
    struct conn *c = user;
    struct err err;
    int r = err_set(&err, ERR_BAD_REQUEST, "the store knows no message of type %u", m->type);
    for (size_t i = 0; i < ARRAY_LEN(requests); i++)
        if (requests[i].type == m->type) r = requests[i].handle(c, m, &err);
    if (r < 0) ipc_send_error(ipc, m->id, &err);
}

static void on_closed(struct ipc *ipc, void *user) { conn_free(user); }

void store_server_accept(struct ipc *ipc, void *server) {
    struct store_server *s = server;
    struct conn *c = calloc(1, sizeof *c);
    if (!c) abort();
    c->server = s;
    c->ipc = ipc;
    vec_push(&s->conns, c);
    ipc_set_handler(ipc, &(struct ipc_handler){on_message, on_closed, c});
}

struct store_server *store_server_new(struct loop *l, struct store_backend *b) {
    struct store_server *s = calloc(1, sizeof *s);
    if (!s) abort();
    s->loop = l;
    s->backend = b;
    s->arena = arena_new();
    s->flush = timer_new(l, on_flush, s);
    s->pump = timer_new(l, on_pump, s);
    s->idle = timer_new(l, on_idle, s);
    timer_start(s->idle, IDLE_MS, 0);
    return s;
}

void store_server_free(struct store_server *s) {
    if (!s) return;
    while (s->conns.n) {
        struct conn *c = s->conns.v[0];
        ipc_close(c->ipc);
        conn_free(c);
    }
    vec_done(&s->conns);
    vec_done(&s->writes);
    vec_done(&s->pending);
    if (s->upkeep) s->upkeep->server = NULL;
    arena_free(s->arena);
    timer_free(s->flush);
    timer_free(s->pump);
    timer_free(s->idle);
    free(s);
}
