#include "server/media/protobuf.h"

#include <errno.h>
#include <inttypes.h>

#include "api/registry.h"
#include "api/table.h"
#include "base/limits.h"
#include "base/times.h"

/* Wire format: protobuf.dev/programming-guides/encoding. */
enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct wire_field {
    uint32_t number;
    unsigned wire;
    uint64_t value;     /* varint and fixed */
    struct slice bytes; /* WIRE_BYTES */
};

static bool varint(struct slice *s, uint64_t *ret) {
    uint64_t v = 0;
    for (unsigned i = 0; i < 10 && i < s->n; i++) {
        unsigned char c = (unsigned char)s->p[i];
        v |= (uint64_t)(c & 0x7f) << (7 * i);
        if (c & 0x80) continue;
        *s = slice_from(s->p + i + 1, s->n - i - 1);
        *ret = v;
        return true;
    }
    return false;
}

static bool fixed(struct slice *s, unsigned n, uint64_t *ret) {
    uint64_t v = 0;
    if (s->n < n) return false;
    for (unsigned i = 0; i < n; i++) v |= (uint64_t)(unsigned char)s->p[i] << (8 * i);
    *s = slice_from(s->p + n, s->n - n);
    *ret = v;
    return true;
}

/* 1: *f was read, 0: the message has ended, -EINVAL: malformed. */
static int next(struct slice *s, struct wire_field *f) {
    uint64_t tag, n;
    if (!s->n) return 0;
    if (!varint(s, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1fffffff) return -EINVAL;
    *f = (struct wire_field){.number = (uint32_t)(tag >> 3), .wire = tag & 7};
    switch (f->wire) {
    case WIRE_VARINT: return varint(s, &f->value) ? 1 : -EINVAL;
    case WIRE_FIXED64: return fixed(s, 8, &f->value) ? 1 : -EINVAL;
    case WIRE_FIXED32: return fixed(s, 4, &f->value) ? 1 : -EINVAL;
    case WIRE_BYTES:
        if (!varint(s, &n) || n > s->n) return -EINVAL;
        f->bytes = slice_from(s->p, (size_t)n);
        *s = slice_from(s->p + n, s->n - (size_t)n);
        return 1;
    default: return -EINVAL;
    }
}

/* The last field of that number; false when there is none. */
static bool find(struct slice s, uint32_t number, struct wire_field *ret) {
    struct wire_field f;
    bool found = false;
    while (next(&s, &f) > 0)
        if (f.number == number) {
            *ret = f;
            found = true;
        }
    return found;
}

static int well_formed(struct slice s) {
    struct wire_field f;
    int rc;
    while ((rc = next(&s, &f)) > 0)
        ;
    return rc;
}

static int put_message(struct buf *b, const struct api_type *t, struct slice s, unsigned depth);

static void put_time(struct buf *b, struct slice s, bool micro) {
    struct wire_field seconds = {0}, nanos = {0};
    char text[TIME_TEXT_MAX];
    find(s, 2, &nanos);
    const int64_t year_1_s = -62135596800, year_10000_s = 253402300800;
    if (!find(s, 1, &seconds) || (int64_t)seconds.value >= year_10000_s ||
        (int64_t)seconds.value < year_1_s) {
        buf_str(b, "null");
        return;
    }
    time_format_parts(text, (int64_t)seconds.value, (int64_t)(nanos.value % 1000000000), micro);
    buf_json_str(b, slice_of(text));
}

static void put_int_or_string(struct buf *b, struct slice s) {
    struct wire_field type = {0}, number = {0}, text = {0};
    find(s, 1, &type);
    find(s, 2, &number);
    find(s, 3, &text);
    if (type.value == 1)
        buf_json_str(b, text.bytes);
    else
        buf_i64(b, (int32_t)number.value);
}

static void put_text(struct buf *b, enum api_form form, struct slice bytes) {
    struct wire_field inner = {0};
    if (form == API_BYTES) {
        buf_char(b, '"');
        buf_base64(b, bytes.p, bytes.n);
        buf_char(b, '"');
    } else if (form == API_QUANTITY) {
        find(bytes, 1, &inner);
        buf_json_str(b, inner.bytes.n ? inner.bytes : SLICE("0"));
    } else if (form == API_TIME || form == API_MICROTIME) {
        put_time(b, bytes, form == API_MICROTIME);
    } else if (form == API_DURATION) {
        find(bytes, 1, &inner);
        buf_printf(b, "\"%" PRId64 "ns\"", (int64_t)inner.value);
    } else {
        buf_json_str(b, bytes);
    }
}

/* Fields of CustomResourceDefinitions that are one thing or another in JSON, and a message with a
 * field for each on this wire. */
static bool is_union(const struct api_field *f) {
    const struct api_type *props = &apiextensions_v1_json_schema_props_type,
                          *sub = &apiextensions_v1_custom_resource_subresources_type;
    return (f >= props->fields && f < props->fields + props->n_fields &&
            (str_eq(f->name, "items") || str_eq(f->name, "additionalProperties"))) ||
           (f >= sub->fields && f < sub->fields + sub->n_fields);
}

static int put_union(struct buf *b, const struct api_field *f, struct slice bytes, unsigned depth) {
    struct wire_field schema = {0}, allows = {0};
    bool list = str_eq(f->name, "items");
    if (str_eq(f->name, "status")) {
        buf_str(b, "{}");
        return 0;
    }
    if (find(bytes, list ? 1 : 2, &schema))
        return put_message(b, &apiextensions_v1_json_schema_props_type, schema.bytes, depth + 1);
    find(bytes, 1, &allows);
    buf_str(b, list ? "null" : allows.value ? "true" : "false");
    return 0;
}

static int put_value(struct buf *b, const struct api_field *f, const struct wire_field *w,
                     unsigned depth) {
    struct wire_field raw = {0};
    double number;
    switch ((enum api_form)f->form) {
    case API_BOOL: buf_str(b, w->value ? "true" : "false"); return 0;
    case API_INT32: buf_i64(b, (int32_t)w->value); return 0;
    case API_INT64: buf_i64(b, (int64_t)w->value); return 0;
    case API_DOUBLE:
        memcpy(&number, &w->value, sizeof number);
        buf_printf(b, "%.17g", number);
        return 0;
    case API_INT_OR_STRING: put_int_or_string(b, w->bytes); return 0;
    case API_RAW:
        if (is_union(f)) return put_union(b, f, w->bytes, depth);
        find(w->bytes, 1, &raw);
        buf_slice(b, raw.bytes.n ? raw.bytes : SLICE("null"));
        return 0;
    case API_OBJECT: return put_message(b, f->type, w->bytes, depth + 1);
    default: put_text(b, (enum api_form)f->form, w->bytes); return 0;
    }
}

/* An authorization ExtraValue: {1: repeated string}. */
static void put_strings(struct buf *b, struct slice s) {
    struct wire_field f;
    bool comma = false;
    buf_char(b, '[');
    while (next(&s, &f) > 0) {
        if (f.number != 1) continue;
        if (comma) buf_char(b, ',');
        comma = true;
        buf_json_str(b, f.bytes);
    }
    buf_char(b, ']');
}

static int put_pair(struct buf *b, const struct api_field *f, struct slice entry, unsigned depth) {
    struct wire_field key = {0}, value = {0};
    find(entry, 1, &key);
    find(entry, 2, &value);
    if (well_formed(entry) < 0) return -EINVAL;
    buf_json_str(b, key.bytes);
    buf_char(b, ':');
    if (f->shape == API_MAP) return put_value(b, f, &value, depth);
    put_strings(b, value.bytes);
    return 0;
}

/* Every occurrence of the field in the message as one JSON member. */
static int put_field(struct buf *b, const struct api_field *f, struct slice s, bool *first,
                     unsigned depth) {
    struct wire_field w, one = {0};
    size_t n = 0;
    int rc = 0;
    while (rc == 0 && next(&s, &w) > 0) {
        if (w.number != f->number) continue;
        one = w;
        if (n++ == 0) {
            buf_printf(b, "%s\"%s\":", *first ? "" : ",", f->name);
            *first = false;
            if (f->shape != API_ONE) buf_char(b, f->shape == API_LIST ? '[' : '{');
        } else if (f->shape != API_ONE) {
            buf_char(b, ',');
        }
        if (f->shape == API_LIST) rc = put_value(b, f, &w, depth);
        if (f->shape == API_MAP || f->shape == API_MAP_OF_LISTS)
            rc = put_pair(b, f, w.bytes, depth);
    }
    if (rc < 0 || !n) return rc;
    if (f->shape == API_ONE) return put_value(b, f, &one, depth);
    buf_char(b, f->shape == API_LIST ? ']' : '}');
    return 0;
}

bool protobuf_is_type_meta(const struct api_type *t, const struct api_field *f) {
    return f < t->fields + 2 && t->n_fields > 2 && str_eq(t->fields[0].name, "apiVersion") &&
           str_eq(t->fields[1].name, "kind") && t->fields[1].number == t->fields[2].number;
}

static int put_message(struct buf *b, const struct api_type *t, struct slice s, unsigned depth) {
    if (depth > LIMIT_JSON_DEPTH / 2 || b->n > 4 * (size_t)LIMIT_BODY_BYTES) return -E2BIG;
    if (well_formed(s) < 0) return -EINVAL;
    bool first = true;
    buf_char(b, '{');
    for (unsigned i = 0; i < t->n_fields; i++) {
        const struct api_field *f = &t->fields[i];
        struct slice in = s;
        struct wire_field embedded;
        if (!f->number || protobuf_is_type_meta(t, f)) continue;
        if (f->embed) {
            if (!find(s, f->embed, &embedded) || well_formed(embedded.bytes) < 0) continue;
            in = embedded.bytes;
        }
        if (f->embed2) {
            if (!find(in, f->embed2, &embedded) || well_formed(embedded.bytes) < 0) continue;
            in = embedded.bytes;
        }
        int rc = put_field(b, f, in, &first, depth);
        if (rc < 0) return rc;
    }
    buf_char(b, '}');
    return 0;
}

/* ---- the envelope ---- */

/* policy/v1 Eviction, which is no kind of its own here. */
static const struct api_field eviction_fields[] = {
    {.name = "metadata",
     .name_n = 8,
     .form = API_OBJECT,
     .number = 1,
     .type = &meta_v1_object_meta_type},
    {.name = "deleteOptions",
     .name_n = 13,
     .form = API_OBJECT,
     .number = 2,
     .type = &meta_v1_delete_options_type},
};
static const struct api_type eviction_type = {
    .name = "Eviction", .fields = eviction_fields, .n_fields = 2};

static const struct api_field partial_fields[] = {
    {.name = "metadata",
     .name_n = 8,
     .form = API_OBJECT,
     .number = 1,
     .type = &meta_v1_object_meta_type},
};
const struct api_type protobuf_partial_type = {
    .name = "PartialObjectMetadata", .fields = partial_fields, .n_fields = 1};

/* Lists whose C structs would be called like the list of their elements. */
static const struct api_field group_list_fields[] = {
    {.name = "groups",
     .name_n = 6,
     .form = API_OBJECT,
     .shape = API_LIST,
     .number = 1,
     .type = &meta_v1_api_group_type},
};
static const struct api_type group_list_type = {
    .name = "APIGroupList", .fields = group_list_fields, .n_fields = 1};
static const struct api_field resource_list_fields[] = {
    {.name = "groupVersion", .name_n = 12, .form = API_STRING, .number = 1},
    {.name = "resources",
     .name_n = 9,
     .form = API_OBJECT,
     .shape = API_LIST,
     .number = 2,
     .type = &meta_v1_api_resource_type},
};
static const struct api_type resource_list_type = {
    .name = "APIResourceList", .fields = resource_list_fields, .n_fields = 2};

static bool has_numbers(const struct api_type *t) {
    for (unsigned i = 0; i < t->n_fields; i++)
        if (t->fields[i].number) return true;
    return false;
}

bool protobuf_speaks(const struct api_type *t) {
    /* Read, but not written: see is_union. Clients take JSON beside it. */
    return t != &apiextensions_v1_custom_resource_definition_type && has_numbers(t);
}

const struct api_type *protobuf_type(const char *api_version, const char *kind) {
    static const struct {
        const char *kind;
        const struct api_type *type;
    } others[] = {
        {"Status", &meta_v1_status_type},
        {"DeleteOptions", &meta_v1_delete_options_type},
        {"Scale", &autoscaling_v1_scale_type},
        {"TokenRequest", &authentication_v1_token_request_type},
        {"Eviction", &eviction_type},
        {"APIVersions", &meta_v1_api_versions_type},
        {"APIGroupList", &group_list_type},
        {"APIGroup", &meta_v1_api_group_type},
        {"APIResourceList", &resource_list_type},
        {"PartialObjectMetadata", &protobuf_partial_type},
    };
    const struct api_kind *k = api_kind_by_api_version(api_version, kind);
    if (k) return has_numbers(k->type) ? k->type : NULL;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (str_eq(others[i].kind, kind)) return others[i].type;
    return NULL;
}

static void text_of(struct slice s, char out[256]) {
    size_t n = s.n < 255 ? s.n : 255;
    memcpy(out, n ? s.p : "", n);
    out[n] = 0;
}

int protobuf_to_json(struct slice body, struct buf *out, struct err *err) {
    static const char magic[] = {'k', '8', 's', 0};
    struct wire_field meta = {0}, raw = {0}, version = {0}, kind = {0};
    char version_text[256], kind_text[256];
    if (body.n < sizeof magic || memcmp(body.p, magic, sizeof magic) != 0)
        return err_set(err, ERR_BAD_REQUEST, "the body does not begin with the protobuf prefix");
    struct slice envelope = slice_from(body.p + sizeof magic, body.n - sizeof magic);
    if (well_formed(envelope) < 0)
        return err_set(err, ERR_BAD_REQUEST, "the protobuf envelope is malformed");
    find(envelope, 1, &meta);
    find(envelope, 2, &raw);
    find(meta.bytes, 1, &version);
    find(meta.bytes, 2, &kind);
    text_of(version.bytes, version_text);
    text_of(kind.bytes, kind_text);
    const struct api_type *type = protobuf_type(version_text, kind_text);
    if (!type)
        return err_set(err, ERR_UNSUPPORTED_MEDIA_TYPE,
                       "there is no protobuf form of kind \"%s\" in version \"%s\" here", kind_text,
                       version_text);
    size_t start = out->n;
    if (put_message(out, type, raw.bytes, 0) < 0) {
        out->n = start;
        return err_set(err, ERR_BAD_REQUEST, "the protobuf message of a %s is malformed",
                       kind_text);
    }
    /* apiVersion and kind go in front, from the envelope. */
    bool empty = out->n == start + 2;
    struct buf rest = {0};
    buf_append(&rest, out->p + start + 1, out->n - start - 1);
    out->n = start;
    buf_str(out, "{\"apiVersion\":");
    buf_json_str(out, slice_of(version_text));
    buf_str(out, ",\"kind\":");
    buf_json_str(out, slice_of(kind_text));
    if (!empty) buf_char(out, ',');
    buf_slice(out, buf_view(&rest));
    buf_done(&rest);
    return 0;
}
