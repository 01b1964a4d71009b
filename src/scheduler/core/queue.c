#include "scheduler/core/queue.h"

#include <stdlib.h>
#include <string.h>

#include "base/own.h"

enum { BACKOFF_MIN_MS = 1000, BACKOFF_MAX_MS = 10000, STALE_MS = 60000 };

/* ---- heaps: the first is before all others ---- */

typedef bool before_fn(const struct queued *a, const struct queued *b);

static bool by_priority(const struct queued *a, const struct queued *b) {
    return a->priority != b->priority ? a->priority > b->priority : a->order < b->order;
}
static bool by_backoff(const struct queued *a, const struct queued *b) {
    return a->not_before_ms < b->not_before_ms;
}
static bool by_stale(const struct queued *a, const struct queued *b) {
    return a->stale_ms < b->stale_ms;
}

static void heap_set(queue_heap *h, size_t at, struct queued *p) {
    h->v[at] = p;
    p->at = at;
}

static void heap_up(queue_heap *h, size_t at, before_fn *before) {
    struct queued *p = h->v[at];
    while (at && before(p, h->v[(at - 1) / 2])) {
        heap_set(h, at, h->v[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_set(h, at, p);
}

static void heap_down(queue_heap *h, size_t at, before_fn *before) {
    struct queued *p = h->v[at];
    for (size_t child; (child = 2 * at + 1) < h->n; at = child) {
        if (child + 1 < h->n && before(h->v[child + 1], h->v[child])) child++;
        if (!before(h->v[child], p)) break;
        heap_set(h, at, h->v[child]);
    }
    heap_set(h, at, p);
}

static void heap_push(queue_heap *h, struct queued *p, before_fn *before) {
    vec_push(h, p);
    heap_up(h, h->n - 1, before);
}

static void heap_take(queue_heap *h, const struct queued *p, before_fn *before) {
    size_t at = p->at;
    struct queued *last = h->v[--h->n];
    if (at == h->n) return;
    h->v[at] = last;
    heap_up(h, at, before);
    heap_down(h, last->at, before);
}

/* ---- lanes and groups ---- */

static struct queue_lane *lane_of(struct queue *q, const char *ns) {
    struct queue_lane *l = map_gets(&q->lanes, ns);
    if (l) return l;
    l = calloc(1, sizeof *l);
    if (!l || !(l->ns = strdup(ns))) abort();
    l->share = -1;
    map_put(&q->lanes, slice_of(ns), l);
    return l;
}

static void lane_forget(struct queue *q, struct queue_lane *l) {
    if (l->users || l->share >= 0) return;
    map_del(&q->lanes, slice_of(l->ns));
    vec_done(&l->active);
    free(l->ns);
    free(l);
}

static struct queue_group *group_of(struct queue *q, const struct queue_hint *hint) {
    struct slice key = slice_from((const char *)hint, sizeof *hint);
    struct queue_group *g = map_get(&q->group_by_hint, key);
    if (g) return g;
    g = calloc(1, sizeof *g);
    if (!g) abort();
    g->hint = *hint;
    g->at = q->groups.n;
    vec_push(&q->groups, g);
    map_put(&q->group_by_hint, key, g);
    return g;
}

static void group_forget(struct queue *q, struct queue_group *g) {
    if (g->pods.n) return;
    map_del(&q->group_by_hint, slice_from((const char *)&g->hint, sizeof g->hint));
    vec_swap_remove(&q->groups, g->at);
    if (g->at < q->groups.n) q->groups.v[g->at]->at = g->at;
    vec_done(&g->pods);
    free(g);
}

/* ---- places ---- */

static void enter_active(struct queue *q, struct queued *p) {
    struct queue_lane *l = p->lane;
    if (!l->active.n) {
        l->at = q->busy.n;
        vec_push(&q->busy, l);
    }
    p->place = QUEUE_ACTIVE;
    heap_push(&l->active, p, by_priority);
}

static void leave_active(struct queue *q, struct queued *p) {
    struct queue_lane *l = p->lane;
    heap_take(&l->active, p, by_priority);
    if (l->active.n) return;
    vec_swap_remove(&q->busy, l->at);
    if (l->at < q->busy.n) q->busy.v[l->at]->at = l->at;
}

static void leave_waiting(struct queue *q, struct queued *p) {
    struct queue_group *g = p->group;
    heap_take(&q->waiting, p, by_stale);
    vec_swap_remove(&g->pods, p->at_group);
    if (p->at_group < g->pods.n) g->pods.v[p->at_group]->at_group = p->at_group;
    p->group = NULL;
    group_forget(q, g);
}

static void leave(struct queue *q, struct queued *p) {
    if (p->place == QUEUE_ACTIVE)
        leave_active(q, p);
    else if (p->place == QUEUE_BACKOFF)
        heap_take(&q->backoff, p, by_backoff);
    else
        leave_waiting(q, p);
}

static void enter_ready(struct queue *q, struct queued *p, uint64_t now_ms) {
    if (p->not_before_ms <= now_ms) {
        enter_active(q, p);
        return;
    }
    p->place = QUEUE_BACKOFF;
    heap_push(&q->backoff, p, by_backoff);
}

static void enter_waiting(struct queue *q, struct queued *p, const struct queue_hint *hint) {
    p->place = QUEUE_WAITING;
    heap_push(&q->waiting, p, by_stale);
    p->group = group_of(q, hint);
    p->at_group = p->group->pods.n;
    vec_push(&p->group->pods, p);
}

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
    for (at = 0; (e = map_next(&q->lanes, &at));) {
        struct queue_lane *l = e->value;
        vec_done(&l->active);
        free(l->ns);
        free(l);
    }
    for (size_t i = 0; i < q->groups.n; i++) {
        vec_done(&q->groups.v[i]->pods);
        free(q->groups.v[i]);
    }
    map_done(&q->by_uid);
    map_done(&q->lanes);
    map_done(&q->group_by_hint);
    vec_done(&q->busy);
    vec_done(&q->backoff);
    vec_done(&q->waiting);
    vec_done(&q->groups);
    *q = (struct queue){0};
}

struct queued *queue_get(const struct queue *q, const char *uid) {
    return map_gets(&q->by_uid, uid);
}

struct queued *queue_add(struct queue *q, const char *uid, const char *ns, const char *name,
                         int32_t priority, uint64_t now_ms) {
    struct queued *p = map_gets(&q->by_uid, uid);
    if (p) {
        leave(q, p);
        p->priority = priority;
        enter_ready(q, p, now_ms);
        return p;
    }
    p = calloc(1, sizeof *p);
    if (!p) abort();
    p->uid = strdup(uid);
    p->ns = strdup(ns);
    p->name = strdup(name);
    if (!p->uid || !p->ns || !p->name) abort();
    p->priority = priority;
    p->order = q->next_order++;
    p->lane = lane_of(q, ns);
    p->lane->users++;
    map_put(&q->by_uid, slice_of(uid), p);
    enter_active(q, p);
    return p;
}

void queue_remove(struct queue *q, const char *uid) {
    struct queued *p = map_del(&q->by_uid, slice_of(uid));
    if (!p) return;
    leave(q, p);
    p->lane->users--;
    lane_forget(q, p->lane);
    free_queued(p);
}

/* The best of the lanes that go by share, or of those that go by age. */
static struct queued *best_of(const struct queue *q, bool shared) {
    const struct queue_lane *best = NULL;
    for (size_t i = 0; i < q->busy.n; i++) {
        const struct queue_lane *l = q->busy.v[i];
        if ((l->share >= 0) != shared) continue;
        if (!best) {
            best = l;
            continue;
        }
        const struct queued *x = l->active.v[0], *y = best->active.v[0];
        if (shared && x->priority == y->priority &&
                    (l->share > best->share || l->share < best->share)
                ? l->share < best->share
                : by_priority(x, y))
            best = l;
    }
    return best ? best->active.v[0] : NULL;
}

struct queued *queue_next(struct queue *q, uint64_t now_ms, uint64_t *ret_wait_ms) {
    *ret_wait_ms = UINT64_MAX;
    while (q->backoff.n && q->backoff.v[0]->not_before_ms <= now_ms) {
        struct queued *p = q->backoff.v[0];
        leave(q, p);
        enter_active(q, p);
    }
    while (q->waiting.n && q->waiting.v[0]->stale_ms <= now_ms) {
        struct queued *p = q->waiting.v[0];
        leave(q, p);
        enter_active(q, p);
    }
    if (q->backoff.n) *ret_wait_ms = q->backoff.v[0]->not_before_ms - now_ms;
    if (q->waiting.n) *ret_wait_ms = MIN_OF(*ret_wait_ms, q->waiting.v[0]->stale_ms - now_ms);
    struct queued *aged = best_of(q, false), *shared = best_of(q, true);
    if (!aged || !shared) return aged ? aged : shared;
    return by_priority(shared, aged) ? shared : aged;
}

void queue_failed(struct queue *q, struct queued *p, uint64_t now_ms, struct queue_hint hint) {
    uint64_t backoff = BACKOFF_MIN_MS;
    for (uint32_t i = 0; i < p->attempts && backoff < BACKOFF_MAX_MS; i++) backoff *= 2;
    leave(q, p);
    p->attempts++;
    p->not_before_ms = now_ms + MIN_OF(backoff, (uint64_t)BACKOFF_MAX_MS);
    p->stale_ms = now_ms + (hint.within_ms ? hint.within_ms : (uint64_t)STALE_MS);
    /* Compared as bytes: no padding of the caller's may tell equal ones apart. */
    struct queue_hint clean;
    memset(&clean, 0, sizeof clean);
    clean.key = hint.key;
    clean.refused = hint.refused;
    clean.cpu_milli = hint.cpu_milli;
    clean.memory_bytes = hint.memory_bytes;
    enter_waiting(q, p, &clean);
}

size_t queue_wake(struct queue *q, uint64_t now_ms, queue_helps_fn *helps, void *user) {
    size_t woken = 0;
    for (size_t i = q->groups.n; i-- > 0;) {
        struct queue_group *g = q->groups.v[i];
        if (helps && g->hint.key && !helps(user, &g->hint)) continue;
        for (size_t left = g->pods.n; left > 0; left--, woken++) {
            struct queued *p = g->pods.v[left - 1]; /* the last one frees the group */
            leave(q, p);
            enter_ready(q, p, now_ms);
        }
    }
    return woken;
}

void queue_activate(struct queue *q, const char *uid) {
    struct queued *p = map_gets(&q->by_uid, uid);
    if (!p || p->place == QUEUE_ACTIVE) return;
    leave(q, p);
    p->not_before_ms = 0;
    enter_active(q, p);
}

void queue_share(struct queue *q, const char *ns, double share) {
    struct queue_lane *l = lane_of(q, ns);
    l->share = share;
    lane_forget(q, l);
}
