#include "base/test.h"

#include <errno.h>
#include <zlib.h>

#include "base/limits.h"
#include "base/own.h"
#include "proto/spdy.h"
#include "proto/spdy_dictionary.h"

static void note_headers(struct buf *b, const char *what, uint32_t id, const struct http_headers *h,
                         bool fin) {
    buf_printf(b, "<%s %u", what, id);
    for (size_t i = 0; i < h->n; i++) buf_printf(b, " %s=%s", h->v[i].name, h->v[i].value);
    buf_str(b, fin ? " fin>" : ">");
}
static int on_syn_stream(void *user, uint32_t id, const struct http_headers *h, bool fin) {
    note_headers(user, "syn", id, h, fin);
    return 0;
}
static int on_syn_reply(void *user, uint32_t id, const struct http_headers *h, bool fin) {
    note_headers(user, "reply", id, h, fin);
    return 0;
}
static int on_data(void *user, uint32_t id, struct slice data, bool fin) {
    buf_printf(user, "%.*s", (int)data.n, data.p);
    if (fin) buf_printf(user, "<end %u>", id);
    return 0;
}
static int on_rst(void *user, uint32_t id, uint32_t status) {
    buf_printf(user, "<rst %u %u>", id, status);
    return 0;
}
static int on_ping(void *user, uint32_t id) {
    buf_printf(user, "<ping %u>", id);
    return 0;
}
static int on_goaway(void *user, uint32_t id) {
    buf_printf(user, "<goaway %u>", id);
    return 0;
}
static int on_window(void *user, uint32_t id, uint32_t delta) {
    buf_printf(user, "<window %u %u>", id, delta);
    return 0;
}
static const struct spdy_events events = {.syn_stream = on_syn_stream,
                                          .syn_reply = on_syn_reply,
                                          .data = on_data,
                                          .rst = on_rst,
                                          .ping = on_ping,
                                          .goaway = on_goaway,
                                          .window_update = on_window};

static int feed(struct buf *seen, struct slice in, size_t piece, struct err *err) {
    struct spdy *s = spdy_new(&events, seen);
    int r = 0;
    while (r == 0 && in.n > 0) {
        size_t n = MIN_OF(piece, in.n);
        r = spdy_feed(s, slice_from(in.p, n), err);
        in = slice_from(in.p + n, in.n - n);
    }
    spdy_free(s);
    return r;
}

/* Length from the draft; the checksum is the DICTID that every SPDY/3 header stream begins with. */
TEST(spdy_dictionary_is_that_of_the_draft) {
    assert_int_equal(sizeof spdy_dictionary - 1, 1423);
    uLong sum = adler32(adler32(0, NULL, 0), (const Bytef *)spdy_dictionary,
                        (uInt)sizeof spdy_dictionary - 1);
    assert_int_equal(sum, 0xe3c6a7c2);
}

TEST(spdy_reads_what_it_writes_whole_and_byte_by_byte) {
    struct spdy *w = spdy_new(&events, NULL);
    struct buf b = {0};
    struct http_header v[] = {{"streamtype", "error"}, {"port", "80"}, {"empty", ""}};
    spdy_write_syn_stream(w, &b, 1, &(struct http_headers){v, 3}, true);
    v[0].value = "data";
    spdy_write_syn_stream(w, &b, 3, &(struct http_headers){v, 2}, false);
    spdy_write_syn_reply(w, &b, 3, NULL, false);
    spdy_write_data(&b, 3, SLICE("hello"), false);
    spdy_write_data(&b, 3, SLICE(""), true);
    spdy_write_rst(&b, 1, SPDY_CANCEL);
    spdy_write_ping(&b, 7);
    spdy_write_goaway(&b, 3);
    spdy_write_window_update(&b, 3, 65536);
    spdy_free(w);
    for (size_t piece = 1; piece < 4096; piece = piece < 4 ? piece + 1 : piece * 16) {
        struct buf seen = {0};
        assert_int_equal(feed(&seen, buf_view(&b), piece, NULL), 0);
        assert_string_equal(seen.p, "<syn 1 streamtype=error port=80 empty= fin>"
                                    "<syn 3 streamtype=data port=80><reply 3>hello<end 3>"
                                    "<rst 1 5><ping 7><goaway 3><window 3 65536>");
        buf_done(&seen);
    }
    buf_done(&b);
}

/* A SYN_STREAM for stream 1 whose block is `plain`, compressed as a peer would. */
static void hostile_block(struct buf *b, struct slice plain) {
    z_stream z = {0};
    assert_int_equal(deflateInit(&z, 9), Z_OK);
    deflateSetDictionary(&z, (const Bytef *)spdy_dictionary, sizeof spdy_dictionary - 1);
    unsigned char out[4096];
    z.next_in = (Bytef *)(uintptr_t)plain.p;
    z.avail_in = (uInt)plain.n;
    z.next_out = out;
    z.avail_out = sizeof out;
    assert_int_equal(deflate(&z, Z_SYNC_FLUSH), Z_OK);
    size_t n = sizeof out - z.avail_out;
    deflateEnd(&z);
    unsigned char head[] = {
        0x80, 3, 0, 1, 0, 0, (unsigned char)((n + 10) >> 8), (unsigned char)(n + 10), 0, 0, 0, 1,
        0,    0, 0, 0, 0, 0};
    buf_append(b, head, sizeof head);
    buf_append(b, out, n);
}

static const struct slice bad_blocks[] = {
    {"\0\0\0", 3},
    {"\0\0\0\1", 4},
    {"\0\0\0\1\0\0\0\1a", 9},
    {"\0\0\0\1\0\0\0\1a\0\0\0\5b", 14},
    {"\0\0\0\1\xff\xff\xff\xff"
     "a",
     9},
    {"\0\0\0\1\0\0\0\0\0\0\0\0", 12},
    {"\0\0\0\1\0\0\0\1A\0\0\0\0", 13},
    {"\0\0\0\1\0\0\0\1\n\0\0\0\0", 13},
    {"\0\0\0\0x", 5},
    {"\xff\xff\xff\xff\0\0\0\1a\0\0\0\0", 13},
};

TEST(spdy_refuses_broken_header_blocks) {
    for (size_t i = 0; i < ARRAY_LEN(bad_blocks); i++) {
        struct buf b = {0}, seen = {0};
        hostile_block(&b, bad_blocks[i]);
        if (feed(&seen, buf_view(&b), 4096, NULL) != -EBADMSG) fail_msg("accepted block %zu", i);
        assert_int_equal(seen.n, 0);
        buf_done(&b);
    }
}

TEST(spdy_splits_values_at_nul) {
    struct buf b = {0}, seen = {0};
    hostile_block(&b, (struct slice){"\0\0\0\1\0\0\0\1a\0\0\0\3x\0y", 16});
    assert_int_equal(feed(&seen, buf_view(&b), 3, NULL), 0);
    assert_string_equal(seen.p, "<syn 1 a=x a=y>");
    buf_done(&b);
    buf_done(&seen);
}

TEST(spdy_bounds_inflation) {
    struct buf bomb = {0}, b = {0}, seen = {0};
    buf_append(&bomb, "\0\0\0\1\0\0\0\1a\0\x10\0\0", 13);
    buf_reserve(&bomb, 1 << 20);
    memset(bomb.p + bomb.n, 'b', 1 << 20);
    bomb.n += 1 << 20;
    hostile_block(&b, buf_view(&bomb));
    struct err err;
    assert_int_equal(feed(&seen, buf_view(&b), 4096, &err), -EBADMSG);
    assert_int_equal(err.reason, ERR_TOO_LARGE);
    buf_done(&bomb);
    buf_done(&b);
}

TEST(spdy_refuses_broken_frames) {
    static const struct slice frames[] = {
        {"\x80\2\0\6\0\0\0\4\0\0\0\1", 12},    /* version 2 */
        {"\x80\3\0\6\0\0\0\5\0\0\0\1\0", 13},  /* ping of five bytes */
        {"\x80\3\0\3\0\0\0\4\0\0\0\1", 12},    /* rst of four */
        {"\x80\3\0\1\0\0\0\4\0\0\0\1", 12},    /* short syn_stream */
        {"\x80\3\0\2\0\0\0\x05\0\0\0\1x", 13}, /* no zlib stream */
        {"\x80\3\0\2\0\0\0\x04\0\0\0\0", 12},  /* stream 0 */
        {"\0\0\0\0\0\0\0\1x", 9},
        {"\x80\3\0\1\0\xff\xff\xff", 8}, /* 16 MiB of headers */
    };
    for (size_t i = 0; i < ARRAY_LEN(frames); i++) {
        struct buf seen = {0};
        if (feed(&seen, frames[i], 4096, NULL) != -EBADMSG) fail_msg("accepted frame %zu", i);
        assert_int_equal(seen.n, 0);
    }
}

TEST(spdy_ignores_settings_and_unknown_frames) {
    struct buf seen = {0};
    static const char frames[] = "\x80\3\0\4\0\0\0\4\0\0\0\0"
                                 "\x80\3\0\x63\0\0\0\0"
                                 "\x80\3\0\6\0\0\0\4\0\0\0\1";
    assert_int_equal(feed(&seen, SLICE(frames), 1, NULL), 0);
    assert_string_equal(seen.p, "<ping 1>");
    buf_done(&seen);
}

TEST(spdy_handshake_chooses_the_clients_first_known_protocol) {
    static const char *const known[] = {"v4.channel.k8s.io", "portforward.k8s.io", NULL};
    struct http_header v[] = {{"upgrade", "spdy/3.1"},
                              {"x-stream-protocol-version", "v9.channel.k8s.io"},
                              {"x-stream-protocol-version", "v8 , v4.channel.k8s.io"},
                              {"x-stream-protocol-version", "portforward.k8s.io"}};
    struct http_headers h = {v, 4};
    assert_true(spdy_wanted(&h));
    assert_string_equal(spdy_choose_protocol(&h, known), "v4.channel.k8s.io");
    h.n = 2;
    assert_null(spdy_choose_protocol(&h, known));
    v[0].value = "websocket";
    assert_false(spdy_wanted(&h));
    h.n = 0;
    assert_false(spdy_wanted(&h));
    OWN(buf_done) struct buf b = {0};
    spdy_write_answer(&b, "v4.channel.k8s.io");
    assert_non_null(strstr(b.p, "HTTP/1.1 101 "));
    assert_non_null(strstr(b.p, "upgrade: SPDY/3.1\r\n"));
    assert_non_null(strstr(b.p, "x-stream-protocol-version: v4.channel.k8s.io\r\n"));
}
