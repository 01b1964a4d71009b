/* Handshake: what is refused early stays refused, and what is taken is written the same again. */
#include "fuzz/fuzz.h"
#include "proto/sp/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint16_t type = 0;
    struct err err;
    int whole = sp_handshake_read(slice_from(data, size), &type, &err);
    bool refused = false;
    for (size_t n = 0; n <= size && n <= SP_HANDSHAKE_BYTES; n++) {
        uint16_t early;
        int r = sp_handshake_read(slice_from(data, n), &early, &err);
        FUZZ_ASSERT(!refused || r < 0);
        refused = r < 0;
    }
    FUZZ_ASSERT(refused == (whole < 0));
    if (whole <= 0) return 0;
    unsigned char out[SP_HANDSHAKE_BYTES];
    sp_handshake_write(out, type);
    FUZZ_ASSERT(memcmp(out, data, sizeof out) == 0);
    const struct sp_protocol *p = sp_protocol_of_type(type);
    if (p) FUZZ_ASSERT(sp_handshake_check(p->peer_type, type, &err) == 0);
    sp_handshake_check(SP_TYPE_PAIR1, type, &err);
    return 0;
}
