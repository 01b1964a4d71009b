/* Volumes that classes make: by others, who watch the claims, or by this system (atoll.dev/local).
 */
#include <string.h>

#include "base/own.h"
#include "controllers/volumes/binding.h"

static void fails(struct plan *p, const claim_t *c, const char *text) {
    plan_event(p, (const struct api_object *)c, "Warning", "ProvisioningFailed", "%s", text);
}

static bool is_default(const struct storage_v1_storage_class *s) {
    const struct str_map *notes = &s->metadata.annotations;
    return str_eq(str_map_get(notes, "storageclass.kubernetes.io/is-default-class"), "true") ||
           str_eq(str_map_get(notes, "storageclass.beta.kubernetes.io/is-default-class"), "true");
}

const char *default_class(const struct world *w) {
    const struct storage_v1_storage_class *best = NULL;
    size_t at = 0;
    for (const struct api_object *o; (o = world_next(w, "StorageClass", NULL, &at));) {
        const struct storage_v1_storage_class *s = (const struct storage_v1_storage_class *)o;
        if (!is_default(s) || !str_empty(s->metadata.deletion_timestamp)) continue;
        if (!best || strcmp(str_or(s->metadata.creation_timestamp, ""),
                            str_or(best->metadata.creation_timestamp, "")) > 0)
            best = s; /* the newest; the first by name of those made together */
    }
    return best ? best->metadata.name : NULL;
}

/* ---- others ---- */

/* They look for claims that name them so. */
static void ask_others(struct plan *p, const claim_t *c, const char *provisioner) {
    static const char *const names[] = {"volume.beta.kubernetes.io/storage-provisioner",
                                        "volume.kubernetes.io/storage-provisioner"};
    const struct str_map *notes = &c->metadata.annotations;
    plan_event(p, (const struct api_object *)c, "Normal", "ExternalProvisioning",
               "Waiting for a volume to be created either by the external provisioner '%s' or "
               "manually by the system administrator. If volume creation is delayed, please verify "
               "that the provisioner is running and correctly registered.",
               provisioner);
    if (str_eq(str_map_get(notes, names[0]), provisioner) &&
        str_eq(str_map_get(notes, names[1]), provisioner))
        return;
    struct arena *a = plan_arena(p);
    claim_t *now = (claim_t *)api_object_copy(
        a, api_kind_by_name("", "v1", "PersistentVolumeClaim"), (const struct api_object *)c);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        str_map_set(a, &now->metadata.annotations, names[i], provisioner);
    plan_update(p, (const struct api_object *)now);
}

/* ---- this system ---- */

static struct core_v1_volume_node_affinity *only_on(struct arena *a, const char *host_name) {
    struct core_v1_volume_node_affinity *ret = ARENA_NEW(a, struct core_v1_volume_node_affinity);
    struct core_v1_node_selector_term *term;
    struct core_v1_node_selector_requirement *r;
    ret->required = ARENA_NEW(a, struct core_v1_node_selector);
    term = ARENA_PUSH(a, &ret->required->node_selector_terms);
    *term = (struct core_v1_node_selector_term){0};
    r = ARENA_PUSH(a, &term->match_expressions);
    *r = (struct core_v1_node_selector_requirement){.key = "kubernetes.io/hostname",
                                                    .operator= "In" };
    *ARENA_PUSH(a, &r->values) = host_name;
    return ret;
}

static struct core_v1_object_reference *reference_to(struct arena *a, const claim_t *c) {
    struct core_v1_object_reference *ref = ARENA_NEW(a, struct core_v1_object_reference);
    *ref = (struct core_v1_object_reference){.api_version = "v1",
                                             .kind = "PersistentVolumeClaim",
                                             .namespace = c->metadata.namespace,
                                             .name = c->metadata.name,
                                             .uid = c->metadata.uid};
    return ref;
}

static void make_local(struct plan *p, const claim_t *c, const struct storage_v1_storage_class *s,
                       const struct core_v1_node *node) {
    struct arena *a = plan_arena(p);
    const char *host = str_map_get(&node->metadata.labels, "kubernetes.io/hostname");
    volume_t *v = (volume_t *)api_object_new(a, api_kind_by_name("", "v1", "PersistentVolume"));
    v->metadata.name = arena_printf(a, "pvc-%s", c->metadata.uid);
    str_map_set(a, &v->metadata.labels, LOCAL_VOLUME_NODE, node->metadata.name);
    str_map_set(a, &v->metadata.annotations, VOLUME_PROVISIONED_BY, LOCAL_PROVISIONER);
    str_map_set(a, &v->spec.capacity, "storage",
                str_or(str_map_get(&c->spec.resources.requests, "storage"), "0"));
    v->spec.local = ARENA_NEW(a, struct core_v1_local_volume_source);
    v->spec.local->path = arena_printf(a, LOCAL_VOLUMES_PATH "/%s", v->metadata.name);
    v->spec.access_modes = c->spec.access_modes;
    v->spec.claim_ref = reference_to(a, c);
    v->spec.persistent_volume_reclaim_policy = str_or(s->reclaim_policy, "Delete");
    v->spec.storage_class_name = claim_class(c);
    v->spec.mount_options = s->mount_options;
    v->spec.node_affinity = only_on(a, str_or(host, node->metadata.name));
    plan_create(p, (const struct api_object *)v);
    plan_report_as(p, (const struct api_object *)c, "ProvisioningSucceeded",
                   arena_printf(a, "Successfully provisioned volume %s", v->metadata.name),
                   "ProvisioningFailed", "failed to provision volume:");
}

static const char *local_problem(const claim_t *c, const struct core_v1_node *node) {
    for (size_t i = 0; i < c->spec.access_modes.n; i++)
        if (!str_eq(c->spec.access_modes.v[i], "ReadWriteOnce") &&
            !str_eq(c->spec.access_modes.v[i], "ReadWriteOncePod"))
            return "Only support ReadWriteOnce and ReadWriteOncePod access modes";
    if (c->spec.selector) return "claim.spec.selector is not supported for dynamic provisioning";
    if (str_eq(c->spec.volume_mode, "Block"))
        return "volumeMode Block is not supported: a volume is a directory";
    if (!node)
        return "no node was selected: the class needs volumeBindingMode WaitForFirstConsumer";
    return NULL;
}

void provision(const struct world *w, struct plan *p, const claim_t *c, const char *node) {
    const char *name = claim_class(c);
    const struct storage_v1_storage_class *s =
        (const struct storage_v1_storage_class *)world_get(w, "StorageClass", NULL, name);
    if (!s) {
        fails(p, c,
              arena_printf(plan_arena(p), "storageclass.storage.k8s.io \"%s\" not found", name));
        return;
    }
    const char *provisioner = str_or(s->provisioner, "");
    if (str_starts(provisioner, "kubernetes.io/")) {
        fails(p, c, arena_printf(plan_arena(p), "no volume plugin matched name: %s", provisioner));
        return;
    }
    if (!str_eq(provisioner, LOCAL_PROVISIONER)) {
        ask_others(p, c, provisioner);
        return;
    }
    const struct core_v1_node *at =
        *node ? (const struct core_v1_node *)world_get(w, "Node", NULL, node) : NULL;
    const char *problem = local_problem(c, at);
    if (problem)
        fails(p, c,
              arena_printf(plan_arena(p), "failed to provision volume with StorageClass \"%s\": %s",
                           name, problem));
    else if (!volume_get(w, arena_printf(plan_arena(p), "pvc-%s", c->metadata.uid)))
        make_local(p, c, s, at);
}
