#include "node/pods/pod_plan.h"

#include "base/own.h"
#include "node/test_pods.h"

static void unref_p(struct pod **p) {
    if (*p) pod_unref(*p);
}

static void end_run(struct container *c, uint32_t code) {
    c->state = CONTAINER_TERMINATED;
    termination_set(&c->now, "", code, code ? "Error" : "Completed", NULL, 1, 2);
}

#define THREE                                                                                      \
    "\"spec\":{\"restartPolicy\":\"%s\",\"initContainers\":[{\"name\":\"prepare\",\"image\":"      \
    "\"i\"},"                                                                                      \
    "{\"name\":\"side\",\"image\":\"i\",\"restartPolicy\":\"Always\"}],"                           \
    "\"containers\":[{\"name\":\"a\",\"image\":\"i\"},{\"name\":\"b\",\"image\":\"i\"}]}"

static struct pod *three(const char *policy) {
    OWN(buf_done) struct buf b = {0};
    buf_printf(&b, THREE, policy);
    return test_pod(b.p);
}

TEST(plan_runs_init_containers_in_order_then_sidecars_then_main) {
    OWN(unref_p) struct pod *p = three("Always");
    struct pod_plan plan;
    pod_plan(p, 0, &plan);
    assert_int_equal(plan.actions[0], ACTION_START);
    assert_int_equal(plan.actions[1], ACTION_NONE);
    assert_int_equal(plan.actions[2], ACTION_NONE);
    end_run(p->containers[0], 0);
    pod_plan(p, 0, &plan);
    assert_int_equal(plan.actions[1], ACTION_START);
    assert_false(plan.initialized);
    p->containers[1]->state = CONTAINER_RUNNING;
    pod_plan(p, 0, &plan);
    assert_false(plan.initialized); /* its startup probe has not passed */
    p->containers[1]->started = true;
    pod_plan(p, 0, &plan);
    assert_true(plan.initialized);
    assert_int_equal(plan.actions[2], ACTION_START);
    assert_int_equal(plan.actions[3], ACTION_START);
}

TEST(plan_ends_the_pod_when_init_fails_and_nothing_restarts) {
    OWN(unref_p) struct pod *p = three("Never");
    struct pod_plan plan;
    end_run(p->containers[0], 3);
    pod_plan(p, 0, &plan);
    assert_true(plan.finished);
    assert_int_equal(plan.actions[2], ACTION_NONE);
}

TEST(plan_waits_for_the_restart_delay) {
    OWN(unref_p) struct pod *p = three("Always");
    struct pod_plan plan;
    end_run(p->containers[0], 1);
    p->containers[0]->restart.until_ms = 5000;
    pod_plan(p, 1000, &plan);
    assert_int_equal(plan.actions[0], ACTION_NONE);
    assert_int_equal(plan.wake_ms, 5000);
    pod_plan(p, 5000, &plan);
    assert_int_equal(plan.actions[0], ACTION_START);
}

TEST(plan_restarts_only_failed_containers_on_failure) {
    OWN(unref_p) struct pod *p = three("OnFailure");
    struct pod_plan plan;
    end_run(p->containers[0], 0);
    p->containers[1]->state = CONTAINER_RUNNING;
    p->containers[1]->started = p->initialized = true;
    end_run(p->containers[2], 0);
    end_run(p->containers[3], 1);
    pod_plan(p, 0, &plan);
    assert_int_equal(plan.actions[2], ACTION_NONE);
    assert_int_equal(plan.actions[3], ACTION_START);
    assert_false(plan.finished);
}

TEST(plan_stops_sidecars_after_the_last_main_container) {
    OWN(unref_p) struct pod *p = three("Never");
    struct pod_plan plan;
    end_run(p->containers[0], 0);
    p->containers[1]->state = CONTAINER_RUNNING;
    p->containers[1]->started = p->initialized = true;
    end_run(p->containers[2], 0);
    p->containers[3]->state = CONTAINER_RUNNING;
    pod_plan(p, 0, &plan);
    assert_int_equal(plan.actions[1], ACTION_NONE);
    end_run(p->containers[3], 0);
    pod_plan(p, 0, &plan);
    assert_int_equal(plan.actions[1], ACTION_STOP);
    assert_false(plan.finished);
    end_run(p->containers[1], 0);
    pod_plan(p, 0, &plan);
    assert_true(plan.finished);
}

TEST(plan_of_a_stopping_pod_starts_nothing) {
    OWN(unref_p) struct pod *p = three("Always");
    struct pod_plan plan;
    p->stopping = true;
    pod_plan(p, 0, &plan);
    assert_true(plan.finished);
    p->containers[2]->state = CONTAINER_RUNNING;
    p->containers[1]->state = CONTAINER_RUNNING;
    pod_plan(p, 0, &plan);
    assert_int_equal(plan.actions[2], ACTION_STOP);
    assert_int_equal(plan.actions[1], ACTION_NONE);
    assert_false(plan.finished);
}

TEST(plan_leaves_a_container_alone_whose_image_is_being_fetched) {
    OWN(unref_p) struct pod *p = three("Always");
    struct pod_plan plan;
    p->containers[0]->busy = true;
    pod_plan(p, 0, &plan);
    assert_int_equal(plan.actions[0], ACTION_NONE);
}

#define LOOKED_INTO                                                                                \
    "\"spec\":{\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"a\",\"image\":\"i\"}]%s}"

static struct pod *looked_into(void) {
    OWN(buf_done) struct buf b = {0};
    buf_printf(&b, LOOKED_INTO,
               ",\"ephemeralContainers\":[{\"name\":\"look\",\"image\":\"j\",\"stdin\":true,"
               "\"targetContainerName\":\"a\"}]");
    OWN(arena_free_p) struct arena *a = arena_new();
    struct pod *p =
        test_pod("\"spec\":{\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"a\","
                 "\"image\":\"i\"}]}");
    pod_set_object(p, test_object(a, b.p));
    return p;
}

TEST(an_ephemeral_container_joins_the_others_and_is_as_any_container) {
    OWN(unref_p) struct pod *p = looked_into();
    struct container *c = pod_container(p, "look");
    assert_int_equal(p->n_containers, 2);
    assert_int_equal(c->kind, CONTAINER_EPHEMERAL);
    assert_string_equal(container_spec(c)->image, "j");
    assert_true(container_spec(c)->stdin);
    OWN(arena_free_p) struct arena *a = arena_new();
    pod_set_object(p, api_copy(a, &core_v1_pod_type, p->object));
    assert_int_equal(p->n_containers, 2);
    assert_ptr_equal(pod_container(p, "look"), c);
}

TEST(plan_starts_an_ephemeral_container_once_and_waits_for_none) {
    OWN(unref_p) struct pod *p = looked_into();
    struct pod_plan plan;
    pod_plan(p, 0, &plan);
    assert_int_equal(plan.actions[1], ACTION_START);
    end_run(p->containers[1], 1);
    pod_plan(p, 0, &plan);
    assert_int_equal(plan.actions[1], ACTION_NONE);
    assert_false(plan.finished);
    p->containers[1]->state = CONTAINER_RUNNING;
    end_run(p->containers[0], 0);
    pod_plan(p, 0, &plan);
    assert_int_equal(plan.actions[1], ACTION_STOP);
    p->containers[1]->state = CONTAINER_TERMINATED;
    pod_plan(p, 0, &plan);
    assert_true(plan.finished);
}
