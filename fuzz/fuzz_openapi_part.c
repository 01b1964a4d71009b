/*
 * The document of an aggregated API's server. Whatever it says, this server's own document stays
 * JSON, in which every name is defined once and every reference that the other server brought leads
 * somewhere.
 */
#include <jansson.h>

#include "api/openapi/openapi.h"
#include "base/own.h"
#include "fuzz/fuzz.h"

static void decref_p(json_t **v) { json_decref(*v); }

static void check_references(const json_t *v, const json_t *definitions) {
    const char *key;
    json_t *child;
    for (size_t i = 0; i < json_array_size(v); i++)
        check_references(json_array_get(v, i), definitions);
    json_object_foreach((json_t *)v, key, child) {
        static const char at[] = "#/definitions/";
        if (str_eq(key, "$ref") && json_is_string(child)) {
            const char *name = json_string_value(child);
            FUZZ_ASSERT(str_starts(name, at) && json_object_get(definitions, name + strlen(at)));
        }
        check_references(child, definitions);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    OWN(buf_done) struct buf paths = {0}, definitions = {0}, whole = {0}, protobuf = {0};
    if (openapi_part_read(slice_from(data, size), "toys.io", "v1", &paths, &definitions, NULL) < 0)
        return 0;
    const struct openapi_part part = {buf_view(&paths), buf_view(&definitions)};
    openapi_v2_document(&part, 1, &whole);
    OWN(decref_p) json_t *doc = json_loadb(whole.p, whole.n, JSON_REJECT_DUPLICATES, NULL);
    FUZZ_ASSERT(doc);
    check_references(json_object_get(doc, "paths"), json_object_get(doc, "definitions"));
    check_references(json_object_get(doc, "definitions"), json_object_get(doc, "definitions"));
    openapi_v2_protobuf(&part, 1, &protobuf);
    return 0;
}
