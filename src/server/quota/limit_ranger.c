/* LimitRanger: bounds and defaults of a namespace for its containers, pods and claims. */
#include "base/map.h"
#include "base/own.h"
#include "base/vec.h"
#include "server/admission/plugin.h"
#include "server/quota/limit_rules.h"

/* All LimitRanges, decoded, by namespace. They change rarely: then everything is read anew. */
struct ranges {
    VEC(const struct core_v1_limit_range *) list;
};
static struct {
    struct map by_ns;
    struct arena *arena;
    uint64_t as_of;
} known = {.as_of = UINT64_MAX};

static void forget(void) {
    size_t i = 0;
    for (struct map_entry *e; (e = map_next(&known.by_ns, &i));) {
        struct ranges *r = e->value;
        vec_done(&r->list);
        free(r);
    }
    map_done(&known.by_ns);
    arena_free(known.arena);
    known.arena = NULL;
}

static void learn(const struct api_kind *k, const struct resource *res) {
    forget();
    known.as_of = res->changed;
    if (!res->index.n) return;
    known.arena = arena_new();
    struct key_cursor at = key_index_seek(&res->index, SLICE(""), false);
    for (struct object *o; (o = key_index_next(&res->index, &at));) {
        struct api_object *decoded;
        if (api_object_decode(known.arena, k, object_json(o), &decoded, NULL) < 0) continue;
        struct ranges *r = map_get(&known.by_ns, object_ns(o));
        if (!r) {
            r = calloc(1, sizeof *r);
            if (!r) abort();
            map_put(&known.by_ns, object_ns(o), r);
        }
        vec_push(&r->list, (const void *)decoded);
    }
}

static const struct ranges *ranges_of(const struct admission *ad) {
    static const struct api_kind *k;
    if (!k) k = api_kind_by_plural("", "v1", "limitranges");
    const struct resource *res = k ? cache_of_kind(&ad->api->cache, k) : NULL;
    if (!res) return NULL;
    if (res->changed != known.as_of) learn(k, res);
    return known.by_ns.n ? map_get(&known.by_ns, slice_of(ad->ns)) : NULL;
}

static bool concerns_pod(const struct admission *ad) {
    return !*ad->kind->group && str_eq(ad->kind->plural, "pods") && ad->operation == ADMIT_CREATE;
}

static int limit_mutate(struct admission *ad) {
    const struct ranges *r = ranges_of(ad);
    for (size_t i = 0; r && i < r->list.n; i++)
        limit_defaults(ad->a, &r->list.v[i]->spec, (struct core_v1_pod *)(void *)ad->object);
    return ADMISSION_OK;
}

static int limit_validate(struct admission *ad) {
    const struct ranges *r = ranges_of(ad);
    if (!r || (ad->old && !str_empty(ad->old->metadata.deletion_timestamp))) return ADMISSION_OK;
    for (size_t i = 0; i < r->list.n; i++) {
        const struct core_v1_limit_range_spec *spec = &r->list.v[i]->spec;
        const void *o = ad->object;
        const char *why =
            concerns_pod(ad)
                ? limit_refuses_pod(ad->a, spec, &((const struct core_v1_pod *)o)->spec)
                : limit_refuses_claim(ad->a, spec,
                                      &((const struct core_v1_persistent_volume_claim *)o)->spec);
        if (why) return admission_forbid(ad, why);
    }
    return ADMISSION_OK;
}

static const struct admission_plugin pods = {.name = "LimitRanger",
                                             .order = ORDER_LIMIT_RANGER,
                                             .operations = ADMIT_CREATE,
                                             .group = "",
                                             .plural = "pods",
                                             .mutate = limit_mutate,
                                             .validate = limit_validate};
ADMISSION_PLUGIN(pods);

static const struct admission_plugin claims = {.name = "LimitRanger",
                                               .order = ORDER_LIMIT_RANGER,
                                               .operations = ADMIT_CREATE | ADMIT_UPDATE,
                                               .group = "",
                                               .plural = "persistentvolumeclaims",
                                               .validate = limit_validate};
ADMISSION_PLUGIN(claims);
