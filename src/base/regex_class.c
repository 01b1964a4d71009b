/* Sets of characters of regular expressions. */
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/regex_program.h"

void regex_class_add(struct arena *a, struct regex_class *c, uint32_t lo, uint32_t hi) {
    *ARENA_PUSH(a, c) = (struct regex_range){lo, hi};
}

static int compare(const void *x, const void *y) {
    const struct regex_range *p = x, *q = y;
    return p->lo < q->lo ? -1 : p->lo > q->lo;
}

static void merge(struct regex_class *c) {
    size_t n = 0;
    if (c->n) qsort(c->v, c->n, sizeof *c->v, compare);
    for (size_t i = 0; i < c->n; i++) {
        if (n && c->v[i].lo <= c->v[n - 1].hi + 1)
            c->v[n - 1].hi = MAX_OF(c->v[n - 1].hi, c->v[i].hi);
        else
            c->v[n++] = c->v[i];
    }
    c->n = n;
}

/* The same letters of the other case: those of ASCII, Latin-1, Greek and Cyrillic whose distance is
 * fixed. */
static void fold(struct arena *a, struct regex_class *c) {
    static const struct {
        uint32_t lo, hi, distance;
    } pairs[] = {{'A', 'Z', 32},     {0xc0, 0xd6, 32},   {0xd8, 0xde, 32},    {0x391, 0x3a1, 32},
                 {0x3a3, 0x3ab, 32}, {0x410, 0x42f, 32}, {0x400, 0x40f, 0x50}};
    for (size_t i = 0, n = c->n; i < n; i++) {
        for (size_t k = 0; k < ARRAY_LEN(pairs); k++) {
            uint32_t d = pairs[k].distance;
            uint32_t lo = MAX_OF(c->v[i].lo, pairs[k].lo), hi = MIN_OF(c->v[i].hi, pairs[k].hi);
            if (lo <= hi) regex_class_add(a, c, lo + d, hi + d);
            lo = MAX_OF(c->v[i].lo, pairs[k].lo + d);
            hi = MIN_OF(c->v[i].hi, pairs[k].hi + d);
            if (lo <= hi) regex_class_add(a, c, lo - d, hi - d);
        }
    }
}

static void invert(struct arena *a, struct regex_class *c) {
    struct regex_class rest = {0};
    uint32_t from = 0;
    for (size_t i = 0; i < c->n; i++) {
        if (c->v[i].lo > from) regex_class_add(a, &rest, from, c->v[i].lo - 1);
        from = c->v[i].hi + 1;
    }
    if (from <= REGEX_RUNE_MAX) regex_class_add(a, &rest, from, REGEX_RUNE_MAX);
    *c = rest;
}

void regex_class_finish(struct arena *a, struct regex_class *c, bool fold_case, bool negate) {
    if (fold_case) fold(a, c);
    merge(c);
    if (negate) invert(a, c);
}

bool regex_class_has(const struct regex_class *c, uint32_t rune) {
    size_t lo = 0, hi = c->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (rune > c->v[mid].hi)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < c->n && rune >= c->v[lo].lo;
}

/* Ranges as text: pairs of first and last character, all ASCII. */
static void add_pairs(struct arena *a, struct regex_class *c, const char *pairs, size_t n,
                      bool negate) {
    struct regex_class named = {0};
    for (size_t i = 0; i + 1 < n; i += 2)
        regex_class_add(a, &named, (unsigned char)pairs[i], (unsigned char)pairs[i + 1]);
    regex_class_finish(a, &named, false, negate);
    for (size_t i = 0; i < named.n; i++) regex_class_add(a, c, named.v[i].lo, named.v[i].hi);
}

struct named_class {
    const char *name;
    struct slice pairs;
};

bool regex_class_perl(struct arena *a, struct regex_class *c, char letter) {
    static const struct named_class names[] = {
        {"d", {"09", 2}}, {"w", {"09AZaz__", 8}}, {"s", {"\t\n\f\r  ", 6}}};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char lower = names[i].name[0];
        if (letter != lower && letter != lower - 32) continue;
        add_pairs(a, c, names[i].pairs.p, names[i].pairs.n, letter != lower);
        return true;
    }
    return false;
}

bool regex_class_posix(struct arena *a, struct regex_class *c, struct slice name, bool negate) {
    static const struct named_class names[] = {{"alnum", {"09AZaz", 6}},
                                               {"alpha", {"AZaz", 4}},
                                               {"ascii", {"\0\x7f", 2}},
                                               {"blank", {"\t\t  ", 4}},
                                               {"cntrl", {"\0\x1f\x7f\x7f", 4}},
                                               {"digit", {"09", 2}},
                                               {"graph", {"!~", 2}},
                                               {"lower", {"az", 2}},
                                               {"print", {" ~", 2}},
                                               {"punct", {"!/:@[`{~", 8}},
                                               {"space", {"\t\r  ", 4}},
                                               {"upper", {"AZ", 2}},
                                               {"word", {"09AZaz__", 8}},
                                               {"xdigit", {"09AFaf", 6}}};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (!slice_is(name, names[i].name)) continue;
        add_pairs(a, c, names[i].pairs.p, names[i].pairs.n, negate);
        return true;
    }
    return false;
}
