#include "server/verbs/continue.h"

#include "base/own.h"
#include "base/test.h"

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
