/* APIServices of the groups that this server serves itself. */
#include <stdlib.h>

#include "base/own.h"
#include "base/times.h"
#include "server/aggregation/aggregation.h"
#include "server/commit.h"
#include "server/media/body.h"
#include "server/storage/raw.h"

#define MANAGED "kube-aggregator.kubernetes.io/automanaged"
enum { OTHER_GROUP = 1000, OTHER_VERSION = 100, CORE_GROUP = 18000 };

/* Upstream's places in discovery. */
static const struct {
    const char *group;
    int32_t priority;
} places[] = {
    {"", CORE_GROUP},
    {"apps", 17800},
    {"events.k8s.io", 17750},
    {"authentication.k8s.io", 17700},
    {"authorization.k8s.io", 17600},
    {"autoscaling", 17500},
    {"batch", 17400},
    {"certificates.k8s.io", 17300},
    {"networking.k8s.io", 17200},
    {"policy", 17100},
    {"rbac.authorization.k8s.io", 17000},
    {"storage.k8s.io", 16800},
    {"apiextensions.k8s.io", 16700},
    {"admissionregistration.k8s.io", 16700},
    {"scheduling.k8s.io", 16600},
    {"coordination.k8s.io", 16500},
    {"node.k8s.io", 16300},
    {"discovery.k8s.io", 16200},
    {"flowcontrol.apiserver.k8s.io", 16100},
};

static int32_t group_priority(const char *group, bool *ret_known) {
    for (size_t i = 0; i < ARRAY_LEN(places); i++)
        if (str_eq(places[i].group, group)) {
            *ret_known = true;
            return places[i].priority;
        }
    *ret_known = false;
    return OTHER_GROUP;
}

int32_t aggregation_group_priority(const char *group) {
    size_t n;
    bool known;
    int32_t most = group_priority(group, &known);
    if (str_eq(group, "apiregistration.k8s.io")) most = INT32_MAX; /* upstream: always the first */
    struct aggregated *const *all = aggregation_list(&n);
    for (size_t i = 0; i < n; i++)
        if (str_eq(all[i]->group, group) && (most == OTHER_GROUP || all[i]->group_priority > most))
            most = all[i]->group_priority;
    return most;
}

int32_t aggregation_version_priority(const char *group, const char *version) {
    const struct aggregated *g = aggregation_find(group, version);
    return g ? g->version_priority : OTHER_VERSION;
}

/* v1 → 15, v2 → 30; what is not stable yet lower. */
static int32_t version_priority(const char *version, bool known_group) {
    if (!known_group) return OTHER_VERSION;
    if (strstr(version, "alpha")) return 1;
    if (strstr(version, "beta")) return 9;
    return str_eq(version, "v2") ? 30 : 15;
}

static const struct api_kind *kind(void) {
    return api_kind_by_plural("apiregistration.k8s.io", "v1", "apiservices");
}

static void on_written(void *user, struct slice json, const struct err *err) { arena_free(user); }

static void make(struct api *api, const char *group, const char *version, bool custom) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct apiregistration_v1_api_service *s = (void *)api_object_new(a, kind());
    char now[TIME_TEXT_MAX];
    bool known;
    time_format(now, loop_wall_ns(api->loop));
    s->metadata.name = arena_printf(a, "%s.%s", version, group);
    s->metadata.uid = uuid_new(a);
    s->metadata.creation_timestamp = arena_str(a, now);
    str_map_set(a, &s->metadata.labels, MANAGED, custom ? "true" : "onstart");
    s->spec.group = *group ? arena_str(a, group) : NULL;
    s->spec.version = arena_str(a, version);
    s->spec.group_priority_minimum = group_priority(group, &known);
    s->spec.version_priority = version_priority(version, known);
    struct apiregistration_v1_api_service_condition *c = ARENA_PUSH(a, &s->status.conditions);
    c->type = "Available";
    c->status = "True";
    c->last_transition_time = s->metadata.creation_timestamp;
    c->reason = "Local";
    c->message = "Local APIServices are always available";
    struct commit w = {STORE_CREATE, kind(), (struct api_object *)(void *)s, 0};
    commit_submit(api, &w, on_written, TAKE(a));
}

static void ensure(struct api *api, struct arena *a, struct map *wanted, const char *group,
                   const char *version, bool custom) {
    static char here;
    const char *name = arena_printf(a, "%s.%s", version, group);
    if (map_put(wanted, slice_of(name), &here)) return;
    if (!resource_get(cache_of_kind(&api->cache, kind()), "", name))
        make(api, group, version, custom);
}

/* Group and served versions of each CustomResourceDefinition. */
static void ensure_custom(struct api *api, struct arena *a, struct map *wanted) {
    const struct api_kind *k =
        api_kind_by_plural("apiextensions.k8s.io", "v1", "customresourcedefinitions");
    struct resource *res = k ? cache_of_kind(&api->cache, k) : NULL;
    if (!res) return;
    struct key_cursor at = key_index_seek(&res->index, SLICE(""), false);
    for (struct object *o; (o = key_index_next(&res->index, &at));) {
        struct slice versions, one, served;
        const char *group = raw_path_string(a, object_json(o), "spec.group");
        if (!group || !raw_path(object_json(o), "spec.versions", &versions)) continue;
        struct raw_iter i = raw_array(versions);
        while (raw_element(&i, &one)) {
            const char *version = raw_path_string(a, one, "name");
            if (version && raw_get(one, "served", &served) && slice_is(served, "true"))
                ensure(api, a, wanted, group, version, true);
        }
    }
}

/* Those that were made for custom groups which are gone; and local ones without a condition. */
static void tidy(struct api *api, struct arena *a, const struct map *wanted) {
    struct resource *res = cache_of_kind(&api->cache, kind());
    struct key_cursor at = key_index_seek(&res->index, SLICE(""), false);
    for (struct object *o; (o = key_index_next(&res->index, &at));) {
        struct slice json = object_json(o), labels, managed, other;
        const char *name = arena_str(a, object_name(o));
        if (!raw_path(json, "spec.service", &other) && !raw_path(json, "status.conditions", &other))
            aggregation_condition(api, name, true, "Local",
                                  "Local APIServices are always available");
        if (map_gets(wanted, name) || !raw_path(json, "metadata.labels", &labels) ||
            !raw_get(labels, MANAGED, &managed) || !slice_is(managed, "\"true\""))
            continue;
        OWN(arena_free_p) struct arena *b = arena_new();
        struct api_object *decoded;
        if (api_object_decode(b, kind(), json, &decoded, NULL) < 0) continue;
        struct commit w = {STORE_DELETE, kind(), decoded, o->revision};
        commit_submit(api, &w, on_written, TAKE(b));
    }
}

void aggregation_keep_local(struct api *api) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct map wanted = {0};
    size_t n;
    ensure_custom(api, a, &wanted);
    const struct api_kind *const *kinds = api_kinds(&n);
    for (size_t i = 0; i < n; i++)
        if (!kinds[i]->custom) ensure(api, a, &wanted, kinds[i]->group, kinds[i]->version, false);
    struct aggregated *const *others = aggregation_list(&n);
    for (size_t i = 0; i < n; i++)
        if (others[i]->serve) ensure(api, a, &wanted, others[i]->group, others[i]->version, false);
    tidy(api, a, &wanted);
    map_done(&wanted);
}
