#include <stdio.h>
#include <string.h>

#include "api/rules/pods.h"
#include "controllers/fixture.h"

static const char key[] = "default/agent";
#define ROLLING "{\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"maxUnavailable\":"

static const struct apps_v1_daemon_set *get(const struct world *w) {
    return (const struct apps_v1_daemon_set *)world_get(w, "DaemonSet", "default", "agent");
}

static void add_node(struct world *w, const char *name, const char *labels, const char *spec) {
    char json[600];
    snprintf(
        json, sizeof json,
        "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"%s\",\"labels\":{%s}"
        "},\"spec\":{%s}}",
        name, labels, spec);
    world_add_json(w, json);
}

/* So many nodes n0, n1, … and a DaemonSet; pod: members of the template's spec. */
static struct world *with_nodes(int nodes, const char *strategy, const char *pod,
                                const char *more) {
    struct world *w = world_test_new();
    char json[2000], name[10];
    for (int i = 0; i < nodes; i++) {
        snprintf(name, sizeof name, "n%d", i);
        add_node(w, name, "", "");
    }
    snprintf(json, sizeof json,
             "{\"apiVersion\":\"apps/v1\",\"kind\":\"DaemonSet\",\"metadata\":{\"name\":\"agent\","
             "\"namespace\":\"default\",\"uid\":\"u-agent\",\"generation\":1},\"spec\":{"
             "\"selector\":{\"matchLabels\":{\"app\":\"agent\"}},\"template\":{\"metadata\":{"
             "\"labels\":{\"app\":\"agent\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":"
             "\"one\"}]%s}},\"updateStrategy\":%s%s}}",
             pod, strategy, more);
    world_add_json(w, json);
    return w;
}

static const struct core_v1_pod *pod_on(const struct world *w, const char *node, int nth) {
    const struct api_object *o;
    for (size_t at = 0; (o = world_next(w, "Pod", "default", &at));) {
        const struct core_v1_pod *pod = (const struct core_v1_pod *)o;
        const struct core_v1_affinity *a = pod->spec.affinity;
        const char *meant =
            a ? a->node_affinity->required_during_scheduling_ignored_during_execution
                    ->node_selector_terms.v[0]
                    .match_fields.v[0]
                    .values.v[0]
              : pod->spec.node_name;
        if (str_eq(meant, node) && nth-- == 0) return pod;
    }
    return NULL;
}

/* As the scheduler and the node of the pod. */
static void serve(struct world *w, const struct core_v1_pod *pod, const char *node, bool ready) {
    struct arena *a;
    struct core_v1_pod *p = (struct core_v1_pod *)edit((const struct api_object *)pod, &a);
    p->spec.node_name = arena_str(a, node);
    p->status.phase = "Running";
    pod_condition_set(a, p, "Ready", ready ? "True" : "False", NULL, NULL, now_text(a, w));
    edit_done(w, a, (struct api_object *)p);
}

static const char *hash_of(const struct core_v1_pod *pod) {
    return str_map_get(&pod->metadata.labels, "controller-revision-hash");
}

static void rest(struct world *w) { settle(w, "daemonset", key); }

static void serve_all(struct world *w, int nodes) {
    for (int i = 0; i < nodes; i++) {
        char name[10];
        snprintf(name, sizeof name, "n%d", i);
        for (int n = 0; pod_on(w, name, n); n++)
            if (!pod_is_ready(pod_on(w, name, n))) serve(w, pod_on(w, name, n), name, true);
    }
    rest(w);
}

static void set_image(struct world *w, const char *image) {
    struct arena *a;
    struct apps_v1_daemon_set *d =
        (struct apps_v1_daemon_set *)edit((const struct api_object *)get(w), &a);
    d->spec.template.spec.containers.v[0].image = image;
    d->metadata.generation++;
    edit_done(w, a, (struct api_object *)d);
}

static void assert_status(const struct world *w, int desired, int current, int ready, int updated,
                          int available, int misscheduled) {
    const struct apps_v1_daemon_set_status *s = &get(w)->status;
    assert_int_equal(s->desired_number_scheduled, desired);
    assert_int_equal(s->current_number_scheduled, current);
    assert_int_equal(s->number_ready, ready);
    assert_int_equal(s->updated_number_scheduled, updated);
    assert_int_equal(s->number_available, available);
    assert_int_equal(s->number_unavailable, desired - available);
    assert_int_equal(s->number_misscheduled, misscheduled);
}

static void taint(struct world *w, const char *node, const char *effect) {
    struct arena *a;
    struct core_v1_node *n = (struct core_v1_node *)edit(world_get(w, "Node", NULL, node), &a);
    n->spec.taints.n = 0;
    if (effect)
        *ARENA_PUSH(a, &n->spec.taints) = (struct core_v1_taint){.key = "k", .effect = effect};
    edit_done(w, a, (struct api_object *)n);
}

TEST(daemonset_runs_a_pod_on_every_node) {
    struct world *w = with_nodes(3, ROLLING "1}}", "", "");
    OWN(plan_free_p) struct plan *first = plan_of(w, "daemonset", key);
    assert_int_equal(plan_count_of(first, PLAN_CREATE, "ControllerRevision"), 1);
    run(w, "daemonset", key);
    OWN(plan_free_p) struct plan *p = plan_of(w, "daemonset", key);
    const struct core_v1_pod *made =
        (const struct core_v1_pod *)plan_find(p, PLAN_CREATE, "Pod", 0)->object;
    assert_string_equal(made->metadata.generate_name, "agent-");
    assert_string_equal(made->spec.containers.v[0].image, "one");
    assert_int_equal(made->spec.tolerations.n, 6);
    assert_string_equal(made->spec.tolerations.v[0].key, "node.kubernetes.io/not-ready");
    assert_string_equal(made->spec.tolerations.v[0].effect, "NoExecute");
    rest(w);
    assert_int_equal(world_count(w, "Pod"), 3);
    for (int i = 0; i < 3; i++) {
        char name[10];
        snprintf(name, sizeof name, "n%d", i);
        assert_non_null(pod_on(w, name, 0));
        assert_null(pod_on(w, name, 1));
    }
    assert_status(w, 3, 3, 0, 3, 0, 0);
    assert_int_equal(get(w)->status.observed_generation, 1);
    serve_all(w, 3);
    assert_status(w, 3, 3, 3, 3, 3, 0);
    add_node(w, "n3", "", "");
    rest(w);
    assert_non_null(pod_on(w, "n3", 0));
    world_free(w);
}

TEST(daemonset_goes_where_the_template_fits) {
    struct world *w = with_nodes(2, ROLLING "1}}",
                                 ",\"nodeSelector\":{\"disk\":\"ssd\"},\"affinity\":{"
                                 "\"podAntiAffinity\":{}},\"hostNetwork\":true",
                                 "");
    rest(w);
    assert_int_equal(world_count(w, "Pod"), 0);
    assert_status(w, 0, 0, 0, 0, 0, 0);
    add_node(w, "n1", "\"disk\":\"ssd\"", "");
    run(w, "daemonset", key);
    assert_int_equal(world_count(w, "Pod"), 1);
    serve(w, pod_on(w, "n1", 0), "n1", true);
    rest(w);
    assert_status(w, 1, 1, 1, 1, 1, 0);
    add_node(w, "n1", "\"disk\":\"hdd\"", "");
    rest(w);
    assert_int_equal(world_count(w, "Pod"), 0);
    world_free(w);
}

TEST(daemonset_and_taints) {
    struct world *w = with_nodes(2, ROLLING "1}}", "", "");
    rest(w);
    serve_all(w, 2);
    taint(w, "n0", "NoSchedule"); /* what runs there stays */
    rest(w);
    assert_int_equal(world_count(w, "Pod"), 2);
    assert_status(w, 1, 1, 1, 1, 1, 1);
    world_remove(w, world_kind(w, "Pod"), "default", pod_on(w, "n0", 0)->metadata.name);
    rest(w);
    assert_int_equal(world_count(w, "Pod"), 1); /* and does not come again */
    taint(w, "n1", "NoExecute");
    rest(w);
    assert_int_equal(world_count(w, "Pod"), 0);
    assert_status(w, 0, 0, 0, 0, 0, 0);
    taint(w, "n1", NULL);
    rest(w);
    assert_non_null(pod_on(w, "n1", 0));
    world_free(w);
}

/* As upstream's nodeShouldRunDaemonPod: should it be there, and does what is there stay? */
TEST(daemonset_taints_that_come_later) {
    static const struct {
        const char *effect, *tolerations;
        bool stays, comes; /* with the taint: what runs, and what has gone */
    } rows[] = {
        {"NoSchedule", "", true, false},
        {"PreferNoSchedule", "", true, true},
        {"NoExecute", "", false, false},
        {"NoSchedule", "{\"key\":\"k\",\"operator\":\"Exists\",\"effect\":\"NoSchedule\"}", true,
         true},
        {"NoExecute", "{\"key\":\"k\",\"operator\":\"Exists\",\"effect\":\"NoSchedule\"}", false,
         false},
        {"NoExecute", "{\"key\":\"k\",\"operator\":\"Exists\",\"effect\":\"NoExecute\"}", true,
         true},
        {"NoExecute", "{\"operator\":\"Exists\"}", true, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char more[200];
        snprintf(more, sizeof more, ",\"tolerations\":[%s]", rows[i].tolerations);
        struct world *w = with_nodes(1, ROLLING "1}}", more, "");
        rest(w);
        serve_all(w, 1);
        taint(w, "n0", rows[i].effect);
        rest(w);
        assert_int_equal(pod_on(w, "n0", 0) != NULL, rows[i].stays);
        assert_int_equal(get(w)->status.desired_number_scheduled, rows[i].comes);
        assert_int_equal(get(w)->status.number_misscheduled, rows[i].stays && !rows[i].comes);
        if (pod_on(w, "n0", 0))
            world_remove(w, world_kind(w, "Pod"), "default", pod_on(w, "n0", 0)->metadata.name);
        rest(w);
        assert_int_equal(pod_on(w, "n0", 0) != NULL, rows[i].comes);
        world_free(w);
    }
}

/* What could not come back is not replaced by an update. */
TEST(daemonset_updates_leave_pods_on_closed_nodes) {
    struct world *w = with_nodes(2, ROLLING "2}}", "", "");
    rest(w);
    serve_all(w, 2);
    taint(w, "n0", "NoSchedule");
    rest(w);
    char closed[64];
    snprintf(closed, sizeof closed, "%s", pod_on(w, "n0", 0)->metadata.uid);
    set_image(w, "two");
    rest(w);
    assert_string_equal(pod_on(w, "n0", 0)->metadata.uid, closed);
    assert_string_not_equal(hash_of(pod_on(w, "n0", 0)), hash_of(pod_on(w, "n1", 0)));
    serve_all(w, 2);
    taint(w, "n0", NULL);
    rest(w);
    serve_all(w, 2);
    assert_string_equal(hash_of(pod_on(w, "n0", 0)), hash_of(pod_on(w, "n1", 0)));
    world_free(w);
}

TEST(daemonset_updates_so_many_nodes_at_once) {
    struct world *w = with_nodes(5, ROLLING "\"30%\"}}", "", ""); /* 1.5: two */
    rest(w);
    serve_all(w, 5);
    char old[40];
    snprintf(old, sizeof old, "%s", hash_of(pod_on(w, "n0", 0)));
    set_image(w, "two");
    rest(w);
    assert_int_equal(world_count(w, "ControllerRevision"), 2);
    assert_int_equal(world_count(w, "Pod"), 5);
    int renewed = 0;
    for (int i = 0; i < 5; i++) {
        char name[10];
        snprintf(name, sizeof name, "n%d", i);
        renewed += !str_eq(hash_of(pod_on(w, name, 0)), old);
    }
    assert_int_equal(renewed, 2);
    assert_status(w, 5, 5, 3, 2, 3, 0);
    assert_int_equal(get(w)->status.observed_generation, 2);
    for (int i = 0; i < 3; i++) serve_all(w, 5);
    assert_status(w, 5, 5, 5, 5, 5, 0);
    assert_string_not_equal(hash_of(pod_on(w, "n4", 0)), old);
    set_image(w, "one"); /* back again: the same revision with a new number */
    for (int i = 0; i < 4; i++) {
        rest(w);
        serve_all(w, 5);
    }
    assert_string_equal(hash_of(pod_on(w, "n4", 0)), old);
    assert_int_equal(world_count(w, "ControllerRevision"), 2);
    world_free(w);
}

TEST(daemonset_replaces_what_serves_nobody_at_once) {
    struct world *w = with_nodes(4, ROLLING "1}}", "", "");
    rest(w);
    serve(w, pod_on(w, "n3", 0), "n3", true);
    rest(w);
    char old[40];
    snprintf(old, sizeof old, "%s", hash_of(pod_on(w, "n0", 0)));
    set_image(w, "two");
    run(w, "daemonset", key); /* the revision */
    OWN(plan_free_p) struct plan *p = plan_of(w, "daemonset", key);
    assert_int_equal(plan_count_of(p, PLAN_DELETE, "Pod"), 4); /* three of them, and one may */
    rest(w);
    assert_int_equal(world_count(w, "Pod"), 4);
    world_free(w);
}

TEST(daemonset_on_delete_waits_for_somebody) {
    struct world *w = with_nodes(2, "{\"type\":\"OnDelete\"}", "", "");
    rest(w);
    serve_all(w, 2);
    set_image(w, "two");
    rest(w);
    assert_status(w, 2, 2, 2, 0, 2, 0);
    world_remove(w, world_kind(w, "Pod"), "default", pod_on(w, "n0", 0)->metadata.name);
    rest(w);
    assert_status(w, 2, 2, 1, 1, 1, 0);
    world_free(w);
}

TEST(daemonset_surges) {
    struct world *w = with_nodes(3, ROLLING "0,\"maxSurge\":1}}", "", ",\"minReadySeconds\":10");
    rest(w);
    serve_all(w, 3);
    pass_ms(w, 10000);
    rest(w);
    assert_status(w, 3, 3, 3, 3, 3, 0);
    set_image(w, "two");
    rest(w);
    assert_int_equal(world_count(w, "Pod"), 4); /* one beside an old one */
    assert_non_null(pod_on(w, "n0", 1));
    serve_all(w, 3);
    assert_int_equal(world_count(w, "Pod"), 4); /* not available yet */
    uint64_t ms = 0;
    OWN(plan_free_p) struct plan *p = plan_of(w, "daemonset", key);
    assert_true(plan_requeue_ms(p, &ms));
    assert_int_equal(ms, 10000);
    pass_ms(w, 10000);
    rest(w);
    assert_null(pod_on(w, "n0", 1)); /* the old one is gone, and the next node has two */
    assert_non_null(pod_on(w, "n1", 1));
    for (int i = 0; i < 3; i++) {
        serve_all(w, 3);
        pass_ms(w, 10000);
        rest(w);
    }
    assert_int_equal(world_count(w, "Pod"), 3);
    assert_status(w, 3, 3, 3, 3, 3, 0);
    world_free(w);
}

TEST(daemonset_keeps_one_of_several) {
    struct world *w = with_nodes(1, ROLLING "1}}", "", "");
    rest(w);
    serve_all(w, 1);
    const char *kept = pod_on(w, "n0", 0)->metadata.name;
    world_add_json(w, "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"a-orphan\","
                      "\"namespace\":\"default\",\"creationTimestamp\":\"2026-01-02T00:00:00Z\","
                      "\"labels\":{\"app\":\"agent\"}},\"spec\":{\"nodeName\":\"n0\"},\"status\":{"
                      "\"phase\":\"Running\"}}");
    rest(w);
    assert_int_equal(world_count(w, "Pod"), 1);
    assert_non_null(pod_get(w, kept));
    world_free(w);
}

TEST(daemonset_replaces_failed_pods_ever_more_seldom) {
    struct world *w = with_nodes(1, ROLLING "1}}", "", "");
    int replaced = 0;
    rest(w);
    for (int s = 0; s < 100; s++) {
        const struct core_v1_pod *pod = pod_on(w, "n0", 0);
        if (!pod_is_terminal(pod)) {
            pod_ends(w, (const struct api_object *)pod, "Failed");
            replaced++;
        }
        rest(w);
        pass_ms(w, 1000);
    }
    assert_true(replaced >= 7 && replaced <= 9); /* after 0, 1, 3, 7, 15, 31, 63 seconds */
    uint64_t ms = 0;
    OWN(plan_free_p) struct plan *p = plan_of(w, "daemonset", key);
    assert_true(plan_requeue_ms(p, &ms) && ms > 1000);
    pass_ms(w, 3600 * 1000); /* an hour without failures: forgotten */
    rest(w);
    pod_ends(w, (const struct api_object *)pod_on(w, "n0", 0), "Failed");
    pass_ms(w, 1000);
    rest(w);
    assert_false(pod_is_terminal(pod_on(w, "n0", 0)));
    world_remove(w, world_kind(w, "DaemonSet"), "default", "agent");
    rest(w);
    assert_null(world_fact(w, "failures/DaemonSet/default/agent"));
    world_free(w);
}

TEST(daemonset_removes_pods_that_wait_for_nodes_that_are_gone) {
    struct world *w = with_nodes(2, ROLLING "1}}", "", "");
    rest(w);
    serve(w, pod_on(w, "n0", 0), "n0", true);
    world_remove(w, world_kind(w, "Node"), NULL, "n0");
    world_remove(w, world_kind(w, "Node"), NULL, "n1");
    rest(w);
    assert_int_equal(world_count(w, "Pod"), 1); /* that of n0 is another's business */
    assert_status(w, 0, 0, 0, 0, 0, 0);
    world_free(w);
}

TEST(daemonset_that_selects_everything_is_refused) {
    struct world *w = with_nodes(1, ROLLING "1}}", "", "");
    struct arena *a;
    struct apps_v1_daemon_set *d =
        (struct apps_v1_daemon_set *)edit((const struct api_object *)get(w), &a);
    d->spec.selector = ARENA_NEW(a, struct meta_v1_label_selector);
    edit_done(w, a, (struct api_object *)d);
    OWN(plan_free_p) struct plan *p = plan_of(w, "daemonset", key);
    assert_int_equal(plan_count_of(p, PLAN_EVENT, NULL), 1);
    assert_string_equal(plan_at(p, 0)->reason, "SelectingAll");
    assert_rests(w, "daemonset", key);
    world_free(w);
}

TEST(daemonset_keeps_its_history_up_to_the_limit) {
    struct world *w = with_nodes(1, ROLLING "1}}", "", ",\"revisionHistoryLimit\":2");
    static const char *const images[] = {"two", "three", "four", "five"};
    rest(w);
    serve_all(w, 1);
    for (size_t i = 0; i < ARRAY_LEN(images); i++) {
        set_image(w, images[i]);
        rest(w);
        serve_all(w, 1);
    }
    assert_int_equal(world_count(w, "ControllerRevision"), 3);
    world_free(w);
}

TEST(daemonset_revisions_are_written_as_clients_write_them) {
    struct world *w = with_nodes(1, ROLLING "1}}", "", "");
    set_image(w, "a<b>&\xe2\x80\xa8\xc3\xa4");
    rest(w);
    size_t at = 0;
    const struct apps_v1_controller_revision *r =
        (const struct apps_v1_controller_revision *)world_next(w, "ControllerRevision", NULL, &at);
    assert_non_null(strstr(r->data.p, "\"image\":\"a\\u003cb\\u003e\\u0026\\u2028\xc3\xa4\""));
    world_free(w);
}
