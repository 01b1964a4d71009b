/* Equality and deep copy. Absent and empty lists, and absent and empty strings that are not
 * optional by pointer, are equal: they are written alike. */
#include <string.h>

#include "api/table.h"

static bool text_equal(const struct api_field *f, const char *x, const char *y) {
    if (f->flags & API_POINTER && (!x || !y)) return x == y;
    return str_eq(x, y);
}

static bool value_equal(const struct api_field *f, const void *x, const void *y) {
    switch ((enum api_form)f->form) {
    case API_BOOL: return *(const bool *)x == *(const bool *)y;
    case API_INT32: return *(const int32_t *)x == *(const int32_t *)y;
    case API_INT64: return *(const int64_t *)x == *(const int64_t *)y;
    case API_DOUBLE: return *(const double *)x == *(const double *)y;
    case API_INT_OR_STRING: {
        const struct int_or_string *p = x, *q = y;
        if (p->kind != q->kind) return false;
        return p->kind == IOS_STRING ? str_eq(p->s, q->s) : p->kind == IOS_NONE || p->i == q->i;
    }
    case API_RAW: return slice_eq(*(const struct slice *)x, *(const struct slice *)y);
    case API_OBJECT: return api_equal(f->type, x, y);
    default: return text_equal(f, *(const char *const *)x, *(const char *const *)y);
    }
}

static bool list_equal(const struct api_field *f, const struct api_list *x,
                       const struct api_list *y, size_t size) {
    if (x->n != y->n) return false;
    for (size_t i = 0; i < x->n; i++)
        if (!value_equal(f, (const char *)x->v + i * size, (const char *)y->v + i * size))
            return false;
    return true;
}

static bool map_equal(const struct api_field *f, const struct api_list *x,
                      const struct api_list *y) {
    size_t size = api_element_size(f);
    if (x->n != y->n) return false;
    for (size_t i = 0; i < x->n; i++) {
        const char *p = (const char *)x->v + i * size, *q = (const char *)y->v + i * size;
        if (strcmp(*(const char *const *)p, *(const char *const *)q) != 0) return false;
        p += API_PAIR_VALUE;
        q += API_PAIR_VALUE;
        if (f->shape == API_MAP ? !value_equal(f, p, q)
                                : !list_equal(f, (const struct api_list *)p,
                                              (const struct api_list *)q, sizeof(char *)))
            return false;
    }
    return true;
}

static bool is_pointer(const struct api_field *f) {
    return (f->flags & API_POINTER) &&
           (f->form == API_OBJECT || (f->form >= API_BOOL && f->form <= API_DOUBLE));
}

bool api_equal(const struct api_type *t, const void *x, const void *y) {
    for (unsigned i = 0; i < t->n_fields; i++) {
        const struct api_field *f = &t->fields[i];
        const void *p = api_at_const(x, f), *q = api_at_const(y, f);
        bool equal;
        if (f->shape == API_LIST)
            equal = list_equal(f, p, q, api_element_size(f));
        else if (f->shape != API_ONE)
            equal = map_equal(f, p, q);
        else if (is_pointer(f)) {
            p = *(void *const *)p;
            q = *(void *const *)q;
            equal = p && q ? value_equal(f, p, q) : p == q;
        } else
            equal = value_equal(f, p, q);
        if (!equal) return false;
    }
    return true;
}

/* ---- copy: the structs are copied as bytes, then everything they point to ---- */

static void own_object(struct arena *a, const struct api_type *t, void *obj);

static void own_value(struct arena *a, const struct api_field *f, void *place) {
    switch ((enum api_form)f->form) {
    case API_BOOL:
    case API_INT32:
    case API_INT64:
    case API_DOUBLE: return;
    case API_INT_OR_STRING: {
        struct int_or_string *v = place;
        v->s = arena_str(a, v->s);
        return;
    }
    case API_RAW: {
        struct slice *s = place;
        if (s->p) s->p = arena_strn(a, *s);
        return;
    }
    case API_OBJECT: own_object(a, f->type, place); return;
    default: {
        const char **s = place;
        *s = arena_str(a, *s);
        return;
    }
    }
}

static void own_list(struct arena *a, const struct api_field *f, struct api_list *list,
                     size_t size) {
    if (list->n == 0) {
        list->v = NULL;
        return;
    }
    /* Room up to a power of two, as ARENA_PUSH expects of every list. */
    size_t room = 1;
    while (room < list->n) room *= 2;
    list->v = memcpy(arena_array(a, room, size), list->v, list->n * size);
    for (size_t i = 0; i < list->n; i++) own_value(a, f, (char *)list->v + i * size);
}

static void own_map(struct arena *a, const struct api_field *f, struct api_list *map) {
    size_t size = api_element_size(f);
    if (map->n == 0) {
        map->v = NULL;
        return;
    }
    map->v = arena_copy(a, map->v, map->n * size);
    for (size_t i = 0; i < map->n; i++) {
        char *pair = (char *)map->v + i * size;
        *(const char **)pair = arena_str(a, *(const char **)pair);
        if (f->shape == API_MAP)
            own_value(a, f, pair + API_PAIR_VALUE);
        else
            own_list(a, f, (struct api_list *)(pair + API_PAIR_VALUE), sizeof(char *));
    }
}

static size_t pointed_size(const struct api_field *f) {
    return f->form == API_OBJECT  ? f->type->size
           : f->form == API_BOOL  ? sizeof(bool)
           : f->form == API_INT32 ? sizeof(int32_t)
                                  : sizeof(int64_t);
}

static void own_object(struct arena *a, const struct api_type *t, void *obj) {
    for (unsigned i = 0; i < t->n_fields; i++) {
        const struct api_field *f = &t->fields[i];
        void *place = api_at(obj, f);
        if (f->shape == API_LIST)
            own_list(a, f, place, api_element_size(f));
        else if (f->shape != API_ONE)
            own_map(a, f, place);
        else if (is_pointer(f)) {
            void **p = place;
            if (!*p) continue;
            *p = arena_copy(a, *p, pointed_size(f));
            own_value(a, f, *p);
        } else
            own_value(a, f, place);
    }
}

void *api_copy(struct arena *a, const struct api_type *t, const void *obj) {
    void *copy = arena_copy(a, obj, t->size);
    own_object(a, t, copy);
    return copy;
}
