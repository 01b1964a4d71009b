/*
 * VerticalPodAutoscaler, the updater: pods that ask for much too little or too much are changed
 * where they run, when the mode allows it, or evicted one at a time; what takes their place is made
 * with what is recommended. Budgets for disruptions are the eviction's to honour.
 */
#include "api/rules/pods.h"
#include "api/values/quantity.h"
#include "base/own.h"
#include "base/times.h"
#include "controllers/autoscaling/vpa.h"
#include "controllers/common.h"

enum {
    LOOK_MS = 5000,     /* between two looks at the pods */
    YOUNG_S = 10,       /* a pod is left alone for so long */
    OLD_S = 12 * 3600,  /* from then on a smaller difference is worth a change */
    WORTH_PERCENT = 10, /* that one */
    REPLICAS_MIN = 2,   /* that must run before one is evicted */
    IN_PLACE_MAX = 20,  /* pods changed in one run */
};

static const char *const resources[] = {"cpu", "memory"};
typedef struct autoscaling_v1_recommended_container_resources recommended;

/* What a change would do to a pod. */
struct change {
    const struct core_v1_pod *pod;
    struct core_v1_container_list containers;
    const recommended *wanted; /* of each of them, as LimitRanges allow it */
    bool outside;              /* of the bounds */
    bool higher[ARRAY_LEN(resources)], lower[ARRAY_LEN(resources)];
    double difference; /* of the sums, relative to what it asks for; the largest */
};

/* Those that the pod has a status of: one that asks for nothing is not in view in the spec. */
static struct core_v1_container_list containers_of(struct arena *a, const struct core_v1_pod *pod) {
    struct core_v1_container_list out = {0};
    for (size_t i = 0; i < pod->status.container_statuses.n; i++) {
        const char *name = pod->status.container_statuses.v[i].name;
        struct core_v1_container *c = ARENA_PUSH(a, &out);
        *c = (struct core_v1_container){.name = name};
        for (size_t j = 0; j < pod->spec.containers.n; j++)
            if (str_eq(pod->spec.containers.v[j].name, name)) *c = pod->spec.containers.v[j];
    }
    return out;
}

static void weigh(const recommended *r, const struct core_v1_container *c, size_t which,
                  struct change *out, int64_t *asked, int64_t *wanted) {
    const char *name = resources[which], *target = str_map_get(&r->target, name);
    const char *low = str_map_get(&r->lower_bound, name),
               *high = str_map_get(&r->upper_bound, name);
    const char *request = str_map_get(&c->resources.requests, name);
    if (!target) return;
    *wanted += quantity_milli(target);
    *asked += quantity_milli(request);
    out->higher[which] |= !request || quantity_cmp(target, request) > 0;
    out->lower[which] |= request && quantity_cmp(target, request) < 0;
    out->outside |= !request || (low && quantity_cmp(request, low) < 0) ||
                    (high && quantity_cmp(request, high) > 0);
}

static struct change change_of(struct arena *a, const vpa_object *v, const struct vpa_bounds *b,
                               const struct core_v1_pod *pod) {
    struct change out = {.pod = pod, .containers = containers_of(a, pod)};
    out.wanted = vpa_for_pod(a, v, b, &out.containers);
    for (size_t k = 0; k < ARRAY_LEN(resources); k++) {
        int64_t asked = 0, wanted = 0;
        for (size_t i = 0; i < out.containers.n; i++)
            weigh(&out.wanted[i], &out.containers.v[i], k, &out, &asked, &wanted);
        double d = asked
                       ? (double)(wanted > asked ? wanted - asked : asked - wanted) / (double)asked
                   : wanted ? 1.0
                            : 0.0;
        out.difference = MAX_OF(out.difference, d);
    }
    return out;
}

static int64_t age_s(const struct world *w, const struct core_v1_pod *pod) {
    int64_t ns;
    if (str_empty(pod->status.start_time) || time_parse(pod->status.start_time, &ns) < 0) return 0;
    return (world_now_ns(w) - ns) / 1000000000;
}

static bool is_worth_it(const struct world *w, const struct change *c) {
    int64_t age = age_s(w, c->pod);
    if (age < YOUNG_S) return false;
    return c->outside || (age > OLD_S && c->difference * 100 > WORTH_PERCENT);
}

/* ---- where they run ---- */

static bool waits_for_resize(const struct core_v1_pod *pod) {
    return pod_condition_is_true(pod, "PodResizePending");
}

static void resize(struct plan *p, const vpa_object *v, const struct change *change) {
    struct arena *a = plan_arena(p);
    const struct core_v1_pod *pod = change->pod;
    OWN(buf_done) struct buf b = {0};
    size_t n = 0;
    buf_str(&b, "{\"spec\":{\"containers\":[");
    for (size_t i = 0; i < change->containers.n; i++) {
        struct core_v1_container *c =
            api_copy(a, &core_v1_container_type, &change->containers.v[i]);
        if (!vpa_apply(a, v, &change->wanted[i], c)) continue;
        buf_str(&b, n++ ? ",{\"name\":" : "{\"name\":");
        buf_json_str(&b, slice_of(c->name));
        buf_str(&b, ",\"resources\":");
        api_encode(&b, &core_v1_resource_requirements_type, &c->resources);
        buf_char(&b, '}');
    }
    buf_str(&b, "]}}");
    if (!n) return;
    plan_patch(p, (const struct api_object *)pod, "resize",
               "application/strategic-merge-patch+json", buf_view(&b));
    plan_report_as(p, (const struct api_object *)pod, "InPlaceResizedByVPA",
                   "Pod was resized in place by VPA Updater.", "FailedInPlaceResize",
                   "Pod could not be resized in place:");
}

/* ---- eviction ---- */

static bool may_go(const vpa_object *v, const struct change *c) {
    const struct autoscaling_v1_pod_update_policy *u = v->spec.update_policy;
    for (size_t i = 0; u && i < u->eviction_requirements.n; i++) {
        const struct autoscaling_v1_eviction_requirement *r = &u->eviction_requirements.v[i];
        bool up = str_eq(r->change_requirement, "TargetHigherThanRequests"), met = false;
        for (size_t j = 0; j < r->resources.n; j++)
            for (size_t k = 0; k < ARRAY_LEN(resources); k++)
                if (str_eq(r->resources.v[j], resources[k])) met |= up ? c->higher[k] : c->lower[k];
        if (!met) return false;
    }
    return true;
}

/* Half of the pods stay; of one alone, when the object says that one is enough. */
static bool enough_run(const vpa_object *v, const struct hpa_pods *pods, int32_t replicas) {
    const struct autoscaling_v1_pod_update_policy *u = v->spec.update_policy;
    int32_t least = int_or(u ? u->min_replicas : NULL, REPLICAS_MIN), running = 0, all = 0;
    for (size_t i = 0; i < pods->n; i++) {
        if (!pod_is_active(pods->v[i])) continue;
        all++;
        running += pod_is_ready(pods->v[i]);
    }
    int32_t configured = replicas > 0 ? replicas : all;
    if (running < least || !configured) return false;
    if (configured == 1) return running >= 1;
    return running > configured - configured / 2;
}

static void evict(struct plan *p, const vpa_object *v, const struct core_v1_pod *pod) {
    struct arena *a = plan_arena(p);
    const char *ns = pod->metadata.namespace, *name = pod->metadata.name;
    const char *body = arena_printf(
        a,
        "{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",\"metadata\":{\"name\":\"%s\","
        "\"namespace\":\"%s\"},\"deleteOptions\":{\"preconditions\":{\"uid\":\"%s\"}}}",
        name, ns, pod->metadata.uid);
    plan_request(p, "POST", arena_printf(a, "/api/v1/namespaces/%s/pods/%s/eviction", ns, name),
                 "application/json", slice_of(body));
    plan_event(p, (const struct api_object *)pod, "Normal", "EvictedByVPA",
               "Pod was evicted by VPA Updater to apply resource recommendation.");
    plan_event(p, (const struct api_object *)v, "Normal", "EvictedPod",
               "VPA Updater evicted Pod %s to apply resource recommendation.", name);
}

/* ---- */

static struct vpa_bounds bounds_of(const struct world *w, struct arena *a, const char *ns) {
    struct vpa_bounds b = {0};
    size_t at = 0;
    for (const struct api_object *o; (o = world_next(w, "LimitRange", ns, &at));)
        vpa_bounds_add(a, &b, &((const struct core_v1_limit_range *)o)->spec);
    return b;
}

static void look(const struct world *w, struct plan *p, const vpa_object *v,
                 const struct hpa_pods *pods, int32_t replicas) {
    const char *mode = vpa_mode(v);
    bool in_place = str_eq(mode, "InPlaceOrRecreate") || str_eq(mode, "Auto");
    bool refused = plan_last_failure(p) != NULL;
    struct vpa_bounds bounds = bounds_of(w, plan_arena(p), v->metadata.namespace);
    struct change best = {0};
    size_t resized = 0;
    for (size_t i = 0; i < pods->n; i++) {
        const struct core_v1_pod *pod = pods->v[i];
        if (!pod_is_active(pod) || !str_eq(pod->status.phase, "Running")) continue;
        struct change c = change_of(plan_arena(p), v, &bounds, pod);
        if (!is_worth_it(w, &c)) continue;
        if (in_place && !refused && !waits_for_resize(pod) && resized++ < IN_PLACE_MAX)
            resize(p, v, &c);
        else if (may_go(v, &c) && (!best.pod || c.difference > best.difference))
            best = c;
    }
    if (best.pod && !resized && enough_run(v, pods, replicas)) evict(p, v, best.pod);
}

static int reconcile(const struct world *w, const char *key, struct plan *p, struct err *err) {
    const char *error;
    struct hpa_pods pods;
    int32_t replicas;
    (void)err;
    const vpa_object *v = (const void *)world_by_key(w, "VerticalPodAutoscaler", key);
    if (!v || v->metadata.deletion_timestamp) return 0;
    if (str_eq(vpa_mode(v), "Off") || str_eq(vpa_mode(v), "Initial")) return 0;
    plan_requeue(p, LOOK_MS);
    if (!v->status.recommendation || vpa_pods_of(w, p, v, &pods, &replicas, &error) != 0) return 0;
    look(w, p, v, &pods, replicas);
    return 0;
}

static const char *const watches[] = {"VerticalPodAutoscaler", VPA_TARGETS, "LimitRange", "Pod",
                                      NULL};
static const struct reconciler updater = {.name = "vpa-updater",
                                          .kind = "VerticalPodAutoscaler",
                                          .watches = watches,
                                          .map = map_own_kind,
                                          .reconcile = reconcile};
RECONCILER(updater);
