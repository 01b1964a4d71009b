/* Bytes that several watchers share: counted, freed with the last. */
#include <assert.h>
#include <limits.h>
#include <stdlib.h>

#include "server/transport/request.h"

struct bytes *bytes_new(struct slice s) {
    size_t size;
    if (__builtin_add_overflow(sizeof(struct bytes), s.n, &size)) abort();
    struct bytes *b = malloc(size);
    if (!b) abort();
    b->refs = 1;
    b->n = s.n;
    if (s.n) memcpy(b->p, s.p, s.n);
    return b;
}

struct bytes *bytes_ref(struct bytes *b) {
    assert(b->refs > 0 && b->refs < UINT_MAX);
    b->refs++;
    return b;
}

void bytes_unref(struct bytes *b) {
    if (!b) return;
    assert(b->refs > 0);
    if (--b->refs == 0) free(b);
}
