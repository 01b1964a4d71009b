/* VolumeRestrictions: disks that only one pod of a node can mount, and claims that only one pod of
 * the cluster can use (ReadWriteOncePod, KEP-2485). */
#include "base/own.h"
#include "scheduler/place/plugin.h"

static bool disks_clash(const struct pod_disk *x, const struct pod_disk *y) {
    return str_eq(x->id, y->id) && !(x->shareable && x->read_only && y->read_only);
}

static bool classes_clash(const struct pod_class *x, const struct pod_class *y) {
    for (size_t i = 0; i < x->volumes.n_disks; i++)
        for (size_t j = 0; j < y->volumes.n_disks; j++)
            if (disks_clash(&x->volumes.disks[i], &y->volumes.disks[j])) return true;
    return false;
}

static bool for_one_pod(const struct core_v1_persistent_volume_claim *c) {
    for (size_t i = 0; c && i < c->spec.access_modes.n; i++)
        if (str_eq(c->spec.access_modes.v[i], "ReadWriteOncePod")) return true;
    return false;
}

struct restrictions {
    struct str_list claims; /* for one pod alone */
    bool taken;             /* somebody has one of them */
};

static bool uses_any(const struct pod_class *c, const struct restrictions *st) {
    for (size_t i = 0; i < c->volumes.claims.n; i++)
        for (size_t j = 0; j < st->claims.n; j++)
            if (str_eq(c->volumes.claims.v[i], st->claims.v[j])) return true;
    return false;
}

static void look_for_users(const struct sched_query *q, struct restrictions *st) {
    size_t at = 0;
    const struct sched_pod *p;
    while (!st->taken && (p = set_next(&q->snapshot->pods, &at)))
        st->taken = p->class->volumes.claims.n && !p->lifted && !str_eq(sched_pod_uid(p), q->uid) &&
                    str_eq(p->class->namespace, q->class->namespace) && uses_any(p->class, st);
}

static void *prepare(const struct sched_query *q, const void *args) {
    const struct pod_volumes *v = &q->class->volumes;
    (void)args;
    if (!v->claims.n && !v->n_disks) return NULL;
    struct restrictions *st = ARENA_NEW(q->a, struct restrictions);
    for (size_t i = 0; i < v->claims.n; i++)
        if (for_one_pod(volumes_claim(&q->snapshot->volumes, q->class->namespace, v->claims.v[i])))
            *ARENA_PUSH(q->a, &st->claims) = v->claims.v[i];
    if (st->claims.n) look_for_users(q, st);
    return v->n_disks || st->taken ? st : NULL;
}

static bool filter(const struct sched_query *q, const struct sched_node *n, const void *state,
                   struct sched_why *why) {
    const struct restrictions *st = state;
    if (st->taken)
        return sched_refuse(why, "node has pod using PersistentVolumeClaim with the same name and "
                                 "ReadWriteOncePod access mode");
    for (size_t i = 0; i < n->pods.n; i++) {
        const struct sched_pod *p = n->pods.v[i];
        if (p->class->volumes.n_disks && !p->lifted && classes_clash(q->class, p->class))
            return sched_refuse(why, "node(s) had no available disk");
    }
    return true;
}

static const struct sched_plugin volume_restrictions = {.name = "VolumeRestrictions",
                                                        .order = 84,
                                                        .reads = SCHED_READS_ALL,
                                                        .prepare = prepare,
                                                        .filter = filter};
SCHED_PLUGIN(volume_restrictions);
