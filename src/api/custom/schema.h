/*
 * A structural schema (apiextensions.k8s.io/v1 JSONSchemaProps), parsed once into an arena, and
 * what is done with it to values: pruning, defaults, validation. Depth is that of the schema, which
 * LIMIT_JSON_DEPTH bounds; below what a schema names values are walked as deep as they are, which
 * the same limit bounds.
 */
#pragma once

#include "api/custom/value.h"
#include "base/regex.h"

enum schema_type {
    SCHEMA_ANY, /* int-or-string, or what unknown fields are */
    SCHEMA_OBJECT,
    SCHEMA_ARRAY,
    SCHEMA_STRING,
    SCHEMA_INTEGER,
    SCHEMA_NUMBER,
    SCHEMA_BOOLEAN
};
extern const char *const schema_type_names[]; /* "" for SCHEMA_ANY */

enum { /* schema.flags */
       SCHEMA_NULLABLE = 1,
       SCHEMA_PRESERVE = 2, /* x-kubernetes-preserve-unknown-fields */
       SCHEMA_EMBEDDED = 4, /* x-kubernetes-embedded-resource */
       SCHEMA_INT_OR_STRING = 8,
       SCHEMA_ADDITIONAL_ANY = 16, /* additionalProperties: true */
       SCHEMA_ATOMIC = 32,         /* list or map type atomic */
       SCHEMA_SET = 64,
       SCHEMA_LIST_MAP = 128,
       SCHEMA_HAS_DEFAULTS = 256,     /* it or one below it */
       SCHEMA_HAS_RULES = 512,        /* x-kubernetes-validations at it or below it */
       SCHEMA_ADDITIONAL_NONE = 1024, /* additionalProperties: false */
};

/* A rule of x-kubernetes-validations; texts are NULL when absent. */
struct schema_rule {
    const char *rule, *message, *message_expression, *reason, *field_path;
    bool optional_old_self;
};

enum { /* schema_limits.has */
       LIMITS_MINIMUM = 1,
       LIMITS_MAXIMUM = 2,
       LIMITS_MIN_EXCLUSIVE = 4,
       LIMITS_MAX_EXCLUSIVE = 8,
       LIMITS_MULTIPLE_OF = 16,
       LIMITS_UNIQUE = 32,
};

struct schema;
/* What only validation reads; few places of a schema have any. Counts are −1 when absent. */
struct schema_limits {
    unsigned has;
    double minimum, maximum, multiple_of;
    int64_t min_length, max_length, min_items, max_items, min_properties, max_properties;
    const char *pattern_text;
    struct regex *pattern;
    const char *format;
    struct value_items enums;
    struct {
        struct schema **v;
        size_t n;
    } all_of, any_of, one_of;
    struct schema *not_;
};

struct schema_property {
    struct slice name;
    struct schema *schema;
};

struct schema {
    enum schema_type type;
    unsigned flags;
    struct {
        struct schema_property *v;
        size_t n;
    } properties;              /* sorted by name */
    struct schema *items;      /* NULL = not given */
    struct schema *additional; /* additionalProperties as a schema; NULL = not given */
    const struct value *default_;
    struct str_list required, list_keys;
    const char *const *sorted_keys; /* list_keys, sorted, NULL-terminated */
    struct schema_limits *limits;   /* NULL = none */
    struct {
        struct schema_rule *v;
        size_t n;
    } rules;
};

/* From a JSONSchemaProps document. ERR_INVALID names the place. Lenient: what schema_check tells is
 * not told again; what cannot be understood is ignored, but a pattern that is none. */
int schema_build(struct arena *a, const struct value *json, struct schema **ret, struct err *err);
/* The schema of a member: of properties, else of additionalProperties, else NULL. */
const struct schema *schema_member(const struct schema *s, struct slice name);
const struct schema *schema_property(const struct schema *s, struct slice name);

/* The rules that a schema of a CustomResourceDefinition must keep: structural, complete, supported
 * fields only, valid defaults. One cause each. path is that of the document; built is the schema
 * made from json, or NULL to leave out the rules about defaults. status: the version has the status
 * subresource. */
void schema_check(const struct value *json, const struct schema *built, bool status,
                  const char *path, struct api_causes *causes);

/* Removes what the schema does not name, below `path` (of the object, "" at its root). What is
 * removed is told in unknown (may be NULL) as `unknown field "spec.x"`. At the root of a resource
 * and of embedded ones apiVersion, kind and metadata stay. */
void schema_prune(struct arena *a, const struct schema *s, bool resource_root, struct value *v,
                  const char *path, struct str_list *unknown);
/* Nulls where null is not allowed go, absent members with a default come. */
void schema_default(struct arena *a, const struct schema *s, struct value *v);
/* Causes as upstream words them. path "" at the root. */
void schema_validate(const struct schema *s, const struct value *v, const char *path,
                     struct api_causes *causes);
/* Lists of type set and map without equal elements; embedded resources with an identity. */
void schema_validate_kubernetes(const struct schema *s, const struct value *v, const char *path,
                                struct api_causes *causes);
/* Whether a text has the format (date-time, ipv4, …); true for formats that are not known. */
bool schema_format_valid(const char *format, struct slice text);
