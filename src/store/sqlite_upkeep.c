/*
 * The upkeep of the SQLite backend: ending the transaction that many batches share, making it anew
 * from the redo log after a failure or a crash, compaction, checkpoints.
 */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/own.h"
#include "store/sqlite.h"

enum {
    CHECKPOINT_BYTES = 4 << 20,
    VACUUM_BYTES_MIN = 1 << 20,
    VACUUM_BYTES = 1 << 20,       /* at once */
    SETTLE_CACHE_BYTES = 4 << 20, /* changed pages are in memory until the transaction's end */
    SETTLE_BYTES = REDO_BYTES_MAX - REDO_RECORD_BYTES_MAX,
};

static int meta_store(struct sqlite_backend *s, uint64_t revision, uint64_t compacted,
                      struct err *err) {
    sqlite3_stmt *q;
    int r = sqlite_statement(s, SQL_META, &q, err);
    if (r < 0) return r;
    sqlite_bind_u64(q, 1, revision);
    sqlite_bind_u64(q, 2, compacted);
    sqlite_bind_u64(q, 3, sqlite_meta_crc(revision, compacted));
    return sqlite_run(s, q, "writing the revision", err);
}

int sqlite_settle(struct sqlite_backend *s, const struct sqlite_counters *t, uint64_t compacted,
                  struct err *err) {
    int r = meta_store(s, t->revision, compacted, err);
    if (r == 0) r = sqlite_run_id(s, SQL_COMMIT, "committing", err);
    if (r < 0) return r;
    s->now = s->settled = *t;
    s->compacted = compacted;
    s->unsettled = 0;
    redo_reset(&s->redo);
    return 0;
}

/* ---- The redo log ---- */

static int record_differs(struct sqlite_backend *s, uint64_t from, struct err *err) {
    return err_set(err, ERR_INTERNAL,
                   "the redo log %s is damaged or of another database (its record after revision "
                   "%llu does not continue revision %llu); nothing was changed. Move its directory "
                   "away and put a backup in its place, or start with none",
                   s->redo.path, (unsigned long long)from, (unsigned long long)s->now.revision);
}

/* Applying is deterministic: the same rows and bytes as at first. */
static int record_apply(void *user, uint64_t from, uint64_t to, struct slice body,
                        struct err *err) {
    struct sqlite_backend *s = user;
    if (to <= s->settled.revision) return 0; /* the database has it */
    if (from != s->now.revision) return record_differs(s, from, err);
    OWN(arena_free_p) struct arena *a = arena_new();
    struct sqlite_counters t = s->now;
    struct unpack u = unpack_init(body);
    struct store_write w;
    bool bad = false;
    int r = sqlite_begin(s, err);
    while (r == 0 && redo_next(&u, &w, &bad)) {
        struct store_result res;
        r = sqlite_apply(s, &t, a, &w, &res, err);
        if (r == 0 && res.reason != ERR_NONE) bad = true;
        if (bad) break;
    }
    if (r == 0 && (bad || t.revision != to)) r = record_differs(s, from, err);
    if (r < 0) return r;
    s->unsettled += to - from;
    s->now = t;
    return 0;
}

int sqlite_recover(struct sqlite_backend *s, struct err *err) {
    int r = redo_scan(&s->redo, -1, record_apply, s, err);
    if (r == 0) r = redo_beyond(&s->redo, s->now.revision, err);
    if (r < 0) return r;
    if (s->redo.end % REDO_ALIGN_BYTES) { /* of an older Atoll: nothing can follow */
        if (s->unsettled) return sqlite_settle(s, &s->now, s->compacted, err);
        redo_reset(&s->redo);
    }
    /* What is shown from now on must not be gone after the next power failure. */
    return s->unsettled ? redo_again(&s->redo, err) : 0;
}

int sqlite_undo(struct sqlite_backend *s, int result) {
    /* SQLite may have rolled back by itself. */
    if (!sqlite3_get_autocommit(s->db)) sqlite_run_id(s, SQL_ROLLBACK, "rolling back", NULL);
    s->now = s->settled;
    s->unsettled = 0;
    /* A roll-back that fails leaves a transaction open: nothing after it may be acknowledged. */
    s->failed = !sqlite3_get_autocommit(s->db) ||
                redo_scan(&s->redo, s->redo.end, record_apply, s, NULL) != 0;
    return s->failed ? -EIO : result;
}

int sqlite_catch_up(struct sqlite_backend *s, struct err *err) {
    if (!s->behind && !s->failed) return 0;
    uint64_t at = s->now.revision;
    int r = s->failed ? -EIO : record_apply(s, at, at + 1, redo_last(&s->redo), err);
    if (r < 0 && !s->failed) r = sqlite_undo(s, 0);
    if (r < 0)
        return err_set(err, ERR_INTERNAL, "store: what the redo log has cannot be put into tables");
    s->behind = false;
    return 0;
}

/* ---- Compaction, checkpoints ---- */

static int64_t pragma_int(struct sqlite_backend *s, const char *sql) {
    sqlite3_stmt *q = NULL;
    int64_t v = 0;
    if (sqlite3_prepare_v2(s->db, sql, -1, &q, NULL) == SQLITE_OK && sqlite3_step(q) == SQLITE_ROW)
        v = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return v;
}

/* Gives pages back to the file system, some at a time, when a quarter of the file is free. */
static int vacuum_some(struct sqlite_backend *s, struct err *err) {
    int64_t unused = pragma_int(s, "PRAGMA freelist_count");
    if (unused * s->page_bytes < VACUUM_BYTES_MIN ||
        unused * 4 < pragma_int(s, "PRAGMA page_count"))
        return 0;
    char sql[64];
    snprintf(sql, sizeof sql, "PRAGMA incremental_vacuum(%d)", VACUUM_BYTES / s->page_bytes);
    if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK) return 0;
    return sqlite_error(s, "vacuum", err);
}

static int compact_rows(struct sqlite_backend *s, uint64_t to, struct err *err) {
    for (enum sql_id id = SQL_COMPACT_SUPERSEDED; id <= SQL_COMPACT_DELETIONS; id++) {
        sqlite3_stmt *q;
        int r = sqlite_statement(s, id, &q, err);
        if (r < 0) return r;
        sqlite_bind_u64(q, 1, s->compacted);
        sqlite_bind_u64(q, 2, to);
        r = sqlite_run(s, q, "compacting", err);
        if (r < 0) return r;
    }
    return 0;
}

int sqlite_compact(struct store_backend *b, uint64_t keep_rows, uint64_t max_rows,
                   struct err *err) {
    struct sqlite_backend *s = (struct sqlite_backend *)b;
    int r = sqlite_catch_up(s, err);
    uint64_t rows = s->now.revision - s->compacted;
    if (r < 0 || rows <= keep_rows) return r;
    uint64_t to = s->compacted + MIN_OF(rows - keep_rows, max_rows);
    r = sqlite_begin(s, err);
    if (r == 0) r = compact_rows(s, to, err);
    if (r == 0) r = vacuum_some(s, err);
    if (r == 0) r = sqlite_settle(s, &s->now, to, err);
    return r < 0 ? sqlite_undo(s, r) : 0;
}

static int checkpoint(struct sqlite_backend *s, int mode, struct err *err) {
    int rc = sqlite3_wal_checkpoint_v2(s->db, NULL, mode, NULL, NULL);
    if (rc == SQLITE_OK) s->wal_pages = 0;
    /* A full disk keeps the log: later checkpoints carry on. A failed fsync is never retried: the
     * kernel may already have dropped the pages. */
    if (rc == SQLITE_OK || (rc & 0xff) == SQLITE_FULL || (rc & 0xff) == SQLITE_BUSY) return 0;
    return sqlite_error(s, "checkpoint", err);
}

/* Commits what only the redo log holds. */
static int settle_all(struct sqlite_backend *s, struct err *err) {
    int r = sqlite_catch_up(s, err);
    if (r < 0 || sqlite3_get_autocommit(s->db)) return r;
    r = sqlite_settle(s, &s->now, s->compacted, err);
    return r < 0 ? sqlite_undo(s, r) : 0;
}

static bool settle_due(struct sqlite_backend *s) {
    if (s->redo.end >= SETTLE_BYTES) return true;
    int used = 0, highest = 0;
    sqlite3_db_status(s->db, SQLITE_DBSTATUS_CACHE_USED, &used, &highest, 0);
    return used >= SETTLE_CACHE_BYTES;
}

int sqlite_maintain(struct store_backend *b, struct err *err) {
    struct sqlite_backend *s = (struct sqlite_backend *)b;
    int r = sqlite_catch_up(s, err);
    if (r < 0) return r;
    if (settle_due(s)) {
        r = settle_all(s, err);
        if (r < 0) return r;
        /* SQLite keeps the pages that have become clean, and they would count as changed ones. */
        sqlite3_db_release_memory(s->db);
    }
    if ((int64_t)s->wal_pages * s->page_bytes < CHECKPOINT_BYTES || !sqlite3_get_autocommit(s->db))
        return 0;
    return checkpoint(s, SQLITE_CHECKPOINT_PASSIVE, err);
}

void sqlite_stats(struct store_backend *b, struct store_stats *ret) {
    struct sqlite_backend *s = (struct sqlite_backend *)b;
    sqlite_catch_up(s, NULL); /* a failure is told by whatever is asked next */
    *ret = (struct store_stats){
        s->now.revision, s->compacted, s->now.objects, s->now.revision - s->compacted,
        (uint64_t)(pragma_int(s, "PRAGMA page_count") * pragma_int(s, "PRAGMA page_size"))};
}

int sqlite_idle(struct store_backend *b, struct err *err) {
    struct sqlite_backend *s = (struct sqlite_backend *)b;
    int r = settle_all(s, err);
    redo_rest(&s->redo);
    sqlite3_db_release_memory(s->db);
    malloc_trim(0);
    return r;
}

void sqlite_close_damaged(struct sqlite_backend *s) {
    for (size_t i = 0; i < SQL_COUNT_; i++) sqlite3_finalize(s->statements[i]);
    redo_close(&s->redo);
    sqlite3_close(s->db);
    free(s);
}

void sqlite_close(struct store_backend *b) {
    struct sqlite_backend *s = (struct sqlite_backend *)b;
    if (!s) return;
    /* Nothing to recover at the next start. */
    if (settle_all(s, NULL) == 0 && checkpoint(s, SQLITE_CHECKPOINT_TRUNCATE, NULL) == 0)
        redo_clear(&s->redo);
    sqlite_close_damaged(s);
}
