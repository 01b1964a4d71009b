/*
 * Deployment: one ReplicaSet per pod template, replicas moved from the old ones to the current one
 * by rollout.c. Names, labels, annotations and conditions are those that kubectl rollout reads.
 */
#include <stdlib.h>
#include <string.h>

#include "api/pods.h"
#include "base/own.h"
#include "base/times.h"
#include "controllers/common.h"
#include "controllers/rollout.h"

static const char revision_key[] = "deployment.kubernetes.io/revision";
static const char desired_key[] = "deployment.kubernetes.io/desired-replicas";
static const char max_key[] = "deployment.kubernetes.io/max-replicas";
static const char hash_key[] = "pod-template-hash";

typedef struct apps_v1_deployment deployment;
typedef struct apps_v1_replica_set replica_set;

struct view {
    const struct world *w;
    const deployment *d;
    struct plan *p;
    struct arena *a;
    const replica_set *current; /* NULL: still to be made */
    const replica_set **old;    /* oldest first */
    size_t n_old;
    int64_t max_revision; /* of the old ones */
    int32_t surge, unavailable;
    bool created; /* this plan creates the current one */
};

static int64_t revision_of(const replica_set *rs) {
    return annotation_int((const struct api_object *)rs, revision_key);
}

static int by_age(const void *x, const void *y) {
    const replica_set *a = *(const replica_set *const *)x, *b = *(const replica_set *const *)y;
    int d = strcmp(str_or(a->metadata.creation_timestamp, ""),
                   str_or(b->metadata.creation_timestamp, ""));
    return d ? d : strcmp(a->metadata.name, b->metadata.name);
}

/* Adopts orphans that match and releases what does not match any more. True when that is in the
 * plan: the rest waits for its result. */
static bool claim(struct view *v) {
    const struct api_object *o;
    size_t before = plan_count(v->p), at = 0;
    if (v->d->metadata.deletion_timestamp) return false;
    const struct meta_v1_object_meta *m = &v->d->metadata;
    while ((o = world_claimable(v->w, m->uid, "ReplicaSet", m->namespace, &at))) {
        const struct meta_v1_owner_reference *owner = api_controller_of(o);
        if (o->metadata.deletion_timestamp) continue;
        bool matches = labels_match(v->d->spec.selector, &o->metadata.labels);
        if (owner && !matches) plan_release(v->p, o, v->d->metadata.uid);
        if (!owner && matches) plan_adopt(v->p, o, (const struct api_object *)v->d);
    }
    return plan_count(v->p) > before;
}

static void gather(struct view *v) {
    struct {
        const replica_set **v;
        size_t n;
    } all = {0};
    const struct api_object *o;
    size_t at = 0;
    while ((o = world_owned(v->w, v->d->metadata.uid, "ReplicaSet", &at)))
        *ARENA_PUSH(v->a, &all) = (const replica_set *)o;
    if (all.n) qsort(all.v, all.n, sizeof *all.v, by_age);
    v->old = ARENA_ARRAY(v->a, const replica_set *, all.n);
    for (size_t i = 0; i < all.n; i++) {
        if (!v->current && !all.v[i]->metadata.deletion_timestamp &&
            template_equal(&all.v[i]->spec.template, &v->d->spec.template)) {
            v->current = all.v[i];
            continue;
        }
        v->old[v->n_old++] = all.v[i];
        v->max_revision = MAX_OF(v->max_revision, revision_of(all.v[i]));
    }
}

/* base and the numbers that the replicas were chosen for. */
static struct str_map size_annotations(struct view *v, const struct str_map *base) {
    struct str_map out = {0};
    for (size_t i = 0; base && i < base->n; i++)
        str_map_set(v->a, &out, base->v[i].key, base->v[i].value);
    str_map_set(v->a, &out, desired_key, arena_printf(v->a, "%d", int_or(v->d->spec.replicas, 1)));
    str_map_set(v->a, &out, max_key,
                arena_printf(v->a, "%d", int_or(v->d->spec.replicas, 1) + v->surge));
    return out;
}

/* The same with what its current ReplicaSet takes over from the Deployment: all annotations but its
 * bookkeeping. */
static struct str_map carried_annotations(struct view *v, const struct str_map *base) {
    static const char *const own[] = {revision_key, desired_key, max_key,
                                      "kubectl.kubernetes.io/last-applied-configuration",
                                      "deprecated.deployment.rollback.to"};
    struct str_map out = size_annotations(v, base);
    for (size_t i = 0; i < v->d->metadata.annotations.n; i++) {
        const struct str_pair *x = &v->d->metadata.annotations.v[i];
        bool skip = false;
        for (size_t j = 0; j < ARRAY_LEN(own); j++) skip |= str_eq(x->key, own[j]);
        if (!skip) str_map_set(v->a, &out, x->key, x->value);
    }
    return out;
}

static int64_t next_revision(const struct view *v) { return v->max_revision + 1; }

static void create_current(struct view *v, int32_t replicas) {
    const char *hash = template_hash(v->a, &v->d->spec.template, v->d->status.collision_count);
    replica_set *rs =
        (replica_set *)api_object_new(v->a, api_kind_by_name("apps", "v1", "ReplicaSet"));
    rs->metadata.name = arena_printf(v->a, "%s-%s", v->d->metadata.name, hash);
    rs->metadata.namespace = v->d->metadata.namespace;
    rs->metadata.annotations = carried_annotations(v, NULL);
    str_map_set(v->a, &rs->metadata.annotations, revision_key,
                arena_printf(v->a, "%lld", (long long)next_revision(v)));
    *ARENA_PUSH(v->a, &rs->metadata.owner_references) =
        controller_reference(v->a, (const struct api_object *)v->d);
    rs->spec.replicas = int_new(v->a, replicas);
    rs->spec.min_ready_seconds = v->d->spec.min_ready_seconds;
    rs->spec.template = *(struct core_v1_pod_template_spec *)api_copy(
        v->a, &core_v1_pod_template_spec_type, &v->d->spec.template);
    str_map_set(v->a, &rs->spec.template.metadata.labels, hash_key, hash);
    rs->metadata.labels = rs->spec.template.metadata.labels;
    rs->spec.selector = api_copy(v->a, &meta_v1_label_selector_type, v->d->spec.selector);
    str_map_set(v->a, &rs->spec.selector->match_labels, hash_key, hash);
    plan_create(v->p, (struct api_object *)rs);
    plan_event(v->p, (const struct api_object *)v->d, "Normal", "ScalingReplicaSet",
               "Scaled up replica set %s from 0 to %d", rs->metadata.name, replicas);
    v->created = true;
}

/* A name taken by a ReplicaSet with another template: count it, so that the next hash differs. */
static bool collision(struct view *v) {
    const char *hash = template_hash(v->a, &v->d->spec.template, v->d->status.collision_count);
    const char *name = arena_printf(v->a, "%s-%s", v->d->metadata.name, hash);
    if (!world_get(v->w, "ReplicaSet", v->d->metadata.namespace, name)) return false;
    deployment *copy = arena_copy(v->a, v->d, sizeof *v->d);
    copy->status.collision_count = int_new(v->a, int_or(v->d->status.collision_count, 0) + 1);
    plan_update_status(v->p, (struct api_object *)copy);
    return true;
}

/* Whether the replicas of some set were chosen for another number of replicas of the Deployment. */
static bool scaling(const struct view *v) {
    const char *want = arena_printf(v->a, "%d", int_or(v->d->spec.replicas, 1));
    for (size_t i = 0; i < v->n_old + (v->current != NULL); i++) {
        const replica_set *rs = i < v->n_old ? v->old[i] : v->current;
        const char *chosen = str_map_get(&rs->metadata.annotations, desired_key);
        if (int_or(rs->spec.replicas, 1) > 0 && chosen && !str_eq(chosen, want)) return true;
    }
    return false;
}

/* In the middle of a rolling update a new number of replicas is shared out first. */
static bool scales_apart(const struct view *v) {
    return scaling(v) && !str_eq(v->d->spec.strategy.type, "Recreate");
}

static void scale_set(struct view *v, const replica_set *rs, int32_t want, bool current) {
    bool shared = v->d->spec.paused || scales_apart(v);
    int32_t was = int_or(rs->spec.replicas, 1);
    replica_set *copy = arena_copy(v->a, rs, sizeof *rs);
    copy->metadata.annotations = current ? carried_annotations(v, &rs->metadata.annotations)
                                         : size_annotations(v, &rs->metadata.annotations);
    if (current) {
        int64_t revision = MAX_OF(revision_of(rs), next_revision(v));
        if (revision_of(rs) <= v->max_revision)
            str_map_set(v->a, &copy->metadata.annotations, revision_key,
                        arena_printf(v->a, "%lld", (long long)revision));
        copy->spec.min_ready_seconds = v->d->spec.min_ready_seconds;
    } else if (was == want && !shared)
        return;
    copy->spec.replicas = int_new(v->a, want);
    if (was == want && copy->spec.min_ready_seconds == rs->spec.min_ready_seconds) {
        struct meta_v1_object_meta *x = &copy->metadata;
        if (api_equal(&meta_v1_object_meta_type, x, &rs->metadata)) return;
    }
    plan_update(v->p, (struct api_object *)copy);
    if (was != want)
        plan_event(v->p, (const struct api_object *)v->d, "Normal", "ScalingReplicaSet",
                   "Scaled %s replica set %s from %d to %d", want > was ? "up" : "down",
                   rs->metadata.name, was, want);
}

/* Pods of a set, those that are being deleted among them if `leaving`. The set's status may be
 * older than what it has made. */
static int32_t pods_of(const struct view *v, const replica_set *rs, bool leaving) {
    const struct api_object *o;
    int32_t n = 0;
    for (size_t at = 0; (o = world_owned(v->w, rs->metadata.uid, "Pod", &at));) {
        const struct core_v1_pod *pod = (const struct core_v1_pod *)o;
        n += leaving ? !pod_is_terminal(pod) : pod_is_active(pod);
    }
    return MAX_OF(n, rs->status.replicas);
}

static struct rollout plan_rollout(struct view *v) {
    struct rollout r = {.replicas = int_or(v->d->spec.replicas, 1),
                        .surge = v->surge,
                        .unavailable = v->unavailable};
    if (v->current)
        r.current = (struct rollout_set){.replicas = int_or(v->current->spec.replicas, 1),
                                         .pods = pods_of(v, v->current, false),
                                         .available = v->current->status.available_replicas};
    int32_t old_pods = 0;
    r.old = ARENA_ARRAY(v->a, struct rollout_set, v->n_old);
    r.n_old = v->n_old;
    for (size_t i = 0; i < v->n_old; i++) {
        r.old[i].replicas = int_or(v->old[i]->spec.replicas, 1);
        r.old[i].pods = pods_of(v, v->old[i], false);
        old_pods += pods_of(v, v->old[i], true);
        r.old[i].available = v->old[i]->status.available_replicas;
    }
    if (v->d->spec.paused || scales_apart(v))
        rollout_scale(&r);
    else if (str_eq(v->d->spec.strategy.type, "Recreate"))
        rollout_recreate(&r, old_pods);
    else
        rollout_step(&r);
    return r;
}

static void roll(struct view *v) {
    struct rollout r = plan_rollout(v);
    if (v->d->spec.paused || scales_apart(v)) {
        /* No rollout and no new set, but what there is follows spec.replicas. */
        bool none = v->current && int_or(v->current->spec.replicas, 1) == 0 && r.current.want > 0;
        if (!scaling(v) && !none) return;
        if (v->current) scale_set(v, v->current, r.current.want, true);
        for (size_t i = 0; i < v->n_old; i++)
            if (int_or(v->old[i]->spec.replicas, 1) > 0)
                scale_set(v, v->old[i], r.old[i].want, false);
        return;
    }
    if (!v->current && collision(v)) return;
    if (v->current)
        scale_set(v, v->current, r.current.want, true);
    else
        create_current(v, r.current.want);
    for (size_t i = 0; i < v->n_old; i++) scale_set(v, v->old[i], r.old[i].want, false);
}

static int by_revision(const void *x, const void *y) {
    const replica_set *a = *(const replica_set *const *)x, *b = *(const replica_set *const *)y;
    int64_t d = revision_of(a) - revision_of(b);
    return (d > 0) - (d < 0);
}

static void clean_history(struct view *v) {
    size_t keep = (size_t)MAX_OF(int_or(v->d->spec.revision_history_limit, 10), 0), idle = 0;
    const replica_set **done = ARENA_ARRAY(v->a, const replica_set *, v->n_old);
    for (size_t i = 0; i < v->n_old; i++) {
        const replica_set *rs = v->old[i];
        if (int_or(rs->spec.replicas, 1) == 0 && rs->status.replicas == 0 &&
            !rs->metadata.deletion_timestamp &&
            rs->status.observed_generation >= rs->metadata.generation)
            done[idle++] = rs;
    }
    if (idle <= keep) return;
    qsort(done, idle, sizeof *done, by_revision);
    for (size_t i = 0; i < idle - keep; i++)
        plan_delete(v->p, (const struct api_object *)done[i], NULL);
}

/* ---- status ---- */

static struct apps_v1_deployment_condition *
condition(struct view *v, struct apps_v1_deployment_status *s, const char *type) {
    for (size_t i = 0; i < s->conditions.n; i++)
        if (str_eq(s->conditions.v[i].type, type)) return &s->conditions.v[i];
    struct apps_v1_deployment_condition *c = ARENA_PUSH(v->a, &s->conditions);
    c->type = type;
    return c;
}

static void set_condition(struct view *v, struct apps_v1_deployment_status *s, const char *type,
                          const char *text, const char *reason, const char *message) {
    struct apps_v1_deployment_condition *c = condition(v, s, type);
    const char *now = now_text(v->a, v->w);
    bool same = str_eq(c->status, text) && str_eq(c->reason, reason);
    if (!str_eq(c->status, text)) c->last_transition_time = now;
    if (!same || !str_eq(c->message, message)) c->last_update_time = now;
    c->status = text;
    c->reason = reason;
    c->message = message;
}

static void sum_status(struct view *v, struct apps_v1_deployment_status *s) {
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

static void deadline(struct view *v, struct apps_v1_deployment_status *s) {
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
static bool paused_condition(struct view *v, struct apps_v1_deployment_status *s,
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

static void set_progress(struct view *v, struct apps_v1_deployment_status *s) {
    int32_t want = int_or(v->d->spec.replicas, 1);
    const char *name = v->current ? v->current->metadata.name : v->d->metadata.name;
    bool complete = v->current && s->updated_replicas == want && s->replicas == want &&
                    s->available_replicas >= want;
    struct apps_v1_deployment_condition *c = condition(v, s, "Progressing");
    if (paused_condition(v, s, c)) return;
    if (v->created)
        set_condition(v, s, "Progressing", "True", "NewReplicaSetCreated",
                      arena_printf(v->a, "Created new replica set \"%s\"",
                                   arena_printf(v->a, "%s-%s", v->d->metadata.name,
                                                template_hash(v->a, &v->d->spec.template,
                                                              v->d->status.collision_count))));
    else if (complete)
        set_condition(v, s, "Progressing", "True", "NewReplicaSetAvailable",
                      arena_printf(v->a, "ReplicaSet \"%s\" has successfully progressed.", name));
    else if (moved(s, &v->d->status) || str_empty(c->status)) {
        set_condition(v, s, "Progressing", "True", "ReplicaSetUpdated",
                      arena_printf(v->a, "ReplicaSet \"%s\" is progressing.", name));
        c->last_update_time = now_text(v->a, v->w);
    } else
        deadline(v, s);
}

static void write_status(struct view *v) {
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
    if (api_equal(&apps_v1_deployment_status_type, s, &v->d->status)) return;
    deployment *copy = arena_copy(v->a, v->d, sizeof *v->d);
    copy->status = *s;
    plan_update_status(v->p, (struct api_object *)copy);
}

/* kubectl rollout history and undo read the revision on the Deployment itself. */
static bool write_revision(struct view *v) {
    if (!v->current || revision_of(v->current) <= v->max_revision) return false;
    const char *want = str_map_get(&v->current->metadata.annotations, revision_key);
    if (str_eq(str_map_get(&v->d->metadata.annotations, revision_key), want)) return false;
    deployment *copy = (deployment *)api_object_copy(
        v->a, api_kind_by_name("apps", "v1", "Deployment"), (const struct api_object *)v->d);
    str_map_set(v->a, &copy->metadata.annotations, revision_key, want);
    plan_update(v->p, (struct api_object *)copy);
    return true;
}

static int reconcile(const struct world *w, const char *key, struct plan *p, struct err *err) {
    (void)err;
    const char *ns, *name;
    key_split(plan_arena(p), key, &ns, &name);
    const deployment *d = (const deployment *)world_get(w, "Deployment", ns, name);
    if (!d) return 0;
    struct view v = {.w = w, .d = d, .p = p, .a = plan_arena(p)};
    rollout_limits(
        d->spec.strategy.rolling_update ? &d->spec.strategy.rolling_update->max_surge : NULL,
        d->spec.strategy.rolling_update ? &d->spec.strategy.rolling_update->max_unavailable : NULL,
        int_or(d->spec.replicas, 1), &v.surge, &v.unavailable);
    if (str_eq(d->spec.strategy.type, "Recreate"))
        v.surge = v.unavailable = 0; /* available means all of them, as upstream */
    if (claim(&v)) return 0;
    gather(&v);
    if (!d->metadata.deletion_timestamp) {
        /* The status write that follows needs the new resourceVersion: it comes with the next
         * round. */
        if (write_revision(&v)) return 0;
        roll(&v);
        clean_history(&v);
        if (plan_count_of(p, PLAN_UPDATE_STATUS, NULL)) return 0;
    }
    write_status(&v);
    return 0;
}

static bool selects(const struct api_object *o, const struct str_map *labels) {
    return labels_match(((const deployment *)o)->spec.selector, labels);
}

/* Besides the Deployments that may adopt a ReplicaSet: the end of a pod for which a Recreate may
 * wait. */
static void map(const struct reconciler *r, const struct world *w, const struct api_kind *k,
                const struct api_object *now, const struct api_object *old, struct keys *out) {
    static const char *const claimed[] = {"ReplicaSet", NULL};
    adoption_map(r, w, k, now, old, out, claimed, selects);
    if (strcmp(k->kind, "Pod") != 0 || (now && !pod_is_terminal((const struct core_v1_pod *)now)))
        return;
    const struct meta_v1_owner_reference *owner = api_controller_of(now ? now : old);
    const struct api_object *rs =
        owner ? world_by_uid(w, "ReplicaSet", str_or(owner->uid, "")) : NULL;
    owner = rs ? api_controller_of(rs) : NULL;
    if (owner && str_eq(owner->kind, "Deployment"))
        keys_add_name(out, rs->metadata.namespace, owner->name);
}

static const char *const watches[] = {"Deployment", "ReplicaSet", "Pod", NULL};
static const struct reconciler deployment_reconciler = {.name = "deployment",
                                                        .kind = "Deployment",
                                                        .watches = watches,
                                                        .map = map,
                                                        .reconcile = reconcile};
RECONCILER(deployment_reconciler);
