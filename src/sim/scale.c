/*
 * What a decision costs and an object weighs, from small clusters to large ones: the scheduler's
 * placement on its snapshot, and one reconcile of a ReplicaSet on the controllers' world. CPU time
 * of this thread; memory by what malloc has handed out.
 */
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "base/own.h"
#include "client/engine.h"
#include "client/plan.h"
#include "client/world_private.h"
#include "scheduler/place/plugin.h"
#include "sim/check.h"
#include "sim/sim.h"

enum {
    SET_PODS = 100, /* of one ReplicaSet */
    DECISIONS = 2000,
    RECONCILES = 500,
    TURN_RECONCILES = 50, /* then what was looked at is let go, as after a quiet time */
    SPEED_NODES = 1000,
    SPEED_PODS = 5000,
    SPEED_S = 3600,
};

static const struct size {
    unsigned nodes, pods;
} sizes[] = {{100, 1000},    {100, 10000},    {1000, 10000},
             {1000, 100000}, {10000, 100000}, {10000, 1000000}};

static const char pod_json[] =
    "{\"metadata\":{\"name\":\"p\",\"namespace\":\"default\",\"labels\":{\"app\":\"w\"}},\"spec\":{"
    "\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"resources\":{\"requests\":{\"cpu\":\"100m\","
    "\"memory\":\"128Mi\"}}}]},\"status\":{\"phase\":\"Running\",\"podIP\":\"10.1.2.3\","
    "\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\"lastTransitionTime\":"
    "\"2026-01-01T00:00:00Z\"}]}}";

static uint64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* With what is in mappings of their own: large vectors. */
static size_t heap_bytes(void) {
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd + shelves_bytes();
}

static struct api_object *decoded(struct arena *a, const char *kind, const char *json) {
    struct api_object *o;
    struct err err;
    if (api_object_decode(a, api_kind_by_name("", "v1", kind), slice_of(json), &o, &err) < 0)
        abort();
    return o;
}

struct cost {
    double us, bytes_per_pod, bytes_per_node;
};

/* ---- the scheduler ---- */

static void put_nodes(struct snapshot *s, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        OWN(arena_free_p) struct arena *a = arena_new();
        const char *json = arena_printf(
            a,
            "{\"metadata\":{\"name\":\"n%u\",\"labels\":{\"kubernetes.io/hostname\":\"n%u\","
            "\"topology.kubernetes.io/zone\":\"z%u\"}},\"status\":{\"allocatable\":{\"cpu\":\"32\","
            "\"memory\":\"256Gi\",\"pods\":\"250\"}}}",
            i, i, i % 10);
        snapshot_put_node(s, (const void *)decoded(a, "Node", json));
    }
}

static bool place(struct snapshot *s, struct core_v1_pod *p, struct arena *scratch, unsigned i) {
    char uid[48], name[32];
    snprintf(uid, sizeof uid, "%08u-0000-4000-8000-000000000000", i);
    snprintf(name, sizeof name, "web-%08u", i);
    p->metadata.uid = uid;
    p->metadata.name = name;
    struct sched_result r = sched_place(scratch, s, p);
    if (r.node) snapshot_add_pod(s, p, r.node);
    arena_reset(scratch);
    return r.node;
}

/* The pods are placed as they would come; the last ones, on the full cluster, are measured. */
static bool measure_placement(const struct size *z, struct cost *ret) {
    struct snapshot s = {0};
    OWN(arena_free_p) struct arena *a = arena_new(), *scratch = arena_new();
    struct core_v1_pod *p = (void *)decoded(a, "Pod", pod_json);
    unsigned measured = z->pods < 2 * DECISIONS ? z->pods / 2 : DECISIONS;
    p->spec.node_name = NULL;
    size_t empty = heap_bytes();
    put_nodes(&s, z->nodes);
    size_t nodes = heap_bytes();
    bool fits = true;
    for (unsigned i = 0; fits && i < z->pods - measured; i++) fits = place(&s, p, scratch, i);
    uint64_t began = cpu_ns();
    for (unsigned i = z->pods - measured; fits && i < z->pods; i++) fits = place(&s, p, scratch, i);
    ret->us = (double)(cpu_ns() - began) / 1000 / measured;
    ret->bytes_per_pod = (double)(heap_bytes() - nodes) / z->pods;
    ret->bytes_per_node = (double)(nodes - empty) / z->nodes;
    snapshot_done(&s);
    return fits;
}

/* ---- controllers ---- */

static const struct reconciler *find(const struct reconciler **list, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (str_eq(list[i]->name, name)) return list[i];
    return NULL;
}

static void put(struct world *w, const struct api_kind *k, const struct api_object *o) {
    struct cache *c = world_cache(w, k, false);
    cache_pack(c);
    struct cache_old old = cache_put_copy(c, o);
    world_changed(w, k, o, cache_old_object(&old));
    cache_old_free(&old);
}

/* One ReplicaSet of so many pods after the other; each has what it wants. */
static void fill(struct world *w, const struct size *z) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const struct api_kind *pods = api_kind_by_name("", "v1", "Pod"),
                          *sets = api_kind_by_name("apps", "v1", "ReplicaSet");
    struct api_object *pod = decoded(a, "Pod", pod_json);
    bool yes = true;
    struct meta_v1_owner_reference owner = {
        .api_version = "apps/v1", .kind = "ReplicaSet", .controller = &yes};
    pod->metadata.owner_references.v = &owner;
    pod->metadata.owner_references.n = 1;
    int32_t replicas = SET_PODS;
    struct apps_v1_replica_set *set = (void *)api_object_new(a, sets);
    set->metadata.namespace = "default";
    set->spec.replicas = &replicas;
    set->status.replicas = set->status.ready_replicas = set->status.available_replicas =
        set->status.fully_labeled_replicas = replicas;
    for (unsigned i = 0; i < z->pods; i++) {
        char name[32], uid[48], set_name[32], set_uid[48], node[32], app[32];
        unsigned of = i / SET_PODS;
        snprintf(name, sizeof name, "web-%08u", i);
        snprintf(uid, sizeof uid, "%08u-0000-4000-8000-000000000001", i);
        snprintf(set_name, sizeof set_name, "set-%08u", of);
        snprintf(set_uid, sizeof set_uid, "%08u-0000-4000-8000-000000000002", of);
        snprintf(node, sizeof node, "n%u", i % z->nodes);
        snprintf(app, sizeof app, "web-%u", of);
        struct str_pair label = {"app", app};
        struct meta_v1_label_selector selector = {.match_labels = {&label, 1}};
        owner.name = set_name;
        owner.uid = set_uid;
        pod->metadata.labels = (struct str_map){&label, 1};
        pod->metadata.name = name;
        pod->metadata.uid = uid;
        ((struct core_v1_pod *)(void *)pod)->spec.node_name = node;
        if (i % SET_PODS == 0) {
            set->metadata.name = set_name;
            set->metadata.uid = set_uid;
            set->spec.selector = &selector;
            put(w, sets, (const void *)set);
        }
        put(w, pods, pod);
    }
}

static bool measure_reconcile(const struct size *z, struct cost *ret) {
    size_t n;
    OWN(free_p) const struct reconciler **list = reconcilers(&n);
    const struct reconciler *r = find(list, n, "replicaset");
    struct world *w = world_new();
    struct err err;
    size_t empty = heap_bytes();
    bool well = r;
    world_set_now(w, 1767225600000000000);
    fill(w, z);
    ret->bytes_per_pod = (double)(heap_bytes() - empty) / z->pods;
    unsigned sets = z->pods / SET_PODS;
    uint64_t began = cpu_ns();
    for (unsigned i = 0; well && i < RECONCILES; i++) {
        char key[48];
        snprintf(key, sizeof key, "default/set-%08u", (i * 7919) % sets);
        if (i % TURN_RECONCILES == 0) world_cool(w, true);
        OWN(plan_free_p) struct plan *p = plan_new();
        well = r->reconcile(w, key, p, &err) == 0 && plan_count_of(p, PLAN_CREATE, NULL) == 0 &&
               plan_count_of(p, PLAN_DELETE, NULL) == 0;
    }
    ret->us = (double)(cpu_ns() - began) / 1000 / RECONCILES;
    world_free(w);
    return well;
}

/* ---- all of it ---- */

int sim_scale(const struct sim_options *o) {
    struct sim_speed speed;
    log_setup("sim", LOG_LEVEL_ERROR);
    (void)o;
    printf("{\"sizes\":[");
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct cost placement, reconcile;
        if (!measure_placement(&sizes[i], &placement) ||
            !measure_reconcile(&sizes[i], &reconcile)) {
            fprintf(stderr, "atoll sim: %u pods on %u nodes: a decision went wrong\n",
                    sizes[i].pods, sizes[i].nodes);
            return 1;
        }
        malloc_trim(0);
        printf("%s\n{\"nodes\":%u,\"pods\":%u,\"placement_us\":%.2f,\"scheduler_pod_bytes\":%.0f,"
               "\"scheduler_node_bytes\":%.0f,\"reconcile_us\":%.2f,\"world_pod_bytes\":%.0f}",
               i ? "," : "", sizes[i].nodes, sizes[i].pods, placement.us, placement.bytes_per_pod,
               placement.bytes_per_node, reconcile.us, reconcile.bytes_per_pod);
        fflush(stdout);
    }
    OWN(free_p) char *wrong = run_speed(SPEED_NODES, SPEED_PODS, SPEED_S, &speed);
    if (wrong) {
        fprintf(stderr, "atoll sim: %s\n", wrong);
        return 1;
    }
    printf("],\n\"speed\":{\"nodes\":%d,\"pods\":%zu,\"virtual_s\":%.0f,\"cpu_s\":%.3f,"
           "\"factor\":%.0f,\"events\":%" PRIu64 ",\"writes\":%" PRIu64 "}}\n",
           SPEED_NODES, speed.running, (double)speed.virtual_us / 1e6, (double)speed.cpu_ns / 1e9,
           (double)speed.virtual_us * 1000 / (double)speed.cpu_ns, speed.events, speed.writes);
    return 0;
}
