/*
 * Random roles, bindings and questions. Invariants: the compiled table answers what a plain walk
 * over the same roles and bindings answers; and when rules are said to be covered by others, there
 * is no question that they allow and the others do not.
 */
#include <string.h>

#include "base/own.h"
#include "fuzz.h"
#include "server/auth/authz.h"

#define GROUP "rbac.authorization.k8s.io"
enum { ROLES = 4, BINDINGS = 4, QUESTIONS = 16 };

struct input {
    const uint8_t *p;
    size_t n;
};
static unsigned pick(struct input *in, unsigned below) {
    if (!in->n) return 0;
    in->n--;
    return *in->p++ % below;
}

static const char *const verbs[] = {"get", "list", "create", "*"};
static const char *const groups[] = {"", "apps", "*"};
static const char *const resources[] = {"pods", "pods/log", "nodes", "*/log", "*", "pods/*"};
static const char *const names[] = {"a", "b", ""};
static const char *const paths[] = {"/api", "/api/*", "*", "/healthz"};
static const char *const users[] = {"u", "v", "system:serviceaccount:x:s"};
static const char *const spaces[] = {"x", "y"};

#define SOME(in, a, list, from)                                                                    \
    for (unsigned k_ = 0, n_ = 1 + pick(in, 3); k_ < n_; k_++)                                     \
    *ARENA_PUSH(a, list) = (from)[pick(in, ARRAY_LEN(from))]

static struct rbac_v1_policy_rule random_rule(struct input *in, struct arena *a) {
    struct rbac_v1_policy_rule r = {0};
    SOME(in, a, &r.verbs, verbs);
    if (pick(in, 4) == 0) {
        SOME(in, a, &r.non_resource_urls, paths);
        return r;
    }
    SOME(in, a, &r.api_groups, groups);
    SOME(in, a, &r.resources, resources);
    if (pick(in, 3) == 0) *ARENA_PUSH(a, &r.resource_names) = names[pick(in, 2)];
    return r;
}

static struct attributes random_question(struct input *in) {
    struct attributes at = {.verb = verbs[pick(in, 3)],
                            .group = groups[pick(in, 2)],
                            .resource = pick(in, 2) ? "pods" : "nodes",
                            .subresource = pick(in, 2) ? "log" : "",
                            .name = names[pick(in, 3)],
                            .ns = spaces[pick(in, 2)]};
    if (pick(in, 4) == 0) at.path = pick(in, 2) ? "/api/v1" : "/healthz";
    return at;
}

struct grant {
    const char *ns, *user; /* ns NULL = everywhere */
    const struct rbac_v1_policy_rule_list *rules;
};

static void put(struct api *api, const char *key, const struct api_kind *k, void *o) {
    OWN(buf_done) struct buf json = {0};
    api_object_encode(&json, k, o);
    cache_row(&api->cache, slice_of(key), 1, buf_view(&json));
}

static void put_role(struct arena *a, struct api *api, int i,
                     const struct rbac_v1_policy_rule_list *rules) {
    const struct api_kind *k = api_kind_by_plural(GROUP, "v1", "clusterroles");
    struct rbac_v1_cluster_role *r = (void *)api_object_new(a, k);
    r->metadata.name = arena_printf(a, "r%d", i);
    r->rules = *rules;
    put(api, arena_printf(a, "/clusterroles." GROUP "//r%d", i), k, r);
}

static void put_binding(struct arena *a, struct api *api, int i, int role, const struct grant *g) {
    const char *plural = g->ns ? "rolebindings" : "clusterrolebindings";
    const struct api_kind *k = api_kind_by_plural(GROUP, "v1", plural);
    struct rbac_v1_subject subject = {.kind = "User", .name = g->user};
    if (str_starts(g->user, "system:serviceaccount:"))
        subject = (struct rbac_v1_subject){
            .kind = "ServiceAccount", .name = "s", .namespace = g->ns ? "" : "x"};
    if (g->ns) subject.namespace = subject.api_group = NULL;
    struct rbac_v1_role_ref ref = {GROUP, "ClusterRole", arena_printf(a, "r%d", role)};
    struct rbac_v1_role_binding *local = (void *)api_object_new(a, k);
    struct rbac_v1_cluster_role_binding *wide = (void *)local;
    local->metadata.name = arena_printf(a, "b%d", i);
    local->metadata.namespace = g->ns;
    *ARENA_PUSH(a, g->ns ? &local->subjects : &wide->subjects) = subject;
    *(g->ns ? &local->role_ref : &wide->role_ref) = ref;
    put(api, arena_printf(a, "/%s." GROUP "/%s/b%d", plural, str_or(g->ns, ""), i), k, local);
}

static bool naive(const struct grant *g, size_t n, const char *user, const struct attributes *at) {
    for (size_t i = 0; i < n; i++) {
        const char *who = g[i].user;
        if (g[i].ns && str_starts(who, "system:serviceaccount:") && !str_eq(g[i].ns, "x")) continue;
        if (!str_eq(who, user)) continue;
        if (g[i].ns && (at->path || !str_eq(g[i].ns, at->ns))) continue;
        for (size_t j = 0; j < g[i].rules->n; j++)
            if (rule_allows(&g[i].rules->v[j], at)) return true;
    }
    return false;
}

static void check_cover(struct input *in, struct arena *a,
                        const struct rbac_v1_policy_rule_list *owned,
                        const struct rbac_v1_policy_rule_list *wanted) {
    struct rbac_v1_policy_rule_list missing;
    bool covered = rules_cover(a, owned, wanted, &missing) == RULES_COVERED;
    for (int q = 0; covered && q < QUESTIONS; q++) {
        struct attributes at = random_question(in);
        bool allowed = false, held = false;
        for (size_t i = 0; i < wanted->n; i++) allowed = allowed || rule_allows(&wanted->v[i], &at);
        for (size_t i = 0; i < owned->n; i++) held = held || rule_allows(&owned->v[i], &at);
        FUZZ_ASSERT(!allowed || held);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input in = {data, size};
    struct arena *a = arena_new();
    struct api api = {0};
    struct rbac_v1_policy_rule_list roles[ROLES] = {0};
    struct grant grants[BINDINGS];
    cache_init(&api.cache);
    for (int i = 0; i < ROLES; i++) {
        for (unsigned n = 1 + pick(&in, 3); n; n--) *ARENA_PUSH(a, &roles[i]) = random_rule(&in, a);
        put_role(a, &api, i, &roles[i]);
    }
    for (int i = 0; i < BINDINGS; i++) {
        int role = (int)pick(&in, ROLES);
        grants[i] = (struct grant){pick(&in, 2) ? spaces[pick(&in, 2)] : NULL,
                                   users[pick(&in, ARRAY_LEN(users))], &roles[role]};
        put_binding(a, &api, i, role, &grants[i]);
    }
    cache_snapshot_end(&api.cache, 2, 0);
    api.authz = authz_new(&api);
    for (int q = 0; q < QUESTIONS; q++) {
        struct attributes at = random_question(&in);
        struct user u = {.name = users[pick(&in, ARRAY_LEN(users))]};
        FUZZ_ASSERT(authz_allows(api.authz, &u, &at) == naive(grants, BINDINGS, u.name, &at));
    }
    check_cover(&in, a, &roles[0], &roles[1]);
    authz_free(api.authz);
    cache_done(&api.cache);
    arena_free(a);
    return 0;
}
