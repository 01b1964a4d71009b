/* Each kind of figure: where it comes from, how many pods it asks for, what the status says of it.
 * The words of errors are those that clients know. */
#include "api/values/quantity.h"
#include "base/own.h"
#include "controllers/autoscaling/hpa.h"
#include "controllers/common.h"

typedef struct autoscaling_v2_metric_spec metric_spec;
typedef struct autoscaling_v2_metric_status metric_status;
typedef struct autoscaling_v2_metric_value_status value_status;
typedef struct autoscaling_v2_metric_target metric_target;
typedef struct autoscaling_v2_metric_identifier metric_identifier;

static struct hpa_proposal failed(struct hpa_run *r, const char *reason, const char *error,
                                  const char *detail_format, const char *about) {
    return (struct hpa_proposal){
        .reason = reason,
        .error = error,
        .detail = arena_printf(r->a, "failed to get %s%s: %s", about, detail_format, error)};
}

/* ---- what pods ask for ---- */

static int64_t container_request(const struct core_v1_container *c, const char *resource) {
    return quantity_milli(str_map_get(&c->resources.requests, resource));
}

static bool is_counted(const char *wanted, const char *name) {
    return !wanted || str_eq(wanted, name);
}

static bool asks_for(const struct core_v1_container_list *l, const char *name,
                     const char *resource) {
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->v[i].name, name) && str_map_get(&l->v[i].resources.requests, resource))
            return true;
    return false;
}

/* Sum over the containers (container NULL: all that stay); NULL, or the one that asks for nothing.
 * Reconcilers see only containers that ask for something or have ports: the others are known by
 * their status. */
static const char *pod_request_milli(const struct core_v1_pod *pod, const char *container,
                                     const char *resource, int64_t *ret) {
    const struct core_v1_container_list *all = &pod->spec.containers,
                                        *init = &pod->spec.init_containers;
    *ret = 0;
    for (size_t i = 0; i < all->n; i++) {
        if (!is_counted(container, all->v[i].name)) continue;
        if (!str_map_get(&all->v[i].resources.requests, resource)) return all->v[i].name;
        *ret += container_request(&all->v[i], resource);
    }
    for (size_t i = 0; i < init->n; i++)
        if (str_eq(init->v[i].restart_policy, "Always") && is_counted(container, init->v[i].name))
            *ret += container_request(&init->v[i], resource);
    for (size_t i = 0; i < pod->status.container_statuses.n; i++) {
        const char *name = pod->status.container_statuses.v[i].name;
        if (is_counted(container, name) && !asks_for(all, name, resource)) return name;
    }
    return NULL;
}

/* ---- cpu, memory: of pods, of one container of each ---- */

/* false: no figure. */
static bool usage_of(const struct pod_usage *u, const char *container, const char *resource,
                     int64_t *ret, bool *ret_found) {
    bool any = false;
    *ret = 0;
    for (size_t i = 0; u && i < u->n; i++) {
        if (!is_counted(container, u->v[i].name)) continue;
        const int64_t *milli = container_usage_get(&u->v[i], resource);
        *ret_found = true;
        if (!milli) return false;
        *ret += *milli;
        any = true;
    }
    return any;
}

static struct hpa_figure *usage_figures(struct hpa_run *r, const struct pod_usages *all,
                                        const char *container, const char *resource,
                                        const char **ret_error) {
    struct hpa_figure *out = ARENA_ARRAY(r->a, struct hpa_figure, r->pods.n);
    size_t n = 0;
    for (size_t i = 0; i < r->pods.n; i++) {
        const struct core_v1_pod *pod = r->pods.v[i];
        const struct pod_usage *u = pod_usage_get(all, pod->metadata.namespace, pod->metadata.name);
        bool found = false;
        if (!u) continue;
        n++;
        out[i].known = usage_of(u, container, resource, &out[i].milli, &found);
        out[i].at_ns = u->at_ns;
        out[i].window_ns = u->window_ns;
        if (container && !found) {
            *ret_error = arena_printf(
                r->a,
                "unable to get metrics for resource %s: failed to get container metrics: "
                "container %s not present in metrics for pod %s/%s",
                resource, container, pod->metadata.namespace, pod->metadata.name);
            return NULL;
        }
    }
    if (n) return out;
    *ret_error = arena_printf(r->a,
                              "unable to get metrics for resource %s: no metrics returned from "
                              "resource metrics API",
                              resource);
    return NULL;
}

static bool add_requests(struct hpa_run *r, struct hpa_figure *figures, const char *container,
                         const char *resource, const char **ret_error) {
    for (size_t i = 0; i < r->pods.n; i++) {
        const struct core_v1_pod *pod = r->pods.v[i];
        const char *without =
            pod_request_milli(pod, container, resource, &figures[i].request_milli);
        if (!without) continue;
        *ret_error = arena_printf(r->a, "missing request for %s in container %s of Pod %s",
                                  resource, without, pod->metadata.name);
        return false;
    }
    return true;
}

static const char *resource_replicas(struct hpa_run *r, const char *resource, const char *container,
                                     const metric_target *t, struct hpa_answer *ret) {
    const struct pod_usages *all;
    const char *error = NULL;
    enum metric_state s = metrics_of_pods(r->w, r->p, HPA_SAMPLE_MS, &all, &error);
    if (s == METRIC_UNKNOWN) r->waiting = true;
    if (s != METRIC_KNOWN)
        return arena_printf(r->a,
                            "unable to get metrics for resource %s: unable to fetch metrics from "
                            "resource metrics API: %s",
                            resource, str_or(error, "no answer yet"));
    struct hpa_figure *figures = usage_figures(r, all, container, resource, &error);
    bool utilization = !t->average_value;
    if (!figures) return error;
    if (utilization && !add_requests(r, figures, container, resource, &error)) return error;
    struct hpa_question q = {.pods = &r->pods,
                             .figures = figures,
                             .cpu = str_eq(resource, "cpu"),
                             .utilization = utilization,
                             .target = utilization ? int_or(t->average_utilization, 80)
                                                   : quantity_milli(t->average_value),
                             .replicas = r->target.spec_replicas,
                             .now_ns = world_now_ns(r->w)};
    return hpa_replicas_by_pods(r->a, &q, ret, &error) < 0 ? error : NULL;
}

static struct hpa_proposal resource_metric(struct hpa_run *r, const char *resource,
                                           const char *container, const metric_target *t,
                                           value_status *now) {
    struct hpa_answer answer;
    const char *why = resource_replicas(r, resource, container, t, &answer);
    const char *word = t->average_value ? "usage" : "utilization";
    if (why) {
        const char *error = arena_printf(r->a, "failed to get %s %s: %s", resource, word, why);
        if (container)
            return failed(r, "FailedGetContainerResourceMetric", error, " container metric value",
                          container);
        return failed(r, "FailedGetResourceMetric", error, " resource metric value", resource);
    }
    now->average_value = quantity_from_milli(r->a, answer.milli);
    if (!t->average_value) now->average_utilization = int_new(r->a, answer.percent);
    return (struct hpa_proposal){
        .replicas = answer.replicas,
        .metric = t->average_value ? arena_printf(r->a, "%s resource", resource)
                                   : arena_printf(r->a,
                                                  "%s %sresource utilization (percentage of "
                                                  "request)",
                                                  resource, container ? "container " : "")};
}

static struct hpa_proposal from_resource(struct hpa_run *r, const metric_spec *m,
                                         metric_status *s) {
    s->resource = ARENA_NEW(r->a, struct autoscaling_v2_resource_metric_status);
    s->resource->name = m->resource->name;
    return resource_metric(r, m->resource->name, NULL, &m->resource->target, &s->resource->current);
}

static struct hpa_proposal from_container(struct hpa_run *r, const metric_spec *m,
                                          metric_status *s) {
    const struct autoscaling_v2_container_resource_metric_source *c = m->container_resource;
    s->container_resource = ARENA_NEW(r->a, struct autoscaling_v2_container_resource_metric_status);
    s->container_resource->name = c->name;
    s->container_resource->container = c->container;
    return resource_metric(r, c->name, c->container, &c->target, &s->container_resource->current);
}

/* ---- custom figures ---- */

static const char *selector_of(struct hpa_run *r, const metric_identifier *m) {
    return selector_query(r->a, m->selector);
}

static const char *asked(struct hpa_run *r, enum metric_state s, const char *api,
                         const struct metric_values *v, const char *error) {
    if (s == METRIC_UNKNOWN) r->waiting = true;
    if (s != METRIC_KNOWN)
        return arena_printf(r->a, "unable to fetch metrics from %s metrics API: %s", api,
                            str_or(error, "no answer yet"));
    if (!v->n) return arena_printf(r->a, "no metrics returned from %s metrics API", api);
    return NULL;
}

static struct hpa_figure *value_figures(struct hpa_run *r, const struct metric_values *v) {
    struct hpa_figure *out = ARENA_ARRAY(r->a, struct hpa_figure, r->pods.n);
    for (size_t i = 0; i < r->pods.n; i++)
        for (size_t j = 0; j < v->n && !out[i].known; j++)
            if (str_eq(v->v[j].object, r->pods.v[i]->metadata.name))
                out[i] =
                    (struct hpa_figure){true, v->v[j].milli, v->v[j].at_ns, v->v[j].window_ns, 0};
    return out;
}

static struct hpa_proposal from_pods(struct hpa_run *r, const metric_spec *m, metric_status *s) {
    const struct autoscaling_v2_pods_metric_source *src = m->pods;
    const struct metric_values *v;
    struct hpa_answer answer;
    const char *error = NULL;
    s->pods = ARENA_NEW(r->a, struct autoscaling_v2_pods_metric_status);
    s->pods->metric = src->metric;
    enum metric_state state =
        metrics_custom_pods(r->w, r->p, r->hpa->metadata.namespace, r->target.selector_text,
                            src->metric.name, selector_of(r, &src->metric), &v, &error);
    error = asked(r, state, "custom", v, error);
    if (error) {
        error = arena_printf(r->a, "unable to get metric %s: %s", src->metric.name, error);
    } else {
        struct hpa_question q = {.pods = &r->pods,
                                 .figures = value_figures(r, v),
                                 .target = quantity_milli(src->target.average_value),
                                 .replicas = r->target.spec_replicas,
                                 .now_ns = world_now_ns(r->w)};
        hpa_replicas_by_pods(r->a, &q, &answer, &error);
    }
    if (error) return failed(r, "FailedGetPodsMetric", error, " metric value", "pods");
    s->pods->current.average_value = quantity_from_milli(r->a, answer.milli);
    return (struct hpa_proposal){.replicas = answer.replicas,
                                 .metric = arena_printf(r->a, "pods metric %s", src->metric.name)};
}

/* "PLURAL.GROUP" as the custom API names kinds; NULL: no such kind. */
static const char *resource_name(struct hpa_run *r,
                                 const struct autoscaling_v2_cross_version_object_reference *o) {
    const char *version = str_or(o->api_version, "v1");
    if (str_eq(o->kind, "Namespace") && !strchr(version, '/')) return "";
    const struct api_kind *k = api_kind_by_api_version(version, o->kind);
    if (!k) return NULL;
    return *k->group ? arena_printf(r->a, "%s.%s", k->plural, k->group) : k->plural;
}

/* One value for the whole target. */
static const char *object_value(struct hpa_run *r,
                                const struct autoscaling_v2_object_metric_source *src,
                                int64_t *ret) {
    const struct autoscaling_v2_cross_version_object_reference *o = &src->described_object;
    const char *ns = r->hpa->metadata.namespace, *resource = resource_name(r, o), *error = NULL;
    const struct metric_values *v = NULL;
    if (!resource) {
        error = arena_printf(r->a, "no matches for kind \"%s\" in version \"%s\"",
                             str_or(o->kind, ""), str_or(o->api_version, "v1"));
    } else {
        enum metric_state s =
            metrics_custom_object(r->w, r->p, ns, resource, o->name, src->metric.name,
                                  selector_of(r, &src->metric), &v, &error);
        error = asked(r, s, "custom", v, error);
    }
    if (!error && v->n != 1)
        error = arena_printf(r->a,
                             "unable to fetch metrics from custom metrics API: the custom metrics "
                             "API server returned %zu results when we asked for exactly one",
                             v->n);
    if (error)
        return arena_printf(r->a, "unable to get metric %s: %s on %s %s/%s", src->metric.name,
                            str_or(o->kind, ""), ns, str_or(o->name, ""), error);
    *ret = v->v[0].milli;
    return NULL;
}

/* The rule for one value, by the kind of target. */
static const char *by_value(struct hpa_run *r, const metric_target *t, int64_t value,
                            value_status *now, int32_t *ret) {
    const char *error = NULL;
    int64_t share;
    if (t->average_value) {
        hpa_replicas_by_share(value, quantity_milli(t->average_value), r->target.status_replicas,
                              ret, &share);
        now->average_value = quantity_from_milli(r->a, share);
        return NULL;
    }
    if (hpa_replicas_by_ratio(&r->pods, value, quantity_milli(t->value), r->target.spec_replicas,
                              ret, &error) == 0)
        now->value = quantity_from_milli(r->a, value);
    return error;
}

static struct hpa_proposal from_object(struct hpa_run *r, const metric_spec *m, metric_status *s) {
    const struct autoscaling_v2_object_metric_source *src = m->object;
    int64_t value = 0;
    int32_t replicas = 0;
    s->object = ARENA_NEW(r->a, struct autoscaling_v2_object_metric_status);
    s->object->metric = src->metric;
    s->object->described_object = src->described_object;
    const char *error = object_value(r, src, &value);
    if (!error) error = by_value(r, &src->target, value, &s->object->current, &replicas);
    if (error) return failed(r, "FailedGetObjectMetric", error, " metric value", "object");
    return (struct hpa_proposal){.replicas = replicas,
                                 .metric = arena_printf(r->a, "%s metric %s",
                                                        str_or(src->described_object.kind, ""),
                                                        src->metric.name)};
}

static struct hpa_proposal from_external(struct hpa_run *r, const metric_spec *m,
                                         metric_status *s) {
    const struct autoscaling_v2_external_metric_source *src = m->external;
    const char *ns = r->hpa->metadata.namespace, *error = NULL;
    const char *selector = selector_of(r, &src->metric);
    const struct metric_values *v;
    int64_t value = 0;
    int32_t replicas = 0;
    s->external = ARENA_NEW(r->a, struct autoscaling_v2_external_metric_status);
    s->external->metric = src->metric;
    enum metric_state state =
        metrics_external(r->w, r->p, ns, src->metric.name, selector, &v, &error);
    error = asked(r, state, "external", v, error);
    if (error)
        error = arena_printf(r->a, "unable to get external metric %s/%s/%s: %s", ns,
                             src->metric.name, *selector ? selector : "nil", error);
    for (size_t i = 0; !error && i < v->n; i++)
        if (__builtin_add_overflow(value, v->v[i].milli, &value)) value = INT64_MAX;
    if (!error) error = by_value(r, &src->target, value, &s->external->current, &replicas);
    if (error)
        return failed(r, "FailedGetExternalMetric", error, " external metric value",
                      src->metric.name);
    return (struct hpa_proposal){.replicas = replicas,
                                 .metric =
                                     arena_printf(r->a, "external metric %s(%s)", src->metric.name,
                                                  *selector ? selector : "nil")};
}

/* ---- */

static const struct {
    const char *type;
    struct hpa_proposal (*ask)(struct hpa_run *r, const metric_spec *m, metric_status *s);
} sources[] = {
    {"Resource", from_resource}, {"ContainerResource", from_container}, {"Pods", from_pods},
    {"Object", from_object},     {"External", from_external},
};

struct hpa_proposal hpa_metric(struct hpa_run *r, const metric_spec *m, metric_status *status) {
    const void *const set[] = {m->resource, m->container_resource, m->pods, m->object, m->external};
    *status = (metric_status){.type = m->type};
    for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
        if (!str_eq(m->type, sources[i].type) || !set[i]) continue;
        struct hpa_proposal p = sources[i].ask(r, m, status);
        if (p.reason) *status = (metric_status){.type = ""}; /* as upstream: an empty entry */
        return p;
    }
    const char *error =
        arena_printf(r->a, "unknown metric source type \"%s\"", str_or(m->type, ""));
    return (struct hpa_proposal){
        .reason = "InvalidMetricSourceType", .error = error, .detail = error};
}
