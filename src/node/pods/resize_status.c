/* In-place changes of resources: what is wanted, and what the status tells. Pure. */
#include "api/rules/pods.h"
#include "base/own.h"
#include "base/times.h"
#include "node/pods/resize.h"
#include "node/pods/resources.h"

struct container_amounts resize_amounts(const struct broker_resources *r) {
    return (struct container_amounts){r->cpu_shares, r->cpu_quota_us, r->memory_limit_bytes};
}

static bool resize_equal(const struct container_amounts *x, const struct container_amounts *y) {
    return x->cpu_shares == y->cpu_shares && x->cpu_quota_us == y->cpu_quota_us &&
           x->memory_bytes == y->memory_bytes;
}

struct container_amounts resize_wanted(const struct container *c, int64_t node_memory_bytes) {
    struct broker_resources r;
    resources_container(c->pod->object, container_spec(c), node_memory_bytes, &r);
    return resize_amounts(&r);
}

bool resize_differs(const struct container *c, int64_t node_memory_bytes) {
    if (c->state != CONTAINER_RUNNING || c->stop != STOP_NONE) return false;
    struct container_amounts want = resize_wanted(c, node_memory_bytes);
    if (c->refused_known && resize_equal(&want, &c->refused)) return false;
    return !c->applied_known || !resize_equal(&want, &c->applied);
}

bool resize_restarts(const struct container *c, const struct container_amounts *wanted) {
    const struct core_v1_container *spec = container_spec(c);
    bool cpu = wanted->cpu_shares != c->applied.cpu_shares ||
               wanted->cpu_quota_us != c->applied.cpu_quota_us;
    bool memory = wanted->memory_bytes != c->applied.memory_bytes;
    if (!c->applied_known) return false;
    for (size_t i = 0; i < spec->resize_policy.n; i++) {
        const struct core_v1_container_resize_policy *p = &spec->resize_policy.v[i];
        if (!str_eq(p->restart_policy, "RestartContainer")) continue;
        if ((cpu && str_eq(p->resource_name, "cpu")) ||
            (memory && str_eq(p->resource_name, "memory")))
            return true;
    }
    return false;
}

void resize_status(struct arena *a, const struct pod *p, struct core_v1_pod_status *s) {
    for (size_t i = 0; i < p->n_containers; i++)
        if (p->containers[i]->resize_busy) s->resize = "InProgress";
    if (!p->resize_pending) return;
    char text[TIME_TEXT_MAX];
    time_format(text, p->resize_since_ns);
    s->resize = p->resize_pending;
    *ARENA_PUSH(a, &s->conditions) =
        (struct core_v1_pod_condition){.type = RESIZE_PENDING,
                                       .status = "True",
                                       .reason = p->resize_pending,
                                       .message = arena_str(a, p->resize_message),
                                       .last_transition_time = arena_str(a, text)};
}

void resize_container_status(struct arena *a, const struct container *c,
                             struct core_v1_container_status *s) {
    const struct core_v1_container_status *old =
        container_status_find(&c->pod->object->status.container_statuses, c->name);
    const struct core_v1_container *spec = container_spec(c);
    bool told = old && old->resources;
    if (c->state != CONTAINER_RUNNING || (!c->resized && !told)) return;
    bool waits = c->resize_busy || c->pod->resize_pending || c->refused_known;
    if (waits && told) {
        s->resources = old->resources;
        s->allocated_resources = old->allocated_resources;
    } else if (!waits) {
        s->resources = arena_copy(a, &spec->resources, sizeof spec->resources);
        s->allocated_resources = spec->resources.requests;
    }
}
