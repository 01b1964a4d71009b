/* VolumeZone: bound volumes whose labels name zones or regions can be used only there. */
#include <string.h>

#include "base/own.h"
#include "scheduler/place/plugin.h"

static const char *const topology_labels[] = {
    "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region",
    "topology.kubernetes.io/zone", "topology.kubernetes.io/region"};

struct zone_state {
    struct {
        const char *key, *values; /* several joined by "__" */
    } * v;
    size_t n;
};

static void add_labels(const struct sched_query *q, struct zone_state *st,
                       const struct core_v1_persistent_volume *v) {
    for (size_t i = 0; i < ARRAY_LEN(topology_labels); i++) {
        const char *values = str_map_get(&v->metadata.labels, topology_labels[i]);
        if (!values) continue;
        typeof(st->v) one = ARENA_PUSH(q->a, st);
        one->key = topology_labels[i];
        one->values = values;
    }
}

static void *prepare(const struct sched_query *q, const void *args) {
    const struct str_list *claims = &q->class->volumes.claims;
    (void)args;
    if (!claims->n) return NULL;
    struct zone_state *st = ARENA_NEW(q->a, struct zone_state);
    for (size_t i = 0; i < claims->n; i++) {
        const struct core_v1_persistent_volume_claim *c =
            volumes_claim(&q->snapshot->volumes, q->class->namespace, claims->v[i]);
        const struct core_v1_persistent_volume *v =
            c ? volumes_volume(&q->snapshot->volumes, c->spec.volume_name) : NULL;
        if (v) add_labels(q, st, v);
    }
    return st->n ? st : NULL;
}

static bool among(const char *values, const char *value) {
    size_t n = strlen(value);
    for (const char *at = values; at; at = strstr(at, "__") ? strstr(at, "__") + 2 : NULL)
        if (strncmp(at, value, n) == 0 && (!at[n] || strncmp(at + n, "__", 2) == 0)) return true;
    return false;
}

static bool filter(const struct sched_query *q, const struct sched_node *n, const void *state,
                   struct sched_why *why) {
    const struct zone_state *st = state;
    const struct str_map *labels = &n->object->metadata.labels;
    bool placed = false;
    (void)q;
    for (size_t i = 0; i < ARRAY_LEN(topology_labels); i++)
        placed |= str_map_get(labels, topology_labels[i]) != NULL;
    if (!placed) return true; /* a node without zones is anywhere */
    for (size_t i = 0; i < st->n; i++) {
        const char *have = str_map_get(labels, st->v[i].key);
        if (!have || !among(st->v[i].values, have))
            return sched_refuse_for_good(why, "node(s) had no available volume zone");
    }
    return true;
}

static const struct sched_plugin volume_zone = {
    .name = "VolumeZone", .order = 46, .prepare = prepare, .filter = filter};
SCHED_PLUGIN(volume_zone);
