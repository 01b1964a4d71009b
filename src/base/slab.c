#include "base/slab.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(SANITIZED)
#define SANITIZED 1
#endif

enum { CHUNK_BYTES = 64 * 1024 };

/* At the beginning of CHUNK_BYTES that are aligned to their size. */
struct slab_chunk {
    struct slab_chunk *next, **prev; /* among those with room; prev NULL: full */
    void *free;                      /* each holds the address of the next one */
    uint32_t n, fresh;               /* in use; where what was never used begins */
    uint32_t of;                     /* class */
    uint32_t pad;
    _Alignas(16) char data[];
};

static const uint16_t sizes[SLAB_CLASSES] = {32,  64,  96,  128, 160, 192, 224, 256,
                                             320, 384, 448, 512, 640, 768, 896, SLAB_MAX_BYTES};

static unsigned class_of(size_t size) {
    if (size <= sizes[7]) return size ? (unsigned)(size - 1) / sizes[0] : 0;
    unsigned c = 8;
    while (sizes[c] < size) c++;
    return c;
}

static void link_in(struct slab *s, struct slab_chunk *c) {
    c->next = s->with_room[c->of];
    c->prev = &s->with_room[c->of];
    if (c->next) c->next->prev = &c->next;
    s->with_room[c->of] = c;
}

static void take_out(struct slab_chunk *c) {
    *c->prev = c->next;
    if (c->next) c->next->prev = c->prev;
    c->prev = NULL;
}

static struct slab_chunk *chunk_new(struct slab *s, unsigned of) {
    char *p =
        mmap(NULL, 2 * CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) abort();
    size_t before = -(uintptr_t)p & (CHUNK_BYTES - 1);
    if (before) munmap(p, before);
    struct slab_chunk *c = (struct slab_chunk *)(void *)(p + before);
    munmap((char *)c + CHUNK_BYTES, CHUNK_BYTES - before);
    c->of = of;
    c->fresh = offsetof(struct slab_chunk, data);
    link_in(s, c);
    s->chunks++;
    return c;
}

static bool has_room(const struct slab_chunk *c) {
    return c->free || c->fresh + sizes[c->of] <= CHUNK_BYTES;
}

#ifdef SANITIZED
static bool is_large(size_t size) {
    (void)size;
    return true;
}
#else
static bool is_large(size_t size) { return size > SLAB_MAX_BYTES; }
#endif

void *slab_alloc(struct slab *s, size_t size) {
    if (is_large(size)) {
        void *p = malloc(size);
        if (!p) abort();
        return p;
    }
    unsigned of = class_of(size);
    struct slab_chunk *c = s->with_room[of] ? s->with_room[of] : chunk_new(s, of);
    void *p = c->free;
    if (p) {
        c->free = *(void **)p;
    } else {
        p = (char *)c + c->fresh;
        c->fresh += sizes[of];
    }
    c->n++;
    s->used_bytes += sizes[of];
    if (!has_room(c)) take_out(c);
    return p;
}

void slab_free(struct slab *s, void *p, size_t size) {
    if (!p || is_large(size)) {
        free(p);
        return;
    }
    struct slab_chunk *c = (struct slab_chunk *)((uintptr_t)p & ~(uintptr_t)(CHUNK_BYTES - 1));
    assert(c->n > 0 && c->of == class_of(size));
    *(void **)p = c->free;
    c->free = p;
    c->n--;
    s->used_bytes -= sizes[c->of];
    if (!c->prev) link_in(s, c);
}

void slab_trim(struct slab *s) {
    for (unsigned i = 0; i < SLAB_CLASSES; i++) {
        for (struct slab_chunk *c = s->with_room[i], *next; c; c = next) {
            next = c->next;
            if (c->n) continue;
            take_out(c);
            munmap(c, CHUNK_BYTES);
            s->chunks--;
        }
    }
}
