#include "controllers/disruption/pdb_scale.h"

#include <string.h>

#include "api/table.h"
#include "base/map.h"
#include "base/own.h"
#include "client/path.h"
#include "client/skim.h"

enum { ASK_MS = 5 * 1000 };

static const int32_t *deployment_replicas(const struct api_object *o) {
    return ((const struct apps_v1_deployment *)o)->spec.replicas;
}
static const int32_t *replicaset_replicas(const struct api_object *o) {
    return ((const struct apps_v1_replica_set *)o)->spec.replicas;
}
static const int32_t *statefulset_replicas(const struct api_object *o) {
    return ((const struct apps_v1_stateful_set *)o)->spec.replicas;
}
static const int32_t *controller_replicas(const struct api_object *o) {
    return ((const struct core_v1_replication_controller *)o)->spec.replicas;
}

static const struct scaled {
    const char *group, *kind;
    const int32_t *(*replicas)(const struct api_object *o);
} scaled[] = {
    {"apps", "Deployment", deployment_replicas},
    {"apps", "ReplicaSet", replicaset_replicas},
    {"apps", "StatefulSet", statefulset_replicas},
    {"", "ReplicationController", controller_replicas},
};

static struct slice group_of(const char *api_version) {
    const char *slash = strchr(str_or(api_version, ""), '/');
    return slash ? slice_from(api_version, (size_t)(slash - api_version)) : SLICE("");
}

static const struct scaled *row_of(const struct meta_v1_owner_reference *ref) {
    for (size_t i = 0; i < ARRAY_LEN(scaled); i++)
        if (str_eq(ref->kind, scaled[i].kind) &&
            slice_is(group_of(ref->api_version), scaled[i].group))
            return &scaled[i];
    return NULL;
}

/* Custom kinds are found at run time. */
static bool is_of_tables(const struct api_kind *k) {
    for (size_t i = 0; i < api_kind_table_n; i++)
        if (api_kind_table[i] == k) return true;
    return false;
}

/* The object a reference names, NULL when it is gone or another one. */
static const struct api_object *resolve(const struct world *w, const char *ns,
                                        const struct meta_v1_owner_reference *ref) {
    const struct api_object *o = world_get(w, ref->kind, ns, ref->name);
    return o && str_eq(o->metadata.uid, ref->uid) ? o : NULL;
}

/* ---- other kinds: their scale subresource is asked ---- */

struct scale {
    const char *uid;
    int32_t replicas;
};

static void *scale_read(struct arena *a, struct slice body) {
    struct scale *s = ARENA_NEW(a, struct scale);
    struct slice n = skim_get(skim_get(body, "spec"), "replicas");
    uint64_t v;
    s->uid = arena_strn(a, skim_string(skim_get(skim_get(body, "metadata"), "uid")));
    s->replicas = n.p && slice_u64(n, &v) == 0 && v <= INT32_MAX ? (int32_t)v : 0;
    return s;
}

struct search { /* for the scale that stands behind one pod */
    const struct world *w;
    struct plan *p;
    const struct core_v1_pod *pod;
    const struct meta_v1_owner_reference *ref;
    const char *why, *uid; /* uid: of whose scale it is: a Deployment's for its ReplicaSets' pods */
    int32_t replicas;
};

static int not_found(struct search *s) {
    s->why = arena_printf(plan_arena(s->p), "found no controllers for pod \"%s\"",
                          s->pod->metadata.name);
    return -1;
}

static int ask_scale(struct search *s, const struct api_kind *k) {
    OWN(buf_done) struct buf path = {0};
    api_path(&path, k, s->pod->metadata.namespace, s->ref->name, "scale");
    plan_want(s->p, path.p, ASK_MS);
    const struct fact *f = world_fact(s->w, path.p);
    if (!f) return 1;
    const struct scale *scale = fact_read(f, scale_read);
    if (!scale) {
        s->why = arena_str(plan_arena(s->p), str_or(f->error, "the answer is no Scale"));
        return -1;
    }
    if (!str_eq(scale->uid, s->ref->uid)) return not_found(s);
    s->uid = s->ref->uid;
    s->replicas = scale->replicas;
    return 0;
}

/* As budget_scale. */
static int find_scale(struct search *s) {
    const char *ns = s->pod->metadata.namespace;
    const struct scaled *row = row_of(s->ref);
    if (!row) {
        const struct api_kind *k = api_kind_by_api_version(s->ref->api_version, s->ref->kind);
        if (k && is_of_tables(k)) {
            s->why =
                arena_printf(plan_arena(s->p), "%s%s%s does not implement the scale subresource",
                             k->plural, *k->group ? "." : "", k->group);
            return -1;
        }
        if (k) return ask_scale(s, k);
        s->why = arena_printf(plan_arena(s->p), "no matches for kind \"%s\" in version \"%s\"",
                              str_or(s->ref->kind, ""), str_or(s->ref->api_version, ""));
        return -1;
    }
    const struct api_object *o = resolve(s->w, ns, s->ref);
    if (!o) return not_found(s);
    const struct meta_v1_owner_reference *above = api_controller_of(o);
    if (str_eq(s->ref->kind, "ReplicaSet") && above && str_eq(above->kind, "Deployment") &&
        (!(row = row_of(above)) || !(o = resolve(s->w, ns, above))))
        return not_found(s);
    s->uid = o->metadata.uid;
    s->replicas = int_or(row->replicas(o), 1);
    return 0;
}

/* ---- the sum ---- */

static void tell_unmanaged(const struct policy_v1_pod_disruption_budget *b, size_t n,
                           struct plan *p) {
    if (!n || b->status.observed_generation >= b->metadata.generation) return;
    plan_event(p, (const struct api_object *)b, "Warning", "UnmanagedPods",
               "Pods selected by this PodDisruptionBudget were found to be unmanaged (%zu). As a "
               "result, the status of the PDB cannot be calculated correctly, which may result in "
               "undefined behavior. To account for these pods please set \".spec.minAvailable\" "
               "field of the PDB to an integer value.",
               n);
}

int budget_scale(const struct world *w, const struct policy_v1_pod_disruption_budget *b,
                 const struct budget_pods *pods, struct plan *p, int32_t *ret,
                 const char **ret_why) {
    OWN(map_done) struct map seen = {0}; /* owners by uid, those above them too */
    int64_t sum = 0;
    size_t unmanaged = 0;
    bool pending = false;
    for (size_t i = 0; i < pods->n; i++) {
        struct search s = {.w = w, .p = p, .pod = pods->v[i]};
        s.ref = api_controller_of((const struct api_object *)s.pod);
        unmanaged += !s.ref;
        if (!s.ref || map_gets(&seen, s.ref->uid)) continue;
        int rc = find_scale(&s);
        if (rc < 0) {
            *ret_why = s.why;
            return -1;
        }
        map_put(&seen, slice_of(s.ref->uid), &seen);
        pending |= rc > 0;
        if (rc > 0) continue;
        if (!map_gets(&seen, s.uid) || str_eq(s.uid, s.ref->uid)) sum += s.replicas;
        map_put(&seen, slice_of(s.uid), &seen);
    }
    if (pending) return 1;
    tell_unmanaged(b, unmanaged, p);
    *ret = (int32_t)MIN_OF(sum, (int64_t)INT32_MAX);
    return 0;
}

bool budget_scale_changed(const struct api_kind *k, const struct api_object *now,
                          const struct api_object *old) {
    for (size_t i = 0; i < ARRAY_LEN(scaled); i++) {
        if (strcmp(k->kind, scaled[i].kind) != 0 || strcmp(k->group, scaled[i].group) != 0)
            continue;
        if (!now || !old) return true;
        const struct meta_v1_owner_reference *x = api_controller_of(now),
                                             *y = api_controller_of(old);
        return int_or(scaled[i].replicas(now), 1) != int_or(scaled[i].replicas(old), 1) ||
               !str_eq(x ? x->uid : "", y ? y->uid : "");
    }
    return false;
}
