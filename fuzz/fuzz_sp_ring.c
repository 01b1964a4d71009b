/* The memory of a ring whose writer is hostile: whatever stands in header and messages, and however
 * it changes between two looks, readers stay inside of it, come to an end, and say so. */
#include <errno.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "proto/sp/ring.h"

static unsigned char text[512];

enum { SIZE = 8192, BYTES = SP_RING_HEADER_BYTES + SIZE };

static bool wants_even(void *user, const unsigned char *bytes, size_t n) {
    size_t *sum = user;
    for (size_t i = 0; i < n; i++) *sum += bytes[i];
    return *sum % 2 == 0;
}

/* Input: runs of place (2 bytes), length (1 byte), bytes that the writer puts there. */
static size_t scribble(unsigned char *memory, const uint8_t *data, size_t size) {
    if (size < 3) return size;
    size_t at = ((size_t)data[0] << 8 | data[1]) % BYTES, n = data[2];
    if (n > size - 3) n = size - 3;
    if (n > BYTES - at) n = BYTES - at;
    memcpy(memory + at, data + 3, n);
    return 3 + n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sp_ring_writer w;
    struct sp_ring r;
    struct sp_ring_cursor c = {0};
    unsigned char *memory = calloc(1, BYTES); /* exactly so long: one byte behind is found */
    const unsigned char *bytes;
    uint32_t length;
    size_t sum = 0;
    FUZZ_ASSERT(memory && sp_ring_format(memory, SIZE, sp_ring_largest(SIZE), &w) == 0);
    for (size_t i = 0; i < 40; i++) {
        struct iovec v = {text, i * 11};
        FUZZ_ASSERT(sp_ring_put(&w, &v, 1) == 0);
    }
    sp_ring_publish(&w);
    if (size && data[0] % 2) {
        size_t used = scribble(memory, data, size);
        data += used;
        size -= used;
    }
    int rc = sp_ring_open(memory, BYTES, &r);
    FUZZ_ASSERT(rc == 0 || rc == -EBADMSG);
    if (rc == 0) {
        FUZZ_ASSERT(r.size <= SIZE && r.maximum_bytes <= sp_ring_largest(SIZE));
        if (size && data[0] % 3) sp_ring_attach(&r, &c);
        for (unsigned i = 0; i < 4096 && rc >= 0; i++) {
            rc = sp_ring_next(&r, &c, i % 2 ? wants_even : NULL, &sum, 8, &bytes, &length);
            FUZZ_ASSERT(rc == 0 || rc == 1 || rc == -EBADMSG);
            if (rc == 1) {
                FUZZ_ASSERT(length <= r.maximum_bytes);
                for (uint32_t k = 0; k < length; k++) sum += bytes[k];
            }
            if (rc == 0 && size == 0) break;
            size_t used = scribble(memory, data, size);
            data += used;
            size -= used;
        }
    }
    sp_ring_detach(&c);
    free(memory);
    return 0;
}
