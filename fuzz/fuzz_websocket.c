/* WebSocket: any bytes, in any pieces, on either side; the cut must not matter. */
#include <assert.h>

#include "base/limits.h"
#include "proto/websocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int on_message(void *user, bool text, struct slice data) {
    assert(data.n <= LIMIT_WEBSOCKET_FRAME_BYTES);
    buf_str(user, text ? "<text " : "<binary ");
    buf_slice(user, data);
    return 0;
}
static int on_ping(void *user, struct slice data) {
    assert(data.n <= 125);
    buf_str(user, "<ping ");
    buf_slice(user, data);
    return 0;
}
static int on_close(void *user, unsigned code, struct slice reason) {
    buf_printf(user, "<close %u ", code);
    buf_slice(user, reason);
    return 0;
}
static const struct websocket_events events = {on_message, on_ping, on_ping, on_close};

static int run(struct buf *seen, enum websocket_role role, struct slice in, size_t piece) {
    struct websocket *w = websocket_new(role, &events, seen);
    int r = 0;
    while (r == 0 && in.n > 0) {
        size_t n = piece < in.n ? piece : in.n;
        r = websocket_feed(w, slice_from(in.p, n), NULL);
        in = slice_from(in.p + n, in.n - n);
    }
    websocket_free(w);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    if (n < 2) return 0;
    enum websocket_role role = data[0] & 1 ? WEBSOCKET_CLIENT : WEBSOCKET_SERVER;
    struct slice in = slice_from(data + 2, n - 2);
    struct buf whole = {0}, cut = {0};
    int r1 = run(&whole, role, in, in.n + 1), r2 = run(&cut, role, in, data[1] % 16 + 1u);
    assert(r1 == r2 && slice_eq(buf_view(&whole), buf_view(&cut)));
    buf_done(&whole);
    buf_done(&cut);
    return 0;
}
