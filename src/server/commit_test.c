#include "server/commit.h"

#include "base/own.h"
#include "base/test.h"

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
