#include "server/subresources/finalize.h"

#include "base/own.h"
#include "server/storage/store_link.h"

/* The store's key of an object of the namespace, "/pods./default/x"; NULL: there is none. */
static const char *first_in(struct call *c, const char *ns) {
    const char *prefix = arena_printf(c->a, "%s/", ns);
    const struct map *resources = &c->api->cache.resources;
    size_t i = 0;
    for (const struct map_entry *e; (e = map_next(resources, &i));) {
        const struct resource *r = e->value;
        struct key_cursor at = key_index_seek(&r->index, slice_of(prefix), false);
        const struct object *o = key_index_next(&r->index, &at);
        if (o && slice_is(object_ns(o), ns)) return arena_printf(c->a, "%s%s", r->prefix, o->key);
    }
    return NULL;
}

/* What keeps the namespace from being empty; NULL: nothing. */
static const char *held(struct call *c, const char *ns) {
    const char *first = first_in(c, ns);
    if (first) return first;
    return store_link_creates_in(c->api->store, ns) ? "an object that is being created" : NULL;
}

void finalize_subresource(struct call *c) {
    if (!str_eq(c->route.verb, "update")) {
        reply_method_not_allowed(c);
        return;
    }
    const char *ns = c->route.name;
    bool when_empty = str_eq(http_query_get(&c->r->query, "whenEmpty"), "true");
    const char *left = when_empty ? held(c, ns) : NULL;
    if (left)
        reply_conflict(c, ns, arena_printf(c->a, "the namespace still holds %s", left));
    else
        verb_update(c);
}
