/* Types of built-in kinds, from their tables. */
#include "api/table.h"
#include "cel/internal.h"

static const struct cel_type *field_of(struct arena *a, const struct cel_type *t,
                                       struct slice name);

static const struct cel_type *form_type(struct arena *a, const struct api_field *f) {
    switch ((enum api_form)f->form) {
    case API_BYTES: return cel_type(CEL_BYTES);
    case API_TIME:
    case API_MICROTIME: return cel_type(CEL_TIMESTAMP);
    case API_BOOL: return cel_type(CEL_BOOL);
    case API_INT32:
    case API_INT64: return cel_type(CEL_INT);
    case API_DOUBLE: return cel_type(CEL_DOUBLE);
    case API_INT_OR_STRING:
    case API_RAW: return cel_type(CEL_DYN);
    case API_QUANTITY: return cel_type(CEL_DYN); /* numbers are accepted too */
    case API_OBJECT: return cel_api_type(a, f->type);
    default: return cel_type(CEL_STRING);
    }
}

static const struct cel_type *field_of(struct arena *a, const struct cel_type *t,
                                       struct slice name) {
    const struct api_field *f = api_field_find(t->source, name, NULL);
    if (!f) return NULL;
    const struct cel_type *one = form_type(a, f);
    switch ((enum api_shape)f->shape) {
    case API_ONE: return one;
    case API_LIST: return cel_list_type(a, one);
    case API_MAP: return cel_map_type(a, cel_type(CEL_STRING), one);
    case API_MAP_OF_LISTS: return cel_map_type(a, cel_type(CEL_STRING), cel_list_type(a, one));
    }
    return NULL;
}

const struct cel_type *cel_api_type(struct arena *a, const struct api_type *t) {
    return cel_object_type(a, t->schema_name, field_of, t);
}
