#include "api/rules/vpa.h"

#include "api/values/quantity.h"
#include "base/own.h"

static const char *const resources[] = {"cpu", "memory"};

const char *vpa_mode(const vpa_object *v) {
    const struct autoscaling_v1_pod_update_policy *p = v->spec.update_policy;
    return p ? str_or(p->update_mode, "Auto") : "Auto";
}

const vpa_policy *vpa_policy_of(const vpa_object *v, const char *container) {
    const vpa_policy *any = NULL;
    const struct autoscaling_v1_pod_resource_policy *all = v->spec.resource_policy;
    for (size_t i = 0; all && i < all->container_policies.n; i++) {
        const vpa_policy *p = &all->container_policies.v[i];
        if (str_eq(p->container_name, container)) return p;
        if (str_eq(p->container_name, "*")) any = p;
    }
    return any;
}

bool vpa_policy_is_off(const vpa_policy *p) { return p && str_eq(p->mode, "Off"); }

bool vpa_controls(const vpa_policy *p, const char *resource) {
    if (!p || !p->controlled_resources.n) return true;
    for (size_t i = 0; i < p->controlled_resources.n; i++)
        if (str_eq(p->controlled_resources.v[i], resource)) return true;
    return false;
}

const char *vpa_within(const vpa_policy *p, const char *resource, const char *amount) {
    const char *min = p ? str_map_get(&p->min_allowed, resource) : NULL;
    const char *max = p ? str_map_get(&p->max_allowed, resource) : NULL;
    if (max && quantity_cmp(amount, max) > 0) amount = max;
    if (min && quantity_cmp(amount, min) < 0) amount = min;
    return amount;
}

const struct autoscaling_v1_recommended_container_resources *
vpa_recommendation_of(const vpa_object *v, const char *container) {
    const struct autoscaling_v1_recommended_pod_resources *r = v->status.recommendation;
    if (vpa_policy_is_off(vpa_policy_of(v, container))) return NULL;
    for (size_t i = 0; r && i < r->container_recommendations.n; i++)
        if (str_eq(r->container_recommendations.v[i].container_name, container))
            return &r->container_recommendations.v[i];
    return NULL;
}

/* The limit that stands to the new request as the old ones stood to each other. */
static const char *in_proportion(struct arena *a, const char *resource, const char *limit,
                                 const char *request, const char *target) {
    struct quantity l, r, t;
    if (!quantity_parse(limit, &l) || !quantity_parse(request, &r) || !quantity_parse(target, &t) ||
        r.nanos <= 0)
        return target;
    return vpa_scaled(a, resource, target, (double)l.nanos / (double)r.nanos);
}

const char *vpa_apply(struct arena *a, const vpa_object *v,
                      const struct autoscaling_v1_recommended_container_resources *r,
                      struct core_v1_container *c) {
    const vpa_policy *p = vpa_policy_of(v, c->name);
    OWN(buf_done) struct buf changed = {0};
    for (size_t i = 0; i < ARRAY_LEN(resources); i++) {
        const char *name = resources[i], *target = str_map_get(&r->target, name);
        if (!target) continue;
        const char *limit = str_map_get(&c->resources.limits, name);
        const char *request = str_or(str_map_get(&c->resources.requests, name), limit);
        if (limit && !(p && str_eq(p->controlled_values, "RequestsOnly"))) {
            const char *wanted = in_proportion(a, name, limit, request, target);
            if (quantity_cmp(wanted, limit)) {
                str_map_set(a, &c->resources.limits, name, wanted);
                buf_printf(&changed, "%s%s limit", changed.n ? ", " : "", name);
            }
        } else if (limit && quantity_cmp(target, limit) > 0) {
            target = limit; /* a request never exceeds its limit */
        }
        if (request && str_map_get(&c->resources.requests, name) && !quantity_cmp(target, request))
            continue;
        str_map_set(a, &c->resources.requests, name, target);
        buf_printf(&changed, "%s%s request", changed.n ? ", " : "", name);
    }
    return changed.n ? arena_strn(a, buf_view(&changed)) : NULL;
}
