#include "base/slab.h"

#include <stdint.h>
#include <string.h>

#include "base/test.h"

enum { THINGS = 5000 };

static size_t size_of(unsigned i) { return i * 37 % (SLAB_MAX_BYTES + 200) + 1; }

static void fill(void **p, struct slab *s, unsigned i) {
    p[i] = slab_alloc(s, size_of(i));
    assert_int_equal((uintptr_t)p[i] % 16, 0);
    memset(p[i], (int)(i & 0xff), size_of(i));
}

static void check_and_free(void **p, struct slab *s, unsigned i) {
    const unsigned char *bytes = p[i];
    for (size_t at = 0; at < size_of(i); at++) assert_int_equal(bytes[at], i & 0xff);
    slab_free(s, p[i], size_of(i));
    p[i] = NULL;
}

TEST(what_slabs_hand_out_is_nobody_elses) {
    struct slab s = {0};
    static void *p[THINGS];
    for (unsigned i = 0; i < THINGS; i++) fill(p, &s, i);
    size_t full = s.chunks;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = round; i < THINGS; i += 3) check_and_free(p, &s, i);
        for (unsigned i = round; i < THINGS; i += 3) fill(p, &s, i);
    }
    assert_int_equal(s.chunks, full); /* what was freed was used again */
    for (unsigned i = 0; i < THINGS; i++) check_and_free(p, &s, i * 7 % THINGS);
    slab_trim(&s);
    assert_int_equal(s.chunks, 0);
    assert_int_equal(s.used_bytes, 0);
    fill(p, &s, 1);
    check_and_free(p, &s, 1);
    slab_free(&s, NULL, 0);
    slab_trim(&s);
    assert_int_equal(s.chunks, 0);
}
