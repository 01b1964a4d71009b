/*
 * The Swagger 2.0 document in protobuf (gnostic's openapi.v2.Document), which is the only form that
 * kubectl asks for: explain and validation of clients before 1.27, and the fallback of newer ones
 * for kinds that they do not find. Made from the JSON document by one table per message; what
 * kubectl never reads (responses, body schemas) is left out.
 */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "api/openapi/openapi.h"
#include "base/own.h"

typedef void put_fn(struct buf *b, unsigned number, const json_t *v);
struct member {
    const char *key;
    unsigned number;
    put_fn *put;
};
struct message {
    const struct member *members;
    size_t n;
    unsigned extensions; /* number of the vendor extensions; 0: none */
};

static void put_varint(struct buf *b, uint64_t v) {
    for (; v >= 0x80; v >>= 7) buf_char(b, (char)(v | 0x80));
    buf_char(b, (char)v);
}

static void put_bytes(struct buf *b, unsigned number, struct slice s) {
    put_varint(b, number << 3 | 2);
    put_varint(b, s.n);
    buf_slice(b, s);
}

static void put_string(struct buf *b, unsigned number, const json_t *v) {
    put_bytes(b, number, slice_from(json_string_value(v), json_string_length(v)));
}

static void put_strings(struct buf *b, unsigned number, const json_t *v) {
    for (size_t i = 0; i < json_array_size(v); i++) put_string(b, number, json_array_get(v, i));
}

static void put_true(struct buf *b, unsigned number, const json_t *v) {
    if (!json_is_true(v)) return;
    put_varint(b, number << 3);
    put_varint(b, 1);
}

/* Any: its YAML text; JSON is YAML. */
static void put_any(struct buf *b, unsigned number, const json_t *v) {
    OWN(buf_done) struct buf any = {0};
    OWN(free_p) char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!text) abort();
    put_bytes(&any, 2, slice_of(text));
    put_bytes(b, number, buf_view(&any));
}

static void put_anys(struct buf *b, unsigned number, const json_t *v) {
    for (size_t i = 0; i < json_array_size(v); i++) put_any(b, number, json_array_get(v, i));
}

/* A message with one member, number 1. */
static void put_wrapped(struct buf *b, unsigned number, const json_t *v, put_fn *put) {
    OWN(buf_done) struct buf inner = {0};
    put(&inner, 1, v);
    put_bytes(b, number, buf_view(&inner));
}

/* An object as a list of {name, value}. */
static void put_named(struct buf *b, unsigned number, const json_t *v, put_fn *put) {
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)v, name, value) {
        OWN(buf_done) struct buf pair = {0};
        put_bytes(&pair, 1, slice_of(name));
        put(&pair, 2, value);
        put_bytes(b, number, buf_view(&pair));
    }
}

static void put_message(struct buf *b, unsigned number, const json_t *v,
                        const struct message *type) {
    OWN(buf_done) struct buf body = {0};
    const char *name;
    json_t *value;
    for (size_t i = 0; i < type->n; i++)
        if ((value = json_object_get(v, type->members[i].key)))
            type->members[i].put(&body, type->members[i].number, value);
    if (type->extensions) json_object_foreach((json_t *)v, name, value) {
            if (!str_starts(name, "x-")) continue;
            OWN(buf_done) struct buf pair = {0};
            put_bytes(&pair, 1, slice_of(name));
            put_any(&pair, 2, value);
            put_bytes(&body, type->extensions, buf_view(&pair));
        }
    put_bytes(b, number, buf_view(&body));
}

/* ---- the messages ---- */

static void put_schema(struct buf *b, unsigned number, const json_t *v);
static void put_properties(struct buf *b, unsigned number, const json_t *v);

static void put_one_schema(struct buf *b, unsigned number, const json_t *v) {
    put_wrapped(b, number, v, put_schema);
}
static void put_type(struct buf *b, unsigned number, const json_t *v) {
    put_wrapped(b, number, v, put_string);
}
static const struct member schema_members[] = {
    {"$ref", 1, put_string},
    {"format", 2, put_string},
    {"description", 4, put_string},
    {"default", 5, put_any},
    {"required", 19, put_strings},
    {"enum", 20, put_anys},
    {"additionalProperties", 21, put_one_schema},
    {"type", 22, put_type},
    {"items", 23, put_one_schema},
    {"properties", 25, put_properties},
};
static void put_schema(struct buf *b, unsigned number, const json_t *v) {
    static const struct message type = {schema_members, ARRAY_LEN(schema_members), 31};
    put_message(b, number, v, &type);
}
static void put_named_schemas(struct buf *b, unsigned number, const json_t *v) {
    put_named(b, number, v, put_schema);
}
static void put_properties(struct buf *b, unsigned number, const json_t *v) {
    put_wrapped(b, number, v, put_named_schemas);
}

static const struct member parameter_members[] = {{"required", 1, put_true},
                                                  {"in", 2, put_string},
                                                  {"description", 3, put_string},
                                                  {"name", 4, put_string},
                                                  {"type", 6, put_string}};
/* ParametersItem { Parameter { NonBodyParameter { query } } } */
static void put_query_parameters(struct buf *b, unsigned number, const json_t *v) {
    static const struct message type = {parameter_members, ARRAY_LEN(parameter_members), 0};
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *p = json_array_get(v, i);
        if (!str_eq(json_string_value(json_object_get(p, "in")), "query")) continue;
        OWN(buf_done) struct buf query = {0}, parameter = {0}, item = {0};
        put_message(&query, 3, p, &type);
        put_bytes(&parameter, 2, buf_view(&query));
        put_bytes(&item, 1, buf_view(&parameter));
        put_bytes(b, number, buf_view(&item));
    }
}

static const struct member operation_members[] = {{"tags", 1, put_strings},
                                                  {"description", 3, put_string},
                                                  {"operationId", 5, put_string},
                                                  {"consumes", 7, put_strings},
                                                  {"parameters", 8, put_query_parameters}};
static void put_operation(struct buf *b, unsigned number, const json_t *v) {
    static const struct message type = {operation_members, ARRAY_LEN(operation_members), 13};
    put_message(b, number, v, &type);
}
static const struct member path_members[] = {{"get", 2, put_operation},
                                             {"put", 3, put_operation},
                                             {"post", 4, put_operation},
                                             {"delete", 5, put_operation},
                                             {"patch", 8, put_operation}};
static void put_path(struct buf *b, unsigned number, const json_t *v) {
    static const struct message type = {path_members, ARRAY_LEN(path_members), 0};
    put_message(b, number, v, &type);
}
static void put_paths(struct buf *b, unsigned number, const json_t *v) {
    OWN(buf_done) struct buf paths = {0};
    put_named(&paths, 2, v, put_path);
    put_bytes(b, number, buf_view(&paths));
}
static const struct member info_members[] = {{"title", 1, put_string}, {"version", 2, put_string}};
static void put_info(struct buf *b, unsigned number, const json_t *v) {
    static const struct message type = {info_members, ARRAY_LEN(info_members), 0};
    put_message(b, number, v, &type);
}
static const struct member document_members[] = {{"swagger", 1, put_string},
                                                 {"info", 2, put_info},
                                                 {"paths", 8, put_paths},
                                                 {"definitions", 9, put_properties}};

static void decref_p(json_t **v) { json_decref(*v); }

void openapi_v2_protobuf(const struct openapi_part *parts, size_t n, struct buf *out) {
    OWN(buf_done) struct buf text = {0};
    json_error_t why;
    openapi_v2_document(parts, n, &text);
    OWN(decref_p) json_t *doc = json_loadb(text.p, text.n, 0, &why);
    if (!doc) abort(); /* parts are written from trees, too */
    for (size_t i = 0; i < ARRAY_LEN(document_members); i++)
        document_members[i].put(out, document_members[i].number,
                                json_object_get(doc, document_members[i].key));
}
