#include "server/key_index.h"

#include <assert.h>

enum { BLOCK_OBJECTS = 256 };
struct key_block {
    size_t n;
    struct object *v[BLOCK_OBJECTS];
};

struct object *object_new(struct slice key, uint64_t revision, struct slice json) {
    struct object *o = malloc(sizeof *o + key.n + 1);
    if (!o) abort();
    const char *slash = memchr(key.p, '/', key.n);
    assert(slash);
    *o = (struct object){.refs = 1,
                         .revision = revision,
                         .json = bytes_new(json),
                         .ns_n = (uint32_t)(slash - key.p),
                         .key_n = (uint32_t)key.n};
    memcpy(o->key, key.p, key.n);
    o->key[key.n] = 0;
    return o;
}

struct object *object_ref(struct object *o) {
    assert(o->refs > 0);
    o->refs++;
    return o;
}

void object_unref(struct object *o) {
    if (!o || --o->refs) return;
    bytes_unref(o->json);
    free(o);
}

static int key_cmp(struct slice x, const struct object *o) {
    size_t n = x.n < o->key_n ? x.n : o->key_n;
    int c = n ? memcmp(x.p, o->key, n) : 0;
    if (c) return c;
    return x.n < o->key_n ? -1 : x.n > o->key_n;
}

/* The last block whose first key is ≤ key; 0 when there is none. */
static size_t find_block(const struct key_index *x, struct slice key) {
    size_t lo = 0, hi = x->blocks.n;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (key_cmp(key, x->blocks.v[mid]->v[0]) < 0)
            hi = mid;
        else
            lo = mid;
    }
    return lo;
}

/* First place in the block with an object ≥ key. */
static size_t find_at(const struct key_block *b, struct slice key, bool *ret_equal) {
    size_t lo = 0, hi = b->n;
    *ret_equal = false;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = key_cmp(key, b->v[mid]);
        if (c == 0) {
            *ret_equal = true;
            return mid;
        }
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

void key_index_done(struct key_index *x) {
    for (size_t i = 0; i < x->blocks.n; i++) {
        for (size_t j = 0; j < x->blocks.v[i]->n; j++) object_unref(x->blocks.v[i]->v[j]);
        free(x->blocks.v[i]);
    }
    vec_done(&x->blocks);
    x->n = 0;
}

struct object *key_index_get(const struct key_index *x, struct slice key) {
    if (!x->blocks.n) return NULL;
    const struct key_block *b = x->blocks.v[find_block(x, key)];
    bool equal;
    size_t at = find_at(b, key, &equal);
    return equal ? b->v[at] : NULL;
}

static struct key_block *block_insert(struct key_index *x, size_t at) {
    struct key_block *b = malloc(sizeof *b);
    if (!b) abort();
    b->n = 0;
    vec_push(&x->blocks, NULL);
    memmove(x->blocks.v + at + 1, x->blocks.v + at, (x->blocks.n - 1 - at) * sizeof *x->blocks.v);
    x->blocks.v[at] = b;
    return b;
}

/* Halves a full block, or begins a new one when keys arrive in order. */
static struct key_block *split(struct key_index *x, size_t block, size_t *at) {
    struct key_block *b = x->blocks.v[block];
    size_t keep = *at == b->n && block + 1 == x->blocks.n ? b->n : b->n / 2;
    struct key_block *right = block_insert(x, block + 1);
    right->n = b->n - keep;
    memcpy(right->v, b->v + keep, right->n * sizeof *b->v);
    b->n = keep;
    if (*at < keep) return b;
    *at -= keep;
    return right;
}

struct object *key_index_put(struct key_index *x, struct object *o) {
    struct slice key = slice_from(o->key, o->key_n);
    if (!x->blocks.n) block_insert(x, 0);
    size_t block = find_block(x, key);
    struct key_block *b = x->blocks.v[block];
    bool equal;
    size_t at = find_at(b, key, &equal);
    if (equal) {
        struct object *old = b->v[at];
        b->v[at] = o;
        return old;
    }
    if (b->n == BLOCK_OBJECTS) b = split(x, block, &at);
    memmove(b->v + at + 1, b->v + at, (b->n - at) * sizeof *b->v);
    b->v[at] = o;
    b->n++;
    x->n++;
    return NULL;
}

struct object *key_index_remove(struct key_index *x, struct slice key) {
    if (!x->blocks.n) return NULL;
    size_t block = find_block(x, key);
    struct key_block *b = x->blocks.v[block];
    bool equal;
    size_t at = find_at(b, key, &equal);
    if (!equal) return NULL;
    struct object *old = b->v[at];
    memmove(b->v + at, b->v + at + 1, (b->n - at - 1) * sizeof *b->v);
    b->n--;
    x->n--;
    if (!b->n) {
        free(b);
        vec_remove(&x->blocks, block);
    }
    return old;
}

struct key_cursor key_index_seek(const struct key_index *x, struct slice key, bool after) {
    if (!x->blocks.n) return (struct key_cursor){0, 0};
    size_t block = find_block(x, key);
    bool equal;
    size_t at = find_at(x->blocks.v[block], key, &equal);
    return (struct key_cursor){block, equal && after ? at + 1 : at};
}

struct object *key_index_next(const struct key_index *x, struct key_cursor *c) {
    while (c->block < x->blocks.n) {
        const struct key_block *b = x->blocks.v[c->block];
        if (c->at < b->n) return b->v[c->at++];
        c->block++;
        c->at = 0;
    }
    return NULL;
}
