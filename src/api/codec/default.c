/* Constant defaults. A field that is absent (or zero, where absent and zero are one) gets the value
 * of its table entry; then everything present is walked. Idempotent. */
#include <stdlib.h>
#include <string.h>

#include "api/table.h"

static void default_number(struct arena *a, const struct api_field *f, void *place, size_t size) {
    int64_t v = f->form == API_BOOL ? strcmp(f->default_text, "true") == 0
                                    : strtoll(f->default_text, NULL, 10);
    if (f->flags & API_POINTER) {
        if (*(void **)place) return;
        *(void **)place = arena_alloc(a, size);
        place = *(void **)place;
    }
    if (f->form == API_BOOL)
        *(bool *)place = *(bool *)place || v;
    else if (f->form == API_INT32)
        *(int32_t *)place = *(int32_t *)place ? *(int32_t *)place : (int32_t)v;
    else
        *(int64_t *)place = *(int64_t *)place ? *(int64_t *)place : v;
}

static void default_int_or_string(const struct api_field *f, struct int_or_string *v) {
    char *end;
    if (v->kind != IOS_NONE) return;
    long long number = strtoll(f->default_text, &end, 10);
    if (*f->default_text && !*end)
        *v = (struct int_or_string){.kind = IOS_INT, .i = (int32_t)number};
    else
        *v = (struct int_or_string){.kind = IOS_STRING, .s = f->default_text};
}

static void default_field(struct arena *a, const struct api_field *f, void *place) {
    switch ((enum api_form)f->form) {
    case API_BOOL: default_number(a, f, place, sizeof(bool)); return;
    case API_INT32: default_number(a, f, place, sizeof(int32_t)); return;
    case API_INT64: default_number(a, f, place, sizeof(int64_t)); return;
    case API_INT_OR_STRING: default_int_or_string(f, place); return;
    case API_OBJECT:
        if ((f->flags & API_POINTER) && !*(void **)place) *(void **)place = api_new(a, f->type);
        return;
    case API_DOUBLE:
    case API_RAW: return;
    default: {
        const char **s = place;
        if (!*s || (!**s && !(f->flags & API_POINTER))) *s = f->default_text;
        return;
    }
    }
}

static void default_below(struct arena *a, const struct api_field *f, void *place) {
    size_t size = api_element_size(f);
    struct api_list *list = place;
    if (f->shape == API_ONE) {
        void *child = f->flags & API_POINTER ? *(void **)place : place;
        if (child) api_default(a, f->type, child);
        return;
    }
    for (size_t i = 0; i < list->n; i++)
        api_default(a, f->type,
                    (char *)list->v + i * size + (f->shape == API_MAP ? API_PAIR_VALUE : 0));
}

void api_default(struct arena *a, const struct api_type *t, void *obj) {
    if (!(t->flags & API_TYPE_DEFAULTS)) return;
    for (unsigned i = 0; i < t->n_fields; i++) {
        const struct api_field *f = &t->fields[i];
        if (f->default_text && f->shape == API_ONE) default_field(a, f, api_at(obj, f));
        if (f->type && (f->type->flags & API_TYPE_DEFAULTS)) default_below(a, f, api_at(obj, f));
    }
}
