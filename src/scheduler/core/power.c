#include "scheduler/core/power.h"

#include "base/own.h"
#include "scheduler/place/profiles.h"

enum { LOOK_MS = 1000 };

bool power_is_down(const struct core_v1_node *node) {
    for (size_t i = 0; i < node->status.conditions.n; i++)
        if (str_eq(node->status.conditions.v[i].type, POWER_CONDITION))
            return str_eq(node->status.conditions.v[i].status, "True");
    return false;
}

bool power_pod_of_node(const struct core_v1_pod *pod) {
    if (str_map_get(&pod->metadata.annotations, "kubernetes.io/config.mirror")) return true;
    for (size_t i = 0; i < pod->metadata.owner_references.n; i++)
        if (str_eq(pod->metadata.owner_references.v[i].kind, "DaemonSet")) return true;
    return false;
}

static const struct power_rules *rules_of(const struct sched_profile *p) {
    for (size_t i = 0; p && i < p->n; i++)
        if (str_eq(p->v[i].plugin->name, "EnergyConsolidation"))
            return p->v[i].filter ? p->v[i].args : NULL;
    return NULL;
}

static bool is_away_taint(const struct core_v1_taint *t) {
    return str_eq(t->key, "node.kubernetes.io/not-ready") ||
           str_eq(t->key, "node.kubernetes.io/unreachable");
}

static bool is_away(const struct sched_node *n) {
    for (size_t i = 0; i < n->object->spec.taints.n; i++)
        if (is_away_taint(&n->object->spec.taints.v[i])) return true;
    return false;
}

static bool is_waking(const struct sched_node *n) {
    return n->woken && !n->power_down && is_away(n);
}

/* Would the node take it if it were on? */
static bool would_fit(struct arena *a, struct sched_query *q, struct sched_node *n) {
    struct core_v1_node *object = n->object, on = *object;
    bool down = n->power_down;
    on.spec.taints = (struct core_v1_taint_list){.n = 0};
    for (size_t i = 0; i < object->spec.taints.n; i++)
        if (!is_away_taint(&object->spec.taints.v[i]))
            *ARENA_PUSH(a, &on.spec.taints) = object->spec.taints.v[i];
    n->object = &on;
    n->power_down = false;
    bool fits = sched_fits(q, n, NULL);
    n->object = object;
    n->power_down = down;
    return fits;
}

static void set_power(struct sched_core *c, struct sched_node *n, bool down) {
    n->power_down = down;
    n->woken = !down;
    n->idle_since_ms = 0;
    snapshot_changed(&c->snapshot, n, true);
    c->acts->power(c->user, n, down);
}

/* One that wakes already before one that sleeps; of these the smallest. */
static struct sched_node *best_sleeper(struct sched_core *c, struct arena *a,
                                       struct sched_query *q) {
    struct sched_node *best = NULL;
    for (size_t i = 0; i < c->snapshot.nodes.n; i++) {
        struct sched_node *n = c->snapshot.nodes.v[i];
        bool waking = is_waking(n);
        if (!waking && (!n->power_down || (best && best->offers.cpu_milli <= n->offers.cpu_milli)))
            continue;
        if (!would_fit(a, q, n)) continue;
        best = n;
        if (waking) break;
    }
    return best;
}

const char *core_wake_for(struct sched_core *c, struct arena *a, const struct core_v1_pod *pod) {
    struct snapshot *s = &c->snapshot;
    const struct power_rules *rules = rules_of(snapshot_profile(s, pod->spec.scheduler_name));
    const struct nominated *m = snapshot_nominated(s, pod->metadata.uid);
    size_t waking = 0;
    if (!rules || !c->acts->power) return NULL;
    if (m && m->node->at != SIZE_MAX && is_waking(m->node))
        return arena_printf(a, "power: node %s is being woken.", m->node->name);
    for (size_t i = 0; i < s->nodes.n; i++) waking += is_waking(s->nodes.v[i]);
    struct sched_node *n = best_sleeper(c, a, sched_query_of(a, s, pod));
    if (!n) return NULL;
    if (n->power_down && waking >= rules->wakes)
        return arena_printf(a, "power: %zu node(s) are being woken already.", waking);
    if (n->power_down) set_power(c, n, false);
    snapshot_nominate(s, pod, n->name);
    return arena_printf(a, "power: node %s is being woken.", n->name);
}

static bool stays_on(const struct sched_node *n) {
    return str_map_get(&n->object->metadata.labels, "node-role.kubernetes.io/control-plane") ||
           n->nominated.n || is_away(n);
}

static bool is_idle(const struct sched_node *n) {
    for (size_t i = 0; i < n->pods.n; i++)
        if (!n->pods.v[i]->of_node) return false;
    return true;
}

static const struct power_rules *rules_in_force(const struct snapshot *s) {
    const struct power_rules *first = NULL;
    for (size_t i = 0; s->profiles && i < s->profiles->n && !first; i++)
        first = rules_of(&s->profiles->v[i]);
    return first;
}

uint64_t core_power(struct sched_core *c, uint64_t now_ms) {
    struct snapshot *s = &c->snapshot;
    const struct power_rules *rules = rules_in_force(s);
    size_t idle = 0;
    if (!rules || !c->acts->power) return UINT64_MAX;
    for (size_t i = 0; i < s->nodes.n; i++) {
        struct sched_node *n = s->nodes.v[i];
        if (n->power_down || stays_on(n) || !is_idle(n)) {
            n->idle_since_ms = 0;
            continue;
        }
        if (!n->idle_since_ms) n->idle_since_ms = MAX_OF(now_ms, 1);
        idle++;
    }
    for (size_t i = 0; i < s->nodes.n && idle > rules->spare; i++) {
        struct sched_node *n = s->nodes.v[i];
        if (!n->idle_since_ms || (int64_t)(now_ms - n->idle_since_ms) < rules->idle_ms) continue;
        set_power(c, n, true);
        idle--;
    }
    return LOOK_MS;
}

void core_power_failed(struct sched_core *c, const char *node) {
    struct sched_node *n = map_gets(&c->snapshot.node_by_name, node);
    if (!n || n->at == SIZE_MAX) return;
    n->power_down = power_is_down(n->object);
    n->woken = false;
    snapshot_changed(&c->snapshot, n, true);
}
