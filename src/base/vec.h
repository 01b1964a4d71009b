/* Vectors by macro: any struct { T *v; size_t n, cap; }. Owned on the heap; running out of memory
 * aborts. */
#pragma once

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define VEC(T)                                                                                     \
    struct {                                                                                       \
        T *v;                                                                                      \
        size_t n, cap;                                                                             \
    }

void *vec_grow(void *v, size_t n, size_t *cap, size_t size);

/* Appends a copy of x. */
#define vec_push(vec, ...)                                                                         \
    do {                                                                                           \
        (vec)->v = vec_grow((vec)->v, (vec)->n, &(vec)->cap, sizeof *(vec)->v);                    \
        (vec)->v[(vec)->n++] = (__VA_ARGS__);                                                      \
    } while (0)

/* Removes element i, keeping the order. */
#define vec_remove(vec, i)                                                                         \
    do {                                                                                           \
        size_t vec_i_ = (i);                                                                       \
        memmove((vec)->v + vec_i_, (vec)->v + vec_i_ + 1,                                          \
                ((vec)->n - vec_i_ - 1) * sizeof *(vec)->v);                                       \
        (vec)->n--;                                                                                \
    } while (0)

/* Removes element i in constant time; the last element takes its place. */
#define vec_swap_remove(vec, i)                                                                    \
    do {                                                                                           \
        (vec)->v[(i)] = (vec)->v[(vec)->n - 1];                                                    \
        (vec)->n--;                                                                                \
    } while (0)

#define vec_done(vec)                                                                              \
    do {                                                                                           \
        free((vec)->v);                                                                            \
        (vec)->v = NULL;                                                                           \
        (vec)->n = (vec)->cap = 0;                                                                 \
    } while (0)
