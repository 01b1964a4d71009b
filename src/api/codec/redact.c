#include "api/codec/redact.h"

#include <string.h>

#include "api/table.h"

static const char last_applied[] = "kubectl.kubernetes.io/last-applied-configuration";

static bool is_map(const struct api_field *f) {
    return f->shape == API_MAP || f->shape == API_MAP_OF_LISTS;
}

static void hide(json_t *parent, const char *key) {
    json_object_set_new(parent, key, json_string(API_REDACTED));
}

static void hide_each(json_t *map) {
    const char *key;
    json_t *v;
    json_object_foreach(map, key, v) { hide(map, key); }
}

static bool redact(json_t *v, const struct api_type *t);

static bool redact_field(json_t *parent, json_t *v, const struct api_field *f) {
    const char *key;
    json_t *each;
    size_t i;
    bool found = false;
    if (f->flags & API_SECRET) {
        if (is_map(f) && json_is_object(v))
            hide_each(v);
        else
            hide(parent, f->name);
        return true;
    }
    if (f->form != API_OBJECT) return false;
    if (json_is_array(v)) {
        json_array_foreach(v, i, each) { found |= redact(each, f->type); }
    } else if (is_map(f)) {
        json_object_foreach(v, key, each) { found |= redact(each, f->type); }
    } else {
        found = redact(v, f->type);
    }
    return found;
}

/* Whether a secret was in it. As deep as the document, whose depth its reader limits. */
static bool redact(json_t *v, const struct api_type *t) {
    const char *key;
    json_t *each;
    void *next;
    bool found = false;
    unsigned hint = 0;
    json_object_foreach_safe(v, next, key, each) {
        const struct api_field *f = api_field_find(t, slice_of(key), &hint);
        if (f) found |= redact_field(v, each, f);
    }
    return found;
}

static void redact_object(json_t *o, const struct api_kind *k) {
    const char *version = json_string_value(json_object_get(o, "apiVersion"));
    const char *name = json_string_value(json_object_get(o, "kind"));
    const struct api_kind *own = version && name ? api_kind_by_api_version(version, name) : NULL;
    if (own) k = own;
    if (!k || !k->type) return;
    json_t *annotations = json_object_get(json_object_get(o, "metadata"), "annotations");
    bool applied = json_is_string(json_object_get(annotations, last_applied));
    if (redact(o, k->type) && applied) hide(annotations, last_applied);
}

void api_redact(json_t *doc, const struct api_kind *kind) {
    size_t i;
    json_t *each;
    json_array_foreach(json_object_get(doc, "items"), i, each) { redact_object(each, kind); }
    json_array_foreach(json_object_get(doc, "rows"), i, each) {
        redact_object(json_object_get(each, "object"), kind);
    }
    redact_object(doc, kind);
}
