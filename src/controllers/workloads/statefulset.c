/*
 * StatefulSet: pods with lasting names and claims. One round goes through the numbers upwards until
 * one is not settled (all of them with podManagementPolicy Parallel), then takes away what is too
 * much from the top, then what is out of date from the top.
 */
#include <stdlib.h>
#include <string.h>

#include "api/rules/pods.h"
#include "base/own.h"
#include "controllers/workloads/failures.h"
#include "controllers/workloads/revisions.h"
#include "controllers/workloads/rollout.h"
#include "controllers/workloads/stateful_pods.h"

enum { CREATES_MAX = 500 }; /* pods of one round; the rest comes when these are seen */

struct member {
    const struct core_v1_pod *pod;
    int64_t ordinal;
};

struct view {
    const struct world *w;
    const stateful_set *s;
    struct plan *p;
    struct arena *a;
    struct revisions revisions;
    const controller_revision *current; /* what pods come from */
    const struct core_v1_pod_template_spec *current_template;
    int64_t start, end; /* numbers that there should be: start ≤ number < end */
    bool ordered;
    struct member *v; /* by ordinal */
    size_t n, creates;
    struct failures failures; /* by pod */
    uint64_t wait_ms;
};

static bool wanted(const struct view *v, const struct member *m) {
    return m->ordinal >= v->start && m->ordinal < v->end;
}

static const char *revision_of(const struct member *m) {
    return str_or(str_map_get(&m->pod->metadata.labels, revision_hash_key), "");
}

static bool outdated(const struct view *v, const struct member *m) {
    return !str_eq(revision_of(m), v->revisions.update->metadata.name);
}

static bool ready(const struct member *m) {
    return str_eq(m->pod->status.phase, "Running") && pod_is_ready(m->pod);
}

static bool available(struct view *v, const struct member *m) {
    return ready(m) &&
           pod_available_at(m->pod, v->s->spec.min_ready_seconds, world_now_ns(v->w), &v->wait_ms);
}

static bool healthy(struct view *v, const struct member *m) {
    return available(v, m) && !pod_is_terminating(m->pod);
}

static int by_ordinal(const void *x, const void *y) {
    const struct member *a = x, *b = y;
    return (a->ordinal > b->ordinal) - (a->ordinal < b->ordinal);
}

/* Owned pods that match; releases those that do not, adopts matching orphans with a name of the
 * set. */
static void claim(struct view *v) {
    const struct api_object *o;
    const struct meta_v1_object_meta *m = &v->s->metadata;
    struct {
        struct member *v;
        size_t n;
    } out = {0};
    bool dying = m->deletion_timestamp;
    size_t at = 0;
    while ((o = world_claimable(v->w, m->uid, "Pod", m->namespace, &at))) {
        struct member x = {.pod = (const struct core_v1_pod *)o};
        const struct meta_v1_owner_reference *owner = api_controller_of(o);
        bool mine = stateful_ordinal(v->s, o->metadata.name, &x.ordinal) &&
                    labels_match(v->s->spec.selector, &o->metadata.labels);
        if (owner && mine)
            *ARENA_PUSH(v->a, &out) = x;
        else if (owner && !dying && !o->metadata.deletion_timestamp)
            plan_release(v->p, o, m->uid);
        else if (!owner && mine && !dying && !o->metadata.deletion_timestamp) {
            plan_adopt(v->p, o, (const struct api_object *)v->s);
            *ARENA_PUSH(v->a, &out) = x;
        }
    }
    if (out.n) qsort(out.v, out.n, sizeof *out.v, by_ordinal);
    v->v = out.v;
    v->n = out.n;
}

/* ---- one number ---- */

/* Pods below the partition stay at the revision they had. */
static void create(struct view *v, int64_t ordinal) {
    const struct apps_v1_stateful_set_update_strategy *u = &v->s->spec.update_strategy;
    int64_t kept = 0;
    if (str_eq(u->type, "RollingUpdate"))
        kept = u->rolling_update ? int_or(u->rolling_update->partition, 0)
                                 : v->s->status.current_replicas;
    bool old = ordinal < v->start + kept && v->current != v->revisions.update;
    if (old && !v->current_template) v->current_template = revision_template(v->a, v->current);
    old = old && v->current_template;
    stateful_pod_create(v->s, old ? v->current_template : &v->s->spec.template,
                        (old ? v->current : v->revisions.update)->metadata.name, ordinal, v->p);
    v->creates++;
}

static void replace_ended(struct view *v, const struct core_v1_pod *pod) {
    bool failed = str_eq(pod->status.phase, "Failed");
    if (pod->metadata.deletion_timestamp) return;
    uint64_t wait_ms = failed ? failures_wait_ms(&v->failures, pod->metadata.name) : 0;
    if (wait_ms) {
        plan_requeue(v->p, wait_ms);
        return;
    }
    plan_event(v->p, (const struct api_object *)v->s, failed ? "Warning" : "Normal",
               failed ? "RecreatingFailedPod" : "RecreatingTerminatedPod",
               "StatefulSet %s/%s is recreating %s Pod %s", v->s->metadata.namespace,
               v->s->metadata.name, failed ? "failed" : "terminated", pod->metadata.name);
    stateful_pod_delete(v->s, pod, v->p);
}

/* Brings one number nearer to what it should be. True when it is there: an ordered set goes on to
 * the next one. */
static bool settled(struct view *v, int64_t ordinal, const struct member *m) {
    if (!m) {
        if (stateful_claims_make(v->w, v->s, ordinal, v->p))
            create(v, ordinal);
        else
            v->creates++;
        return false;
    }
    if (pod_is_terminal(m->pod)) {
        replace_ended(v, m->pod);
        return false;
    }
    if (str_empty(m->pod->status.phase) || str_eq(m->pod->status.phase, "Pending"))
        (void)stateful_claims_make(v->w, v->s, ordinal, v->p); /* the pod may be waiting for one */
    if (!pod_is_terminating(m->pod)) {
        if (api_controller_of((const struct api_object *)m->pod)) /* else it is adopted first */
            stateful_pod_label(m->pod, ordinal, v->p);
        stateful_claims_retain(v->w, v->s, m->pod, ordinal, false, v->p);
    }
    return healthy(v, m);
}

/* Every number that should have a pod. True: all of them have one, and those of an ordered set are
 * all available. */
static bool fill(struct view *v) {
    size_t at = 0;
    bool whole = true;
    while (at < v->n && v->v[at].ordinal < v->start) at++;
    for (int64_t i = v->start; i < v->end; i++) {
        const struct member *m = at < v->n && v->v[at].ordinal == i ? &v->v[at++] : NULL;
        bool there = m && !pod_is_terminal(m->pod);
        bool ok = settled(v, i, m);
        whole &= there;
        if (v->ordered && !ok) return false;
        if (v->creates >= CREATES_MAX) return false;
    }
    return whole;
}

/* ---- too many ---- */

/* True when nothing is left to take away, or an ordered set need not wait for it. */
static bool shrink(struct view *v) {
    const struct member *first_unhealthy = NULL;
    for (size_t i = 0; i < v->n; i++) {
        if (wanted(v, &v->v[i])) continue;
        if (!first_unhealthy && !healthy(v, &v->v[i])) first_unhealthy = &v->v[i];
        if (!pod_is_terminating(v->v[i].pod))
            stateful_claims_retain(v->w, v->s, v->v[i].pod, v->v[i].ordinal, true, v->p);
    }
    for (size_t i = v->n; i > 0; i--) {
        const struct member *m = &v->v[i - 1];
        if (wanted(v, m)) continue;
        if (pod_is_terminating(m->pod)) {
            if (v->ordered) return false;
            continue;
        }
        if (v->ordered && m != first_unhealthy && !available(v, m)) return false;
        stateful_pod_delete(v->s, m->pod, v->p);
        if (v->ordered) return false;
    }
    return true;
}

/* ---- out of date ---- */

/* One after the other from the top, each healthy again before the next. */
static void update_one(struct view *v, int64_t floor) {
    for (size_t i = v->n; i > 0; i--) {
        const struct member *m = &v->v[i - 1];
        if (!wanted(v, m) || m->ordinal < floor) continue;
        if (outdated(v, m) && !pod_is_terminating(m->pod)) {
            stateful_pod_delete(v->s, m->pod, v->p);
            return;
        }
        if (!healthy(v, m)) return;
    }
}

/* From the top, while no more than so many of all are missing; those that serve nobody cost
 * nothing. */
static void update_several(struct view *v, int64_t floor, int32_t missing_max) {
    int64_t left = missing_max;
    for (size_t i = 0; i < v->n; i++) left -= wanted(v, &v->v[i]) && !healthy(v, &v->v[i]);
    for (size_t i = v->n; i > 0; i--) {
        const struct member *m = &v->v[i - 1];
        if (!wanted(v, m) || m->ordinal < floor || !outdated(v, m) || pod_is_terminating(m->pod))
            continue;
        if (healthy(v, m) && left-- <= 0) return;
        stateful_pod_delete(v->s, m->pod, v->p);
    }
}

static void update(struct view *v) {
    const struct apps_v1_stateful_set_update_strategy *u = &v->s->spec.update_strategy;
    const struct apps_v1_rolling_update_stateful_set_strategy *r = u->rolling_update;
    if (str_eq(u->type, "OnDelete")) return;
    int64_t floor = v->start + (r ? int_or(r->partition, 0) : 0);
    if (!r || r->max_unavailable.kind == IOS_NONE)
        update_one(v, floor);
    else
        update_several(
            v, floor,
            MAX_OF(rollout_amount(&r->max_unavailable, int_or(v->s->spec.replicas, 1), true), 1));
}

/* ---- status ---- */

static void write_status(struct view *v) {
    struct apps_v1_stateful_set_status s = v->s->status;
    int32_t want = int_or(v->s->spec.replicas, 1);
    const char *update = v->revisions.update->metadata.name;
    s.replicas = (int32_t)v->n;
    s.ready_replicas = s.available_replicas = s.current_replicas = s.updated_replicas = 0;
    for (size_t i = 0; i < v->n; i++) {
        const struct member *m = &v->v[i];
        s.ready_replicas += ready(m);
        s.available_replicas += available(v, m);
        if (pod_is_terminating(m->pod)) continue;
        s.current_replicas += str_eq(revision_of(m), v->current->metadata.name);
        s.updated_replicas += str_eq(revision_of(m), update);
    }
    s.current_revision = v->current->metadata.name;
    s.update_revision = update;
    s.observed_generation = v->s->metadata.generation;
    if (str_eq(v->s->spec.update_strategy.type, "RollingUpdate") && s.updated_replicas == want &&
        s.ready_replicas == want && s.replicas == want) {
        s.current_revision = update; /* the update is complete */
        s.current_replicas = s.updated_replicas;
    }
    if (api_equal(&apps_v1_stateful_set_status_type, &s, &v->s->status)) return;
    stateful_set *copy = arena_copy(v->a, v->s, sizeof *copy);
    copy->status = s;
    plan_update_status(v->p, (const struct api_object *)copy);
}

static void count_collision(struct view *v) {
    stateful_set *copy = arena_copy(v->a, v->s, sizeof *copy);
    copy->status.collision_count = int_new(v->a, int_or(v->s->status.collision_count, 0) + 1);
    plan_update_status(v->p, (const struct api_object *)copy);
}

static bool in_use(const void *user, const controller_revision *r) {
    const struct view *v = user;
    if (r == v->current || r == v->revisions.update) return true;
    for (size_t i = 0; i < v->n; i++)
        if (str_eq(revision_of(&v->v[i]), r->metadata.name)) return true;
    return false;
}

/* ---- the whole ---- */

/* False: nothing more can be done in this round. */
static bool know_revisions(struct view *v) {
    const struct revision_owner owner = {.object = (const struct api_object *)v->s,
                                         .selector = v->s->spec.selector,
                                         .template = &v->s->spec.template,
                                         .collision_count = v->s->status.collision_count};
    switch (revisions_sync(v->w, &owner, v->p, &v->revisions)) {
    case REVISIONS_PLANNED: return false;
    case REVISIONS_TAKEN: count_collision(v); return false;
    case REVISIONS_KNOWN: break;
    }
    v->current = revision_named(&v->revisions, v->s->status.current_revision);
    if (!v->current) v->current = v->revisions.update;
    /* One that is going makes no revision for a template that none holds. */
    if (!v->revisions.update) v->revisions.update = v->current;
    return v->current;
}

static int reconcile(const struct world *w, const char *key, struct plan *p, struct err *err) {
    (void)err;
    const char *ns, *name;
    key_split(plan_arena(p), key, &ns, &name);
    const stateful_set *s = (const stateful_set *)world_get(w, "StatefulSet", ns, name);
    if (!s) failures_drop(w, "StatefulSet", ns, name, p);
    if (!s) return 0;
    struct view v = {.w = w, .s = s, .p = p, .a = plan_arena(p)};
    bool failed = plan_last_failure(p) != NULL, dying = s->metadata.deletion_timestamp;
    v.start = s->spec.ordinals ? s->spec.ordinals->start : 0;
    v.end = v.start + MAX_OF(int_or(s->spec.replicas, 1), 0);
    v.ordered = !str_eq(s->spec.pod_management_policy, "Parallel");
    if (!know_revisions(&v)) return 0;
    failures_read(&v.failures, w, (const struct api_object *)s, v.a);
    claim(&v);
    /* After a failure, which drops the rest of a plan, what is counted gets out first. */
    if (failed) write_status(&v);
    if (!dying && fill(&v) && shrink(&v)) update(&v);
    failures_write(&v.failures, p);
    if (!dying) revisions_trim(&v.revisions, s->spec.revision_history_limit, in_use, &v, p);
    if (!failed) write_status(&v);
    if (v.wait_ms) plan_requeue(p, v.wait_ms);
    return 0;
}

static bool selects(const struct api_object *o, const struct str_map *labels) {
    return labels_match(((const stateful_set *)o)->spec.selector, labels);
}

/* Besides the sets that may adopt it: a claim wakes those whose names it bears. */
static void map(const struct reconciler *r, const struct world *w, const struct api_kind *k,
                const struct api_object *now, const struct api_object *old, struct keys *out) {
    const struct api_object *o, *about = now ? now : old;
    size_t at = 0;
    adoption_map(r, w, k, now, old, out, revision_claimed, selects);
    if (strcmp(k->kind, "PersistentVolumeClaim") != 0) return;
    while ((o = world_next(w, "StatefulSet", about->metadata.namespace, &at)))
        if (stateful_claims((const stateful_set *)o, about->metadata.name)) keys_add_object(out, o);
}

static const char *const watches[] = {"StatefulSet", "Pod", "PersistentVolumeClaim",
                                      "ControllerRevision", NULL};
static const struct reconciler statefulset = {.name = "statefulset",
                                              .kind = "StatefulSet",
                                              .watches = watches,
                                              .map = map,
                                              .reconcile = reconcile};
RECONCILER(statefulset);
