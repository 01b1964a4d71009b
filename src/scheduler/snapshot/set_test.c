#include "scheduler/snapshot/set.h"

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
    return set_find(s, (uint64_t)value % HASHES, same, &value);
}

TEST(set_finds_what_is_in_it_and_nothing_else) {
    static struct number all[NUMBERS];
    struct set s = {0};
    assert_null(find(&s, 1));
    for (int i = 0; i < NUMBERS; i++) {
        all[i] = (struct number){{(uint64_t)i % HASHES}, i};
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
