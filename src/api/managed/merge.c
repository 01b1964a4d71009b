#include "api/managed/merge.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/managed/parts.h"
#include "api/managed/walk.h"
#include "base/own.h"
#include "proto/json.h"

static void canonical_real(struct buf *b, double v) {
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v) break;
    }
    buf_str(b, text);
}

void json_canonical(struct buf *b, const json_t *v) {
    size_t i;
    const char *key;
    json_t *child;
    char separator;
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        separator = '{';
        json_object_foreach((json_t *)v, key, child) {
            buf_char(b, separator);
            buf_json_str(b, slice_of(key));
            buf_char(b, ':');
            json_canonical(b, child);
            separator = ',';
        }
        buf_str(b, separator == '{' ? "{}" : "}");
        return;
    case JSON_ARRAY:
        buf_char(b, '[');
        json_array_foreach((json_t *)v, i, child) {
            buf_str(b, i ? "," : "");
            json_canonical(b, child);
        }
        buf_char(b, ']');
        return;
    case JSON_STRING:
        buf_json_str(b, slice_from(json_string_value(v), json_string_length(v)));
        return;
    case JSON_INTEGER: buf_i64(b, json_integer_value(v)); return;
    case JSON_REAL: canonical_real(b, json_real_value(v)); return;
    case JSON_TRUE: buf_str(b, "true"); return;
    case JSON_FALSE: buf_str(b, "false"); return;
    case JSON_NULL: buf_str(b, "null"); return;
    }
}

/* As in k: or v:; empty when the item has no key. */
static struct slice item_name(struct arena *a, struct shape list, const json_t *item) {
    OWN(buf_done) struct buf b = {0};
    json_canonical(&b, item);
    struct slice name = buf_view(&b);
    if (shape_kind(list) == SHAPE_LIST_MAP && !fields_item_key(a, list, name, &name))
        return SLICE("");
    return slice_from(arena_copy(a, name.p, name.n), name.n);
}

static struct parts items(struct arena *a, struct shape list, const json_t *array) {
    struct parts parts = {0};
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)array, i, item) {
        struct part *part = parts_add(a, &parts, item_name(a, list, item));
        part->item = item;
    }
    return parts;
}

static json_t *share(const json_t *v) { return json_incref((json_t *)v); }

static json_t *merge_items(struct arena *a, struct shape list, const struct part *live,
                           const struct part *config) {
    if (!live || shape_kind(list) == SHAPE_LIST_SET) return share(config->item);
    return fields_merge(a, shape_item(list), live->item, config->item);
}

/* The configuration's order rules for its items; what only the live list has stays before the
 * same neighbours. */
static json_t *merge_lists(struct arena *a, struct shape list, const json_t *live,
                           const json_t *config) {
    struct parts left = items(a, list, live), right = items(a, list, config);
    json_t *out = json_array();
    size_t li = 0, ri = 0;
    while (li < left.n || ri < right.n) {
        if (li < left.n) {
            struct part *same = left.v[li].name.n ? parts_find(a, &right, left.v[li].name) : NULL;
            if (!same || same->seen) {
                if (!same) json_array_append(out, left.v[li].item);
                li++;
                continue;
            }
        }
        struct part *mine = &right.v[ri++];
        json_array_append_new(out, merge_items(a, list, parts_find(a, &left, mine->name), mine));
        mine->seen = true;
    }
    return out;
}

static json_t *merge_objects(struct arena *a, struct shape shape, const json_t *live,
                             const json_t *config) {
    json_t *out = json_copy((json_t *)live), *value;
    const char *key;
    unsigned hint = 0;
    json_object_foreach((json_t *)config, key, value) {
        struct shape below;
        const json_t *was = json_object_get(live, key);
        if (was && shape_field(shape, slice_of(key), &hint, &below))
            json_object_set_new(out, key, fields_merge(a, below, was, value));
        else
            json_object_set(out, key, value);
    }
    return out;
}

json_t *fields_merge(struct arena *a, struct shape shape, const json_t *live,
                     const json_t *config) {
    enum shape_kind kind = shape_kind(shape);
    bool list = kind == SHAPE_LIST_MAP || kind == SHAPE_LIST_SET;
    if (kind == SHAPE_SCALAR || kind == SHAPE_ATOMIC) return share(config);
    if (kind == SHAPE_DEDUCED && !(json_is_object(live) && json_is_object(config)))
        return share(config);
    if (json_is_null(config) && (json_object_size(live) || json_array_size(live)))
        return share(live);
    if (list && json_is_array(live) && json_is_array(config))
        return merge_lists(a, shape, live, config);
    if (!list && json_is_object(live) && json_is_object(config))
        return merge_objects(a, shape, live, config);
    return share(config);
}

/* ---- removal ---- */

static const struct fields nothing;

/* The key of a member, from its form in a set. */
static const char *plain_key(struct arena *a, struct slice name) {
    if (!memchr(name.p, '\\', name.n)) return arena_strn(a, name);
    struct json_reader r;
    struct slice s;
    json_reader_init(&r, slice_of(arena_printf(a, "\"%.*s\"", (int)name.n, name.p)));
    return json_read_string(&r, a, &s) < 0 ? "" : arena_strn(a, s);
}

static bool has_parts(enum shape_kind kind, const json_t *v) {
    if (kind == SHAPE_LIST_MAP || kind == SHAPE_LIST_SET) return json_is_array(v);
    return json_is_object(v) && kind != SHAPE_SCALAR && kind != SHAPE_ATOMIC;
}

/* True when the part itself has to go; else what is below it may have. */
static bool prune_part(struct arena *a, struct shape shape, json_t *v, const struct fields *last,
                       const struct fields *owned, bool named) {
    if (!owned && (last->member || named)) return true;
    if (!has_parts(shape_kind(shape), v)) return false;
    fields_prune(a, shape, v, last, owned ? owned : &nothing);
    return !owned && !json_object_size(v) && !json_array_size(v);
}

static void prune_object(struct arena *a, struct shape shape, json_t *v, const struct fields *last,
                         const struct fields *owned, bool root) {
    bool is_struct = shape_kind(shape) == SHAPE_STRUCT;
    for (size_t i = 0; i < last->n; i++) {
        const struct fields *one = &last->v[i];
        struct shape below;
        if (one->type != 'f') continue;
        const char *key = plain_key(a, one->name);
        json_t *child = json_object_get(v, key);
        if (!child || !shape_field(shape, slice_of(key), NULL, &below)) continue;
        bool named = is_struct && !(root && str_eq(key, "metadata"));
        if (prune_part(a, below, child, one, fields_find(owned, 'f', one->name), named))
            json_object_del(v, key);
    }
}

static void prune_list(struct arena *a, struct shape shape, json_t *v, const struct fields *last,
                       const struct fields *owned) {
    char type = shape_kind(shape) == SHAPE_LIST_MAP ? 'k' : 'v';
    json_t *kept = json_array(), *item;
    size_t i;
    json_array_foreach(v, i, item) {
        struct slice name = item_name(a, shape, item);
        const struct fields *one = name.n ? fields_find(last, type, name) : NULL;
        if (!one ||
            !prune_part(a, shape_item(shape), item, one, fields_find(owned, type, name), false))
            json_array_append(kept, item);
    }
    json_array_clear(v);
    json_array_extend(v, kept);
    json_decref(kept);
}

static void prune(struct arena *a, struct shape shape, json_t *v, const struct fields *last,
                  const struct fields *owned, bool root) {
    enum shape_kind kind = shape_kind(shape);
    if (kind == SHAPE_LIST_MAP || kind == SHAPE_LIST_SET) {
        if (json_is_array(v)) prune_list(a, shape, v, last, owned);
    } else if (kind != SHAPE_ATOMIC && kind != SHAPE_SCALAR && json_is_object(v)) {
        prune_object(a, shape, v, last, owned, root);
    }
}

void fields_prune(struct arena *a, struct shape shape, json_t *v, const struct fields *last,
                  const struct fields *owned) {
    prune(a, shape, v, last, owned, !last->type);
}
