/* Validation of labels, annotations and metadata as a whole. */
#include <string.h>

#include "api/table.h"
#include "api/values/names.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/own.h"

void name_validate(struct api_causes *causes, const char *field, enum name_rule rule,
                   const char *s) {
    const char *messages[NAME_MESSAGES_MAX];
    size_t n = name_messages(causes->a, rule, s, messages);
    for (size_t i = 0; i < n; i++) cause_invalid(causes, field, s ? s : "", messages[i]);
}

void labels_validate(struct api_causes *causes, const char *field, const struct str_map *labels) {
    for (size_t i = 0; i < labels->n; i++) {
        name_validate(causes, field, NAME_QUALIFIED, labels->v[i].key);
        name_validate(causes, field, NAME_LABEL_VALUE, labels->v[i].value);
    }
}

void annotations_validate(struct api_causes *causes, const char *field,
                          const struct str_map *annotations) {
    size_t total = 0;
    for (size_t i = 0; i < annotations->n; i++) {
        const struct str_pair *pair = &annotations->v[i];
        char *lower = arena_str(causes->a, pair->key);
        for (char *p = lower; *p; p++)
            if (*p >= 'A' && *p <= 'Z') *p = (char)(*p - 'A' + 'a');
        const char *messages[NAME_MESSAGES_MAX];
        size_t n = name_messages(causes->a, NAME_QUALIFIED, lower, messages);
        for (size_t j = 0; j < n; j++) cause_invalid(causes, field, pair->key, messages[j]);
        total += strlen(pair->key) + (pair->value ? strlen(pair->value) : 0);
    }
    if (total > LIMIT_ANNOTATIONS_BYTES) cause_too_long(causes, field, LIMIT_ANNOTATIONS_BYTES);
}

void label_selector_validate(struct api_causes *causes, const char *field,
                             const struct meta_v1_label_selector *selector) {
    for (size_t i = 0; i < selector->match_expressions.n; i++) {
        const struct meta_v1_label_selector_requirement *r = &selector->match_expressions.v[i];
        const char *values = arena_printf(causes->a, "%s.matchExpressions[%zu].values", field, i);
        bool set = str_eq(r->operator, "In") || str_eq(r->operator, "NotIn");
        bool presence = str_eq(r->operator, "Exists") || str_eq(r->operator, "DoesNotExist");
        if (set && r->values.n == 0)
            cause_required(causes, values, "must be specified when `operator` is 'In' or 'NotIn'");
        if (presence && r->values.n > 0)
            cause_forbidden(causes, values,
                            "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        for (size_t j = 0; set && j < r->values.n; j++)
            name_validate(causes, arena_printf(causes->a, "%s[%zu]", values, j), NAME_LABEL_VALUE,
                          r->values.v[j]);
    }
}

/* The rule that names of this kind follow. */
static enum name_rule api_name_rule(const struct api_kind *kind) {
    switch (kind->name_format) {
    case API_FORMAT_DNS1123LABEL: return NAME_DNS_LABEL;
    case API_FORMAT_DNS1035LABEL: return NAME_DNS_1035_LABEL;
    case API_FORMAT_PATHSEGMENT: return NAME_PATH_SEGMENT;
    default: return NAME_DNS_SUBDOMAIN;
    }
}

/* A generateName may end in '-': what follows it makes the name valid. */
static void validate_generate_name(const struct api_kind *kind, const char *prefix,
                                   struct api_causes *causes) {
    char *masked = arena_str(causes->a, prefix);
    size_t n = strlen(masked);
    if (n > 1 && masked[n - 1] == '-') masked[n - 1] = 'a';
    const char *messages[NAME_MESSAGES_MAX];
    size_t count = name_messages(causes->a, api_name_rule(kind), masked, messages);
    for (size_t i = 0; i < count; i++)
        cause_invalid(causes, "metadata.generateName", prefix, messages[i]);
}

static void validate_owners(const struct meta_v1_object_meta *meta, struct api_causes *causes) {
    const char *path = "metadata.ownerReferences", *controller = NULL;
    for (size_t i = 0; i < meta->owner_references.n; i++) {
        const struct meta_v1_owner_reference *r = &meta->owner_references.v[i];
        if (str_eq(r->kind, "Event") && str_eq(r->api_version, "v1"))
            cause_invalid(causes, path, "v1, Kind=Event", "is disallowed from being an owner");
        if (!r->controller || !*r->controller) continue;
        if (controller)
            cause_printf(causes, "FieldValueInvalid", path,
                         "Invalid value: \"%s\": Only one reference can have Controller set to "
                         "true. Found \"true\" in references for %s and %s",
                         str_or(r->name, ""), controller, str_or(r->name, ""));
        controller = str_or(r->name, "");
    }
}

static void finalizers_index(struct map *index, const struct str_list *list) {
    for (size_t i = 0; i < list->n; i++)
        if (list->v[i]) map_put(index, slice_of(list->v[i]), (void *)list);
}

static void validate_finalizers(const struct meta_v1_object_meta *meta,
                                const struct meta_v1_object_meta *old, struct api_causes *causes) {
    static const char *const standard[] = {"kubernetes", "orphan", "foregroundDeletion"};
    const char *path = "metadata.finalizers";
    OWN(map_done) struct map before = {0};
    OWN(map_done) struct map now = {0};
    bool deleting = old && !str_empty(old->deletion_timestamp);
    if (deleting) finalizers_index(&before, &old->finalizers);
    finalizers_index(&now, &meta->finalizers);
    for (size_t i = 0; i < meta->finalizers.n; i++) {
        const char *name = str_or(meta->finalizers.v[i], "");
        name_validate(causes, path, NAME_QUALIFIED, name);
        bool known = strchr(name, '/') != NULL;
        for (size_t j = 0; j < ARRAY_LEN(standard); j++) known |= str_eq(name, standard[j]);
        if (!known)
            cause_invalid(causes, path, name,
                          "name is neither a standard finalizer name nor is it fully qualified");
        if (deleting && !map_gets(&before, name))
            cause_printf(causes, "FieldValueForbidden", path,
                         "Forbidden: no new finalizers can be added if the object is being "
                         "deleted, found new finalizers []string{\"%s\"}",
                         name);
    }
    if (map_gets(&now, "orphan") && map_gets(&now, "foregroundDeletion"))
        cause_invalid_raw(causes, path, "[\"orphan\",\"foregroundDeletion\"]",
                          "finalizer orphan and foregroundDeletion cannot be both set");
}

static void validate_name(const struct api_kind *kind, const struct meta_v1_object_meta *meta,
                          struct api_causes *causes) {
    if (!str_empty(meta->generate_name)) validate_generate_name(kind, meta->generate_name, causes);
    if (str_empty(meta->name))
        cause_required(causes, "metadata.name", "name or generateName is required");
    else
        name_validate(causes, "metadata.name", api_name_rule(kind), meta->name);
    if (!(kind->flags & API_NAMESPACED)) {
        if (!str_empty(meta->namespace))
            cause_forbidden(causes, "metadata.namespace", "not allowed on this type");
    } else if (str_empty(meta->namespace))
        cause_required(causes, "metadata.namespace", NULL);
    else
        name_validate(causes, "metadata.namespace", NAME_DNS_LABEL, meta->namespace);
}

static void immutable(struct api_causes *causes, const char *field, const char *now,
                      const char *before) {
    if (!str_eq(now, before)) cause_invalid(causes, field, str_or(now, ""), "field is immutable");
}

static void validate_update(const struct meta_v1_object_meta *meta,
                            const struct meta_v1_object_meta *old, struct api_causes *causes) {
    immutable(causes, "metadata.name", meta->name, old->name);
    immutable(causes, "metadata.namespace", meta->namespace, old->namespace);
    immutable(causes, "metadata.uid", meta->uid, old->uid);
    immutable(causes, "metadata.creationTimestamp", meta->creation_timestamp,
              old->creation_timestamp);
    if (meta->generation < old->generation)
        cause_invalid_int(causes, "metadata.generation", meta->generation,
                          "must not be decremented");
}

void api_validate_metadata(const struct api_kind *kind, const struct meta_v1_object_meta *meta,
                           const struct meta_v1_object_meta *old, struct api_causes *causes) {
    if (kind->flags & API_VIRTUAL) return; /* reviews need no name */
    if (old)
        validate_update(meta, old, causes);
    else
        validate_name(kind, meta, causes);
    if (meta->generation < 0)
        cause_invalid_int(causes, "metadata.generation", meta->generation,
                          "must be greater than or equal to 0");
    validate_owners(meta, causes);
    validate_finalizers(meta, old, causes);
}
