#include "controllers/workloads/replica_pods.h"

#include <stdlib.h>
#include <string.h>

#include "api/rules/pods.h"
#include "base/own.h"
#include "controllers/workloads/failures.h"

struct pod_list {
    const struct core_v1_pod **v;
    size_t n;
};

/* Owned pods that match; releases those that do not, adopts matching orphans. */
static struct pod_list claim(const struct world *w, const struct apps_v1_replica_set *rs,
                             struct plan *p) {
    struct arena *a = plan_arena(p);
    struct pod_list out = {0};
    const struct api_object *o;
    bool dying = rs->metadata.deletion_timestamp;
    size_t at = 0;
    while ((o = world_claimable(w, rs->metadata.uid, "Pod", rs->metadata.namespace, &at))) {
        const struct core_v1_pod *pod = (const struct core_v1_pod *)o;
        const struct meta_v1_owner_reference *owner = api_controller_of(o);
        bool matches = labels_match(rs->spec.selector, &o->metadata.labels);
        if (owner && matches)
            *ARENA_PUSH(a, &out) = pod;
        else if (owner && !dying && !o->metadata.deletion_timestamp)
            plan_release(p, o, rs->metadata.uid);
        else if (!owner && matches && !dying && pod_is_active(pod)) {
            plan_adopt(p, o, (const struct api_object *)rs);
            *ARENA_PUSH(a, &out) = pod;
        }
    }
    return out;
}

static int phase_rank(const struct core_v1_pod *pod) {
    if (str_eq(pod->status.phase, "Running")) return 2;
    return str_eq(pod->status.phase, "Unknown") ? 1 : 0;
}

static int64_t restarts(const struct core_v1_pod *pod) {
    int64_t n = 0;
    for (size_t i = 0; i < pod->status.container_statuses.n; i++)
        n += pod->status.container_statuses.v[i].restart_count;
    return n;
}

/* Which pod to delete first: not bound, not running, not ready, cheaper by annotation, restarted
 * more often, newer. */
static int by_expendability(const void *x, const void *y) {
    const struct core_v1_pod *a = *(const struct core_v1_pod *const *)x,
                             *b = *(const struct core_v1_pod *const *)y;
    int d = !str_empty(a->spec.node_name) - !str_empty(b->spec.node_name);
    if (!d) d = phase_rank(a) - phase_rank(b);
    if (!d) d = pod_is_ready(a) - pod_is_ready(b);
    if (!d) {
        static const char cost[] = "controller.kubernetes.io/pod-deletion-cost";
        int64_t ca = annotation_int((const struct api_object *)a, cost);
        int64_t cb = annotation_int((const struct api_object *)b, cost);
        d = (ca > cb) - (ca < cb);
    }
    if (!d) d = (restarts(b) > restarts(a)) - (restarts(b) < restarts(a));
    if (!d)
        d = strcmp(str_or(b->metadata.creation_timestamp, ""),
                   str_or(a->metadata.creation_timestamp, ""));
    return d ? d : strcmp(a->metadata.name, b->metadata.name);
}

static void create_pod(const struct apps_v1_replica_set *rs, struct plan *p) {
    struct arena *a = plan_arena(p);
    struct api_object *o = api_object_new(a, api_kind_by_name("", "v1", "Pod"));
    struct core_v1_pod *pod = (struct core_v1_pod *)o;
    pod->metadata.generate_name = arena_printf(a, "%s-", rs->metadata.name);
    pod->metadata.namespace = rs->metadata.namespace;
    pod->metadata.labels = rs->spec.template.metadata.labels;
    pod->metadata.annotations = rs->spec.template.metadata.annotations;
    pod->metadata.finalizers = rs->spec.template.metadata.finalizers;
    *ARENA_PUSH(a, &pod->metadata.owner_references) =
        controller_reference(a, (const struct api_object *)rs);
    pod->spec =
        *(struct core_v1_pod_spec *)api_copy(a, &core_v1_pod_spec_type, &rs->spec.template.spec);
    plan_create(p, o);
    plan_report(p, (const struct api_object *)rs, "SuccessfulCreate", "FailedCreate");
}

static size_t wanted(const struct apps_v1_replica_set *rs) {
    return (size_t)MAX_OF(int_or(rs->spec.replicas, 1), 0);
}

/* Milliseconds to wait before pods are made instead of those that no node has let in. */
static uint64_t pause_ms(const struct world *w, const struct apps_v1_replica_set *rs,
                         struct pod_list mine, struct plan *p) {
    struct failures f;
    size_t refused = 0;
    for (size_t i = 0; i < mine.n; i++)
        refused += str_eq(mine.v[i]->status.phase, "Failed") &&
                   !mine.v[i]->status.container_statuses.n && !pod_is_terminating(mine.v[i]);
    if (!refused) return 0;
    failures_read(&f, w, (const struct api_object *)rs, plan_arena(p));
    uint64_t wait_ms = failures_pause_ms(&f, "refused", refused);
    failures_write(&f, p);
    return wait_ms;
}

static void scale_pods(const struct apps_v1_replica_set *rs, struct pod_list active,
                       struct plan *p) {
    size_t want = wanted(rs);
    for (size_t i = active.n; i < want; i++) create_pod(rs, p);
    if (active.n <= want) return;
    qsort(active.v, active.n, sizeof *active.v, by_expendability);
    for (size_t i = 0; i < active.n - want; i++) {
        plan_delete(p, (const struct api_object *)active.v[i], NULL);
        plan_report(p, (const struct api_object *)rs, "SuccessfulDelete", "FailedDelete");
    }
}

static bool fully_labeled(const struct apps_v1_replica_set *rs, const struct core_v1_pod *pod) {
    const struct str_map *want = &rs->spec.template.metadata.labels;
    for (size_t i = 0; i < want->n; i++) {
        const char *v = str_map_get(&pod->metadata.labels, want->v[i].key);
        if (!v || !str_eq(v, want->v[i].value)) return false;
    }
    return true;
}

static void count(const struct world *w, const struct apps_v1_replica_set *rs,
                  struct pod_list active, struct plan *p, struct apps_v1_replica_set_status *s) {
    uint64_t wait_ms = 0;
    s->replicas = (int32_t)active.n;
    s->fully_labeled_replicas = s->ready_replicas = s->available_replicas = 0;
    for (size_t i = 0; i < active.n; i++) {
        s->fully_labeled_replicas += fully_labeled(rs, active.v[i]);
        s->ready_replicas += pod_is_ready(active.v[i]);
        s->available_replicas +=
            pod_available_at(active.v[i], rs->spec.min_ready_seconds, world_now_ns(w), &wait_ms);
    }
    s->observed_generation = rs->metadata.generation;
    if (wait_ms) plan_requeue(p, wait_ms);
}

static bool is_failure(const struct apps_v1_replica_set_condition *c) {
    return str_eq(c->type, "ReplicaFailure");
}

/* The condition ReplicaFailure: comes when a pod could not be made or deleted, goes when there are
 * as many as wanted. Its message is that of the first failure: that of a quota changes every time.
 */
static void failure_condition(const struct world *w, const struct apps_v1_replica_set *rs, size_t n,
                              struct plan *p, struct apps_v1_replica_set_status *s) {
    struct apps_v1_replica_set_condition_list old = s->conditions;
    bool off = n != wanted(rs), there = false;
    for (size_t i = 0; i < old.n; i++) there = there || is_failure(&old.v[i]);
    if (off ? there || !plan_last_failure(p) : !there) return;
    s->conditions = (struct apps_v1_replica_set_condition_list){0};
    for (size_t i = 0; i < old.n; i++)
        if (!is_failure(&old.v[i])) *ARENA_PUSH(plan_arena(p), &s->conditions) = old.v[i];
    if (!off) return;
    *ARENA_PUSH(plan_arena(p), &s->conditions) = (struct apps_v1_replica_set_condition){
        .type = "ReplicaFailure",
        .status = "True",
        .last_transition_time = now_text(plan_arena(p), w),
        .reason = n < wanted(rs) ? "FailedCreate" : "FailedDelete",
        .message = plan_last_failure(p),
    };
}

void replica_pods(const struct world *w, const struct apps_v1_replica_set *rs, struct plan *p,
                  void (*status_write)(const void *user, const struct apps_v1_replica_set_status *s,
                                       struct plan *p),
                  const void *user) {
    struct arena *a = plan_arena(p);
    struct pod_list mine = claim(w, rs, p), active = {0};
    struct apps_v1_replica_set_status s = rs->status;
    bool failed = plan_last_failure(p) != NULL;
    for (size_t i = 0; i < mine.n; i++)
        if (pod_is_active(mine.v[i])) *ARENA_PUSH(a, &active) = mine.v[i];
    count(w, rs, active, p, &s);
    if (!rs->metadata.deletion_timestamp) failure_condition(w, rs, active.n, p, &s);
    if (failed) status_write(user, &s, p);
    uint64_t wait_ms = active.n < wanted(rs) ? pause_ms(w, rs, mine, p) : 0;
    if (wait_ms)
        plan_requeue(p, wait_ms);
    else if (!rs->metadata.deletion_timestamp)
        scale_pods(rs, active, p);
    if (!failed) status_write(user, &s, p);
}
