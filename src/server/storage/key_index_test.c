#include "server/storage/key_index.h"

#include <stdio.h>

#include "base/test.h"

static struct object *make(unsigned i) {
    char key[32];
    int n = snprintf(key, sizeof key, "ns%u/%05u", i % 3, i);
    return object_new(slice_from(key, (size_t)n), i + 1, SLICE("{}"));
}

static void check_order(const struct key_index *x, size_t n) {
    struct key_cursor c = key_index_seek(x, SLICE(""), false);
    const char *last = "";
    size_t seen = 0;
    for (struct object *o; (o = key_index_next(x, &c)); seen++) {
        assert_true(strcmp(last, o->key) < 0);
        last = o->key;
    }
    assert_int_equal(seen, n);
    assert_int_equal(x->n, n);
}

TEST(keys_stay_sorted_however_they_arrive) {
    enum { N = 5000 };
    struct key_index x = {0};
    for (unsigned i = 0; i < N; i++) assert_null(key_index_put(&x, make(i * 7919 % N)));
    check_order(&x, N);
    struct object *again = make(17), *old = key_index_put(&x, again);
    assert_non_null(old);
    assert_ptr_equal(key_index_get(&x, slice_from(again->key, again->key_n)), again);
    object_unref(old);
    for (unsigned i = 0; i < N; i += 2) {
        struct object *o = make(i);
        object_unref(key_index_remove(&x, slice_from(o->key, o->key_n)));
        assert_null(key_index_get(&x, slice_from(o->key, o->key_n)));
        object_unref(o);
    }
    check_order(&x, N / 2);
    key_index_done(&x);
}

TEST(seek_begins_at_or_after_a_key) {
    struct key_index x = {0};
    for (unsigned i = 0; i < 600; i += 2) key_index_put(&x, make(i * 3)); /* all in ns0 */
    struct key_cursor c = key_index_seek(&x, SLICE("ns0/00003"), false);
    assert_string_equal(key_index_next(&x, &c)->key, "ns0/00006");
    c = key_index_seek(&x, SLICE("ns0/00006"), false);
    assert_string_equal(key_index_next(&x, &c)->key, "ns0/00006");
    c = key_index_seek(&x, SLICE("ns0/00006"), true);
    assert_string_equal(key_index_next(&x, &c)->key, "ns0/00012");
    c = key_index_seek(&x, SLICE("zz"), false);
    assert_null(key_index_next(&x, &c));
    key_index_done(&x);
}

TEST(a_snapshot_stays_as_it_was) {
    enum { N = 3000 };
    struct key_index x = {0};
    for (unsigned i = 0; i < N; i++) key_index_put(&x, make(i));
    struct key_snapshot s = key_index_snapshot(&x, SLICE(""), false, SLICE(""));
    assert_int_equal(s.left, N);
    struct object *first = key_snapshot_peek(&s, 0), *later = key_snapshot_peek(&s, 700);
    for (unsigned i = 0; i < N; i++) {
        struct object *o = make(i);
        if (i % 3)
            object_unref(key_index_put(&x, o));
        else
            object_unref(key_index_remove(&x, slice_from(o->key, o->key_n))), object_unref(o);
    }
    char before[64] = "";
    struct object *o;
    unsigned n = 0;
    for (; (o = key_snapshot_next(&s)); n++) {
        if (n == 0) assert_ptr_equal(o, first);
        if (n == 700) assert_ptr_equal(o, later);
        assert_true(strcmp(before, o->key) < 0);
        snprintf(before, sizeof before, "%s", o->key);
    }
    assert_int_equal(n, N);
    assert_null(key_snapshot_peek(&s, 0));
    key_snapshot_done(&s);
    key_index_done(&x);
}

TEST(a_snapshot_has_one_namespace_from_some_key_on) {
    struct key_index x = {0};
    char key[32];
    for (int ns = 0; ns < 3; ns++)
        for (int i = 0; i < 500; i++) {
            snprintf(key, sizeof key, "n%d/%03d", ns, i);
            key_index_put(&x, object_new(slice_of(key), 1, SLICE("{}")));
        }
    struct key_snapshot s = key_index_snapshot(&x, SLICE(""), true, SLICE("n1/"));
    assert_int_equal(s.left, 500);
    assert_string_equal(key_snapshot_next(&s)->key, "n1/000");
    key_snapshot_done(&s);
    s = key_index_snapshot(&x, SLICE("n1/497"), true, SLICE("n1/"));
    assert_int_equal(s.left, 2);
    assert_string_equal(key_snapshot_next(&s)->key, "n1/498");
    assert_string_equal(key_snapshot_next(&s)->key, "n1/499");
    assert_null(key_snapshot_next(&s));
    key_snapshot_done(&s);
    s = key_index_snapshot(&x, SLICE("n2/100"), true, SLICE("n1/")); /* behind it */
    assert_null(key_snapshot_next(&s));
    key_snapshot_done(&s);
    s = key_index_snapshot(&x, SLICE(""), true, SLICE("n5/"));
    assert_null(key_snapshot_next(&s));
    key_snapshot_done(&s);
    key_index_done(&x);
}
