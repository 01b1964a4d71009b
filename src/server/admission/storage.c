/* DefaultStorageClass, PersistentVolumeClaimResize and StorageObjectInUseProtection. */
#include "api/values/quantity.h"
#include "base/own.h"
#include "server/admission/default_class.h"

static const char class_annotation[] = "volume.beta.kubernetes.io/storage-class";

static const char *class_of(const struct core_v1_persistent_volume_claim *c) {
    const char *class = str_map_get(&c->metadata.annotations, class_annotation);
    return class ? class : c->spec.storage_class_name;
}

/* ---- DefaultStorageClass ---- */

static struct default_class storage_classes = {
    .group = "storage.k8s.io",
    .plural = "storageclasses",
    .annotations = {"storageclass.kubernetes.io/is-default-class",
                    "storageclass.beta.kubernetes.io/is-default-class"},
    .as_of = UINT64_MAX};

static int default_storage_class(struct admission *ad) {
    struct core_v1_persistent_volume_claim *c = (void *)ad->object;
    if (class_of(c)) return 0; /* "" is an answer too: no class */
    const char *name = default_class_name(&storage_classes, ad);
    if (name) c->spec.storage_class_name = arena_str(ad->a, name);
    return 0;
}

static const struct admission_plugin default_plugin = {.name = "DefaultStorageClass",
                                                       .order = ORDER_DEFAULT_STORAGE_CLASS,
                                                       .operations = ADMIT_CREATE,
                                                       .group = "",
                                                       .plural = "persistentvolumeclaims",
                                                       .mutate = default_storage_class};
ADMISSION_PLUGIN(default_plugin);

/* ---- PersistentVolumeClaimResize ---- */

static bool may_grow(struct admission *ad, const char *class) {
    const struct api_kind *k = api_kind_by_plural("storage.k8s.io", "v1", "storageclasses");
    struct object *o = admission_find(ad, "storage.k8s.io", "storageclasses", "", class);
    struct api_object *decoded;
    if (!k || !o || api_object_decode(ad->a, k, object_json(o), &decoded, NULL) < 0) return false;
    const struct storage_v1_storage_class *sc = (const void *)decoded;
    return sc->allow_volume_expansion && *sc->allow_volume_expansion;
}

static int resize(struct admission *ad) {
    const struct core_v1_persistent_volume_claim *c = (const void *)ad->object,
                                                 *old = (const void *)ad->old;
    const char *now = str_map_get(&c->spec.resources.requests, "storage");
    const char *before = str_map_get(&old->spec.resources.requests, "storage");
    if (quantity_cmp(now, before) <= 0) return 0;
    if (!str_eq(old->status.phase, "Bound"))
        return admission_forbid(ad, "Only bound persistent volume claims can be expanded");
    const char *class = class_of(c);
    if (str_empty(class) || !str_eq(class, class_of(old)) || !may_grow(ad, class))
        return admission_forbid(ad, "only dynamically provisioned pvc can be resized and the "
                                    "storageclass that provisions the pvc must support resize");
    return 0;
}

static const struct admission_plugin resize_plugin = {.name = "PersistentVolumeClaimResize",
                                                      .order = ORDER_PERSISTENT_VOLUME_CLAIM_RESIZE,
                                                      .operations = ADMIT_UPDATE,
                                                      .group = "",
                                                      .plural = "persistentvolumeclaims",
                                                      .validate = resize};
ADMISSION_PLUGIN(resize_plugin);

/* ---- StorageObjectInUseProtection: the controllers take the finalizers away ---- */

static int protect(struct admission *ad) {
    bool claim = str_eq(ad->kind->plural, "persistentvolumeclaims");
    const char *name = claim ? "kubernetes.io/pvc-protection" : "kubernetes.io/pv-protection";
    struct str_list *l = &ad->object->metadata.finalizers;
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->v[i], name)) return 0;
    *ARENA_PUSH(ad->a, l) = name;
    return 0;
}

static const struct admission_plugin protect_claims = {.name = "StorageObjectInUseProtection",
                                                       .order =
                                                           ORDER_STORAGE_OBJECT_IN_USE_PROTECTION,
                                                       .operations = ADMIT_CREATE,
                                                       .group = "",
                                                       .plural = "persistentvolumeclaims",
                                                       .mutate = protect};
ADMISSION_PLUGIN(protect_claims);

static const struct admission_plugin protect_volumes = {.name = "StorageObjectInUseProtection",
                                                        .order =
                                                            ORDER_STORAGE_OBJECT_IN_USE_PROTECTION,
                                                        .operations = ADMIT_CREATE,
                                                        .group = "",
                                                        .plural = "persistentvolumes",
                                                        .mutate = protect};
ADMISSION_PLUGIN(protect_volumes);
