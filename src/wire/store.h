/*
 * The store's protocol (ipc frames on store.sock; only `api` may connect). The store orders every
 * change: it assigns one revision (resourceVersion) per event and writes it into the object's bytes
 * at `rv_offset`. After STORE_WATCH_OK a connection receives each committed event in order. For the
 * event of a write of its own STORE_WRITE_OK comes in that place, since the writer knows the rest;
 * only while it catches up the event comes too, and first. So whoever has seen the answer has seen
 * all that was before it.
 *
 * Keys: "/RESOURCE.GROUP/NAMESPACE/NAME" or "/RESOURCE.GROUP//NAME" (cluster-scoped); the core
 * group is "core".
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/pack.h"

enum store_msg {
    STORE_WRITE = 1, /* → STORE_WRITE_OK or IPC_ERROR */
    STORE_WRITE_OK = 2,
    /* u64 from, u64 history: events with revision > from follow as STORE_EVENT(id 0). from 0: first
     * a snapshot (rows in no order, some perhaps twice) of what was `history` events ago, as far as
     * the log reaches */
    STORE_WATCH = 3,
    /* u64 revision of the snapshot or the current one, u64 compacted revision, u64 current
     * revision; sent after the snapshot's rows */
    STORE_WATCH_OK = 4,
    STORE_EVENT = 5,
    STORE_RANGE = 6, /* list at a revision: → STORE_RANGE_ROW*(same id) then STORE_RANGE_OK;
                        ERR_EXPIRED when compacted, also after some rows. Not by ipc_call, which
                        takes one answer */
    STORE_RANGE_ROW = 7,
    STORE_RANGE_OK = 8, /* u64 revision that was shown */
    STORE_STATS = 9,
    STORE_STATS_OK = 10,
    STORE_COMPACT = 11, /* forgets all of the log, now → STORE_COMPACT_OK */
    STORE_COMPACT_OK = 12,
};

enum store_op { STORE_CREATE = 1, STORE_UPDATE = 2, STORE_DELETE = 3 };

/* One write. value: canonical JSON in which metadata.resourceVersion is the empty string and
 * rv_offset is the offset just after its opening quote; the store inserts the decimal revision
 * there. For STORE_DELETE value is the last state of the object, which becomes the DELETED event's
 * object at the delete's revision. */
struct store_write {
    uint8_t op;
    struct slice key;
    uint64_t expected_revision; /* update, delete: must equal the current modification revision,
                                   else ERR_CONFLICT. 0 is refused */
    uint32_t rv_offset;
    struct slice value;
};

/* STORE_EVENT and rows. */
struct store_event {
    uint8_t op;             /* store_op; snapshot and range rows are STORE_CREATE */
    uint64_t revision;      /* this event's */
    uint64_t prev_revision; /* 0 for creates and rows */
    struct slice key;
    struct slice value; /* final bytes with the revision inside */
};

struct store_range {
    struct slice prefix; /* all keys that start with it */
    struct slice after;  /* only keys > after; empty = from the first */
    uint64_t revision;   /* 0 = current */
    uint32_t limit;      /* 0 = all */
    bool unchanged;      /* only objects that have not changed since; not sent */
};

struct store_stats {
    uint64_t revision, compacted, objects, log_rows, database_bytes;
};

void store_write_pack(struct buf *b, const struct store_write *w);
int store_write_unpack(struct slice s, struct store_write *ret); /* slices borrow from s */
void store_event_pack(struct buf *b, const struct store_event *e);
int store_event_unpack(struct slice s, struct store_event *ret);
void store_range_pack(struct buf *b, const struct store_range *r);
int store_range_unpack(struct slice s, struct store_range *ret);
void store_stats_pack(struct buf *b, const struct store_stats *s);
int store_stats_unpack(struct slice s, struct store_stats *ret);
/* STORE_WRITE_OK: u64 revision. */
