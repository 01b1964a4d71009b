/* A merge patch: applying it twice must change nothing more (RFC 7386 is idempotent). */
#include "api/patch/patch.h"
#include "base/own.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    OWN(json_decref_p) json_t *doc = json_loads("{\"a\":{\"b\":[1,2]},\"e\":1}", 0, NULL);
    OWN(json_decref_p) json_t *once = NULL;
    OWN(json_decref_p) json_t *twice = NULL;
    if (patch_merge(doc, slice_from(data, size), &once, NULL) < 0) return 0;
    FUZZ_ASSERT(patch_merge(once, slice_from(data, size), &twice, NULL) == 0);
    FUZZ_ASSERT(json_equal(once, twice));
    return 0;
}
