/* How many nodes may lose their pods at a time. */
#include "base/own.h"
#include "base/times.h"
#include "controllers/nodes/node_lifecycle.h"

enum {
    WINDOW_MS = 10 * 1000,
    NODES_PER_WINDOW = 10, /* of a zone that is well */
    NODES_PER_WINDOW_SICK = 1,
    SICK_NODES_MIN = 3,
    SICK_PERCENT = 55,
    LARGE_ZONE_NODES = 51,
    RETRY_MS = 1000,
    RETRY_SICK_MS = 5000,
};

static const char *label_of(const node *n, const char *stable, const char *beta) {
    const char *v = str_map_get(&n->metadata.labels, stable);
    return str_or(v ? v : str_map_get(&n->metadata.labels, beta), "");
}

static bool same_zone(const node *x, const node *y) {
    static const struct {
        const char *stable, *beta;
    } labels[] = {
        {"topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"},
        {"topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"},
    };
    for (size_t i = 0; i < ARRAY_LEN(labels); i++)
        if (!str_eq(label_of(x, labels[i].stable, labels[i].beta),
                    label_of(y, labels[i].stable, labels[i].beta)))
            return false;
    return true;
}

struct zone {
    size_t ready, not_ready;
    size_t recent; /* tainted within the window */
    size_t before; /* nodes that wait and come before this one */
};

static bool is_recent(const struct world *w, const struct core_v1_taint *t) {
    int64_t at_ns;
    return time_parse(str_or(t->time_added, ""), &at_ns) == 0 &&
           world_now_ns(w) - at_ns < (int64_t)WINDOW_MS * 1000000;
}

/* All nodes without a Ready condition are left out: nobody has ever answered for them. */
static struct zone zone_of(const struct world *w, const node *n, bool *ret_any_ready) {
    struct zone z = {0};
    const struct api_object *o;
    bool passed = false;
    for (size_t at = 0; (o = world_next(w, "Node", NULL, &at));) {
        const node *other = (const node *)o;
        const char *ready = node_readiness(other);
        passed |= other == n;
        if (!*ready) continue;
        *ret_any_ready |= str_eq(ready, "True");
        if (!same_zone(n, other)) continue;
        if (str_eq(ready, "True")) {
            z.ready++;
            continue;
        }
        z.not_ready++;
        const struct core_v1_taint *t = node_outage(other);
        z.recent += t && is_recent(w, t);
        z.before += !t && !passed;
    }
    return z;
}

enum outage_verdict node_outage_verdict(const struct world *w, const node *n,
                                        uint64_t *ret_wait_ms) {
    bool any_ready = false;
    struct zone z = zone_of(w, n, &any_ready);
    if (!any_ready) return OUTAGE_NOBODY;
    size_t all = z.ready + z.not_ready, limit = NODES_PER_WINDOW;
    /* A zone with no ready node at all, while others have some, has failed as a whole. */
    if (z.ready && z.not_ready >= SICK_NODES_MIN && z.not_ready * 100 >= all * SICK_PERCENT)
        limit = all >= LARGE_ZONE_NODES ? NODES_PER_WINDOW_SICK : 0;
    *ret_wait_ms = limit ? RETRY_MS : RETRY_SICK_MS;
    if (!limit) return OUTAGE_WAIT;
    /* All that wait see the same world, and only so many at its front may go. */
    if (z.recent + z.before < limit) return OUTAGE_EVICT;
    *ret_wait_ms = MAX_OF((uint64_t)RETRY_MS, (uint64_t)(z.before / limit) * WINDOW_MS);
    return OUTAGE_WAIT;
}

bool node_is_alone(const struct world *w, const char *name) {
    const struct api_object *o;
    for (size_t at = 0; (o = world_next(w, "Node", NULL, &at));)
        if (!str_eq(o->metadata.name, name) && str_eq(node_readiness((const node *)o), "True"))
            return false;
    return true;
}
