/* Placement: every filter on every node, then the scores; says why when nothing fits. */
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "scheduler/plugin.h"

extern const struct sched_plugin *const __start_atoll_sched_plugins[];
extern const struct sched_plugin *const __stop_atoll_sched_plugins[];

static int by_order(const void *x, const void *y) {
    const struct sched_plugin *a = *(const struct sched_plugin *const *)x,
                              *b = *(const struct sched_plugin *const *)y;
    return a->order != b->order ? a->order - b->order : strcmp(a->name, b->name);
}

size_t sched_plugins(const struct sched_plugin *ret[SCHED_PLUGINS_MAX]) {
    size_t n = (size_t)(__stop_atoll_sched_plugins - __start_atoll_sched_plugins);
    if (n > SCHED_PLUGINS_MAX) abort();
    memcpy(ret, __start_atoll_sched_plugins, n * sizeof *ret);
    qsort(ret, n, sizeof *ret, by_order);
    return n;
}

struct tally {
    struct {
        struct refusal {
            const char *reason;
            size_t nodes;
        } * v;
        size_t n;
    } list;
};

static void refuse(struct arena *a, struct tally *t, const char *reason) {
    for (size_t i = 0; i < t->list.n; i++)
        if (strcmp(t->list.v[i].reason, reason) == 0) {
            t->list.v[i].nodes++;
            return;
        }
    *ARENA_PUSH(a, &t->list) = (struct refusal){arena_str(a, reason), 1};
}

static int by_reason(const void *x, const void *y) {
    return strcmp(((const struct refusal *)x)->reason, ((const struct refusal *)y)->reason);
}

static const char *explain(struct arena *a, const struct snapshot *s, struct tally *t) {
    OWN(buf_done) struct buf b = {0};
    buf_printf(&b, "0/%zu nodes are available", s->nodes.n);
    if (t->list.n) qsort(t->list.v, t->list.n, sizeof *t->list.v, by_reason);
    for (size_t i = 0; i < t->list.n; i++)
        buf_printf(&b, "%s %zu %s", i ? "," : ":", t->list.v[i].nodes, t->list.v[i].reason);
    buf_char(&b, '.');
    return arena_strn(a, buf_view(&b));
}

static bool fits(const struct sched_plugin *const *plugins, size_t n, const struct sched_query *q,
                 const struct sched_node *node, struct arena *a, struct tally *t) {
    char reason[SCHED_REASON_MAX];
    for (size_t i = 0; i < n; i++) {
        if (!plugins[i]->filter || plugins[i]->filter(q, node, reason)) continue;
        refuse(a, t, reason);
        return false;
    }
    return true;
}

static int64_t score(const struct sched_plugin *const *plugins, size_t n,
                     const struct sched_query *q, const struct sched_node *node) {
    int64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        if (plugins[i]->score) sum += (int64_t)plugins[i]->weight * plugins[i]->score(q, node);
    return sum;
}

struct sched_result sched_place(struct arena *a, const struct snapshot *s,
                                const struct core_v1_pod *pod, size_t *rotor) {
    const struct sched_plugin *plugins[SCHED_PLUGINS_MAX];
    size_t n = sched_plugins(plugins), best_at = 0;
    struct sched_query q = {.pod = pod, .asks = pod_asks(a, pod), .snapshot = s};
    pod_asks_nonzero(pod, &q.nonzero_cpu_milli, &q.nonzero_memory_bytes);
    q.n_ports = pod_host_ports(a, pod, &q.ports);
    struct tally t = {0};
    const struct sched_node *best = NULL;
    int64_t best_score = -1;
    for (size_t i = 0; i < s->nodes.n; i++) {
        size_t at = (*rotor + i) % s->nodes.n;
        const struct sched_node *node = s->nodes.v[at];
        if (!fits(plugins, n, &q, node, a, &t)) continue;
        int64_t sum = score(plugins, n, &q, node);
        if (sum > best_score) best = node, best_score = sum, best_at = at;
    }
    if (!best) return (struct sched_result){.message = explain(a, s, &t)};
    *rotor = best_at + 1;
    return (struct sched_result){.node = arena_str(a, best->name)};
}
