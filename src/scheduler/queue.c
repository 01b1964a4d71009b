#include "scheduler/queue.h"

#include <stdlib.h>
#include <string.h>

enum { BACKOFF_MIN_MS = 1000, BACKOFF_MAX_MS = 10000, STALE_MS = 60000 };

static void free_queued(struct queued *p) {
    if (!p) return;
    free(p->uid);
    free(p->ns);
    free(p->name);
    free(p);
}

void queue_done(struct queue *q) {
    size_t at = 0;
    struct map_entry *e;
    while ((e = map_next(&q->by_uid, &at))) free_queued(e->value);
    map_done(&q->by_uid);
}

void queue_add(struct queue *q, const char *uid, const char *ns, const char *name,
               int32_t priority) {
    struct queued *p = map_gets(&q->by_uid, uid);
    if (p) {
        p->priority = priority;
        p->waiting = false;
        return;
    }
    p = calloc(1, sizeof *p);
    if (!p) abort();
    p->uid = strdup(uid);
    p->ns = strdup(ns);
    p->name = strdup(name);
    if (!p->uid || !p->ns || !p->name) abort();
    p->priority = priority;
    p->order = q->next_order++;
    map_put(&q->by_uid, slice_of(uid), p);
}

void queue_remove(struct queue *q, const char *uid) {
    free_queued(map_del(&q->by_uid, slice_of(uid)));
}

static bool before(const struct queued *a, const struct queued *b) {
    return a->priority != b->priority ? a->priority > b->priority : a->order < b->order;
}

struct queued *queue_next(struct queue *q, uint64_t now_ms, uint64_t *ret_wait_ms) {
    struct queued *best = NULL;
    struct map_entry *e;
    size_t at = 0;
    *ret_wait_ms = UINT64_MAX;
    while ((e = map_next(&q->by_uid, &at))) {
        struct queued *p = e->value;
        uint64_t ready = p->waiting ? p->stale_ms : p->not_before_ms;
        if (ready > now_ms) {
            if (ready - now_ms < *ret_wait_ms) *ret_wait_ms = ready - now_ms;
        } else if (!best || before(p, best))
            best = p;
    }
    return best;
}

void queue_failed(struct queue *q, struct queued *p, uint64_t now_ms) {
    (void)q;
    uint64_t backoff = BACKOFF_MIN_MS;
    for (uint32_t i = 0; i < p->attempts && backoff < BACKOFF_MAX_MS; i++) backoff *= 2;
    p->attempts++;
    p->not_before_ms = now_ms + (backoff < BACKOFF_MAX_MS ? backoff : BACKOFF_MAX_MS);
    p->stale_ms = now_ms + STALE_MS;
    p->waiting = true;
}

void queue_wake(struct queue *q) {
    size_t at = 0;
    struct map_entry *e;
    while ((e = map_next(&q->by_uid, &at))) ((struct queued *)e->value)->waiting = false;
}
