/* VolumeBinding: from where the pod's volumes can be reached, and where those that are bound when
 * it is placed (WaitForFirstConsumer) can be had. */
#include <stdlib.h>

#include "api/rules/node_match.h"
#include "api/values/quantity.h"
#include "api/values/selector.h"
#include "base/own.h"
#include "scheduler/place/plugin.h"

struct space { /* where there is room for a claim's volume */
    struct selector **v;
    size_t n;
};
struct pending_claim { /* is bound when the pod is */
    const struct core_v1_persistent_volume_claim *claim;
    bool limited; /* a new volume can be made only in `space` */
    struct space space;
    const struct storage_v1_storage_class *class;
    const struct core_v1_persistent_volume **volumes; /* that it could have, the smallest first */
    size_t n;
};
struct binding_state {
    const char *problem; /* no node will do; NULL: none */
    bool lost;           /* then: it is not the claim, but its volume */
    const struct core_v1_persistent_volume **bound;
    size_t n_bound;
    struct pending_claim *pending;
    size_t n_pending;
};

/* ---- which volumes suit a claim ---- */

static bool is_free_for(const struct core_v1_persistent_volume *v,
                        const struct core_v1_persistent_volume_claim *c) {
    if (v->spec.claim_ref) return volume_is_for(v, c);
    return !str_eq(v->status.phase, "Released") && !str_eq(v->status.phase, "Failed");
}

static bool suits(struct arena *a, const struct core_v1_persistent_volume *v,
                  const struct core_v1_persistent_volume_claim *c) {
    return is_free_for(v, c) && !volume_misfit(a, v, c) && claim_selects(a, c, v);
}

static void find_volumes(const struct sched_query *q, struct pending_claim *p) {
    const struct map *all = &q->snapshot->volumes.volumes;
    size_t at = 0;
    struct map_entry *e;
    p->volumes = ARENA_ARRAY(q->a, const struct core_v1_persistent_volume *, all->n + 1);
    while ((e = map_next(all, &at))) {
        const struct core_v1_persistent_volume *v = volumes_volume(&q->snapshot->volumes, e->key);
        if (suits(q->a, v, p->claim)) p->volumes[p->n++] = v;
    }
    qsort(p->volumes, p->n, sizeof(const struct core_v1_persistent_volume *), volume_cmp_size);
}

/* Places that have told that they have enough for the claim (KEP-1472). */
static void find_space(const struct sched_query *q, struct pending_claim *p) {
    const char *asked = str_map_get(&p->claim->spec.resources.requests, "storage");
    const struct storage_v1_csi_storage_capacity *c;
    size_t at = 0;
    p->limited = volumes_tells_capacity(&q->snapshot->volumes, p->class->provisioner);
    while (p->limited && (c = volumes_next_capacity(&q->snapshot->volumes, &at))) {
        const char *most = c->maximum_volume_size ? c->maximum_volume_size : c->capacity;
        struct selector *s = NULL;
        if (!str_eq(c->storage_class_name, p->class->metadata.name) || !c->node_topology || !most ||
            quantity_cmp(most, str_or(asked, "0")) < 0 ||
            selector_from_labels(q->a, c->node_topology, &s, NULL) < 0)
            continue;
        *ARENA_PUSH(q->a, &p->space) = s;
    }
}

/* ---- the pod's claims ---- */

static const char *look_at(const struct sched_query *q, struct binding_state *st,
                           const char *name) {
    const struct volumes *all = &q->snapshot->volumes;
    const struct core_v1_persistent_volume_claim *c = volumes_claim(all, q->class->namespace, name);
    if (!c) return arena_printf(q->a, "persistentvolumeclaim \"%s\" not found", name);
    if (c->metadata.deletion_timestamp)
        return arena_printf(q->a, "persistentvolumeclaim \"%s\" is being deleted", name);
    if (str_eq(c->status.phase, "Lost"))
        return arena_printf(q->a,
                            "persistentvolumeclaim \"%s\" bound to non-existent "
                            "persistentvolume \"%s\"",
                            name, str_or(c->spec.volume_name, ""));
    if (claim_is_bound(c)) {
        const struct core_v1_persistent_volume *v = volumes_volume(all, c->spec.volume_name);
        st->lost = !v;
        if (!v) return "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";
        st->bound[st->n_bound++] = v;
        return NULL;
    }
    const char *class_name = claim_class(c);
    const struct storage_v1_storage_class *class =
        *class_name ? volumes_class(all, class_name) : NULL;
    if (*class_name && !class)
        return arena_printf(q->a, "storageclass.storage.k8s.io \"%s\" not found", class_name);
    if (!class || !str_eq(class->volume_binding_mode, "WaitForFirstConsumer") ||
        !str_empty(c->spec.volume_name))
        return "pod has unbound immediate PersistentVolumeClaims";
    struct pending_claim *p = &st->pending[st->n_pending++];
    *p = (struct pending_claim){.claim = c, .class = class};
    find_volumes(q, p);
    find_space(q, p);
    return NULL;
}

/* A claim that was made for a pod of that name is this pod's only if its uid says so. */
static const char *not_its_own(const struct sched_query *q, const char *name) {
    const struct core_v1_persistent_volume_claim *c =
        volumes_claim(&q->snapshot->volumes, q->class->namespace, name);
    for (size_t i = 0; i < q->pod->spec.volumes.n; i++) {
        const struct core_v1_volume *v = &q->pod->spec.volumes.v[i];
        if (!c || !v->ephemeral ||
            !str_eq(name, arena_printf(q->a, "%s-%s", q->pod->metadata.name, v->name)))
            continue;
        const struct meta_v1_owner_reference *owner =
            api_controller_of((const struct api_object *)c);
        if (!owner || !str_eq(owner->uid, q->pod->metadata.uid))
            return arena_printf(q->a, "persistentvolumeclaim \"%s\" was not created for the pod",
                                name);
    }
    return NULL;
}

static void *prepare(const struct sched_query *q, const void *args) {
    const struct str_list *claims = &q->class->volumes.claims;
    (void)args;
    if (!claims->n) return NULL;
    struct binding_state *st = ARENA_NEW(q->a, struct binding_state);
    st->bound = ARENA_ARRAY(q->a, const struct core_v1_persistent_volume *, claims->n);
    st->pending = ARENA_ARRAY(q->a, struct pending_claim, claims->n);
    for (size_t i = 0; i < claims->n && !st->problem; i++) {
        st->problem = q->class->volumes.own ? not_its_own(q, claims->v[i]) : NULL;
        if (!st->problem) st->problem = look_at(q, st, claims->v[i]);
    }
    return st;
}

/* ---- a node ---- */

static bool in_topology(const struct core_v1_topology_selector_term *t,
                        const struct core_v1_node *n) {
    for (size_t i = 0; i < t->match_label_expressions.n; i++) {
        const struct core_v1_topology_selector_label_requirement *r =
            &t->match_label_expressions.v[i];
        const char *have = str_map_get(&n->metadata.labels, r->key);
        bool in = false;
        for (size_t j = 0; have && j < r->values.n; j++) in |= str_eq(r->values.v[j], have);
        if (!in) return false;
    }
    return true;
}

/* Can a volume be made for that node? */
static bool can_make(const struct storage_v1_storage_class *c, const struct core_v1_node *n) {
    if (str_empty(c->provisioner) || str_eq(c->provisioner, "kubernetes.io/no-provisioner"))
        return false;
    for (size_t i = 0; i < c->allowed_topologies.n; i++)
        if (in_topology(&c->allowed_topologies.v[i], n)) return true;
    return !c->allowed_topologies.n;
}

static bool has_space(const struct pending_claim *p, const struct core_v1_node *n) {
    bool ret = !p->limited;
    for (size_t i = 0; i < p->space.n && !ret; i++)
        ret = selector_matches(p->space.v[i], &n->metadata.labels);
    return ret;
}

static bool filter(const struct sched_query *q, const struct sched_node *n, const void *state,
                   struct sched_why *why) {
    const struct binding_state *st = state;
    const struct core_v1_persistent_volume *taken[64];
    size_t n_taken = 0;
    (void)q;
    if (st->problem) return sched_refuse_for_good(why, "%.150s", st->problem);
    for (size_t i = 0; i < st->n_bound; i++)
        if (!volume_reaches(st->bound[i], n->object))
            return sched_refuse_for_good(why, "node(s) had volume node affinity conflict");
    for (size_t i = 0; i < st->n_pending; i++) {
        const struct pending_claim *p = &st->pending[i];
        const char *chosen = str_map_get(&p->claim->metadata.annotations, CLAIM_SELECTED_NODE);
        bool found = false;
        for (size_t j = 0; j < p->n && !found; j++) {
            bool used = false;
            for (size_t k = 0; k < n_taken; k++) used |= taken[k] == p->volumes[j];
            if (used || !volume_reaches(p->volumes[j], n->object)) continue;
            found = true;
            if (n_taken < ARRAY_LEN(taken)) taken[n_taken++] = p->volumes[j];
        }
        /* A volume may be on its way for another node already. */
        if (found || (chosen && str_eq(chosen, n->name) && can_make(p->class, n->object))) continue;
        if (chosen || !can_make(p->class, n->object))
            return sched_refuse_for_good(
                why, "node(s) didn't find available persistent volumes to bind");
        if (!has_space(p, n->object))
            return sched_refuse_for_good(why, "node(s) did not have enough free storage");
    }
    return true;
}

static const char *bars(const void *state) {
    const struct binding_state *st = state;
    return st->lost ? NULL : st->problem;
}

static const struct sched_plugin volume_binding = {.name = "VolumeBinding",
                                                   .order = 44,
                                                   .args_type =
                                                       &kubescheduler_v1_volume_binding_args_type,
                                                   .prepare = prepare,
                                                   .filter = filter,
                                                   .bars = bars};
SCHED_PLUGIN(volume_binding);
