/* ReplicationController: the older ReplicaSet, whose selector is a plain map of labels. */
#include <string.h>

#include "base/own.h"
#include "controllers/workloads/failures.h"
#include "controllers/workloads/replica_pods.h"

/* The selector; without one the labels of the template. */
static const struct str_map *selector_of(const struct core_v1_replication_controller *rc) {
    if (rc->spec.selector.n || !rc->spec.template) return &rc->spec.selector;
    return &rc->spec.template->metadata.labels;
}

static const struct apps_v1_replica_set *
as_replica_set(struct arena *a, const struct core_v1_replication_controller *rc) {
    struct apps_v1_replica_set *rs = ARENA_NEW(a, struct apps_v1_replica_set);
    struct meta_v1_label_selector *selector = ARENA_NEW(a, struct meta_v1_label_selector);
    selector->match_labels = *selector_of(rc);
    rs->api_version = rc->api_version;
    rs->kind = rc->kind;
    rs->metadata = rc->metadata;
    for (size_t i = 0; i < rc->status.conditions.n; i++) {
        const struct core_v1_replication_controller_condition *c = &rc->status.conditions.v[i];
        *ARENA_PUSH(a, &rs->status.conditions) =
            (struct apps_v1_replica_set_condition){.type = c->type,
                                                   .status = c->status,
                                                   .last_transition_time = c->last_transition_time,
                                                   .reason = c->reason,
                                                   .message = c->message};
    }
    rs->spec.replicas = rc->spec.replicas;
    rs->spec.min_ready_seconds = rc->spec.min_ready_seconds;
    rs->spec.selector = selector;
    if (rc->spec.template) rs->spec.template = *rc->spec.template;
    return rs;
}

static void status_write(const void *user, const struct apps_v1_replica_set_status *counted,
                         struct plan *p) {
    struct arena *a = plan_arena(p);
    const struct core_v1_replication_controller *rc = user;
    struct core_v1_replication_controller_status s = rc->status;
    s.replicas = counted->replicas;
    s.fully_labeled_replicas = counted->fully_labeled_replicas;
    s.ready_replicas = counted->ready_replicas;
    s.available_replicas = counted->available_replicas;
    s.observed_generation = counted->observed_generation;
    s.conditions = (struct core_v1_replication_controller_condition_list){0};
    for (size_t i = 0; i < counted->conditions.n; i++) {
        const struct apps_v1_replica_set_condition *c = &counted->conditions.v[i];
        *ARENA_PUSH(a, &s.conditions) = (struct core_v1_replication_controller_condition){
            .type = c->type,
            .status = c->status,
            .last_transition_time = c->last_transition_time,
            .reason = c->reason,
            .message = c->message};
    }
    if (api_equal(&core_v1_replication_controller_status_type, &s, &rc->status)) return;
    struct core_v1_replication_controller *copy = arena_copy(a, rc, sizeof *rc);
    copy->status = s;
    plan_update_status(p, (const struct api_object *)copy);
}

static int reconcile(const struct world *w, const char *key, struct plan *p, struct err *err) {
    (void)err;
    struct arena *a = plan_arena(p);
    const char *ns, *name;
    key_split(a, key, &ns, &name);
    const struct core_v1_replication_controller *rc =
        (const struct core_v1_replication_controller *)world_get(w, "ReplicationController", ns,
                                                                 name);
    if (!rc) failures_drop(w, "ReplicationController", ns, name, p);
    if (!rc || !rc->spec.template) return 0;
    replica_pods(w, as_replica_set(a, rc), p, status_write, rc);
    return 0;
}

static bool selects(const struct api_object *o, const struct str_map *labels) {
    const struct core_v1_replication_controller *rc =
        (const struct core_v1_replication_controller *)o;
    struct meta_v1_label_selector s = {.match_labels = *selector_of(rc)};
    return s.match_labels.n && labels_match(&s, labels);
}

static void map(const struct reconciler *r, const struct world *w, const struct api_kind *k,
                const struct api_object *now, const struct api_object *old, struct keys *out) {
    static const char *const claimed[] = {"Pod", NULL};
    adoption_map(r, w, k, now, old, out, claimed, selects);
}

static const char *const watches[] = {"ReplicationController", "Pod", NULL};
static const struct reconciler replicationcontroller = {.name = "replicationcontroller",
                                                        .kind = "ReplicationController",
                                                        .watches = watches,
                                                        .map = map,
                                                        .reconcile = reconcile};
RECONCILER(replicationcontroller);
