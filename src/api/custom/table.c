/* What is read out of objects of custom kinds by path: columns, selectable fields, numbers of
 * scale.
 */
#include "api/custom/custom.h"
#include "api/kinds/kinds.h"
#include "base/times.h"

static void put_date(struct buf *b, struct arena *a, const char *text, int64_t now_ns) {
    int64_t then;
    bool known = !str_empty(text) && time_parse(text, &then) == 0;
    buf_json_str(b, slice_of(known ? time_since(a, text, now_ns) : "<invalid>"));
}

static void put_text(struct buf *b, const struct value *v) {
    OWN(buf_done) struct buf text = {0};
    if (v->kind == VALUE_STRING) {
        buf_json_str(b, v->text);
        return;
    }
    value_encode(&text, v);
    buf_json_str(b, buf_view(&text));
}

static void put_cell(struct buf *b, struct arena *a, const struct custom_column *c,
                     const struct value *v, int64_t now_ns) {
    int64_t whole;
    if (!v || v->kind == VALUE_NULL) {
        buf_str(b, "null");
    } else if (str_eq(c->type, "string")) {
        put_text(b, v);
    } else if (str_eq(c->type, "date") && v->kind == VALUE_STRING) {
        put_date(b, a, v->text.p, now_ns);
    } else if (str_eq(c->type, "integer") && value_integer(v, &whole)) {
        buf_i64(b, whole);
    } else if (str_eq(c->type, "integer") && v->kind == VALUE_DOUBLE) {
        buf_i64(b, (int64_t)v->number);
    } else if ((str_eq(c->type, "number") && (v->kind == VALUE_INT || v->kind == VALUE_DOUBLE)) ||
               (str_eq(c->type, "boolean") && v->kind == VALUE_BOOL)) {
        value_encode(b, v);
    } else {
        buf_str(b, "null");
    }
}

void custom_cells(struct buf *b, struct arena *a, const struct api_kind *k, struct slice json,
                  int64_t now_ns) {
    struct value v = {0};
    value_parse(a, json, "", NULL, &v, NULL);
    const char *name = value_text(value_gets(value_gets(&v, "metadata"), "name"));
    buf_char(b, '[');
    buf_json_str(b, slice_of(str_or(name, "")));
    for (size_t i = 0; i < k->custom->columns.n; i++) {
        const struct custom_column *c = &k->custom->columns.v[i];
        buf_char(b, ',');
        put_cell(b, a, c, jsonpath_first(c->path, &v), now_ns);
    }
    buf_char(b, ']');
}

bool custom_selectable(const struct api_kind *k, const char *path) {
    for (size_t i = 0; i < k->custom->selectable.n; i++)
        if (str_eq(k->custom->selectable.v[i], path)) return true;
    return false;
}

static const struct value *at(const struct value *v, const char *path) {
    struct slice left = slice_of(path), step;
    while (v && slice_cut(&left, '.', &step))
        if (step.n) v = value_get(v, step);
    return v;
}

const char *custom_field(struct arena *a, struct slice json, const char *path) {
    struct value root;
    OWN(buf_done) struct buf b = {0};
    if (value_parse(a, json, "", NULL, &root, NULL) < 0) return "";
    const struct value *v = at(&root, path);
    if (!v || v->kind == VALUE_NULL) return "";
    if (v->kind == VALUE_STRING) return v->text.p;
    value_encode(&b, v);
    return arena_strn(a, buf_view(&b));
}

int64_t custom_number(struct slice json, const char *path) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct value root;
    int64_t n = 0;
    if (!path || value_parse(a, json, "", NULL, &root, NULL) < 0) return 0;
    value_integer(at(&root, path), &n);
    return n;
}

int custom_set_number(struct arena *a, struct api_object *o, const char *path, int64_t number) {
    struct custom_object *c = (void *)o;
    OWN(buf_done) struct buf b = {0};
    struct value root, to = {.kind = VALUE_INT, .integer = number}, *v = &root;
    buf_printf(&b, "{%.*s}", (int)c->rest.n, c->rest.n ? c->rest.p : "");
    int rc = value_parse(a, buf_view(&b), "", NULL, &root, NULL);
    if (rc < 0) return rc;
    struct slice left = slice_of(path), step;
    while (slice_cut(&left, '.', &step)) {
        if (!step.n) continue;
        if (!left.p) {
            value_set(a, v, step, &to);
            break;
        }
        if (!value_is(value_get(v, step), VALUE_OBJECT))
            value_set(a, v, step, &(struct value){.kind = VALUE_OBJECT});
        v = value_get(v, step);
    }
    buf_clear(&b);
    value_encode(&b, &root);
    c->rest = slice_from(arena_strn(a, slice_from(b.p + 1, b.n - 2)), b.n - 2);
    return 0;
}
