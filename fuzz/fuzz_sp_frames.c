/* Frames: the same payloads whatever the pieces they arrive in, none above the limit, no more
 * memory than has arrived. First byte: framing and size of the pieces. */
#include "base/own.h"
#include "fuzz/fuzz.h"
#include "proto/sp/wire.h"

enum { LIMIT = 1000 };

static int feed(struct buf *seen, enum sp_framing framing, struct slice s, size_t piece) {
    struct sp_frames f = {.framing = framing, .limit_bytes = LIMIT};
    int r = 0;
    while (r == 0 && s.n > 0) {
        size_t n = MIN_OF(piece, s.n);
        struct slice in = slice_from(s.p, n), payload;
        struct err err;
        while ((r = sp_frames_next(&f, &in, &payload, &err)) > 0) {
            FUZZ_ASSERT(payload.n <= LIMIT);
            unsigned char head[SP_FRAME_HEAD_MAX];
            buf_append(seen, head, sp_frame_head(head, framing, payload.n));
            buf_slice(seen, payload);
        }
        FUZZ_ASSERT(f.part.n <= LIMIT);
        s = slice_from(s.p + n, s.n - n);
    }
    sp_frames_done(&f);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    OWN(buf_done) struct buf whole = {0}, pieces = {0};
    enum sp_framing framing = data[0] & 1 ? SP_FRAMING_IPC : SP_FRAMING_TCP;
    struct slice s = slice_from(data + 1, size - 1);
    int a = feed(&whole, framing, s, s.n), b = feed(&pieces, framing, s, 1 + (data[0] >> 1));
    FUZZ_ASSERT(a == b && slice_eq(buf_view(&whole), buf_view(&pieces)));
    /* What came out is, framed again, a beginning of what went in. */
    FUZZ_ASSERT(whole.n <= s.n && (whole.n == 0 || memcmp(whole.p, s.p, whole.n) == 0));
    return 0;
}
