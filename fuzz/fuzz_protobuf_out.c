/* Any object that decodes, as protobuf and back: the same object. The first byte chooses the kind.
 */
#include "api/registry.h"
#include "base/own.h"
#include "fuzz.h"
#include "server/media/protobuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    size_t n;
    const struct api_kind *const *kinds = api_kinds(&n);
    const struct api_kind *k = kinds[data[0] % n];
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf json = {0}, message = {0}, back = {0}, again = {0};
    struct api_object *o, *o2;
    struct err err;
    if (api_object_decode(a, k, slice_from(data + 1, size - 1), &o, &err) < 0) return 0;
    o->api_version = k->api_version;
    o->kind = k->kind;
    api_object_encode(&json, k, o);
    int rc = protobuf_object(&message, a, buf_view(&json));
    FUZZ_ASSERT(rc == 0 || !protobuf_speaks(k->type));
    if (rc < 0) return 0;
    FUZZ_ASSERT(protobuf_to_json(buf_view(&message), &back, &err) == 0);
    FUZZ_ASSERT(api_object_decode(a, k, buf_view(&back), &o2, &err) == 0);
    api_object_encode(&again, k, o2);
    FUZZ_ASSERT(slice_eq(buf_view(&json), buf_view(&again)));
    return 0;
}
