#include "linear.h"

#include <stdlib.h>

/* What a search has tried: the set of operations done and the state they led to. */
struct tried {
    uint64_t done, state;
};

struct search {
    const struct linear_op *ops;
    size_t n;
    uint64_t known; /* operations that certainly happened */
    struct tried *seen;
    size_t n_seen, cap;
};

static size_t slot(const struct search *s, uint64_t done, uint64_t state) {
    uint64_t h = (done * UINT64_C(0x9E3779B97F4A7C15)) ^ (state * UINT64_C(0xC2B2AE3D27D4EB4F));
    h ^= h >> 29;
    size_t i = (size_t)h & (s->cap - 1);
    while (s->seen[i].done && (s->seen[i].done != done || s->seen[i].state != state))
        i = (i + 1) & (s->cap - 1);
    return i;
}

static void grow(struct search *s) {
    struct search old = *s;
    s->cap = old.cap ? old.cap * 2 : 256;
    s->seen = calloc(s->cap, sizeof *s->seen);
    if (!s->seen) abort();
    for (size_t i = 0; i < old.cap; i++)
        if (old.seen[i].done) s->seen[slot(s, old.seen[i].done, old.seen[i].state)] = old.seen[i];
    free(old.seen);
}

/* False when this was tried before. */
static bool remember(struct search *s, uint64_t done, uint64_t state) {
    if (s->n_seen * 2 >= s->cap) grow(s);
    size_t i = slot(s, done, state);
    if (s->seen[i].done) return false;
    s->seen[i] = (struct tried){done, state};
    s->n_seen++;
    return true;
}

/* Can o happen in this state? *ret is the state after it. */
static bool possible(const struct linear_op *o, uint64_t state, uint64_t *ret) {
    bool fits = true;
    *ret = o->value;
    switch (o->kind) {
    case LINEAR_CREATE: fits = state == 0; break;
    case LINEAR_UPDATE: fits = state == o->seen && state != 0; break;
    case LINEAR_PATCH: fits = state != 0; break;
    case LINEAR_DELETE:
        fits = state != 0;
        *ret = 0;
        break;
    case LINEAR_READ: *ret = state; return state == o->value;
    }
    if (o->unknown) return fits; /* had it failed, it changed nothing: as if it never was */
    if (o->failed) {
        *ret = state;
        return !fits;
    }
    return fits;
}

/* Revisions grow along the order; a read shows the revision of the last write before it. */
static bool revision_fits(const struct search *s, uint64_t done, const struct linear_op *o) {
    if (!o->revision || o->failed) return true;
    for (size_t i = 0; i < s->n; i++) {
        const struct linear_op *before = &s->ops[i];
        if (!(done >> i & 1) || !before->revision || before->failed) continue;
        bool same = before->value == o->value && o->kind == LINEAR_READ;
        if (same ? before->revision != o->revision : before->revision > o->revision) return false;
        if (!same && o->kind != LINEAR_READ && before->revision == o->revision) return false;
    }
    return true;
}

/* o may come next: nothing that is still to come ended before o began. */
static bool may_be_next(const struct search *s, uint64_t done, const struct linear_op *o) {
    for (size_t i = 0; i < s->n; i++)
        if (!(done >> i & 1) && !s->ops[i].unknown && s->ops[i].end < o->begin) return false;
    return true;
}

static bool search(struct search *s, uint64_t done, uint64_t state) {
    if ((done & s->known) == s->known) return true;
    if (done && !remember(s, done, state)) return false;
    for (size_t i = 0; i < s->n; i++) {
        const struct linear_op *o = &s->ops[i];
        uint64_t next;
        if (done >> i & 1 || !may_be_next(s, done, o) || !possible(o, state, &next)) continue;
        if (revision_fits(s, done, o) && search(s, done | UINT64_C(1) << i, next)) return true;
    }
    return false;
}

bool linear_check(const struct linear_op *ops, size_t n, uint64_t initial) {
    struct search s = {.ops = ops, .n = n};
    if (n > LINEAR_OPS_MAX) abort();
    for (size_t i = 0; i < n; i++)
        if (!ops[i].unknown) s.known |= UINT64_C(1) << i;
    bool good = search(&s, 0, initial);
    free(s.seen);
    return good;
}
