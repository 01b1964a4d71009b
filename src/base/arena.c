#include "base/arena.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_MIN = 4096, CHUNK_MAX = 1 << 20, ALIGN = 16 };

struct chunk {
    struct chunk *next;
    size_t used;
    size_t size;
    char pad[8];
    char data[];
};
static_assert(sizeof(struct chunk) % ALIGN == 0, "chunk data must be aligned");

struct finally {
    struct finally *next;
    void (*fn)(void *user);
    void *user;
};

struct arena {
    struct chunk *head; /* newest first */
    size_t total;
    struct finally *finally; /* in the arena itself */
};

/* Most arenas live for one request and need no second chunk: a few first chunks are kept for the
 * next ones, since malloc() joins and splits blocks of that size each time. Not under a sanitizer,
 * which has to see what is used after it was freed. */
#if defined(__SANITIZE_ADDRESS__)
#define SPARES_MAX 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define SPARES_MAX 0
#endif
#endif
#ifndef SPARES_MAX
#define SPARES_MAX 8
#endif
static _Thread_local struct chunk *spare;
static _Thread_local int n_spare;

static struct chunk *chunk_new(size_t size) {
    struct chunk *c = NULL;
    if (size == CHUNK_MIN - sizeof *c && spare) {
        c = spare;
        spare = c->next;
        n_spare--;
    } else
        c = malloc(sizeof *c + size);
    if (!c) abort();
    c->next = NULL;
    c->used = 0;
    c->size = size;
    return c;
}

struct arena *arena_new(void) {
    struct arena *a = calloc(1, sizeof *a);
    if (!a) abort();
    return a;
}

struct arena *arena_new_sized(size_t size_bytes) {
    struct arena *a = arena_new();
    a->head = chunk_new(size_bytes);
    return a;
}

static void chunk_free(struct chunk *c) {
    if (c->size == CHUNK_MIN - sizeof *c && n_spare < SPARES_MAX) {
        c->next = spare;
        spare = c;
        n_spare++;
    } else
        free(c);
}

static void chunks_free(struct chunk *c) {
    while (c) {
        struct chunk *next = c->next;
        chunk_free(c);
        c = next;
    }
}

static void run_finally(struct arena *a) {
    while (a->finally) {
        struct finally *f = a->finally;
        a->finally = f->next;
        f->fn(f->user);
    }
}

void arena_free(struct arena *a) {
    if (!a) return;
    run_finally(a);
    chunks_free(a->head);
    free(a);
}

void arena_free_p(struct arena **a) { arena_free(*a); }

void arena_reset(struct arena *a) {
    run_finally(a);
    struct chunk *first = a->head;
    while (first && first->next) {
        struct chunk *next = first->next;
        chunk_free(first);
        first = next;
    }
    if (first) first->used = 0;
    a->head = first;
    a->total = 0;
}

void arena_finally(struct arena *a, void (*fn)(void *user), void *user) {
    struct finally *f = arena_alloc(a, sizeof *f);
    *f = (struct finally){a->finally, fn, user};
    a->finally = f;
}

size_t arena_used(const struct arena *a) { return a->total; }

/* total is the place of the next byte if there were one chunk only, so that a chunk of arena_used()
 * bytes holds the same contents again. */
static void *take(struct arena *a, size_t size, size_t align) {
    if (!size) size = 1;
    struct chunk *c = a->head;
    size_t at = c ? (c->used + align - 1) & ~(align - 1) : 0;
    if (!c || at > c->size || c->size - at < size) {
        size_t size_next =
            c ? (c->size * 2 < CHUNK_MAX ? c->size * 2 : CHUNK_MAX) : CHUNK_MIN - sizeof *c;
        if (size_next < size) size_next = size;
        struct chunk *fresh = chunk_new(size_next);
        fresh->next = c;
        a->head = c = fresh;
        at = 0;
    }
    c->used = at + size;
    a->total = ((a->total + align - 1) & ~(align - 1)) + size;
    return c->data + at;
}

void *arena_alloc(struct arena *a, size_t size) {
    return memset(take(a, size, ALIGN), 0, size ? size : 1);
}

char *arena_text(struct arena *a, size_t n) {
    size_t size;
    if (__builtin_add_overflow(n, (size_t)1, &size)) abort();
    char *p = take(a, size, 1);
    p[n] = 0;
    return p;
}

void *arena_array(struct arena *a, size_t count, size_t size) {
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) abort();
    return arena_alloc(a, total);
}

void *arena_copy(struct arena *a, const void *p, size_t n) {
    char *q = take(a, n, ALIGN);
    if (n)
        memcpy(q, p, n);
    else
        *q = 0;
    return q;
}

char *arena_str(struct arena *a, const char *s) { return s ? arena_strn(a, slice_of(s)) : NULL; }

char *arena_strn(struct arena *a, struct slice s) {
    char *p = arena_text(a, s.n);
    if (s.n) memcpy(p, s.p, s.n);
    return p;
}

char *arena_vprintf(struct arena *a, const char *fmt, va_list ap) {
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    assert(n >= 0);
    char *p = arena_text(a, (size_t)n);
    vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p;
}

char *arena_printf(struct arena *a, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    char *p = arena_vprintf(a, fmt, ap);
    va_end(ap);
    return p;
}

void *arena_grow(struct arena *a, void *v, size_t n, size_t size) {
    bool full = n == 0 || (n & (n - 1)) == 0;
    if (v && !full) return v;
    void *fresh = arena_array(a, n ? n * 2 : 1, size);
    if (n) memcpy(fresh, v, n * size);
    return fresh;
}
