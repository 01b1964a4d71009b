/* A replay decided by the scheduler itself: the trace's nodes and pods as API objects, placed by
 * sched_place with every plugin of the default profile, counted as the service counts them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "scheduler/place/plugin.h"
#include "sim/replay.h"

struct replay_cluster {
    const struct trace *trace;
    struct snapshot snapshot;
    struct arena *a, *scratch;
    struct core_v1_pod **templates; /* by shape; NULL: not met yet */
    uint64_t pods;
};

static void *decoded(struct arena *a, const char *kind, const char *json) {
    struct api_object *o;
    struct err err;
    if (api_object_decode(a, api_kind_by_name("", "v1", kind), slice_of(json), &o, &err) < 0)
        abort();
    return o;
}

/* n0, n1, … by index: names of traces need not be names of nodes. */
static void put_node(struct replay_cluster *c, size_t i) {
    const struct replay_node *n = &c->trace->nodes.v[i];
    OWN(arena_free_p) struct arena *a = arena_new();
    const char *gpus = n->room.n ? arena_printf(a, ",\"nvidia.com/gpu\":\"%u\"", n->room.n) : "";
    snapshot_put_node(
        &c->snapshot,
        decoded(a, "Node",
                arena_printf(a,
                             "{\"metadata\":{\"name\":\"n%zu\",\"labels\":{\"" GPU_MODEL_LABEL
                             "\":\"m%u\"}},\"status\":{\"allocatable\":{\"cpu\":\"%" PRId64
                             "m\",\"memory\":\"%" PRId64 "Mi\",\"pods\":\"100000\"%s}}}",
                             i, n->room.model, n->room.cpu_milli, n->memory_mib, gpus)));
}

struct replay_cluster *replay_cluster_new(const struct trace *t, const uint32_t *order) {
    struct replay_cluster *c = calloc(1, sizeof *c);
    if (!c) abort();
    c->trace = t;
    c->a = arena_new();
    c->scratch = arena_new();
    c->templates = calloc(t->n_shapes, sizeof(struct core_v1_pod *));
    if (!c->templates) abort();
    for (size_t i = 0; i < t->nodes.n; i++) put_node(c, order[i]);
    return c;
}

void replay_cluster_free(struct replay_cluster *c) {
    if (!c) return;
    snapshot_done(&c->snapshot);
    free(c->templates);
    arena_free(c->a);
    arena_free(c->scratch);
    free(c);
}

static const char *affinity(struct arena *a, uint32_t models) {
    char values[GPU_MODELS_MAX * 8] = "";
    size_t n = 0;
    for (unsigned i = 0; i < GPU_MODELS_MAX; i++)
        if (models >> i & 1)
            n += (size_t)snprintf(values + n, sizeof values - n, "%s\"m%u\"", n ? "," : "", i);
    return arena_printf(
        a,
        "\"affinity\":{\"nodeAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":{"
        "\"nodeSelectorTerms\":[{\"matchExpressions\":[{\"key\":\"" GPU_MODEL_LABEL
        "\",\"operator\":\"In\",\"values\":[%s]}]}]}}},",
        values);
}

static struct core_v1_pod *template_make(struct replay_cluster *c, const struct replay_pod *p) {
    const struct gpu_ask *ask = &p->ask;
    const char *gpu =
        gpu_ask_is_share(ask) ? arena_printf(c->a, ",\"" GPU_MILLI_RESOURCE "\":\"%u\"", ask->milli)
        : ask->devices        ? arena_printf(c->a, ",\"nvidia.com/gpu\":\"%u\"", ask->devices)
                              : "";
    return decoded(
        c->a, "Pod",
        arena_printf(
            c->a,
            "{\"metadata\":{\"name\":\"p\",\"namespace\":\"d\"},\"spec\":{%s\"containers\":"
            "[{\"name\":\"c\",\"resources\":{\"requests\":{\"cpu\":\"%" PRId64
            "m\",\"memory\":\"%" PRId64 "Mi\"%s}}}]}}",
            ask->models ? affinity(c->a, ask->models) : "", ask->cpu_milli, p->memory_mib, gpu));
}

int64_t replay_cluster_place(struct replay_cluster *c, const struct replay_pod *p,
                             uint32_t *ret_devices) {
    struct core_v1_pod **template = &c->templates[p->shape];
    if (!*template) *template = template_make(c, p);
    struct core_v1_pod *pod = *template;
    char uid[32];
    snprintf(uid, sizeof uid, "%" PRIu64, c->pods++);
    pod->metadata.uid = uid;
    arena_reset(c->scratch);
    struct sched_result r = sched_place(c->scratch, &c->snapshot, pod);
    if (!r.node) return -1;
    snapshot_add_pod(&c->snapshot, pod, r.node);
    *ret_devices = ((struct sched_pod *)snapshot_pod(&c->snapshot, uid))->gpus;
    return strtoll(r.node + 1, NULL, 10);
}
