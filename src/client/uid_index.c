#include "client/uid_index.h"

#include <stdlib.h>

#include "base/map.h"

enum { SLOTS_MIN = 16 };

void uid_index_done(struct uid_index *x) {
    free(x->slots);
    *x = (struct uid_index){0};
}

/* Where the entry of that uid stands, or would. Never called while there are no slots. */
static size_t find(const struct uid_index *x, const char *uid, uint32_t hash) {
    size_t at = hash & (x->cap - 1);
    for (const struct cached *e; (e = x->slots[at]); at = (at + 1) & (x->cap - 1))
        if (e->uid_hash == hash && strcmp(cached_uid(e), uid) == 0) break;
    return at;
}

static void resize(struct uid_index *x, size_t cap) {
    struct uid_index old = *x;
    x->slots = calloc(cap, sizeof(struct cached *));
    if (!x->slots) abort();
    x->cap = cap;
    for (size_t i = 0; i < old.cap; i++)
        if (old.slots[i])
            x->slots[find(x, cached_uid(old.slots[i]), old.slots[i]->uid_hash)] = old.slots[i];
    free(old.slots);
}

static uint32_t hash_of(const char *uid) { return (uint32_t)map_hash(slice_of(uid)); }

struct cached *uid_index_get(const struct uid_index *x, const char *uid) {
    return x->n ? x->slots[find(x, uid, hash_of(uid))] : NULL;
}

void uid_index_put(struct uid_index *x, struct cached *e) {
    if (x->n >= x->cap / 4 * 3) resize(x, x->cap ? x->cap * 2 : SLOTS_MIN);
    e->uid_hash = hash_of(cached_uid(e));
    size_t at = find(x, cached_uid(e), e->uid_hash);
    x->n += !x->slots[at];
    x->slots[at] = e;
}

/* Closes the gap: moves back each later entry of the run that may stand in the hole. */
static void take_out(struct uid_index *x, size_t hole) {
    size_t mask = x->cap - 1;
    x->slots[hole] = NULL;
    x->n--;
    for (size_t i = (hole + 1) & mask; x->slots[i]; i = (i + 1) & mask) {
        size_t home = x->slots[i]->uid_hash & mask;
        if (((i - home) & mask) < ((i - hole) & mask)) continue;
        x->slots[hole] = x->slots[i];
        x->slots[i] = NULL;
        hole = i;
    }
    if (x->cap > SLOTS_MIN && x->n < x->cap / 8) resize(x, x->cap / 2);
}

void uid_index_remove(struct uid_index *x, const struct api_kind *k,
                      const struct api_object *like) {
    const struct meta_v1_object_meta *m = &like->metadata;
    if (!x->n) return;
    size_t at = find(x, m->uid, hash_of(m->uid));
    const struct cached *e = x->slots[at];
    if (e && cached_kind(e) == k && strcmp(cached_ns(e), str_or(m->namespace, "")) == 0 &&
        strcmp(cached_name(e), str_or(m->name, "")) == 0)
        take_out(x, at);
}
