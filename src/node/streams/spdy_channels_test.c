#include "base/test.h"

#include "base/own.h"
#include "node/streams/spdy_channels.h"
#include "proto/spdy.h"

struct client { /* the other end: what it sends, what it and the session saw */
    struct spdy_channels *c;
    struct spdy *spdy;
    struct buf to_server, to_client, seen, answered;
};

static void on_ready(void *user) { buf_str(&((struct client *)user)->seen, "<ready>"); }
static void on_data(void *user, enum channel channel, struct slice data) {
    buf_printf(&((struct client *)user)->seen, "<%d %.*s>", channel, (int)data.n, data.p);
}
static void on_end(void *user, enum channel channel) {
    buf_printf(&((struct client *)user)->seen, "<end %d>", channel);
}
static const struct spdy_channels_events events = {on_ready, on_data, on_end};

static int got_reply(void *user, uint32_t id, const struct http_headers *h, bool fin) {
    buf_printf(&((struct client *)user)->answered, "<reply %u>", id);
    return 0;
}
static int got_data(void *user, uint32_t id, struct slice data, bool fin) {
    buf_printf(&((struct client *)user)->answered, "<%u %.*s%s>", id, (int)data.n, data.p,
               fin ? " fin" : "");
    return 0;
}
static int got_rst(void *user, uint32_t id, uint32_t status) {
    buf_printf(&((struct client *)user)->answered, "<rst %u %u>", id, status);
    return 0;
}
static int got_ping(void *user, uint32_t id) {
    buf_printf(&((struct client *)user)->answered, "<ping %u>", id);
    return 0;
}
static const struct spdy_events answers = {
    .syn_reply = got_reply, .data = got_data, .rst = got_rst, .ping = got_ping};

static void client_init(struct client *k, unsigned expected) {
    *k = (struct client){0};
    k->spdy = spdy_new(&answers, k);
    k->c = spdy_channels_new(expected, &k->to_client, &events, k);
}

static void client_done(struct client *k) {
    spdy_free(k->spdy);
    spdy_channels_free(k->c);
    buf_done(&k->to_server);
    buf_done(&k->to_client);
    buf_done(&k->seen);
    buf_done(&k->answered);
}

static void open_stream(struct client *k, uint32_t id, const char *type, bool fin) {
    struct http_header v = {"streamtype", type};
    spdy_write_syn_stream(k->spdy, &k->to_server, id, &(struct http_headers){&v, 1}, fin);
}

static int send_all(struct client *k, size_t piece, struct err *err) {
    OWN(buf_done) struct buf b = k->to_server;
    k->to_server = (struct buf){0};
    int rc = 0;
    for (size_t at = 0; at < b.n && rc == 0; at += piece)
        rc = spdy_channels_feed(k->c, slice_from(b.p + at, MIN_OF(piece, b.n - at)), err);
    return rc;
}

static const char *answered(struct client *k) {
    assert_int_equal(spdy_feed(k->spdy, buf_view(&k->to_client), NULL), 0);
    buf_clear(&k->to_client);
    return str_or(k->answered.p, "");
}

enum { ALL = 1u << CHANNEL_ERROR | 1u << CHANNEL_STDIN | 1u << CHANNEL_STDOUT };

TEST(spdy_channels_carry_a_command_in_any_pieces) {
    for (size_t piece = 1; piece < 2000; piece = piece * 7) {
        struct client k;
        client_init(&k, ALL);
        open_stream(&k, 1, "error", false);
        open_stream(&k, 3, "stdin", false);
        assert_int_equal(send_all(&k, piece, NULL), 0);
        assert_false(spdy_channels_ready(k.c));
        open_stream(&k, 5, "stdout", false);
        assert_int_equal(send_all(&k, piece, NULL), 0);
        assert_true(spdy_channels_ready(k.c));
        spdy_write_data(&k.to_server, 3, SLICE("x"), false);
        spdy_write_data(&k.to_server, 3, SLICE(""), true);
        spdy_write_data(&k.to_server, 3, SLICE("late"), false);
        spdy_write_ping(&k.to_server, 1);
        spdy_write_ping(&k.to_server, 2); /* ours to send, so not to be answered */
        assert_int_equal(send_all(&k, piece, NULL), 0);
        assert_string_equal(k.seen.p, "<ready><0 x><end 0>");
        spdy_channels_write(k.c, CHANNEL_STDOUT, SLICE("out"));
        spdy_channels_write(k.c, CHANNEL_STDERR, SLICE("nobody listens"));
        spdy_channels_write(k.c, CHANNEL_ERROR, SLICE("{}"));
        spdy_channels_end(k.c);
        spdy_channels_write(k.c, CHANNEL_STDOUT, SLICE("too late"));
        assert_string_equal(answered(&k), "<reply 1><reply 3><reply 5><ping 1><5 out><1 {}>"
                                          "<3  fin><5  fin><1  fin>");
        client_done(&k);
    }
}

TEST(spdy_channels_keep_what_comes_before_all_streams_are_open) {
    struct client k;
    client_init(&k, ALL);
    open_stream(&k, 1, "stdin", false);
    spdy_write_data(&k.to_server, 1, SLICE("early"), true);
    open_stream(&k, 3, "error", false);
    open_stream(&k, 5, "stdout", true);
    assert_int_equal(send_all(&k, 4096, NULL), 0);
    assert_string_equal(k.seen.p, "<ready><0 early><end 0><end 1>");
    client_done(&k);
    client_init(&k, ALL);
    struct err err = {0};
    static const char much[65537];
    open_stream(&k, 1, "stdin", false);
    spdy_write_data(&k.to_server, 1, slice_from(much, sizeof much), false);
    assert_true(send_all(&k, 1 << 20, &err) < 0);
    assert_int_equal(err.reason, ERR_TOO_LARGE);
    client_done(&k);
}

TEST(spdy_channels_refuse_unknown_and_second_streams) {
    struct client k;
    client_init(&k, ALL);
    open_stream(&k, 1, "error", false);
    open_stream(&k, 3, "error", false);
    open_stream(&k, 5, "nonsense", false);
    open_stream(&k, 6, "stdin", false);
    open_stream(&k, 1, "stdout", false);
    spdy_write_data(&k.to_server, 99, SLICE("lost"), false);
    assert_int_equal(send_all(&k, 4096, NULL), 0);
    assert_string_equal(answered(&k), "<reply 1><rst 3 1><rst 5 3><rst 6 1><rst 1 1>");
    assert_false(spdy_channels_ready(k.c));
    client_done(&k);
}

TEST(spdy_channels_cut_the_resize_stream_into_lines) {
    struct client k;
    client_init(&k, 1u << CHANNEL_RESIZE);
    struct err err = {0};
    open_stream(&k, 1, "resize", false);
    spdy_write_data(&k.to_server, 1, SLICE("{\"Width\":80}\n{\"Wi"), false);
    spdy_write_data(&k.to_server, 1, SLICE("dth\":81}\n"), false);
    assert_int_equal(send_all(&k, 3, &err), 0);
    assert_string_equal(k.seen.p, "<ready><4 {\"Width\":80}><4 {\"Width\":81}>");
    static const char endless[2048];
    spdy_write_data(&k.to_server, 1, slice_from(endless, sizeof endless), false);
    assert_true(send_all(&k, 4096, &err) < 0);
    assert_int_equal(err.reason, ERR_TOO_LARGE);
    client_done(&k);
}

TEST(spdy_channels_reset_of_a_stream_ends_it_both_ways) {
    struct client k;
    client_init(&k, ALL);
    open_stream(&k, 1, "error", false);
    open_stream(&k, 3, "stdin", false);
    open_stream(&k, 5, "stdout", false);
    spdy_write_rst(&k.to_server, 3, SPDY_CANCEL);
    spdy_write_rst(&k.to_server, 5, SPDY_CANCEL);
    spdy_write_rst(&k.to_server, 5, SPDY_CANCEL);
    assert_int_equal(send_all(&k, 4096, NULL), 0);
    assert_string_equal(k.seen.p, "<ready><end 0><end 1>");
    spdy_channels_write(k.c, CHANNEL_STDOUT, SLICE("out"));
    spdy_channels_end(k.c);
    assert_string_equal(answered(&k), "<reply 1><reply 3><reply 5><1  fin>");
    client_done(&k);
}
