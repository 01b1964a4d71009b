#include "base/set.h"

#include "base/test.h"

struct number {
    struct set_item item;
    int value;
};

static bool same(const struct set_item *item, const void *key) {
    return ((const struct number *)item)->value == *(const int *)key;
}

/* Few hashes, so that things stand in each other's way. */
enum { NUMBERS = 300, HASHES = 7 };

static struct number *find(const struct set *s, int value) {
    return set_find(s, (uint32_t)value % HASHES, same, &value);
}

TEST(set_finds_what_is_in_it_and_nothing_else) {
    static struct number all[NUMBERS];
    struct set s = {0};
    assert_null(find(&s, 1));
    for (int i = 0; i < NUMBERS; i++) {
        all[i] = (struct number){{(uint32_t)i % HASHES}, i};
        set_add(&s, &all[i].item);
    }
    for (int i = 0; i < NUMBERS; i += 3) set_remove(&s, &all[i].item);
    assert_int_equal(s.n, NUMBERS - NUMBERS / 3);
    for (int i = 0; i < NUMBERS; i++) assert_ptr_equal(find(&s, i), i % 3 ? &all[i] : NULL);
    size_t at = 0, seen = 0;
    const struct number *x;
    while ((x = set_next(&s, &at))) seen += x->value % 3 != 0;
    assert_int_equal(seen, s.n);
    set_done(&s);
    assert_null(set_next(&s, &(size_t){0}));
}

TEST(a_set_that_empties_shrinks_and_still_finds) {
    static struct number all[NUMBERS];
    struct set s = {0};
    for (int i = 0; i < NUMBERS; i++) {
        all[i] = (struct number){{(uint32_t)i % HASHES}, i};
        set_add(&s, &all[i].item);
    }
    size_t most = s.cap;
    for (int i = 5; i < NUMBERS; i++) set_remove(&s, &all[i].item);
    assert_true(s.cap < most && s.n == 5);
    for (int i = 0; i < 10; i++) assert_ptr_equal(find(&s, i), i < 5 ? &all[i] : NULL);
    set_done(&s);
}

TEST(what_replaces_a_thing_is_found_in_its_place) {
    struct number old = {{1}, 8}, other = {{1}, 15}, fresh = {{1}, 8};
    struct set s = {0};
    set_add(&s, &old.item);
    set_add(&s, &other.item);
    set_replace(&s, &old.item, &fresh.item);
    assert_int_equal(s.n, 2);
    assert_ptr_equal(find(&s, 8), &fresh);
    assert_ptr_equal(find(&s, 15), &other);
    set_done(&s);
}
