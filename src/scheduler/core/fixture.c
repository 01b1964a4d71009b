#include "scheduler/core/fixture.h"

#include <stdio.h>
#include <string.h>

const char *cluster_namespace = "d";

__attribute__((format(printf, 2, 3))) static void say(struct cluster *c, const char *fmt, ...) {
    size_t n = strlen(c->said);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->said + n, sizeof c->said - n, fmt, ap);
    va_end(ap);
}

static const struct core_v1_pod *pod_of(void *user, const char *ns, const char *name) {
    (void)ns;
    return map_gets(&((struct cluster *)user)->pods, name);
}

static void bind(void *user, const struct core_v1_pod *pod, const char *node) {
    struct cluster *c = user;
    say(c, "bind %s %s\n", pod->metadata.name, node);
    map_del(&c->pods, slice_of(pod->metadata.name));
}

static void refuse(void *user, const struct core_v1_pod *pod, const char *message,
                   const char *nominated) {
    struct core_v1_pod *own = map_gets(&((struct cluster *)user)->pods, pod->metadata.name);
    assert_non_null(message);
    if (nominated && !str_eq(nominated, own->status.nominated_node_name))
        say(user, "nominate %s %s\n", pod->metadata.name, nominated);
    if (!nominated && strstr(message, "siblings")) say(user, "few %s\n", pod->metadata.name);
    own->status.nominated_node_name = nominated;
}

static void evict(void *user, const struct sched_pod *victim, const struct core_v1_pod *by) {
    say(user, "evict %s for %s\n", sched_pod_name(victim), by->metadata.name);
}

static void unnominate(void *user, const struct nominated *m) {
    say(user, "unnominate %s\n", m->name);
}

static void gang_late(void *user, const struct gang *g, const char *message) {
    (void)message;
    say(user, "late %s\n", g->name);
}

static const struct sched_acts acts = {pod_of, bind, refuse, evict, unnominate, gang_late};

static void *decoded(struct cluster *c, const char *group, const char *version, const char *kind,
                     const char *json) {
    struct api_object *o;
    struct err err;
    if (api_object_decode(c->a, api_kind_by_name(group, version, kind), slice_of(json), &o, &err) <
        0)
        fail_msg("%s: %s", json, err.text);
    return o;
}

void cluster_init(struct cluster *c) {
    *c = (struct cluster){.core = {.acts = &acts}, .a = arena_new(), .now_ms = 1000};
    c->core.user = c;
    cluster_namespace = "d";
}

void cluster_done(struct cluster *c) {
    core_done(&c->core);
    map_done(&c->pods);
    arena_free(c->a);
}

void cluster_node(struct cluster *c, const char *name, const char *more) {
    core_put_node(&c->core,
                  decoded(c, "", "v1", "Node",
                          arena_printf(c->a,
                                       "{\"metadata\":{\"name\":\"%s\",\"labels\":{\"host\":\"%s\"}"
                                       "},%s\"status\":{\"allocatable\":{\"cpu\":\"4\",\"memory\":"
                                       "\"8Gi\",\"pods\":\"99\"}}}",
                                       name, name, more)),
                  c->now_ms);
}

static struct core_v1_pod *pod_new(struct cluster *c, const char *name, const char *cpu,
                                   int priority, const char *labels, const char *more) {
    return decoded(
        c, "", "v1", "Pod",
        arena_printf(
            c->a,
            "{\"metadata\":{\"name\":\"%s\",\"uid\":\"%s\",\"namespace\":\"%s\",\"labels\":"
            "{%s}},\"spec\":{\"schedulerName\":\"default-scheduler\",\"priority\":%d,"
            "\"containers\":[{\"name\":\"c\",\"resources\":{\"requests\":{\"cpu\":\"%s\"}}}"
            "]%s}}",
            name, name, cluster_namespace, labels, priority, cpu, more));
}

void cluster_pod(struct cluster *c, const char *name, const char *cpu, int priority,
                 const char *labels, const char *more) {
    struct core_v1_pod *pod = pod_new(c, name, cpu, priority, labels, more);
    map_put(&c->pods, slice_of(name), pod);
    core_put_pod(&c->core, pod, true, c->now_ms);
}

void cluster_runs(struct cluster *c, const char *name, const char *cpu, int priority,
                  const char *labels, const char *node) {
    struct core_v1_pod *pod = pod_new(c, name, cpu, priority, labels, "");
    pod->spec.node_name = arena_str(c->a, node);
    core_put_pod(&c->core, pod, true, c->now_ms);
}

void cluster_gone(struct cluster *c, const char *name) {
    map_del(&c->pods, slice_of(name));
    core_remove_pod(&c->core, name, c->now_ms);
}

void cluster_group(struct cluster *c, const char *name, int least) {
    core_put_group(
        &c->core,
        decoded(c, "scheduling.x-k8s.io", "v1alpha1", "PodGroup",
                arena_printf(c->a,
                             "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"%s\"},\"spec\":{"
                             "\"minMember\":%d}}",
                             name, cluster_namespace, least)),
        c->now_ms);
}

void cluster_quota(struct cluster *c, const char *namespace, const char *min, const char *max) {
    core_put_quota(
        &c->core,
        decoded(
            c, "scheduling.x-k8s.io", "v1alpha1", "ElasticQuota",
            arena_printf(c->a,
                         "{\"metadata\":{\"name\":\"q\",\"namespace\":\"%s\"},\"spec\":{\"min\":"
                         "{\"cpu\":\"%s\"},\"max\":{\"cpu\":\"%s\"}}}",
                         namespace, min, max)),
        c->now_ms);
}

void cluster_budget(struct cluster *c, const char *name, const char *app, int allowed) {
    budgets_put(
        &c->core.budgets,
        decoded(c, "policy", "v1", "PodDisruptionBudget",
                arena_printf(c->a,
                             "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"d\"},\"spec\":{"
                             "\"selector\":{\"matchLabels\":{\"app\":\"%s\"}}},\"status\":{"
                             "\"disruptionsAllowed\":%d}}",
                             name, app, allowed)));
}

void cluster_expect(struct cluster *c, const char *said) {
    for (int turns = 0; core_run(&c->core, c->now_ms, 64) == 0;)
        if (++turns > 1000) fail_msg("the core does not rest");
    assert_string_equal(c->said, said);
    c->said[0] = 0;
}

void cluster_pass(struct cluster *c, uint64_t ms) { c->now_ms += ms; }
