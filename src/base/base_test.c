#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/map.h"
#include "base/own.h"
#include "base/pack.h"
#include "base/plain.h"
#include "base/test.h"
#include "base/times.h"
#include "base/vec.h"

#include <errno.h>
#include <stdio.h>

TEST(short_lived_buffers_are_used_again_unless_they_are_large) {
    struct buf a = buf_take(), b = buf_take();
    buf_str(&a, "text");
    const char *p = a.p;
    buf_give(&a);
    assert_null(a.p);
    a = buf_take();
    assert_ptr_equal(a.p, p);
    assert_int_equal(a.n, 0);
    buf_reserve(&a, 1 << 20);
    p = a.p;
    buf_give(&a); /* freed: the next is another */
    a = buf_take();
    assert_true(a.cap < 1 << 20);
    buf_done(&a);
    buf_give(&b); /* nothing was ever in it */
    assert_null(b.p);
}

TEST(quiet_moments_free_the_buffers_of_a_burst) {
    enum { BURST = 100 };
    struct buf burst[BURST] = {0};
    for (int i = 0; i < BURST; i++) {
        burst[i] = buf_take();
        buf_reserve(&burst[i], 4000);
    }
    for (int i = 0; i < BURST; i++) buf_give(&burst[i]);
    for (int i = 0; i < BURST; i++) { /* all of them are kept */
        burst[i] = buf_take();
        assert_true(burst[i].cap > 4000);
    }
    for (int i = 0; i < BURST; i++) buf_give(&burst[i]);
    buf_trim();
    int left = 0;
    for (int i = 0; i < BURST; i++) {
        burst[i] = buf_take();
        left += burst[i].cap > 0;
    }
    assert_int_equal(left, 8);
    for (int i = 0; i < BURST; i++) buf_give(&burst[i]);
}

TEST(buf_base64_round_trips) {
    OWN(buf_done) struct buf enc = {0}, dec = {0};
    buf_base64(&enc, "hello w", 7);
    assert_string_equal(enc.p, "aGVsbG8gdw==");
    assert_int_equal(buf_unbase64(&dec, buf_view(&enc)), 0);
    assert_string_equal(dec.p, "hello w");
    assert_int_equal(buf_unbase64(&dec, SLICE("aGVsbG8gdx==")), -EINVAL);
    assert_int_equal(buf_unbase64(&dec, SLICE("a*==")), -EINVAL);
}

TEST(buf_json_string_escapes_controls) {
    OWN(buf_done) struct buf b = {0};
    buf_json_str(&b, SLICE("a\"b\\\n\x01"));
    assert_string_equal(b.p, "\"a\\\"b\\\\\\n\\u0001\"");
}

/* Whatever stands where in the 64 bytes, the sixteen and the eight behind them, and behind those.
 */
TEST(plain_length_stops_at_the_first_special_byte) {
    static const size_t lengths[] = {7, 8, 13, 28, 64 + 28};
    for (size_t l = 0; l < ARRAY_LEN(lengths); l++)
        for (unsigned c = 0; c < 256; c++)
            for (size_t at = 0, n = lengths[l]; at < n; at++) {
                char text[64 + 28];
                memset(text, at % 2 ? 'x' : 0x7f, n);
                text[at] = (char)c;
                bool special = c < 0x20 || c == '"' || c == '\\';
                size_t end = special ? at : n, ascii = special || c >= 0x80 ? at : end;
                assert_int_equal(plain_length(text, n, false), end);
                assert_int_equal(plain_length(text, n, true), ascii);
                if (at + 1 == n) continue;
                text[at + 1] = '"'; /* one behind the other */
                assert_int_equal(plain_length(text, n, false), special ? at : at + 1);
            }
    assert_int_equal(plain_length("", 0, true), 0);
}

TEST(map_survives_deletion_of_every_other_key) {
    struct map m = {0};
    static int value;
    for (int i = 0; i < 1000; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        assert_null(map_put(&m, slice_of(key), &value));
    }
    for (int i = 0; i < 1000; i += 2) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        assert_ptr_equal(map_del(&m, slice_of(key)), &value);
    }
    assert_int_equal(m.n, 500);
    for (int i = 0; i < 1000; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        assert_ptr_equal(map_gets(&m, key), i % 2 ? &value : NULL);
    }
    map_done(&m);
}

TEST(unpack_rejects_truncation_and_rest) {
    OWN(buf_done) struct buf b = {0};
    pack_u32(&b, 7);
    pack_str(&b, "abc");
    OWN(arena_free_p) struct arena *a = arena_new();
    for (size_t n = 0; n <= b.n; n++) {
        struct unpack u = unpack_init(slice_from(b.p, n));
        unpack_u32(&u);
        unpack_str(&u, a);
        assert_int_equal(unpack_end(&u), n == b.n ? 0 : -EBADMSG);
    }
    pack_u8(&b, 0);
    struct unpack u = unpack_init(buf_view(&b));
    unpack_u32(&u);
    assert_string_equal(unpack_str(&u, a), "abc");
    assert_int_equal(unpack_end(&u), -EBADMSG);
}

TEST(time_formats_and_parses_rfc3339) {
    static const struct {
        const char *text;
        int64_t ns;
    } good[] = {{"1970-01-01T00:00:00Z", 0},
                {"2026-11-21T06:00:00.5Z", 1795240800500000000},
                {"2026-11-21T08:00:00+02:00", 1795240800000000000}};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        int64_t ns = -1;
        assert_int_equal(time_parse(good[i].text, &ns), 0);
        assert_int_equal(ns, good[i].ns);
    }
    static const char *const bad[] = {"",
                                      "2026-13-01T00:00:00Z",
                                      "2026-02-30T00:00:00Z",
                                      "2026-01-01T00:00:00",
                                      "2026-01-01T00:00:00.Z",
                                      "x"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int64_t ns;
        assert_int_equal(time_parse(bad[i], &ns), -EINVAL);
    }
    char out[TIME_TEXT_MAX];
    time_format_micro(out, 1795240800500000000);
    assert_string_equal(out, "2026-11-21T06:00:00.500000Z");
}

TEST(times_beyond_the_reach_of_nanoseconds_are_kept) {
    static const char *const texts[] = {"0001-01-01T00:00:02.000000Z",
                                        "9999-12-31T23:59:59.999999Z",
                                        "1969-12-31T23:59:59.250000Z"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        char out[TIME_TEXT_MAX];
        int64_t s, ns;
        assert_int_equal(time_parse_parts(texts[i], &s, &ns), 0);
        time_format_parts(out, s, ns, true);
        assert_string_equal(out, texts[i]);
        assert_int_equal(time_parse(texts[i], &ns), i < 2 ? -EINVAL : 0);
    }
}

TEST(arena_push_grows_a_list) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct {
        int *v;
        size_t n;
    } list = {0};
    for (int i = 0; i < 100; i++) *ARENA_PUSH(a, &list) = i;
    assert_int_equal(list.n, 100);
    for (int i = 0; i < 100; i++) assert_int_equal(list.v[i], i);
}

TEST(err_reasons_map_both_ways) {
    for (int i = 1; i < ERR_REASON_COUNT; i++) {
        assert_int_equal(err_reason_parse(err_reason_name((enum err_reason)i)), i);
        assert_true(err_code((enum err_reason)i) < 0);
        assert_in_range(err_http((enum err_reason)i), 400, 599);
    }
}

TEST(vec_remove_keeps_order) {
    VEC(int) v = {0};
    for (int i = 0; i < 10; i++) vec_push(&v, i);
    vec_remove(&v, 3);
    assert_int_equal(v.n, 9);
    assert_int_equal(v.v[3], 4);
    vec_done(&v);
}

TEST(code_points_become_utf8_of_one_to_four_bytes) {
    static const struct {
        uint32_t c;
        const char *text;
    } cases[] = {{0x41, "A"},
                 {0x7f, "\x7f"},
                 {0x80, "\xc2\x80"},
                 {0x7ff, "\xdf\xbf"},
                 {0x800, "\xe0\xa0\x80"},
                 {0xffff, "\xef\xbf\xbf"},
                 {0x10000, "\xf0\x90\x80\x80"},
                 {0x10ffff, "\xf4\x8f\xbf\xbf"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char out[5] = {0};
        assert_int_equal(utf8_put(out, cases[i].c), strlen(cases[i].text));
        assert_string_equal(out, cases[i].text);
    }
}
