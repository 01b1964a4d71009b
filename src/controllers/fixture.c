#include "controllers/fixture.h"

#include <stdlib.h>

#include "api/rules/pods.h"
#include "base/times.h"

static const struct reconciler *find(const char *name) {
    size_t n;
    OWN(free_p) const struct reconciler **list = reconcilers(&n);
    for (size_t i = 0; i < n; i++)
        if (str_eq(list[i]->name, name)) return list[i];
    fail_msg("no reconciler %s", name);
    return NULL;
}

struct plan *plan_after(const struct world *w, const char *reconciler, const char *key,
                        const char *failure) {
    struct err err = {.text = ""};
    struct plan *p = plan_new();
    if (failure) plan_set_last_failure(p, failure);
    if (find(reconciler)->reconcile(w, key, p, &err))
        fail_msg("%s %s: %s", reconciler, key, err.text);
    plan_detach(p);
    return p;
}

struct plan *plan_of(const struct world *w, const char *reconciler, const char *key) {
    return plan_after(w, reconciler, key, NULL);
}

int run(struct world *w, const char *reconciler, const char *key) {
    struct err err = {.text = ""};
    OWN(plan_free_p) struct plan *p = plan_of(w, reconciler, key);
    int n = world_apply(w, p, &err);
    if (n < 0) {
        OWN(buf_done) struct buf b = {0};
        plan_describe(p, &b);
        fail_msg("%s %s: %s\n%s", reconciler, key, err.text, b.p ? b.p : "");
    }
    return n;
}

void assert_rests(const struct world *w, const char *reconciler, const char *key) {
    OWN(plan_free_p) struct plan *p = plan_of(w, reconciler, key);
    if (plan_count(p) == plan_count_of(p, PLAN_EVENT, NULL) + plan_count_of(p, PLAN_NOTE, NULL))
        return;
    OWN(buf_done) struct buf b = {0};
    plan_describe(p, &b);
    fail_msg("%s %s still writes:\n%s", reconciler, key, b.p ? b.p : "");
}

void settle(struct world *w, const char *reconciler, const char *key) {
    for (int i = 0; i < 10; i++)
        if (run(w, reconciler, key) == 0) {
            assert_rests(w, reconciler, key);
            return;
        }
    fail_msg("%s %s never rests", reconciler, key);
}

struct api_object *edit(const struct api_object *o, struct arena **ret_a) {
    *ret_a = arena_new();
    return api_object_copy(*ret_a, api_kind_by_api_version(o->api_version, o->kind), o);
}

void edit_done(struct world *w, struct arena *a, struct api_object *o) {
    world_put_seen(w, api_kind_by_api_version(o->api_version, o->kind), a, o);
}

void pod_runs(struct world *w, const struct api_object *pod, bool ready) {
    struct arena *a;
    struct core_v1_pod *p = (struct core_v1_pod *)edit(pod, &a);
    p->status.phase = "Running";
    p->spec.node_name = "n1";
    if (str_empty(p->status.pod_ip)) p->status.pod_ip = "10.0.0.9";
    pod_condition_set(a, p, "Ready", ready ? "True" : "False", NULL, NULL, now_text(a, w));
    edit_done(w, a, (struct api_object *)p);
}

void pod_ends(struct world *w, const struct api_object *pod, const char *phase) {
    struct arena *a;
    struct core_v1_pod *p = (struct core_v1_pod *)edit(pod, &a);
    p->status.phase = phase;
    pod_condition_set(a, p, "Ready", "False", NULL, NULL, now_text(a, w));
    edit_done(w, a, (struct api_object *)p);
}

void pass_ms(struct world *w, int64_t ms) { world_set_now(w, world_now_ns(w) + ms * 1000000); }

const struct core_v1_pod *pod_get(const struct world *w, const char *name) {
    return (const struct core_v1_pod *)world_get(w, "Pod", "default", name);
}

const struct apps_v1_replica_set *set_get(const struct world *w, const char *name) {
    return (const struct apps_v1_replica_set *)world_get(w, "ReplicaSet", "default", name);
}
