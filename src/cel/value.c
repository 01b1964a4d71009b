/* Values: lists, maps, equality, order. */
#include <math.h>
#include <string.h>

#include "base/map.h"
#include "base/own.h"
#include "cel/internal.h"

enum { INDEX_FROM = 8 }; /* entries; smaller maps are searched one by one */

struct cel_value cel_list(struct arena *a, const struct cel_value *v, size_t n) {
    struct cel_list *l = ARENA_NEW(a, struct cel_list);
    l->a = a;
    l->v = (struct cel_value *)v; /* only CEL_RAW ones are ever replaced, by what they mean */
    l->n = n;
    return (struct cel_value){.kind = CEL_LIST, .list = l};
}

struct cel_value cel_optional(struct arena *a, const struct cel_value *content) {
    return (struct cel_value){.kind = CEL_OPTIONAL,
                              .optional = content ? arena_copy(a, content, sizeof *content) : NULL};
}

struct cel_value cel_computed(struct arena *a, cel_get_fn *get, void *user) {
    struct cel_map *m = ARENA_NEW(a, struct cel_map);
    m->a = a;
    m->get = get;
    m->user = user;
    return (struct cel_value){.kind = CEL_OBJECT, .map = m};
}

/* ---- maps ---- */

void cel_map_index(struct cel_map *m) {
    if (m->n < INDEX_FROM) return;
    size_t cap = 16;
    while (cap < 2 * m->n) cap *= 2;
    m->index = ARENA_ARRAY(m->a, uint32_t, cap);
    m->index_n = cap;
    for (size_t i = 0; i < m->n; i++) {
        if (m->v[i].key.kind != CEL_STRING) continue;
        size_t at = map_hash(cel_slice(m->v[i].key)) & (cap - 1);
        while (m->index[at]) at = (at + 1) & (cap - 1);
        m->index[at] = (uint32_t)i + 1;
    }
}

static bool find_text(const struct cel_map *m, struct slice key, size_t *ret) {
    if (!m->index) {
        for (size_t i = 0; i < m->n; i++) {
            if (m->v[i].key.kind != CEL_STRING || !slice_eq(cel_slice(m->v[i].key), key)) continue;
            *ret = i;
            return true;
        }
        return false;
    }
    for (size_t at = map_hash(key) & (m->index_n - 1); m->index[at];
         at = (at + 1) & (m->index_n - 1)) {
        size_t i = m->index[at] - 1;
        if (!slice_eq(cel_slice(m->v[i].key), key)) continue;
        *ret = i;
        return true;
    }
    return false;
}

bool cel_find(struct cel_run *run, struct cel_map *m, struct cel_value key, struct cel_value *ret) {
    size_t n = cel_map_size(m), i = 0;
    if (m->get) return key.kind == CEL_STRING && m->get(run, m->user, cel_slice(key), ret) > 0;
    if (key.kind == CEL_STRING) {
        if (!find_text(m, cel_slice(key), &i)) return false;
    } else {
        while (i < n && cel_compare(m->v[i].key, key) != 0) i++;
        if (i == n) return false;
    }
    *ret = cel_value_at(m, i);
    return true;
}

/* ---- order ---- */

static bool is_number(enum cel_kind kind) {
    return kind == CEL_INT || kind == CEL_UINT || kind == CEL_DOUBLE;
}

static int order(bool less, bool more) { return less ? -1 : more; }

static int compare_int_uint(int64_t x, uint64_t y) {
    return x < 0 ? -1 : order((uint64_t)x<y, (uint64_t)x> y);
}

/* Exact: a double beyond the range of the integer decides by itself. */
static int compare_double(double d, struct cel_value v) {
    if (isnan(d)) return 2;
    if (v.kind == CEL_DOUBLE) return isnan(v.d) ? 2 : order(d<v.d, d> v.d);
    if (v.kind == CEL_INT) {
        if (d < -0x1p63) return -1;
        if (d >= 0x1p63) return 1;
        int64_t whole = (int64_t)d;
        if (whole != v.i) return order(whole<v.i, whole> v.i);
    } else {
        if (d < 0) return -1;
        if (d >= 0x1p64) return 1;
        uint64_t whole = (uint64_t)d;
        if (whole != v.u) return order(whole<v.u, whole> v.u);
    }
    double part = d - trunc(d);
    return order(part<0, part> 0);
}

static int opposite(int c) { return c == 2 ? 2 : -c; }

static int compare_numbers(struct cel_value x, struct cel_value y) {
    if (x.kind == CEL_DOUBLE) return compare_double(x.d, y);
    if (y.kind == CEL_DOUBLE) return opposite(compare_double(y.d, x));
    if (x.kind == CEL_INT && y.kind == CEL_INT) return order(x.i<y.i, x.i> y.i);
    if (x.kind == CEL_UINT && y.kind == CEL_UINT) return order(x.u<y.u, x.u> y.u);
    return x.kind == CEL_INT ? compare_int_uint(x.i, y.u) : opposite(compare_int_uint(y.i, x.u));
}

static int compare_text(struct slice x, struct slice y) {
    size_t n = MIN_OF(x.n, y.n);
    int c = n ? memcmp(x.p, y.p, n) : 0;
    return c ? order(c<0, c> 0) : order(x.n<y.n, x.n> y.n);
}

int cel_compare(struct cel_value x, struct cel_value y) {
    if (is_number(x.kind) && is_number(y.kind)) return compare_numbers(x, y);
    if (x.kind != y.kind) return 2;
    switch (x.kind) {
    case CEL_BOOL: return order(x.b<y.b, x.b> y.b);
    case CEL_STRING:
    case CEL_BYTES: return compare_text(cel_slice(x), cel_slice(y));
    case CEL_TIMESTAMP:
    case CEL_DURATION: return x.i != y.i ? order(x.i<y.i, x.i> y.i) : order(x.ns<y.ns, x.ns> y.ns);
    default: return 2;
    }
}

/* ---- equality ---- */

static bool equal_deep(struct cel_run *run, struct cel_value x, struct cel_value y, unsigned depth);

/* The keys of a list of type map, or all of it. */
static bool same_element(struct cel_run *run, const struct cel_type *t, struct cel_value x,
                         struct cel_value y, unsigned depth) {
    if (t->list_type != CEL_LIST_MAP || x.kind != CEL_OBJECT || y.kind != CEL_OBJECT)
        return equal_deep(run, x, y, depth);
    for (const char *const *key = t->list_keys; key && *key; key++) {
        struct cel_value p, q;
        bool in_x = cel_find(run, x.map, cel_text(*key), &p);
        bool in_y = cel_find(run, y.map, cel_text(*key), &q);
        if (in_x != in_y || (in_x && !equal_deep(run, p, q, depth))) return false;
    }
    return equal_deep(run, x, y, depth);
}

static bool unordered(const struct cel_list *x) {
    return x->type && x->type->list_type != CEL_LIST_ATOMIC;
}

static bool equal_lists(struct cel_run *run, struct cel_list *x, struct cel_list *y,
                        unsigned depth) {
    size_t n = cel_list_size(x);
    if (n != cel_list_size(y) || !cel_charge(run, n)) return false;
    if (!unordered(x) || !unordered(y)) {
        for (size_t i = 0; i < n; i++)
            if (!equal_deep(run, cel_at(x, i), cel_at(y, i), depth)) return false;
        return true;
    }
    for (size_t i = 0; i < n; i++) {
        bool found = false;
        if (!cel_charge(run, n / 10 + 1)) return false;
        for (size_t k = 0; k < n && !found; k++)
            found = same_element(run, x->type, cel_at(x, i), cel_at(y, k), depth);
        if (!found) return false;
    }
    return true;
}

static bool equal_maps(struct cel_run *run, struct cel_map *x, struct cel_map *y, unsigned depth) {
    size_t n = cel_map_size(x);
    if (x == y) return true;
    if (x->get || y->get || n != cel_map_size(y) || !cel_charge(run, n)) return false;
    for (size_t i = 0; i < n; i++) {
        struct cel_value other;
        if (!cel_find(run, y, cel_key_at(x, i), &other) ||
            !equal_deep(run, cel_value_at(x, i), other, depth))
            return false;
    }
    return true;
}

static bool is_map(struct cel_value v) { return v.kind == CEL_MAP || v.kind == CEL_OBJECT; }

static bool equal_deep(struct cel_run *run, struct cel_value x, struct cel_value y,
                       unsigned depth) {
    if (depth > 200) {
        run->exhausted = true;
        return false;
    }
    if (x.kind == CEL_LIST && y.kind == CEL_LIST)
        return equal_lists(run, x.list, y.list, depth + 1);
    if (is_map(x) && is_map(y)) return equal_maps(run, x.map, y.map, depth + 1);
    if (is_number(x.kind) && is_number(y.kind)) return compare_numbers(x, y) == 0;
    if (x.kind != y.kind) return false;
    switch (x.kind) {
    case CEL_NULL: return true;
    case CEL_TYPE: return x.type->kind == y.type->kind;
    case CEL_OPTIONAL:
        if (!x.optional || !y.optional) return !x.optional && !y.optional;
        return equal_deep(run, *x.optional, *y.optional, depth + 1);
    case CEL_STRING:
    case CEL_BYTES: return x.n == y.n && cel_charge(run, x.n / 10) && cel_compare(x, y) == 0;
    case CEL_BOOL:
    case CEL_TIMESTAMP:
    case CEL_DURATION: return cel_compare(x, y) == 0;
    default: return cel_opaque_equal(x, y);
    }
}

bool cel_equal(struct cel_run *run, struct cel_value x, struct cel_value y) {
    return equal_deep(run, x, y, 0);
}

/* ---- kinds ---- */

bool cel_fits(struct cel_value v, const struct cel_type *t) {
    if (t->kind == CEL_DYN || t->kind == CEL_PARAM) return true;
    if (t->kind == CEL_MAP) return is_map(v);
    if (t->kind != v.kind) return false;
    /* Lists of numbers and texts have functions of their own; an empty list fits all. */
    if (v.kind != CEL_LIST || t->elem->kind == CEL_DYN || t->elem->kind == CEL_PARAM) return true;
    if (cel_list_size(v.list) == 0) return true;
    return cel_fits(cel_at(v.list, 0), t->elem);
}

size_t cel_size(struct cel_value v) {
    switch (v.kind) {
    case CEL_STRING:
    case CEL_BYTES: return v.n;
    case CEL_LIST: return cel_list_size(v.list) * 10;
    case CEL_MAP:
    case CEL_OBJECT: return v.map->get ? 10 : cel_map_size(v.map) * 10;
    default: return 1;
    }
}
