#include "base/test.h"

#include <errno.h>

#include "base/limits.h"
#include "base/own.h"
#include "proto/websocket.h"

static int on_message(void *user, bool text, struct slice data) {
    buf_printf(user, "<%s ", text ? "text" : "binary");
    buf_slice(user, data);
    buf_str(user, ">");
    return 0;
}
static int on_ping(void *user, struct slice data) {
    buf_printf(user, "<ping %.*s>", (int)data.n, data.p);
    return 0;
}
static int on_pong(void *user, struct slice data) {
    buf_printf(user, "<pong %.*s>", (int)data.n, data.p);
    return 0;
}
static int on_close(void *user, unsigned code, struct slice reason) {
    buf_printf(user, "<close %u %.*s>", code, (int)reason.n, reason.p);
    return 0;
}
static const struct websocket_events events = {on_message, on_ping, on_pong, on_close};

static int feed(struct buf *seen, enum websocket_role role, struct slice s, size_t piece) {
    struct websocket *w = websocket_new(role, &events, seen);
    int r = 0;
    while (r == 0 && s.n > 0) {
        size_t n = MIN_OF(piece, s.n);
        r = websocket_feed(w, slice_from(s.p, n), NULL);
        s = slice_from(s.p + n, s.n - n);
    }
    websocket_free(w);
    return r;
}

TEST(websocket_accept_is_that_of_the_rfc) {
    char out[WEBSOCKET_ACCEPT_MAX];
    websocket_accept("dGhlIHNhbXBsZSBub25jZQ==", out);
    assert_string_equal(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST(websocket_request_is_checked) {
    struct http_header v[] = {{"upgrade", "WebSocket"},
                              {"connection", "keep-alive, Upgrade"},
                              {"sec-websocket-version", "13"},
                              {"sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="}};
    struct http_headers h = {v, 4};
    assert_int_equal(websocket_check_request("GET", &h, NULL), 0);
    assert_true(websocket_check_request("POST", &h, NULL) < 0);
    for (size_t i = 0; i < 4; i++) {
        const char *keep = v[i].value;
        v[i].value = "x";
        assert_true(websocket_check_request("GET", &h, NULL) < 0);
        v[i].value = keep;
        struct http_header removed = v[i];
        v[i] = (struct http_header){"other", ""};
        assert_true(websocket_check_request("GET", &h, NULL) < 0);
        v[i] = removed;
    }
}

TEST(websocket_protocol_is_the_clients_first_that_we_know) {
    struct http_header v[] = {{"sec-websocket-protocol", "v8.channel.k8s.io, v4.channel.k8s.io"},
                              {"sec-websocket-protocol", "v5.channel.k8s.io"}};
    struct http_headers h = {v, 2};
    assert_string_equal(websocket_choose_protocol(&h, websocket_channel_protocols),
                        "v4.channel.k8s.io");
    h.v++, h.n--;
    assert_string_equal(websocket_choose_protocol(&h, websocket_channel_protocols),
                        "v5.channel.k8s.io");
    v[1].value = "channel.k8s.io, v4.channel.k8s.io";
    assert_string_equal(websocket_choose_protocol(&h, websocket_channel_protocols),
                        "channel.k8s.io");
    static const char *const other[] = {"SPDY/3.1+portforward.k8s.io", NULL};
    assert_null(websocket_choose_protocol(&h, other));
}

#define M "\x37\xfa\x21\x3d" /* RFC 6455 section 5.7: "Hello" with this mask */
static const struct {
    struct slice in;
    const char *want;
} good[] = {
    {{"\x81\x85" M "\x7f\x9f\x4d\x51\x58", 11}, "<text Hello>"},
    {{"\x01\x83" M "\x7f\x9f\x4d\x80\x82" M "\x5b\x95", 17}, "<text Hello>"},
    {{"\x01\x83" M "\x7f\x9f\x4d\x89\x80" M "\x80\x82" M "\x5b\x95", 23}, "<ping ><text Hello>"},
    {{"\x82\x80" M "\x8a\x81" M "V", 13}, "<binary ><pong a>"},
    {{"\x88\x80" M "\x81\x85" M "\x7f\x9f\x4d\x51\x58", 17}, "<close 1005 >"},
    {{"\x88\x84\0\0\0\0\x03\xe8ok", 10}, "<close 1000 ok>"},
    {{"\x81\x84\0\0\0\0\xf0\x9f\xa6\x80", 10}, "<text \xf0\x9f\xa6\x80>"},
};

TEST(websocket_reads_frames_whole_and_byte_by_byte) {
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        for (size_t piece = 1; piece < 64; piece++) {
            struct buf seen = {0};
            assert_int_equal(feed(&seen, WEBSOCKET_SERVER, good[i].in, piece), 0);
            assert_string_equal(seen.p, good[i].want);
            buf_done(&seen);
        }
}

static const struct slice hostile[] = {
    {"\x81\x05Hello", 7}, /* not masked */
    {"\xc1\x80" M, 6},    /* reserved bit */
    {"\x83\x80" M, 6},    /* unknown opcodes */
    {"\x8b\x80" M, 6},
    {"\x80\x80" M, 6},               /* nothing to continue */
    {"\x01\x80" M "\x81\x80" M, 12}, /* a message inside a message */
    {"\x09\x80" M, 6},               /* fragmented control frame */
    {"\x89\xfe\x00\x7e" M, 8},       /* long control frame */
    {"\x82\xfe\x00\x05" M, 8},       /* lengths that are not minimal */
    {"\x82\xff\0\0\0\0\0\0\x01\x00" M, 14},
    {"\x82\xff\x80\0\0\0\0\0\0\0" M, 14}, /* highest bit */
    {"\x82\xff\0\0\0\0\0\x20\0\0" M, 14}, /* 2 MiB */
    {"\x88\x81\0\0\0\0\x03", 7},          /* close: one byte, bad codes, bad reason */
    {"\x88\x82\0\0\0\0\x03\xed", 8},
    {"\x88\x82\0\0\0\0\x00\x00", 8},
    {"\x88\x83\0\0\0\0\x03\xe8\xff", 9},
    {"\x81\x82\0\0\0\0\xc0\x80", 8}, /* overlong, surrogate, cut, too high */
    {"\x81\x83\0\0\0\0\xed\xa0\x80", 9},
    {"\x81\x82\0\0\0\0\xe2\x82", 8},
    {"\x81\x84\0\0\0\0\xf4\x90\x80\x80", 10},
};

TEST(websocket_refuses_broken_frames) {
    for (size_t i = 0; i < ARRAY_LEN(hostile); i++)
        for (size_t piece = 1; piece < 64; piece *= 32) {
            struct buf seen = {0};
            if (feed(&seen, WEBSOCKET_SERVER, hostile[i], piece) != -EBADMSG)
                fail_msg("accepted case %zu", i);
            buf_done(&seen);
        }
}

TEST(websocket_bounds_fragmented_messages) {
    struct buf in = {0}, seen = {0};
    static char zeros[LIMIT_WEBSOCKET_FRAME_BYTES / 2];
    websocket_write(&in, WEBSOCKET_BINARY, slice_from(zeros, sizeof zeros),
                    (const unsigned char *)M);
    in.p[0] = 0x02; /* not the last fragment */
    struct websocket *w = websocket_new(WEBSOCKET_SERVER, &events, &seen);
    struct err err;
    assert_int_equal(websocket_feed(w, buf_view(&in), &err), 0);
    in.p[0] = 0x00;
    assert_int_equal(websocket_feed(w, buf_view(&in), &err), 0);
    assert_int_equal(websocket_feed(w, buf_view(&in), &err), -EBADMSG);
    assert_int_equal(err.reason, ERR_TOO_LARGE);
    websocket_free(w);
    buf_done(&in);
    buf_done(&seen);
}

TEST(websocket_writes_what_it_reads) {
    static const size_t sizes[] = {0, 1, 125, 126, 65535, 65536};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct buf in = {0}, seen = {0}, want = {0};
        buf_reserve(&want, sizes[i]);
        for (size_t k = 0; k < sizes[i]; k++) buf_char(&want, (char)('a' + k % 26));
        websocket_write(&in, WEBSOCKET_BINARY, buf_view(&want), (const unsigned char *)M);
        assert_int_equal(feed(&seen, WEBSOCKET_SERVER, buf_view(&in), 1000), 0);
        assert_int_equal(seen.n, sizes[i] + strlen("<binary >"));
        assert_memory_equal(seen.p + 8, want.p, sizes[i]);
        buf_clear(&in);
        buf_clear(&seen);
        websocket_write_channel(&in, '1', buf_view(&want));
        websocket_write_close(&in, WEBSOCKET_NORMAL, "bye");
        assert_int_equal(feed(&seen, WEBSOCKET_CLIENT, buf_view(&in), 1000), 0);
        assert_int_equal(seen.n, sizes[i] + strlen("<binary 1><close 1000 bye>"));
        assert_memory_equal(seen.p, "<binary 1", 9);
        buf_done(&in);
        buf_done(&seen);
        buf_done(&want);
    }
}

static int stop_after(void *user, bool text, struct slice data) {
    buf_slice(user, data);
    return 7;
}

TEST(websocket_take_leaves_what_comes_after_a_stop) {
    static const struct websocket_events stopping = {.message = stop_after};
    OWN(buf_done) struct buf in = {0}, seen = {0};
    websocket_write(&in, WEBSOCKET_BINARY, SLICE("one"), (const unsigned char *)M);
    websocket_write(&in, WEBSOCKET_BINARY, SLICE("two"), (const unsigned char *)M);
    struct websocket *w = websocket_new(WEBSOCKET_SERVER, &stopping, &seen);
    struct slice left = buf_view(&in);
    assert_int_equal(websocket_take(w, &left, NULL), 7);
    assert_string_equal(seen.p, "one");
    assert_int_equal(left.n, in.n / 2);
    assert_int_equal(websocket_take(w, &left, NULL), 7);
    assert_string_equal(seen.p, "onetwo");
    assert_int_equal(left.n, 0);
    websocket_free(w);
}

TEST(websocket_limit_holds_for_whole_messages) {
    OWN(buf_done) struct buf in = {0}, seen = {0};
    websocket_write(&in, WEBSOCKET_BINARY, SLICE("four"), NULL);
    for (uint64_t limit = 3; limit <= 4; limit++) {
        struct websocket *w = websocket_new(WEBSOCKET_CLIENT, &events, &seen);
        websocket_limit(w, limit);
        assert_int_equal(websocket_feed(w, buf_view(&in), NULL), limit == 3 ? -EBADMSG : 0);
        websocket_free(w);
    }
}

TEST(websocket_client_asks_as_the_rfc_says_and_checks_the_answer) {
    OWN(buf_done) struct buf out = {0};
    const char *key = "dGhlIHNhbXBsZSBub25jZQ==";
    websocket_write_request(&out, "h:80", "/chat", key, "superchat");
    assert_string_equal(out.p, "GET /chat HTTP/1.1\r\nhost: h:80\r\nupgrade: websocket\r\n"
                               "connection: Upgrade\r\nsec-websocket-version: 13\r\n"
                               "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                               "sec-websocket-protocol: superchat\r\n\r\n");
    struct http_header v[] = {{"upgrade", "websocket"},
                              {"sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="},
                              {"sec-websocket-protocol", "superchat"}};
    struct http_headers h = {v, 3};
    assert_int_equal(websocket_check_answer(101, &h, key, "superchat", NULL), 0);
    assert_true(websocket_check_answer(200, &h, key, "superchat", NULL) < 0);
    assert_true(websocket_check_answer(101, &h, key, "chat", NULL) < 0);
    assert_true(websocket_check_answer(101, &h, "another", "superchat", NULL) < 0);
    h.n = 2;
    assert_true(websocket_check_answer(101, &h, key, "superchat", NULL) < 0);
}
