/* Private to the SQLite backend: its state, and what its files share. */
#pragma once

#include <sqlite3.h>

#include "store/backend.h"
#include "store/redo.h"

enum sql_id {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_CREATE,
    SQL_FIND,
    SQL_UPDATE,
    SQL_DELETE,
    SQL_LOG,
    SQL_META,
    SQL_RANGE,
    SQL_RANGE_AT,
    SQL_UNCHANGED,
    SQL_PAST,
    SQL_LOG_AFTER,
    SQL_COMPACT_SUPERSEDED,
    SQL_COMPACT_DELETIONS,
    SQL_COUNT_
};

struct sqlite_counters {
    uint64_t revision, objects;
};

struct sqlite_backend {
    struct store_backend base;
    sqlite3 *db;
    sqlite3_stmt *statements[SQL_COUNT_]; /* prepared at first use */
    struct sqlite_counters now;           /* with what is durable in the redo log only */
    struct sqlite_counters settled;       /* as committed to the database */
    uint64_t compacted;                   /* likewise */
    uint64_t unsettled;                   /* writes in the open transaction */
    struct redo redo;
    bool failed;   /* what the tables hold is not known: nothing is answered any more */
    bool behind;   /* the tables lack the last record of the redo log: sqlite_catch_up */
    int wal_pages; /* frames in the write-ahead log after the last commit */
    int page_bytes;
};

/* ERR_UNAVAILABLE when the disk is full, else ERR_INTERNAL. */
int sqlite_error(struct sqlite_backend *s, const char *doing, struct err *err);
uint32_t sqlite_object_crc(uint64_t revision, uint64_t create_revision, struct slice key);
uint32_t sqlite_log_crc(uint8_t op, uint64_t revision, uint64_t prev_revision, struct slice key,
                        struct slice value);
uint32_t sqlite_meta_crc(uint64_t revision, uint64_t compacted);
struct slice sqlite_column(sqlite3_stmt *q, int i); /* a blob */
#define SQLITE_OBJECTS_TABLE                                                                       \
    "CREATE TABLE objects(key BLOB NOT NULL PRIMARY KEY, revision INTEGER NOT NULL,"               \
    " create_revision INTEGER NOT NULL, crc INTEGER NOT NULL) STRICT, WITHOUT ROWID;"

/* A database of an older format gets the present one, in one transaction. */
int sqlite_migrate(struct sqlite_backend *s, const char *path, struct err *err);
int sqlite_damaged(const char *path, struct err *err, const char *what);
int sqlite_open(const char *path, struct store_backend **ret, struct err *err);
void sqlite_close_damaged(struct sqlite_backend *s); /* leaves every file as it is */

int sqlite_statement(struct sqlite_backend *s, enum sql_id id, sqlite3_stmt **ret, struct err *err);
void sqlite_bind_u64(sqlite3_stmt *q, int i, uint64_t v);
int sqlite_run(struct sqlite_backend *s, sqlite3_stmt *q, const char *doing, struct err *err);
int sqlite_run_id(struct sqlite_backend *s, enum sql_id id, const char *doing, struct err *err);

int sqlite_begin(struct sqlite_backend *s, struct err *err); /* unless a transaction is open */
/* One write, in the open transaction; t moves on when it succeeds. */
int sqlite_apply(struct sqlite_backend *s, struct sqlite_counters *t, struct arena *a,
                 const struct store_write *w, struct store_result *res, struct err *err);
/* Commits the open transaction with these counters, durably; the redo log is free then. A failure
 * needs sqlite_undo. */
int sqlite_settle(struct sqlite_backend *s, const struct sqlite_counters *t, uint64_t compacted,
                  struct err *err);
/* After a failure in a transaction: makes it anew from the redo log. Returns result, or -EIO when
 * that is not possible. */
int sqlite_undo(struct sqlite_backend *s, int result);
/* A write that comes alone is answered as soon as the redo log has it, before the tables do.
 * Whoever looks at the tables or the counters calls this first; a failure is ERR_INTERNAL. */
int sqlite_catch_up(struct sqlite_backend *s, struct err *err);
/* At the start: what the redo log has and the database has not. */
int sqlite_recover(struct sqlite_backend *s, struct err *err);

int sqlite_compact(struct store_backend *b, uint64_t keep_rows, uint64_t max_rows, struct err *err);
int sqlite_maintain(struct store_backend *b, struct err *err);
void sqlite_stats(struct store_backend *b, struct store_stats *ret);
int sqlite_idle(struct store_backend *b, struct err *err);
void sqlite_close(struct store_backend *b);
