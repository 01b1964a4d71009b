/*
 * The state in one SQLite database, with one connection.
 *
 *   objects  what exists now: which version of each key
 *   log      every version since `compacted`, and of those before it what exists now or a list at a
 *            retained revision still needs: a row goes when its successor is compacted, that of a
 *            deletion when it is compacted itself. Values are here only.
 *   meta     the revision counter and the compacted revision, written in every transaction
 *
 * One transaction holds many batches of writes; each is durable before its end by the redo log
 * (redo.h). sqlite_upkeep.c ends the transaction, and makes it anew from the redo log. A write that
 * is a batch by itself goes into the tables after its answer.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/own.h"
#include "store/sqlite.h"

#define CURRENT                                                                                    \
    " FROM objects AS o LEFT JOIN log AS l ON l.revision = o.revision"                             \
    " WHERE o.key > ?1 AND o.key >= ?2 AND (?3 IS NULL OR o.key < ?3)"

static const char *const sql_text[SQL_COUNT_] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_CREATE] = "INSERT INTO objects(key, revision, create_revision, crc)"
                   " VALUES(?1, ?2, ?2, ?3) ON CONFLICT DO NOTHING",
    [SQL_FIND] = "SELECT revision, create_revision, crc FROM objects WHERE key = ?1",
    [SQL_UPDATE] = "UPDATE objects SET revision = ?2, crc = ?3 WHERE key = ?1",
    [SQL_DELETE] = "DELETE FROM objects WHERE key = ?1",
    [SQL_LOG] = "INSERT INTO log VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
    [SQL_META] = "UPDATE meta SET revision = ?1, compacted = ?2, crc = ?3",
    /* A row that the log lacks is not left out: it has no checksum. */
    [SQL_RANGE] = "SELECT o.key, o.revision, l.prev_revision, l.value, l.crc, l.op" CURRENT
                  " ORDER BY o.key LIMIT ?4",
    [SQL_RANGE_AT] =
        "SELECT o.key AS key, o.revision, l.prev_revision, l.value, l.crc, l.op" CURRENT
        " AND o.revision <= ?5"
        " UNION ALL SELECT old.key, old.revision, old.prev_revision, old.value, old.crc, old.op"
        " FROM log AS change JOIN log AS old ON old.revision = change.prev_revision"
        " WHERE change.revision > ?5 AND change.prev_revision BETWEEN 1 AND ?5"
        " AND old.key > ?1 AND old.key >= ?2 AND (?3 IS NULL OR old.key < ?3)"
        " ORDER BY key LIMIT ?4",
    [SQL_UNCHANGED] = "SELECT o.key, o.revision, l.prev_revision, l.value, l.crc, l.op" CURRENT
                      " AND o.revision <= ?5 ORDER BY o.key LIMIT ?4",
    [SQL_PAST] = "SELECT old.key, old.revision, old.prev_revision, old.value, old.crc, old.op"
                 " FROM log AS change JOIN log AS old ON old.revision = change.prev_revision"
                 " WHERE change.revision > ?1 AND change.prev_revision BETWEEN 1 AND ?1",
    [SQL_LOG_AFTER] = "SELECT key, revision, prev_revision, value, crc, op FROM log"
                      " WHERE revision > ?1 ORDER BY revision LIMIT ?2",
    [SQL_COMPACT_SUPERSEDED] =
        "DELETE FROM log WHERE revision IN (SELECT prev_revision FROM log WHERE revision > ?1"
        " AND revision <= ?2 AND prev_revision > 0)",
    [SQL_COMPACT_DELETIONS] = "DELETE FROM log WHERE revision > ?1 AND revision <= ?2 AND op = 3",
};

static uint32_t crc_u64(uint32_t crc, uint64_t v) { return crc32c(crc, &v, sizeof v); }

static uint32_t crc_bytes(uint32_t crc, struct slice s) {
    return crc32c(crc_u64(crc, s.n), s.p, s.n);
}

uint32_t sqlite_object_crc(uint64_t revision, uint64_t create_revision, struct slice key) {
    return crc_bytes(crc_u64(crc_u64(0, revision), create_revision), key);
}

uint32_t sqlite_log_crc(uint8_t op, uint64_t revision, uint64_t prev_revision, struct slice key,
                        struct slice value) {
    uint32_t crc = crc_u64(crc_u64(crc32c(0, &op, 1), revision), prev_revision);
    return crc_bytes(crc_bytes(crc, key), value);
}

uint32_t sqlite_meta_crc(uint64_t revision, uint64_t compacted) {
    return crc_u64(crc_u64(0, revision), compacted);
}

struct slice sqlite_column(sqlite3_stmt *q, int i) {
    const void *p = sqlite3_column_blob(q, i);
    return slice_from(p, (size_t)sqlite3_column_bytes(q, i));
}

int sqlite_error(struct sqlite_backend *s, const char *doing, struct err *err) {
    int code = sqlite3_errcode(s->db);
    if ((code & 0xff) == SQLITE_FULL)
        return err_set(err, ERR_UNAVAILABLE, "disk full: nothing was stored; free some space");
    return err_set(err, ERR_INTERNAL, "store: %s: %s (%s)", doing, sqlite3_errmsg(s->db),
                   sqlite3_errstr(sqlite3_extended_errcode(s->db)));
}

/* The prepared statement, reset. */
int sqlite_statement(struct sqlite_backend *s, enum sql_id id, sqlite3_stmt **ret,
                     struct err *err) {
    sqlite3_stmt **q = &s->statements[id];
    if (!*q && sqlite3_prepare_v3(s->db, sql_text[id], -1, SQLITE_PREPARE_PERSISTENT, q, NULL))
        return sqlite_error(s, "preparing a statement", err);
    *ret = *q;
    return 0;
}

static void bind_blob(sqlite3_stmt *q, int i, struct slice s) {
    sqlite3_bind_blob64(q, i, s.n ? s.p : "", s.n, SQLITE_STATIC);
}

void sqlite_bind_u64(sqlite3_stmt *q, int i, uint64_t v) {
    sqlite3_bind_int64(q, i, (sqlite3_int64)v);
}

/* Runs a statement that gives no rows. */
int sqlite_run(struct sqlite_backend *s, sqlite3_stmt *q, const char *doing, struct err *err) {
    int r = sqlite3_step(q) == SQLITE_DONE ? 0 : sqlite_error(s, doing, err);
    sqlite3_reset(q);
    return r;
}

int sqlite_run_id(struct sqlite_backend *s, enum sql_id id, const char *doing, struct err *err) {
    sqlite3_stmt *q;
    int r = sqlite_statement(s, id, &q, err);
    return r < 0 ? r : sqlite_run(s, q, doing, err);
}

/* ---- Writing ---- */

struct found {
    uint64_t revision, create_revision; /* 0: there is no such object */
};

static int log_append(struct sqlite_backend *s, const struct store_event *e, struct err *err) {
    sqlite3_stmt *q;
    int r = sqlite_statement(s, SQL_LOG, &q, err);
    if (r < 0) return r;
    sqlite_bind_u64(q, 1, e->revision);
    sqlite3_bind_int(q, 2, e->op);
    sqlite_bind_u64(q, 3, e->prev_revision);
    bind_blob(q, 4, e->key);
    bind_blob(q, 5, e->value);
    sqlite_bind_u64(q, 6, sqlite_log_crc(e->op, e->revision, e->prev_revision, e->key, e->value));
    return sqlite_run(s, q, "appending to the log", err);
}

static int row_damaged(struct err *err, struct slice key) {
    return err_set(err, ERR_INTERNAL,
                   "store: the database is damaged (wrong checksum of %.*s); stop Atoll and put a "
                   "backup in its place",
                   (int)MIN_OF(key.n, 300u), key.p);
}

static int find(struct sqlite_backend *s, struct slice key, struct found *ret, struct err *err) {
    sqlite3_stmt *q;
    int r = sqlite_statement(s, SQL_FIND, &q, err);
    if (r < 0) return r;
    bind_blob(q, 1, key);
    int rc = sqlite3_step(q);
    *ret = (struct found){0};
    if (rc == SQLITE_ROW) {
        *ret = (struct found){(uint64_t)sqlite3_column_int64(q, 0),
                              (uint64_t)sqlite3_column_int64(q, 1)};
        if (sqlite_object_crc(ret->revision, ret->create_revision, key) !=
            (uint32_t)sqlite3_column_int64(q, 2))
            r = row_damaged(err, key);
    } else if (rc != SQLITE_DONE) {
        r = sqlite_error(s, "reading an object", err);
    }
    sqlite3_reset(q);
    return r;
}

static int object_create(struct sqlite_backend *s, struct sqlite_counters *t,
                         const struct store_write *w, struct store_result *res, struct err *err) {
    sqlite3_stmt *q;
    int r = sqlite_statement(s, SQL_CREATE, &q, err);
    if (r < 0) return r;
    uint64_t revision = t->revision + 1;
    bind_blob(q, 1, w->key);
    sqlite_bind_u64(q, 2, revision);
    sqlite_bind_u64(q, 3, sqlite_object_crc(revision, revision, w->key));
    r = sqlite_run(s, q, "creating an object", err);
    if (r < 0) return r;
    if (sqlite3_changes(s->db) == 0)
        res->reason = ERR_ALREADY_EXISTS;
    else
        t->objects++;
    return 0;
}

/* A write to what is there: what becomes of it. */
static void judge(const struct store_write *w, const struct found *f, struct store_result *res) {
    if (w->op == STORE_CREATE) {
        if (f->revision) res->reason = ERR_ALREADY_EXISTS;
    } else if (!f->revision || f->revision != w->expected_revision) {
        res->reason = f->revision ? ERR_CONFLICT : ERR_NOT_FOUND;
        res->revision = f->revision;
    } else {
        res->prev_revision = f->revision;
    }
}

static int object_change(struct sqlite_backend *s, struct sqlite_counters *t,
                         const struct store_write *w, struct store_result *res, struct err *err) {
    struct found f;
    int r = find(s, w->key, &f, err);
    if (r < 0) return r;
    judge(w, &f, res);
    if (res->reason != ERR_NONE) return 0;
    sqlite3_stmt *q;
    bool gone = w->op == STORE_DELETE;
    r = sqlite_statement(s, gone ? SQL_DELETE : SQL_UPDATE, &q, err);
    if (r < 0) return r;
    bind_blob(q, 1, w->key);
    if (!gone) {
        sqlite_bind_u64(q, 2, t->revision + 1);
        sqlite_bind_u64(q, 3, sqlite_object_crc(t->revision + 1, f.create_revision, w->key));
    }
    t->objects -= gone;
    return sqlite_run(s, q, "changing an object", err);
}

int sqlite_apply(struct sqlite_backend *s, struct sqlite_counters *t, struct arena *a,
                 const struct store_write *w, struct store_result *res, struct err *err) {
    *res = (struct store_result){.value = store_splice(a, w, t->revision + 1)};
    int r =
        w->op == STORE_CREATE ? object_create(s, t, w, res, err) : object_change(s, t, w, res, err);
    if (r < 0 || res->reason != ERR_NONE) return r;
    res->revision = ++t->revision;
    return log_append(
        s, &(struct store_event){w->op, res->revision, res->prev_revision, w->key, res->value},
        err);
}

int sqlite_begin(struct sqlite_backend *s, struct err *err) {
    return sqlite3_get_autocommit(s->db) ? sqlite_run_id(s, SQL_BEGIN, "beginning", err) : 0;
}

/* One write of the batch's bytes and one sync; a batch too large for that ends the transaction. */
static int batch_keep(struct sqlite_backend *s, const struct sqlite_counters *t,
                      const struct store_write *w, size_t n, const struct store_result *results,
                      struct err *err) {
    redo_begin(&s->redo);
    for (size_t i = 0; i < n; i++)
        if (results[i].reason == ERR_NONE) redo_add(&s->redo, &w[i]);
    if (!redo_fits(&s->redo)) return sqlite_settle(s, t, s->compacted, err);
    int r = redo_append(&s->redo, s->now.revision, t->revision, err);
    if (r == 0) s->unsettled += t->revision - s->now.revision;
    return r;
}

/* A batch of one: who sent it waits for it, so it is only looked up, and the tables are changed
 * later. 1: it does not fit into the redo log. */
static int write_alone(struct sqlite_backend *s, struct arena *a, const struct store_write *w,
                       struct store_result *res, struct err *err) {
    struct found f;
    int r = find(s, w->key, &f, err);
    *res = (struct store_result){0};
    if (r < 0) return r;
    judge(w, &f, res);
    if (res->reason != ERR_NONE) return 0;
    redo_begin(&s->redo);
    redo_add(&s->redo, w);
    if (!redo_fits(&s->redo)) return 1;
    r = redo_append(&s->redo, s->now.revision, s->now.revision + 1, err);
    if (r < 0) return r;
    res->revision = s->now.revision + 1;
    res->value = store_splice(a, w, res->revision);
    s->behind = true;
    return 0;
}

static int sqlite_write(struct store_backend *b, struct arena *a, const struct store_write *w,
                        size_t n, struct store_result *results, struct err *err) {
    struct sqlite_backend *s = (struct sqlite_backend *)b;
    int r = sqlite_catch_up(s, err);
    if (r == 0) r = sqlite_begin(s, err);
    int alone = r == 0 && n == 1 ? write_alone(s, a, w, results, err) : 1;
    if (alone <= 0) return alone;
    struct sqlite_counters t = s->now;
    for (size_t i = 0; i < n && r == 0; i++) r = sqlite_apply(s, &t, a, &w[i], &results[i], err);
    assert(t.revision >= s->now.revision);
    if (r == 0 && t.revision > s->now.revision) r = batch_keep(s, &t, w, n, results, err);
    if (r < 0) return sqlite_undo(s, r);
    s->now = t;
    return 0;
}

/* ---- Reading ---- */

static int bind_range(sqlite3_stmt *q, struct arena *a, const struct store_range *r) {
    struct slice end = store_prefix_end(a, r->prefix);
    bind_blob(q, 1, r->after);
    bind_blob(q, 2, r->prefix);
    if (end.n)
        bind_blob(q, 3, end);
    else
        sqlite3_bind_null(q, 3);
    return sqlite3_bind_int64(q, 4, r->limit ? (sqlite3_int64)r->limit : -1);
}

/* A row's columns: key, revision, prev_revision, value, crc, op. */
static int row_read(sqlite3_stmt *q, struct store_event *ret, struct err *err) {
    *ret = (struct store_event){.op = (uint8_t)sqlite3_column_int(q, 5),
                                .revision = (uint64_t)sqlite3_column_int64(q, 1),
                                .prev_revision = (uint64_t)sqlite3_column_int64(q, 2),
                                .key = sqlite_column(q, 0),
                                .value = sqlite_column(q, 3)};
    uint32_t crc = sqlite_log_crc(ret->op, ret->revision, ret->prev_revision, ret->key, ret->value);
    return crc == (uint32_t)sqlite3_column_int64(q, 4) ? 0 : row_damaged(err, ret->key);
}

static int rows_walk(struct sqlite_backend *s, sqlite3_stmt *q, bool as_objects, store_row_fn *fn,
                     void *user, struct err *err) {
    int r = 0, rc = SQLITE_DONE;
    while (r == 0 && (rc = sqlite3_step(q)) == SQLITE_ROW) {
        struct store_event row;
        r = row_read(q, &row, err);
        if (r < 0) break;
        if (as_objects) {
            row.op = STORE_CREATE;
            row.prev_revision = 0;
        }
        r = fn(user, &row);
    }
    if (r == 0 && rc != SQLITE_DONE) r = sqlite_error(s, "reading", err);
    sqlite3_reset(q);
    return r;
}

static int retained(const struct sqlite_backend *s, uint64_t revision, struct err *err) {
    if (revision >= s->compacted && revision <= s->now.revision) return 0;
    return err_set(err, ERR_EXPIRED, "revision %llu is not in the log (%llu to %llu)",
                   (unsigned long long)revision, (unsigned long long)s->compacted,
                   (unsigned long long)s->now.revision);
}

static int sqlite_range(struct store_backend *b, const struct store_range *range, store_row_fn *fn,
                        void *user, uint64_t *ret_revision, struct err *err) {
    struct sqlite_backend *s = (struct sqlite_backend *)b;
    int r = sqlite_catch_up(s, err);
    uint64_t at = range->revision ? range->revision : s->now.revision;
    if (r == 0) r = retained(s, at, err);
    if (r < 0) return r;
    bool now = at == s->now.revision;
    sqlite3_stmt *q;
    r = sqlite_statement(s,
                         now                ? SQL_RANGE
                         : range->unchanged ? SQL_UNCHANGED
                                            : SQL_RANGE_AT,
                         &q, err);
    if (r < 0) return r;
    OWN(arena_free_p) struct arena *a = arena_new();
    bind_range(q, a, range);
    if (!now) sqlite_bind_u64(q, 5, at);
    *ret_revision = at;
    return rows_walk(s, q, true, fn, user, err);
}

static int sqlite_past(struct store_backend *b, uint64_t revision, store_row_fn *fn, void *user,
                       struct err *err) {
    struct sqlite_backend *s = (struct sqlite_backend *)b;
    sqlite3_stmt *q;
    int r = sqlite_catch_up(s, err);
    if (r == 0) r = retained(s, revision, err);
    if (r == 0) r = sqlite_statement(s, SQL_PAST, &q, err);
    if (r < 0) return r;
    sqlite_bind_u64(q, 1, revision);
    return rows_walk(s, q, true, fn, user, err);
}

static int sqlite_log(struct store_backend *b, uint64_t from, uint32_t limit, store_row_fn *fn,
                      void *user, struct err *err) {
    struct sqlite_backend *s = (struct sqlite_backend *)b;
    sqlite3_stmt *q;
    int r = sqlite_catch_up(s, err);
    if (r == 0) r = retained(s, from, err);
    if (r == 0) r = sqlite_statement(s, SQL_LOG_AFTER, &q, err);
    if (r < 0) return r;
    sqlite_bind_u64(q, 1, from);
    sqlite3_bind_int64(q, 2, limit ? (sqlite3_int64)limit : -1);
    return rows_walk(s, q, false, fn, user, err);
}

const struct store_backend_ops store_sqlite = {
    .name = "sqlite",
    .open = sqlite_open,
    .write = sqlite_write,
    .range = sqlite_range,
    .past = sqlite_past,
    .log = sqlite_log,
    .compact = sqlite_compact,
    .maintain = sqlite_maintain,
    .stats = sqlite_stats,
    .idle = sqlite_idle,
    .close = sqlite_close,
};
