#include "scheduler/plugins/resource_share.h"

#include "base/own.h"

static enum resource_sort sort_of(const char *name) {
    static const char *const plain[] = {"cpu", "memory", "ephemeral-storage"};
    for (size_t i = 0; i < ARRAY_LEN(plain); i++)
        if (str_eq(name, plain[i])) return (enum resource_sort)i;
    return RESOURCE_EXTENDED;
}

struct resource_weights resource_weights_of(struct arena *a,
                                            const struct kubescheduler_v1_resource_spec_list *l) {
    static const struct resource_weight usual[] = {{"cpu", RESOURCE_CPU, 1},
                                                   {"memory", RESOURCE_MEMORY, 1}};
    if (!l || !l->n) return (struct resource_weights){usual, ARRAY_LEN(usual)};
    struct resource_weight *v = ARENA_ARRAY(a, struct resource_weight, l->n);
    for (size_t i = 0; i < l->n; i++)
        v[i] = (struct resource_weight){arena_str(a, l->v[i].name), sort_of(l->v[i].name),
                                        MAX_OF(l->v[i].weight, 1)};
    return (struct resource_weights){v, l->n};
}

static int64_t share(int64_t used, int64_t offered) {
    if (used <= 0) return 0;
    if (used <= INT64_MAX / SHARE_ALL) return used * SHARE_ALL / offered;
    __int128 parts = (__int128)used * SHARE_ALL / offered;
    return parts > INT64_MAX ? INT64_MAX : (int64_t)parts;
}

static int64_t share_of_extended(const struct sched_query *q, const struct sched_node *n,
                                 const char *name) {
    int64_t asked = extended_amount(&q->class->asks, name);
    int64_t offered = extended_amount(&n->offers, name);
    if (!asked || offered <= 0) return SHARE_NONE_OFFERED;
    const struct extended *used = map_gets(&n->used_extended, name);
    return share(asked + (used ? used->amount : 0), offered);
}

int64_t resource_share(const struct sched_query *q, const struct sched_node *n,
                       const struct resource_weight *r, bool nonzero) {
    const struct pod_class *c = q->class;
    int64_t used, offered;
    switch (r->sort) {
    case RESOURCE_CPU:
        used = nonzero ? n->nonzero_cpu_milli + c->nonzero_cpu_milli
                       : n->used_cpu_milli + c->asks.cpu_milli;
        offered = n->offers.cpu_milli;
        break;
    case RESOURCE_MEMORY:
        used = nonzero ? n->nonzero_memory_bytes + c->nonzero_memory_bytes
                       : n->used_memory_bytes + c->asks.memory_bytes;
        offered = n->offers.memory_bytes;
        break;
    case RESOURCE_EPHEMERAL:
        used = n->used_ephemeral_bytes + c->asks.ephemeral_bytes;
        offered = n->offers.ephemeral_bytes;
        break;
    default: return share_of_extended(q, n, r->name);
    }
    return offered > 0 ? share(used, offered) : SHARE_NONE_OFFERED;
}

bool resource_lanes_suit(const struct resource_weights *w) {
    enum { WEIGHT_MAX = 1000 };
    return w->n == 2 && w->v[0].sort == RESOURCE_CPU && w->v[1].sort == RESOURCE_MEMORY &&
           w->v[0].weight <= WEIGHT_MAX && w->v[1].weight <= WEIGHT_MAX;
}
