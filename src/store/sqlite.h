/* Private to the SQLite backend: its state, and what sqlite.c and sqlite_open.c share. */
#pragma once

#include <sqlite3.h>

#include "store/backend.h"

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
    SQL_COMPACT_CURRENT,
    SQL_COUNT_
};

struct sqlite_backend {
    struct store_backend base;
    sqlite3 *db;
    sqlite3_stmt *statements[SQL_COUNT_]; /* prepared at first use */
    uint64_t revision, compacted;         /* as committed */
    uint64_t objects, log_rows;
    int wal_pages; /* frames in the write-ahead log after the last commit */
};

/* ERR_UNAVAILABLE when the disk is full, else ERR_INTERNAL. */
int sqlite_error(struct sqlite_backend *s, const char *doing, struct err *err);
uint32_t sqlite_object_crc(uint64_t revision, uint64_t create_revision, struct slice key,
                           struct slice value);
uint32_t sqlite_log_crc(uint8_t op, uint64_t revision, uint64_t prev_revision, struct slice key,
                        struct slice value);
uint32_t sqlite_meta_crc(uint64_t revision, uint64_t compacted);
struct slice sqlite_column(sqlite3_stmt *q, int i); /* a blob */
int sqlite_open(const char *path, struct store_backend **ret, struct err *err);
void sqlite_close_damaged(struct sqlite_backend *s); /* leaves every file as it is */
