#include "api/managed/walk.h"

#include <stdlib.h>

#include "api/managed/parts.h"
#include "api/managed/scan.h"
#include "base/limits.h"
#include "base/own.h"

/* A set is stored inside the object, some levels down, and its leaves have a level more. */
enum { DEPTH_MAX = LIMIT_JSON_DEPTH - 12 };

struct walk {
    struct arena *a;
    enum fields_part part;
    bool strict; /* a configuration: what does not fit is an error */
    bool all;    /* every place counts, not only leaves and items */
    unsigned depth;
    struct {
        char type;
        struct slice name;
    } path[DEPTH_MAX + 1];
    int rc;
    struct err *err;
};

/* ---- what no manager owns ---- */

static bool among(const char *const *names, struct slice name) {
    for (; *names; names++)
        if (slice_is(name, *names)) return true;
    return false;
}

/* A member that this set is not about. */
static bool outside(const struct walk *w, struct slice key) {
    static const char *const type[] = {"apiVersion", "kind", NULL};
    static const char *const identity[] = {"name",
                                           "namespace",
                                           "uid",
                                           "resourceVersion",
                                           "generation",
                                           "managedFields",
                                           "creationTimestamp",
                                           "selfLink",
                                           NULL};
    static const char *const with_status[] = {"labels", "annotations", NULL};
    static const char *const status_parts[] = {"status", "metadata", NULL};
    if (w->depth > 1) return false;
    if (w->depth == 1) {
        if (!slice_is(w->path[0].name, "metadata")) return false;
        return w->part == FIELDS_STATUS ? !among(with_status, key) : among(identity, key);
    }
    if (among(type, key)) return true;
    if (w->part == FIELDS_MAIN) return slice_is(key, "status");
    if (w->part == FIELDS_STATUS_ONLY) return !slice_is(key, "status");
    return w->part == FIELDS_STATUS && !among(status_parts, key);
}

static void descend(struct walk *w, char type, struct slice name) {
    w->path[w->depth].type = type;
    w->path[w->depth].name = name;
    w->depth++;
}

/* ---- messages of a configuration that does not fit ---- */

static const char *here(struct walk *w) {
    OWN(buf_done) struct buf b = {0};
    for (unsigned i = 0; i < w->depth; i++)
        fields_element_text(&b, w->path[i].type, w->path[i].name);
    return arena_strn(w->a, buf_view(&b));
}

static void misfit(struct walk *w, const char *what) {
    if (!w->strict || w->rc < 0) return;
    w->rc = err_set(w->err, ERR_BAD_REQUEST, "%s: %s", here(w), what);
}

static void wrong_kind(struct walk *w, const char *wanted, char first) {
    const char *got = first == '{'   ? "a map"
                      : first == '[' ? "a list"
                      : first == '"' ? "a string"
                                     : "a scalar";
    if (first != 'n') misfit(w, arena_printf(w->a, "expected %s, got %s", wanted, got));
}

static void omitted_key(struct walk *w, struct shape list, size_t index) {
    misfit(w, arena_printf(w->a,
                           "element %zu: associative list with keys has an element that omits key "
                           "field \"%s\" (and doesn't have default value)",
                           index, *shape_keys(list)));
}

static int order_names(const void *x, const void *y) {
    const struct slice *one = x, *two = y;
    size_t n = one->n < two->n ? one->n : two->n;
    int c = n ? memcmp(one->p, two->p, n) : 0;
    return c ? c : (one->n > two->n) - (one->n < two->n);
}

static void check_duplicates(struct walk *w, const struct fields *list) {
    if (!w->strict || list->n < 2) return;
    struct slice *names = ARENA_ARRAY(w->a, struct slice, list->n);
    for (size_t i = 0; i < list->n; i++) names[i] = list->v[i].name;
    qsort(names, list->n, sizeof *names, order_names);
    for (size_t i = 1; i < list->n; i++) {
        if (!slice_eq(names[i - 1], names[i])) continue;
        OWN(buf_done) struct buf b = {0};
        fields_element_text(&b, list->v[0].type, names[i]);
        misfit(w, arena_printf(w->a, "duplicate entries for key %s", b.p));
        return;
    }
}

/* ---- keys of items ---- */

static bool member_of(struct slice item, const char *key, struct slice *ret) {
    struct scan s = scan_of(item);
    struct slice name;
    if (!scan_enter(&s, '{')) return false;
    while (scan_member(&s, &name)) {
        struct slice value = scan_value(&s);
        if (!slice_is(name, key) || slice_is(value, "null")) continue;
        *ret = value;
        return true;
    }
    return false;
}

/* {"name":"x"}, the most frequent form. */
static bool only_key(struct arena *a, const char *key, struct slice item, struct slice *ret) {
    struct slice value;
    if (!member_of(item, key, &value)) return false;
    size_t n = strlen(key);
    char *text = arena_alloc(a, n + value.n + 5), *out = text;
    *out++ = '{';
    *out++ = '"';
    memcpy(out, key, n);
    out += n;
    *out++ = '"';
    *out++ = ':';
    memcpy(out, value.p, value.n);
    out[value.n] = '}';
    *ret = slice_from(text, n + value.n + 5);
    return true;
}

bool fields_item_key(struct arena *a, struct shape list, struct slice item, struct slice *ret) {
    OWN(buf_done) struct buf b = {0}, fallback = {0};
    const char *const *keys = shape_keys(list);
    bool found = false;
    if (!item.n || item.p[0] != '{') return false;
    if (keys[0] && !keys[1]) return only_key(a, keys[0], item, ret);
    for (const char *const *key = keys; *key; key++) {
        struct slice value;
        buf_clear(&fallback);
        if (member_of(item, *key, &value))
            found = true;
        else if (shape_key_default(list, *key, &fallback))
            value = buf_view(&fallback);
        else
            continue;
        buf_append(&b, b.n ? ",\"" : "{\"", 2);
        buf_str(&b, *key);
        buf_append(&b, "\":", 2);
        buf_slice(&b, value);
    }
    if (!found) return false;
    buf_char(&b, '}');
    *ret = slice_from(arena_copy(a, b.p, b.n), b.n);
    return true;
}

/* k: or v: of an item. */
static bool item_name(struct walk *w, struct shape list, enum shape_kind kind, struct slice item,
                      struct slice *ret) {
    if (kind == SHAPE_LIST_MAP) return fields_item_key(w->a, list, item, ret);
    *ret = item;
    return true;
}

static char item_type(enum shape_kind kind) { return kind == SHAPE_LIST_MAP ? 'k' : 'v'; }

/* ---- everything of a value ---- */

static void take(struct walk *w, struct shape shape, struct scan *s, struct fields *f);

static void take_object(struct walk *w, struct shape shape, enum shape_kind kind, struct scan *s,
                        struct fields *f) {
    struct slice key;
    struct shape below;
    unsigned hint = 0;
    s->p++;
    while (scan_member(s, &key)) {
        if (outside(w, key)) {
            scan_value(s);
            continue;
        }
        descend(w, 'f', key);
        if (shape_field(shape, key, &hint, &below)) {
            struct fields *child = fields_add(w->a, f, 'f', key);
            bool none =
                scan_peek(s) == 'n' || (s->end - s->p > 1 && s->p[0] == '{' && s->p[1] == '}');
            take(w, below, s, child);
            if (none || kind != SHAPE_STRUCT) child->member = true;
        } else {
            misfit(w, "field not declared in schema");
            scan_value(s);
        }
        w->depth--;
    }
}

static void take_list(struct walk *w, struct shape shape, enum shape_kind kind, struct scan *s,
                      struct fields *f) {
    size_t index = 0;
    struct slice name;
    s->p++;
    for (; scan_element(s); index++) {
        struct slice item = scan_value(s);
        if (!item_name(w, shape, kind, item, &name)) {
            omitted_key(w, shape, index);
            continue;
        }
        struct fields *child = fields_add(w->a, f, item_type(kind), name);
        child->member = true;
        if (kind == SHAPE_LIST_SET) continue;
        struct scan inner = scan_of(item);
        descend(w, 'k', name);
        take(w, shape_item(shape), &inner, child);
        w->depth--;
    }
    check_duplicates(w, f);
}

static void take(struct walk *w, struct shape shape, struct scan *s, struct fields *f) {
    enum shape_kind kind = w->depth < DEPTH_MAX ? shape_kind(shape) : SHAPE_ATOMIC;
    char first = scan_peek(s);
    if (kind == SHAPE_DEDUCED && first != '{') kind = SHAPE_SCALAR;
    if (w->all) f->member = true;
    switch (kind) {
    case SHAPE_SCALAR:
    case SHAPE_ATOMIC:
        scan_value(s);
        f->member = true;
        return;
    case SHAPE_DEDUCED:
    case SHAPE_STRUCT:
    case SHAPE_MAP:
        if (first == '{') {
            take_object(w, shape, kind, s, f);
            return;
        }
        wrong_kind(w, "map", first);
        break;
    case SHAPE_LIST_SET:
    case SHAPE_LIST_MAP:
        if (first == '[') {
            take_list(w, shape, kind, s, f);
            return;
        }
        wrong_kind(w, "list", first);
        break;
    }
    scan_value(s);
}

/* The root and metadata itself belong to nobody. */
static void finish(struct fields *root) {
    root->member = false;
    for (size_t i = 0; i < root->n; i++)
        if (slice_is(root->v[i].name, "metadata")) root->v[i].member = false;
    fields_sort(root);
}

int fields_of_config(struct arena *a, struct shape shape, enum fields_part part, struct slice json,
                     struct fields *ret, struct err *err) {
    struct err own;
    struct walk w = {.a = a, .part = part, .strict = true, .err = err ? err : &own};
    struct scan s = scan_of(json);
    *ret = (struct fields){0};
    take(&w, shape, &s, ret);
    finish(ret);
    return w.rc;
}

void fields_of_object(struct arena *a, struct shape shape, struct slice json, struct fields *ret) {
    struct walk w = {.a = a};
    struct scan s = scan_of(json);
    *ret = (struct fields){0};
    take(&w, shape, &s, ret);
    finish(ret);
}

/* ---- two values ---- */

static void compare(struct walk *w, struct shape shape, struct slice before, struct scan *s,
                    struct fields *changed, struct fields *removed);

static void compare_part(struct walk *w, struct shape shape, char type, struct slice name,
                         struct slice before, struct scan *s, struct fields *changed,
                         struct fields *removed) {
    struct fields c = {.type = type, .name = name}, r = c;
    descend(w, type, name);
    compare(w, shape, before, s, &c, &r);
    w->depth--;
    if (!fields_empty(&c)) *ARENA_PUSH(w->a, changed) = c;
    if (!fields_empty(&r)) *ARENA_PUSH(w->a, removed) = r;
}

static void add_part(struct walk *w, struct shape shape, char type, struct slice name,
                     struct scan *s, struct fields *changed) {
    descend(w, type, name);
    take(w, shape, s, fields_add(w->a, changed, type, name));
    w->depth--;
}

static void remove_unseen(struct walk *w, const struct parts *parts, char type,
                          struct fields *removed) {
    for (size_t i = 0; i < parts->n; i++)
        if (!parts->v[i].seen && !(type == 'f' && outside(w, parts->v[i].name)))
            fields_add(w->a, removed, type, parts->v[i].name)->member = true;
}

static struct parts members(struct walk *w, struct slice json) {
    struct parts parts = {0};
    struct scan s = scan_of(json);
    struct slice key;
    if (!scan_enter(&s, '{')) return parts;
    while (scan_member(&s, &key)) parts_add(w->a, &parts, key)->value = scan_value(&s);
    return parts;
}

static void compare_objects(struct walk *w, struct shape shape, struct slice before, struct scan *s,
                            struct fields *changed, struct fields *removed) {
    struct parts old = members(w, before);
    struct slice key;
    struct shape below;
    unsigned hint = 0;
    if (scan_enter(s, '{')) {
        while (scan_member(s, &key)) {
            struct part *was = parts_find(w->a, &old, key);
            if (was) was->seen = true;
            if (outside(w, key) || !shape_field(shape, key, &hint, &below))
                scan_value(s);
            else if (was)
                compare_part(w, below, 'f', key, was->value, s, changed, removed);
            else
                add_part(w, below, 'f', key, s, changed);
        }
    }
    remove_unseen(w, &old, 'f', removed);
}

static void compare_lists(struct walk *w, struct shape shape, enum shape_kind kind,
                          struct slice before, struct scan *s, struct fields *changed,
                          struct fields *removed) {
    struct parts old = {0};
    struct scan o = scan_of(before);
    struct slice name;
    char type = item_type(kind);
    if (scan_enter(&o, '['))
        while (scan_element(&o)) {
            struct slice item = scan_value(&o);
            if (item_name(w, shape, kind, item, &name)) parts_add(w->a, &old, name)->value = item;
        }
    if (scan_enter(s, '['))
        while (scan_element(s)) {
            struct slice item = scan_value(s);
            struct scan inner = scan_of(item);
            if (!item_name(w, shape, kind, item, &name)) continue;
            struct part *was = parts_find(w->a, &old, name);
            if (!was)
                add_part(w, kind == SHAPE_LIST_SET ? shape_deduced() : shape_item(shape), type,
                         name, &inner, changed);
            else if (was->seen) /* an item that is there twice */
                fields_add(w->a, changed, type, name)->member = true;
            else if (kind == SHAPE_LIST_MAP)
                compare_part(w, shape_item(shape), type, name, was->value, &inner, changed,
                             removed);
            if (was) was->seen = true;
        }
    remove_unseen(w, &old, type, removed);
}

/* The value at the cursor begins with these bytes and ends with them. */
static bool same(struct scan *s, struct slice before) {
    size_t left = (size_t)(s->end - s->p);
    if (!before.n || left < before.n || memcmp(s->p, before.p, before.n) != 0) return false;
    if (left > before.n && !strchr(",]}", s->p[before.n])) return false;
    s->p += before.n;
    return true;
}

static bool is_empty(const char *p, size_t n) {
    return n < 2 || p[0] == 'n' || p[1] == '}' || p[1] == ']';
}

static void compare(struct walk *w, struct shape shape, struct slice before, struct scan *s,
                    struct fields *changed, struct fields *removed) {
    if (same(s, before)) return;
    enum shape_kind kind = w->depth < DEPTH_MAX ? shape_kind(shape) : SHAPE_ATOMIC;
    char was = before.n ? before.p[0] : 0, is = scan_peek(s);
    if (kind == SHAPE_DEDUCED && (was != '{' || is != '{')) kind = SHAPE_SCALAR;
    if (kind == SHAPE_SCALAR || kind == SHAPE_ATOMIC ||
        (is_empty(before.p, before.n) && is_empty(s->p, (size_t)(s->end - s->p)))) {
        scan_value(s);
        changed->member = true;
    } else if (kind == SHAPE_LIST_SET || kind == SHAPE_LIST_MAP) {
        compare_lists(w, shape, kind, before, s, changed, removed);
    } else {
        compare_objects(w, shape, before, s, changed, removed);
    }
}

void fields_compare(struct arena *a, struct shape shape, enum fields_part part, struct slice before,
                    struct slice after, struct fields *ret_changed, struct fields *ret_removed) {
    struct walk w = {.a = a, .part = part, .all = true};
    struct scan s = scan_of(after);
    *ret_changed = *ret_removed = (struct fields){0};
    compare(&w, shape, before, &s, ret_changed, ret_removed);
    finish(ret_changed);
    finish(ret_removed);
}
