#include "base/own.h"
#include "base/test.h"
#include "server/fixture.h"

#define POD(metadata, spec)                                                                        \
    "{\"metadata\":{\"namespace\":\"a\",\"name\":\"x\"" metadata "},\"spec\":{" spec               \
    "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}"
#define BINDING(metadata, target)                                                                  \
    "{\"apiVersion\":\"v1\",\"kind\":\"Binding\",\"metadata\":{\"name\":\"x\"" metadata            \
    "},\"target\":{" target "}}"
#define TO_N "\"kind\":\"Node\",\"name\":\"n\""

static int bind_x(struct fixture *f, const char *body) {
    return ask(f, binding_subresource,
               &(struct asked){.verb = "create",
                               .plural = "pods",
                               .ns = "a",
                               .name = "x",
                               .subresource = "binding",
                               .body = body});
}

static const struct core_v1_pod *pod(struct fixture *f) { return fixture_get(f, "pods", "a", "x"); }

TEST(a_binding_names_the_node_once) {
    struct fixture f;
    fixture_open(&f);
    fixture_put(&f, "pods", POD("", ""));
    assert_int_equal(bind_x(&f, BINDING(",\"annotations\":{\"why\":\"free\"}", TO_N)), 201);
    assert_string_equal(pod(&f)->spec.node_name, "n");
    assert_string_equal(str_map_get(&pod(&f)->metadata.annotations, "why"), "free");
    assert_string_equal(pod(&f)->status.conditions.v[0].type, "PodScheduled");
    assert_string_equal(pod(&f)->status.conditions.v[0].status, "True");
    assert_int_equal(bind_x(&f, BINDING("", "\"name\":\"other\"")), 409);
    assert_answer(&f, "pod x is already assigned to node \\\"n\\\"");
    assert_string_equal(pod(&f)->spec.node_name, "n");
    fixture_done(&f);
}

TEST(what_is_no_node_is_no_target) {
    struct fixture f;
    fixture_open(&f);
    fixture_put(&f, "pods", POD("", ""));
    assert_int_equal(bind_x(&f, BINDING("", "\"kind\":\"Pod\",\"name\":\"n\"")), 422);
    assert_answer(&f, "target.kind");
    assert_int_equal(bind_x(&f, BINDING("", "\"kind\":\"Node\"")), 422);
    assert_answer(&f, "target.name");
    assert_int_equal(f.writes, 0);
    fixture_done(&f);
}

TEST(neither_another_pod_nor_one_that_goes_is_bound) {
    struct fixture f;
    fixture_open(&f);
    fixture_put(&f, "pods", POD(",\"uid\":\"one\"", ""));
    assert_int_equal(bind_x(&f, BINDING(",\"uid\":\"two\"", TO_N)), 409);
    assert_answer(&f, "UID in precondition: two, UID in object meta: one");
    fixture_put(&f, "pods",
                POD(",\"uid\":\"one\",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\","
                    "\"deletionGracePeriodSeconds\":30",
                    ""));
    assert_int_equal(bind_x(&f, BINDING("", TO_N)), 409);
    assert_answer(&f, "pod x is being deleted, cannot be assigned to a host");
    assert_int_equal(f.writes, 0);
    fixture_done(&f);
}

static void others_label(struct fixture *f) {
    fixture_change(f, "pods", POD(",\"labels\":{\"l\":\"v\"}", ""));
}
static void others_bind(struct fixture *f) {
    fixture_change(f, "pods", POD("", "\"nodeName\":\"faster\","));
}

TEST(a_write_of_somebody_else_does_not_lose_the_binding_nor_its_own_change) {
    struct fixture f;
    fixture_open(&f);
    fixture_put(&f, "pods", POD("", ""));
    f.meanwhile = others_label;
    assert_int_equal(bind_x(&f, BINDING("", TO_N)), 201);
    assert_string_equal(pod(&f)->spec.node_name, "n");
    assert_string_equal(str_map_get(&pod(&f)->metadata.labels, "l"), "v");
    fixture_done(&f);
}

TEST(of_two_bindings_the_slower_one_is_refused) {
    struct fixture f;
    fixture_open(&f);
    fixture_put(&f, "pods", POD("", ""));
    f.meanwhile = others_bind;
    assert_int_equal(bind_x(&f, BINDING("", TO_N)), 409);
    assert_answer(&f, "already assigned to node \\\"faster\\\"");
    assert_string_equal(pod(&f)->spec.node_name, "faster");
    fixture_done(&f);
}
