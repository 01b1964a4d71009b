#include "node/pods/resize.h"

#include <string.h>

#include "base/own.h"
#include "base/test.h"
#include "node/pods/resources.h"
#include "node/test_pods.h"

static void unref_p(struct pod **p) {
    if (*p) pod_unref(*p);
}

#define POD(limit, policy)                                                                         \
    "\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"x\",\"resources\":{\"requests\":{"      \
    "\"cpu\":\"100m\"},\"limits\":{\"cpu\":\"" limit "\"}}" policy "}]}"
static const int64_t gib = 1 << 30;

static struct container *running(struct pod *p) {
    struct container *c = p->containers[0];
    c->state = CONTAINER_RUNNING;
    c->applied = resize_wanted(c, gib);
    c->applied_known = true;
    return c;
}

TEST(a_container_differs_when_its_spec_has_changed) {
    OWN(unref_p) struct pod *p = test_pod(POD("200m", ""));
    OWN(unref_p) struct pod *q = test_pod(POD("400m", ""));
    struct container *c = running(p);
    assert_false(resize_differs(c, gib));
    pod_set_object(p, q->object);
    assert_true(resize_differs(c, gib));
    struct container_amounts want = resize_wanted(c, gib);
    assert_int_equal(want.cpu_quota_us, 40000);
    assert_false(resize_restarts(c, &want));
    c->refused = want, c->refused_known = true; /* the kernel would not have it */
    assert_false(resize_differs(c, gib));
    c->refused_known = false;
    c->stop = STOP_SIGNALLED;
    assert_false(resize_differs(c, gib));
}

TEST(a_policy_wants_a_restart_for_its_resource) {
#define RESTART(name)                                                                              \
    ",\"resizePolicy\":[{\"resourceName\":\"" name "\",\"restartPolicy\":\"RestartContainer\"}]"
    OWN(unref_p) struct pod *p = test_pod(POD("200m", RESTART("cpu")));
    OWN(unref_p) struct pod *q = test_pod(POD("200m", RESTART("memory")));
    struct container_amounts more = {.cpu_shares = 500, .cpu_quota_us = 1, .memory_bytes = -1};
    assert_true(resize_restarts(running(p), &more));
    assert_false(resize_restarts(running(q), &more));
}

TEST(the_status_tells_what_is_in_force) {
    OWN(unref_p) struct pod *p = test_pod(POD("200m", ""));
    OWN(arena_free_p) struct arena *a = arena_new();
    struct core_v1_container_status s = {0};
    struct core_v1_pod_status status = {0};
    struct container *c = running(p);
    resize_container_status(a, c, &s);
    assert_null(s.resources); /* of what never changed nothing is said */
    c->resized = true;
    resize_container_status(a, c, &s);
    assert_string_equal(str_map_get(&s.resources->limits, "cpu"), "200m");
    assert_string_equal(str_map_get(&s.allocated_resources, "cpu"), "100m");
    p->resize_pending = "Deferred";
    p->resize_message = strdup("no room");
    resize_status(a, p, &status);
    assert_string_equal(status.resize, "Deferred");
    assert_string_equal(status.conditions.v[0].type, "PodResizePending");
    assert_string_equal(status.conditions.v[0].message, "no room");
}
