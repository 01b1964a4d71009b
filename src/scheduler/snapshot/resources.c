#include "scheduler/snapshot/resources.h"

#include <string.h>

#include "api/rules/pods.h"
#include "api/values/quantity.h"
#include "base/own.h"
#include "scheduler/gpu/gpu_nodes.h"

enum { DEFAULT_CPU_MILLI = 100 };
static const int64_t default_memory_bytes = 200LL << 20;

static int64_t amount(const struct str_map *m, const char *name) {
    const char *q = str_map_get(m, name);
    if (!q) return 0;
    return strcmp(name, "cpu") == 0 ? quantity_milli(q) : quantity_value(q);
}

static int64_t add(int64_t x, int64_t y) {
    int64_t sum;
    return __builtin_add_overflow(x, y, &sum) ? INT64_MAX : sum;
}

static bool is_plain(const char *name) {
    static const char *const plain[] = {"cpu", "memory", "ephemeral-storage", "pods"};
    for (size_t i = 0; i < ARRAY_LEN(plain); i++)
        if (strcmp(plain[i], name) == 0) return true;
    return false;
}

static void extend(struct arena *a, struct resources *r, const struct core_v1_pod *pod,
                   const struct str_map *names) {
    for (size_t i = 0; i < names->n; i++) {
        const char *name = names->v[i].key;
        bool known = is_plain(name);
        for (size_t j = 0; j < r->n && !known; j++) known = strcmp(r->v[j].name, name) == 0;
        if (!known) *ARENA_PUSH(a, r) = (struct extended){name, pod_request_of(&pod->spec, name)};
    }
}

struct resources pod_asks(struct arena *a, const struct core_v1_pod *pod) {
    struct pod_resources plain = pod_requests(&pod->spec);
    struct resources r = {.cpu_milli = plain.cpu_milli,
                          .memory_bytes = plain.memory_bytes,
                          .ephemeral_bytes = plain.ephemeral_storage_bytes,
                          .pods = 1};
    for (size_t i = 0; i < pod->spec.containers.n; i++)
        extend(a, &r, pod, &pod->spec.containers.v[i].resources.requests);
    for (size_t i = 0; i < pod->spec.init_containers.n; i++)
        extend(a, &r, pod, &pod->spec.init_containers.v[i].resources.requests);
    if (pod->spec.resources) extend(a, &r, pod, &pod->spec.resources->requests);
    return r;
}

/* As pod_requests counts, with what a container has that asks for none of it. */
static int64_t nonzero(const struct core_v1_pod_spec *spec, const char *name, int64_t otherwise) {
    int64_t running = 0, sidecars = 0, step = 0;
    if (spec->resources && str_map_get(&spec->resources->requests, name))
        return add(amount(&spec->resources->requests, name), amount(&spec->overhead, name));
    for (size_t i = 0; i < spec->containers.n; i++) {
        const struct str_map *m = &spec->containers.v[i].resources.requests;
        running = add(running, str_map_get(m, name) ? amount(m, name) : otherwise);
    }
    for (size_t i = 0; i < spec->init_containers.n; i++) {
        const struct str_map *m = &spec->init_containers.v[i].resources.requests;
        int64_t one = add(sidecars, str_map_get(m, name) ? amount(m, name) : otherwise);
        if (container_is_sidecar(&spec->init_containers.v[i])) sidecars = one;
        step = MAX_OF(step, one);
    }
    return add(MAX_OF(add(running, sidecars), step), amount(&spec->overhead, name));
}

void pod_asks_nonzero(const struct core_v1_pod *pod, int64_t *ret_cpu_milli,
                      int64_t *ret_memory_bytes) {
    *ret_cpu_milli = nonzero(&pod->spec, "cpu", DEFAULT_CPU_MILLI);
    *ret_memory_bytes = nonzero(&pod->spec, "memory", default_memory_bytes);
}

struct resources resources_of(struct arena *a, const struct str_map *m) {
    struct resources r = {.cpu_milli = amount(m, "cpu"),
                          .memory_bytes = amount(m, "memory"),
                          .ephemeral_bytes = amount(m, "ephemeral-storage"),
                          .pods = amount(m, "pods")};
    for (size_t i = 0; i < m->n; i++)
        if (!is_plain(m->v[i].key))
            *ARENA_PUSH(a, &r) =
                (struct extended){arena_str(a, m->v[i].key), quantity_value(m->v[i].value)};
    return r;
}

/* What of the granted is more than asked; false: nothing. requests is changed only then. */
static bool raise(struct arena *a, struct str_map *requests, const struct str_map *granted) {
    struct str_map more = {0};
    for (size_t i = 0; i < granted->n; i++) {
        const char *asked = str_or(str_map_get(requests, granted->v[i].key), "0");
        if (quantity_cmp(granted->v[i].value, asked) > 0) *ARENA_PUSH(a, &more) = granted->v[i];
    }
    if (more.n) str_map_merge(a, requests, &more);
    return more.n > 0;
}

const struct core_v1_pod *pod_as_granted(struct arena *a, const struct core_v1_pod *pod) {
    const struct core_v1_container_list *asked = &pod->spec.containers;
    struct core_v1_container *own = NULL;
    for (size_t i = 0; i < asked->n; i++) {
        const struct core_v1_container_status *s =
            container_status_find(&pod->status.container_statuses, asked->v[i].name);
        struct str_map requests = asked->v[i].resources.requests;
        if (!s || !s->allocated_resources.n || !raise(a, &requests, &s->allocated_resources))
            continue;
        if (!own) {
            own = ARENA_ARRAY(a, struct core_v1_container, asked->n);
            memcpy(own, asked->v, asked->n * sizeof *own);
        }
        own[i].resources.requests = requests;
    }
    if (!own) return pod;
    struct core_v1_pod *ret = ARENA_NEW(a, struct core_v1_pod);
    *ret = *pod;
    ret->spec.containers.v = own;
    return ret;
}

struct resources node_offers(struct arena *a, const struct core_v1_node *node) {
    struct resources r = resources_of(a, &node->status.allocatable);
    unsigned devices = gpu_devices_of(&r);
    if (devices && !extended_amount(&r, GPU_MILLI_RESOURCE))
        *ARENA_PUSH(a, &r) = (struct extended){GPU_MILLI_RESOURCE, (int64_t)devices * GPU_WHOLE};
    return r;
}

int64_t extended_amount(const struct resources *r, const char *name) {
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->v[i].name, name) == 0) return r->v[i].amount;
    return 0;
}
