#include "base/arena.h"

#include "base/own.h"
#include "base/test.h"

static uintptr_t fill(struct arena *a, uintptr_t *last) {
    uintptr_t first = 0;
    for (int i = 0; i < 3000; i++) {
        const char *text = arena_printf(a, "%d", i * i);
        if (!first) first = (uintptr_t)text;
        uint64_t *number = ARENA_NEW(a, uint64_t);
        assert_int_equal((uintptr_t)number % 16, 0);
        assert_int_equal(*number, 0);
        *number = UINT64_MAX;
        *last = (uintptr_t)number;
    }
    return first;
}

TEST(a_chunk_of_the_size_that_was_used_holds_the_same_again) {
    OWN(arena_free_p) struct arena *many = arena_new();
    uintptr_t last;
    fill(many, &last);
    size_t used = arena_used(many);
    OWN(arena_free_p) struct arena *one = arena_new_sized(used);
    uintptr_t first = fill(one, &last);
    assert_int_equal(arena_used(one), used);
    assert_int_equal(last + sizeof(uint64_t) - first, used);
}

TEST(text_takes_no_more_than_its_length) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const char *x = arena_str(a, "abc"), *y = arena_str(a, "d");
    assert_int_equal(y - x, 4);
    assert_int_equal(arena_used(a), 6);
}

TEST(memory_that_was_used_before_is_zeroed_or_written_over) {
    enum { BYTES = 600 };
    OWN(arena_free_p) struct arena *a = arena_new();
    static const char zeros[BYTES];
    memset(arena_alloc(a, BYTES), 'x', BYTES);
    arena_reset(a);
    assert_memory_equal(arena_alloc(a, BYTES), zeros, BYTES);
    arena_reset(a);
    memset(arena_alloc(a, BYTES), 'x', BYTES);
    arena_reset(a);
    assert_string_equal(arena_strn(a, SLICE("text")), "text");
    assert_string_equal(arena_printf(a, "%d", 42), "42");
    assert_string_equal(arena_strn(a, SLICE("")), "");
    assert_memory_equal(arena_copy(a, "four", 4), "four", 4);
    assert_memory_equal(arena_array(a, 10, sizeof(int)), zeros, 10 * sizeof(int));
}
