/* What the tests of the redo log share: a database of their own, writes, crashes. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/own.h"
#include "base/test.h"
#include "store/sqlite.h"

enum { VALUE_BYTES = 2000 };

struct place {
    char dir[64], path[96], redo[104];
};

static inline void place_make(struct place *p) {
    snprintf(p->dir, sizeof p->dir, "/tmp/atoll-redo-test-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->path, sizeof p->path, "%s/store.db", p->dir);
    snprintf(p->redo, sizeof p->redo, "%s-redo", p->path);
}

static inline void place_remove(struct place *p) {
    char wal[104];
    snprintf(wal, sizeof wal, "%s-wal", p->path);
    unlink(p->path);
    unlink(p->redo);
    unlink(wal);
    assert_int_equal(rmdir(p->dir), 0);
}

static inline struct store_backend *open_or_fail(const char *path) {
    struct store_backend *b;
    struct err err;
    if (store_sqlite.open(path, &b, &err) < 0) fail_msg("%s", err.text);
    return b;
}

/* Creates /k<from+1> … /k<from+n> in one batch. False when it failed. */
static inline bool create_batch(struct store_backend *b, uint64_t from, size_t n) {
    OWN(arena_free_p) struct arena *a = arena_new();
    char *value = arena_alloc(a, VALUE_BYTES);
    memset(value, 'x', VALUE_BYTES);
    memcpy(value, "{\"rv\":\"\",\"v\":\"", 14);
    memcpy(value + VALUE_BYTES - 2, "\"}", 2);
    struct store_write *w = ARENA_ARRAY(a, struct store_write, n);
    struct store_result *res = ARENA_ARRAY(a, struct store_result, n);
    for (size_t i = 0; i < n; i++) {
        const char *key = arena_printf(a, "/k%llu", (unsigned long long)from + i + 1);
        w[i] =
            (struct store_write){STORE_CREATE, slice_of(key), 0, 7, slice_from(value, VALUE_BYTES)};
    }
    if (b->ops->write(b, a, w, n, res, NULL) < 0) return false;
    for (size_t i = 0; i < n; i++)
        if (res[i].reason != ERR_NONE || res[i].revision != from + i + 1) return false;
    return true;
}

static inline bool change(struct store_backend *b, uint8_t op, const char *key, uint64_t expected) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct store_write w = {op, slice_of(key), expected, 7, SLICE("{\"rv\":\"\",\"v\":\"2\"}")};
    struct store_result res;
    return b->ops->write(b, a, &w, 1, &res, NULL) == 0 && res.reason == ERR_NONE;
}

/* Runs fn on the store in a process that ends without closing it. */
static inline void crash_after(const char *path, bool (*fn)(struct store_backend *b)) {
    pid_t pid = fork();
    if (pid == 0) {
        struct store_backend *b;
        if (store_sqlite.open(path, &b, NULL) < 0) _exit(2);
        _exit(fn(b) ? 0 : 3);
    }
    int status;
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
}

static inline int64_t database_int(const char *path, const char *sql) {
    sqlite3 *db;
    sqlite3_stmt *q;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
    int64_t v = sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : -1;
    sqlite3_finalize(q);
    sqlite3_close(db);
    return v;
}

static inline struct store_stats stats_of(struct store_backend *b) {
    struct store_stats st;
    b->ops->stats(b, &st);
    return st;
}

/* A store of four objects whose last write stands only in the redo log, and whose tables do not
 * take it: a table was dropped in the open transaction. */
static inline struct store_backend *open_without_log_table(const char *path) {
    struct store_backend *b = open_or_fail(path);
    assert_true(create_batch(b, 0, 3));
    assert_true(create_batch(b, 3, 1));
    sqlite3 *db = ((struct sqlite_backend *)b)->db;
    assert_int_equal(sqlite3_exec(db, "DROP TABLE log", NULL, NULL, NULL), SQLITE_OK);
    return b;
}
