/*
 * DaemonSet: a pod on every node that fits. One round looks at each node: what is missing is made,
 * what is too much goes; when that is nothing, pods of an older template are replaced.
 */
#include <stdlib.h>
#include <string.h>

#include "api/rules/pods.h"
#include "base/own.h"
#include "controllers/workloads/daemon_pods.h"
#include "controllers/workloads/failures.h"
#include "controllers/workloads/revisions.h"
#include "controllers/workloads/rollout.h"

enum { CREATES_MAX = 250 }; /* pods of one round; the rest comes when these are seen */

struct daemon {
    const struct core_v1_pod *pod;
    const char *node;
};

struct place {
    const struct core_v1_node *node;
    enum daemon_place fits;
    const struct daemon *v; /* its pods: bound ones first, older first */
    size_t n;
};

struct view {
    const struct world *w;
    const daemon_set *d;
    struct plan *p;
    struct arena *a;
    struct revisions revisions;
    const char *hash; /* of the current template */
    struct core_v1_pod_spec *spec;
    struct {
        struct daemon *v;
        size_t n;
    } pods;
    struct {
        struct place *v;
        size_t n;
    } places;                 /* every node */
    struct failures failures; /* by node */
    int32_t desired, surge, unavailable;
    size_t creates, deletes;
    uint64_t wait_ms;
};

static bool current(const struct view *v, const struct core_v1_pod *pod) {
    return str_eq(str_map_get(&pod->metadata.labels, revision_hash_key), v->hash);
}

static bool available(struct view *v, const struct core_v1_pod *pod) {
    return pod_available_at(pod, v->d->spec.min_ready_seconds, world_now_ns(v->w), &v->wait_ms);
}

static void create(struct view *v, const struct place *at) {
    if (v->creates++ < CREATES_MAX)
        daemon_pod_create(v->d, v->spec, v->hash, at->node->metadata.name, v->p);
}

static void discard(struct view *v, const struct core_v1_pod *pod) {
    if (pod_is_terminating(pod)) return;
    daemon_pod_delete(v->d, pod, v->p);
    v->deletes++;
}

/* ---- what there is ---- */

static int by_node(const void *x, const void *y) {
    const struct daemon *a = x, *b = y;
    int d = strcmp(a->node, b->node);
    if (!d) d = !str_empty(b->pod->spec.node_name) - !str_empty(a->pod->spec.node_name);
    if (!d)
        d = strcmp(str_or(a->pod->metadata.creation_timestamp, ""),
                   str_or(b->pod->metadata.creation_timestamp, ""));
    return d ? d : strcmp(a->pod->metadata.name, b->pod->metadata.name);
}

/* Owned pods that match; releases those that do not, adopts matching orphans. */
static void claim(struct view *v) {
    const struct api_object *o;
    const struct meta_v1_object_meta *m = &v->d->metadata;
    size_t at = 0;
    while ((o = world_claimable(v->w, m->uid, "Pod", m->namespace, &at))) {
        const struct core_v1_pod *pod = (const struct core_v1_pod *)o;
        bool owned = api_controller_of(o), dying = o->metadata.deletion_timestamp;
        if (!labels_match(v->d->spec.selector, &o->metadata.labels)) {
            if (owned && !dying) plan_release(v->p, o, m->uid);
            continue;
        }
        if (!owned && !pod_is_active(pod)) continue;
        if (!owned) plan_adopt(v->p, o, (const struct api_object *)v->d);
        const char *node = daemon_pod_node(pod);
        if (node && !(dying && pod_is_terminal(pod)))
            *ARENA_PUSH(v->a, &v->pods) = (struct daemon){pod, node};
    }
    if (v->pods.n) qsort(v->pods.v, v->pods.n, sizeof *v->pods.v, by_node);
}

/* A pod that waits for a node that is gone waits in vain. */
static void remove_stray(struct view *v, const struct core_v1_pod *pod) {
    if (str_empty(pod->spec.node_name)) discard(v, pod);
}

/* Nodes come in the order of their names, as the pods do. */
static void look(struct view *v) {
    const struct api_object *o;
    size_t at = 0, next = 0;
    v->spec = daemon_pod_spec(v->a, v->d);
    while ((o = world_next(v->w, "Node", NULL, &at))) {
        struct place x = {.node = (const struct core_v1_node *)o};
        x.fits = daemon_place(v->spec, x.node);
        while (next < v->pods.n && strcmp(v->pods.v[next].node, o->metadata.name) < 0)
            remove_stray(v, v->pods.v[next++].pod);
        x.v = v->pods.n ? &v->pods.v[next] : NULL;
        while (next < v->pods.n && str_eq(v->pods.v[next].node, o->metadata.name)) next++, x.n++;
        *ARENA_PUSH(v->a, &v->places) = x;
        v->desired += x.fits == DAEMON_WANTED;
    }
    while (next < v->pods.n) remove_stray(v, v->pods.v[next++].pod);
    const struct apps_v1_rolling_update_daemon_set *r = v->d->spec.update_strategy.rolling_update;
    if (!str_eq(v->d->spec.update_strategy.type, "RollingUpdate")) return;
    if (r && r->max_surge.kind != IOS_NONE)
        v->surge = rollout_amount(&r->max_surge, v->desired, true);
    v->unavailable = r && r->max_unavailable.kind != IOS_NONE
                         ? rollout_amount(&r->max_unavailable, v->desired, true)
                         : 1;
    if (v->surge <= 0) v->unavailable = MAX_OF(v->unavailable, 1);
}

/* ---- what is missing, and too much ---- */

/* True: it has ended, and goes if that may be. */
static bool replace_ended(struct view *v, const struct place *at, const struct core_v1_pod *pod) {
    bool failed = str_eq(pod->status.phase, "Failed");
    const char *node = at->node->metadata.name;
    if (!pod_is_terminal(pod)) return false;
    uint64_t wait_ms = failed ? failures_wait_ms(&v->failures, node) : 0;
    if (wait_ms) {
        plan_requeue(v->p, wait_ms);
        return true;
    }
    plan_event(v->p, (const struct api_object *)v->d, failed ? "Warning" : "Normal",
               failed ? "FailedDaemonPod" : "SucceededDaemonPod",
               "Found %s daemon pod %s/%s on node %s, will try to %s it",
               failed ? "failed" : "succeeded", pod->metadata.namespace, pod->metadata.name, node,
               failed ? "kill" : "delete");
    discard(v, pod);
    return true;
}

/* With surge an old and a new pod may be there as long as the old one serves and the new one does
 * not yet. */
static void keep_two(struct view *v, const struct core_v1_pod *const *running, size_t n) {
    const struct core_v1_pod *new = NULL, *old = NULL;
    for (size_t i = 0; i < n; i++) {
        const struct core_v1_pod **slot = current(v, running[i]) ? &new : &old;
        if (*slot)
            discard(v, running[i]);
        else
            *slot = running[i];
    }
    if (new &&old && (!pod_is_ready(old) || available(v, new))) discard(v, old);
}

static void keep_one(struct view *v, const struct place *at) {
    const struct core_v1_pod **running = ARENA_ARRAY(v->a, const struct core_v1_pod *, at->n);
    size_t n = 0;
    for (size_t i = 0; i < at->n; i++)
        if (!pod_is_terminating(at->v[i].pod) && !replace_ended(v, at, at->v[i].pod))
            running[n++] = at->v[i].pod;
    if (v->surge <= 0) {
        for (size_t i = 1; i < n; i++) discard(v, running[i]);
        return;
    }
    /* The next one need not wait until the last one has gone. */
    bool going = true;
    for (size_t i = 0; i < at->n; i++) going &= pod_is_terminating(at->v[i].pod);
    if (!n && going && at->fits == DAEMON_WANTED) create(v, at);
    if (n > 1) keep_two(v, running, n);
}

/* True when all is as it should be but for the template. */
static bool manage(struct view *v) {
    for (size_t i = 0; i < v->places.n; i++) {
        const struct place *at = &v->places.v[i];
        if (at->fits == DAEMON_WANTED && !at->n)
            create(v, at);
        else if (at->fits != DAEMON_UNWANTED)
            keep_one(v, at);
        else
            for (size_t j = 0; j < at->n; j++) discard(v, at->v[j].pod);
    }
    return !v->creates && !v->deletes;
}

/* ---- out of date ---- */

struct pair {
    const struct core_v1_pod *new, *old;
    bool odd; /* more than one of a sort */
};

static struct pair pair_of(const struct view *v, const struct place *at) {
    struct pair x = {0};
    for (size_t i = 0; i < at->n; i++) {
        const struct core_v1_pod *pod = at->v[i].pod;
        const struct core_v1_pod **slot = current(v, pod) ? &x.new : &x.old;
        if (pod_is_terminating(pod)) continue;
        x.odd |= *slot != NULL;
        *slot = pod;
    }
    return x;
}

/* Old pods go while no more than so many nodes are without; those that serve nobody cost nothing.
 */
static void replace_old(struct view *v) {
    int32_t left = v->unavailable;
    for (size_t i = 0; i < v->places.n; i++) {
        struct pair x = pair_of(v, &v->places.v[i]);
        if (v->places.v[i].fits != DAEMON_WANTED) continue;
        bool waiting = x.odd || !x.new == !x.old || (x.new && !available(v, x.new));
        left -= waiting;
    }
    for (size_t i = 0; i < v->places.n; i++) {
        struct pair x = pair_of(v, &v->places.v[i]);
        if (v->places.v[i].fits != DAEMON_WANTED || x.odd || x.new || !x.old) continue;
        if (!available(v, x.old) || left-- > 0) discard(v, x.old);
    }
}

/* New pods come beside old ones, on no more than so many nodes at once; where the old one serves
 * nobody it costs nothing. */
static void surge(struct view *v) {
    int32_t left = v->surge;
    for (size_t i = 0; i < v->places.n; i++) {
        struct pair x = pair_of(v, &v->places.v[i]);
        left -= x.odd || (x.old && x.new && !available(v, x.new));
    }
    for (size_t i = 0; i < v->places.n; i++) {
        struct pair x = pair_of(v, &v->places.v[i]);
        if (v->places.v[i].fits != DAEMON_WANTED || x.odd || x.new || !x.old) continue;
        if (!available(v, x.old) || left-- > 0) create(v, &v->places.v[i]);
    }
}

static void update(struct view *v) {
    if (!str_eq(v->d->spec.update_strategy.type, "RollingUpdate")) return;
    if (v->surge > 0)
        surge(v);
    else
        replace_old(v);
}

/* ---- status ---- */

static void write_status(struct view *v) {
    struct apps_v1_daemon_set_status s = v->d->status;
    s.current_number_scheduled = s.number_misscheduled = s.number_ready = 0;
    s.updated_number_scheduled = s.number_available = 0;
    for (size_t i = 0; i < v->places.n; i++) {
        const struct place *at = &v->places.v[i];
        if (!at->n) continue;
        if (at->fits != DAEMON_WANTED) {
            s.number_misscheduled++;
            continue;
        }
        const struct core_v1_pod *pod = at->v[0].pod;
        s.current_number_scheduled++;
        s.number_ready += pod_is_ready(pod);
        s.number_available += available(v, pod);
        s.updated_number_scheduled += current(v, pod);
    }
    s.desired_number_scheduled = v->desired;
    s.number_unavailable = v->desired - s.number_available;
    s.observed_generation = v->d->metadata.generation;
    if (api_equal(&apps_v1_daemon_set_status_type, &s, &v->d->status)) return;
    daemon_set *copy = arena_copy(v->a, v->d, sizeof *copy);
    copy->status = s;
    plan_update_status(v->p, (const struct api_object *)copy);
}

static void count_collision(struct view *v) {
    daemon_set *copy = arena_copy(v->a, v->d, sizeof *copy);
    copy->status.collision_count = int_new(v->a, int_or(v->d->status.collision_count, 0) + 1);
    plan_update_status(v->p, (const struct api_object *)copy);
}

static bool in_use(const void *user, const controller_revision *r) {
    const struct view *v = user;
    if (r == v->revisions.update) return true;
    for (size_t i = 0; i < v->pods.n; i++)
        if (str_eq(str_map_get(&v->pods.v[i].pod->metadata.labels, revision_hash_key),
                   revision_hash(r)))
            return true;
    return false;
}

/* ---- the whole ---- */

/* False: nothing more can be done in this round. */
static bool know_revisions(struct view *v) {
    const struct revision_owner owner = {.object = (const struct api_object *)v->d,
                                         .selector = v->d->spec.selector,
                                         .template = &v->d->spec.template,
                                         .collision_count = v->d->status.collision_count};
    switch (revisions_sync(v->w, &owner, v->p, &v->revisions)) {
    case REVISIONS_PLANNED: return false;
    case REVISIONS_TAKEN: count_collision(v); return false;
    case REVISIONS_KNOWN: break;
    }
    v->hash = revision_hash(v->revisions.update);
    return true;
}

static bool selects_all(const daemon_set *d) {
    const struct meta_v1_label_selector *s = d->spec.selector;
    return s && !s->match_labels.n && !s->match_expressions.n;
}

static int reconcile(const struct world *w, const char *key, struct plan *p, struct err *err) {
    (void)err;
    const char *ns, *name;
    key_split(plan_arena(p), key, &ns, &name);
    const daemon_set *d = (const daemon_set *)world_get(w, "DaemonSet", ns, name);
    if (!d) failures_drop(w, "DaemonSet", ns, name, p);
    if (!d || d->metadata.deletion_timestamp) return 0;
    if (selects_all(d)) {
        plan_event(p, (const struct api_object *)d, "Warning", "SelectingAll",
                   "This daemon set is selecting all pods. A non-empty selector is required.");
        return 0;
    }
    struct view v = {.w = w, .d = d, .p = p, .a = plan_arena(p)};
    bool failed = plan_last_failure(p) != NULL;
    if (!know_revisions(&v)) return 0;
    failures_read(&v.failures, w, (const struct api_object *)d, v.a);
    claim(&v);
    look(&v);
    /* After a failure, which drops the rest of a plan, what is counted gets out first. */
    if (failed) write_status(&v);
    if (manage(&v)) update(&v);
    failures_write(&v.failures, p);
    revisions_trim(&v.revisions, d->spec.revision_history_limit, in_use, &v, p);
    if (!failed) write_status(&v);
    if (v.wait_ms) plan_requeue(p, v.wait_ms);
    return 0;
}

static bool selects(const struct api_object *o, const struct str_map *labels) {
    return labels_match(((const daemon_set *)o)->spec.selector, labels);
}

/* Whether the node looks another to daemon_place: most changes are signs of life. */
static bool node_differs(const struct api_object *now, const struct api_object *old) {
    const struct core_v1_node *x = (const struct core_v1_node *)now,
                              *y = (const struct core_v1_node *)old;
    if (!x || !y || x->metadata.labels.n != y->metadata.labels.n ||
        x->spec.taints.n != y->spec.taints.n)
        return true;
    for (size_t i = 0; i < x->metadata.labels.n; i++) {
        const struct str_pair *l = &x->metadata.labels.v[i];
        if (!str_eq(str_map_get(&y->metadata.labels, l->key), l->value)) return true;
    }
    for (size_t i = 0; i < x->spec.taints.n; i++)
        if (!api_equal(&core_v1_taint_type, &x->spec.taints.v[i], &y->spec.taints.v[i]))
            return true;
    return false;
}

static void map(const struct reconciler *r, const struct world *w, const struct api_kind *k,
                const struct api_object *now, const struct api_object *old, struct keys *out) {
    const struct api_object *o;
    size_t at = 0;
    adoption_map(r, w, k, now, old, out, revision_claimed, selects);
    if (strcmp(k->kind, "Node") != 0 || !node_differs(now, old)) return;
    while ((o = world_next(w, "DaemonSet", NULL, &at))) keys_add_object(out, o);
}

static const char *const watches[] = {"DaemonSet", "Pod", "Node", "ControllerRevision", NULL};
static const struct reconciler daemonset = {.name = "daemonset",
                                            .kind = "DaemonSet",
                                            .watches = watches,
                                            .map = map,
                                            .reconcile = reconcile};
RECONCILER(daemonset);
