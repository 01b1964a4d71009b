/*
 * Custom kinds: what a CustomResourceDefinition makes. All versions of one definition, as it was at
 * one moment, are a custom_set in an arena of its own; each version is a struct api_kind like those
 * of the tables, whose `custom` points here. Objects are struct custom_object: metadata is decoded,
 * everything else stays JSON text in canonical form, so that the ways of reading and writing need
 * not know that the kind is not built in.
 */
#pragma once

#include "api/custom/jsonpath.h"
#include "api/custom/schema.h"
#include "api/managed/shape.h"
#include "api/registry.h"

struct custom_object {
    const char *api_version, *kind;
    struct meta_v1_object_meta metadata;
    struct slice rest; /* the other members without braces: "spec":{…},"extra":1 */
    struct slice status;
};
extern const struct api_type custom_object_type;

struct custom_column {
    const char *name, *type, *format, *description;
    int priority;
    struct jsonpath *path;
};

struct custom_set;
struct custom_rules; /* compiled x-kubernetes-validations: server/custom/rules.h */

struct custom_version {
    struct api_kind kind;
    struct custom_set *set;
    const struct schema *schema;
    const char *schema_json; /* as it was given */
    bool served, deprecated;
    const char *deprecation_warning;
    struct {
        struct custom_column *v;
        size_t n;
    } columns;                                                    /* without Name */
    struct str_list selectable;                                   /* spec.color */
    const char *spec_replicas, *status_replicas, *label_selector; /* .spec.replicas; NULL */
    struct custom_rules *rules;                                   /* NULL = none */
};

struct custom_set {
    unsigned refs;
    struct arena *a;
    const char *name; /* PLURAL.GROUP */
    const char *group;
    struct {
        struct custom_version **v;
        size_t n;
    } versions;
    const struct custom_version *storage;
    bool terminating;
    /* Objects stored before this revision may lack defaults or hold unknown fields: they are
     * completed when they are read. 0 = none. */
    uint64_t complete_since;
    const struct apiextensions_v1_webhook_conversion *webhook; /* NULL = strategy None */
};

/* From a definition that is valid. names: those that were accepted. Refs 1. */
int custom_set_new(const struct apiextensions_v1_custom_resource_definition *crd,
                   const struct apiextensions_v1_custom_resource_definition_names *names,
                   struct custom_set **ret, struct err *err);
struct custom_set *custom_set_ref(struct custom_set *s);
void custom_set_unref(struct custom_set *s); /* NULL is allowed */
/* Kinds of the tables have no set: nothing happens. */
void custom_kind_ref(const struct api_kind *k);
void custom_kind_unref(const struct api_kind *k);

/* The kind of a definition's versions that is stored. */
const struct api_kind *custom_storage_kind(const struct api_kind *k);

/* How merging by fields sees objects of the kind (api/managed/shape.h). */
struct shape custom_shape(const struct api_kind *k);

/* What came from a client, right after decoding: unknown and repeated fields are told as mode says,
 * unknown ones go, nulls and defaults are settled, bytes become canonical. */
int custom_read(struct arena *a, const struct api_kind *k, struct api_object *o,
                const struct api_decode_opts *opts, struct err *err);
/* A status that a client must not write: what the schema gives every object, or none. */
void custom_reset_status(struct arena *a, const struct api_kind *k, struct api_object *o);
/* Stored bytes in the form of k. The same bytes when they are in this version and complete. */
struct slice custom_form(struct arena *a, const struct api_kind *k, struct slice stored);
bool custom_form_is_stored(const struct api_kind *k, struct slice stored);
void custom_validate(const struct api_kind *k, const struct api_object *o,
                     const struct api_object *old, struct api_causes *causes);
/* The whole object as a value. */
int custom_value(struct arena *a, const struct api_kind *k, const struct api_object *o,
                 struct value *ret);
/* Whether anything that counts for metadata.generation differs. */
bool custom_spec_differs(const struct api_kind *k, const struct api_object *x,
                         const struct api_object *y);

/* The cells of a table row: ["name",…] */
void custom_cells(struct buf *b, struct arena *a, const struct api_kind *k, struct slice json,
                  int64_t now_ns);
bool custom_selectable(const struct api_kind *k, const char *path);
/* The text of a selectable field; "" when it is absent. */
const char *custom_field(struct arena *a, struct slice json, const char *path);

/* The number at a simple path such as .spec.replicas; 0 when absent. */
int64_t custom_number(struct slice json, const char *path);
/* Sets a number at a simple path below .spec. */
int custom_set_number(struct arena *a, struct api_object *o, const char *path, int64_t value);
