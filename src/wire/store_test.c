#include "wire/store.h"

#include "base/own.h"
#include "base/test.h"

/* Every proper prefix of a message, and one with a byte too many, must be refused. */
#define ROUND_TRIP(kind, in, out)                                                                  \
    do {                                                                                           \
        OWN(buf_done) struct buf b_ = {0};                                                         \
        store_##kind##_pack(&b_, &(in));                                                           \
        assert_int_equal(store_##kind##_unpack(buf_view(&b_), &(out)), 0);                         \
        for (size_t n_ = 0; n_ < b_.n; n_++)                                                       \
            assert_true(store_##kind##_unpack(slice_from(b_.p, n_), &(out)) < 0);                  \
        buf_char(&b_, 0);                                                                          \
        assert_true(store_##kind##_unpack(buf_view(&b_), &(out)) < 0);                             \
    } while (0)

TEST(store_messages_survive_the_wire_and_cut_ones_are_refused) {
    struct store_write w = {STORE_UPDATE, SLICE("/a"), 7, 3, SLICE("{\"\"}")}, w2 = {0};
    struct store_event e = {STORE_DELETE, 9, 8, SLICE("/a"), SLICE("{}")}, e2 = {0};
    struct store_range r = {SLICE("/a/"), SLICE("/a/b"), 5, 100}, r2 = {0};
    struct store_stats s = {1, 2, 3, 4, 5}, s2 = {0};
    {
        OWN(buf_done) struct buf b = {0};
        store_write_pack(&b, &w);
        assert_int_equal(store_write_unpack(buf_view(&b), &w2), 0);
        assert_int_equal(w2.op, w.op);
        assert_int_equal(w2.expected_revision, 7);
        assert_int_equal(w2.rv_offset, 3);
        assert_true(slice_eq(w2.key, w.key) && slice_eq(w2.value, w.value));
    }
    ROUND_TRIP(write, w, w2);
    ROUND_TRIP(event, e, e2);
    assert_int_equal(e2.revision, 9);
    assert_int_equal(e2.prev_revision, 8);
    ROUND_TRIP(range, r, r2);
    assert_int_equal(r2.revision, 5);
    assert_int_equal(r2.limit, 100);
    ROUND_TRIP(stats, s, s2);
    assert_int_equal(s2.database_bytes, 5);
}
