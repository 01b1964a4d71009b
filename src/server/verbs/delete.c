/* DELETE of one object and of a collection. */
#include "api/custom/custom.h"
#include "base/limits.h"
#include "base/own.h"
#include "server/custom/conversion.h"
#include "server/media/convert.h"
#include "server/verbs/remove.h"
#include "server/verbs/select.h"

enum { TOGETHER = 128 }; /* deletions of a collection under way at once */

/* ---- one ---- */

/* The request has no on_close: it outlives its client, who may have gone meanwhile. */
static void single_done(void *user, struct slice json, bool gone, const struct err *err) {
    struct call *c = user;
    if (err && err->reason == ERR_NONE) return; /* a plugin has answered */
    if (err && err->reason == ERR_NOT_FOUND) {
        reply_not_found(c, c->route.name);
    } else if (err && err->reason == ERR_CONFLICT) {
        reply_conflict(c, c->route.name, err->text);
    } else if (err) {
        reply_error(c, err);
    } else if (gone && !deletion_answers_object(c->kind)) {
        struct api_object *o;
        const char *uid = api_object_decode(c->a, storage_kind(c->kind), json, &o, NULL) == 0
                              ? o->metadata.uid
                              : NULL;
        reply_success(c, 200, c->route.name, uid);
    } else {
        conversion_reply(c, 200, json);
    }
}

void verb_delete(struct call *c) {
    struct err err;
    struct remove_options o;
    if (remove_options_parse(c, &o, &err) < 0) {
        reply_error(c, &err);
        return;
    }
    o.asker = c;
    const char *ns = c->kind->flags & API_NAMESPACED ? c->route.ns : "";
    remove_object(c->api, storage_kind(c->kind), ns, c->route.name, &o, single_done, c);
}

/* ---- a collection ---- */

struct collection {
    struct call *c; /* NULL: a plugin has answered */
    struct api *api;
    const struct api_kind *kind;
    struct remove_options o;
    VEC(struct object *) items; /* one whose deletion met another write comes again at the end */
    size_t next, first_n, under_way;
    struct err err;
    bool failed, advancing, asking;
};

struct one {
    struct collection *d;
    struct object *item;
};

static void advance(struct collection *d);

static void one_done(void *user, struct slice json, bool gone, const struct err *err) {
    struct collection *d = ((struct one *)user)->d;
    struct object *item = ((struct one *)user)->item;
    free(user);
    d->under_way--;
    d->asking = false;
    if (err && err->reason == ERR_NONE) {
        d->c = NULL;
        d->failed = true;
    } else if (err && err->reason == ERR_CONFLICT && d->items.n < 9 * d->first_n) {
        vec_push(&d->items, object_ref(item));
    } else if (err && err->reason != ERR_NOT_FOUND) {
        d->err = *err;
        d->failed = true;
    }
    if (!d->advancing) advance(d);
}

static void collection_over(struct collection *d) {
    struct call *c = d->c;
    struct err err = d->err;
    bool failed = d->failed;
    for (size_t i = 0; i < d->items.n; i++) object_unref(d->items.v[i]);
    vec_done(&d->items);
    custom_kind_unref(d->kind);
    free(d);
    if (!c) return;
    if (failed)
        reply_error(c, &err);
    else
        reply_success(c, 200, NULL, NULL);
}

/* Only one is asked about at a time: whichever plugin refuses ends the request for all. */
static void advance(struct collection *d) {
    d->advancing = true; /* a failure may come back before remove_object returns */
    while (d->next < d->items.n && d->under_way < TOGETHER && !d->failed && !d->asking) {
        struct one *one = malloc(sizeof *one);
        if (!one) abort();
        *one = (struct one){d, d->items.v[d->next++]};
        d->under_way++;
        char ns[LIMIT_NAME_BYTES + 1] = "";
        memcpy(ns, one->item->key, MIN_OF(one->item->ns_n, sizeof ns - 1));
        d->asking =
            remove_object(d->api, d->kind, ns, object_name(one->item), &d->o, one_done, one);
    }
    d->advancing = false;
    if (!d->under_way && (d->next == d->items.n || d->failed)) collection_over(d);
}

static void collect(struct collection *d, const struct selection *s) {
    struct slice prefix = *s->ns ? slice_of(arena_printf(d->c->a, "%s/", s->ns)) : SLICE("");
    struct key_cursor at = key_index_seek(&d->c->resource->index, prefix, false);
    struct arena *scratch = arena_new();
    for (struct object *o; (o = key_index_next(&d->c->resource->index, &at));) {
        if (o->key_n < prefix.n || memcmp(o->key, prefix.p, prefix.n) != 0) break;
        if (selection_covers(s, scratch, o)) vec_push(&d->items, object_ref(o));
        arena_reset(scratch);
    }
    arena_free(scratch);
}

void verb_deletecollection(struct call *c) {
    struct err err;
    struct remove_options o;
    struct selection s;
    if (remove_options_parse(c, &o, &err) < 0 || selection_init(c, &s, &err) < 0) {
        reply_error(c, &err);
        return;
    }
    if (c->kind->flags & API_NAMESPACED && !*c->route.ns) {
        reply_method_not_allowed(c);
        return;
    }
    struct collection *d = calloc(1, sizeof *d);
    if (!d) abort();
    d->c = c;
    d->api = c->api;
    d->kind = storage_kind(c->kind);
    custom_kind_ref(d->kind); /* a plugin may end the request before the deletions end */
    d->o = o;
    d->o.uid = d->o.resource_version = NULL;
    d->o.once = true;
    d->o.asker = c;
    collect(d, &s);
    d->first_n = d->items.n;
    advance(d);
}
