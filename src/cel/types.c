/* Types: made, compared, written. */
#include "base/own.h"
#include "cel/internal.h"

static const char *const kind_names[CEL_KIND_COUNT] = {
    [CEL_DYN] = "dyn",
    [CEL_NULL] = "null",
    [CEL_BOOL] = "bool",
    [CEL_INT] = "int",
    [CEL_UINT] = "uint",
    [CEL_DOUBLE] = "double",
    [CEL_STRING] = "string",
    [CEL_BYTES] = "bytes",
    [CEL_TIMESTAMP] = "timestamp",
    [CEL_DURATION] = "duration",
    [CEL_LIST] = "list",
    [CEL_MAP] = "map",
    [CEL_OBJECT] = "object",
    [CEL_TYPE] = "type",
    [CEL_OPTIONAL] = "optional_type",
    [CEL_URL] = "kubernetes.URL",
    [CEL_QUANTITY] = "kubernetes.Quantity",
    [CEL_IP] = "net.IP",
    [CEL_CIDR] = "net.CIDR",
    [CEL_FORMAT] = "kubernetes.NamedFormat",
    [CEL_AUTHORIZER] = "kubernetes.authorization.Authorizer",
    [CEL_PATH_CHECK] = "kubernetes.authorization.PathCheck",
    [CEL_GROUP_CHECK] = "kubernetes.authorization.GroupCheck",
    [CEL_RESOURCE_CHECK] = "kubernetes.authorization.ResourceCheck",
    [CEL_DECISION] = "kubernetes.authorization.Decision",
    [CEL_PARAM] = "dyn",
    [CEL_ERROR] = "*error*",
    [CEL_RAW] = "dyn",
};

static struct cel_type simple[CEL_KIND_COUNT];

const struct cel_type *cel_type(enum cel_kind kind) {
    simple[kind].kind = kind;
    if (kind == CEL_LIST || kind == CEL_MAP || kind == CEL_OPTIONAL) {
        simple[CEL_DYN].kind = CEL_DYN;
        simple[kind].elem = simple[kind].key = &simple[CEL_DYN];
    }
    return &simple[kind];
}

static struct cel_type *made(struct arena *a, enum cel_kind kind, const struct cel_type *elem) {
    struct cel_type *t = ARENA_NEW(a, struct cel_type);
    t->kind = kind;
    t->elem = elem;
    return t;
}

struct cel_type *cel_list_type(struct arena *a, const struct cel_type *elem) {
    return made(a, CEL_LIST, elem);
}

struct cel_type *cel_map_type(struct arena *a, const struct cel_type *key,
                              const struct cel_type *value) {
    struct cel_type *t = made(a, CEL_MAP, value);
    t->key = key;
    return t;
}

struct cel_type *cel_optional_type(struct arena *a, const struct cel_type *elem) {
    return made(a, CEL_OPTIONAL, elem);
}

struct cel_type *cel_object_type(struct arena *a, const char *name, cel_field_fn *field,
                                 const void *source) {
    struct cel_type *t = made(a, CEL_OBJECT, NULL);
    t->name = name;
    t->field = field;
    t->source = source;
    return t;
}

struct cel_type *cel_param(struct arena *a) {
    return made(a, CEL_PARAM, NULL);
}

const char *cel_kind_name(enum cel_kind kind) {
    switch (kind) {
    case CEL_NULL: return "null_type";
    case CEL_TIMESTAMP: return "google.protobuf.Timestamp";
    case CEL_DURATION: return "google.protobuf.Duration";
    default: return kind_names[kind];
    }
}

static const char *text_of(struct arena *a, const struct cel_type *t, unsigned depth) {
    t = cel_actual(t);
    if (depth > 16) return "…";
    switch (t->kind) {
    case CEL_LIST: return arena_printf(a, "list(%s)", text_of(a, t->elem, depth + 1));
    case CEL_OPTIONAL: return arena_printf(a, "optional_type(%s)", text_of(a, t->elem, depth + 1));
    case CEL_MAP:
        return arena_printf(a, "map(%s, %s)", text_of(a, t->key, depth + 1),
                            text_of(a, t->elem, depth + 1));
    case CEL_OBJECT: return str_or(t->name, "object");
    case CEL_TYPE:
        return t->elem ? arena_printf(a, "type(%s)", text_of(a, t->elem, depth + 1)) : "type";
    default: return kind_names[t->kind];
    }
}

const char *cel_type_text(struct arena *a, const struct cel_type *t) { return text_of(a, t, 0); }

/* ---- assignability ---- */

static bool occurs(const struct cel_type *param, const struct cel_type *in, unsigned depth) {
    in = cel_actual(in);
    if (in == param || depth > 64) return true;
    return (in->elem && occurs(param, in->elem, depth + 1)) ||
           (in->key && occurs(param, in->key, depth + 1));
}

static bool bind_param(struct cel_trail *trail, const struct cel_type *param,
                       const struct cel_type *to) {
    if (occurs(param, to, 0)) return false;
    struct cel_type *mine = (struct cel_type *)param; /* made by cel_param for this check */
    mine->bound = (struct cel_type *)to;
    *ARENA_PUSH(trail->a, trail) = mine;
    return true;
}

static bool nullable(enum cel_kind kind) {
    return kind == CEL_OBJECT || kind == CEL_TIMESTAMP || kind == CEL_DURATION ||
           kind == CEL_OPTIONAL || kind >= CEL_URL;
}

bool cel_assign(struct cel_trail *trail, const struct cel_type *to, const struct cel_type *from) {
    to = cel_actual(to);
    from = cel_actual(from);
    if (to == from) return true;
    if (to->kind == CEL_PARAM) return bind_param(trail, to, from);
    if (from->kind == CEL_PARAM) return bind_param(trail, from, to);
    if (to->kind == CEL_DYN || from->kind == CEL_DYN || from->kind == CEL_ERROR ||
        to->kind == CEL_ERROR)
        return true;
    if (from->kind == CEL_NULL || to->kind == CEL_NULL)
        return from->kind == to->kind || nullable(from->kind == CEL_NULL ? to->kind : from->kind);
    if (to->kind != from->kind) return false;
    switch (to->kind) {
    case CEL_LIST:
    case CEL_OPTIONAL: return cel_assign(trail, to->elem, from->elem);
    case CEL_MAP:
        return cel_assign(trail, to->key, from->key) && cel_assign(trail, to->elem, from->elem);
    case CEL_OBJECT: return to->field == from->field && to->source == from->source;
    default: return true;
    }
}

void cel_trail_undo(struct cel_trail *trail, size_t n) {
    while (trail->n > n) trail->v[--trail->n]->bound = NULL;
}
