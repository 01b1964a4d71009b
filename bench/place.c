/* Placements per second of processor time, over nodes that are only objects: `bench_place [nodes
 * [pods [kind]]]`. Prints one line per kind of pod; each pod is decided by sched_place and then
 * counted. The pods of a kind are all alike first (the best case: one cache serves all), then, in
 * the lines
 * `_mixed`, of 100 templates with requests and labels of their own, in no order, on nodes of three
 * sizes. The last lines are preemption: a full cluster, and as many pods as nodes that each push
 * out three others. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/own.h"
#include "scheduler/core/core.h"
#include "scheduler/place/plugin.h"

/* %1$d: which template, %2$d: milli-CPU, %3$d: MiB */
#define POD(extra)                                                                                 \
    "{\"metadata\":{\"name\":\"p\",\"namespace\":\"d\",\"labels\":{\"app\":\"w%1$d\"}},\"spec\":"  \
    "{" extra "\"containers\":[{\"name\":\"c\",\"resources\":{\"requests\":{\"cpu\":\"%2$dm\","    \
    "\"memory\":\"%3$dMi\"}}}]}}"
#define BETWEEN(kind, key)                                                                         \
    "\"affinity\":{\"" kind "\":{\"requiredDuringSchedulingIgnoredDuringExecution\":["             \
    "{\"topologyKey\":\"" key "\",\"labelSelector\":{\"matchLabels\":{\"app\":\"w%1$d\"}}}]}},"
#define IN_ZONES                                                                                   \
    "\"affinity\":{\"nodeAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":{"         \
    "\"nodeSelectorTerms\":[{\"matchExpressions\":[{\"key\":\"zone\",\"operator\":\"In\","         \
    "\"values\":[\"z1\",\"z2\",\"z7\"]}]}]}}},"

static const struct kind {
    const char *name, *json;
    int per_node; /* at most so many in all, by node */
    bool service; /* a Service selects them, so that they stand apart by default */
} kinds[] = {
    {"basic", POD(""), 100},
    {.name = "of_service", .json = POD(""), .per_node = 10, .service = true},
    {"node_affinity", POD(IN_ZONES), 25},
    {"pod_affinity", POD(BETWEEN("podAffinity", "zone")), 10},
    {"pod_anti_affinity", POD(BETWEEN("podAntiAffinity", "host")), 1},
};
enum { TEMPLATES = 100 };

static void *decoded(struct arena *a, const char *kind, const char *json) {
    struct api_object *o;
    struct err err;
    if (api_object_decode(a, api_kind_by_name("", "v1", kind), slice_of(json), &o, &err) < 0)
        abort();
    return o;
}

/* mixed: of 16, 32 and 64 CPUs */
static void put_nodes(struct snapshot *s, int n, bool mixed) {
    for (int i = 0; i < n; i++) {
        OWN(arena_free_p) struct arena *a = arena_new();
        snapshot_put_node(
            s, decoded(a, "Node",
                       arena_printf(a,
                                    "{\"metadata\":{\"name\":\"n%d\",\"labels\":{\"zone\":\"z%d\","
                                    "\"host\":\"n%d\",\"kubernetes.io/"
                                    "hostname\":\"n%d\"}},\"status\":{\"allocatable\":{\"cpu\":"
                                    "\"%d\",\"memory\":\"256Gi\",\"pods\":\"110\"}}}",
                                    i, i % 10, i, i, mixed ? 16 << i % 3 : 32)));
    }
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static struct core_v1_pod *template_of(struct arena *a, const struct kind *k, int which) {
    char json[2048];
    int cpu = which ? 50 + which % 10 * 25 : 100, memory = which ? 64 + which / 10 * 48 : 128;
    snprintf(json, sizeof json, k->json, which, cpu, memory);
    return decoded(a, "Pod", json);
}
#pragma GCC diagnostic pop

static void put_service(struct snapshot *s, struct arena *a, const struct core_v1_pod *p, int i) {
    struct core_v1_service *o = ARENA_NEW(a, struct core_v1_service);
    o->metadata.name = arena_printf(a, "s%d", i);
    o->metadata.namespace = p->metadata.namespace;
    o->spec.selector = p->metadata.labels;
    owners_put_service(&s->owners, o);
}

static void measure(const struct kind *k, bool mixed, int nodes, int pods) {
    struct snapshot s = {0};
    OWN(arena_free_p) struct arena *a = arena_new(), *scratch = arena_new();
    struct core_v1_pod *templates[TEMPLATES];
    uint32_t random = 1;
    char uid[48];
    int placed = 0, n_templates = mixed ? TEMPLATES : 1;
    for (int i = 0; i < n_templates; i++) templates[i] = template_of(a, k, i);
    put_nodes(&s, nodes, mixed);
    for (int i = 0; k->service && i < n_templates; i++) put_service(&s, a, templates[i], i);
    clock_t began = clock();
    for (int i = 0; i < pods; i++) {
        random = random * 1664525 + 1013904223;
        struct core_v1_pod *p = templates[(random >> 16) % (unsigned)n_templates];
        snprintf(uid, sizeof uid, "uid-%08d-0000-0000-0000-000000000000", i);
        p->metadata.uid = uid;
        arena_reset(scratch);
        struct sched_result r = sched_place(scratch, &s, p);
        if (!r.node) break;
        snapshot_add_pod(&s, p, r.node);
        placed++;
    }
    double seconds = (double)(clock() - began) / CLOCKS_PER_SEC;
    printf("place_%s%s nodes=%d placed=%d per_second=%.0f\n", k->name, mixed ? "_mixed" : "", nodes,
           placed, placed / seconds);
    fflush(stdout);
    snapshot_done(&s);
}

/* ---- preemption, by the core: upstream's PreemptionBasic ---- */

#define OF_PRIORITY(labels, cpu, priority, more)                                                   \
    "{\"metadata\":{\"name\":\"p\",\"namespace\":\"d\",\"labels\":{" labels "}},\"spec\":{"        \
    "\"schedulerName\":\"default-scheduler\",\"priority\":" priority "," more                      \
    "\"containers\":[{\"name\":\"c\",\"resources\":{\"requests\":{\"cpu\":\"" cpu "\"}}}]}}"

static const char low_json[] = OF_PRIORITY("", "9", "0", "");
static const struct {
    const char *name, *json;
} preemptions[] = {
    {"preemption", OF_PRIORITY("", "26", "10", "")},
    {"preemption_spread",
     OF_PRIORITY("\"app\":\"w\"", "26", "10",
                 "\"topologySpreadConstraints\":[{\"maxSkew\":1,\"topologyKey\":\"host\","
                 "\"whenUnsatisfiable\":\"DoNotSchedule\",\"labelSelector\":{\"matchLabels\":{"
                 "\"app\":\"w\"}}}],")},
    {"preemption_anti_affinity",
     OF_PRIORITY("\"app\":\"w\"", "26", "10",
                 "\"affinity\":{\"podAntiAffinity\":{"
                 "\"requiredDuringSchedulingIgnoredDuringExecution\":[{\"topologyKey\":\"host\","
                 "\"labelSelector\":{\"matchLabels\":{\"app\":\"w\"}}}]}},")},
};

struct preemption {
    struct sched_core core;
    struct core_v1_pod *pod; /* all that wait look like this one */
    VEC(char *) victims;     /* uids */
    int bound, evicted;
    char name[16], uid[16];
};

static const struct core_v1_pod *pod_of(void *user, const char *ns, const char *name) {
    struct preemption *p = user;
    snprintf(p->name, sizeof p->name, "%s", name);
    snprintf(p->uid, sizeof p->uid, "%s", name);
    return p->pod;
}
static void bind(void *user, const struct core_v1_pod *pod, const char *node) {
    ((struct preemption *)user)->bound++;
}
static void refuse(void *user, const struct core_v1_pod *pod, const char *message,
                   const char *nominated) {}
static void unnominate(void *user, const struct nominated *m) {}
static void gang_late(void *user, const struct gang *g, const char *message) {}
static void evict(void *user, const struct sched_pod *victim, const struct core_v1_pod *by) {
    struct preemption *p = user;
    char *uid = strdup(sched_pod_uid(victim));
    if (!uid) abort();
    vec_push(&p->victims, uid);
    p->evicted++;
}

static void measure_preemption(const char *what, const char *json, int nodes) {
    static const struct sched_acts acts = {pod_of, bind, refuse, evict, unnominate, gang_late};
    OWN(arena_free_p) struct arena *a = arena_new();
    struct preemption p = {.core = {.acts = &acts}};
    struct core_v1_pod *low = decoded(a, "Pod", low_json);
    char uid[32];
    p.core.user = &p;
    p.pod = decoded(a, "Pod", json);
    p.pod->metadata.name = p.name;
    p.pod->metadata.uid = p.uid;
    put_nodes(&p.core.snapshot, nodes, false);
    for (int i = 0; i < nodes * 3; i++) {
        snprintf(uid, sizeof uid, "low-%d", i);
        low->metadata.uid = low->metadata.name = uid;
        snapshot_add_pod(&p.core.snapshot, low, p.core.snapshot.nodes.v[i / 3]->name);
    }
    clock_t began = clock();
    uint64_t now_ms = 1;
    for (int i = 0; i < nodes; i++) {
        snprintf(p.name, sizeof p.name, "p-%d", i);
        snprintf(p.uid, sizeof p.uid, "p-%d", i);
        core_put_pod(&p.core, p.pod, true, now_ms);
    }
    while (core_run(&p.core, now_ms, 256) == 0 || p.victims.n) {
        for (size_t i = 0; i < p.victims.n; i++) {
            core_remove_pod(&p.core, p.victims.v[i], now_ms);
            free(p.victims.v[i]);
        }
        p.victims.n = 0;
        now_ms++;
    }
    double seconds = (double)(clock() - began) / CLOCKS_PER_SEC;
    printf("place_%s nodes=%d placed=%d victims=%d per_second=%.0f\n", what, nodes, p.bound,
           p.evicted, p.bound / seconds);
    vec_done(&p.victims);
    core_done(&p.core);
}

int main(int argc, char **argv) {
    int nodes = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 5000;
    int pods = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 20000;
    const char *only = argc > 3 ? argv[3] : NULL;
    if (nodes < 1 || pods < 1) return 2;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        for (int mixed = 0; mixed < 2 && (!only || !strcmp(only, kinds[i].name)); mixed++)
            measure(&kinds[i], mixed, nodes, MIN_OF(pods, nodes * kinds[i].per_node));
    for (size_t i = 0; i < ARRAY_LEN(preemptions) && !only; i++)
        measure_preemption(preemptions[i].name, preemptions[i].json, nodes);
    return 0;
}
