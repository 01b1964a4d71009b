/* NodeVolumeLimits: no more volumes of a CSI driver than the node's CSINode allows. */
#include "base/own.h"
#include "scheduler/place/plugin.h"

struct csi_volume {
    const char *driver, *handle;
};
struct csi_volumes {
    struct csi_volume *v;
    size_t n;
};

static void add(struct arena *a, struct csi_volumes *l, const char *driver, const char *handle) {
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->v[i].driver, driver) && str_eq(l->v[i].handle, handle)) return;
    *ARENA_PUSH(a, l) = (struct csi_volume){driver, handle};
}

/* A claim that is not bound yet will be a volume of its own, by its class's driver. */
static void add_claim(struct arena *a, struct csi_volumes *l, const struct volumes *all,
                      const char *namespace, const char *name) {
    const struct core_v1_persistent_volume_claim *c = volumes_claim(all, namespace, name);
    if (!c) return;
    const struct core_v1_persistent_volume *v = volumes_volume(all, c->spec.volume_name);
    if (v && v->spec.csi)
        add(a, l, v->spec.csi->driver, v->spec.csi->volume_handle);
    else if (!v) {
        const struct storage_v1_storage_class *class = volumes_class(all, claim_class(c));
        if (class) add(a, l, class->provisioner, arena_printf(a, "%s/%s", namespace, name));
    }
}

static void add_class(struct arena *a, struct csi_volumes *l, const struct volumes *all,
                      const struct pod_class *c) {
    for (size_t i = 0; i < c->volumes.claims.n; i++)
        add_claim(a, l, all, c->namespace, c->volumes.claims.v[i]);
}

static void *prepare(const struct sched_query *q, const void *args) {
    (void)args;
    if (!q->class->volumes.claims.n) return NULL;
    struct csi_volumes *st = ARENA_NEW(q->a, struct csi_volumes);
    add_class(q->a, st, &q->snapshot->volumes, q->class);
    return st->n ? st : NULL;
}

static int32_t limit_of(const struct storage_v1_csi_node *n, const char *driver) {
    for (size_t i = 0; i < n->spec.drivers.n; i++) {
        const struct storage_v1_csi_node_driver *d = &n->spec.drivers.v[i];
        if (str_eq(d->name, driver) && d->allocatable && d->allocatable->count)
            return *d->allocatable->count;
    }
    return INT32_MAX;
}

static int32_t count_of(const struct csi_volumes *l, const char *driver) {
    int32_t n = 0;
    for (size_t i = 0; i < l->n; i++) n += str_eq(l->v[i].driver, driver);
    return n;
}

static bool filter(const struct sched_query *q, const struct sched_node *n, const void *state,
                   struct sched_why *why) {
    const struct csi_volumes *wanted = state;
    const struct volumes *all = &q->snapshot->volumes;
    const struct storage_v1_csi_node *csi = volumes_csi_node(all, n->name);
    if (!csi || !csi->spec.drivers.n) return true;
    OWN(arena_free_p) struct arena *a = arena_new_sized(1024);
    struct csi_volumes here = {0};
    for (size_t i = 0; i < n->pods.n; i++)
        if (!n->pods.v[i]->lifted) add_class(a, &here, all, n->pods.v[i]->class);
    for (size_t i = 0; i < wanted->n; i++) add(a, &here, wanted->v[i].driver, wanted->v[i].handle);
    for (size_t i = 0; i < wanted->n; i++)
        if (count_of(&here, wanted->v[i].driver) > limit_of(csi, wanted->v[i].driver))
            return sched_refuse(why, "node(s) exceed max volume count");
    return true;
}

static const struct sched_plugin limits = {.name = "NodeVolumeLimits",
                                           .order = 56,
                                           .reads = SCHED_READS_USE,
                                           .prepare = prepare,
                                           .filter = filter};
SCHED_PLUGIN(limits);
