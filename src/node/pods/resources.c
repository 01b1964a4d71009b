#include "node/pods/resources.h"

#include "api/values/quantity.h"
#include "base/own.h"
#include "base/slice.h"

enum { SHARES_PER_CPU = 1024, SHARES_MIN = 2, SHARES_MAX = 262144, QUOTA_MIN_US = 1000 };
enum { OOM_GUARANTEED = -997, OOM_BEST_EFFORT = 1000, OOM_BURSTABLE_MIN = 3 };

const char *resources_limit(const struct core_v1_container *c, const char *name) {
    return str_map_get(&c->resources.limits, name);
}

static const char *resources_wanted(const struct core_v1_container *c, const char *name) {
    const char *v = str_map_get(&c->resources.requests, name);
    return v ? v : resources_limit(c, name);
}

/* Quality of service of one container's list; bits: 1 = something is set, 2 = not guaranteed. */
static unsigned qos_bits(const struct core_v1_container_list *l) {
    static const char *const names[] = {"cpu", "memory"};
    unsigned bits = 0;
    for (size_t i = 0; i < l->n; i++) {
        for (size_t j = 0; j < ARRAY_LEN(names); j++) {
            const char *limit = resources_limit(&l->v[i], names[j]);
            const char *want = resources_wanted(&l->v[i], names[j]);
            bool some = quantity_milli(limit) > 0 || quantity_milli(want) > 0;
            if (some) bits |= 1;
            if (quantity_milli(limit) <= 0 || quantity_cmp(limit, want) != 0) bits |= 2;
        }
    }
    return bits;
}

const char *resources_qos(const struct core_v1_pod_spec *s) {
    unsigned bits = qos_bits(&s->containers) | qos_bits(&s->init_containers);
    if (!(bits & 1)) return "BestEffort";
    return bits & 2 ? "Burstable" : "Guaranteed";
}

static int64_t shares(int64_t milli) {
    int64_t s = milli > INT64_MAX / SHARES_PER_CPU ? SHARES_MAX : milli * SHARES_PER_CPU / 1000;
    return MIN_OF(MAX_OF(s, (int64_t)SHARES_MIN), (int64_t)SHARES_MAX);
}

static int64_t quota(int64_t milli) {
    if (milli <= 0 || milli > INT64_MAX / 100) return -1;
    return MAX_OF(milli * 100, (int64_t)QUOTA_MIN_US);
}

static int64_t oom_score(const char *qos, int64_t request_bytes, int64_t node_bytes) {
    if (str_eq(qos, "Guaranteed")) return OOM_GUARANTEED;
    if (str_eq(qos, "BestEffort") || node_bytes <= 0) return OOM_BEST_EFFORT;
    int64_t part = (int64_t)((double)request_bytes * 1000.0 / (double)node_bytes);
    int64_t adj = 1000 - part;
    if (adj < OOM_BURSTABLE_MIN) return OOM_BURSTABLE_MIN;
    return adj == OOM_BEST_EFFORT ? OOM_BEST_EFFORT - 1 : adj;
}

void resources_container(const struct core_v1_pod *p, const struct core_v1_container *c,
                         int64_t node_memory_bytes, struct broker_resources *ret) {
    const char *memory = resources_limit(c, "memory");
    ret->cpu_shares = shares(quantity_milli(resources_wanted(c, "cpu")));
    ret->cpu_quota_us = quota(quantity_milli(resources_limit(c, "cpu")));
    ret->memory_limit_bytes = quantity_value(memory) > 0 ? quantity_value(memory) : -1;
    ret->pids_limit = -1;
    ret->oom_score_adj = oom_score(
        resources_qos(&p->spec), quantity_value(resources_wanted(c, "memory")), node_memory_bytes);
}

/* Sidecars run beside everything that follows; other init containers run alone. */
static int64_t request_of(const struct core_v1_pod_spec *s, const char *name, bool milli) {
    int64_t sum = 0, sidecars = 0, peak = 0;
    for (size_t i = 0; i < s->init_containers.n; i++) {
        const struct core_v1_container *c = &s->init_containers.v[i];
        const char *q = resources_wanted(c, name);
        int64_t v = milli ? quantity_milli(q) : quantity_value(q);
        if (str_eq(c->restart_policy, "Always")) {
            sidecars += v;
            v = 0;
        }
        peak = MAX_OF(peak, sidecars + v);
    }
    for (size_t i = 0; i < s->containers.n; i++) {
        const char *q = resources_wanted(&s->containers.v[i], name);
        sum += milli ? quantity_milli(q) : quantity_value(q);
    }
    const char *extra = str_map_get(&s->overhead, name);
    return MAX_OF(sum + sidecars, peak) + (milli ? quantity_milli(extra) : quantity_value(extra));
}

void resources_request(const struct core_v1_pod *p, struct resources_sum *ret) {
    ret->cpu_milli = request_of(&p->spec, "cpu", true);
    ret->memory_bytes = request_of(&p->spec, "memory", false);
    ret->storage_bytes = request_of(&p->spec, "ephemeral-storage", false);
}

/* Sum of the limits of all containers that run at once; -1 when one has none. */
static int64_t limit_of(const struct core_v1_pod_spec *s, const char *name, bool milli) {
    int64_t sum = 0, peak = 0;
    for (size_t i = 0; i < s->containers.n; i++) {
        const char *q = resources_limit(&s->containers.v[i], name);
        int64_t v = milli ? quantity_milli(q) : quantity_value(q);
        if (v <= 0) return -1;
        sum += v;
    }
    for (size_t i = 0; i < s->init_containers.n; i++) {
        const char *q = resources_limit(&s->init_containers.v[i], name);
        int64_t v = milli ? quantity_milli(q) : quantity_value(q);
        if (v <= 0) return -1;
        if (str_eq(s->init_containers.v[i].restart_policy, "Always"))
            sum += v;
        else
            peak = MAX_OF(peak, v);
    }
    return MAX_OF(sum, peak);
}

void resources_pod(const struct core_v1_pod *p, struct broker_resources *ret) {
    ret->cpu_shares = shares(request_of(&p->spec, "cpu", true));
    ret->cpu_quota_us = quota(limit_of(&p->spec, "cpu", true));
    ret->memory_limit_bytes = limit_of(&p->spec, "memory", false);
    ret->pids_limit = -1;
    ret->oom_score_adj = INT64_MIN;
}
