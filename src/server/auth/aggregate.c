#include "server/auth/aggregate.h"

#include "api/values/selector.h"
#include "base/log.h"
#include "base/map.h"
#include "base/own.h"
#include "server/commit.h"

static struct {
    struct api *api;
    bool pending;  /* a round is due */
    size_t flying; /* writes without an answer: a round waits for them */
} state;

static void run_soon(void);

static const struct api_kind *kind(void) {
    return api_kind_by_plural("rbac.authorization.k8s.io", "v1", "clusterroles");
}

static bool selected(struct arena *a, const struct rbac_v1_aggregation_rule *rule,
                     const struct str_map *labels) {
    for (size_t i = 0; i < rule->cluster_role_selectors.n; i++) {
        struct selector *s;
        if (selector_from_labels(a, &rule->cluster_role_selectors.v[i], &s, NULL) == 0 &&
            selector_matches(s, labels))
            return true;
    }
    return false;
}

static void add_rules(struct arena *a, struct map *seen, struct rbac_v1_policy_rule_list *to,
                      const struct rbac_v1_policy_rule_list *more) {
    for (size_t i = 0; i < more->n; i++) {
        OWN(buf_done) struct buf text = {0};
        api_encode(&text, &rbac_v1_policy_rule_type, &more->v[i]);
        if (!map_seen(seen, buf_view(&text))) *ARENA_PUSH(a, to) = more->v[i];
    }
}

static void on_stored(void *user, struct slice json, const struct err *err) {
    state.flying--;
    if (err && err->reason != ERR_CONFLICT && err->reason != ERR_NOT_FOUND)
        log_warn("aggregated_role_not_stored", "reason=\"%s\"", err->text);
    if (err && err->reason == ERR_CONFLICT) state.pending = true;
    if (state.pending && !state.flying) run_soon();
}

struct role {
    struct rbac_v1_cluster_role *v;
    uint64_t revision;
};
struct roles {
    struct role *v;
    size_t n;
};

static void put_together(struct arena *a, const struct roles *all, struct role *r) {
    struct rbac_v1_policy_rule_list rules = {0};
    OWN(map_done) struct map seen = {0}; /* texts of rules */
    for (size_t i = 0; i < all->n; i++)
        if (all->v[i].v != r->v &&
            selected(a, r->v->aggregation_rule, &all->v[i].v->metadata.labels))
            add_rules(a, &seen, &rules, &all->v[i].v->rules);
    struct rbac_v1_cluster_role *now = api_copy(a, kind()->type, r->v);
    now->rules = rules;
    if (api_equal(kind()->type, now, r->v)) return;
    state.flying++;
    commit_submit(state.api, &(struct commit){STORE_UPDATE, kind(), (void *)now, r->revision},
                  on_stored, NULL);
}

static void run(void *user) {
    if (!state.pending || state.flying) return;
    state.pending = false;
    OWN(arena_free_p) struct arena *a = arena_new();
    const struct resource *res = cache_of_kind(&state.api->cache, kind());
    struct key_cursor at = key_index_seek(&res->index, SLICE(""), false);
    struct roles all = {0};
    for (struct object *o; (o = key_index_next(&res->index, &at));) {
        struct api_object *decoded;
        if (api_object_decode(a, kind(), object_json(o), &decoded, NULL) == 0)
            *ARENA_PUSH(a, &all) = (struct role){(void *)decoded, o->revision};
    }
    for (size_t i = 0; i < all.n; i++)
        if (all.v[i].v->aggregation_rule && !all.v[i].v->metadata.deletion_timestamp)
            put_together(a, &all, &all.v[i]);
}

static void run_soon(void) { loop_defer(state.api->loop, run, NULL); }

static void on_role(void *user, const struct event *e) {
    if (state.pending) return;
    state.pending = true;
    if (!state.flying) run_soon();
}

void aggregate_start(struct api *api) {
    state.api = api;
    resource_listen(cache_of_kind(&api->cache, kind()), on_role, NULL);
    state.pending = true;
    run_soon();
}
