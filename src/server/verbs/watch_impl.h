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

enum { WATCH_PIECE_BYTES = 120 * 1024 }; /* with an event more about what one flush of TLS seals */

/* The frames of some of a resource's events in a row, put together once for all watchers that see
 * all of them in the same form: in a cluster, most. */
struct watch_frames {
    const struct resource *resource; /* NULL: none */
    const struct api_kind *kind;
    enum answer_media media;
    struct buf ns;
    uint64_t from, upto; /* revisions of events; those after `from` are in it */
    struct buf bytes;
    VEC(struct watch_mark {
        uint64_t revision;
        size_t end; /* of its frame */
    })
    marks;
    bool full; /* what follows has to stand elsewhere */
};

bool watch_shares(const struct watch *w);
/* Those that w can go on with, perhaps new ones without any. They stay until the next call, or
 * until watch_shared_forget. Only when it shares. */
struct watch_frames *watch_shared_at(struct watch *w);
/* The bytes now reach up to the end of this event, which may have none. */
void watch_shared_add(struct watch_frames *f, uint64_t revision);
struct slice watch_shared_after(const struct watch_frames *f, uint64_t revision);
/* Nothing stays: a watcher goes, and perhaps its resource after it. */
void watch_shared_forget(void);
