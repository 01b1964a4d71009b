#include "api/managed/reconcile.h"

#include "api/managed/walk.h"

static bool is_leaf(const struct fields *f) { return f->member && !f->n; }

static bool has_parts(enum shape_kind kind) {
    return kind == SHAPE_STRUCT || kind == SHAPE_MAP || kind == SHAPE_LIST_SET ||
           kind == SHAPE_LIST_MAP;
}

/* The shape of a part of the set; false when the schema does not know it. */
static bool part_shape(struct shape s, enum shape_kind kind, const struct fields *part,
                       struct shape *ret) {
    if (kind == SHAPE_LIST_MAP && part->type == 'k') {
        *ret = shape_item(s);
        return true;
    }
    if ((kind != SHAPE_STRUCT && kind != SHAPE_MAP) || part->type != 'f') return false;
    return shape_field(s, part->name, NULL, ret);
}

static bool is_metadata(const struct fields *parent, const struct fields *part) {
    return !parent->type && slice_is(part->name, "metadata");
}

/* Whether the set was written under another schema; cheap, since it is asked of each set at each
 * write. */
static bool differs(struct shape s, const struct fields *f) {
    enum shape_kind kind = shape_kind(s);
    struct shape below;
    if (kind == SHAPE_ATOMIC) return f->n > 0;
    if (!has_parts(kind)) return false;
    if (is_leaf(f)) return true;
    for (size_t i = 0; i < f->n; i++)
        if (!is_metadata(f, &f->v[i]) && part_shape(s, kind, &f->v[i], &below) &&
            differs(below, &f->v[i]))
            return true;
    return false;
}

/* live: the same place in the set of all the object has; NULL: it has nothing there. */
static struct fields fit(struct arena *a, struct shape s, const struct fields *f,
                         const struct fields *live) {
    enum shape_kind kind = shape_kind(s);
    struct fields out = {.name = f->name, .type = f->type, .member = f->member};
    struct shape below;
    if (kind == SHAPE_ATOMIC) {
        out.member = true;
        return out;
    }
    if (!has_parts(kind)) return *f;
    if (is_leaf(f)) return live ? fields_union(a, f, live) : *f;
    for (size_t i = 0; i < f->n; i++) {
        const struct fields *part = &f->v[i];
        bool known = !is_metadata(f, part) && part_shape(s, kind, part, &below);
        const struct fields *there = live ? fields_find(live, part->type, part->name) : NULL;
        *ARENA_PUSH(a, &out) = known ? fit(a, below, part, there) : *part;
    }
    return out;
}

bool fields_reconcile(struct reconcile *r, const struct fields *f, struct fields *ret) {
    if (!differs(r->shape, f)) {
        *ret = *f;
        return false;
    }
    if (!r->walked) fields_of_object(r->a, r->shape, r->live, &r->all);
    r->walked = true;
    struct fields fitted = fit(r->a, r->shape, f, &r->all);
    bool other = !fields_equal(f, &fitted);
    *ret = fitted;
    return other;
}
