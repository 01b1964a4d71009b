#include "sim/store.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/own.h"

enum { LOG_MAX = 20 * 1000, LOG_KEEP = 5 * 1000 };

struct sim_object *object_hold(struct sim_object *o) {
    if (o) o->refs++;
    return o;
}

void object_drop(struct sim_object *o) {
    if (o && --o->refs == 0) free(o);
}

static struct sim_object *object_new(const struct api_kind *k, const char *ns, const char *name,
                                     struct slice json, uint64_t revision) {
    size_t ns_n = strlen(ns) + 1, name_n = strlen(name) + 1;
    struct sim_object *o = malloc(sizeof *o + ns_n + name_n + json.n + 1);
    if (!o) abort();
    *o = (struct sim_object){.refs = 1, .revision = revision, .kind = k};
    o->ns = memcpy(o->text, ns, ns_n);
    o->name = memcpy(o->text + ns_n, name, name_n);
    char *text = memcpy(o->text + ns_n + name_n, json.p, json.n);
    text[json.n] = 0;
    o->json = slice_from(text, json.n);
    return o;
}

/* ---- resources ---- */

void store_new(struct sim *s) {
    struct sim_store *st = s->store = calloc(1, sizeof *st);
    size_t n;
    const struct api_kind *const *kinds = api_kinds(&n);
    if (!st) abort();
    st->resources = calloc(n, sizeof *st->resources);
    if (!st->resources) abort();
    for (size_t i = 0; i < n; i++) {
        if (kinds[i]->flags & (API_VIRTUAL | API_CONVERTED)) continue;
        struct sim_resource *r = &st->resources[st->n_resources++];
        r->kind = kinds[i];
        map_put(&st->by_kind, slice_of(kinds[i]->store_prefix), r);
    }
    st->revision = 1;
}

static void log_cut(struct sim_resource *r, size_t n) {
    for (size_t i = 0; i < n; i++) {
        r->compacted = r->log.v[i].object->revision;
        object_drop(r->log.v[i].object);
    }
    r->log_first += n;
    r->log.n -= n;
    if (r->log.n) memmove(r->log.v, r->log.v + n, r->log.n * sizeof *r->log.v);
}

void store_compact(struct sim *s, struct sim_resource *r) {
    log_cut(r, r->log.n);
    r->compacted = s->store->revision;
}

void store_free(struct sim *s) {
    struct sim_store *st = s->store;
    struct map_entry *e;
    if (!st) return;
    for (size_t i = 0; i < st->n_resources; i++) {
        struct sim_resource *r = &st->resources[i];
        log_cut(r, r->log.n);
        vec_done(&r->log);
        for (size_t at = 0; (e = map_next(&r->objects, &at));) object_drop(e->value);
        map_done(&r->objects);
    }
    free(st->resources);
    map_done(&st->by_kind);
    vec_done(&st->listeners);
    free(st);
    s->store = NULL;
}

void store_listen(struct sim *s, sim_changed_fn *fn) { vec_push(&s->store->listeners, fn); }

struct sim_resource *store_resource(const struct sim *s, const struct api_kind *k) {
    return k ? map_gets(&s->store->by_kind, k->store_prefix) : NULL;
}

struct sim_resource *store_resource_of(const struct sim *s, const char *group, const char *kind) {
    for (size_t i = 0; i < s->store->n_resources; i++) {
        const struct api_kind *k = s->store->resources[i].kind;
        if (str_eq(k->kind, kind) && str_eq(k->group, group)) return &s->store->resources[i];
    }
    return NULL;
}

/* ---- objects ---- */

static struct slice key_of(struct buf *b, const char *ns, const char *name) {
    buf_str(b, str_or(ns, ""));
    buf_char(b, '/');
    buf_str(b, name);
    return buf_view(b);
}

struct sim_object *store_get(const struct sim_resource *r, const char *ns, const char *name) {
    OWN(buf_done) struct buf key = {0};
    return r ? map_get(&r->objects, key_of(&key, ns, str_or(name, ""))) : NULL;
}

struct api_object *store_decode(struct arena *a, const struct sim_object *o) {
    struct api_object *ret;
    struct err err;
    if (api_object_decode(a, o->kind, o->json, &ret, &err) < 0) {
        fprintf(stderr, "stored %s: %s\n", o->kind->kind, err.text);
        abort();
    }
    return ret;
}

static struct sim_object *version_of(struct sim *s, const struct api_kind *k,
                                     struct api_object *o) {
    OWN(buf_done) struct buf json = {0};
    char text[24];
    uint64_t revision = ++s->store->revision;
    snprintf(text, sizeof text, "%llu", (unsigned long long)revision);
    const char *before = o->metadata.resource_version;
    o->metadata.resource_version = text;
    api_object_encode(&json, k, o);
    o->metadata.resource_version = before;
    bool namespaced = k->flags & API_NAMESPACED;
    return object_new(k, namespaced ? str_or(o->metadata.namespace, "") : "", o->metadata.name,
                      buf_view(&json), revision);
}

static void changed(struct sim *s, struct sim_resource *r, enum sim_change_type type,
                    struct sim_object *o, const struct sim_object *old) {
    struct sim_change c = {type, o};
    s->store->n_writes++;
    r->n_writes++;
    vec_push(&r->log, (struct sim_change){type, object_hold(o)});
    if (r->log.n > LOG_MAX) log_cut(r, r->log.n - LOG_KEEP);
    for (size_t i = 0; i < s->store->listeners.n; i++) s->store->listeners.v[i](s, &c, old);
}

struct sim_object *store_put(struct sim *s, const struct api_kind *k, struct api_object *o) {
    struct sim_resource *r = store_resource(s, k);
    struct sim_object *now = version_of(s, k, o);
    OWN(buf_done) struct buf key = {0};
    struct sim_object *old = map_put(&r->objects, key_of(&key, now->ns, now->name), now);
    changed(s, r, old ? SIM_MODIFIED : SIM_ADDED, now, old);
    object_drop(old);
    return now;
}

void store_remove(struct sim *s, const struct api_kind *k, struct api_object *last) {
    struct sim_resource *r = store_resource(s, k);
    struct sim_object *gone = version_of(s, k, last);
    OWN(buf_done) struct buf key = {0};
    struct sim_object *old = map_del(&r->objects, key_of(&key, gone->ns, gone->name));
    changed(s, r, SIM_DELETED, gone, old);
    object_drop(old);
    object_drop(gone);
}

static int by_name(const void *x, const void *y) {
    const struct sim_object *a = *(struct sim_object *const *)x,
                            *b = *(struct sim_object *const *)y;
    int d = strcmp(a->ns, b->ns);
    return d ? d : strcmp(a->name, b->name);
}

struct sim_object **store_list(const struct sim_resource *r, size_t *ret_n) {
    struct sim_object **list = calloc(r->objects.n + 1, sizeof *list);
    struct map_entry *e;
    size_t n = 0;
    if (!list) abort();
    for (size_t at = 0; (e = map_next(&r->objects, &at));) list[n++] = e->value;
    qsort(list, n, sizeof *list, by_name);
    *ret_n = n;
    return list;
}
