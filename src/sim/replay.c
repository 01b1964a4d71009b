/* The run and its report. What a score says of a node is kept by shape of pods until the node
 * changes; the best is the root of a tournament tree, as in scheduler/place/cache.c. */
#include "sim/replay.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/own.h"
#include "sim/sim.h"

static const double inflate_to = 1.3;
enum { PERCENT_MAX = 200, SEEDS_MAX = 1000, FIRST_SEED = 42, SEEDS = 10 };

static uint64_t replay_random(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint32_t replay_random_below(uint64_t *state, uint32_t n) {
    return (uint32_t)(((unsigned __int128)replay_random(state) * n) >> 64);
}

struct shape_cache {
    size_t seen; /* of the log */
    bool built;
    uint64_t *tree;    /* score above rank; 0: does not fit */
    uint32_t *devices; /* by node */
};

struct run {
    struct replay r;
    const struct trace *trace;
    const struct replay_mode *mode;
    struct shape_cache *shapes;
    struct replay_cluster *cluster;
    size_t width;
    uint32_t *by_rank;
    uint32_t *mark; /* by node: the last look at it */
    uint32_t look;
    VEC(uint32_t) log; /* nodes that changed */
    VEC(uint32_t) order;
    int64_t arrived_milli, used_milli;
    size_t failed;
    double sum[PERCENT_MAX];
    size_t count[PERCENT_MAX];
};

/* ---- order of pods and ties ---- */

static void set_order(struct run *run) {
    const struct trace *t = run->trace;
    int64_t sum = 0;
    for (uint32_t i = 0; i < t->pods.n; i++) vec_push(&run->order, i);
    for (uint32_t i = (uint32_t)t->pods.n; i-- > 1;) {
        uint32_t j = replay_random_below(&run->r.random, i + 1), swap = run->order.v[i];
        run->order.v[i] = run->order.v[j];
        run->order.v[j] = swap;
    }
    for (size_t i = 0; i < t->pods.n; i++)
        sum += (int64_t)t->pods.v[i].ask.devices * t->pods.v[i].ask.milli;
    if (!sum) return;
    while ((double)sum < inflate_to * (double)t->gpu_milli) {
        uint32_t i = replay_random_below(&run->r.random, (uint32_t)t->pods.n);
        vec_push(&run->order, i);
        sum += (int64_t)t->pods.v[i].ask.devices * t->pods.v[i].ask.milli;
    }
}

static int by_key(const void *x, const void *y) {
    const uint64_t *a = x, *b = y;
    return a[0] < b[0] ? -1 : a[0] > b[0];
}

/* As if names had random prefixes. */
static void set_ranks(struct run *run) {
    uint64_t(*keys)[2] = calloc(run->r.n_nodes, sizeof *keys);
    run->by_rank = calloc(run->r.n_nodes, sizeof *run->by_rank);
    if (!keys || !run->by_rank) abort();
    for (size_t i = 0; i < run->r.n_nodes; i++) {
        keys[i][0] = replay_random(&run->r.random);
        keys[i][1] = i;
    }
    qsort(keys, run->r.n_nodes, sizeof *keys, by_key);
    for (uint32_t i = 0; i < run->r.n_nodes; i++) {
        run->by_rank[i] = (uint32_t)keys[i][1];
        run->r.nodes[keys[i][1]].rank = i;
    }
    free(keys);
}

/* ---- the best node ---- */

static bool fits(const struct replay_node *n, const struct replay_pod *p) {
    return n->memory_mib >= p->memory_mib && gpu_fits(&n->room, &p->ask);
}

static uint64_t leaf(struct run *run, struct shape_cache *c, const struct replay_pod *p, size_t i) {
    struct replay_node *n = &run->r.nodes[i];
    if (!fits(n, p)) return 0;
    int64_t score = run->mode->score(&run->r, n, p, &c->devices[i]);
    return (uint64_t)(score + 1) << 32 | (UINT32_MAX - n->rank);
}

static void build(struct run *run, struct shape_cache *c, const struct replay_pod *p) {
    if (!c->tree) {
        c->tree = calloc(2 * run->width, sizeof *c->tree);
        c->devices = calloc(run->r.n_nodes, sizeof *c->devices);
        if (!c->tree || !c->devices) abort();
    }
    for (size_t i = 0; i < run->r.n_nodes; i++) c->tree[run->width + i] = leaf(run, c, p, i);
    for (size_t i = run->width - 1; i; i--) c->tree[i] = MAX_OF(c->tree[2 * i], c->tree[2 * i + 1]);
    c->built = true;
}

static void refresh(struct run *run, struct shape_cache *c, const struct replay_pod *p, size_t at) {
    size_t i = run->width + at;
    c->tree[i] = leaf(run, c, p, at);
    for (i /= 2; i; i /= 2) {
        uint64_t best = MAX_OF(c->tree[2 * i], c->tree[2 * i + 1]);
        if (c->tree[i] == best) break;
        c->tree[i] = best;
    }
}

static int64_t best_node(struct run *run, const struct replay_pod *p, uint32_t *ret_devices) {
    struct shape_cache *c = &run->shapes[p->shape];
    if (!c->built || run->log.n - c->seen > run->r.n_nodes) {
        build(run, c, p);
        c->seen = run->log.n;
    }
    run->look++;
    for (; c->seen < run->log.n; c->seen++) {
        uint32_t at = run->log.v[c->seen];
        if (run->mark[at] == run->look) continue;
        run->mark[at] = run->look;
        refresh(run, c, p, at);
    }
    if (!c->tree[1]) return -1;
    uint32_t at = run->by_rank[UINT32_MAX - (uint32_t)c->tree[1]];
    *ret_devices = c->devices[at];
    return at;
}

static int64_t any_node(struct run *run, const struct replay_pod *p, uint32_t *ret_devices) {
    int64_t chosen = -1;
    uint32_t n = 0;
    for (size_t i = 0; i < run->r.n_nodes; i++)
        if (fits(&run->r.nodes[i], p) && !replay_random_below(&run->r.random, ++n))
            chosen = (int64_t)i;
    if (chosen < 0) return -1;
    const struct gpu_room *room = &run->r.nodes[chosen].room;
    *ret_devices = gpu_whole_devices(room, &p->ask);
    n = 0;
    for (unsigned i = 0; gpu_ask_is_share(&p->ask) && i < room->n; i++)
        if (room->idle[i] >= p->ask.milli && !replay_random_below(&run->r.random, ++n))
            *ret_devices = 1u << i;
    return chosen;
}

/* ---- a run ---- */

static void learn(struct run *run, const struct replay_pod *p) {
    gpu_demand_add(run->r.demand, &p->ask);
    if (!gpu_demand_settle(run->r.demand, false)) return;
    for (size_t i = 0; i < run->r.n_nodes; i++) run->r.nodes[i].room.usable = -1;
    for (size_t i = 0; i < run->trace->n_shapes; i++) run->shapes[i].built = false;
}

static int64_t decide(struct run *run, const struct replay_pod *p, uint32_t *ret_devices) {
    if (run->cluster) return replay_cluster_place(run->cluster, p, ret_devices);
    if (run->mode->learns) learn(run, p);
    return run->mode->score ? best_node(run, p, ret_devices) : any_node(run, p, ret_devices);
}

static void arrive(struct run *run, const struct replay_pod *p) {
    uint32_t devices = 0;
    int64_t milli = (int64_t)p->ask.devices * p->ask.milli;
    int64_t at = decide(run, p, &devices);
    run->arrived_milli += milli;
    if (at >= 0) {
        struct replay_node *n = &run->r.nodes[at];
        gpu_take(&n->room, &p->ask, devices, 1);
        n->memory_mib -= p->memory_mib;
        if (p->ask.devices) n->groups[replay_group(&p->ask)]++;
        run->used_milli += milli;
        vec_push(&run->log, (uint32_t)at);
    } else
        run->failed++;
    double all = (double)run->trace->gpu_milli;
    long percent = lround(100 * (double)run->arrived_milli / all);
    if (percent >= PERCENT_MAX) return;
    run->sum[percent] += 100 * (double)run->used_milli / all;
    run->count[percent]++;
}

static void run_begin(struct run *run, const struct trace *t, const struct replay_mode *mode,
                      uint64_t seed) {
    *run = (struct run){.trace = t, .mode = mode, .width = 1};
    run->r.n_nodes = t->nodes.n;
    run->r.random = seed;
    while (run->width < t->nodes.n) run->width *= 2;
    run->r.nodes = calloc(t->nodes.n, sizeof *run->r.nodes);
    run->r.demand = calloc(1, sizeof *run->r.demand);
    run->mark = calloc(t->nodes.n, sizeof *run->mark);
    run->shapes = calloc(t->n_shapes, sizeof *run->shapes);
    if (!run->r.nodes || !run->r.demand || !run->mark || !run->shapes) abort();
    memcpy(run->r.nodes, t->nodes.v, t->nodes.n * sizeof *t->nodes.v);
    set_order(run);
    set_ranks(run);
    if (mode->cluster) run->cluster = replay_cluster_new(t, run->by_rank);
    for (size_t i = 0; !mode->learns && i < t->pods.n; i++)
        gpu_demand_add(run->r.demand, &t->pods.v[i].ask);
    gpu_demand_settle(run->r.demand, true);
}

static void run_done(struct run *run) {
    replay_cluster_free(run->cluster);
    for (size_t i = 0; i < run->trace->n_shapes; i++) {
        free(run->shapes[i].tree);
        free(run->shapes[i].devices);
    }
    free(run->shapes);
    free(run->r.nodes);
    free(run->r.demand);
    free(run->mark);
    free(run->by_rank);
    vec_done(&run->log);
    vec_done(&run->order);
}

/* ---- report ---- */

struct curve {
    double sum[PERCENT_MAX], squares[PERCENT_MAX], seconds;
    size_t count[PERCENT_MAX], pods;
};

static void replay_seed(const struct trace *t, const struct replay_mode *mode, uint64_t seed,
                        struct curve *curve) {
    struct run run;
    run_begin(&run, t, mode, seed);
    clock_t began = clock();
    for (size_t i = 0; i < run.order.n; i++) arrive(&run, &t->pods.v[run.order.v[i]]);
    curve->seconds += (double)(clock() - began) / CLOCKS_PER_SEC;
    curve->pods += run.order.n;
    for (int i = 0; i < PERCENT_MAX; i++) {
        if (!run.count[i]) continue;
        double mean = run.sum[i] / (double)run.count[i];
        curve->sum[i] += mean;
        curve->squares[i] += mean * mean;
        curve->count[i]++;
    }
    run_done(&run);
}

static void report(const struct replay_mode *mode, const struct curve *c) {
    printf("# %s: %s; %.0f pods/s of CPU\n", mode->name, mode->rule, (double)c->pods / c->seconds);
    for (int i = 50; i <= 130; i += 10) {
        if (!c->count[i]) continue;
        double n = (double)c->count[i], mean = c->sum[i] / n;
        double variance = MAX_OF(c->squares[i] / n - mean * mean, 0.0);
        printf("%s,%d,%.3f,%.3f,%zu\n", mode->name, i, mean, sqrt(variance), c->count[i]);
    }
    fflush(stdout);
}

static bool is_mode(const char *wanted) {
    bool any = !strcmp(wanted, "all");
    for (const struct replay_mode *m = replay_modes; m->name; m++) any |= !strcmp(wanted, m->name);
    return any;
}

static int no_mode(const char *wanted, struct err *err) {
    OWN(buf_done) struct buf names = {0};
    for (const struct replay_mode *m = replay_modes; m->name; m++)
        buf_printf(&names, "%s, ", m->name);
    return err_field(err, ERR_INVALID, "--mode", "no mode is called \"%.40s\"; there are %sall",
                     wanted, names.p);
}

int sim_replay(const struct sim_options *o, struct err *err) {
    struct trace t = {0};
    uint64_t first = o->seed ? o->seed : FIRST_SEED, seeds = o->seeds ? o->seeds : SEEDS;
    const char *wanted = o->mode ? o->mode : "atoll";
    if (!is_mode(wanted)) return no_mode(wanted, err);
    if (seeds > SEEDS_MAX)
        return err_field(err, ERR_INVALID, "--plans", "at most %d seeds", SEEDS_MAX);
    int rc = trace_load(&t, o->nodes_csv, o->pods_csv, err);
    if (!rc)
        printf(
            "# %zu nodes, %lld milli-GPU; %zu pods of %u shapes; seeds %llu to %llu\n"
            "# pods by name, shuffled by splitmix64 (Fisher-Yates from the end), then samples to "
            "%.0f %%; ties to the node that comes first in another shuffle\n"
            "policy,arrived_pct,mean,std,n\n",
            t.nodes.n, (long long)t.gpu_milli, t.pods.n, t.n_shapes, (unsigned long long)first,
            (unsigned long long)(first + seeds - 1), inflate_to * 100);
    for (const struct replay_mode *m = replay_modes; !rc && m->name; m++) {
        struct curve curve = {.pods = 0};
        if (strcmp(wanted, "all") != 0 && strcmp(wanted, m->name) != 0) continue;
        for (uint64_t i = 0; i < seeds; i++) replay_seed(&t, m, first + i, &curve);
        report(m, &curve);
    }
    trace_done(&t);
    return rc;
}
