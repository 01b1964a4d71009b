/*
 * The API as data: one table per type, made by tools/schemac from
 * src/api/schema/<group>_<version>.api. Everything generic (decode, encode, defaults, validation,
 * unknown and duplicate fields, equality, copy, merge keys, OpenAPI) reads these tables; no field
 * is named in a second place. A table can also be built at run time: struct offsets are data, so
 * custom resources use the same code.
 *
 * C form of a type, one struct per schema type, PREFIX = group (first label) and version: struct
 * core_v1_pod, struct apps_v1_deployment, struct meta_v1_object_meta; its table is
 * core_v1_pod_type. All of it is in "api/types.h" (generated). Fields are snake_case: podIP →
 * pod_ip, clusterIPs → cluster_ips, containerID → container_id; C keywords get a final underscore
 * (default_).
 *
 * What a schema type is in C, and when it is absent:
 * - string: const char *, NULL (decoding "" gives NULL); string?: the same, but "" is kept
 * - int32, int64, bool: int32_t, int64_t, bool, zero; with ? (double too): a pointer, NULL
 * - T (object): struct T, inline, always written; T?: struct T *, NULL
 * - []T: struct T_list (str_list, int32_list, raw_list, ...) { v, n }, n == 0
 * - map[string]string: struct str_map, sorted by key, n == 0
 * - map[string]Quantity, map[string]bytes: struct str_map of canonical texts (bytes: base64)
 * - map[string][]string: struct str_list_map
 * - quantity, time, microtime, duration, bytes: const char *, canonical text, NULL
 * - intorstring: struct int_or_string { kind, i, s }, kind == IOS_NONE
 * - raw: struct slice of canonical JSON, p == NULL
 *
 * All memory of a decoded object is in the arena that was passed in.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

struct str_list {
    const char **v;
    size_t n;
};
struct int32_list {
    int32_t *v;
    size_t n;
};
struct int64_list {
    int64_t *v;
    size_t n;
};
struct raw_list {
    struct slice *v;
    size_t n;
};
struct raw_pair {
    const char *key;
    struct slice value;
};
struct raw_map {
    struct raw_pair *v;
    size_t n;
};
struct str_pair {
    const char *key, *value;
};
struct str_map {
    struct str_pair *v;
    size_t n;
};
struct str_list_pair {
    const char *key;
    struct str_list value;
};
struct str_list_map {
    struct str_list_pair *v;
    size_t n;
};
enum int_or_string_kind { IOS_NONE, IOS_INT, IOS_STRING };
struct int_or_string {
    enum int_or_string_kind kind;
    int32_t i;
    const char *s;
};

/* NULL when the key is absent. */
const char *str_map_get(const struct str_map *m, const char *key);
/* Inserts or replaces, keeping the order; key and value are borrowed (copy them into the arena
 * first if needed). */
void str_map_set(struct arena *a, struct str_map *m, const char *key, const char *value);
/* Adds all of `from`, which wins where both have a key: one pass over both, while str_map_set()
 * copies the map each time. The keys are borrowed; the array may be shared. */
void str_map_merge(struct arena *a, struct str_map *to, const struct str_map *from);
/* Adds what `to` lacks. */
static inline void str_map_fill(struct arena *a, struct str_map *to, const struct str_map *from) {
    struct str_map all = *from;
    str_map_merge(a, &all, to);
    *to = all;
}
bool str_list_has(const struct str_list *l, const char *s);

struct api_type; /* full layout: api/table.h, for generic code only */

/* Causes of a 422, warnings of a write: grow in the arena. */
struct api_cause {
    const char *reason;  /* FieldValueRequired, FieldValueInvalid, FieldValueNotSupported,
                            FieldValueDuplicate, FieldValueForbidden, … */
    const char *field;   /* spec.containers[0].image */
    const char *message; /* as upstream words it: "Required value", "Invalid value: \"x\": …" */
};
struct api_causes {
    struct arena *a;
    struct api_cause *v;
    size_t n;
    size_t bytes, path_bytes; /* of the causes' text; of all paths that were written */
};
/* upstream's field.Error wording: cause_required → `Required value[: detail]`; value printed as
 * JSON where it is a string. */
void cause_required(struct api_causes *c, const char *field, const char *detail);
void cause_invalid(struct api_causes *c, const char *field, const char *value,
                   const char *detail); /* string value: quoted */
void cause_invalid_int(struct api_causes *c, const char *field, int64_t value, const char *detail);
void cause_not_supported(struct api_causes *c, const char *field, const char *value,
                         const char *const *supported, size_t n);
void cause_duplicate(struct api_causes *c, const char *field, const char *value);
void cause_forbidden(struct api_causes *c, const char *field, const char *detail);
void cause_not_found(struct api_causes *c, const char *field, const char *value);

/* What a reader keeps: of objects of this type only these fields, of types that are not named all
 * of them. Elements of lists that have none of only_with (NULL: no such rule) are left out. The
 * other members are skipped without being looked into. A table ends with type NULL; such an object
 * must never be written back. */
struct api_keep {
    const struct api_type *type;
    const char *const *fields;    /* NULL-terminated */
    const char *const *only_with; /* NULL-terminated: all but numbers */
};

enum api_unknown { API_UNKNOWN_IGNORE, API_UNKNOWN_WARN, API_UNKNOWN_STRICT };
struct api_decode_opts {
    enum api_unknown unknown;    /* unknown and duplicate fields: drop silently, drop and list in
                                    warnings, fail with 400 */
    struct str_list *warnings;   /* in the arena; may be NULL */
    bool without_managers;       /* leaves metadata.managedFields out: for readers only */
    const struct api_keep *keep; /* NULL: everything */
};

/* JSON bytes → struct. opts NULL = ignore unknown fields (reading what the server stored). */
int api_decode(struct arena *a, const struct api_type *t, struct slice json,
               const struct api_decode_opts *opts, void **ret, struct err *err);
/* struct → canonical JSON (fields in schema order, empty optional fields left out). */
void api_encode(struct buf *b, const struct api_type *t, const void *obj);
void *api_new(struct arena *a, const struct api_type *t);
void *api_copy(struct arena *a, const struct api_type *t, const void *obj);
bool api_equal(const struct api_type *t, const void *x, const void *y);
/* Constant defaults of the table (not those of kinds/<kind>.c). */
void api_default(struct arena *a, const struct api_type *t, void *obj);
/* Table-driven validation: required, enum, range, length, pattern, immutable (against old, may be
 * NULL). */
void api_validate(const struct api_type *t, const void *obj, const void *old, const char *path,
                  struct api_causes *causes);
/* These fields (NULL-terminated) may not differ from old: for types whose fields are immutable in
 * one place and not in another. */
void api_validate_unchanged(const struct api_type *t, const void *obj, const void *old,
                            const char *const *fields, const char *path, struct api_causes *causes);
