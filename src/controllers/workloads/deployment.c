/*
 * Deployment: one ReplicaSet per pod template, replicas moved from the old ones to the current one
 * by rollout.c. Names, labels, annotations and conditions are those that kubectl rollout reads.
 */
#include <stdlib.h>
#include <string.h>

#include "api/rules/pods.h"
#include "base/own.h"
#include "controllers/workloads/deployment.h"
#include "controllers/workloads/rollout.h"

static const char revision_key[] = "deployment.kubernetes.io/revision";
static const char history_key[] = "deployment.kubernetes.io/revision-history";
static const char desired_key[] = "deployment.kubernetes.io/desired-replicas";
static const char max_key[] = "deployment.kubernetes.io/max-replicas";
static const char hash_key[] = "pod-template-hash";

enum { HISTORY_BYTES_MAX = 2000 };

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
static bool claim(struct deployment_view *v) {
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

static void gather(struct deployment_view *v) {
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
static struct str_map size_annotations(struct deployment_view *v, const struct str_map *base) {
    struct str_map out = {0};
    if (base) str_map_merge(v->a, &out, base);
    str_map_set(v->a, &out, desired_key, arena_printf(v->a, "%d", int_or(v->d->spec.replicas, 1)));
    str_map_set(v->a, &out, max_key,
                arena_printf(v->a, "%d", int_or(v->d->spec.replicas, 1) + v->surge));
    return out;
}

/* The same with what its current ReplicaSet takes over from the Deployment: all annotations but its
 * bookkeeping. */
static struct str_map carried_annotations(struct deployment_view *v, const struct str_map *base) {
    static const char *const own[] = {revision_key,
                                      history_key,
                                      desired_key,
                                      max_key,
                                      "kubectl.kubernetes.io/last-applied-configuration",
                                      "deprecated.deployment.rollback.to"};
    struct str_map out = size_annotations(v, base), more = {0};
    for (size_t i = 0; i < v->d->metadata.annotations.n; i++) {
        const struct str_pair *x = &v->d->metadata.annotations.v[i];
        bool skip = false;
        for (size_t j = 0; j < ARRAY_LEN(own); j++) skip |= str_eq(x->key, own[j]);
        if (!skip) *ARENA_PUSH(v->a, &more) = *x;
    }
    str_map_merge(v->a, &out, &more);
    return out;
}

static int64_t next_revision(const struct deployment_view *v) { return v->max_revision + 1; }

/* A set that comes back by a rollback bears a new revision and remembers those that it had. */
static void renumber(struct deployment_view *v, replica_set *rs) {
    struct str_map *to = &rs->metadata.annotations;
    const char *was = str_map_get(to, revision_key), *before = str_map_get(to, history_key);
    if (revision_of(rs) > v->max_revision) return;
    if (!str_empty(was) && str_empty(before))
        str_map_set(v->a, to, history_key, was);
    else if (!str_empty(was) && strlen(before) < HISTORY_BYTES_MAX)
        str_map_set(v->a, to, history_key, arena_printf(v->a, "%s,%s", before, was));
    str_map_set(v->a, to, revision_key, arena_printf(v->a, "%lld", (long long)next_revision(v)));
}

static void create_current(struct deployment_view *v, int32_t replicas) {
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
    plan_report_as(
        v->p, (const struct api_object *)v->d, "ScalingReplicaSet",
        arena_printf(v->a, "Scaled up replica set %s from 0 to %d", rs->metadata.name, replicas),
        "ReplicaSetCreateError",
        arena_printf(v->a, "Failed to create new replica set \"%s\":", rs->metadata.name));
    v->created = true;
}

/* A name taken by a ReplicaSet with another template: count it, so that the next hash differs. */
static bool collision(struct deployment_view *v) {
    const char *hash = template_hash(v->a, &v->d->spec.template, v->d->status.collision_count);
    const char *name = arena_printf(v->a, "%s-%s", v->d->metadata.name, hash);
    if (!world_get(v->w, "ReplicaSet", v->d->metadata.namespace, name)) return false;
    deployment *copy = arena_copy(v->a, v->d, sizeof *v->d);
    copy->status.collision_count = int_new(v->a, int_or(v->d->status.collision_count, 0) + 1);
    plan_update_status(v->p, (struct api_object *)copy);
    return true;
}

/* Whether the replicas of some set were chosen for another number of replicas of the Deployment. */
static bool scaling(const struct deployment_view *v) {
    const char *want = arena_printf(v->a, "%d", int_or(v->d->spec.replicas, 1));
    for (size_t i = 0; i < v->n_old + (v->current != NULL); i++) {
        const replica_set *rs = i < v->n_old ? v->old[i] : v->current;
        const char *chosen = str_map_get(&rs->metadata.annotations, desired_key);
        if (int_or(rs->spec.replicas, 1) > 0 && chosen && !str_eq(chosen, want)) return true;
    }
    return false;
}

/* In the middle of a rolling update a new number of replicas is shared out first. */
static bool scales_apart(const struct deployment_view *v) {
    return scaling(v) && !str_eq(v->d->spec.strategy.type, "Recreate");
}

static void scale_set(struct deployment_view *v, const replica_set *rs, int32_t want,
                      bool current) {
    bool shared = v->d->spec.paused || scales_apart(v);
    int32_t was = int_or(rs->spec.replicas, 1);
    replica_set *copy = arena_copy(v->a, rs, sizeof *rs);
    copy->metadata.annotations = current ? carried_annotations(v, &rs->metadata.annotations)
                                         : size_annotations(v, &rs->metadata.annotations);
    if (current) {
        renumber(v, copy);
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
static int32_t pods_of(const struct deployment_view *v, const replica_set *rs, bool leaving) {
    const struct api_object *o;
    int32_t n = 0;
    for (size_t at = 0; (o = world_owned(v->w, rs->metadata.uid, "Pod", &at));) {
        const struct core_v1_pod *pod = (const struct core_v1_pod *)o;
        n += leaving ? !pod_is_terminal(pod) : pod_is_active(pod);
    }
    return MAX_OF(n, rs->status.replicas);
}

static struct rollout plan_rollout(struct deployment_view *v) {
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

static void roll(struct deployment_view *v) {
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

static void clean_history(struct deployment_view *v) {
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

/* kubectl rollout history and undo read the revision on the Deployment itself. */
static bool write_revision(struct deployment_view *v) {
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
    const deployment *d = (const deployment *)world_by_key(w, "Deployment", key);
    if (!d) return 0;
    struct deployment_view v = {.w = w, .d = d, .p = p, .a = plan_arena(p)};
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
        /* After a failure, which drops the rest of a plan, it is told first. */
        if (plan_last_failure(p)) deployment_status_write(&v);
        roll(&v);
        clean_history(&v);
        if (plan_count_of(p, PLAN_UPDATE_STATUS, NULL)) return 0;
    }
    deployment_status_write(&v);
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
