/*
 * How the scheduler scores use: the strategy of NodeResourcesFit in the profile default-scheduler,
 * read from the same ConfigMap as the scheduler reads (kube-system/atoll-scheduler). Where a pod
 * would be put is told by that alone; other scores, and the profiles of pods with another
 * schedulerName, are left out.
 */
#include "controllers/disruption/descheduler_score.h"
#include "base/limits.h"
#include "base/own.h"
#include "proto/yaml.h"

enum { LOOK_MS = 60000, ALL = 1000, SCORE_MAX = 10 };

static const char text_key[] = "config.yaml";

typedef struct kubescheduler_v1_kube_scheduler_configuration configuration;
typedef struct kubescheduler_v1_plugin_set plugin_set;

static bool names(const struct kubescheduler_v1_plugin_list *l, const char *name) {
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->v[i].name, name) || str_eq(l->v[i].name, "*")) return true;
    return false;
}

static bool is_on(const struct kubescheduler_v1_plugins *p, const char *name, bool by_default) {
    const plugin_set *sets[] = {&p->multi_point, &p->score};
    bool on = by_default;
    for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
        if (names(&sets[i]->disabled, name)) on = false;
        if (names(&sets[i]->enabled, name)) on = true;
    }
    return on;
}

static void strategy_read(struct score_rule *r, const struct kubescheduler_v1_scoring_strategy *s) {
    if (str_eq(s->type, "MostAllocated")) r->kind = SCORE_FULL;
    if (str_eq(s->type, "RequestedToCapacityRatio") && s->requested_to_capacity_ratio) {
        r->kind = SCORE_SHAPE;
        r->shape = s->requested_to_capacity_ratio->shape;
    }
    if (s->resources.n) r->resources = s->resources;
}

static void profile_read(struct arena *a, struct score_rule *r,
                         const struct kubescheduler_v1_kube_scheduler_profile *p) {
    for (size_t i = 0; i < p->plugin_config.n; i++) {
        const struct kubescheduler_v1_plugin_config *c = &p->plugin_config.v[i];
        void *args = NULL;
        if (!str_eq(c->name, "NodeResourcesFit") || !c->args.p ||
            api_decode(a, &kubescheduler_v1_node_resources_fit_args_type, c->args, NULL, &args,
                       NULL) < 0)
            continue;
        const struct kubescheduler_v1_node_resources_fit_args *fit = args;
        if (fit->scoring_strategy) strategy_read(r, fit->scoring_strategy);
    }
    if (!p->plugins) return;
    if (!is_on(p->plugins, "NodeResourcesFit", true)) r->kind = SCORE_NONE;
    if (is_on(p->plugins, "EnergyConsolidation", false)) r->kind = SCORE_FULL;
}

struct score_rule score_rule_parse(struct arena *a, struct slice text) {
    struct score_rule r = {.kind = SCORE_EMPTY};
    OWN(buf_done) struct buf json = {0};
    void *made = NULL;
    struct err err;
    if (text.n > LIMIT_SCHEDULER_CONFIGURATION || yaml_to_json(text, &json, &err) < 0 ||
        api_decode(a, &kubescheduler_v1_kube_scheduler_configuration_type,
                   slice_of(arena_strn(a, buf_view(&json))), NULL, &made, &err) < 0)
        return r; /* the scheduler goes on by its defaults, too */
    const configuration *c = made;
    for (size_t i = 0; i < c->profiles.n; i++)
        if (str_eq(c->profiles.v[i].scheduler_name, "default-scheduler"))
            profile_read(a, &r, &c->profiles.v[i]);
    return r;
}

static void *map_read(struct arena *a, struct slice body) {
    struct api_object *o = NULL;
    if (api_object_decode(a, api_kind_by_name("", "v1", "ConfigMap"), body, &o, NULL) < 0)
        return NULL;
    const struct core_v1_config_map *m = (const struct core_v1_config_map *)(void *)o;
    const char *text = m->data.n == 1 ? m->data.v[0].value : str_map_get(&m->data, text_key);
    struct score_rule *r = ARENA_NEW(a, struct score_rule);
    *r = score_rule_parse(a, slice_of(str_or(text, "")));
    return r;
}

bool score_rule_read(const struct world *w, struct plan *p, struct score_rule *ret) {
    plan_want(p, SCHEDULER_CONFIGURATION_PATH, LOOK_MS);
    const struct fact *f = world_fact(w, SCHEDULER_CONFIGURATION_PATH);
    const struct score_rule *r = f && !f->error ? fact_read(f, map_read) : NULL;
    if (!f || (f->error && f->reason != ERR_NOT_FOUND)) return false;
    *ret = r ? *r : (struct score_rule){.kind = SCORE_EMPTY};
    return true;
}

/* ---- scores ---- */

/* Straight between the points, level outside of them; the share in thousandths. */
static int64_t by_shape(const struct score_rule *r, int64_t share) {
    const struct kubescheduler_v1_utilization_shape_point *p = r->shape.v;
    size_t i = 0, n = r->shape.n;
    if (!n) return 0;
    while (i < n && share > p[i].utilization * INT64_C(10)) i++;
    if (i == 0 || i == n) return p[i ? n - 1 : 0].score * INT64_C(1000) / SCORE_MAX;
    int64_t from = p[i - 1].utilization * INT64_C(10), to = p[i].utilization * INT64_C(10);
    int64_t low = p[i - 1].score * INT64_C(100), high = p[i].score * INT64_C(100);
    return low + (high - low) * (share - from) / (to - from);
}

int64_t score_of_share(const struct score_rule *r, int64_t share) {
    share = MIN_OF(share, (int64_t)ALL);
    switch (r->kind) {
    case SCORE_EMPTY: return ALL - share;
    case SCORE_FULL: return share;
    case SCORE_SHAPE: return by_shape(r, share);
    case SCORE_NONE: break;
    }
    return 0;
}

int64_t score_weight(const struct score_rule *r, const char *resource) {
    if (!r->resources.n) return str_eq(resource, "cpu") || str_eq(resource, "memory");
    for (size_t i = 0; i < r->resources.n; i++)
        if (str_eq(r->resources.v[i].name, resource))
            return r->resources.v[i].weight ? r->resources.v[i].weight : 1;
    return 0;
}
