#include "base/vec.h"

void *vec_grow(void *v, size_t n, size_t *cap, size_t size) {
    if (n < *cap) return v;
    size_t want = *cap ? *cap * 2 : 8, bytes;
    if (__builtin_mul_overflow(want, size, &bytes)) abort();
    void *p = realloc(v, bytes);
    if (!p) abort();
    *cap = want;
    return p;
}
