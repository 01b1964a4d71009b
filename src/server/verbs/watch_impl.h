/*
 * What the files of WATCH share: watch.c (entry, pace), watch_frame.c (one event's bytes),
 * watch_shared.c (bytes that many watchers send).
 */
#pragma once

#include "server/media/table.h"
#include "server/verbs/select.h"

struct watch {
    struct watch *next, *prev; /* of the api */
    struct call *c;
    struct selection select;
    struct arena *scratch;
    struct key_snapshot initial; /* what is still to come of the state at the beginning, as ADDED */
    struct object *held;         /* the next of it, which had no room in its piece; borrowed */
    uint64_t sent_revision;
    bool bookmarks, end_of_initial; /* the annotated bookmark is still due */
    bool blocked, pumping, columns_sent;
    bool dirty; /* in api->dirty_watches */
    bool over;  /* ends when all events are sent */
    struct watch_conversion
        *conversion; /* of the events to come next; NULL: none has been needed */
    struct timer *timer;
    uint64_t bookmark_at_ms, end_at_ms;
};

extern const char *const watch_type_names[]; /* by enum event_type */
void watch_put_frame(struct watch *w, struct buf *b, enum event_type type, struct slice stored);
void watch_put_bookmark(struct watch *w, struct buf *b, bool end_of_initial);

/* While the watchers of one change take their turns, what one of them has put together is kept for
 * those that stand where it stood and see the same: in a cluster, most. */
void watch_shared_begin(void);
void watch_shared_end(void);
/* The frames that come next for w, and that they are sent; false: they have to be put together. */
bool watch_shared_take(struct watch *w, struct slice *ret);
/* w has put together b since it had sent up to `from`. Returns its bytes, which stay as they are
 * until the next call of these; b may be used for others. */
struct slice watch_shared_keep(const struct watch *w, uint64_t from, struct buf *b);
