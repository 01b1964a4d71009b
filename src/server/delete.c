/* DELETE of one object and of a collection. */
#include "base/limits.h"
#include "base/own.h"
#include "server/convert.h"
#include "server/remove.h"
#include "server/select.h"

enum { TOGETHER = 128 }; /* deletions of a collection under way at once */

/* ---- one ---- */

struct single {
    struct call *c; /* NULL: the client went away */
};

static void single_gone(struct request *r) { ((struct single *)r->handler_data)->c = NULL; }

/* Kinds whose DELETE answers with the object even when it is gone at once. */
static bool answers_object(const struct api_kind *k) {
    static const char *const plurals[] = {
        "pods",           "services",          "serviceaccounts",       "podtemplates",
        "resourcequotas", "persistentvolumes", "persistentvolumeclaims"};
    for (size_t i = 0; i < ARRAY_LEN(plurals) && !*k->group; i++)
        if (str_eq(k->plural, plurals[i])) return true;
    return false;
}

static void single_done(void *user, struct slice json, bool gone, const struct err *err) {
    struct single *s = user;
    struct call *c = s->c;
    free(s);
    if (!c) return;
    c->r->on_close = NULL;
    if (err && err->reason == ERR_NOT_FOUND) {
        reply_not_found(c, c->route.name);
    } else if (err && err->reason == ERR_CONFLICT) {
        reply_conflict(c, c->route.name, err->text);
    } else if (err) {
        reply_error(c, err);
    } else if (gone && !answers_object(c->kind)) {
        struct api_object *o;
        const char *uid = api_object_decode(c->a, storage_kind(c->kind), json, &o, NULL) == 0
                              ? o->metadata.uid
                              : NULL;
        reply_success(c, 200, c->route.name, uid);
    } else {
        reply_object(c, 200, convert_json(c->a, c->kind, json));
    }
}

void verb_delete(struct call *c) {
    struct err err;
    struct remove_options o;
    if (remove_options_parse(c, &o, &err) < 0) {
        reply_error(c, &err);
        return;
    }
    if (!*c->kind->group && str_eq(c->kind->plural, "namespaces") &&
        (str_eq(c->route.name, "default") || str_eq(c->route.name, "kube-system") ||
         str_eq(c->route.name, "kube-public"))) {
        err_set(&err, ERR_FORBIDDEN,
                "namespaces \"%s\" is forbidden: this namespace may not be deleted", c->route.name);
        reply_error(c, &err);
        return;
    }
    struct single *s = malloc(sizeof *s);
    if (!s) abort();
    s->c = c;
    c->r->handler_data = s;
    c->r->on_close = single_gone;
    const char *ns = c->kind->flags & API_NAMESPACED ? c->route.ns : "";
    remove_object(c->api, storage_kind(c->kind), ns, c->route.name, &o, single_done, s);
}

/* ---- a collection ---- */

struct collection {
    struct call *c;
    struct api *api;
    const struct api_kind *kind;
    struct remove_options o;
    VEC(struct object *) items;
    size_t next, under_way;
    struct err err;
    bool failed, advancing;
};

static void collection_gone(struct request *r) { ((struct collection *)r->handler_data)->c = NULL; }

static void advance(struct collection *d);

static void one_done(void *user, struct slice json, bool gone, const struct err *err) {
    struct collection *d = user;
    d->under_way--;
    if (err && err->reason != ERR_NOT_FOUND) {
        d->err = *err;
        d->failed = true;
    }
    if (!d->advancing) advance(d);
}

static void advance(struct collection *d) {
    d->advancing = true; /* a failure may come back before remove_object returns */
    while (d->next < d->items.n && d->under_way < TOGETHER && !d->failed) {
        struct object *o = d->items.v[d->next++];
        d->under_way++;
        char ns[LIMIT_NAME_BYTES + 1] = "";
        memcpy(ns, o->key, MIN_OF(o->ns_n, sizeof ns - 1));
        remove_object(d->api, d->kind, ns, object_name(o), &d->o, one_done, d);
    }
    d->advancing = false;
    if (d->under_way || (d->next < d->items.n && !d->failed)) return;
    struct call *c = d->c;
    struct err err = d->err;
    bool failed = d->failed;
    for (size_t i = 0; i < d->items.n; i++) object_unref(d->items.v[i]);
    vec_done(&d->items);
    free(d);
    if (!c) return;
    c->r->on_close = NULL;
    if (failed)
        reply_error(c, &err);
    else
        reply_success(c, 200, NULL, NULL);
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
        err_set(&err, ERR_METHOD_NOT_ALLOWED,
                "the server does not allow this method on the requested resource");
        reply_error(c, &err);
        return;
    }
    struct collection *d = calloc(1, sizeof *d);
    if (!d) abort();
    d->c = c;
    d->api = c->api;
    d->kind = storage_kind(c->kind);
    d->o = o;
    d->o.uid = d->o.resource_version = NULL;
    c->r->handler_data = d;
    c->r->on_close = collection_gone;
    collect(d, &s);
    advance(d);
}
