#include "api/managed/parts.h"

#include <stdlib.h>

enum { FEW = 16 }; /* parts that are searched one by one */

struct part *parts_add(struct arena *a, struct parts *p, struct slice name) {
    struct part *one = ARENA_PUSH(a, p);
    one->name = name;
    return one;
}

static int order(const void *x, const void *y) {
    const struct part *one = *(struct part *const *)x, *two = *(struct part *const *)y;
    size_t n = one->name.n < two->name.n ? one->name.n : two->name.n;
    int c = n ? memcmp(one->name.p, two->name.p, n) : 0;
    if (c || one->name.n != two->name.n) return c ? c : one->name.n < two->name.n ? -1 : 1;
    return 0;
}

/* Equal names: the one that was added first comes first. */
static int order_added(const void *x, const void *y) {
    int c = order(x, y);
    const struct part *one = *(struct part *const *)x, *two = *(struct part *const *)y;
    return c ? c : (one > two) - (one < two);
}

static void sort(struct arena *a, struct parts *p) {
    p->sorted = ARENA_ARRAY(a, struct part *, p->n);
    for (size_t i = 0; i < p->n; i++) p->sorted[i] = &p->v[i];
    qsort(p->sorted, p->n, sizeof *p->sorted, order_added);
    size_t kept = 0;
    for (size_t i = 0; i < p->n; i++)
        if (!kept || order(&p->sorted[kept - 1], &p->sorted[i]) != 0)
            p->sorted[kept++] = p->sorted[i];
    p->n_sorted = kept;
}

static struct part *search(struct arena *a, struct parts *p, struct slice name) {
    if (!p->sorted) sort(a, p);
    struct part wanted = {.name = name}, *key = &wanted;
    struct part **hit = bsearch(&key, p->sorted, p->n_sorted, sizeof *p->sorted, order);
    return hit ? *hit : NULL;
}

struct part *parts_find(struct arena *a, struct parts *p, struct slice name) {
    struct part *hit = NULL;
    if (p->hint < p->n && slice_eq(p->v[p->hint].name, name))
        hit = &p->v[p->hint];
    else if (p->n > FEW)
        hit = search(a, p, name);
    else
        for (size_t i = 0; i < p->n && !hit; i++)
            if (slice_eq(p->v[i].name, name)) hit = &p->v[i];
    if (hit) p->hint = (size_t)(hit - p->v) + 1;
    return hit;
}
