#include "api/openapi/openapi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/custom/openapi.h"
#include "api/openapi/schema.h"
#include "api/table.h"
#include "base/map.h"
#include "base/own.h"
#include "base/vec.h"
#include "proto/json.h"

static const char *const prefixes[] = {
    [OPENAPI_V2] = "#/definitions/", [OPENAPI_V3] = "#/components/schemas/"};

void openapi_ref(struct buf *b, enum openapi_version v, const char *name) {
    buf_printf(b, "\"$ref\":\"%s%s\"", prefixes[v], name);
}

void openapi_gvk(struct buf *b, const struct api_kind *k, const char *kind) {
    buf_printf(b, "{\"group\":\"%s\",\"kind\":\"%s\",\"version\":\"%s\"}", k->group, kind,
               k->version);
}

void openapi_kind_name(struct buf *b, const struct api_kind *k) {
    if (k->custom)
        custom_openapi_name(b, k, k->kind);
    else
        buf_str(b, k->type->schema_name);
}

void openapi_list_name(struct buf *b, const struct api_kind *k) {
    if (k->custom) {
        custom_openapi_name(b, k, k->list_kind);
        return;
    }
    const char *dot = strrchr(k->type->schema_name, '.');
    buf_append(b, k->type->schema_name, (size_t)(dot + 1 - k->type->schema_name));
    buf_str(b, k->list_kind);
}

static void quoted(struct buf *b, const char *s) { buf_json_str(b, slice_of(s)); }

/* Forms that are schemas of their own upstream, so that explain shows their name. */
static const struct {
    const char *name, *doc, *v2, *v3;
} named_forms[] = {
    [API_QUANTITY] = {"io.k8s.apimachinery.pkg.api.resource.Quantity",
                      "A number with an optional unit: 500m, 1.5Gi, 2e3.", "\"type\":\"string\"",
                      "\"oneOf\":[{\"type\":\"string\"},{\"type\":\"number\"}]"},
    [API_TIME] = {OPENAPI_META "Time", "A time (RFC 3339), to the second.",
                  "\"format\":\"date-time\",\"type\":\"string\"",
                  "\"format\":\"date-time\",\"type\":\"string\""},
    [API_MICROTIME] = {OPENAPI_META "MicroTime", "A time (RFC 3339), to the microsecond.",
                       "\"format\":\"date-time\",\"type\":\"string\"",
                       "\"format\":\"date-time\",\"type\":\"string\""},
    [API_DURATION] = {OPENAPI_META "Duration", "A span of time: 1h30m0s.", "\"type\":\"string\"",
                      "\"type\":\"string\""},
    [API_INT_OR_STRING] = {"io.k8s.apimachinery.pkg.util.intstr.IntOrString",
                           "A number, or a text such as a percentage or the name of a port.",
                           "\"format\":\"int-or-string\",\"type\":\"string\"",
                           "\"format\":\"int-or-string\","
                           "\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"string\"}]"},
    [API_OBJECT] = {NULL, NULL, NULL, NULL},
};
static const char *const plain_forms[] = {
    [API_STRING] = "\"type\":\"string\"",
    [API_BYTES] = "\"format\":\"byte\",\"type\":\"string\"",
    [API_BOOL] = "\"type\":\"boolean\"",
    [API_INT32] = "\"format\":\"int32\",\"type\":\"integer\"",
    [API_INT64] = "\"format\":\"int64\",\"type\":\"integer\"",
    [API_DOUBLE] = "\"format\":\"double\",\"type\":\"number\"",
    [API_RAW] = "\"type\":\"object\"",
};

static const char *form_name(const struct api_field *f) {
    return f->type ? f->type->schema_name : named_forms[f->form].name;
}

/* The schema of one value, without braces. In version 3 a reference that has members beside it is
 * wrapped in allOf. */
static void value_members(struct buf *b, enum openapi_version v, const struct api_field *f,
                          bool wrap) {
    const char *name = form_name(f);
    if (!name) {
        buf_str(b, plain_forms[f->form]);
    } else if (wrap && v == OPENAPI_V3) {
        buf_str(b, "\"allOf\":[{");
        openapi_ref(b, v, name);
        buf_str(b, "}]");
    } else {
        openapi_ref(b, v, name);
    }
}

static void shaped_members(struct buf *b, enum openapi_version v, const struct api_field *f) {
    static const char *const opening[] = {
        [API_LIST] = "\"type\":\"array\",\"items\":{",
        [API_MAP] = "\"type\":\"object\",\"additionalProperties\":{",
        [API_MAP_OF_LISTS] = "\"type\":\"object\",\"additionalProperties\":{\"type\":\"array\","
                             "\"items\":{",
    };
    if (f->shape == API_ONE) {
        value_members(b, v, f, true);
        return;
    }
    buf_str(b, opening[f->shape]);
    value_members(b, v, f, false);
    buf_str(b, f->shape == API_MAP_OF_LISTS ? "}}" : "}");
}

static void default_member(struct buf *b, const struct api_field *f) {
    const char *text = f->default_text;
    if (!text || f->shape != API_ONE) return;
    char *end;
    (void)strtod(text, &end);
    bool bare = f->form == API_BOOL || f->form == API_INT32 || f->form == API_INT64 ||
                f->form == API_OBJECT || (f->form == API_INT_OR_STRING && *text && !*end);
    buf_str(b, ",\"default\":");
    if (bare)
        buf_str(b, text);
    else
        quoted(b, text);
}

static void list_members(struct buf *b, const struct api_field *f) {
    if (f->shape == API_LIST && f->flags & (API_ATOMIC | API_SET | API_LIST_MAP))
        buf_printf(b, ",\"x-kubernetes-list-type\":\"%s\"",
                   f->flags & API_LIST_MAP ? "map"
                   : f->flags & API_SET    ? "set"
                                           : "atomic");
    else if (f->flags & API_ATOMIC)
        buf_str(b, ",\"x-kubernetes-map-type\":\"atomic\"");
    for (size_t i = 0; f->list_keys && f->list_keys[i]; i++) {
        buf_str(b, i ? "," : ",\"x-kubernetes-list-map-keys\":[");
        quoted(b, f->list_keys[i]);
        if (!f->list_keys[i + 1]) buf_char(b, ']');
    }
    if (f->merge_key) buf_printf(b, ",\"x-kubernetes-patch-merge-key\":\"%s\"", f->merge_key);
    if (f->flags & (API_MERGE | API_REPLACE | API_RETAIN_KEYS))
        buf_printf(b, ",\"x-kubernetes-patch-strategy\":\"%s%s%s\"",
                   f->flags & API_MERGE     ? "merge"
                   : f->flags & API_REPLACE ? "replace"
                                            : "",
                   f->flags & (API_MERGE | API_REPLACE) && f->flags & API_RETAIN_KEYS ? "," : "",
                   f->flags & API_RETAIN_KEYS ? "retainKeys" : "");
}

static void enum_member(struct buf *b, const struct api_field *f) {
    if (!f->rule || !f->rule->n_enums) return;
    for (unsigned i = 0; i < f->rule->n_enums; i++) {
        buf_str(b, i ? "," : ",\"enum\":[");
        quoted(b, f->rule->enums[i]);
    }
    buf_char(b, ']');
}

static void property(struct buf *b, enum openapi_version v, const struct api_field *f) {
    quoted(b, f->name);
    buf_str(b, ":{\"description\":");
    quoted(b, f->doc);
    buf_char(b, ',');
    shaped_members(b, v, f);
    default_member(b, f);
    enum_member(b, f);
    list_members(b, f);
    buf_char(b, '}');
}

static const struct api_kind *kind_of(const struct api_type *t) {
    for (size_t i = 0; i < api_kind_table_n; i++)
        if (api_kind_table[i]->type == t) return api_kind_table[i];
    return NULL;
}

static void type_schema(struct buf *b, enum openapi_version v, const struct api_type *t) {
    const struct api_kind *k = kind_of(t);
    bool any = false;
    quoted(b, t->schema_name);
    buf_str(b, ":{\"description\":");
    quoted(b, t->doc);
    buf_str(b, ",\"type\":\"object\",\"properties\":{");
    for (unsigned i = 0; i < t->n_fields; i++) {
        if (i) buf_char(b, ',');
        property(b, v, &t->fields[i]);
    }
    buf_char(b, '}');
    for (unsigned i = 0; i < t->n_fields; i++) {
        if (!(t->fields[i].flags & (API_ALWAYS | API_REQUIRED | API_EXPECTED))) continue;
        buf_str(b, any ? "," : ",\"required\":[");
        quoted(b, t->fields[i].name);
        any = true;
    }
    if (any) buf_char(b, ']');
    if (t->flags & API_TYPE_ATOMIC) buf_str(b, ",\"x-kubernetes-map-type\":\"atomic\"");
    if (k) {
        buf_str(b, ",\"x-kubernetes-group-version-kind\":[");
        openapi_gvk(b, k, k->kind);
        buf_char(b, ']');
    }
    buf_char(b, '}');
}

static void list_schema(struct buf *b, enum openapi_version v, const struct api_kind *k) {
    const char *apart = v == OPENAPI_V3 ? "\"allOf\":[{" : "";
    buf_char(b, '"');
    openapi_list_name(b, k);
    buf_printf(b,
               "\":{\"description\":\"A list of %s.\",\"type\":\"object\",\"properties\":{"
               "\"apiVersion\":{\"description\":\"The version of this form of the list.\","
               "\"type\":\"string\"},\"kind\":{\"description\":\"What this list holds.\","
               "\"type\":\"string\"},\"metadata\":{\"description\":\"Where the list stands in "
               "the history, and how to go on reading it.\",%s",
               k->plural, apart);
    openapi_ref(b, v, OPENAPI_META "ListMeta");
    buf_printf(b,
               "%s},\"items\":{\"description\":\"The objects.\",\"type\":\"array\",\"items\":{%s",
               *apart ? "}]" : "", apart);
    OWN(buf_done) struct buf name = {0};
    openapi_kind_name(&name, k);
    openapi_ref(b, v, name.p);
    buf_printf(b, "%s}}},\"required\":[\"items\"],\"x-kubernetes-group-version-kind\":[",
               *apart ? "}]" : "");
    openapi_gvk(b, k, k->list_kind);
    buf_str(b, "]}");
}

/* ---- which types a document needs ---- */

struct closure {
    bool *have; /* by index in api_type_table */
    bool forms[API_OBJECT];
};

static void reach(struct closure *c, const struct api_type *t) {
    for (size_t i = 0; i < api_type_table_n; i++) {
        if (api_type_table[i] != t) continue;
        if (c->have[i]) return;
        c->have[i] = true;
    }
    for (unsigned i = 0; i < t->n_fields; i++) {
        const struct api_field *f = &t->fields[i];
        if (f->type)
            reach(c, f->type);
        else
            c->forms[f->form] = true;
    }
}

static const char *const every_document[] = {"ListMeta", "DeleteOptions", "Status"};

static void reach_common(struct closure *c) {
    for (size_t i = 0; i < api_type_table_n; i++)
        for (size_t k = 0; k < ARRAY_LEN(every_document); k++)
            if (str_starts(api_type_table[i]->schema_name, OPENAPI_META) &&
                str_eq(api_type_table[i]->name, every_document[k]))
                reach(c, api_type_table[i]);
}

static void schemas(struct buf *b, enum openapi_version v, const struct closure *c) {
    buf_str(b, "\"" OPENAPI_META "Patch\":{\"description\":\"A patch: its media type says of which "
               "kind.\",\"type\":\"object\"}");
    for (size_t i = 0; i < api_type_table_n; i++) {
        if (!c->have[i]) continue;
        buf_char(b, ',');
        type_schema(b, v, api_type_table[i]);
    }
    for (int i = 0; i < API_OBJECT; i++)
        if (c->forms[i] && named_forms[i].name)
            buf_printf(b, ",\"%s\":{\"description\":\"%s\",%s}", named_forms[i].name,
                       named_forms[i].doc, v == OPENAPI_V2 ? named_forms[i].v2 : named_forms[i].v3);
}

static bool chosen(const struct api_kind *k, const char *group, const char *version) {
    return !group || (str_eq(k->group, group) && str_eq(k->version, version));
}

/* Adds the members of an object whose names are not taken yet. */
static void add_unnamed(struct buf *b, struct map *names, struct slice object) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct json_reader r;
    struct slice name;
    json_reader_init(&r, object);
    if (json_object_begin(&r) < 0) return;
    while (json_object_next(&r, a, &name) > 0) {
        bool is_new = !map_put(names, name, names);
        if (is_new) {
            buf_char(b, ',');
            buf_json_str(b, name);
            buf_char(b, ':');
        }
        if ((is_new ? json_read_raw(&r, b) : json_skip(&r)) < 0) return;
    }
}

static void add_definitions(struct buf *b, size_t begin, const struct openapi_part *parts,
                            size_t n) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(map_done) struct map names = {0};
    struct json_reader r;
    struct slice name;
    if (!n) return;
    buf_char(b, '}');
    json_reader_init(&r, slice_from(b->p + begin, b->n - begin));
    if (json_object_begin(&r) == 0)
        while (json_object_next(&r, a, &name) > 0 && json_skip(&r) == 0)
            map_put(&names, name, &names);
    b->n--;
    for (size_t i = 0; i < n; i++) add_unnamed(b, &names, parts[i].definitions);
}

/* What a document is of: the kinds of one group version (group NULL: of all), and parts of other
 * servers. */
struct contents {
    const char *group, *version;
    const struct openapi_part *parts;
    size_t n_parts;
};

/* Paths and schemas. */
static int document(struct buf *b, enum openapi_version v, const struct contents *of) {
    const char *group = of->group, *version = of->version;
    OWN(buf_done) struct buf more = {0};
    bool first = true, found = false;
    size_t n;
    const struct api_kind *const *kinds = api_kinds(&n);
    for (size_t i = 0; i < n; i++) found = found || chosen(kinds[i], group, version);
    if (!found) return -ENOENT;
    struct closure c = {.have = calloc(api_type_table_n, sizeof(bool))};
    if (!c.have) abort();
    buf_str(b, v == OPENAPI_V3 ? "{\"openapi\":\"3.0.0\"" : "{\"swagger\":\"2.0\"");
    buf_str(b, ",\"info\":{\"title\":\"Kubernetes\",\"version\":\"v1.32.0\"},\"paths\":{");
    for (size_t i = 0; i < n; i++) {
        const struct api_kind *k = kinds[i];
        if (!chosen(k, group, version)) continue;
        openapi_kind_paths(b, v, k, &first);
        reach(&c, k->type);
        if (k->custom) {
            buf_char(&more, ',');
            custom_openapi_schema(&more, v, k);
        }
        if (k->flags & API_VIRTUAL && !(k->flags & API_READ_ONLY)) continue;
        buf_char(&more, ',');
        list_schema(&more, v, k);
    }
    reach_common(&c);
    for (size_t i = 0; i < of->n_parts; i++) buf_slice(b, of->parts[i].paths);
    buf_str(b, v == OPENAPI_V3 ? "},\"components\":{\"schemas\":{" : "},\"definitions\":{");
    size_t begin = b->n - 1;
    schemas(b, v, &c);
    buf_slice(b, buf_view(&more));
    add_definitions(b, begin, of->parts, of->n_parts);
    buf_str(b, v == OPENAPI_V3 ? "}}}" : "}}");
    free(c.have);
    return 0;
}

int openapi_v3_document(const char *group, const char *version, struct buf *out) {
    return document(out, OPENAPI_V3, &(struct contents){.group = group, .version = version});
}

void openapi_v2_document(const struct openapi_part *parts, size_t n, struct buf *out) {
    document(out, OPENAPI_V2, &(struct contents){.parts = parts, .n_parts = n});
}

uint64_t openapi_hash(struct slice s) {
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < s.n; i++) h = (h ^ (unsigned char)s.p[i]) * UINT64_C(0x100000001b3);
    return h;
}

void openapi_v3_index(struct buf *out) {
    const struct api_kind *last = NULL;
    size_t n;
    const struct api_kind *const *kinds = api_kinds(&n);
    buf_str(out, "{\"paths\":{");
    for (size_t i = 0; i < n; i++) {
        const struct api_kind *k = kinds[i];
        if (last && chosen(k, last->group, last->version)) continue;
        OWN(buf_done) struct buf doc = {0}, path = {0};
        openapi_v3_document(k->group, k->version, &doc);
        buf_printf(&path, "%s/%s", *k->group ? "apis" : "api", k->api_version);
        buf_printf(out, "%s\"%s\":{\"serverRelativeURL\":\"/openapi/v3/%s?hash=%016llX\"}",
                   last ? "," : "", path.p, path.p,
                   (unsigned long long)openapi_hash(buf_view(&doc)));
        last = k;
    }
    buf_str(out, "}}");
}
