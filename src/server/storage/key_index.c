#include "server/storage/key_index.h"

#include <assert.h>

#include "base/slab.h"
#include "server/storage/cold.h"

enum { BLOCK_OBJECTS = 256 };

/* Of all objects: between their bytes they would keep pages from becoming free. */
static struct slab slab;

struct key_block {
    unsigned refs;
    size_t n;
    struct object *v[BLOCK_OBJECTS];
};

struct object *object_new(struct slice key, uint64_t revision, struct slice json) {
    const char *slash = memchr(key.p, '/', key.n);
    assert(slash && key.n <= UINT16_MAX);
    struct object *o = slab_alloc(&slab, sizeof *o + key.n + 1);
    *o = (struct object){.refs = 1,
                         .revision = revision,
                         .json = bytes_new(json),
                         .ns_n = (uint16_t)(slash - key.p),
                         .key_n = (uint16_t)key.n};
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
    if (o->cold)
        cold_page_leave(o->page, o);
    else
        bytes_unref(o->json);
    slab_free(&slab, o, sizeof *o + o->key_n + 1);
}

void objects_trim(void) { slab_trim(&slab); }

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

static void block_unref(struct key_block *b) {
    if (--b->refs) return;
    for (size_t i = 0; i < b->n; i++) object_unref(b->v[i]);
    free(b);
}

static struct key_block *block_new(void) {
    struct key_block *b = malloc(sizeof *b);
    if (!b) abort();
    b->refs = 1;
    b->n = 0;
    return b;
}

/* The block as one that may be changed. */
static struct key_block *block_own(struct key_index *x, size_t block) {
    struct key_block *b = x->blocks.v[block];
    if (b->refs == 1) return b;
    struct key_block *copy = block_new();
    for (; copy->n < b->n; copy->n++) copy->v[copy->n] = object_ref(b->v[copy->n]);
    b->refs--;
    return x->blocks.v[block] = copy;
}

void key_index_done(struct key_index *x) {
    for (size_t i = 0; i < x->blocks.n; i++) block_unref(x->blocks.v[i]);
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
    struct key_block *b = block_new();
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
    struct key_block *b = block_own(x, block);
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
    b = block_own(x, block);
    struct object *old = b->v[at];
    memmove(b->v + at, b->v + at + 1, (b->n - at - 1) * sizeof *b->v);
    b->n--;
    x->n--;
    if (!b->n) {
        block_unref(b);
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

/* ---- snapshots ---- */

/* Where the keys with this prefix end. */
static struct key_cursor prefix_end(const struct key_index *x, struct slice prefix) {
    char next[512];
    if (!prefix.n) return (struct key_cursor){x->blocks.n, 0};
    assert(prefix.n <= sizeof next && (unsigned char)prefix.p[prefix.n - 1] < 0xff);
    memcpy(next, prefix.p, prefix.n);
    next[prefix.n - 1]++;
    return key_index_seek(x, slice_from(next, prefix.n), false);
}

struct key_snapshot key_index_snapshot(const struct key_index *x, struct slice start, bool after,
                                       struct slice prefix) {
    struct key_snapshot s = {0};
    if (!x->blocks.n) return s;
    struct key_cursor from = key_index_seek(x, start.n ? start : prefix, after && start.n);
    struct key_cursor end = prefix_end(x, prefix);
    size_t last = end.at ? end.block + 1 : end.block; /* behind the last block that is needed */
    if (from.block >= last) return s;
    s.n_blocks = last - from.block;
    s.blocks = malloc(s.n_blocks * sizeof *s.blocks);
    if (!s.blocks) abort();
    s.at = from.at;
    for (size_t i = 0; i < s.n_blocks; i++) {
        struct key_block *b = s.blocks[i] = x->blocks.v[from.block + i];
        b->refs++;
        s.left += b->n;
    }
    if (end.at) s.left -= x->blocks.v[end.block]->n - end.at;
    if (s.left < from.at) { /* the start lies behind the prefix */
        key_snapshot_done(&s);
        return s;
    }
    s.left -= from.at;
    return s;
}

struct object *key_snapshot_next(struct key_snapshot *s) {
    while (s->left) {
        struct key_block *b = s->blocks[s->block];
        if (s->at < b->n) {
            s->left--;
            return b->v[s->at++];
        }
        block_unref(b);
        s->block++;
        s->at = 0;
    }
    return NULL;
}

struct object *key_snapshot_peek(const struct key_snapshot *s, size_t ahead) {
    if (ahead >= s->left) return NULL;
    size_t block = s->block, at = s->at + ahead;
    while (at >= s->blocks[block]->n) at -= s->blocks[block++]->n;
    return s->blocks[block]->v[at];
}

void key_snapshot_done(struct key_snapshot *s) {
    for (; s->block < s->n_blocks; s->block++) block_unref(s->blocks[s->block]);
    free(s->blocks);
    *s = (struct key_snapshot){0};
}
