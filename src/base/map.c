#include "base/map.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static uint64_t seed[2];
static bool seeded;

void map_seed(uint64_t k0, uint64_t k1) {
    seed[0] = k0;
    seed[1] = k1;
    seeded = true;
}

static uint64_t rotl(uint64_t x, int b) { return x << b | x >> (64 - b); }

static void sip_round(uint64_t v[4]) {
    v[0] += v[1], v[1] = rotl(v[1], 13) ^ v[0], v[0] = rotl(v[0], 32);
    v[2] += v[3], v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3], v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1], v[1] = rotl(v[1], 17) ^ v[2], v[2] = rotl(v[2], 32);
}

/* SipHash-1-3 (Aumasson, Bernstein, 2012): one compression round, three final rounds. */
uint64_t map_hash(struct slice key) {
    if (!seeded) {
        if (getrandom(seed, sizeof seed, 0) != (ssize_t)sizeof seed) abort();
        seeded = true;
    }
    uint64_t v[4] = {seed[0] ^ 0x736f6d6570736575u, seed[1] ^ 0x646f72616e646f6du,
                     seed[0] ^ 0x6c7967656e657261u, seed[1] ^ 0x7465646279746573u};
    uint64_t m = 0;
    size_t i = 0;
    for (; i + 8 <= key.n; i += 8) {
        memcpy(&m, key.p + i, 8);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    m = (uint64_t)key.n << 56;
    for (size_t j = 0; i + j < key.n; j++) m |= (uint64_t)(unsigned char)key.p[i + j] << (8 * j);
    v[3] ^= m;
    sip_round(v);
    v[0] ^= m;
    v[2] ^= 0xff;
    for (int r = 0; r < 3; r++) sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void map_done(struct map *m) {
    for (size_t i = 0; i < m->cap; i++) free(m->slots[i].key);
    free(m->slots);
    *m = (struct map){0};
}

/* The slot that holds the key, or the empty one where it would go. The table is never full. */
static struct map_entry *find(const struct map *m, struct slice key, uint64_t hash) {
    size_t mask = m->cap - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct map_entry *e = &m->slots[i];
        if (!e->key) return e;
        if (e->hash == hash && e->key_n == key.n && !memcmp(e->key, key.p, key.n)) return e;
    }
}

void *map_get(const struct map *m, struct slice key) {
    if (!m->n) return NULL;
    struct map_entry *e = find(m, key, map_hash(key));
    return e->key ? e->value : NULL;
}

static void rehash(struct map *m, size_t cap) {
    struct map_entry *old = m->slots;
    size_t old_cap = m->cap;
    m->slots = calloc(cap, sizeof *m->slots);
    if (!m->slots) abort();
    m->cap = cap;
    for (size_t i = 0; i < old_cap; i++)
        if (old[i].key) *find(m, slice_from(old[i].key, old[i].key_n), old[i].hash) = old[i];
    free(old);
}

void *map_put(struct map *m, struct slice key, void *value) {
    assert(value);
    if (m->n * 4 >= m->cap * 3) rehash(m, m->cap ? m->cap * 2 : 16);
    uint64_t hash = map_hash(key);
    struct map_entry *e = find(m, key, hash);
    if (e->key) {
        void *was = e->value;
        e->value = value;
        return was;
    }
    e->key = malloc(key.n + 1);
    if (!e->key) abort();
    if (key.n) memcpy(e->key, key.p, key.n);
    e->key[key.n] = 0;
    e->key_n = key.n;
    e->hash = hash;
    e->value = value;
    m->n++;
    return NULL;
}

void *map_del(struct map *m, struct slice key) {
    if (!m->n) return NULL;
    struct map_entry *e = find(m, key, map_hash(key));
    if (!e->key) return NULL;
    void *was = e->value;
    free(e->key);
    e->key = NULL;
    m->n--;
    /* Close the gap: move back each later entry of the run that may stand in the hole. */
    size_t mask = m->cap - 1, hole = (size_t)(e - m->slots);
    for (size_t i = (hole + 1) & mask; m->slots[i].key; i = (i + 1) & mask) {
        size_t home = m->slots[i].hash & mask;
        if (((i - home) & mask) < ((i - hole) & mask)) continue;
        m->slots[hole] = m->slots[i];
        m->slots[i].key = NULL;
        hole = i;
    }
    return was;
}

struct map_entry *map_next(const struct map *m, size_t *i) {
    while (*i < m->cap) {
        struct map_entry *e = &m->slots[(*i)++];
        if (e->key) return e;
    }
    return NULL;
}
