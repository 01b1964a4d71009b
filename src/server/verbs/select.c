#include "server/verbs/select.h"

#include "api/custom/custom.h"
#include "server/media/convert.h"
#include "server/storage/raw.h"

static bool supported(const struct api_kind *k, const char *path) {
    if (str_eq(path, "metadata.name") || str_eq(path, "metadata.namespace")) return true;
    if (k->custom) return custom_selectable(k, path);
    const struct api_behavior *b = api_kind_behavior(k);
    for (const char *const *f = b ? b->fields : NULL; f && *f; f++)
        if (str_eq(*f, path)) return true;
    return false;
}

static int take_fields(struct call *c, struct selection *s, const char *text, struct err *err) {
    struct field_terms all = {0};
    int rc = field_selector_parse(c->a, text, &all, err);
    if (rc < 0) return rc;
    for (size_t i = 0; i < all.n; i++) {
        const struct field_term *t = &all.v[i];
        if (!supported(c->kind, t->path))
            return err_set(err, ERR_BAD_REQUEST, "field label not supported: %s", t->path);
        if (str_eq(t->path, "metadata.name") && !t->negate && !*s->name && !str_empty(t->value))
            s->name = t->value;
        else
            *ARENA_PUSH(c->a, &s->fields) = *t;
    }
    return 0;
}

int selection_init(struct call *c, struct selection *ret, struct err *err) {
    *ret = (struct selection){
        .kind = storage_kind(c->kind), .asked = c->kind, .ns = c->route.ns, .name = c->route.name};
    if (!(c->kind->flags & API_NAMESPACED)) ret->ns = "";
    const char *labels = http_query_get(&c->r->query, "labelSelector");
    const char *fields = http_query_get(&c->r->query, "fieldSelector");
    if (!str_empty(labels)) {
        int rc = selector_parse(c->a, labels, &ret->labels, err);
        if (rc < 0) return rc;
        if (selector_empty(ret->labels)) ret->labels = NULL;
    }
    if (!str_empty(fields)) {
        int rc = take_fields(c, ret, fields, err);
        if (rc < 0) return rc;
    }
    ret->narrow = ret->labels || ret->fields.n;
    return 0;
}

static bool labels_match(const struct selection *s, struct arena *scratch, struct slice json) {
    struct slice labels;
    struct str_map m = {0};
    if (raw_path(json, "metadata.labels", &labels)) m = raw_map(scratch, labels);
    return selector_matches(s->labels, &m);
}

/* Most fields are plain strings of the stored JSON; only the others need the decoded object. */
static const char *field_value(const struct selection *s, struct arena *scratch,
                               const struct object *o, const char *path,
                               struct api_object **decoded) {
    if (str_eq(path, "metadata.name")) return object_name(o);
    if (str_eq(path, "metadata.namespace")) return arena_strn(scratch, object_ns(o));
    if (s->kind->custom) return custom_field(scratch, object_json(o), path);
    const char *text = raw_path_string(scratch, object_json(o), path);
    if (text) return text;
    const struct api_behavior *b = api_kind_behavior(s->asked);
    if (!b || !b->field) return "";
    if (!*decoded) {
        if (api_object_decode(scratch, s->kind, object_json(o), decoded, NULL) < 0) return "";
        if (s->asked != s->kind) *decoded = api_convert(scratch, s->kind, s->asked, *decoded);
    }
    return b->field(scratch, *decoded, path);
}

bool selection_matches(const struct selection *s, struct arena *scratch, const struct object *o) {
    if (s->labels && !labels_match(s, scratch, object_json(o))) return false;
    struct api_object *decoded = NULL;
    for (size_t i = 0; i < s->fields.n; i++) {
        const struct field_term *t = &s->fields.v[i];
        const char *have = field_value(s, scratch, o, t->path, &decoded);
        if (str_eq(str_or(have, ""), str_or(t->value, "")) == t->negate) return false;
    }
    return true;
}

bool selection_covers(const struct selection *s, struct arena *scratch, const struct object *o) {
    if (*s->ns && !slice_is(object_ns(o), s->ns)) return false;
    if (*s->name && !str_eq(object_name(o), s->name)) return false;
    return !s->narrow || selection_matches(s, scratch, o);
}
