#include "scheduler/snapshot/volumes.h"

#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "scheduler/snapshot/snapshot.h"

struct stored_object {
    struct arena *arena;
    struct api_object *object;
};

static void stored_free(struct stored_object *s) {
    if (!s) return;
    arena_free(s->arena);
    free(s);
}

static void map_free_all(struct map *m) {
    size_t at = 0;
    struct map_entry *e;
    while ((e = map_next(m, &at))) stored_free(e->value);
    map_done(m);
}

void volumes_done(struct volumes *v) {
    map_free_all(&v->claims);
    map_free_all(&v->volumes);
    map_free_all(&v->classes);
    map_free_all(&v->csi_nodes);
    map_free_all(&v->csi_drivers);
    map_free_all(&v->capacities);
}

static const void *find(const struct map *m, const char *key) {
    const struct stored_object *s = map_gets(m, str_or(key, ""));
    return s ? s->object : NULL;
}

/* Names with what distinguishes two states of an object but its version. */
static bool same(const struct api_type *type, const struct api_object *x,
                 const struct api_object *y) {
    struct api_object *a = (struct api_object *)(uintptr_t)x,
                      *b = (struct api_object *)(uintptr_t)y;
    const char *version = a->metadata.resource_version;
    a->metadata.resource_version = b->metadata.resource_version;
    bool ret = api_equal(type, a, b);
    a->metadata.resource_version = version;
    return ret;
}

static bool put(struct volumes *v, struct map *m, const char *key, const struct api_type *type,
                const struct api_object *o) {
    const struct api_object *have = find(m, key);
    if (have && same(type, have, o)) return false;
    struct stored_object *s = calloc(1, sizeof *s);
    if (!s) abort();
    s->arena = arena_new_sized(512);
    s->object = api_copy(s->arena, type, o);
    stored_free(map_put(m, slice_of(key), s));
    v->version++;
    return true;
}

static void drop(struct volumes *v, struct map *m, const char *key) {
    struct stored_object *s = map_del(m, slice_of(key));
    if (s) v->version++;
    stored_free(s);
}

static void key_of(struct buf *b, const char *namespace, const char *name) {
    buf_printf(b, "%s/%s", namespace, name);
}

bool volumes_put_claim(struct volumes *v, const struct core_v1_persistent_volume_claim *o) {
    OWN(buf_done) struct buf key = {0};
    key_of(&key, o->metadata.namespace, o->metadata.name);
    return put(v, &v->claims, key.p, &core_v1_persistent_volume_claim_type,
               (const struct api_object *)o);
}

bool volumes_put_volume(struct volumes *v, const struct core_v1_persistent_volume *o) {
    return put(v, &v->volumes, o->metadata.name, &core_v1_persistent_volume_type,
               (const struct api_object *)o);
}

bool volumes_put_class(struct volumes *v, const struct storage_v1_storage_class *o) {
    return put(v, &v->classes, o->metadata.name, &storage_v1_storage_class_type,
               (const struct api_object *)o);
}

bool volumes_put_csi_node(struct volumes *v, const struct storage_v1_csi_node *o) {
    return put(v, &v->csi_nodes, o->metadata.name, &storage_v1_csi_node_type,
               (const struct api_object *)o);
}

bool volumes_put_csi_driver(struct volumes *v, const struct storage_v1_csi_driver *o) {
    return put(v, &v->csi_drivers, o->metadata.name, &storage_v1_csi_driver_type,
               (const struct api_object *)o);
}

bool volumes_put_capacity(struct volumes *v, const struct storage_v1_csi_storage_capacity *o) {
    OWN(buf_done) struct buf key = {0};
    key_of(&key, o->metadata.namespace, o->metadata.name);
    return put(v, &v->capacities, key.p, &storage_v1_csi_storage_capacity_type,
               (const struct api_object *)o);
}

void volumes_remove_capacity(struct volumes *v, const char *namespace, const char *name) {
    OWN(buf_done) struct buf key = {0};
    key_of(&key, namespace, name);
    drop(v, &v->capacities, key.p);
}

void volumes_remove_claim(struct volumes *v, const char *namespace, const char *name) {
    OWN(buf_done) struct buf key = {0};
    key_of(&key, namespace, name);
    drop(v, &v->claims, key.p);
}

void volumes_remove_volume(struct volumes *v, const char *name) { drop(v, &v->volumes, name); }
void volumes_remove_class(struct volumes *v, const char *name) { drop(v, &v->classes, name); }
void volumes_remove_csi_node(struct volumes *v, const char *name) { drop(v, &v->csi_nodes, name); }
void volumes_remove_csi_driver(struct volumes *v, const char *name) {
    drop(v, &v->csi_drivers, name);
}

const struct core_v1_persistent_volume_claim *
volumes_claim(const struct volumes *v, const char *namespace, const char *name) {
    OWN(buf_done) struct buf key = {0};
    key_of(&key, namespace, name);
    return find(&v->claims, key.p);
}

const struct core_v1_persistent_volume *volumes_volume(const struct volumes *v, const char *name) {
    return find(&v->volumes, name);
}

const struct storage_v1_storage_class *volumes_class(const struct volumes *v, const char *name) {
    return find(&v->classes, name);
}

const struct storage_v1_csi_node *volumes_csi_node(const struct volumes *v, const char *node) {
    return find(&v->csi_nodes, node);
}

const struct storage_v1_csi_storage_capacity *volumes_next_capacity(const struct volumes *v,
                                                                    size_t *at) {
    const struct map_entry *e = map_next(&v->capacities, at);
    return e ? (const void *)((const struct stored_object *)e->value)->object : NULL;
}

bool volumes_tells_capacity(const struct volumes *v, const char *driver) {
    const struct storage_v1_csi_driver *d = find(&v->csi_drivers, driver);
    return d && d->spec.storage_capacity && *d->spec.storage_capacity;
}

/* ---- what a pod brings ---- */

static void add_disk(struct arena *a, struct pod_volumes *v, const char *id, bool read_only,
                     bool shareable) {
    struct {
        struct pod_disk *v;
        size_t n;
    } list = {v->disks, v->n_disks};
    *ARENA_PUSH(a, &list) = (struct pod_disk){id, read_only, shareable};
    v->disks = list.v;
    v->n_disks = list.n;
}

static void add_disks(struct arena *a, struct pod_volumes *ret, const struct core_v1_volume *v) {
    if (v->gce_persistent_disk)
        add_disk(a, ret, arena_printf(a, "gce/%s", str_or(v->gce_persistent_disk->pd_name, "")),
                 v->gce_persistent_disk->read_only, true);
    if (v->aws_elastic_block_store)
        add_disk(a, ret,
                 arena_printf(a, "ebs/%s", str_or(v->aws_elastic_block_store->volume_id, "")),
                 false, false);
    if (v->iscsi)
        add_disk(a, ret, arena_printf(a, "iscsi/%s", str_or(v->iscsi->iqn, "")),
                 v->iscsi->read_only, true);
    for (size_t i = 0; v->rbd && i < v->rbd->monitors.n; i++) /* one monitor in common is enough */
        add_disk(a, ret,
                 arena_printf(a, "rbd/%s/%s/%s", v->rbd->monitors.v[i], str_or(v->rbd->pool, "rbd"),
                              str_or(v->rbd->image, "")),
                 v->rbd->read_only, true);
}

struct pod_volumes pod_volumes_of(struct arena *a, const struct core_v1_pod *pod) {
    struct pod_volumes ret = {0};
    for (size_t i = 0; i < pod->spec.volumes.n; i++) {
        const struct core_v1_volume *v = &pod->spec.volumes.v[i];
        if (v->persistent_volume_claim)
            *ARENA_PUSH(a, &ret.claims) = arena_str(a, v->persistent_volume_claim->claim_name);
        if (v->ephemeral) {
            *ARENA_PUSH(a, &ret.claims) =
                arena_printf(a, "%s-%s", str_or(pod->metadata.name, ""), str_or(v->name, ""));
            ret.own = true;
        }
        add_disks(a, &ret, v);
    }
    return ret;
}

void pod_volumes_key(struct buf *b, const struct core_v1_pod *pod) {
    OWN(arena_free_p) struct arena *a = pod->spec.volumes.n ? arena_new_sized(256) : NULL;
    if (!a) return;
    struct pod_volumes v = pod_volumes_of(a, pod);
    for (size_t i = 0; i < v.claims.n; i++) {
        buf_char(b, 'c');
        key_text(b, v.claims.v[i]);
    }
    if (v.own) key_text(b, pod->metadata.uid);
    for (size_t i = 0; i < v.n_disks; i++) {
        buf_char(b, v.disks[i].read_only ? 'r' : 'w');
        key_text(b, v.disks[i].id);
    }
}
