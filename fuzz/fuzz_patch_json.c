/* A JSON patch from the first line of the input on, applied to a fixed document. */
#include "api/patch/patch.h"
#include "base/limits.h"
#include "base/own.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    OWN(json_decref_p)
    json_t *doc =
        json_loads("{\"a\":{\"b\":[1,2,{\"c\":\"d\"}]},\"e\":null,\"f/g~h\":true}", 0, NULL);
    OWN(json_decref_p) json_t *before = json_deep_copy(doc);
    OWN(json_decref_p) json_t *result = NULL;
    struct err err = {0};
    int r = patch_json(doc, slice_from(data, size), &result, &err);
    FUZZ_ASSERT((r == 0) == (result != NULL));
    FUZZ_ASSERT(r == 0 || err.reason != ERR_NONE);
    FUZZ_ASSERT(json_equal(doc, before));
    if (result) FUZZ_ASSERT(json_depth(result, LIMIT_JSON_DEPTH) <= LIMIT_JSON_DEPTH);
    return 0;
}
