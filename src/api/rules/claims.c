#include "api/rules/claims.h"

#include <string.h>

#include "api/rules/node_match.h"
#include "api/values/quantity.h"
#include "api/values/selector.h"

static const char beta_class[] = "volume.beta.kubernetes.io/storage-class";

bool claim_is_bound(const struct core_v1_persistent_volume_claim *c) {
    return !str_empty(c->spec.volume_name) &&
           (str_eq(c->status.phase, "Bound") ||
            str_map_get(&c->metadata.annotations, CLAIM_BIND_COMPLETED));
}

static const char *class_of(const struct meta_v1_object_meta *m, const char *named) {
    const char *old = str_map_get(&m->annotations, beta_class);
    return old ? old : str_or(named, "");
}

const char *claim_class(const struct core_v1_persistent_volume_claim *c) {
    return class_of(&c->metadata, c->spec.storage_class_name);
}

static const char *volume_class(const struct core_v1_persistent_volume *v) {
    return class_of(&v->metadata, v->spec.storage_class_name);
}

bool volume_is_for(const struct core_v1_persistent_volume *v,
                   const struct core_v1_persistent_volume_claim *c) {
    const struct core_v1_object_reference *ref = v->spec.claim_ref;
    return ref && str_eq(ref->name, c->metadata.name) &&
           str_eq(ref->namespace, c->metadata.namespace) &&
           (str_empty(ref->uid) || str_eq(ref->uid, c->metadata.uid));
}

static bool offers_modes(const struct core_v1_persistent_volume *v, const struct str_list *wanted) {
    for (size_t i = 0; i < wanted->n; i++) {
        bool has = false;
        for (size_t j = 0; j < v->spec.access_modes.n; j++)
            has |= str_eq(v->spec.access_modes.v[j], wanted->v[i]);
        if (!has) return false;
    }
    return true;
}

static const char *size_of(const struct core_v1_persistent_volume *v) {
    return str_or(str_map_get(&v->spec.capacity, "storage"), "0");
}

const char *volume_misfit(struct arena *a, const struct core_v1_persistent_volume *v,
                          const struct core_v1_persistent_volume_claim *c) {
    const char *asked = str_map_get(&c->spec.resources.requests, "storage");
    if (!str_empty(v->metadata.deletion_timestamp))
        return arena_printf(a, "the volume is marked for deletion \"%s\"", v->metadata.name);
    if (asked && quantity_cmp(size_of(v), asked) < 0) return "requested PV is too small";
    if (!str_eq(volume_class(v), claim_class(c))) return "storageClassName does not match";
    if (!str_eq(str_or(v->spec.volume_mode, "Filesystem"),
                str_or(c->spec.volume_mode, "Filesystem")))
        return "incompatible volumeMode";
    if (!offers_modes(v, &c->spec.access_modes)) return "incompatible accessMode";
    return NULL;
}

bool claim_selects(struct arena *a, const struct core_v1_persistent_volume_claim *c,
                   const struct core_v1_persistent_volume *v) {
    struct selector *s = NULL;
    return !c->spec.selector || (selector_from_labels(a, c->spec.selector, &s, NULL) == 0 &&
                                 selector_matches(s, &v->metadata.labels));
}

bool volume_reaches(const struct core_v1_persistent_volume *v, const struct core_v1_node *n) {
    const struct core_v1_node_selector *from =
        v->spec.node_affinity ? v->spec.node_affinity->required : NULL;
    return !from || node_selector_matches(from, n);
}

bool volume_is_local_to(const struct core_v1_persistent_volume *v, const char *node) {
    return str_eq(str_map_get(&v->metadata.annotations, VOLUME_PROVISIONED_BY),
                  LOCAL_PROVISIONER) &&
           str_eq(str_map_get(&v->metadata.labels, LOCAL_VOLUME_NODE), node);
}

int volume_cmp_size(const void *x, const void *y) {
    const struct core_v1_persistent_volume *const *a = x, *const *b = y;
    int by_size = quantity_cmp(size_of(*a), size_of(*b));
    return by_size ? by_size : strcmp((*a)->metadata.name, (*b)->metadata.name);
}
