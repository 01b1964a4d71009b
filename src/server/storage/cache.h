/*
 * The watch cache: every object as the bytes that clients get, per resource sorted by key, with the
 * recent events of each resource for watches. Fed in order by the store link; all reads of the api
 * service come from here. Because the store sends an event before the answer to its write, a client
 * that has seen its write's answer reads its own write.
 */
#pragma once

#include "api/registry.h"
#include "base/map.h"
#include "server/storage/key_index.h"

enum event_type { EVENT_ADDED, EVENT_MODIFIED, EVENT_DELETED };

struct event {
    uint64_t revision;
    uint64_t at_ms; /* when it came, monotonic */
    enum event_type type;
    struct object *now; /* the object at this revision; for EVENT_DELETED its last state */
    struct object *old; /* before; NULL for EVENT_ADDED. In the history the same as now when a
                           deletion has changed nothing but the revision: see event_object */
};
/* What someone sees of it, with the event's revision in it: e->now, or what was there before when
 * it is a deletion for him only (it has left what he selects). A reference. */
struct object *event_object(const struct event *e, enum event_type seen_as);

/* Called for each event of the resource after the cache has changed. */
struct cache_listener {
    void (*fn)(void *user, const struct event *e);
    void *user;
    void (*ends)(void *user); /* NULL: does not want to know */
};

struct resource {
    char *prefix; /* store prefix "/pods.core/" */
    struct key_index index;
    uint64_t changed;     /* revision of the last event */
    uint64_t floor;       /* events after this revision are all in the history */
    struct event *events; /* ring of cap slots, n used, the oldest at head */
    size_t head, n, cap;
    size_t live_bytes, history_bytes;
    VEC(struct cache_listener) listeners;
    bool announcing; /* an event is being handed out */
    bool slim;       /* deletions in the history may share the bytes of what they ended */
};

struct cache {
    struct map resources;       /* by prefix */
    struct resource *found[64]; /* by cache_of_kind, lately */
    uint64_t revision;          /* of the newest event of any resource */
    uint64_t compacted;
    bool synced;           /* the first snapshot is complete */
    struct object *latest; /* what the newest event left, or deleted; NULL: there was none */
    struct {
        size_t resource, event; /* how far history_cool has come */
    } cooling;
};

void cache_init(struct cache *c); /* resources of all registered kinds */
void cache_done(struct cache *c);
struct resource *cache_resource(const struct cache *c, const char *prefix); /* NULL: none such */
/* The same, made when there is none. Resources stay for the life of the cache: those of a kind that
 * is gone are empty. */
struct resource *cache_resource_make(struct cache *c, const char *prefix);
struct resource *cache_of_kind(struct cache *c, const struct api_kind *k);
void resource_listen(struct resource *r, void (*fn)(void *, const struct event *), void *user);
void resource_unlisten(struct resource *r, void *user);
/* A listener that also wants to know when watches of the resource end: its kind is gone, or has
 * become another. */
void resource_on_end(struct resource *r, void (*ends)(void *user), void *user);
void resource_end_watches(struct resource *r);

/* Borrowed, until the next event. ns "" for cluster-scoped. */
struct object *resource_get(const struct resource *r, const char *ns, const char *name);

/* What the store said. Objects of kinds that are not known (custom ones: not yet) are kept too. */
void cache_row(struct cache *c, struct slice key, uint64_t revision, struct slice value);
void cache_snapshot_end(struct cache *c, uint64_t revision, uint64_t compacted);
/* The latest of them is c->latest then. */
void cache_event(struct cache *c, int store_op, struct slice key, uint64_t revision,
                 struct slice value, uint64_t now_ms);

/* Forgets history that is old and too big; events do it too, this is for quiet times. */
void cache_trim(struct cache *c, uint64_t now_ms);
/* A step of packing what only the history holds, but for each resource's youngest events: about a
 * millisecond. True: there is more to do; false: done, the next call begins anew. */
bool history_cool(struct cache *c);

/* The first event in the history after `revision`, as an index for resource_event; n when there is
 * none. The caller checks revision ≥ floor first. */
size_t resource_event_after(const struct resource *r, uint64_t revision);
/* Borrowed, until the next event or history_cool. */
const struct event *resource_event(const struct resource *r, size_t i);
