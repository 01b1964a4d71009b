#include "base/own.h"
#include "base/test.h"
#include "server/api.h"
#include "server/commit.h"
#include "server/continue.h"

TEST(a_failure_as_clients_read_it) {
    struct arena *a = arena_new();
    struct api_causes causes = {.a = a};
    cause_required(&causes, "spec.x", NULL);
    OWN(buf_done) struct buf b = {0};
    failure_encode(&b, ERR_INVALID,
                   &(struct failure){.message = "bad \"x\"",
                                     .name = "x",
                                     .group = "apps",
                                     .kind = "Deployment",
                                     .causes = &causes});
    assert_string_equal(
        b.p, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
             "\"message\":\"bad \\\"x\\\"\",\"reason\":\"Invalid\",\"details\":{\"name\":\"x\","
             "\"group\":\"apps\",\"kind\":\"Deployment\",\"causes\":[{\"reason\":"
             "\"FieldValueRequired\",\"message\":\"Required value\",\"field\":\"spec.x\"}]},"
             "\"code\":422}\n");
    arena_free(a);
}

TEST(continue_tokens_round_trip_and_refuse_nonsense) {
    struct arena *a = arena_new();
    uint64_t revision = 0;
    struct slice start;
    const char *token = continue_encode(a, 42, SLICE("ns/na\"me"));
    assert_int_equal(continue_decode(a, token, &revision, &start), 0);
    assert_int_equal(revision, 42);
    assert_true(slice_is(start, "ns/na\"me"));
    static const char *const bad[] = {"", "x", "e30", "bm90IGpzb24", "!!!"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_true(continue_decode(a, bad[i], &revision, &start) < 0);
    arena_free(a);
}

TEST(the_gap_for_the_revision_is_where_the_store_writes) {
    struct arena *a = arena_new();
    const struct api_kind *k = api_kind_by_plural("", "v1", "configmaps");
    struct api_object *o = api_object_new(a, k);
    o->metadata.name = "x";
    o->metadata.resource_version = "77";
    OWN(buf_done) struct buf gap = {0}, at = {0};
    uint32_t offset;
    object_encode_gap(&gap, k, o, &offset);
    assert_string_equal(o->metadata.resource_version, "77");
    object_encode_at(&at, k, o, 5);
    assert_int_equal(gap.n + 1, at.n);
    assert_memory_equal(gap.p, at.p, offset);
    assert_int_equal(at.p[offset], '5');
    assert_string_equal(gap.p + offset, at.p + offset + 1);
    arena_free(a);
}

TEST(only_the_spec_counts_for_the_generation) {
    struct slice x =
        SLICE("{\"kind\":\"A\",\"metadata\":{\"name\":\"a\"},\"spec\":{\"n\":1},\"status\":{}}");
    struct slice meta = SLICE("{\"kind\":\"A\",\"metadata\":{\"name\":\"b\"},\"spec\":{\"n\":1}}");
    struct slice spec = SLICE("{\"kind\":\"A\",\"metadata\":{\"name\":\"a\"},\"spec\":{\"n\":2}}");
    assert_false(object_spec_differs(x, meta));
    assert_true(object_spec_differs(x, spec));
    assert_true(object_spec_differs(x, SLICE("{\"kind\":\"A\"}")));
}
