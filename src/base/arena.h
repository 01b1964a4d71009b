/*
 * Arena: memory that is freed all at once, one per request, reconcile or message. Chunks double
 * from 4 KiB up to 1 MiB. Running out of memory aborts. All but arena_text() is zeroed.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

#include "base/slice.h"

struct arena;

struct arena *arena_new(void);
/* The first chunk holds exactly that many bytes: for contents that are kept long and whose size is
 * known. */
struct arena *arena_new_sized(size_t size_bytes);
void arena_free(struct arena *a);         /* NULL is allowed */
void arena_free_p(struct arena **a);      /* for OWN(arena_free_p) */
void arena_reset(struct arena *a);        /* frees all that was allocated, keeps the first chunk */
size_t arena_used(const struct arena *a); /* bytes handed out, and between them */

/* fn(user) is called when the arena is freed or reset, the last one first: for what the arena's
 * contents hold on to. */
void arena_finally(struct arena *a, void (*fn)(void *user), void *user);

void *arena_alloc(struct arena *a, size_t size);               /* zeroed, aligned to 16 */
void *arena_array(struct arena *a, size_t count, size_t size); /* aborts on overflow */
void *arena_copy(struct arena *a, const void *p, size_t n);
char *arena_text(struct arena *a, size_t n);     /* not zeroed, to be written over; then a NUL */
char *arena_str(struct arena *a, const char *s); /* NULL gives NULL */
char *arena_strn(struct arena *a, struct slice s);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
char *arena_vprintf(struct arena *a, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));

#define ARENA_NEW(a, type) ((type *)arena_alloc((a), sizeof(type)))
#define ARENA_ARRAY(a, type, n) ((type *)arena_array((a), (n), sizeof(type)))

/* Appends to a { T *v; size_t n; } list that lives in an arena; capacity grows in powers of two.
 * Evaluates to a pointer to the new, zeroed element. */
#define ARENA_PUSH(a, list)                                                                        \
    ((list)->v = arena_grow((a), (list)->v, (list)->n, sizeof *(list)->v), &(list)->v[(list)->n++])
void *arena_grow(struct arena *a, void *v, size_t n, size_t size);
