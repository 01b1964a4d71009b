/* What the behaviours of kinds share: table cells as kubectl prints them, and the parts of
 * validation that several kinds need. Private to src/api/kinds. */
#pragma once

#include "api/registry.h"
#include "api/values/names.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/own.h"
#include "base/slice.h"

#define NONE_TEXT "<none>"
#define UNKNOWN_TEXT "<unknown>"

/* Columns: Name is first in most tables; WIDE ones show with -o wide only. */
#define COLUMN_NAME                                                                                \
    { "Name", "string", "name", "Name must be unique within a namespace.", 0 }
#define COLUMN(name, doc)                                                                          \
    { name, "string", "", doc, 0 }
#define COLUMN_INT(name, doc)                                                                      \
    { name, "integer", "", doc, 0 }
#define COLUMN_WIDE(name, doc)                                                                     \
    { name, "string", "", doc, 1 }
#define COLUMN_AGE COLUMN("Age", "Time since the object was created.")

struct api_cell cell_text(const char *s); /* NULL is shown as "" */
struct api_cell cell_or_none(const char *s);
struct api_cell cell_int(int64_t i);
struct api_cell cell_age(struct arena *a, const struct meta_v1_object_meta *meta, int64_t now_ns);

/* "5s", "3m20s", "47h", "3d2h", "2y10d": apimachinery duration.HumanDuration. */
const char *human_duration(struct arena *a, int64_t duration_ns);
/* Time since an RFC 3339 text; "<unknown>" when it is empty. */
const char *time_since(struct arena *a, const char *timestamp, int64_t now_ns);
/* "a=b,c=d" or "<none>" */
const char *labels_text(struct arena *a, const struct str_map *labels);
const char *label_selector_text(struct arena *a, const struct meta_v1_label_selector *selector);
/* Lists in one cell: more is added behind sep, unless it is the first. */
void text_join(struct buf *text, const char *sep, const char *more);
/* The text in the arena, or `empty` when nothing was added. */
const char *text_copy(struct arena *a, const struct buf *text, const char *empty);
/* "containers" and "images" of a pod template. */
const char *container_names_text(struct arena *a, const struct core_v1_pod_spec *spec);
const char *container_images_text(struct arena *a, const struct core_v1_pod_spec *spec);

/* pod_defaults.c: what the table cannot say; shared by Pod and every pod template. */
void pod_spec_defaults(struct arena *a, struct core_v1_pod_spec *spec);

/* pod_spec.c, container.c, volumes.c: cross-field rules. path is that of the spec. */
void pod_spec_validate(const struct core_v1_pod_spec *spec, const char *path,
                       struct api_causes *causes);
void containers_validate(const struct core_v1_pod_spec *spec, const char *path,
                         struct api_causes *causes);
/* volumes.c: a path may not go up. */
void steps_validate(struct api_causes *causes, const char *field, const char *path);
/* How many sources a Volume or VolumeProjection (type) has: the pointers of the struct. */
size_t source_count(const struct api_type *type, const void *v);
void volumes_validate(const struct core_v1_pod_spec *spec, const char *path,
                      struct api_causes *causes);
void security_validate(const struct core_v1_pod_spec *spec, const char *path,
                       struct api_causes *causes);
void env_validate(const struct core_v1_container *c, const char *path, struct api_causes *causes);
void resources_validate(const struct core_v1_resource_requirements *r, const char *path,
                        struct api_causes *causes);
void object_field_validate(const struct core_v1_object_field_selector *f, bool volume,
                           const char *path, struct api_causes *causes);
void resource_field_validate(const struct core_v1_resource_field_selector *f, bool volume,
                             const char *path, struct api_causes *causes);
/* The template of a controller with this selector (may be NULL, which is an error). */
void workload_validate(const struct meta_v1_label_selector *selector,
                       const struct core_v1_pod_template_spec *pod_template, const char *workload,
                       struct api_causes *causes);
/* replicas.c */
struct replica_count {
    const char *field; /* "status.readyReplicas" */
    int32_t value;
};
void replica_counts_validate(int32_t replicas, const struct replica_count *counts, size_t n,
                             struct api_causes *causes);
void replica_status_validate(int32_t replicas, int32_t labeled, int32_t ready, int32_t available,
                             struct api_causes *causes);
enum { REPLICA_COLUMNS = 8 };
extern const struct api_column replica_columns[REPLICA_COLUMNS];
extern const char *const replica_fields[];
const char *replica_field(struct arena *a, const char *path, int32_t replicas);
/* A template wherever it stands; path is that of the template. title says whose it is. */
void pod_template_validate(const struct core_v1_pod_template_spec *pod_template, const char *path,
                           const char *title, struct api_causes *causes);
const char *labels_json(struct arena *a, const struct str_map *labels);
/* amount.c: numbers and percentages, as in "25%" */
void amount_validate(const struct int_or_string *v, bool at_most_all, const char *path,
                     struct api_causes *causes);
bool amount_is_zero(const struct int_or_string *v);
const char *amount_json(struct arena *a, const struct int_or_string *v);
const char *amount_text(struct arena *a, const struct int_or_string *v, const char *absent);
/* The JSON text of an object or part of one, for causes. */
const char *type_json(struct arena *a, const struct api_type *t, const void *obj);
/* FieldValueNotSupported unless value is one of these; an absent one is fine. */
void choice_validate(const char *value, const char *const *choices, size_t n, const char *path,
                     struct api_causes *causes);
/* node_selector.c: terms of matchExpressions and matchFields; path is that of the term or selector.
 */
void node_selector_term_validate(const struct core_v1_node_selector_term *t, const char *path,
                                 struct api_causes *causes);
void node_selector_validate(const struct core_v1_node_selector *s, const char *path,
                            struct api_causes *causes);
/* storage.c: the name of a CSI driver, which must be there: at most 63 bytes of a DNS subdomain, in
 * either case. */
void csi_name_validate(const char *name, const char *path, struct api_causes *causes);
/* volume_source.c: a PersistentVolume's spec, also inside a VolumeAttachment. */
void volume_spec_validate(const struct core_v1_persistent_volume_spec *spec, bool inlined,
                          const char *path, struct api_causes *causes);
void claim_spec_validate(const struct core_v1_persistent_volume_claim_spec *spec, const char *path,
                         struct api_causes *causes);
/* "RWO,ROX" */
const char *access_modes_text(struct arena *a, const struct str_list *modes);
/* pod_update.c */
void pod_update_validate(const struct core_v1_pod *pod, const struct core_v1_pod *old,
                         struct api_causes *causes);
/* pod_subresources.c: ephemeralcontainers and resize */
void pod_subresource_prepare(struct arena *a, void *obj, const void *old, const char *subresource);
void pod_subresource_validate(const struct core_v1_pod *pod, const struct core_v1_pod *old,
                              const char *subresource, struct api_causes *causes);

/* A port number or a name; `what` of a cause. */
bool ip_valid(const char *s);
bool ip_is_v4(const char *s);
/* A path, or a message. One validation may write LIMIT_PATHS_BYTES of them; then a cause says so,
 * and the others are empty. */
const char *path_of(struct api_causes *causes, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
#define CAUSE_IP "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
