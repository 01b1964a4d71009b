/*
 * What keeps the state: SQLite on one machine, memory in tests and the simulator; etcd fits behind
 * the same operations. One instance has one user and one thread. Revisions are handed out without
 * gaps, one per successful write, and never move back: not by restart, failure or compaction.
 */
#pragma once

#include "base/arena.h"
#include "wire/store.h"

/* What became of one write of a batch. */
struct store_result {
    enum err_reason reason; /* ERR_NONE: done; ERR_ALREADY_EXISTS, ERR_NOT_FOUND, ERR_CONFLICT */
    uint64_t revision;      /* of this write; on ERR_CONFLICT the current one */
    uint64_t prev_revision; /* 0 for creates */
    struct slice value;     /* final bytes, with the revision inside; in the batch's arena */
};

/* Rows in ascending order; slices live during the call. Non-zero stops and is returned. */
typedef int store_row_fn(void *user, const struct store_event *row);

struct store_backend; /* begins with `const struct store_backend_ops *ops` */

struct store_backend_ops {
    const char *name;
    /* Opens or makes what path names and checks all of it. A damaged store is refused and left
     * untouched; err says what to do. */
    int (*open)(const char *path, struct store_backend **ret, struct err *err);
    /* Applies the writes in order, each seeing those before it; results[i] is filled for each.
     * Returns 0 when every success is durable. ERR_UNAVAILABLE: nothing was applied and the backend
     * is usable (disk full). Any other failure: it is not known what was applied, and the
     * instance must not be used again (the process ends; init restarts it). */
    int (*write)(struct store_backend *b, struct arena *a, const struct store_write *w, size_t n,
                 struct store_result *results, struct err *err);
    /* Rows of a range at r->revision (0 = now), in key order; ERR_EXPIRED when that revision was
     * compacted or is in the future. *ret_revision: the revision it shows. */
    int (*range)(struct store_backend *b, const struct store_range *r, store_row_fn *fn, void *user,
                 uint64_t *ret_revision, struct err *err);
    /* Objects that changed after this revision, as they were at it, in no order; ERR_EXPIRED as
     * range. With range's `unchanged` this is a whole snapshot. */
    int (*past)(struct store_backend *b, uint64_t revision, store_row_fn *fn, void *user,
                struct err *err);
    /* Log rows with revision > from, in order, at most limit (0 = all). ERR_EXPIRED when some of
     * them were compacted, or from is in the future. */
    int (*log)(struct store_backend *b, uint64_t from, uint32_t limit, store_row_fn *fn, void *user,
               struct err *err);
    /* Forgets the oldest log rows down to keep_rows, at most max_rows of them in this call. Failure
     * changes nothing: try again later. */
    int (*compact)(struct store_backend *b, uint64_t keep_rows, uint64_t max_rows, struct err *err);
    /* What need not delay an answer (a lone write's rows, checkpoint); after each write, but
     * nothing depends on it. Failure: as write. */
    int (*maintain)(struct store_backend *b, struct err *err);
    void (*stats)(struct store_backend *b, struct store_stats *ret);
    /* Housekeeping that waits for a quiet moment, and gives memory back; called when nothing has
     * happened for a while. Failure: as write. */
    int (*idle)(struct store_backend *b, struct err *err);
    void (*close)(struct store_backend *b); /* NULL is allowed */
};

struct store_backend {
    const struct store_backend_ops *ops;
};

extern const struct store_backend_ops store_sqlite;
extern const struct store_backend_ops store_memory;

/* ---- Shared by the backends ---- */

/* Whether a write is well-formed: sizes, key shape, rv_offset inside an empty JSON string, expected
 * revision. ERR_BAD_REQUEST or ERR_TOO_LARGE. */
int store_write_check(const struct store_write *w, struct err *err);
/* The value with the revision inserted, in the arena. */
struct slice store_splice(struct arena *a, const struct store_write *w, uint64_t revision);
/* The smallest key that is greater than every key with this prefix, in the arena; empty = none. */
struct slice store_prefix_end(struct arena *a, struct slice prefix);
/* CRC-32C (Castagnoli, RFC 3720 appendix B.4), continuing from crc; start with 0. */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);
