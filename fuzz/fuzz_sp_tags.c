/* Tag stacks end where they should; hop counts are written as they were read. First byte: TTL. */
#include "fuzz/fuzz.h"
#include "proto/sp/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    unsigned ttl = data[0] % (SP_TAGS_MAX + 2);
    struct slice payload = slice_from(data + 1, size - 1), body;
    if (sp_tags_read(payload, ttl, &body) == 0) {
        size_t n = payload.n - body.n;
        FUZZ_ASSERT(body.p == payload.p + n && n > 0 && n % 4 == 0);
        FUZZ_ASSERT(n / 4 <= ttl && n <= SP_TAGS_BYTES_MAX);
        for (size_t i = 0; i < n; i += 4)
            FUZZ_ASSERT((payload.p[i] & 0x80) == (i + 4 == n ? 0x80 : 0));
    }
    uint32_t hops;
    if (sp_hops_read(payload, ttl, &hops, &body) == 0) {
        unsigned char out[SP_HOPS_BYTES];
        sp_hops_write(out, hops);
        FUZZ_ASSERT(hops <= ttl && memcmp(out, payload.p, sizeof out) == 0);
    }
    return 0;
}
