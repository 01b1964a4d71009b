/* Placements per second in process, over nodes that are only objects: `bench_place [nodes [pods]]`.
 * Prints one line per kind of pod; each pod is decided by sched_place and then counted. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/own.h"
#include "scheduler/plugin.h"

static const char basic[] =
    "{\"metadata\":{\"name\":\"p\",\"namespace\":\"d\",\"labels\":{\"app\":\"w\"}},\"spec\":{"
    "\"containers\":[{\"name\":\"c\",\"resources\":{\"requests\":{\"cpu\":\"100m\","
    "\"memory\":\"128Mi\"}}}]}}";
#define BETWEEN(kind, key)                                                                         \
    "{\"metadata\":{\"name\":\"p\",\"namespace\":\"d\",\"labels\":{\"app\":\"w\"}},\"spec\":{"     \
    "\"affinity\":{\"" kind "\":{\"requiredDuringSchedulingIgnoredDuringExecution\":["             \
    "{\"topologyKey\":\"" key "\",\"labelSelector\":{\"matchLabels\":{\"app\":\"w\"}}}]}},"        \
    "\"containers\":[{\"name\":\"c\",\"resources\":{\"requests\":{\"cpu\":\"10m\"}}}]}}"

static void *decoded(struct arena *a, const char *kind, const char *json) {
    struct api_object *o;
    struct err err;
    if (api_object_decode(a, api_kind_by_name("", "v1", kind), slice_of(json), &o, &err) < 0)
        abort();
    return o;
}

static void put_nodes(struct snapshot *s, int n) {
    for (int i = 0; i < n; i++) {
        OWN(arena_free_p) struct arena *a = arena_new();
        snapshot_put_node(
            s, decoded(a, "Node",
                       arena_printf(a,
                                    "{\"metadata\":{\"name\":\"n%d\",\"labels\":{\"zone\":\"z%d\","
                                    "\"host\":\"n%d\"}},\"status\":{\"allocatable\":{\"cpu\":"
                                    "\"32\",\"memory\":\"256Gi\",\"pods\":\"110\"}}}",
                                    i, i % 10, i)));
    }
}

static void measure(const char *what, const char *json, int nodes, int pods) {
    struct snapshot s = {0};
    OWN(arena_free_p) struct arena *a = arena_new(), *scratch = arena_new();
    struct core_v1_pod *p = decoded(a, "Pod", json);
    char uid[48];
    int placed = 0;
    put_nodes(&s, nodes);
    uint64_t began = clock_span_ns();
    for (int i = 0; i < pods; i++) {
        snprintf(uid, sizeof uid, "uid-%08d-0000-0000-0000-000000000000", i);
        p->metadata.uid = uid;
        arena_reset(scratch);
        struct sched_result r = sched_place(scratch, &s, p);
        if (!r.node) break;
        snapshot_add_pod(&s, p, r.node);
        placed++;
    }
    double seconds = (double)(clock_span_ns() - began) / 1e9;
    printf("place_%s nodes=%d placed=%d per_second=%.0f\n", what, nodes, placed, placed / seconds);
    snapshot_done(&s);
}

int main(int argc, char **argv) {
    int nodes = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 5000;
    int pods = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 20000;
    if (nodes < 1 || pods < 1) return 2;
    measure("basic", basic, nodes, pods);
    measure("pod_affinity", BETWEEN("podAffinity", "zone"), nodes, MIN_OF(pods, nodes * 10));
    measure("pod_anti_affinity", BETWEEN("podAntiAffinity", "host"), nodes, MIN_OF(pods, nodes));
    return 0;
}
