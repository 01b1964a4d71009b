/* Pruning and defaults. Values are changed where they are. */
#include "api/custom/schema.h"
#include "api/registry.h"
#include "api/table.h"
#include "base/own.h"

enum { UNKNOWN_MAX = 100 };

static bool is_meta(struct slice key) {
    return slice_is(key, "metadata") || slice_is(key, "kind") || slice_is(key, "apiVersion");
}

/* ---- pruning ---- */

struct pruner {
    struct arena *a;
    struct value_path path;
    struct str_list *unknown;
};

static void prune(struct pruner *p, const struct schema *s, bool root, struct value *v);

static void tell_unknown(struct pruner *p, struct slice key) {
    if (!p->unknown || p->unknown->n >= UNKNOWN_MAX) return;
    size_t back = value_path_field(&p->path, key);
    *ARENA_PUSH(p->a, p->unknown) =
        arena_printf(p->a, "unknown field \"%s\"", value_path_text(&p->path));
    value_path_back(&p->path, back);
}

static void prune_items(struct pruner *p, const struct schema *s, struct value *v) {
    for (size_t i = 0; i < v->items.n; i++) {
        size_t back = value_path_index(&p->path, i);
        prune(p, s, false, &v->items.v[i]);
        value_path_back(&p->path, back);
    }
}

/* True: the member stays. */
static bool prune_member(struct pruner *p, const struct schema *s, struct value_member *m) {
    const struct schema *known = schema_property(s, m->key);
    bool keep = s && s->flags & SCHEMA_PRESERVE;
    if (!known && !(s && (s->additional || s->flags & SCHEMA_ADDITIONAL_ANY))) return keep;
    if (!known && !s->additional) return true;
    size_t back = value_path_field(&p->path, m->key);
    prune(p, known ? known : s->additional, false, &m->value);
    value_path_back(&p->path, back);
    return true;
}

/* Everything that v holds is as preserving as s; lists of lists take the schema of their items. */
static void prune_preserved_items(struct pruner *p, const struct schema *s, struct value *v) {
    for (size_t i = 0; s->items && i < v->items.n; i++) {
        size_t back = value_path_index(&p->path, i);
        struct schema lenient = *s->items;
        lenient.flags |= SCHEMA_PRESERVE;
        prune(p, &lenient, false, &v->items.v[i]);
        value_path_back(&p->path, back);
    }
}

/* The metadata of an object in an object is like that of any: other members are unknown. */
static void prune_metadata(struct pruner *p, struct value *v) {
    size_t n = 0, back = value_path_field(&p->path, SLICE("metadata"));
    for (size_t i = 0; v->kind == VALUE_OBJECT && i < v->members.n; i++) {
        struct value_member *m = &v->members.v[i];
        bool stays = api_field_find(&meta_v1_object_meta_type, m->key, NULL) != NULL;
        if (!stays) tell_unknown(p, m->key);
        if (stays) v->members.v[n++] = *m;
    }
    if (v->kind == VALUE_OBJECT) v->members.n = n;
    value_path_back(&p->path, back);
}

static void prune(struct pruner *p, const struct schema *s, bool root, struct value *v) {
    if (v->kind == VALUE_ARRAY) {
        if (s && s->flags & SCHEMA_PRESERVE)
            prune_preserved_items(p, s, v);
        else
            prune_items(p, s ? s->items : NULL, v);
        return;
    }
    if (v->kind != VALUE_OBJECT) return;
    bool embedded = root || (s && s->flags & SCHEMA_EMBEDDED);
    size_t n = 0;
    for (size_t i = 0; i < v->members.n; i++) {
        struct value_member *m = &v->members.v[i];
        bool stays = (embedded && is_meta(m->key)) || prune_member(p, s, m);
        if (!stays) tell_unknown(p, m->key);
        if (!root && embedded && slice_is(m->key, "metadata")) prune_metadata(p, &m->value);
        if (stays) v->members.v[n++] = *m;
    }
    v->members.n = n;
}

void schema_prune(struct arena *a, const struct schema *s, bool resource_root, struct value *v,
                  const char *path, struct str_list *unknown) {
    struct pruner p = {.a = a, .unknown = unknown};
    buf_str(&p.path.text, path);
    prune(&p, s, resource_root, v);
    buf_done(&p.path.text);
}

/* ---- defaults ---- */

static bool stray_null(const struct value *v, const struct schema *s) {
    return v->kind == VALUE_NULL && s && !(s->flags & SCHEMA_NULLABLE);
}

static void set_defaults(struct arena *a, const struct schema *s, struct value *v) {
    for (size_t i = 0; i < s->properties.n; i++) {
        const struct schema_property *p = &s->properties.v[i];
        struct value *have = value_get(v, p->name);
        if (!p->schema->default_ || (have && !stray_null(have, p->schema))) continue;
        struct value copy = value_copy(a, p->schema->default_);
        value_set(a, v, p->name, &copy);
    }
}

static void drop_nulls(const struct schema *s, struct value *v) {
    for (size_t i = v->members.n; i-- > 0;) {
        const struct schema *child = schema_property(s, v->members.v[i].key);
        if (child && !child->default_ && stray_null(&v->members.v[i].value, child))
            value_remove(v, i);
    }
}

void schema_default(struct arena *a, const struct schema *s, struct value *v) {
    if (!s) return;
    if (v->kind == VALUE_OBJECT) {
        drop_nulls(s, v);
        if (s->flags & SCHEMA_HAS_DEFAULTS) set_defaults(a, s, v);
        for (size_t i = 0; i < v->members.n; i++) {
            struct value_member *m = &v->members.v[i];
            const struct schema *child = schema_member(s, m->key);
            if (child && child == s->additional && child->default_ && stray_null(&m->value, child))
                m->value = value_copy(a, child->default_);
            schema_default(a, child, &m->value);
        }
    } else if (v->kind == VALUE_ARRAY && s->items) {
        for (size_t i = 0; i < v->items.n; i++) {
            if (s->items->default_ && stray_null(&v->items.v[i], s->items))
                v->items.v[i] = value_copy(a, s->items->default_);
            schema_default(a, s->items, &v->items.v[i]);
        }
    }
}
