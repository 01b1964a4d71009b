/* A definition → its kinds. */
#include "api/custom/custom.h"

#include <stdlib.h>

#include "api/table.h"
#include "base/own.h"

static const struct api_field object_fields[] = {
    {.name = "apiVersion",
     .name_n = 10,
     .form = API_STRING,
     .offset = offsetof(struct custom_object, api_version),
     .doc = "The version of this form of the object."},
    {.name = "kind",
     .name_n = 4,
     .form = API_STRING,
     .offset = offsetof(struct custom_object, kind),
     .doc = "What the object is."},
    {.name = "metadata",
     .name_n = 8,
     .form = API_OBJECT,
     .offset = offsetof(struct custom_object, metadata),
     .type = &meta_v1_object_meta_type,
     .doc = "Name, labels and the rest of what every object has."},
    {.name = "",
     .form = API_RAW,
     .flags = API_INLINE,
     .offset = offsetof(struct custom_object, rest),
     .doc = "All other members."},
    {.name = "status",
     .name_n = 6,
     .form = API_RAW,
     .offset = offsetof(struct custom_object, status),
     .doc = "What is the case."},
};
const struct api_type custom_object_type = {.name = "CustomResource",
                                            .schema_name = "io.atoll.v1.CustomResource",
                                            .size = sizeof(struct custom_object),
                                            .fields = object_fields,
                                            .n_fields = ARRAY_LEN(object_fields),
                                            .flags = API_TYPE_RULES | API_TYPE_INLINE,
                                            .doc = "An object of a custom kind."};

typedef struct apiextensions_v1_custom_resource_definition definition;
typedef struct apiextensions_v1_custom_resource_definition_names definition_names;
typedef struct apiextensions_v1_custom_resource_definition_version definition_version;

static const char *const *word_list(struct arena *a, const struct str_list *l) {
    const char **v = ARENA_ARRAY(a, const char *, l->n + 1);
    for (size_t i = 0; i < l->n; i++) v[i] = arena_str(a, l->v[i]);
    return v;
}

static const char *const *subresources(struct arena *a, unsigned flags) {
    const char **v = ARENA_ARRAY(a, const char *, 3);
    size_t n = 0;
    if (flags & API_HAS_SCALE) v[n++] = "scale";
    if (flags & API_HAS_STATUS) v[n++] = "status";
    return v;
}

static void take_kind(struct custom_set *s, const definition *crd, const definition_names *names,
                      const definition_version *v, struct custom_version *out) {
    struct arena *a = s->a;
    unsigned flags = API_GENERATION;
    if (str_eq(crd->spec.scope, "Namespaced")) flags |= API_NAMESPACED;
    if (v->subresources && v->subresources->status.p) flags |= API_HAS_STATUS;
    if (v->subresources && v->subresources->scale) flags |= API_HAS_SCALE;
    out->kind = (struct api_kind){.group = s->group,
                                  .version = arena_str(a, v->name),
                                  .kind = arena_str(a, names->kind),
                                  .plural = arena_str(a, crd->spec.names.plural),
                                  .singular = arena_str(a, str_or(names->singular, "")),
                                  .list_kind = arena_str(a, str_or(names->list_kind, "")),
                                  .short_names = word_list(a, &names->short_names),
                                  .categories = word_list(a, &names->categories),
                                  .subresources = subresources(a, flags),
                                  .flags = flags,
                                  .type = &custom_object_type,
                                  .store_prefix =
                                      arena_printf(a, "/%s.%s/", crd->spec.names.plural, s->group),
                                  .api_version = arena_printf(a, "%s/%s", s->group, v->name),
                                  .name_format = API_FORMAT_DNS1123SUBDOMAIN,
                                  .custom = out};
}

static int add_column(struct custom_set *s, struct custom_version *out, struct custom_column c,
                      const char *path, struct err *err) {
    int rc = jsonpath_parse(s->a, path, &c.path, err);
    if (rc == 0) *ARENA_PUSH(s->a, &out->columns) = c;
    return rc;
}

static int take_columns(struct custom_set *s, const definition_version *v,
                        struct custom_version *out, struct err *err) {
    static const char age_doc[] =
        "CreationTimestamp is a timestamp representing the server time when this object was "
        "created. It is not guaranteed to be set in happens-before order across separate "
        "operations. Clients may not set this value. It is represented in RFC3339 form and is in "
        "UTC.";
    if (!v->additional_printer_columns.n)
        return add_column(s, out, (struct custom_column){"Age", "date", "", age_doc, 0, NULL},
                          ".metadata.creationTimestamp", err);
    for (size_t i = 0; i < v->additional_printer_columns.n; i++) {
        const struct apiextensions_v1_custom_resource_column_definition *c =
            &v->additional_printer_columns.v[i];
        const char *doc =
            str_empty(c->description)
                ? arena_printf(s->a, "Custom resource definition column (in JSONPath format): %s",
                               c->json_path)
                : arena_str(s->a, c->description);
        struct custom_column column = {arena_str(s->a, c->name),
                                       arena_str(s->a, c->type),
                                       arena_str(s->a, str_or(c->format, "")),
                                       doc,
                                       c->priority,
                                       NULL};
        int rc = add_column(s, out, column, arena_str(s->a, c->json_path), err);
        if (rc < 0) return rc;
    }
    return 0;
}

static int take_schema(struct custom_set *s, const definition_version *v,
                       struct custom_version *out, struct err *err) {
    OWN(arena_free_p) struct arena *scratch = arena_new();
    OWN(buf_done) struct buf json = {0};
    struct value document;
    struct schema *schema = NULL;
    if (!v->schema || !v->schema->open_apiv_3_schema) return 0;
    api_encode(&json, &apiextensions_v1_json_schema_props_type, v->schema->open_apiv_3_schema);
    int rc = value_parse(scratch, buf_view(&json), "", NULL, &document, err);
    if (rc == 0) rc = schema_build(s->a, &document, &schema, err);
    if (rc < 0) return rc;
    out->schema = schema;
    out->schema_json = arena_strn(s->a, buf_view(&json));
    return 0;
}

static int take_version(struct custom_set *s, const definition *crd, const definition_names *names,
                        const definition_version *v, struct err *err) {
    struct arena *a = s->a;
    struct custom_version *out = ARENA_NEW(a, struct custom_version);
    *ARENA_PUSH(a, &s->versions) = out;
    out->set = s;
    out->served = v->served;
    out->deprecated = v->deprecated;
    take_kind(s, crd, names, v, out);
    if (v->storage) s->storage = out;
    if (v->deprecated)
        out->deprecation_warning =
            v->deprecation_warning
                ? arena_str(a, v->deprecation_warning)
                : arena_printf(a, "%s %s is deprecated", out->kind.api_version, out->kind.kind);
    for (size_t i = 0; i < v->selectable_fields.n; i++)
        if (!str_empty(v->selectable_fields.v[i].json_path))
            *ARENA_PUSH(a, &out->selectable) =
                arena_str(a, v->selectable_fields.v[i].json_path + 1);
    if (v->subresources && v->subresources->scale) {
        out->spec_replicas = arena_str(a, v->subresources->scale->spec_replicas_path);
        out->status_replicas = arena_str(a, v->subresources->scale->status_replicas_path);
        out->label_selector = arena_str(a, v->subresources->scale->label_selector_path);
    }
    int rc = take_schema(s, v, out, err);
    return rc == 0 ? take_columns(s, v, out, err) : rc;
}

int custom_set_new(const definition *crd, const definition_names *names, struct custom_set **ret,
                   struct err *err) {
    struct arena *a = arena_new();
    struct custom_set *s = ARENA_NEW(a, struct custom_set);
    s->refs = 1;
    s->a = a;
    s->name = arena_str(a, crd->metadata.name);
    s->group = arena_str(a, crd->spec.group);
    s->terminating = !str_empty(crd->metadata.deletion_timestamp);
    const struct apiextensions_v1_custom_resource_conversion *c = crd->spec.conversion;
    if (c && str_eq(c->strategy, "Webhook") && c->webhook)
        s->webhook = api_copy(a, &apiextensions_v1_webhook_conversion_type, c->webhook);
    for (size_t i = 0; i < crd->spec.versions.n; i++) {
        int rc = take_version(s, crd, names, &crd->spec.versions.v[i], err);
        if (rc < 0) {
            custom_set_unref(s);
            return rc;
        }
    }
    if (!s->storage) {
        custom_set_unref(s);
        return err_set(err, ERR_INVALID, "no version is the stored one");
    }
    *ret = s;
    return 0;
}

struct custom_set *custom_set_ref(struct custom_set *s) {
    s->refs++;
    return s;
}

void custom_set_unref(struct custom_set *s) {
    if (s && --s->refs == 0) arena_free(s->a);
}

void custom_kind_ref(const struct api_kind *k) {
    if (k->custom) custom_set_ref(k->custom->set);
}

void custom_kind_unref(const struct api_kind *k) {
    if (k->custom) custom_set_unref(k->custom->set);
}

const struct api_kind *custom_storage_kind(const struct api_kind *k) {
    return &k->custom->set->storage->kind;
}
