/*
 * Pods that wait for a node. Every pod is in one of three places: `active` (to be tried now, by
 * priority, then the fair share of its namespace, then age), `backing off` (until a time), or
 * `waiting` (it failed, and nothing that may help it has happened since). A failed pod backs off
 * for 1 s, doubling to 10 s. Without any helpful event it is tried again after a minute. No clock:
 * times are passed in.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "base/vec.h"

/* Why a pod failed, for telling which events may help it. Pods with equal hints wait together. */
struct queue_hint {
    uint64_t key;     /* what equal pods have in common; 0: nothing is known, everything may help */
    unsigned refused; /* the caller's bits */
    int64_t cpu_milli, memory_bytes; /* what it asks for */
    uint64_t
        within_ms; /* tried again then at the latest; 0: a minute. Equal hints may differ here */
};

enum queue_place { QUEUE_ACTIVE, QUEUE_BACKOFF, QUEUE_WAITING };

struct queued {
    char *uid, *ns, *name;
    int32_t priority;
    uint64_t order; /* arrival */
    uint32_t attempts;
    uint64_t not_before_ms; /* back-off ends */
    uint64_t stale_ms;      /* tried again then even without a change */
    enum queue_place place;
    size_t at; /* in the heap of its place */
    struct queue_lane *lane;
    struct queue_group *group; /* while waiting */
    size_t at_group;
    struct gang *gang; /* the caller's */
};

typedef VEC(struct queued *) queue_heap;

struct queue_lane { /* active pods of one namespace */
    char *ns;
    queue_heap active;
    size_t users; /* pods anywhere in the queue */
    size_t at;    /* in queue.busy, when it has active pods */
    double share; /* < 0: no share is kept for it, its pods go by age */
};

struct queue_group { /* waiting pods with equal hints */
    struct queue_hint hint;
    VEC(struct queued *) pods;
    size_t at; /* in queue.groups */
};

struct queue {
    struct map by_uid;
    struct map lanes;              /* namespace → struct queue_lane */
    VEC(struct queue_lane *) busy; /* with active pods */
    queue_heap backoff;            /* by not_before_ms */
    queue_heap waiting;            /* by stale_ms */
    struct map group_by_hint;      /* bytes of the hint → struct queue_group */
    VEC(struct queue_group *) groups;
    uint64_t next_order;
};

void queue_done(struct queue *q);
/* Adds or keeps; an update of a waiting pod makes it ready again after its back-off. */
struct queued *queue_add(struct queue *q, const char *uid, const char *ns, const char *name,
                         int32_t priority, uint64_t now_ms);
void queue_remove(struct queue *q, const char *uid);
struct queued *queue_get(const struct queue *q, const char *uid);
/* The next ready pod or NULL; *ret_wait_ms: time until one may be ready (UINT64_MAX: nothing
 * waits). Stays queued: the caller removes it or says that it failed. */
struct queued *queue_next(struct queue *q, uint64_t now_ms, uint64_t *ret_wait_ms);
void queue_failed(struct queue *q, struct queued *p, uint64_t now_ms, struct queue_hint hint);
/* Something happened: the waiting pods whose hint it helps are tried again after their back-off.
 * helps NULL: all. Returns how many. */
typedef bool queue_helps_fn(void *user, const struct queue_hint *hint);
size_t queue_wake(struct queue *q, uint64_t now_ms, queue_helps_fn *helps, void *user);
/* Tried now, without the rest of its back-off: what it waited for has come. */
void queue_activate(struct queue *q, const char *uid);
/* Of equal priority, namespaces go by their share, the smallest first. < 0: by age again. */
void queue_share(struct queue *q, const char *ns, double share);
