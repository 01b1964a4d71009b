/*
 * Protobuf request bodies: any bytes, with and without the envelope. Invariant: what converts is
 * JSON that the reader accepts, unless a string in it is no UTF-8 or raw JSON inside was broken.
 */
#include "base/own.h"
#include "fuzz.h"
#include "server/media/protobuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    OWN(buf_done) struct buf out = {0};
    struct err err = {0};
    int rc = protobuf_to_json(slice_from(data, size), &out, &err);
    FUZZ_ASSERT((rc < 0) == (err.reason != ERR_NONE));
    FUZZ_ASSERT(rc == 0 || out.n == 0);
    FUZZ_ASSERT(rc < 0 || (out.p[0] == '{' && out.p[out.n - 1] == '}'));
    return 0;
}
