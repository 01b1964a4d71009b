/*
 * Opening the database: everything is checked before anything is written. A damaged database is
 * left exactly as it was found: no checkpoint, no recovery into the main file.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "store/durable.h"
#include "store/sqlite.h"

enum {
    APPLICATION_ID = 0x41544f4c, /* "ATOL", shown by file(1) */
    FORMAT_VERSION = 3,          /* 1: without a redo log; 2: objects had values of their own */
};
#define CHECK_BYTES_MAX (64LL << 20) /* a larger database is checked row by row as it is read */

static const char schema[] =
    "CREATE TABLE meta(id INTEGER PRIMARY KEY CHECK(id = 1), revision INTEGER NOT NULL,"
    " compacted INTEGER NOT NULL, crc INTEGER NOT NULL) STRICT;" SQLITE_OBJECTS_TABLE
    "CREATE TABLE log(revision INTEGER PRIMARY KEY, op INTEGER NOT NULL,"
    " prev_revision INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,"
    " crc INTEGER NOT NULL) STRICT;"
    "PRAGMA application_id = 1096044364; PRAGMA user_version = 3;";

int sqlite_damaged(const char *path, struct err *err, const char *what) {
    return err_set(err, ERR_INTERNAL,
                   "the database %s is damaged (%s); nothing was changed. Move its directory away "
                   "and put a backup in its place, or start with none",
                   path, what);
}

/* One integer from a pragma or query; -1 when it fails. */
static int64_t query_int(sqlite3 *db, const char *sql) {
    sqlite3_stmt *q = NULL;
    int64_t v = -1;
    if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) == SQLITE_OK && sqlite3_step(q) == SQLITE_ROW)
        v = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return v;
}

static int quick_check(struct sqlite_backend *s, const char *path, struct err *err) {
    sqlite3_stmt *q = NULL;
    char what[200] = "";
    if (sqlite3_prepare_v2(s->db, "PRAGMA quick_check(1)", -1, &q, NULL) != SQLITE_OK ||
        sqlite3_step(q) != SQLITE_ROW)
        snprintf(what, sizeof what, "%s", sqlite3_errmsg(s->db));
    else if (strcmp((const char *)sqlite3_column_text(q, 0), "ok") != 0)
        snprintf(what, sizeof what, "%s", (const char *)sqlite3_column_text(q, 0));
    sqlite3_finalize(q);
    return what[0] ? sqlite_damaged(path, err, what) : 0;
}

/* With its version: an object whose row of the log is missing has no value. */
static bool object_row_good(const struct sqlite_backend *s, sqlite3_stmt *q) {
    uint64_t revision = (uint64_t)sqlite3_column_int64(q, 1);
    return revision <= s->now.revision && sqlite3_column_int(q, 4) &&
           sqlite_object_crc(revision, (uint64_t)sqlite3_column_int64(q, 2), sqlite_column(q, 0)) ==
               (uint32_t)sqlite3_column_int64(q, 3);
}

static bool log_row_good(const struct sqlite_backend *s, sqlite3_stmt *q) {
    uint64_t revision = (uint64_t)sqlite3_column_int64(q, 1);
    return revision <= s->now.revision &&
           sqlite_log_crc((uint8_t)sqlite3_column_int(q, 5), revision,
                          (uint64_t)sqlite3_column_int64(q, 2), sqlite_column(q, 0),
                          sqlite_column(q, 3)) == (uint32_t)sqlite3_column_int64(q, 4);
}

/* Every row's checksum; counts the rows. */
static int rows_check(struct sqlite_backend *s, const char *path, const char *sql,
                      bool (*good)(const struct sqlite_backend *, sqlite3_stmt *),
                      uint64_t *ret_count, struct err *err) {
    sqlite3_stmt *q = NULL;
    char what[300] = "";
    int rc = sqlite3_prepare_v2(s->db, sql, -1, &q, NULL);
    uint64_t count = 0;
    while (rc == SQLITE_OK && (rc = sqlite3_step(q)) == SQLITE_ROW) {
        count++;
        rc = SQLITE_OK;
        struct slice key = sqlite_column(q, 0);
        if (!good(s, q)) {
            snprintf(what, sizeof what, "wrong checksum of %.*s", (int)MIN_OF(key.n, 200u), key.p);
            break;
        }
    }
    if (!what[0] && rc != SQLITE_DONE) snprintf(what, sizeof what, "%s", sqlite3_errmsg(s->db));
    sqlite3_finalize(q);
    if (what[0]) return sqlite_damaged(path, err, what);
    *ret_count = count;
    return 0;
}

static int meta_load(struct sqlite_backend *s, const char *path, struct err *err) {
    sqlite3_stmt *q = NULL;
    bool good = false;
    if (sqlite3_prepare_v2(s->db, "SELECT revision, compacted, crc FROM meta", -1, &q, NULL) ==
            SQLITE_OK &&
        sqlite3_step(q) == SQLITE_ROW) {
        s->now.revision = (uint64_t)sqlite3_column_int64(q, 0);
        s->compacted = (uint64_t)sqlite3_column_int64(q, 1);
        good = sqlite_meta_crc(s->now.revision, s->compacted) ==
                   (uint32_t)sqlite3_column_int64(q, 2) &&
               s->compacted <= s->now.revision;
    }
    sqlite3_finalize(q);
    return good ? 0 : sqlite_damaged(path, err, "the revision counter is unreadable");
}

static int check_all(struct sqlite_backend *s, const char *path, struct err *err) {
    int r = quick_check(s, path, err);
    if (r == 0)
        r = rows_check(s, path,
                       "SELECT o.key, o.revision, create_revision, o.crc, l.key = o.key"
                       " FROM objects AS o LEFT JOIN log AS l ON l.revision = o.revision",
                       object_row_good, &s->now.objects, err);
    uint64_t rows;
    if (r == 0)
        r = rows_check(s, path, "SELECT key, revision, prev_revision, value, crc, op FROM log",
                       log_row_good, &rows, err);
    return r;
}

static int load(struct sqlite_backend *s, const char *path, int64_t bytes, struct err *err) {
    if (query_int(s->db, "PRAGMA application_id") != APPLICATION_ID)
        return sqlite_damaged(path, err, "it is not a database of Atoll");
    int64_t version = query_int(s->db, "PRAGMA user_version");
    if (version < 1 || version > FORMAT_VERSION)
        return err_set(err, ERR_INTERNAL,
                       "the database %s was written by a newer Atoll; start that version", path);
    int r = meta_load(s, path, err);
    if (r == 0 && version < FORMAT_VERSION) r = sqlite_migrate(s, path, err);
    if (r < 0) return r;
    if (bytes <= CHECK_BYTES_MAX)
        r = check_all(s, path, err);
    else
        s->now.objects = (uint64_t)query_int(s->db, "SELECT count(*) FROM objects");
    if (r < 0) return r;
    /* Every revision after the compacted one has its row: a gap would be a lost event. */
    char sql[96];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM log WHERE revision > %llu",
             (unsigned long long)s->compacted);
    if ((uint64_t)query_int(s->db, sql) != s->now.revision - s->compacted)
        return sqlite_damaged(path, err, "rows of the change log are missing");
    return 0;
}

static int create(struct sqlite_backend *s, const char *path, struct err *err) {
    char meta[128];
    snprintf(meta, sizeof meta, "INSERT INTO meta VALUES(1, 0, 0, %u);", sqlite_meta_crc(0, 0));
    const char *steps[] = {"PRAGMA page_size = 16384; PRAGMA auto_vacuum = INCREMENTAL;"
                           "PRAGMA journal_mode = WAL; BEGIN IMMEDIATE;",
                           schema, meta, "COMMIT;"};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++)
        if (sqlite3_exec(s->db, steps[i], NULL, NULL, NULL) != SQLITE_OK) {
            sqlite_error(s, "making the tables", err);
            return err_wrap(err, "%s", path);
        }
    return 0;
}

static int wal_hook(void *user, sqlite3 *db, const char *name, int pages) {
    ((struct sqlite_backend *)user)->wal_pages = pages;
    return SQLITE_OK;
}

/* Exclusive locking: no other process can use the file, and the WAL index needs no shared memory.
 * The log is checkpointed by maintain() only, whose errors are seen, never inside a commit. */
static int connect_db(struct sqlite_backend *s, const char *path, bool exists, struct err *err) {
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                (exists ? 0 : SQLITE_OPEN_CREATE);
    int rc = sqlite3_open_v2(path, &s->db, flags, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        sqlite3_db_config(s->db, SQLITE_DBCONFIG_LOOKASIDE, NULL, 256, 64);
        rc = sqlite3_exec(
            s->db,
            "PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = FULL;"
            "PRAGMA cache_size = -1536; PRAGMA cache_spill = OFF; PRAGMA temp_store = MEMORY;"
            "PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = 16777216;"
            "PRAGMA cell_size_check = ON",
            NULL, NULL, NULL);
    }
    /* The first read takes the lock and reads the header. */
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(s->db, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
    if (rc == SQLITE_OK) return 0;
    if ((rc & 0xff) == SQLITE_BUSY)
        return err_set(err, ERR_UNAVAILABLE,
                       "the database %s is in use by another process; stop that one first", path);
    if ((rc & 0xff) == SQLITE_NOTADB || (rc & 0xff) == SQLITE_CORRUPT)
        return sqlite_damaged(path, err, sqlite3_errmsg(s->db));
    return err_set(err, ERR_UNAVAILABLE, "the database %s cannot be opened: %s", path,
                   s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc));
}

static int64_t file_bytes(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 ? (int64_t)st.st_size : -1;
}

int sqlite_open(const char *path, struct store_backend **ret, struct err *err) {
    int64_t bytes = file_bytes(path);
    OWN(free_p) char *wal = NULL;
    if (asprintf(&wal, "%s-wal", path) < 0) abort();
    int64_t wal_bytes = file_bytes(wal);
    if (bytes <= 0 && wal_bytes > 0)
        return sqlite_damaged(path, err, "it is missing but its write-ahead log is there");

    struct sqlite_backend *s = calloc(1, sizeof *s);
    if (!s) abort();
    s->base.ops = &store_sqlite;
    int r = connect_db(s, path, bytes >= 0, err);
    if (r == 0) {
        /* An empty schema: a first start that ended before its commit. */
        bool fresh = query_int(s->db, "SELECT count(*) FROM sqlite_schema") == 0;
        r = fresh ? create(s, path, err) : load(s, path, bytes + wal_bytes, err);
    }
    s->settled = s->now;
    s->page_bytes = (int)MAX_OF(query_int(s->db, "PRAGMA page_size"), 512);
    if (r == 0) r = redo_open(&s->redo, s->db, path, err);
    if (r == 0) r = durable_again_path(s->redo.vfs, wal, err); /* the lock is ours */
    if (r == 0) r = sqlite_recover(s, err);
    if (r < 0) {
        sqlite_close_damaged(s);
        return r;
    }
    sqlite3_wal_hook(s->db, wal_hook, s);
    sqlite3_db_release_memory(s->db);
    s->wal_pages = wal_bytes > 0 ? (int)(wal_bytes / s->page_bytes) : 0;
    *ret = &s->base;
    return 0;
}
