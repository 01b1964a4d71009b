#include "server/admission/default_class.h"

#include "base/own.h"

static bool marked(const struct default_class *d, const struct meta_v1_object_meta *m) {
    for (size_t i = 0; i < ARRAY_LEN(d->annotations); i++)
        if (d->annotations[i] && str_eq(str_map_get(&m->annotations, d->annotations[i]), "true"))
            return true;
    return false;
}

static void learn(struct default_class *d, const struct api_kind *k, const struct resource *res) {
    arena_free(d->arena);
    d->arena = arena_new();
    d->name = NULL;
    d->as_of = res->changed;
    const char *newest = NULL;
    struct key_cursor at = key_index_seek(&res->index, SLICE(""), false);
    for (struct object *o; (o = key_index_next(&res->index, &at));) {
        struct api_object *c;
        if (api_object_decode(d->arena, k, object_json(o), &c, NULL) < 0) continue;
        if (!marked(d, &c->metadata)) continue;
        const char *made = str_or(c->metadata.creation_timestamp, "");
        if (newest && strcmp(made, newest) <= 0) continue; /* of the same age: the first by name */
        newest = made;
        d->name = c->metadata.name;
    }
}

const char *default_class_name(struct default_class *d, const struct admission *ad) {
    const struct api_kind *k = api_kind_by_plural(d->group, "v1", d->plural);
    const struct resource *res = k ? cache_of_kind(&ad->api->cache, k) : NULL;
    if (!res) return NULL;
    if (res->changed != d->as_of) learn(d, k, res);
    return d->name;
}
