/* Tag stacks and hop counts: what is taken is written the same again. First byte: TTL. */
#include "fuzz/fuzz.h"
#include "proto/sp_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    unsigned ttl = data[0] % (SP_TAGS_MAX + 2);
    struct slice payload = slice_from(data + 1, size - 1), body;
    struct sp_tags t;
    if (sp_tags_read(payload, ttl, &t, &body) == 0) {
        unsigned char out[SP_TAGS_BYTES_MAX];
        size_t n = sp_tags_write(&t, out);
        FUZZ_ASSERT(t.n <= ttl && t.n <= SP_TAGS_MAX && sp_tags_id(&t) != 0);
        FUZZ_ASSERT(n + body.n == payload.n && memcmp(out, payload.p, n) == 0);
        FUZZ_ASSERT(body.p == payload.p + n);
        uint32_t word = 0;
        if (sp_tags_push(&t, 1)) FUZZ_ASSERT(sp_tags_pop(&t, &word) && word == 1);
        while (sp_tags_pop(&t, &word)) continue;
        FUZZ_ASSERT(word & SP_TAG_END);
    }
    uint32_t hops;
    if (sp_hops_read(payload, ttl, &hops, &body) == 0) {
        unsigned char out[SP_HOPS_BYTES];
        sp_hops_write(out, hops);
        FUZZ_ASSERT(hops <= ttl && memcmp(out, payload.p, sizeof out) == 0);
    }
    return 0;
}
