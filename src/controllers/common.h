/* What several reconcilers share: owner references, template hashes, readiness over time. Pure. */
#pragma once

#include "client/engine.h"

/* An owner reference that makes `owner` the controller. Strings are borrowed from owner. */
struct meta_v1_owner_reference controller_reference(struct arena *a,
                                                    const struct api_object *owner);

/* Ready, and has been for min_ready_s seconds. *wait_ms (may be NULL) becomes the smallest positive
 * time after which that changes. */
bool pod_available_at(const struct core_v1_pod *pod, int32_t min_ready_s, int64_t now_ns,
                      uint64_t *wait_ms);

/* 64-bit FNV-1a of the template's canonical bytes without the label pod-template-hash, with the
 * collision count mixed in, as ten letters that spell nothing (upstream's SafeEncodeString
 * alphabet). */
const char *template_hash(struct arena *a, const struct core_v1_pod_template_spec *t,
                          const int32_t *collision_count);
/* Equal but for the label pod-template-hash. */
bool template_equal(const struct core_v1_pod_template_spec *x,
                    const struct core_v1_pod_template_spec *y);

/* For map functions of reconcilers that adopt: besides the default, an object of one of `kinds`
 * (NULL at the end) without a controller wakes every object of r->kind in its namespace that
 * selects it. */
typedef bool selects_fn(const struct api_object *owner, const struct str_map *labels);
void adoption_map(const struct reconciler *r, const struct world *w, const struct api_kind *k,
                  const struct api_object *now, const struct api_object *old, struct keys *out,
                  const char *const *kinds, selects_fn *selects);

/* Now as the API writes it. */
const char *now_text(struct arena *a, const struct world *w);
bool bool_or(const bool *b, bool fallback);
int32_t int_or(const int32_t *i, int32_t fallback);
int32_t *int_new(struct arena *a, int32_t v);
bool *bool_new(struct arena *a, bool v);
/* The whole number that an annotation says; 0 when it is absent or says none. */
int64_t annotation_int(const struct api_object *o, const char *key);
/* Selects with a selector that cannot be parsed match nothing. */
bool labels_match(const struct meta_v1_label_selector *s, const struct str_map *labels);

/* Whether it names this owner. */
const struct meta_v1_owner_reference *owner_reference_to(const struct api_object *o,
                                                         const char *uid);
/* Merge patch that sets metadata.ownerReferences to `refs`, guarded by uid and resourceVersion. */
void plan_set_owners(struct plan *p, const struct api_object *o,
                     const struct meta_v1_owner_reference *refs, size_t n);
/* Makes owner the controller of o. */
void plan_adopt(struct plan *p, const struct api_object *o, const struct api_object *owner);
/* Takes the reference to this owner away, keeps others. */
void plan_release(struct plan *p, const struct api_object *o, const char *owner_uid);
void plan_set_finalizers(struct plan *p, const struct api_object *o, const char *without);

/* ---- maps ---- */

/* Only objects of its own kind wake it: it looks at the others, it does not follow them. */
void map_own_kind(const struct reconciler *r, const struct world *w, const struct api_kind *k,
                  const struct api_object *now, const struct api_object *old, struct keys *out);
/* The keys of the pods that stand on that node. */
void map_node_to_pods(const struct world *w, const char *node, struct keys *out);
