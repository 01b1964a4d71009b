#include "sp/queue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "sp/memory.h"

enum { FIRST_CAP = 8 };

void sp_queue_init(struct sp_queue *q, const struct sp_queue_limits *limits) {
    *q = (struct sp_queue){.limits = limits};
}

void sp_queue_done(struct sp_queue *q) {
    for (struct sp_message *m; (m = sp_queue_take(q));) sp_message_unref(m);
    free(q->ring);
    q->ring = NULL;
    q->cap = 0;
}

struct sp_message *sp_queue_at(const struct sp_queue *q, uint32_t i) {
    assert(i < q->n);
    return q->ring[(q->head + i) & (q->cap - 1)];
}

struct sp_message *sp_queue_take(struct sp_queue *q) {
    if (!q->n) return NULL;
    struct sp_message *m = q->ring[q->head];
    q->head = (q->head + 1) & (q->cap - 1);
    q->n--;
    q->bytes -= sp_message_size(m);
    return m;
}

/* The ring's size is a power of two. It shrinks when it is empty and was large: bursts pass. */
static void make_room(struct sp_queue *q) {
    if (q->n < q->cap) return;
    uint32_t cap = q->cap ? 2 * q->cap : FIRST_CAP;
    struct sp_message **ring = calloc(cap, sizeof(struct sp_message *));
    if (!ring) abort();
    for (uint32_t i = 0; i < q->n; i++) ring[i] = sp_queue_at(q, i);
    free(q->ring);
    q->ring = ring;
    q->cap = cap;
    q->head = 0;
}

static void push(struct sp_queue *q, struct sp_message *m) {
    make_room(q);
    q->ring[(q->head + q->n++) & (q->cap - 1)] = m;
    q->bytes += sp_message_size(m);
    q->put++;
}

static bool fits(const struct sp_queue *q, size_t size) {
    if (!q->n) return true;
    return q->n < q->limits->messages && q->bytes + size <= q->limits->bytes && !sp_memory_short();
}

bool sp_queue_has_room(const struct sp_queue *q) {
    return !q->n || q->limits->policy == SP_CONFLATE ||
           (q->n < q->limits->messages && q->bytes < q->limits->bytes && !sp_memory_short());
}

bool sp_queue_is_low(const struct sp_queue *q) {
    return q->n <= q->limits->messages / 4 * 3 && q->bytes <= q->limits->bytes / 4 * 3;
}

static void drop_oldest(struct sp_queue *q) {
    sp_message_unref(sp_queue_take(q));
    q->dropped++;
}

enum sp_put sp_queue_put(struct sp_queue *q, struct sp_message *m) {
    size_t size = sp_message_size(m);
    uint64_t before = q->dropped;
    if (q->limits->policy == SP_CONFLATE)
        while (q->n) drop_oldest(q);
    if (!fits(q, size)) switch (q->limits->policy) {
        case SP_BLOCK: return SP_PUT_FULL;
        case SP_DISCONNECT: return SP_PUT_DISCONNECT;
        case SP_DROP_NEWEST:
            sp_message_unref(m);
            q->dropped++;
            return SP_PUT_DROPPED;
        case SP_DROP_OLDEST:
        case SP_CONFLATE:
            while (q->n && !fits(q, size)) drop_oldest(q);
        }
    push(q, m);
    return q->dropped != before ? SP_PUT_DROPPED : SP_PUT_OK;
}

void sp_queue_put_back(struct sp_queue *q, struct sp_message *m) {
    make_room(q);
    q->head = (q->head + q->cap - 1) & (q->cap - 1);
    q->ring[q->head] = m;
    q->n++;
    q->bytes += sp_message_size(m);
}
