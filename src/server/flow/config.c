/* Schemas and levels as the objects in the cache say. */
#include <stdlib.h>

#include "base/own.h"
#include "server/flow/flow_impl.h"

#define GROUP "flowcontrol.apiserver.k8s.io"

static struct resource *resource_of(const struct flow *f, const char *plural) {
    const struct api_kind *k = api_kind_by_plural(GROUP, "v1", plural);
    return k ? cache_of_kind(&f->api->cache, k) : NULL;
}

struct flow_level *flow_level_get(const struct flow *f, const char *name) {
    for (size_t i = 0; i < f->levels.n; i++)
        if (!f->levels.v[i]->gone && str_eq(f->levels.v[i]->name, name)) return f->levels.v[i];
    return NULL;
}

static struct flow_level *level_make(struct flow *f, const char *name) {
    struct flow_level *l = flow_level_get(f, name);
    if (l) return l;
    l = calloc(1, sizeof *l);
    char *copy = strdup(name);
    if (!l || !copy) abort();
    l->name = copy;
    vec_push(&f->levels, l);
    return l;
}

static void set_queues(struct flow *f, struct flow_level *l,
                       const struct flowcontrol_v1_queuing_configuration *q) {
    unsigned n = q && q->queues > 0 ? (unsigned)q->queues : 0;
    if (n > 4096) n = 4096;
    if (n != l->n_queues) {
        flow_level_release_all(f, l);
        free(l->queues);
        l->queues = n ? calloc(n, sizeof *l->queues) : NULL;
        if (n && !l->queues) abort();
        l->n_queues = n;
    }
    l->hand = q ? (unsigned)q->hand_size : 0;
    if (l->hand > 64) l->hand = 64;
    l->queue_limit = q ? (unsigned)q->queue_length_limit : 0;
    l->reject = !n;
}

static unsigned part(unsigned seats, const int32_t *percent) {
    return percent ? (unsigned)((uint64_t)seats * (uint64_t)*percent / 100) : 0;
}

static void set_level(struct flow *f, const struct flowcontrol_v1_priority_level_configuration *p,
                      uint64_t shares) {
    struct flow_level *l = level_make(f, p->metadata.name);
    const struct flowcontrol_v1_limited_priority_level_configuration *limited = p->spec.limited;
    const char *uid = str_or(p->metadata.uid, "");
    memcpy(l->uid, uid, MIN_OF(strlen(uid) + 1, sizeof l->uid - 1));
    l->exempt = str_eq(p->spec.type, "Exempt") || !limited;
    set_queues(f, l, limited ? limited->limit_response.queuing : NULL);
    if (!limited) return;
    uint64_t own =
        limited->nominal_concurrency_shares ? (uint64_t)*limited->nominal_concurrency_shares : 30;
    l->nominal = shares ? (unsigned)((FLOW_TOTAL_SEATS * own + shares - 1) / shares) : 0;
    l->lendable = part(l->nominal, limited->lendable_percent);
    l->borrow_max = limited->borrowing_limit_percent
                        ? part(l->nominal, limited->borrowing_limit_percent)
                        : FLOW_TOTAL_SEATS;
}

static void load_levels(struct flow *f, struct arena *a) {
    const struct api_kind *k = api_kind_by_plural(GROUP, "v1", "prioritylevelconfigurations");
    struct resource *res = resource_of(f, "prioritylevelconfigurations");
    uint64_t shares = 0;
    VEC(struct flowcontrol_v1_priority_level_configuration *) decoded = {0};
    struct key_cursor at = key_index_seek(&res->index, SLICE(""), false);
    for (struct object *o; (o = key_index_next(&res->index, &at));) {
        struct api_object *p;
        if (api_object_decode(a, k, object_json(o), &p, NULL) < 0) continue;
        struct flowcontrol_v1_priority_level_configuration *level = (void *)p;
        vec_push(&decoded, level);
        if (level->spec.limited && level->spec.limited->nominal_concurrency_shares)
            shares += (uint64_t)*level->spec.limited->nominal_concurrency_shares;
    }
    for (size_t i = 0; i < f->levels.n; i++) f->levels.v[i]->gone = true;
    for (size_t i = 0; i < decoded.n; i++) {
        for (size_t j = 0; j < f->levels.n; j++)
            if (str_eq(f->levels.v[j]->name, decoded.v[i]->metadata.name))
                f->levels.v[j]->gone = false;
        set_level(f, decoded.v[i], shares);
    }
    vec_done(&decoded);
}

static void load_schemas(struct flow *f, struct arena *a) {
    const struct api_kind *k = api_kind_by_plural(GROUP, "v1", "flowschemas");
    struct resource *res = resource_of(f, "flowschemas");
    struct key_cursor at = key_index_seek(&res->index, SLICE(""), false);
    f->schemas.n = 0;
    for (struct object *o; (o = key_index_next(&res->index, &at));) {
        struct api_object *p;
        if (api_object_decode(a, k, object_json(o), &p, NULL) < 0) continue;
        const struct flowcontrol_v1_flow_schema *s = (void *)p;
        struct flow_level *l = flow_level_get(f, s->spec.priority_level_configuration.name);
        if (!l) continue; /* dangling: matches nothing */
        const char *by = s->spec.distinguisher_method ? s->spec.distinguisher_method->type : "";
        struct flow_schema one = {.object = s,
                                  .level = l,
                                  .distinguisher = str_eq(by, "ByUser")        ? FLOW_BY_USER
                                                   : str_eq(by, "ByNamespace") ? FLOW_BY_NAMESPACE
                                                                               : FLOW_ONE,
                                  .hash = 0xcbf29ce484222325};
        for (const char *c = s->metadata.name; *c; c++)
            one.hash = (one.hash ^ (unsigned char)*c) * 0x100000001b3;
        vec_push(&f->schemas, one);
    }
}

static int by_precedence(const void *x, const void *y) {
    const struct flowcontrol_v1_flow_schema *a = ((const struct flow_schema *)x)->object;
    const struct flowcontrol_v1_flow_schema *b = ((const struct flow_schema *)y)->object;
    if (a->spec.matching_precedence != b->spec.matching_precedence)
        return a->spec.matching_precedence < b->spec.matching_precedence ? -1 : 1;
    return strcmp(a->metadata.name, b->metadata.name);
}

/* Levels that no object stands for any more are kept while somebody is in them. */
static void drop_gone(struct flow *f) {
    size_t kept = 0;
    for (size_t i = 0; i < f->levels.n; i++) {
        struct flow_level *l = f->levels.v[i];
        if (l->gone) flow_level_release_all(f, l);
        if (!l->gone || l->in_use) {
            f->levels.v[kept++] = l;
            continue;
        }
        vec_done(&l->active);
        free(l->queues);
        free((char *)l->name);
        free(l);
    }
    f->levels.n = kept;
}

static void flow_reload(struct flow *f) {
    struct arena *a = arena_new();
    load_levels(f, a);
    load_schemas(f, a);
    if (f->schemas.n) qsort(f->schemas.v, f->schemas.n, sizeof *f->schemas.v, by_precedence);
    drop_gone(f);
    arena_free(f->arena);
    f->arena = a;
}

static void reload_later(void *user) {
    struct flow *f = user;
    f->stale = false;
    flow_reload(f);
    flow_defaults_ensure(f, false);
    flow_statuses_write(f);
}

static void on_change(void *user, const struct event *e) {
    struct flow *f = user;
    if (f->stale) return;
    f->stale = true;
    loop_defer(f->api->loop, reload_later, f);
}

struct flow *flow_new(struct api *api) {
    struct flow *f = calloc(1, sizeof *f);
    if (!f) abort();
    f->api = api;
    flow_dispatch_init(f);
    return f;
}

void flow_start(struct flow *f) {
    static const char *const plurals[] = {"prioritylevelconfigurations", "flowschemas"};
    for (size_t i = 0; i < ARRAY_LEN(plurals); i++)
        resource_listen(resource_of(f, plurals[i]), on_change, f);
    flow_reload(f);
    flow_defaults_ensure(f, true);
    flow_statuses_write(f);
}
