/*
 * Formats 1 and 2 kept every object's present value in the table of the objects, with a checksum
 * over it, and the log had it only while its row was not compacted.
 */
#include <stdio.h>

#include "base/own.h"
#include "store/sqlite.h"

static struct slice argument(sqlite3_value *v) {
    const void *p = sqlite3_value_blob(v);
    return slice_from(p, (size_t)sqlite3_value_bytes(v));
}

static uint64_t number(sqlite3_value *v) { return (uint64_t)sqlite3_value_int64(v); }

/* log_crc(op, revision, prev_revision, key, value) */
static void log_crc(sqlite3_context *c, int n, sqlite3_value **v) {
    sqlite3_result_int64(c, sqlite_log_crc((uint8_t)number(v[0]), number(v[1]), number(v[2]),
                                           argument(v[3]), argument(v[4])));
}

/* object_crc(revision, create_revision, key) */
static void object_crc(sqlite3_context *c, int n, sqlite3_value **v) {
    sqlite3_result_int64(c, sqlite_object_crc(number(v[0]), number(v[1]), argument(v[2])));
}

/* old_crc(revision, create_revision, key, value) */
static void old_crc(sqlite3_context *c, int n, sqlite3_value **v) {
    struct slice value = argument(v[3]);
    uint64_t bytes = value.n;
    uint32_t crc = sqlite_object_crc(number(v[0]), number(v[1]), argument(v[2]));
    crc = crc32c(crc32c(crc, &bytes, sizeof bytes), value.p, value.n);
    sqlite3_result_int64(c, crc);
}

static int run(struct sqlite_backend *s, const char *sql, struct err *err) {
    if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK) return 0;
    return sqlite_error(s, "taking over the database of an older Atoll", err);
}

/* Nothing is written when a row is not what it was. */
static int check(struct sqlite_backend *s, const char *path, struct err *err) {
    static const char sql[] =
        "SELECT key FROM objects WHERE crc <> old_crc(revision, create_revision, key, value)"
        " UNION ALL SELECT key FROM log"
        " WHERE crc <> log_crc(op, revision, prev_revision, key, value) LIMIT 1";
    sqlite3_stmt *q = NULL;
    char what[300];
    int rc = sqlite3_prepare_v2(s->db, sql, -1, &q, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_step(q);
    if (rc == SQLITE_ROW) {
        struct slice key = sqlite_column(q, 0);
        snprintf(what, sizeof what, "wrong checksum of %.*s", (int)MIN_OF(key.n, 200u), key.p);
    } else {
        snprintf(what, sizeof what, "%s", sqlite3_errmsg(s->db));
    }
    sqlite3_finalize(q);
    return rc == SQLITE_DONE ? 0 : sqlite_damaged(path, err, what);
}

static const char steps[] =
    "BEGIN IMMEDIATE;"
    "INSERT INTO log SELECT revision, 2, 0, key, value, log_crc(2, revision, 0, key, value)"
    " FROM objects WHERE revision NOT IN (SELECT revision FROM log) ORDER BY revision;"
    "ALTER TABLE objects RENAME TO old_objects;" SQLITE_OBJECTS_TABLE
    "INSERT INTO objects SELECT key, revision, create_revision,"
    " object_crc(revision, create_revision, key) FROM old_objects ORDER BY key;"
    "DROP TABLE old_objects;"
    "PRAGMA user_version = 3;"
    "COMMIT;";

int sqlite_migrate(struct sqlite_backend *s, const char *path, struct err *err) {
    enum { FLAGS = SQLITE_UTF8 | SQLITE_DETERMINISTIC };
    sqlite3_create_function(s->db, "log_crc", 5, FLAGS, NULL, log_crc, NULL, NULL);
    sqlite3_create_function(s->db, "object_crc", 3, FLAGS, NULL, object_crc, NULL, NULL);
    sqlite3_create_function(s->db, "old_crc", 4, FLAGS, NULL, old_crc, NULL, NULL);
    int r = check(s, path, err);
    /* All of it changes at once: not all of it in memory. */
    if (r == 0) r = run(s, "PRAGMA cache_spill = ON", err);
    if (r == 0) r = run(s, steps, err);
    if (!sqlite3_get_autocommit(s->db)) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return r < 0 ? r : run(s, "PRAGMA cache_spill = OFF", err);
}
