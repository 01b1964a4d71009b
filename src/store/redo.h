/*
 * The redo log of a database: what makes a batch of writes durable with one write of its bytes and
 * one fdatasync, before the database's own pages are written. The batch is applied inside a
 * transaction of SQLite that stays open over many batches; when that is committed (durably), the
 * records are of no more use and the next one goes to the beginning again. The file keeps its size,
 * so that a sync moves no metadata. It is opened through the VFS of the database, and written past
 * the page cache where that is possible: a sync then has little left to do.
 *
 * A record begins at a multiple of REDO_ALIGN_BYTES: u32 magic, u32 CRC-32C of what follows, u32
 * body bytes, u32 0, u64 revision before, u64 revision after, body (u32 length and store_write_pack
 * of each write that succeeded), zeros, and as the last four bytes of its last block the CRC again:
 * the seal, without which a record counts as not written. Revisions only rise from record to
 * record: what is left of an earlier round is no continuation. Those of an older Atoll stand one
 * behind the other.
 */
#pragma once

#include <sqlite3.h>

#include "store/backend.h"

enum {
    REDO_ALIGN_BYTES = 4096,
    REDO_BYTES_MAX = 4 << 20,
    REDO_RECORD_BYTES_MAX = 1 << 20, /* a larger batch is committed to the database at once */
};

struct redo {
    sqlite3_vfs *vfs;
    sqlite3_file *file;
    char *path;
    int64_t end, size; /* where the next record goes; of the file */
    struct buf record; /* the one that gathers */
    char *blocks;      /* what is being written, aligned */
    int direct_fd;     /* the file's, when it is written past the page cache; else -1 */
};

/* Non-zero stops and is returned. */
typedef int redo_record_fn(void *user, uint64_t from, uint64_t to, struct slice body,
                           struct err *err);

/* Opens or makes DATABASE-redo. */
int redo_open(struct redo *r, sqlite3 *db, const char *db_path, struct err *err);
void redo_close(struct redo *r); /* also of one that was never opened; leaves the file as it is */
void redo_rest(struct redo *r);  /* gives memory back */
/* The records from the beginning, as far as they are whole and continue each other. end: where to
 * stop, -1 = not known; r->end is set to where they end. Before more is written after records of an
 * older Atoll (the end is no multiple of REDO_ALIGN_BYTES), the log has to begin again. */
int redo_scan(struct redo *r, int64_t end, redo_record_fn *fn, void *user, struct err *err);
/* After redo_scan: ERR_INTERNAL when a whole record of a revision above this one stands behind the
 * end. Then the one before it was durable and has been damaged since. */
int redo_beyond(struct redo *r, uint64_t revision, struct err *err);
/* Makes the records durable that redo_scan has found (durable.h). */
int redo_again(struct redo *r, struct err *err);

void redo_begin(struct redo *r);
void redo_add(struct redo *r, const struct store_write *w);
bool redo_fits(const struct redo *r);
/* Durable when it returns 0. ERR_UNAVAILABLE: the disk is full, the record is not there. */
int redo_append(struct redo *r, uint64_t from, uint64_t to, struct err *err);
struct slice redo_last(const struct redo *r); /* body of what was appended, until redo_begin */
void redo_reset(struct redo *r);              /* the database holds everything durably */
void redo_clear(struct redo *r);              /* after a reset: leaves no old record to be found */

/* The next write of a record's body; false at its end or, with *bad, when it is malformed. */
bool redo_next(struct unpack *body, struct store_write *ret, bool *bad);
