/* Shapes of custom resources: read from their structural schema. */
#include "api/custom/custom.h"

enum { PART_ROOT, PART_SCHEMA, PART_SCALAR }; /* impl: custom_version, schema, nothing */

static const struct shape_ops custom_ops;

struct shape custom_shape(const struct api_kind *k) {
    return (struct shape){&custom_ops, k->custom, PART_ROOT};
}

static struct shape of(const struct schema *s) {
    return s ? (struct shape){&custom_ops, s, PART_SCHEMA} : shape_deduced();
}

static enum shape_kind schema_kind(const struct schema *s) {
    if (s->flags & SCHEMA_ATOMIC) return SHAPE_ATOMIC;
    switch (s->type) {
    case SCHEMA_OBJECT:
        if (s->additional || s->flags & SCHEMA_ADDITIONAL_ANY) return SHAPE_MAP;
        return s->properties.n ? SHAPE_STRUCT : SHAPE_DEDUCED;
    case SCHEMA_ARRAY:
        if (s->flags & SCHEMA_SET) return SHAPE_LIST_SET;
        return s->flags & SCHEMA_LIST_MAP && s->items ? SHAPE_LIST_MAP : SHAPE_ATOMIC;
    case SCHEMA_ANY:
        if (s->flags & SCHEMA_INT_OR_STRING) return SHAPE_SCALAR;
        return s->properties.n ? SHAPE_STRUCT : SHAPE_DEDUCED;
    default: return SHAPE_SCALAR;
    }
}

static enum shape_kind kind(struct shape s) {
    if (s.part == PART_ROOT) return SHAPE_STRUCT;
    return s.part == PART_SCALAR ? SHAPE_SCALAR : schema_kind(s.impl);
}

static bool schema_field(const struct schema *s, struct slice name, struct shape *ret) {
    const struct schema *child = schema_member(s, name);
    bool open = s->flags & (SCHEMA_PRESERVE | SCHEMA_ADDITIONAL_ANY | SCHEMA_EMBEDDED);
    if (!child && !open) return false;
    *ret = of(child);
    return true;
}

static bool field(struct shape s, struct slice name, unsigned *hint, struct shape *ret) {
    (void)hint;
    if (s.part != PART_ROOT) return schema_field(s.impl, name, ret);
    const struct custom_version *v = s.impl;
    if (slice_is(name, "metadata")) {
        *ret = shape_of_type(&meta_v1_object_meta_type);
        return true;
    }
    if (slice_is(name, "apiVersion") || slice_is(name, "kind")) {
        *ret = (struct shape){&custom_ops, NULL, PART_SCALAR};
        return true;
    }
    if (v->schema) return schema_field(v->schema, name, ret);
    *ret = shape_deduced();
    return true;
}

static struct shape item(struct shape s) { return of(((const struct schema *)s.impl)->items); }

static const char *const *keys(struct shape s) {
    return ((const struct schema *)s.impl)->sorted_keys;
}

static bool key_default(struct shape s, const char *key, struct buf *out) {
    const struct schema *p = schema_property(((const struct schema *)s.impl)->items, slice_of(key));
    if (!p || !p->default_) return false;
    value_encode(out, p->default_);
    return true;
}

static const struct shape_ops custom_ops = {kind, field, item, keys, key_default};
