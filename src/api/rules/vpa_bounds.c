/* What LimitRanges leave of a recommendation: a limit moves with its request, so a bound of the
 * limit is one of the request, too, in the proportion that the two have. */
#include "api/rules/vpa.h"
#include "api/values/quantity.h"
#include "base/own.h"

typedef struct autoscaling_v1_recommended_container_resources recommended;

static const char *const resources[] = {"cpu", "memory"};

/* ---- the bounds of a namespace ---- */

/* The strictest of several counts. sign > 0: the largest. */
static void take(struct arena *a, struct str_map *to, const struct str_map *from, int sign) {
    struct str_map stricter = {0};
    for (size_t i = 0; i < from->n; i++) {
        const char *have = str_map_get(to, from->v[i].key);
        if (!have || quantity_cmp(from->v[i].value, have) * sign > 0)
            *ARENA_PUSH(a, &stricter) = from->v[i];
    }
    str_map_merge(a, to, &stricter);
}

void vpa_bounds_add(struct arena *a, struct vpa_bounds *b,
                    const struct core_v1_limit_range_spec *s) {
    for (size_t i = 0; i < s->limits.n; i++) {
        const struct core_v1_limit_range_item *l = &s->limits.v[i];
        if (str_eq(l->type, "Container")) {
            take(a, &b->min, &l->min, 1);
            take(a, &b->max, &l->max, -1);
            str_map_merge(a, &b->limit, &l->default_);
        } else if (str_eq(l->type, "Pod")) {
            take(a, &b->pod_min, &l->min, 1);
            take(a, &b->pod_max, &l->max, -1);
        }
    }
}

/* ---- arithmetic ---- */

static double number(const char *amount) {
    struct quantity q;
    return amount && quantity_parse(amount, &q) ? (double)q.nanos / 1e9 : 0;
}

const char *vpa_scaled(struct arena *a, const char *resource, const char *amount, double factor) {
    double wanted = number(amount) * factor;
    if (wanted > 1e15) wanted = 1e15;
    if (str_eq(resource, "cpu")) return quantity_from_milli(a, (int64_t)(wanted * 1000 + 0.5));
    return quantity_from_bytes(a, (int64_t)(wanted + 0.5));
}

/* The limit that the container would have beside that request; 0: none. */
static double limit_beside(const struct vpa_bounds *b, const struct core_v1_container *c,
                           const char *resource, const char *request) {
    const char *own = str_map_get(&c->resources.limits, resource);
    double limit = number(own ? own : str_map_get(&b->limit, resource));
    double had = number(str_map_get(&c->resources.requests, resource));
    if (limit <= 0) return 0;
    return had > 0 ? number(request) * limit / had : number(request);
}

/* ---- of one container ---- */

/* The request at which the limit stands at the bound; NULL: there is no such. */
static const char *at_bound(struct arena *a, const struct vpa_bounds *b,
                            const struct core_v1_container *c, const char *resource,
                            const char *bound) {
    const char *own = str_map_get(&c->resources.limits, resource);
    const char *limit = own ? own : str_map_get(&b->limit, resource);
    const char *request = str_map_get(&c->resources.requests, resource);
    if (!bound || number(limit) <= 0) return NULL;
    if (number(request) <= 0) return bound;
    return vpa_scaled(a, resource, request, number(bound) / number(limit));
}

static void cap(struct arena *a, const vpa_policy *p, const struct vpa_bounds *b,
                const struct core_v1_container *c, const struct str_map *from, struct str_map *to) {
    for (size_t i = 0; i < ARRAY_LEN(resources); i++) {
        const char *name = resources[i], *amount = str_map_get(from, name);
        if (!amount || !vpa_controls(p, name)) continue;
        const char *most = at_bound(a, b, c, name, str_map_get(&b->max, name));
        const char *least = at_bound(a, b, c, name, str_map_get(&b->min, name));
        if (most && quantity_cmp(amount, most) > 0) amount = most;
        if (least && quantity_cmp(amount, least) < 0) amount = least;
        str_map_set(a, to, name, vpa_within(p, name, amount));
    }
}

/* ---- of all containers together ---- */

typedef struct str_map *amounts_of(recommended *r);
static struct str_map *targets(recommended *r) { return &r->target; }
static struct str_map *lows(recommended *r) { return &r->lower_bound; }
static struct str_map *highs(recommended *r) { return &r->upper_bound; }

/* Brings the sum of the limits within the bounds of the pod. */
static void cap_pod(struct arena *a, const struct vpa_bounds *b,
                    const struct core_v1_container_list *l, recommended *all, const char *resource,
                    amounts_of *of) {
    double least = number(str_map_get(&b->pod_min, resource)), factor = 1;
    double most = number(str_map_get(&b->pod_max, resource)), limits = 0, requests = 0;
    for (size_t i = 0; i < l->n; i++) {
        const char *amount = str_map_get(of(&all[i]), resource);
        if (!amount) continue;
        limits += limit_beside(b, &l->v[i], resource, amount);
        requests += number(amount);
    }
    if (limits <= 0) return;
    if (least > requests && least > limits)
        factor = requests > 0 ? least / requests : 1;
    else if (least > limits)
        factor = least / limits;
    else if (most > 0 && most < limits)
        factor = most / limits;
    if (factor == 1) return;
    for (size_t i = 0; i < l->n; i++) {
        const char *amount = str_map_get(of(&all[i]), resource);
        if (amount) str_map_set(a, of(&all[i]), resource, vpa_scaled(a, resource, amount, factor));
    }
}

recommended *vpa_for_pod(struct arena *a, const vpa_object *v, const struct vpa_bounds *b,
                         const struct core_v1_container_list *l) {
    static amounts_of *const fields[] = {targets, lows, highs};
    recommended *out = ARENA_ARRAY(a, recommended, l->n + 1);
    for (size_t i = 0; i < l->n; i++) {
        const recommended *r = vpa_recommendation_of(v, l->v[i].name);
        const vpa_policy *p = vpa_policy_of(v, l->v[i].name);
        out[i] = (recommended){.container_name = l->v[i].name};
        if (!r) continue;
        cap(a, p, b, &l->v[i], &r->target, &out[i].target);
        cap(a, p, b, &l->v[i], &r->lower_bound, &out[i].lower_bound);
        cap(a, p, b, &l->v[i], &r->upper_bound, &out[i].upper_bound);
    }
    if (b->pod_min.n || b->pod_max.n)
        for (size_t i = 0; i < ARRAY_LEN(resources); i++)
            for (size_t j = 0; j < ARRAY_LEN(fields); j++)
                cap_pod(a, b, l, out, resources[i], fields[j]);
    return out;
}
