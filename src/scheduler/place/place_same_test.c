/* Caches, lanes and shared domains decide as the rules say node by node: random clusters, and each
 * decision beside the best of all nodes asked one by one (explain.h). */
#include <stdio.h>
#include <string.h>

#include "scheduler/place/explain.h"
#include "scheduler/plugins/fixture.h"

enum { NODES = 40, STEPS = 400, CLUSTERS = 60, TEMPLATES = 24 };

static uint32_t random_state;
static uint32_t draw(uint32_t n) {
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 10) % n;
}
#define ONE_OF(list) (list)[draw(ARRAY_LEN(list))]

/* Nodes: sizes that make ties, odd ones, some without labels, some tainted. */
static void put_node(struct snapshot *s, uint32_t i) {
    static const char *const sizes[] = {
        "\"cpu\":\"4\",\"memory\":\"8Gi\",\"pods\":\"9\"",
        "\"cpu\":\"4\",\"memory\":\"8Gi\",\"pods\":\"9\"",
        "\"cpu\":\"7\",\"memory\":\"5Gi\",\"pods\":\"30\"",
        "\"cpu\":\"16\",\"memory\":\"64Gi\",\"pods\":\"110\"",
        "\"cpu\":\"3333m\",\"memory\":\"7777777777\",\"pods\":\"5\",\"x.io/y\":\"2\"",
        "\"cpu\":\"64\",\"memory\":\"12Ti\",\"pods\":\"110\",\"ephemeral-storage\":\"9Gi\"",
        "\"memory\":\"8Gi\",\"pods\":\"9\"",
    };
    static const char *const specs[] = {
        "",
        "",
        "",
        "\"unschedulable\":true",
        "\"taints\":[{\"key\":\"k\",\"effect\":\"PreferNoSchedule\"}]",
        "\"taints\":[{\"key\":\"k\",\"value\":\"v\",\"effect\":\"NoSchedule\"}]",
    };
    OWN(arena_free_p) struct arena *a = arena_new();
    const char *zone = draw(6) ? arena_printf(a,
                                              ",\"zone\":\"z%u\",\"topology.kubernetes.io/zone\""
                                              ":\"z%u\"",
                                              draw(4), draw(3))
                               : "";
    given(s, arena_printf(a,
                          "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n%u\","
                          "\"labels\":{\"kubernetes.io/hostname\":\"n%u\"%s}},\"spec\":{%s},"
                          "\"status\":{\"allocatable\":{%s}}}",
                          i, i, zone, ONE_OF(specs), ONE_OF(sizes)));
}

#define LIKE(app) "\"labelSelector\":{\"matchLabels\":{\"app\":\"" app "\"}}"
#define BETWEEN(kind, key, app)                                                                    \
    ",\"affinity\":{\"" kind "\":{\"requiredDuringSchedulingIgnoredDuringExecution\":[{"           \
    "\"topologyKey\":\"" key "\"," LIKE(app) "}]}}"
#define RATHER(kind, key, app)                                                                     \
    ",\"affinity\":{\"" kind "\":{\"preferredDuringSchedulingIgnoredDuringExecution\":[{"          \
    "\"weight\":7,\"podAffinityTerm\":{\"topologyKey\":\"" key "\"," LIKE(app) "}}]}}"
#define SPREAD(key, when, more)                                                                    \
    ",\"topologySpreadConstraints\":[{\"maxSkew\":1,\"topologyKey\":\"" key                        \
    "\",\"whenUnsatisfiable\":\"" when "\"," LIKE("a1") more "}]"

static const char *const rules[] = {
    "",
    "",
    "",
    ",\"nodeSelector\":{\"zone\":\"z1\"}",
    ",\"tolerations\":[{\"key\":\"k\",\"operator\":\"Exists\"}]",
    ",\"affinity\":{\"nodeAffinity\":{\"preferredDuringSchedulingIgnoredDuringExecution\":[{"
    "\"weight\":9,\"preference\":{\"matchExpressions\":[{\"key\":\"zone\",\"operator\":\"In\","
    "\"values\":[\"z0\",\"z2\"]}]}}]}}",
    BETWEEN("podAffinity", "zone", "a0"),
    BETWEEN("podAntiAffinity", "kubernetes.io/hostname", "a1"),
    BETWEEN("podAntiAffinity", "zone", "a3"),
    RATHER("podAffinity", "zone", "a1"),
    RATHER("podAntiAffinity", "kubernetes.io/hostname", "a0"),
    SPREAD("zone", "DoNotSchedule", ""),
    SPREAD("zone", "ScheduleAnyway", ""),
    SPREAD("kubernetes.io/hostname", "ScheduleAnyway", ""),
    SPREAD("zone", "DoNotSchedule", ",\"nodeTaintsPolicy\":\"Honor\""),
};

static const char *template_of(struct arena *a) {
    static const char *const requests[] = {
        "",
        "\"cpu\":\"100m\",\"memory\":\"128Mi\"",
        "\"cpu\":\"333m\"",
        "\"memory\":\"1Gi\"",
        "\"cpu\":\"1\",\"memory\":\"1000000007\"",
        "\"cpu\":\"250m\",\"memory\":\"64Mi\",\"ephemeral-storage\":\"1Gi\"",
        "\"cpu\":\"100m\",\"x.io/y\":\"1\"",
        "\"cpu\":\"100m\",\"memory\":\"5Ti\"",
    };
    const char *port = draw(10) ? "" : ",\"ports\":[{\"containerPort\":80,\"hostPort\":80}]";
    return arena_printf(a,
                        "{\"metadata\":{\"name\":\"p\",\"namespace\":\"d\",\"labels\":{\"app\":"
                        "\"a%u\"}},\"spec\":{\"priority\":%u,\"containers\":[{\"name\":\"c\","
                        "\"resources\":{\"requests\":{%s}}%s}]%s}}",
                        draw(5), draw(2), ONE_OF(requests), port, ONE_OF(rules));
}

static struct core_v1_pod *decoded(struct arena *a, const char *json) {
    struct api_object *o;
    struct err err;
    if (api_object_decode(a, api_kind_by_name("", "v1", "Pod"), slice_of(json), &o, &err) < 0)
        fail_msg("%s: %s", json, err.text);
    return (struct core_v1_pod *)o;
}

/* The emptiest of the best, then the one that was there first. */
static const char *best_of(const struct snapshot *s, const struct explanation *e) {
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < e->n; i++) {
        if (!e->nodes[i].fits) continue;
        if (best == SIZE_MAX || e->nodes[i].total > e->nodes[best].total ||
            (e->nodes[i].total == e->nodes[best].total &&
             s->nodes.v[i]->used_pods < s->nodes.v[best]->used_pods))
            best = i;
    }
    return best == SIZE_MAX ? NULL : e->nodes[best].name;
}

static const char *decide(struct snapshot *s, struct core_v1_pod *pod, const char *json) {
    static const struct budgets none;
    OWN(arena_free_p) struct arena *a = arena_new();
    struct sched_result r = sched_place(a, s, pod);
    struct explanation e = sched_explain(a, s, &none, pod);
    const char *want = best_of(s, &e);
    if (!str_eq(r.node, want))
        fail_msg("%s for %s, the rules say %s", str_or(r.node, "none"), json, str_or(want, "none"));
    return r.node;
}

struct uids {
    char v[STEPS][16];
    size_t n;
};

static void change_something(struct snapshot *s, struct uids *placed) {
    char name[16];
    switch (draw(12)) {
    case 0:
        snprintf(name, sizeof name, "n%u", draw(NODES));
        snapshot_remove_node(s, name);
        break;
    case 1:
    case 2: put_node(s, draw(NODES)); break;
    case 3:
    case 4:
    case 5:
        if (!placed->n) break;
        size_t i = draw((uint32_t)placed->n);
        snapshot_remove_pod(s, placed->v[i]);
        memcpy(placed->v[i], placed->v[--placed->n], sizeof placed->v[i]);
        break;
    default: break;
    }
}

static void live(uint32_t seed) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct snapshot s = {0};
    static struct uids placed;
    const char *json[TEMPLATES];
    struct core_v1_pod *pods[TEMPLATES];
    random_state = seed;
    placed.n = 0;
    uint32_t nodes = 1 + draw(NODES);
    for (uint32_t i = 0; i < nodes; i++) put_node(&s, i);
    for (size_t i = 0; i < TEMPLATES; i++) pods[i] = decoded(a, json[i] = template_of(a));
    if (seed % 3 == 0)
        given(&s, "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"w\","
                  "\"namespace\":\"d\"},\"spec\":{\"selector\":{\"app\":\"a2\"}}}");
    for (int i = 0; i < STEPS; i++) {
        char uid[16];
        uint32_t which = draw(TEMPLATES);
        snprintf(uid, sizeof uid, "u%d", i);
        pods[which]->metadata.uid = uid;
        const char *node = decide(&s, pods[which], json[which]);
        if (node && draw(20) == 0)
            snapshot_nominate(&s, pods[which], node);
        else if (node && draw(5)) {
            snapshot_add_pod(&s, pods[which], node);
            memcpy(placed.v[placed.n++], uid, sizeof uid);
        }
        change_something(&s, &placed);
    }
    fixture_done(&s);
}

TEST(every_decision_is_the_best_of_all_nodes_asked_one_by_one) {
    for (uint32_t seed = 1; seed <= CLUSTERS; seed++) live(seed);
}
