#include "wire/egress.h"

#include "base/test.h"

#include <errno.h>
#include <string.h>

#include "base/own.h"

static const struct egress_prelude good = {.policy = EGRESS_BY_TENANT,
                                           .identity = EGRESS_FRONT_PROXY,
                                           .tls = true,
                                           .port = 443,
                                           .timeout_ms = 10000,
                                           .host = "10.0.0.1",
                                           .server_name = "a.b.svc",
                                           .ca_pem = "PEM"};

static int round_trip(struct arena *a, const struct egress_prelude *p, struct egress_prelude *ret) {
    OWN(buf_done) struct buf b = {0};
    struct slice body;
    size_t used;
    egress_prelude_pack(&b, p);
    assert_int_equal(egress_frame(buf_view(&b), &body, &used), 1);
    assert_int_equal(used, b.n);
    return egress_prelude_unpack(body, a, ret);
}

TEST(egress_prelude_comes_out_as_it_went_in) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct egress_prelude p;
    assert_int_equal(round_trip(a, &good, &p), 0);
    assert_string_equal(p.host, "10.0.0.1");
    assert_string_equal(p.server_name, "a.b.svc");
    assert_string_equal(p.ca_pem, "PEM");
    assert_int_equal(p.port, 443);
    assert_true(p.tls && !p.insecure);
}

TEST(egress_prelude_fields_out_of_range_are_refused) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct egress_prelude out, bad[7];
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) bad[i] = good;
    bad[0].policy = 0;
    bad[1].identity = 3;
    bad[2].port = 0;
    bad[3].timeout_ms = 0;
    bad[4].timeout_ms = EGRESS_TIMEOUT_MAX_MS + 1;
    bad[5].host = "";
    bad[6].tls = false; /* a certificate that nobody would see */
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(round_trip(a, &bad[i], &out), -EBADMSG);
}

TEST(egress_frame_waits_for_all_of_it_and_is_bounded) {
    OWN(buf_done) struct buf b = {0};
    struct slice body;
    size_t used;
    egress_prelude_pack(&b, &good);
    for (size_t n = 0; n < b.n; n++)
        assert_int_equal(egress_frame(slice_from(b.p, n), &body, &used), 0);
    memset(b.p, 0xff, 4);
    assert_int_equal(egress_frame(buf_view(&b), &body, &used), -EBADMSG);
}

TEST(egress_answer_comes_out_as_it_went_in) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf b = {0};
    struct slice body;
    size_t used;
    struct egress_answer r;
    egress_answer_pack(&b, &(struct egress_answer){EGRESS_UNREACHABLE, "refused"});
    assert_int_equal(egress_frame(buf_view(&b), &body, &used), 1);
    assert_int_equal(egress_answer_unpack(body, a, &r), 0);
    assert_int_equal(r.status, EGRESS_UNREACHABLE);
    assert_string_equal(r.text, "refused");
}
