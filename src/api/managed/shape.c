/* Shapes of built-in kinds: read from the tables that schemac made. */
#include "api/managed/shape.h"

#include "api/custom/custom.h"
#include "api/registry.h"

enum { PART_TYPE, PART_FIELD, PART_ELEMENT }; /* impl: api_type, api_field, api_field */

static const struct shape_ops table_ops, deduced_ops;

struct shape shape_of_type(const struct api_type *t) {
    return (struct shape){&table_ops, t, PART_TYPE};
}

struct shape shape_of_kind(const struct api_kind *k) {
    return k->custom ? custom_shape(k) : shape_of_type(k->type);
}

struct shape shape_deduced(void) {
    return (struct shape){&deduced_ops, NULL, 0};
}

static enum shape_kind kind_of_one(const struct api_field *f) {
    if (f->form == API_RAW) return SHAPE_DEDUCED;
    if (f->form != API_OBJECT) return SHAPE_SCALAR;
    return f->type->flags & API_TYPE_ATOMIC ? SHAPE_ATOMIC : SHAPE_STRUCT;
}

static enum shape_kind table_kind(struct shape s) {
    if (s.part == PART_TYPE) return SHAPE_STRUCT;
    const struct api_field *f = s.impl;
    if (s.part == PART_ELEMENT) return f->shape == API_MAP_OF_LISTS ? SHAPE_ATOMIC : kind_of_one(f);
    if (f->flags & API_ATOMIC) return SHAPE_ATOMIC;
    switch ((enum api_shape)f->shape) {
    case API_LIST:
        return f->flags & API_LIST_MAP ? SHAPE_LIST_MAP
               : f->flags & API_SET    ? SHAPE_LIST_SET
                                       : SHAPE_ATOMIC;
    case API_MAP:
    case API_MAP_OF_LISTS: return SHAPE_MAP;
    case API_ONE: break;
    }
    return kind_of_one(f);
}

static bool table_field(struct shape s, struct slice name, unsigned *hint, struct shape *ret) {
    const struct api_field *f = s.impl;
    if (s.part == PART_FIELD && f->shape != API_ONE) {
        *ret = (struct shape){&table_ops, f, PART_ELEMENT};
        return true;
    }
    const struct api_type *t = s.part == PART_TYPE ? s.impl : f->type;
    const struct api_field *found = t ? api_field_find(t, name, hint) : NULL;
    if (found) *ret = (struct shape){&table_ops, found, PART_FIELD};
    return found;
}

static struct shape table_item(struct shape s) {
    return (struct shape){&table_ops, s.impl, PART_ELEMENT};
}

static const char *const *table_keys(struct shape s) {
    return ((const struct api_field *)s.impl)->list_keys;
}

static bool table_key_default(struct shape s, const char *key, struct buf *out) {
    const struct api_field *list = s.impl;
    const struct api_field *f = list->type ? api_field_find(list->type, slice_of(key), NULL) : NULL;
    if (!f || !f->default_text) return false;
    if (api_form_is_text((enum api_form)f->form))
        buf_json_str(out, slice_of(f->default_text));
    else
        buf_str(out, f->default_text);
    return true;
}

static const struct shape_ops table_ops = {.kind = table_kind,
                                           .field = table_field,
                                           .item = table_item,
                                           .keys = table_keys,
                                           .key_default = table_key_default};

static enum shape_kind deduced_kind(struct shape s) { return SHAPE_DEDUCED; }

static bool deduced_field(struct shape s, struct slice name, unsigned *hint, struct shape *ret) {
    *ret = s;
    return true;
}

static struct shape deduced_item(struct shape s) { return s; }

static const char *const *deduced_keys(struct shape s) {
    static const char *const none[] = {NULL};
    return none;
}

static bool deduced_key_default(struct shape s, const char *key, struct buf *out) { return false; }

static const struct shape_ops deduced_ops = {.kind = deduced_kind,
                                             .field = deduced_field,
                                             .item = deduced_item,
                                             .keys = deduced_keys,
                                             .key_default = deduced_key_default};
