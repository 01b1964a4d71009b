/* NodeResourcesFit: is there enough of everything, and by which strategy does use make a node
 * better or worse. */
#include "base/own.h"
#include "scheduler/plugins/resource_share.h"

struct shape_point {
    int64_t used, score; /* parts per 1000; 0…SCHED_SCORE_MAX */
};
struct fit_args {
    struct str_list ignored, ignored_groups;
    /* The score of one resource by its share of use, 0…1000 and more. */
    int64_t (*strategy)(const struct fit_args *a, int64_t share);
    struct resource_weights resources;
    struct shape_point *shape;
    size_t n_shape;
};

/* ---- filter ---- */

static bool is_ignored(const struct fit_args *a, const char *name) {
    for (size_t i = 0; i < a->ignored.n; i++)
        if (str_eq(a->ignored.v[i], name)) return true;
    for (size_t i = 0; i < a->ignored_groups.n; i++) {
        size_t n = strlen(a->ignored_groups.v[i]);
        if (strncmp(name, a->ignored_groups.v[i], n) == 0 && name[n] == '/') return true;
    }
    return false;
}

/* Says so of every resource; more than the whole node has is for good. */
static bool enough(struct sched_why *why, const char *what, int64_t asked, int64_t offered,
                   int64_t used) {
    if (!asked || asked <= offered - used) return true;
    if (asked > offered) return sched_refuse_for_good(why, "Insufficient %.120s", what);
    return sched_refuse(why, "Insufficient %.120s", what);
}

static bool filter(const struct sched_query *q, const struct sched_node *n, const void *state,
                   struct sched_why *why) {
    const struct fit_args *args = state;
    const struct resources *asks = &q->class->asks;
    bool fits = n->used_pods + 1 <= n->offers.pods || sched_refuse(why, "Too many pods");
    if (!fits && !why) return false;
    fits &= enough(why, "cpu", asks->cpu_milli, n->offers.cpu_milli, n->used_cpu_milli);
    fits &= enough(why, "memory", asks->memory_bytes, n->offers.memory_bytes, n->used_memory_bytes);
    fits &= enough(why, "ephemeral-storage", asks->ephemeral_bytes, n->offers.ephemeral_bytes,
                   n->used_ephemeral_bytes);
    for (size_t i = 0; i < asks->n; i++) {
        if (is_ignored(args, asks->v[i].name)) continue;
        const struct extended *used = map_gets(&n->used_extended, asks->v[i].name);
        fits &= enough(why, asks->v[i].name, asks->v[i].amount,
                       extended_amount(&n->offers, asks->v[i].name), used ? used->amount : 0);
    }
    return fits;
}

/* ---- score ---- */

static int64_t least_allocated(const struct fit_args *a, int64_t share) {
    (void)a;
    return share > SHARE_ALL ? 0 : SHARE_ALL - share;
}

static int64_t most_allocated(const struct fit_args *a, int64_t share) {
    (void)a;
    return MIN_OF(share, SHARE_ALL);
}

/* Straight between the points, level outside of them. */
static int64_t by_shape(const struct fit_args *a, int64_t share) {
    const struct shape_point *p = a->shape;
    size_t i = 0;
    share = MIN_OF(share, SHARE_ALL);
    while (i < a->n_shape && share > p[i].used) i++;
    int64_t score = i == 0 ? p[0].score
                    : i == a->n_shape
                        ? p[i - 1].score
                        : p[i - 1].score + (p[i].score - p[i - 1].score) * (share - p[i - 1].used) /
                                               (p[i].used - p[i - 1].used);
    return score * (SHARE_ALL / SCHED_SCORE_MAX);
}

static int64_t score(const struct sched_query *q, const struct sched_node *n, const void *state) {
    const struct fit_args *a = state;
    int64_t sum = 0, weights = 0;
    for (size_t i = 0; i < a->resources.n; i++) {
        const struct resource_weight *r = &a->resources.v[i];
        int64_t share = resource_share(q, n, r, true);
        if (share == SHARE_NONE_OFFERED) continue;
        sum += r->weight * a->strategy(a, share);
        weights += r->weight;
    }
    return weights ? sum * SCHED_SCORE_MAX / (weights * SHARE_ALL) : 0;
}

/* ---- eight nodes at a time ---- */

static bool in_lanes(const struct sched_query *q, const void *state) {
    const struct fit_args *a = state;
    return !q->class->asks.n && !q->class->asks.ephemeral_bytes && a->strategy != by_shape &&
           resource_lanes_suit(&a->resources);
}

static void filter_lanes(const struct sched_query *q, const void *state, struct sched_lanes *l) {
    double cpu = (double)q->class->asks.cpu_milli, memory = (double)q->class->asks.memory_bytes;
    int32_t any_cpu = !q->class->asks.cpu_milli, any_memory = !q->class->asks.memory_bytes;
    (void)state;
    for (size_t i = 0; i < SCHED_LANES; i++) {
        int32_t fits_cpu = cpu <= l->offers_cpu_milli[i] - l->used_cpu_milli[i];
        int32_t fits_memory = memory <= l->offers_memory_bytes[i] - l->used_memory_bytes[i];
        int32_t fits_pods = l->used_pods[i] < l->offers_pods[i];
        l->fits[i] &= (any_cpu | fits_cpu) & (any_memory | fits_memory) & fits_pods;
    }
}

static void score_lanes(const struct sched_query *q, const void *state, int weight,
                        struct sched_lanes *l) {
    const struct fit_args *a = state;
    const struct pod_class *c = q->class;
    int32_t cpu[SCHED_LANES], memory[SCHED_LANES],
        w[] = {(int32_t)a->resources.v[0].weight, (int32_t)a->resources.v[1].weight};
    bool most = a->strategy == most_allocated;
    double all = (double)(w[0] + w[1]) * SHARE_ALL;
    resource_share_lanes(l->nonzero_cpu_milli, l->offers_cpu_milli, c->nonzero_cpu_milli, cpu);
    resource_share_lanes(l->nonzero_memory_bytes, l->offers_memory_bytes, c->nonzero_memory_bytes,
                         memory);
    for (size_t i = 0; i < SCHED_LANES; i++) {
        int32_t x = MIN_OF(cpu[i], SHARE_ALL), y = MIN_OF(memory[i], SHARE_ALL);
        int32_t sum = w[0] * (most ? x : SHARE_ALL - x) + w[1] * (most ? y : SHARE_ALL - y);
        l->score[i] += weight * (int32_t)(sum * (double)SCHED_SCORE_MAX / all);
    }
}

/* ---- arguments ---- */

static struct str_list copied(struct arena *a, const struct str_list *l) {
    struct str_list ret = {0};
    for (size_t i = 0; i < l->n; i++) *ARENA_PUSH(a, &ret) = arena_str(a, l->v[i]);
    return ret;
}

static bool set_shape(struct arena *a, struct fit_args *ret,
                      const struct kubescheduler_v1_requested_to_capacity_ratio_param *param,
                      struct err *err) {
    static const char where[] = "scoringStrategy.requestedToCapacityRatio.shape";
    size_t n = param ? param->shape.n : 0;
    ret->shape = ARENA_ARRAY(a, struct shape_point, n + 1);
    for (size_t i = 0; i < n; i++) {
        const struct kubescheduler_v1_utilization_shape_point *p = &param->shape.v[i];
        if (i && p->utilization <= param->shape.v[i - 1].utilization) {
            err_field(err, ERR_INVALID, arena_printf(a, "%s[%zu].utilization", where, i),
                      "Invalid value: %d: utilization values must be sorted in increasing order",
                      p->utilization);
            return false;
        }
        ret->shape[ret->n_shape++] = (struct shape_point){(int64_t)p->utilization * SHARE_ALL / 100,
                                                          (int64_t)p->score * SCHED_SCORE_MAX / 10};
    }
    if (!n)
        err_field(err, ERR_INVALID, where, "Required value: at least one point must be specified");
    return n;
}

static const void *configure(struct arena *a, const void *from, struct err *err) {
    const struct kubescheduler_v1_node_resources_fit_args *args = from;
    const struct kubescheduler_v1_scoring_strategy *s = args ? args->scoring_strategy : NULL;
    struct fit_args *ret = ARENA_NEW(a, struct fit_args);
    ret->strategy = least_allocated;
    ret->resources = resource_weights_of(a, s ? &s->resources : NULL);
    if (!args) return ret;
    ret->ignored = copied(a, &args->ignored_resources);
    ret->ignored_groups = copied(a, &args->ignored_resource_groups);
    if (!s) return ret;
    if (str_eq(s->type, "MostAllocated")) ret->strategy = most_allocated;
    if (!str_eq(s->type, "RequestedToCapacityRatio")) return ret;
    ret->strategy = by_shape;
    return set_shape(a, ret, s->requested_to_capacity_ratio, err) ? ret : NULL;
}

static const struct sched_plugin fit = {.name = "NodeResourcesFit",
                                        .order = 60,
                                        .weight = 1,
                                        .reads = SCHED_READS_USE,
                                        .args_type = &kubescheduler_v1_node_resources_fit_args_type,
                                        .configure = configure,
                                        .filter = filter,
                                        .score = score,
                                        .in_lanes = in_lanes,
                                        .filter_lanes = filter_lanes,
                                        .score_lanes = score_lanes};
SCHED_PLUGIN(fit);
