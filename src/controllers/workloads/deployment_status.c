/* Deployment: counts and conditions. */
#include "base/own.h"
#include "base/times.h"
#include "controllers/workloads/deployment.h"

static struct apps_v1_deployment_condition *
condition(struct deployment_view *v, struct apps_v1_deployment_status *s, const char *type) {
    for (size_t i = 0; i < s->conditions.n; i++)
        if (str_eq(s->conditions.v[i].type, type)) return &s->conditions.v[i];
    struct apps_v1_deployment_condition *c = ARENA_PUSH(v->a, &s->conditions);
    c->type = type;
    return c;
}

static void set_condition(struct deployment_view *v, struct apps_v1_deployment_status *s,
                          const char *type, const char *text, const char *reason,
                          const char *message) {
    struct apps_v1_deployment_condition *c = condition(v, s, type);
    const char *now = now_text(v->a, v->w);
    bool same = str_eq(c->status, text) && str_eq(c->reason, reason);
    if (!str_eq(c->status, text)) c->last_transition_time = now;
    if (!same || !str_eq(c->message, message)) c->last_update_time = now;
    c->status = text;
    c->reason = reason;
    c->message = message;
}

static void sum_status(struct deployment_view *v, struct apps_v1_deployment_status *s) {
    s->replicas = s->ready_replicas = s->available_replicas = s->updated_replicas = 0;
    for (size_t i = 0; i < v->n_old + (v->current != NULL); i++) {
        const replica_set *rs = i < v->n_old ? v->old[i] : v->current;
        s->replicas += rs->status.replicas;
        s->ready_replicas += rs->status.ready_replicas;
        s->available_replicas += rs->status.available_replicas;
        if (rs == v->current) s->updated_replicas = rs->status.replicas;
    }
    s->unavailable_replicas =
        MAX_OF(MAX_OF(s->replicas, int_or(v->d->spec.replicas, 1)) - s->available_replicas, 0);
    s->observed_generation = v->d->metadata.generation;
}

static bool moved(const struct apps_v1_deployment_status *now,
                  const struct apps_v1_deployment_status *was) {
    return now->updated_replicas > was->updated_replicas ||
           now->ready_replicas > was->ready_replicas ||
           now->available_replicas > was->available_replicas ||
           now->replicas - now->updated_replicas < was->replicas - was->updated_replicas;
}

static void deadline(struct deployment_view *v, struct apps_v1_deployment_status *s) {
    struct apps_v1_deployment_condition *c = condition(v, s, "Progressing");
    int64_t since, limit_s = int_or(v->d->spec.progress_deadline_seconds, 600);
    if (str_eq(c->reason, "ProgressDeadlineExceeded") || v->d->spec.paused ||
        time_parse(str_or(c->last_update_time, ""), &since) < 0)
        return;
    int64_t left_ms = limit_s * 1000 - (world_now_ns(v->w) - since) / 1000000;
    if (left_ms > 0) {
        plan_requeue(v->p, (uint64_t)left_ms);
        return;
    }
    set_condition(v, s, "Progressing", "False", "ProgressDeadlineExceeded",
                  arena_printf(v->a, "ReplicaSet \"%s\" has timed out progressing.",
                               v->current ? v->current->metadata.name : v->d->metadata.name));
}

/* True while paused, and once after it: the deadline does not run then. */
static bool paused_condition(struct deployment_view *v, struct apps_v1_deployment_status *s,
                             const struct apps_v1_deployment_condition *c) {
    bool noted = str_eq(c->reason, "DeploymentPaused");
    if (v->d->spec.paused && !noted && !str_eq(c->reason, "ProgressDeadlineExceeded"))
        set_condition(v, s, "Progressing", "Unknown", "DeploymentPaused", "Deployment is paused");
    else if (!v->d->spec.paused && noted) {
        set_condition(v, s, "Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed");
        return true;
    }
    return v->d->spec.paused;
}

static void set_progress(struct deployment_view *v, struct apps_v1_deployment_status *s) {
    int32_t want = int_or(v->d->spec.replicas, 1);
    const char *name = v->current ? v->current->metadata.name : v->d->metadata.name;
    bool complete = v->current && s->updated_replicas == want && s->replicas == want &&
                    s->available_replicas >= want;
    struct apps_v1_deployment_condition *c = condition(v, s, "Progressing");
    if (paused_condition(v, s, c)) return;
    if (plan_last_failure(v->p) && !v->current && !v->created)
        set_condition(
            v, s, "Progressing", "False", "ReplicaSetCreateError",
            arena_printf(v->a, "Failed to create new replica set: %s", plan_last_failure(v->p)));
    else if (v->created)
        set_condition(v, s, "Progressing", "True", "NewReplicaSetCreated",
                      arena_printf(v->a, "Created new replica set \"%s\"",
                                   arena_printf(v->a, "%s-%s", v->d->metadata.name,
                                                template_hash(v->a, &v->d->spec.template,
                                                              v->d->status.collision_count))));
    else if (complete)
        set_condition(v, s, "Progressing", "True", "NewReplicaSetAvailable",
                      arena_printf(v->a, "ReplicaSet \"%s\" has successfully progressed.", name));
    else if (v->current && str_eq(c->reason, "ReplicaSetCreateError"))
        set_condition(v, s, "Progressing", "True", "FoundNewReplicaSet",
                      arena_printf(v->a, "Found new replica set \"%s\"", name));
    else if (moved(s, &v->d->status) || str_empty(c->status)) {
        set_condition(v, s, "Progressing", "True", "ReplicaSetUpdated",
                      arena_printf(v->a, "ReplicaSet \"%s\" is progressing.", name));
        c->last_update_time = now_text(v->a, v->w);
    } else
        deadline(v, s);
}

static const struct apps_v1_replica_set_condition *failure_of(const replica_set *rs) {
    for (size_t i = 0; rs && i < rs->status.conditions.n; i++) {
        const struct apps_v1_replica_set_condition *c = &rs->status.conditions.v[i];
        if (str_eq(c->type, "ReplicaFailure") && str_eq(c->status, "True")) return c;
    }
    return NULL;
}

/* What keeps a set from making its pods is told here too: that of the current one first. */
static void set_failure(struct deployment_view *v, struct apps_v1_deployment_status *s) {
    struct apps_v1_deployment_condition_list kept = {0};
    const struct apps_v1_replica_set_condition *c = failure_of(v->current);
    for (size_t i = 0; i < v->n_old && !c; i++) c = failure_of(v->old[i]);
    for (size_t i = 0; i < s->conditions.n; i++)
        if (!str_eq(s->conditions.v[i].type, "ReplicaFailure"))
            *ARENA_PUSH(v->a, &kept) = s->conditions.v[i];
    s->conditions = kept;
    if (c)
        *ARENA_PUSH(v->a, &s->conditions) =
            (struct apps_v1_deployment_condition){.type = c->type,
                                                  .status = c->status,
                                                  .last_update_time = c->last_transition_time,
                                                  .last_transition_time = c->last_transition_time,
                                                  .reason = c->reason,
                                                  .message = c->message};
}

void deployment_status_write(struct deployment_view *v) {
    struct apps_v1_deployment_status *s =
        api_copy(v->a, &apps_v1_deployment_status_type, &v->d->status);
    int32_t want = int_or(v->d->spec.replicas, 1);
    sum_status(v, s);
    if (s->available_replicas >= want - v->unavailable)
        set_condition(v, s, "Available", "True", "MinimumReplicasAvailable",
                      "Deployment has minimum availability.");
    else
        set_condition(v, s, "Available", "False", "MinimumReplicasUnavailable",
                      "Deployment does not have minimum availability.");
    set_progress(v, s);
    set_failure(v, s);
    if (api_equal(&apps_v1_deployment_status_type, s, &v->d->status)) return;
    deployment *copy = arena_copy(v->a, v->d, sizeof *v->d);
    copy->status = *s;
    plan_update_status(v->p, (struct api_object *)copy);
}
