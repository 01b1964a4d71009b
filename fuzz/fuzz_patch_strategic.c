/* A strategic merge patch of a pod. */
#include "api/patch/patch.h"
#include "api/patch/strategic.h"
#include "api/types.h"
#include "base/own.h"
#include "fuzz/fuzz.h"

static const char document[] =
    "{\"metadata\":{\"name\":\"p\",\"labels\":{\"a\":\"b\"},\"finalizers\":[\"x\",\"y\"]},"
    "\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"i\",\"args\":[\"1\"],\"ports\":[{"
    "\"containerPort\":80}]},{\"name\":\"b\",\"image\":\"j\"}],\"volumes\":[{\"name\":\"v\","
    "\"emptyDir\":{}}],\"tolerations\":[{\"key\":\"k\"}]}}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    OWN(json_decref_p) json_t *doc = json_loads(document, 0, NULL);
    OWN(json_decref_p) json_t *before = json_deep_copy(doc);
    OWN(json_decref_p) json_t *patch = NULL;
    OWN(json_decref_p) json_t *result = NULL;
    struct err err = {0};
    if (patch_parse(slice_from(data, size), &patch, &err) < 0) return 0;
    int r = patch_strategic(&core_v1_pod_type, doc, patch, &result, &err);
    FUZZ_ASSERT((r == 0) == (result != NULL));
    FUZZ_ASSERT(json_equal(doc, before));
    return 0;
}
