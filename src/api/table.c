#include "api/table.h"

#include <string.h>

size_t api_element_size(const struct api_field *f) {
    size_t size;
    switch ((enum api_form)f->form) {
    case API_BOOL: size = sizeof(bool); break;
    case API_INT32: size = sizeof(int32_t); break;
    case API_INT64: size = sizeof(int64_t); break;
    case API_DOUBLE: size = sizeof(double); break;
    case API_INT_OR_STRING: size = sizeof(struct int_or_string); break;
    case API_RAW: size = sizeof(struct slice); break;
    case API_OBJECT: size = f->type->size; break;
    default: size = sizeof(const char *); break;
    }
    if (f->shape == API_MAP_OF_LISTS) return sizeof(struct str_list_pair);
    if (f->shape != API_MAP) return size;
    return API_PAIR_VALUE + (size + sizeof(char *) - 1) / sizeof(char *) * sizeof(char *);
}

void api_field_assign(void *to, const void *from, const struct api_field *f) {
    size_t size = f->shape != API_ONE        ? sizeof(struct api_list)
                  : (f->flags & API_POINTER) ? sizeof(void *)
                                             : api_element_size(f);
    memcpy(api_at(to, f), api_at_const(from, f), size);
}

static bool named(const struct api_field *f, struct slice name) {
    return f->name_n == name.n && memcmp(f->name, name.p, name.n) == 0;
}

const struct api_field *api_field_find(const struct api_type *t, struct slice name,
                                       unsigned *hint) {
    unsigned start = hint && *hint < t->n_fields ? *hint : 0;
    for (unsigned i = 0; i < t->n_fields; i++) {
        unsigned at = start + i < t->n_fields ? start + i : start + i - t->n_fields;
        if (!named(&t->fields[at], name)) continue;
        if (hint) *hint = at + 1;
        return &t->fields[at];
    }
    return NULL;
}

const char *str_map_get(const struct str_map *m, const char *key) {
    size_t low = 0, high = m->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = strcmp(m->v[mid].key, key);
        if (c == 0) return m->v[mid].value;
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

void str_map_set(struct arena *a, struct str_map *m, const char *key, const char *value) {
    size_t at = 0;
    while (at < m->n && strcmp(m->v[at].key, key) < 0) at++;
    if (at < m->n && strcmp(m->v[at].key, key) == 0) {
        m->v[at].value = value;
        return;
    }
    /* A map read from elsewhere may share its array: grow by a copy of our own. */
    struct str_pair *v = ARENA_ARRAY(a, struct str_pair, m->n + 1);
    if (at) memcpy(v, m->v, at * sizeof *v);
    v[at] = (struct str_pair){key, value};
    if (m->n > at) memcpy(v + at + 1, m->v + at, (m->n - at) * sizeof *v);
    m->v = v;
    m->n++;
}

void str_map_merge(struct arena *a, struct str_map *to, const struct str_map *from) {
    const struct str_map *x = to, *y = from;
    struct str_map all = {.v = ARENA_ARRAY(a, struct str_pair, x->n + y->n)};
    for (size_t i = 0, j = 0; i < x->n || j < y->n;) {
        int c = i == x->n ? 1 : j == y->n ? -1 : strcmp(x->v[i].key, y->v[j].key);
        all.v[all.n++] = c < 0 ? x->v[i] : y->v[j];
        i += c <= 0;
        j += c >= 0;
    }
    *to = all;
}

bool str_list_has(const struct str_list *l, const char *s) {
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->v[i], s)) return true;
    return false;
}

void *api_new(struct arena *a, const struct api_type *t) { return arena_alloc(a, t->size); }
