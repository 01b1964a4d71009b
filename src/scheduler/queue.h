/*
 * Pods that wait for a node. Ready ones come out by priority, then age. A pod that failed waits 1
 * s, doubling to 10 s, after something changed that may help it; without any change it is tried
 * again after a minute.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "base/vec.h"

struct queued {
    char *uid, *ns, *name;
    int32_t priority;
    uint64_t order; /* arrival */
    uint32_t attempts;
    uint64_t not_before_ms; /* back-off ends */
    uint64_t stale_ms;      /* tried again then even without a change */
    bool waiting;           /* failed, and nothing changed since */
};

struct queue {
    struct map by_uid;
    uint64_t next_order;
};

void queue_done(struct queue *q);
/* Adds or keeps; an update of a waiting pod makes it ready again after its back-off. */
void queue_add(struct queue *q, const char *uid, const char *ns, const char *name,
               int32_t priority);
void queue_remove(struct queue *q, const char *uid);
/* The next ready pod or NULL; *ret_wait_ms: time until one may be ready (UINT64_MAX: nothing
 * waits). Stays queued. */
struct queued *queue_next(struct queue *q, uint64_t now_ms, uint64_t *ret_wait_ms);
void queue_failed(struct queue *q, struct queued *p, uint64_t now_ms);
/* Something changed (a node came or changed, a pod left): all that wait may be tried again after
 * their back-off. */
void queue_wake(struct queue *q);
