/* What the descheduler looks for. Each strategy names pods; pass_consider() decides. */
#include <stdlib.h>
#include <string.h>

#include "api/rules/node_match.h"
#include "api/rules/pods.h"
#include "api/values/quantity.h"
#include "base/own.h"
#include "base/times.h"
#include "controllers/disruption/descheduler.h"

typedef struct descheduling_v1alpha1_descheduler_strategies strategies;

/* ---- orders ---- */

struct list {
    struct resident **v;
    size_t n;
};

static const char *born(const struct resident *r) {
    return str_or(r->pod->metadata.creation_timestamp, "");
}

/* Who matters least goes first: lower priority, then younger, then by place in the world. */
static int by_loss(const void *x, const void *y) {
    const struct resident *a = *(struct resident *const *)x, *b = *(struct resident *const *)y;
    if (a->priority != b->priority) return a->priority < b->priority ? -1 : 1;
    int d = strcmp(born(b), born(a));
    return d ? d : (a > b) - (a < b);
}

/* By owner, place, then the oldest first. */
static int by_owner(const void *x, const void *y) {
    const struct resident *a = *(struct resident *const *)x, *b = *(struct resident *const *)y;
    int d = strcmp(a->owner, b->owner);
    if (!d) d = (a->place > b->place) - (a->place < b->place);
    if (!d) d = strcmp(born(a), born(b));
    return d ? d : (a > b) - (a < b);
}

static struct list all(struct view *v, bool movable) {
    struct list l = {.v = ARENA_ARRAY(v->a, struct resident *, v->residents.n + 1)};
    for (size_t i = 0; i < v->residents.n; i++) {
        struct resident *r = &v->residents.v[i];
        if (movable ? r->movable : r->owner != NULL) l.v[l.n++] = r;
    }
    return l;
}

/* ---- pods whose node does not suit them any more ---- */

static const struct misfit_rule {
    const char *name, *why;
    unsigned misfit;
} misfit_rules[] = {
    {"nodeTaints", "does not tolerate a taint of its node", MISFIT_TAINT},
    {"nodeAffinity", "its node affinity does not match its node", MISFIT_NODE_AFFINITY},
    {"podAntiAffinity", "anti-affinity keeps it apart from pods near it", MISFIT_ANTI_AFFINITY},
    {"podAffinity", "no pod that its affinity requires is near it", MISFIT_AFFINITY},
    {"topologySpread", "its topology spread is larger than maxSkew", MISFIT_SPREAD},
};

static unsigned misfits_wanted(const strategies *s) {
    return (s->node_taints ? MISFIT_TAINT : 0u) | (s->node_affinity ? MISFIT_NODE_AFFINITY : 0u) |
           (s->pod_anti_affinity ? MISFIT_ANTI_AFFINITY : 0u) |
           (s->pod_affinity ? MISFIT_AFFINITY : 0u) | (s->topology_spread ? MISFIT_SPREAD : 0u);
}

/* NoExecute is the business of taint eviction; what the system says of a node's condition passes,
 * and who cordons a node drains it himself. */
static bool is_tainted(const struct core_v1_pod *pod, const node *n) {
    static const char system[] = "node.kubernetes.io/";
    for (size_t i = 0; i < n->spec.taints.n; i++) {
        const struct core_v1_taint *t = &n->spec.taints.v[i];
        if (str_eq(t->effect, "NoSchedule") &&
            strncmp(str_or(t->key, ""), system, sizeof system - 1) != 0 &&
            !pod_tolerates(&pod->spec, t->key, t->value, t->effect))
            return true;
    }
    return false;
}

/* Whether other pods can mean anything to it. */
static bool heeds_others(const struct view *v, const struct resident *r) {
    const struct core_v1_affinity *a = r->pod->spec.affinity;
    return v->keepers.n || (a && (a->pod_affinity || a->pod_anti_affinity)) ||
           r->pod->spec.topology_spread_constraints.n;
}

static void run_misfits(struct view *v, struct pass *pass, const strategies *s) {
    const unsigned others = MISFIT_ANTI_AFFINITY | MISFIT_AFFINITY | MISFIT_SPREAD;
    unsigned wanted = misfits_wanted(s);
    if (!wanted) return;
    struct list l = all(v, true);
    qsort(l.v, l.n, sizeof *l.v, by_loss);
    for (size_t i = 0; i < l.n; i++) {
        struct resident *r = l.v[i];
        unsigned found = 0;
        struct fit *q = NULL;
        if (is_tainted(r->pod, r->place->object)) found |= MISFIT_TAINT;
        if (!pod_selects_node(&r->pod->spec, r->place->object)) found |= MISFIT_NODE_AFFINITY;
        if (wanted & others && heeds_others(v, r)) {
            q = fit_new(v, r);
            found |= fit_ask(q, r->place) & others;
        }
        for (size_t k = 0; k < ARRAY_LEN(misfit_rules); k++)
            if (found & wanted & misfit_rules[k].misfit) {
                pass_consider(pass, &(struct candidate){.resident = r,
                                                        .strategy = misfit_rules[k].name,
                                                        .why = misfit_rules[k].why,
                                                        .fit = q});
                break;
            }
    }
}

/* ---- pods of one controller on one node ---- */

static size_t count_on(const struct list *owned, const char *owner, const struct place *p) {
    size_t n = 0;
    for (size_t i = 0; i < owned->n; i++)
        n += owned->v[i]->place == p && str_eq(owned->v[i]->owner, owner);
    return n;
}

static bool is_more_even(struct view *v, const struct resident *r, const struct place *to,
                         const void *user) {
    const struct list *owned = user;
    (void)v;
    return count_on(owned, r->owner, to) + 1 < count_on(owned, r->owner, r->place);
}

static void run_duplicates(struct view *v, struct pass *pass, const strategies *s) {
    if (!s->duplicates) return;
    struct list l = all(v, false);
    qsort(l.v, l.n, sizeof *l.v, by_owner);
    for (size_t i = 0, end; i < l.n; i = end) {
        for (end = i; end < l.n && str_eq(l.v[end]->owner, l.v[i]->owner);) end++;
        struct list owned = {.v = l.v + i, .n = end - i};
        for (size_t k = 1; k < owned.n; k++) {
            if (owned.v[k]->place != owned.v[k - 1]->place) continue;
            if (pass_consider(pass, &(struct candidate){.resident = owned.v[k],
                                                        .strategy = "duplicates",
                                                        .why = "shares its node with another pod "
                                                               "of its controller",
                                                        .improves = is_more_even,
                                                        .user = &owned}))
                break; /* one of each controller in a pass */
        }
    }
}

/* ---- pods by their own history ---- */

static int64_t restarts(const struct core_v1_pod *pod, bool init) {
    const struct core_v1_container_status_list *lists[] = {
        &pod->status.container_statuses, init ? &pod->status.init_container_statuses : NULL};
    int64_t n = 0;
    for (size_t k = 0; k < ARRAY_LEN(lists); k++)
        for (size_t i = 0; lists[k] && i < lists[k]->n; i++) n += lists[k]->v[i].restart_count;
    return n;
}

static void run_histories(struct view *v, struct pass *pass, const strategies *s) {
    const struct descheduling_v1alpha1_descheduler_restarts *limit = s->too_many_restarts;
    if (!limit && !s->pod_life_time) return;
    struct list l = all(v, true);
    qsort(l.v, l.n, sizeof *l.v, by_loss);
    for (size_t i = 0; i < l.n; i++) {
        const struct core_v1_pod *pod = l.v[i]->pod;
        struct candidate c = {.resident = l.v[i]};
        int64_t n = restarts(pod, limit && limit->including_init_containers), born_ns;
        if (limit && n >= limit->pod_restart_threshold) {
            c.strategy = "tooManyRestarts";
            c.why = arena_printf(v->a, "its containers have restarted %lld times", (long long)n);
        } else if (s->pod_life_time &&
                   time_parse(str_or(pod->metadata.creation_timestamp, ""), &born_ns) == 0 &&
                   (world_now_ns(v->w) - born_ns) / 1000000000 >
                       s->pod_life_time->max_pod_life_time_seconds) {
            c.strategy = "podLifeTime";
            c.why = arena_printf(v->a, "it is older than %d seconds",
                                 s->pod_life_time->max_pod_life_time_seconds);
        }
        if (c.strategy) pass_consider(pass, &c);
    }
}

/* ---- full and nearly empty nodes ---- */

struct levels { /* per cent by resource; −1: of no matter */
    int64_t low[DESCHEDULER_RESOURCES_MAX], full[DESCHEDULER_RESOURCES_MAX];
    size_t n;
};

static bool is_low(const struct levels *l, const struct place *p) {
    for (size_t i = 0; i < l->n; i++)
        if (l->low[i] >= 0 && place_percent(p, i, 0) >= l->low[i]) return false;
    return p->open;
}

/* By how many per cent it is above the target, at most of all resources; ≤ 0: it is not. */
static int64_t excess(const struct levels *l, const struct place *p) {
    int64_t most = -100;
    for (size_t i = 0; i < l->n; i++)
        if (l->full[i] >= 0) most = MAX_OF(most, place_percent(p, i, 0) - l->full[i]);
    return most;
}

/* A nearly empty place that does not become full by it. */
static bool is_better_used(struct view *v, const struct resident *r, const struct place *to,
                           const void *user) {
    const struct levels *l = user;
    (void)v;
    for (size_t i = 0; i < l->n; i++)
        if (l->full[i] >= 0 && place_percent(to, i, r->asks[i]) > l->full[i]) return false;
    return is_low(l, to);
}

static struct place *fullest(const struct view *v, const struct levels *l, const bool *done) {
    struct place *best = NULL;
    for (size_t i = 0; i < v->places.n; i++) {
        struct place *p = &v->places.v[i];
        if (done[i] || !p->watched || excess(l, p) <= 0) continue;
        if (!best || excess(l, p) > excess(l, best)) best = p;
    }
    return best;
}

static struct levels levels_of(const struct view *v,
                               const struct descheduling_v1alpha1_descheduler_utilization *u) {
    struct levels l = {.n = v->resources.n};
    for (size_t i = 0; i < l.n; i++) {
        const char *low = str_map_get(&u->thresholds, v->resources.v[i]);
        const char *full = str_map_get(&u->target_thresholds, v->resources.v[i]);
        l.low[i] = low ? quantity_value(low) : -1;
        l.full[i] = full ? quantity_value(full) : -1;
    }
    return l;
}

static void run_utilization(struct view *v, struct pass *pass, const strategies *s) {
    if (!s->low_node_utilization) return;
    struct levels levels = levels_of(v, s->low_node_utilization);
    bool *done = ARENA_ARRAY(v->a, bool, v->places.n + 1);
    size_t n_low = 0;
    for (size_t i = 0; i < v->places.n; i++) n_low += is_low(&levels, &v->places.v[i]);
    if (!n_low) return;
    struct list l = all(v, true);
    qsort(l.v, l.n, sizeof *l.v, by_loss);
    for (struct place *p; (p = fullest(v, &levels, done)); done[p->index] = true)
        for (size_t i = 0; i < l.n && excess(&levels, p) > 0; i++)
            if (l.v[i]->place == p)
                pass_consider(pass, &(struct candidate){.resident = l.v[i],
                                                        .strategy = "lowNodeUtilization",
                                                        .why = "its node is full while others are "
                                                               "nearly empty",
                                                        .improves = is_better_used,
                                                        .user = &levels});
}

static void (*const runs[])(struct view *v, struct pass *pass, const strategies *s) = {
    run_misfits, run_duplicates, run_histories, run_utilization};

void strategies_run(struct view *v, struct pass *pass) {
    for (size_t i = 0; i < ARRAY_LEN(runs); i++) runs[i](v, pass, &v->policy->spec.strategies);
}
