/*
 * For how long agents may use what they have read of Secrets and ConfigMaps, by the number of
 * nodes: the annotation node.alpha.kubernetes.io/ttl. The steps overlap, so that a cluster at the
 * edge of one does not write to all its nodes to and fro.
 */
#include "base/own.h"
#include "controllers/nodes/node_lifecycle.h"

static const char annotation[] = "node.alpha.kubernetes.io/ttl";
static const struct {
    size_t min, max;
    int seconds;
} steps[] = {{0, 100, 0},     {90, 500, 15},      {450, 1000, 30},
             {900, 2000, 60}, {1800, 10000, 300}, {9000, SIZE_MAX, 600}};

static size_t step_of(size_t n_nodes, const char *now) {
    size_t at = 0;
    for (size_t i = 0; now && i < ARRAY_LEN(steps); i++) {
        uint64_t v;
        if (slice_u64(slice_of(now), &v) == 0 && v == (uint64_t)steps[i].seconds) at = i;
    }
    while (n_nodes > steps[at].max) at++;
    while (n_nodes < steps[at].min) at--;
    return at;
}

static int reconcile(const struct world *w, const char *key, struct plan *p, struct err *err) {
    (void)err;
    const struct api_object *n = world_get(w, "Node", NULL, key);
    if (!n || n->metadata.deletion_timestamp) return 0;
    struct arena *a = plan_arena(p);
    const char *now = str_map_get(&n->metadata.annotations, annotation);
    const char *wanted = arena_printf(a, "%d", steps[step_of(world_count(w, "Node"), now)].seconds);
    if (str_eq(now, wanted)) return 0;
    plan_patch(p, n, "", "application/merge-patch+json",
               slice_of(arena_printf(a, "{\"metadata\":{\"annotations\":{\"%s\":\"%s\"}}}",
                                     annotation, wanted)));
    return 0;
}

/* Each node looks whenever its object changes, at least with every heartbeat. */
static const char *const watches[] = {"Node", NULL};
static const struct reconciler node_ttl = {
    .name = "node-ttl", .kind = "Node", .watches = watches, .reconcile = reconcile};
RECONCILER(node_ttl);
