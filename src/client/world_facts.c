/* Facts of a world: answers to polls and notes of reconcilers, by name. */
#include <stdlib.h>

#include "base/map.h"
#include "client/world_private.h"

struct fact_value {
    struct arena *arena; /* of the fact and all that was read from it */
    fact_read_fn *read;  /* the last reader */
    const void *value;
};

static void fact_free(struct fact *f) {
    if (f) arena_free(f->value->arena);
}

void world_facts_done(struct map *facts) {
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(facts, &i));) fact_free(e->value);
    map_done(facts);
}

const struct fact *world_fact(const struct world *w, const char *name) {
    return map_gets(world_facts(w), name);
}

void world_drop_fact(struct world *w, const char *name) {
    fact_free(map_del(world_facts(w), slice_of(name)));
}

void world_set_fact(struct world *w, const char *name, int64_t asked_ns, struct slice body,
                    const struct err *error) {
    if (!body.n && !error) {
        world_drop_fact(w, name);
        return;
    }
    enum { REST = 256 }; /* what is made of it: little, for most */
    struct arena *a = arena_new_sized(body.n + REST);
    struct fact *f = ARENA_NEW(a, struct fact);
    *f = (struct fact){.body = slice_from(arena_strn(a, body), body.n), .asked_ns = asked_ns};
    if (error) {
        f->reason = error->reason;
        f->error = arena_str(a, error->text);
        f->body = SLICE("");
    }
    f->value = ARENA_NEW(a, struct fact_value);
    f->value->arena = a;
    fact_free(map_put(world_facts(w), slice_of(name), f));
}

const void *fact_read(const struct fact *f, fact_read_fn *read) {
    if (f->error) return NULL;
    if (f->value->read != read) {
        f->value->read = read;
        f->value->value = read(f->value->arena, f->body);
    }
    return f->value->value;
}
