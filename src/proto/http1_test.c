#include "base/test.h"

#include <errno.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/own.h"
#include "proto/http.h"

struct seen { /* a transcript of the events */
    struct buf text;
    int stop_at_head, stop_at_end;
};

static int on_head(void *user, const struct http1_head *h) {
    struct seen *s = user;
    if (h->method)
        buf_printf(&s->text, "<%s %s", h->method, h->target);
    else
        buf_printf(&s->text, "<%d", h->status);
    for (size_t i = 0; i < h->headers.n; i++)
        buf_printf(&s->text, " %s=%s", h->headers.v[i].name, h->headers.v[i].value);
    buf_printf(&s->text, "%s%s%s>", h->keep_alive ? " keep" : "", h->upgrade ? " upgrade" : "",
               h->has_body ? " body" : "");
    return s->stop_at_head;
}

static int on_body(void *user, struct slice data) {
    buf_slice(&((struct seen *)user)->text, data);
    return 0;
}

static int on_end(void *user) {
    buf_str(&((struct seen *)user)->text, ".");
    return ((struct seen *)user)->stop_at_end;
}

static const struct http1_events events = {on_head, on_body, on_end};

/* Feeds in pieces of `piece` bytes; returns the last result and leaves the transcript in s. */
static int feed(struct seen *s, enum http1_role role, const char *text, size_t piece, bool no_body,
                bool eof) {
    struct http1 *p = http1_new(role, &events, s);
    if (no_body) http1_expect_no_body(p);
    struct slice all = slice_of(text);
    int r = 0;
    while (all.n > 0 && r == 0) {
        size_t used;
        size_t n = MIN_OF(piece, all.n);
        r = http1_feed(p, slice_from(all.p, n), &used, NULL);
        if (r == 0 && used < n) buf_printf(&s->text, "|rest");
        if (used < n) break;
        all = slice_from(all.p + n, all.n - n);
    }
    if (r == 0 && eof) r = http1_eof(p);
    http1_free(p);
    return r;
}

struct good {
    enum http1_role role;
    const char *text, *want;
    bool no_body, eof;
};
static const struct good good[] = {
    {HTTP1_REQUESTS, "GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-Y:\t z  \r\n\r\n",
     "<GET /a?b=c host=x x-y=z keep>."},
    {HTTP1_REQUESTS, "GET / HTTP/1.1\r\nHost: x\r\nX: b\xc3\xa4r \t and more bytes\r\n\r\n",
     "<GET / host=x x=b\xc3\xa4r \t and more bytes keep>."},
    {HTTP1_REQUESTS, "\r\nGET / HTTP/1.1\r\nhost:\r\n\r\n", "<GET / host= keep>."},
    {HTTP1_REQUESTS, "GET / HTTP/1.0\r\n\r\n", "<GET />."},
    {HTTP1_REQUESTS, "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
     "<GET / connection=Keep-Alive keep>."},
    {HTTP1_REQUESTS,
     "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: y\r\n"
     "Connection: close\r\n\r\n",
     "<POST /p host=x content-length=5 keep body>hello.<GET / host=y connection=close>."},
    {HTTP1_REQUESTS,
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n00A\r\n"
     " there all\r\n0\r\nTrailer: t\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
     "<POST / host=x transfer-encoding=Chunked keep body>hello there all.<GET / host=x keep>."},
    {HTTP1_REQUESTS,
     "GET / HTTP/1.1\r\nHost: x\r\nConnection: foo, Upgrade\r\nUpgrade: websocket\r\n\r\n",
     "<GET / host=x connection=foo, Upgrade upgrade=websocket keep upgrade>."},
    {HTTP1_RESPONSES, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 204 \r\n\r\n",
     "<200 content-length=2 keep body>ok.<204 keep>."},
    {HTTP1_RESPONSES, "HTTP/1.1 200\r\nContent-Length: 10\r\n\r\n", "<200 content-length=10 keep>.",
     .no_body = true},
    {HTTP1_RESPONSES,
     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n"
     "\r\n",
     "<201 content-length=0 keep>."},
    {HTTP1_RESPONSES, "HTTP/1.1 200 OK\r\n\r\nuntil the end", "<200 body>until the end.",
     .eof = true},
};

TEST(http1_reads_messages_whole_and_byte_by_byte) {
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        for (size_t piece = 1; piece < 4096; piece = piece < 8 ? piece + 1 : piece * 8) {
            struct seen s = {0};
            assert_int_equal(
                feed(&s, good[i].role, good[i].text, piece, good[i].no_body, good[i].eof), 0);
            assert_string_equal(s.text.p, good[i].want);
            buf_done(&s.text);
        }
}

#define RQ "GET / HTTP/1.1\r\nHost: x\r\n"
#define POST "POST / HTTP/1.1\r\nHost: x\r\n"
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"
static const char *const hostile[] = {
    POST "Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
    POST "Content-Length: 1, 1\r\n\r\na",
    POST "Content-Length: +1\r\n\r\na",
    POST "Content-Length: -1\r\n\r\na",
    POST "Content-Length: 0x1\r\n\r\na",
    POST "Content-Length:\r\n\r\na",
    POST "Content-Length: 1 1\r\n\r\na",
    POST "Content-Length: 18446744073709551617\r\n\r\na",
    POST "Content-Length: 9223372036854775808\r\n\r\na",
    POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
    POST "Transfer-Encoding:\vchunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    POST "Content-Length : 1\r\n\r\na",
    POST " Content-Length: 1\r\n\r\na",
    RQ "X: a\r\n folded: b\r\n\r\n",
    RQ "X: a\r\n\tfolded\r\n\r\n",
    RQ "X: a\nY: b\r\n\r\n",
    RQ "X: a\rY: b\r\n\r\n",
    RQ "X\r\n\r\n",
    RQ ": v\r\n\r\n",
    RQ "X Y: v\r\n\r\n",
    RQ "X\x80: v\r\n\r\n",
    RQ "X: \x01\r\n\r\n",
    RQ "X: \x7f\r\n\r\n",
    RQ "X: eight bytes and\x7f more\r\n\r\n",
    RQ "X: eight by\x1ftes and more\r\n\r\n",
    RQ "Host: y\r\n\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\nHost: x\n\n",
    "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET / HTTP/1.1 \r\nHost: x\r\n\r\n",
    "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /\x80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /\t HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /eight-\x7f-bytes HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /eight-bytes-\x80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /eight\x01-bytes-and HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET / HTTP/1.2\r\nHost: x\r\n\r\n",
    "GET / HTTP/2.0\r\nHost: x\r\n\r\n",
    "GET / http/1.1\r\nHost: x\r\n\r\n",
    "GET /\r\nHost: x\r\n\r\n",
    " GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "G(T / HTTP/1.1\r\nHost: x\r\n\r\n",
    "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    CHUNKED "\r\n",
    CHUNKED "g\r\n",
    CHUNKED " 1\r\na\r\n0\r\n\r\n",
    CHUNKED "1 \r\na\r\n0\r\n\r\n",
    CHUNKED "0x1\r\na\r\n0\r\n\r\n",
    CHUNKED "-1\r\na\r\n0\r\n\r\n",
    CHUNKED "1\na\r\n0\r\n\r\n",
    CHUNKED "1\r\nab\r\n0\r\n\r\n",
    CHUNKED "1\r\na\n0\r\n\r\n",
    CHUNKED "1\r\na\r0\r\n\r\n",
    CHUNKED "1;\x01\r\na\r\n0\r\n\r\n",
    CHUNKED "ffffffffffffffff\r\na",
    CHUNKED "0000000000000001\r\na",
    CHUNKED "0\r\nbad trailer\r\n\r\n",
    CHUNKED "0\r\nx: y\n\r\n",
    CHUNKED "0\r\n folded\r\n\r\n",
};

TEST(http1_refuses_smuggling_shapes) {
    for (size_t i = 0; i < ARRAY_LEN(hostile); i++)
        for (size_t piece = 1; piece < 4096; piece *= 64) {
            struct seen s = {0};
            if (feed(&s, HTTP1_REQUESTS, hostile[i], piece, false, false) != -EBADMSG)
                fail_msg("accepted %zu: %s", i, hostile[i]);
            buf_done(&s.text);
        }
}

TEST(http1_refuses_nul_in_head) {
    static const char text[] = "GET / HTTP/1.1\r\nHost: x\0y\r\n\r\n";
    struct seen s = {0};
    struct http1 *p = http1_new(HTTP1_REQUESTS, &events, &s);
    size_t used;
    assert_int_equal(http1_feed(p, SLICE(text), &used, NULL), -EBADMSG);
    assert_int_equal(http1_feed(p, SLICE("GET / HTTP/1.1\r\n"), &used, NULL), -EBADMSG);
    http1_free(p);
    buf_done(&s.text);
}

TEST(http1_refuses_bad_responses) {
    static const char *const texts[] = {"HTTP/1.1 99 x\r\n\r\n",   "HTTP/1.1 600 x\r\n\r\n",
                                        "HTTP/1.1 2000\r\n\r\n",   "HTTP/1.1 +20 x\r\n\r\n",
                                        "HTTP/1.1  200 x\r\n\r\n", "\r\nHTTP/1.1 200 x\r\n\r\n",
                                        "HTTP/1.1\r\n\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct seen s = {0};
        assert_int_equal(feed(&s, HTTP1_RESPONSES, texts[i], 4096, false, false), -EBADMSG);
        buf_done(&s.text);
    }
}

TEST(http1_cut_message_is_an_error) {
    struct seen s = {0};
    assert_int_equal(feed(&s, HTTP1_RESPONSES, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", 99,
                          false, true),
                     -EBADMSG);
    assert_int_equal(feed(&s, HTTP1_RESPONSES, "HTTP/1.1 2", 99, false, true), -EBADMSG);
    assert_int_equal(feed(&s, HTTP1_RESPONSES, "HTTP/1.1 204 \r\n\r\n", 99, false, true), 0);
    buf_done(&s.text);
}

/* Repeats `unit` after `start` until `total` bytes; the result says whether a limit stopped it. */
static enum err_reason flood(const char *start, const char *unit, size_t total) {
    struct seen s = {0};
    struct http1 *p = http1_new(HTTP1_REQUESTS, &events, &s);
    struct err err = {0};
    size_t used;
    int r = http1_feed(p, slice_of(start), &used, &err);
    for (size_t n = 0; r == 0 && n < total; n += strlen(unit))
        r = http1_feed(p, slice_of(unit), &used, &err);
    http1_free(p);
    buf_done(&s.text);
    return r ? err.reason : ERR_NONE;
}

TEST(http1_bounds_every_part) {
    assert_int_equal(flood("GET /", "a", LIMIT_HTTP_LINE_BYTES + 1), ERR_TOO_LARGE);
    assert_int_equal(flood(RQ "X: ", "a", LIMIT_HTTP_LINE_BYTES + 1), ERR_TOO_LARGE);
    assert_int_equal(flood(RQ, "X: aaaaaaaaaaaaaaaaaaaaa\r\n", LIMIT_HTTP_HEADER_BYTES + 1),
                     ERR_TOO_LARGE);
    assert_int_equal(flood(CHUNKED "1;", "a", 1000), ERR_TOO_LARGE);
    assert_int_equal(flood(CHUNKED "0\r\n", "X: aaaaaaaaaaaaaaaa\r\n", LIMIT_HTTP_HEADER_BYTES + 1),
                     ERR_TOO_LARGE);
    struct buf many = {0};
    buf_str(&many, RQ);
    for (int i = 0; i < LIMIT_HTTP_HEADERS; i++) buf_str(&many, "a: b\r\n");
    buf_str(&many, "\r\n");
    assert_int_equal(flood(many.p, "", 0), ERR_TOO_LARGE);
    buf_done(&many);
}

TEST(http1_stops_when_asked_and_goes_on) {
    struct seen s = {.stop_at_head = 7, .stop_at_end = 8};
    struct http1 *p = http1_new(HTTP1_REQUESTS, &events, &s);
    static const char text[] = RQ "\r\n" RQ "\r\n";
    size_t used;
    assert_int_equal(http1_feed(p, SLICE(text), &used, NULL), 7);
    assert_int_equal(used, (sizeof text - 1) / 2);
    assert_int_equal(http1_feed(p, (struct slice){0}, &used, NULL), 8);
    assert_int_equal(used, 0);
    assert_int_equal(http1_feed(p, (struct slice){0}, &used, NULL), 0);
    assert_int_equal(http1_feed(p, SLICE(RQ "\r\n"), &used, NULL), 7);
    http1_free(p);
    assert_string_equal(s.text.p, "<GET / host=x keep>.<GET / host=x keep>");
    buf_done(&s.text);
}

TEST(http1_leaves_what_follows_an_upgrade) {
    struct seen s = {0};
    struct http1 *p = http1_new(HTTP1_REQUESTS, &events, &s);
    static const char head[] = RQ "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    static const char text[] = RQ "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x00";
    size_t used;
    assert_int_equal(http1_feed(p, SLICE(text), &used, NULL), 0);
    assert_int_equal(used, sizeof head - 1);
    assert_int_equal(http1_feed(p, SLICE(RQ "\r\n"), &used, NULL), 0);
    http1_free(p);
    buf_done(&s.text);

    p = http1_new(HTTP1_RESPONSES, &events, &s);
    assert_int_equal(http1_feed(p,
                                SLICE("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n"
                                      "Upgrade: websocket\r\n\r\nHTTP"),
                                &used, NULL),
                     0);
    assert_int_equal(http1_feed(p, SLICE("HTTP/1.1 200 OK\r\n\r\n"), &used, NULL), 0);
    assert_int_equal(used, 0);
    http1_free(p);
    buf_done(&s.text);
}

TEST(http1_writes_what_it_reads) {
    struct buf b = {0};
    struct http_header v[] = {{"a", "b\r\nc: d"}, {"content-length", "0"}};
    http1_write_request(&b, "PUT", "/x", &(struct http_headers){v, 2});
    struct seen s = {0};
    assert_int_equal(feed(&s, HTTP1_REQUESTS, b.p, 9999, false, false), 0);
    assert_string_equal(s.text.p, "<PUT /x host=localhost a=b  c: d content-length=0 keep>.");
    buf_clear(&b);
    buf_clear(&s.text);
    v[0] = (struct http_header){"transfer-encoding", "chunked"};
    http1_write_response(&b, 200, &(struct http_headers){v, 1});
    http1_write_chunk(&b, SLICE("abc"));
    http1_write_chunk(&b, SLICE(""));
    http1_write_chunk(&b, SLICE("0123456789abcdef0"));
    http1_write_last_chunk(&b);
    assert_int_equal(feed(&s, HTTP1_RESPONSES, b.p, 9999, false, true), 0);
    assert_string_equal(s.text.p, "<200 transfer-encoding=chunked keep body>abc0123456789abcdef0.");
    buf_done(&b);
    buf_done(&s.text);
}

/* ---- Targets ---- */

static const struct {
    const char *target, *want; /* NULL: refused */
} targets[] = {
    {"/", "/"},
    {"/api/v1?watch=true&x", "/api/v1 watch=true x="},
    {"/a%20b%2Fc?d=e%3D%26+f&&g=h=i", "/a b/c d=e=& f g=h=i"},
    {"/a+b?", "/a+b"},
    {"http://host:1/p?q=1", "/p q=1"},
    {"https://host", "/"},
    {"/a%2", NULL},
    {"/a%", NULL},
    {"/a%zz", NULL},
    {"/a%1g", NULL},
    {"/a%00", NULL},
    {"/?a=%00", NULL},
    {"/?a=%4", NULL},
    {"/a#b", NULL},
    {"", NULL},
    {"*", NULL},
    {"host:443", NULL},
};

TEST(http_target_is_split_and_decoded) {
    for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
        struct arena *a = arena_new();
        const char *path = NULL;
        struct http_query q = {0};
        struct err err = {0};
        int r = http_split_target(a, targets[i].target, &path, &q, &err);
        struct buf b = {0};
        if (!targets[i].want) {
            assert_true(r < 0);
            assert_int_equal(err.reason, ERR_BAD_REQUEST);
            assert_null(path);
        } else {
            assert_int_equal(r, 0);
            buf_str(&b, path);
            for (size_t k = 0; k < q.n; k++) buf_printf(&b, " %s=%s", q.v[k].key, q.v[k].value);
            assert_string_equal(b.p, targets[i].want);
        }
        buf_done(&b);
        arena_free(a);
    }
}

TEST(http_query_finds_the_first_value) {
    struct arena *a = arena_new();
    const char *path;
    struct http_query q;
    assert_int_equal(http_split_target(a, "/?a=1&a=2", &path, &q, NULL), 0);
    assert_string_equal(http_query_get(&q, "a"), "1");
    assert_null(http_query_get(&q, "b"));
    arena_free(a);
}
