/* Energy mode, as the core decides it. */
#include "scheduler/core/power.h"

#include <stdio.h>

#include "base/own.h"
#include "scheduler/core/fixture.h"
#include "scheduler/place/profiles.h"

static const char config[] =
    "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nprofiles:\n"
    "- schedulerName: default-scheduler\n  plugins: {multiPoint: {enabled: [{name: "
    "EnergyConsolidation}]}}\n  pluginConfig:\n  - name: EnergyConsolidation\n    args: "
    "{idleSeconds: 60, spareNodes: 1, wakesAtOnce: 1}\n";

struct world {
    struct cluster c;
    struct sched_acts acts;
    struct sched_profiles *profiles;
};

static void power(void *user, const struct sched_node *n, bool down) {
    struct cluster *c = user;
    size_t at = strlen(c->said);
    snprintf(c->said + at, sizeof c->said - at, "%s %s\n", down ? "down" : "up", n->name);
}

static void init(struct world *w) {
    struct err err = {.text = ""};
    cluster_init(&w->c);
    w->acts = *w->c.core.acts;
    w->acts.power = power;
    w->c.core.acts = &w->acts;
    if (sched_profiles_parse(slice_of(config), &w->profiles, &err) < 0)
        fail_msg("%s: %s", err.field, err.text);
    snapshot_use_profiles(&w->c.core.snapshot, w->profiles);
}

static void done(struct world *w) {
    cluster_done(&w->c);
    sched_profiles_free(w->profiles);
}

/* As its API object comes: switched off it is silent, so it is tainted. */
static void node(struct world *w, const char *name, bool down, bool away) {
    struct api_object *o;
    const char *json = arena_printf(
        w->c.a,
        "{\"metadata\":{\"name\":\"%s\"},\"spec\":{%s},\"status\":{\"allocatable\":{\"cpu\":\"4\","
        "\"memory\":\"8Gi\",\"pods\":\"99\"},\"conditions\":[{\"type\":\"" POWER_CONDITION
        "\",\"status\":\"%s\"}]}}",
        name,
        away ? "\"taints\":[{\"key\":\"node.kubernetes.io/unreachable\",\"effect\":\"NoSchedule\"}]"
             : "",
        down ? "True" : "False");
    assert_int_equal(
        api_object_decode(w->c.a, api_kind_by_name("", "v1", "Node"), slice_of(json), &o, NULL), 0);
    core_put_node(&w->c.core, (struct core_v1_node *)o, w->c.now_ms);
}

static void look(struct world *w, uint64_t after_ms, const char *expected) {
    w->c.now_ms += after_ms;
    w->c.said[0] = 0;
    assert_int_not_equal(core_power(&w->c.core, w->c.now_ms), UINT64_MAX);
    assert_string_equal(w->c.said, expected);
    w->c.said[0] = 0;
}

TEST(power_idle_nodes_are_marked_but_the_spare_one) {
    struct world w;
    init(&w);
    for (int i = 0; i < 4; i++) node(&w, arena_printf(w.c.a, "n%d", i), false, false);
    cluster_runs(&w.c, "busy", "1", 0, "", "n0");
    look(&w, 0, "");
    look(&w, 59000, "");
    look(&w, 1000, "down n1\ndown n2\n");
    look(&w, 120000, "");
    done(&w);
}

TEST(power_pods_come_together_and_keep_off_marked_nodes) {
    struct world w;
    init(&w);
    node(&w, "n0", false, false);
    node(&w, "n1", false, false);
    node(&w, "n2", true, false);
    cluster_pod(&w.c, "a", "1", 0, "", "");
    cluster_expect(&w.c, "bind a n0\n");
    cluster_pod(&w.c, "b", "1", 0, "", "");
    cluster_expect(&w.c, "bind b n0\n");
    cluster_pod(&w.c, "c", "3", 0, "", "");
    cluster_expect(&w.c, "bind c n1\n");
    done(&w);
}

TEST(power_a_node_is_woken_for_a_pod_and_not_more_than_at_once) {
    struct world w;
    init(&w);
    node(&w, "n0", false, false);
    node(&w, "n1", true, true);
    node(&w, "n2", true, true);
    cluster_runs(&w.c, "low", "3", 0, "", "n0");
    cluster_pod(&w.c, "a", "3", 9, "", "");
    cluster_expect(&w.c, "up n1\nnominate a n1\n"); /* rather than pushing out the low one */
    node(&w, "n1", false, true);
    cluster_pod(&w.c, "b", "3", 0, "", "");
    cluster_expect(&w.c, ""); /* one wakes already, and has no room beside a */
    cluster_pod(&w.c, "small", "500m", 0, "", "");
    cluster_expect(&w.c, "bind small n0\n");
    node(&w, "n1", false, false);
    cluster_pass(&w.c, 20000);
    cluster_expect(&w.c, "bind a n1\nup n2\nnominate b n2\n");
    done(&w);
}

TEST(power_pods_that_no_sleeping_node_fits_wake_none) {
    struct world w;
    init(&w);
    node(&w, "n0", true, true);
    cluster_pod(&w.c, "large", "5", 0, "", "");
    cluster_expect(&w.c, "");
    done(&w);
}

TEST(power_is_off_without_a_profile_that_enables_it) {
    struct cluster c;
    cluster_init(&c);
    cluster_node(&c, "n", "");
    assert_int_equal(core_power(&c.core, 1000), UINT64_MAX);
    cluster_done(&c);
}

TEST(power_pods_of_daemon_sets_keep_no_node_awake) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct api_object *o;
    assert_int_equal(
        api_object_decode(a, api_kind_by_name("", "v1", "Pod"),
                          slice_of("{\"metadata\":{\"name\":\"p\",\"ownerReferences\":[{"
                                   "\"apiVersion\":\"apps/v1\",\"kind\":\"DaemonSet\",\"name\":"
                                   "\"d\",\"uid\":\"u\",\"controller\":true}]}}"),
                          &o, NULL),
        0);
    assert_true(power_pod_of_node((struct core_v1_pod *)o));
    o->metadata.owner_references.n = 0;
    assert_false(power_pod_of_node((struct core_v1_pod *)o));
}
