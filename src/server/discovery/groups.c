#include "server/discovery/groups.h"

#include "base/own.h"
#include "server/aggregation/aggregation.h"

/* Group names in API priority, then those the tables have besides: custom resources, and what
 * others have added, in alphabetical order. */
static const char *const priority[] = {"apiregistration.k8s.io",
                                       "apps",
                                       "events.k8s.io",
                                       "authentication.k8s.io",
                                       "authorization.k8s.io",
                                       "autoscaling",
                                       "batch",
                                       "certificates.k8s.io",
                                       "networking.k8s.io",
                                       "policy",
                                       "rbac.authorization.k8s.io",
                                       "storage.k8s.io",
                                       "admissionregistration.k8s.io",
                                       "apiextensions.k8s.io",
                                       "scheduling.k8s.io",
                                       "coordination.k8s.io",
                                       "node.k8s.io",
                                       "discovery.k8s.io",
                                       "flowcontrol.apiserver.k8s.io"};

static void add(struct arena *a, struct str_list *l, const char *s) {
    if (!str_list_has(l, s)) *ARENA_PUSH(a, l) = s;
}

bool discovery_knows(const char *group) {
    size_t n;
    const struct api_kind *const *kinds = api_kinds(&n);
    for (size_t i = 0; i < n; i++)
        if (str_eq(kinds[i]->group, group)) return true;
    struct aggregated *const *remote = aggregation_list(&n);
    for (size_t i = 0; i < n; i++)
        if (str_eq(remote[i]->group, group)) return true;
    return false;
}

/* The highest first; equals stay in their order. */
static void sort_groups(struct arena *a, struct str_list *l) {
    int32_t *rank = ARENA_ARRAY(a, int32_t, l->n);
    for (size_t i = 0; i < l->n; i++) {
        const char *group = l->v[i];
        int32_t own = aggregation_group_priority(group);
        size_t at = i;
        for (; at > 0 && rank[at - 1] < own; at--) {
            rank[at] = rank[at - 1];
            l->v[at] = l->v[at - 1];
        }
        rank[at] = own;
        l->v[at] = group;
    }
}

struct str_list discovery_groups(struct arena *a) {
    size_t n;
    struct str_list ret = {0};
    const struct api_kind *const *kinds = api_kinds(&n);
    for (size_t i = 0; i < ARRAY_LEN(priority); i++)
        if (discovery_knows(priority[i])) add(a, &ret, priority[i]);
    for (size_t i = 0; i < n; i++)
        if (*kinds[i]->group) add(a, &ret, kinds[i]->group);
    struct aggregated *const *remote = aggregation_list(&n);
    for (size_t i = 0; i < n; i++) add(a, &ret, remote[i]->group);
    sort_groups(a, &ret);
    return ret;
}

/* "v2beta10": v2, beta, 10. What has another form comes last, by its letters. */
struct version_rank {
    int stage; /* 3: v1, 2: v1beta1, 1: v1alpha1, 0: another form */
    uint64_t major, minor;
};

static struct version_rank rank_of(const char *v) {
    static const char *const stages[] = {"alpha", "beta"};
    const struct version_rank other = {0};
    struct version_rank r = {.stage = 3};
    size_t digits = *v == 'v' ? strspn(v + 1, "0123456789") : 0;
    if (!digits || slice_u64(slice_from(v + 1, digits), &r.major) < 0) return other;
    const char *rest = v + 1 + digits;
    if (!*rest) return r;
    for (int i = 0; i < 2; i++) {
        if (!str_starts(rest, stages[i])) continue;
        r.stage = i + 1;
        return slice_u64(slice_of(rest + strlen(stages[i])), &r.minor) < 0 ? other : r;
    }
    return other;
}

/* Whether version x comes before y: the stable ones first, in each stage the newest first. */
static bool comes_first(const char *x, const char *y) {
    struct version_rank a = rank_of(x), b = rank_of(y);
    if (a.stage != b.stage) return a.stage > b.stage;
    if (a.stage == 0) return strcmp(x, y) < 0;
    if (a.major != b.major) return a.major > b.major;
    return a.minor > b.minor;
}

static bool version_first(const char *group, const char *x, const char *y) {
    int32_t a = aggregation_version_priority(group, x), b = aggregation_version_priority(group, y);
    return a != b ? a > b : comes_first(x, y);
}

struct str_list discovery_versions(struct arena *a, const char *group) {
    size_t n;
    struct str_list ret = {0};
    const struct api_kind *const *kinds = api_kinds(&n);
    for (size_t i = 0; i < n; i++)
        if (str_eq(kinds[i]->group, group)) add(a, &ret, kinds[i]->version);
    struct aggregated *const *remote = aggregation_list(&n);
    for (size_t i = 0; i < n; i++)
        if (str_eq(remote[i]->group, group)) add(a, &ret, remote[i]->version);
    for (size_t i = 1; i < ret.n; i++) /* few: sorting by insertion will do */
        for (size_t j = i; j > 0 && version_first(group, ret.v[j], ret.v[j - 1]); j--) {
            const char *swapped = ret.v[j];
            ret.v[j] = ret.v[j - 1];
            ret.v[j - 1] = swapped;
        }
    return ret;
}

const char *discovery_group_version(struct arena *a, const char *group, const char *version) {
    return *group ? arena_printf(a, "%s/%s", group, version) : version;
}
