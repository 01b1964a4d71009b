#include "scheduler/snapshot/figures.h"

#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "scheduler/snapshot/snapshot.h"

static void make_room(struct snapshot *s) {
    if (s->nodes.n <= s->figures_cap) return;
    size_t cap = MAX_OF(s->figures_cap * 2, MAX_OF(s->nodes.n, (size_t)16));
    struct node_figures *v = aligned_alloc(FIGURES_ALIGN, cap * sizeof *v);
    if (!v) abort();
    if (s->figures_cap) memcpy(v, s->figures, s->figures_cap * sizeof *v);
    memset(v + s->figures_cap, 0, (cap - s->figures_cap) * sizeof *v);
    free(s->figures);
    s->figures = v;
    s->figures_cap = cap;
}

static bool is_plain(const struct sched_node *n) {
    const int64_t amounts[] = {n->offers.cpu_milli,  n->offers.memory_bytes,
                               n->used_cpu_milli,    n->used_memory_bytes,
                               n->nonzero_cpu_milli, n->nonzero_memory_bytes};
    for (size_t i = 0; i < ARRAY_LEN(amounts); i++)
        if (amounts[i] < 0 || amounts[i] > FIGURES_AMOUNT_MAX) return false;
    return n->offers.cpu_milli && n->offers.memory_bytes && n->offers.pods <= INT32_MAX &&
           !n->nominated.n && !n->gpus;
}

void figures_set(struct snapshot *s, const struct sched_node *n) {
    make_room(s);
    s->figures[n->at] =
        (struct node_figures){.offers_cpu_milli = (double)n->offers.cpu_milli,
                              .offers_memory_bytes = (double)n->offers.memory_bytes,
                              .used_cpu_milli = (double)n->used_cpu_milli,
                              .used_memory_bytes = (double)n->used_memory_bytes,
                              .nonzero_cpu_milli = (double)n->nonzero_cpu_milli,
                              .nonzero_memory_bytes = (double)n->nonzero_memory_bytes,
                              .offers_pods = (int32_t)n->offers.pods,
                              .used_pods = (int32_t)n->used_pods,
                              .plain = is_plain(n)};
}

void figures_remove(struct snapshot *s, size_t at) {
    memmove(s->figures + at, s->figures + at + 1, (s->nodes.n - at) * sizeof *s->figures);
}
