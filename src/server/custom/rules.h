/*
 * x-kubernetes-validations of custom kinds (KEP-2876): CEL rules, compiled once per definition and
 * run on each write. A rule about what changes (it names oldSelf) runs where the old value is
 * known: members by name, elements of lists of type map by their keys; not inside other lists.
 */
#pragma once

#include "api/custom/custom.h"
#include "cel/cel.h"

struct custom_rule {
    const struct schema_rule *source;
    struct cel_program *program, *message; /* message NULL: none */
    bool transition;                       /* uses oldSelf */
};

/* A place of the schema at which or below which there are rules. */
struct custom_rules {
    const struct schema *schema;
    const struct cel_type *type;
    struct {
        struct custom_rule *v;
        size_t n;
    } rules;
    struct {
        struct custom_rules_property *v;
        size_t n;
    } properties;
    struct custom_rules *items, *additional; /* NULL = no rules there */
};
struct custom_rules_property {
    struct slice name;
    struct custom_rules *rules;
};

/* rules_compile.c: definition_rules_fn. */
void custom_rules_check(const struct schema *s, const char *path, struct api_causes *causes);
/* Sets v->rules; rules that do not compile (the definition was checked) are left out. */
void custom_rules_compile(struct custom_version *v);

/* The type of whole objects for those who may see all metadata, as policies may; dyn when the
 * schema (NULL: there is none) says nothing. */
const struct cel_type *custom_rules_whole_type(struct arena *a, const struct schema *s);

/* custom_validate, then the rules. */
void custom_object_validate(const struct api_kind *k, const struct api_object *o,
                            const struct api_object *old, struct api_causes *causes);
