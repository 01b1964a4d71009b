/* GPU shares through the snapshot and sched_place: devices are filtered, chosen, counted and given
 * back one by one. */
#include "base/own.h"
#include "base/test.h"
#include "scheduler/place/plugin.h"

struct world {
    struct arena *a;
    struct snapshot s;
};

static void *decoded(struct arena *a, const char *kind, const char *json) {
    struct api_object *o;
    struct err err;
    assert_int_equal(
        api_object_decode(a, api_kind_by_name("", "v1", kind), slice_of(json), &o, &err), 0);
    return o;
}

static void put_node(struct world *w, const char *name, int gpus, const char *model) {
    snapshot_put_node(
        &w->s, decoded(w->a, "Node",
                       arena_printf(w->a,
                                    "{\"metadata\":{\"name\":\"%s\",\"labels\":{\"" GPU_MODEL_LABEL
                                    "\":\"%s\"}},\"status\":{\"allocatable\":{\"cpu\":\"32\","
                                    "\"memory\":\"64Gi\",\"pods\":\"110\",\"nvidia.com/gpu\":"
                                    "\"%d\"}}}",
                                    name, model, gpus)));
}

static struct core_v1_pod *pod(struct world *w, const char *uid, const char *resource, int amount) {
    struct core_v1_pod *p = decoded(
        w->a, "Pod",
        arena_printf(w->a,
                     "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"d\"},\"spec\":{\"containers\":"
                     "[{\"name\":\"c\",\"resources\":{\"requests\":{\"cpu\":\"1\",\"%s\":\"%d\"}}}]"
                     "}}",
                     uid, resource, amount));
    p->metadata.uid = uid;
    return p;
}

static const char *place(struct world *w, const struct core_v1_pod *p) {
    struct sched_result r = sched_place(w->a, &w->s, p);
    if (r.node) snapshot_add_pod(&w->s, p, r.node);
    return r.node;
}

static const char *devices(struct world *w, const char *uid) {
    char *text = arena_alloc(w->a, GPU_INDEX_TEXT_MAX);
    return gpu_index_of(&w->s, uid, text) ? text : "";
}

static void done(struct world *w) {
    snapshot_done(&w->s);
    arena_free(w->a);
}

TEST(gpu_shares_of_one_device_do_not_pass_it) {
    struct world w = {.a = arena_new()};
    put_node(&w, "n", 2, "T4");
    assert_string_equal(place(&w, pod(&w, "a", GPU_MILLI_RESOURCE, 600)), "n");
    assert_string_equal(place(&w, pod(&w, "b", GPU_MILLI_RESOURCE, 600)), "n");
    assert_string_not_equal(devices(&w, "a"), devices(&w, "b"));
    /* 800 are idle, but on no single device */
    struct sched_result r = sched_place(w.a, &w.s, pod(&w, "c", GPU_MILLI_RESOURCE, 500));
    assert_null(r.node);
    assert_string_equal(r.message, "0/1 nodes are available: 1 node(s) didn't have enough idle GPU "
                                   "on one device.");
    assert_string_equal(place(&w, pod(&w, "d", GPU_MILLI_RESOURCE, 400)), "n");
    done(&w);
}

TEST(gpu_whole_devices_and_shares_keep_off_each_other) {
    struct world w = {.a = arena_new()};
    put_node(&w, "n", 2, "T4");
    assert_string_equal(place(&w, pod(&w, "share", GPU_MILLI_RESOURCE, 10)), "n");
    assert_string_equal(place(&w, pod(&w, "whole", "nvidia.com/gpu", 1)), "n");
    assert_null(place(&w, pod(&w, "more", "nvidia.com/gpu", 1)));
    assert_true(snapshot_remove_pod(&w.s, "share"));
    assert_string_equal(place(&w, pod(&w, "more", "nvidia.com/gpu", 1)), "n");
    assert_null(place(&w, pod(&w, "late", GPU_MILLI_RESOURCE, 10)));
    done(&w);
}

TEST(gpu_devices_of_bound_pods_come_from_their_annotation) {
    struct world w = {.a = arena_new()};
    struct core_v1_pod *p = pod(&w, "a", GPU_MILLI_RESOURCE, 700);
    str_map_set(w.a, &p->metadata.annotations, GPU_INDEX_ANNOTATION, "2");
    p->spec.node_name = "n";
    snapshot_add_pod(&w.s, p, "n");
    put_node(&w, "other", 1, "T4");
    put_node(&w, "n", 4, "T4"); /* later than its pod */
    struct sched_node *n = map_gets(&w.s.node_by_name, "n");
    assert_int_equal(n->gpus->idle[2], 300);
    assert_true(snapshot_remove_pod(&w.s, "a"));
    assert_int_equal(n->gpus->idle[2], 1000);
    snapshot_add_pod(&w.s, p, "n");
    assert_string_equal(devices(&w, "a"), "2");
    assert_int_equal(n->gpus->idle[2], 300);
    put_node(&w, "n", 4, "T4"); /* as it is refreshed */
    assert_int_equal(n->gpus->idle[2], 300);
    done(&w);
}

TEST(gpu_devices_cannot_be_chosen_by_who_makes_the_pod) {
    struct world w = {.a = arena_new()};
    put_node(&w, "n", 2, "T4");
    assert_string_equal(place(&w, pod(&w, "a", "nvidia.com/gpu", 1)), "n");
    const char *taken = devices(&w, "a");
    struct core_v1_pod *p = pod(&w, "b", GPU_MILLI_RESOURCE, 500);
    str_map_set(w.a, &p->metadata.annotations, GPU_INDEX_ANNOTATION, taken);
    assert_string_equal(place(&w, p), "n");
    assert_string_not_equal(devices(&w, "b"), "");
    assert_string_not_equal(devices(&w, "b"), taken);
    done(&w);
}

TEST(gpu_pods_without_keep_off_nodes_with) {
    struct world w = {.a = arena_new()};
    put_node(&w, "g1", 8, "T4");
    put_node(&w, "plain", 0, "");
    put_node(&w, "g2", 8, "T4");
    assert_string_equal(place(&w, pod(&w, "a", "memory", 1 << 20)), "plain");
    assert_string_equal(place(&w, pod(&w, "b", "memory", 1 << 20)), "plain");
    done(&w);
}

TEST(gpu_asks_that_nobody_can_serve_are_refused_for_good) {
    struct world w = {.a = arena_new()};
    put_node(&w, "n", 2, "T4");
    struct sched_result r = sched_place(w.a, &w.s, pod(&w, "a", GPU_MILLI_RESOURCE, 1500));
    assert_null(r.node);
    assert_non_null(strstr(r.message, "the pod asks for GPUs in a way that no node can serve"));
    done(&w);
}

TEST(gpu_index_text_and_back) {
    char text[GPU_INDEX_TEXT_MAX];
    gpu_index_text(1u << 0 | 1u << 3 | 1u << 15, text);
    assert_string_equal(text, "0,3,15");
    assert_int_equal(gpu_index_parse(text), 1u << 0 | 1u << 3 | 1u << 15);
    assert_int_equal(gpu_index_parse("16"), 0);
    assert_int_equal(gpu_index_parse("1,"), 0);
    assert_int_equal(gpu_index_parse("x"), 0);
    assert_int_equal(gpu_index_parse(""), 0);
    assert_int_equal(gpu_index_parse(NULL), 0);
}
