/* DELETE of one object and of a collection. */
#include "api/custom/custom.h"
#include "base/limits.h"
#include "base/own.h"
#include "server/custom/conversion.h"
#include "server/media/convert.h"
#include "server/verbs/list_impl.h"
#include "server/verbs/remove.h"

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

/* ---- a collection: what a LIST of the same options shows ---- */

struct collection {
    struct call *c; /* NULL: a plugin has answered */
    struct api *api;
    const struct api_kind *kind;
    struct remove_options o;
    struct list *list; /* the answer */
    VEC(size_t) again; /* of the list: their deletion met another write */
    size_t next, retried, under_way;
    struct err err;
    const char *refused; /* whose deletion failed */
    bool failed, advancing, asking;
};

struct one {
    struct collection *d;
    size_t index; /* in the list */
};

static void advance(struct collection *d);

/* Told by another write; what the client itself asked for is not tried again. */
static bool may_try_again(const struct collection *d, const struct err *err) {
    return err->reason == ERR_CONFLICT && !str_starts(err->text, "Precondition failed") &&
           d->again.n < 8 * d->list->items.n;
}

static void one_done(void *user, struct slice json, bool gone, const struct err *err) {
    struct collection *d = ((struct one *)user)->d;
    size_t index = ((struct one *)user)->index;
    free(user);
    d->under_way--;
    d->asking = false;
    if (err && err->reason == ERR_NONE) {
        d->c = NULL;
        d->failed = true;
    } else if (err && may_try_again(d, err)) {
        vec_push(&d->again, index);
    } else if (err && err->reason != ERR_NOT_FOUND) {
        d->err = *err;
        d->refused = object_name(d->list->items.v[index]);
        d->failed = true;
    }
    if (!d->advancing) advance(d);
}

static void collection_over(struct collection *d) {
    struct call *c = d->c;
    struct list *l = d->list;
    struct err err = d->err;
    const char *refused = d->refused;
    bool sends = c && !d->failed;
    vec_done(&d->again);
    custom_kind_unref(d->kind);
    free(d);
    if (sends) {
        list_send(l);
        return;
    }
    if (c && err.reason == ERR_CONFLICT)
        reply_conflict(c, refused, err.text);
    else if (c)
        reply_error(c, &err);
    list_free(l);
}

static bool take_next(struct collection *d, size_t *ret) {
    if (d->next < d->list->items.n)
        *ret = d->next++;
    else if (d->retried < d->again.n)
        *ret = d->again.v[d->retried++];
    else
        return false;
    return true;
}

/* Only one is asked about at a time: whichever plugin refuses ends the request for all. */
static void advance(struct collection *d) {
    size_t index;
    d->advancing = true; /* a failure may come back before remove_object returns */
    while (d->under_way < TOGETHER && !d->failed && !d->asking && take_next(d, &index)) {
        const struct object *o = d->list->items.v[index];
        struct one *one = malloc(sizeof *one);
        if (!one) abort();
        *one = (struct one){d, index};
        d->under_way++;
        char ns[LIMIT_NAME_BYTES + 1] = "";
        memcpy(ns, o->key, MIN_OF(o->ns_n, sizeof ns - 1));
        d->asking = remove_object(d->api, d->kind, ns, object_name(o), &d->o, one_done, one);
    }
    d->advancing = false;
    bool all = d->next == d->list->items.n && d->retried == d->again.n;
    if (!d->under_way && (all || d->failed)) collection_over(d);
}

/* From here on the request has no on_close: it outlives its client. */
static void on_found(struct list *l, void *user) {
    struct call *c = l->c;
    struct collection *d = calloc(1, sizeof *d);
    if (!d) abort();
    c->r->on_close = NULL;
    c->r->handler_data = NULL;
    *d = (struct collection){.c = c, .api = c->api, .kind = storage_kind(c->kind), .list = l};
    custom_kind_ref(d->kind); /* a plugin may end the request before the deletions end */
    d->o = *(const struct remove_options *)user;
    d->o.once = true;
    d->o.asker = c;
    advance(d);
}

void verb_deletecollection(struct call *c) {
    struct err err;
    struct remove_options *o = ARENA_NEW(c->a, struct remove_options);
    if (c->kind->flags & API_NAMESPACED && !*c->route.ns)
        reply_method_not_allowed(c);
    else if (remove_options_parse(c, o, &err) < 0)
        reply_error(c, &err);
    else
        list_begin(c, on_found, o);
}
