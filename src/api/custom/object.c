/* Objects of custom kinds: from and to their canonical form, validation. */
#include "api/codec/codec.h"
#include "api/custom/custom.h"
#include "base/own.h"
#include "proto/json.h"

static struct custom_object *object_of(struct api_object *o) { return (void *)o; }
static const struct custom_object *object_at(const struct api_object *o) { return (const void *)o; }

/* ---- text ↔ value ---- */

/* The members besides apiVersion, kind and metadata. */
static int parse_members(struct arena *a, const struct custom_object *o,
                         struct str_list *duplicates, struct value *ret, struct err *err) {
    OWN(buf_done) struct buf b = {0};
    buf_char(&b, '{');
    buf_slice(&b, o->rest);
    buf_char(&b, '}');
    int rc = value_parse(a, buf_view(&b), "", duplicates, ret, err);
    if (rc < 0 || !o->status.p) return rc;
    struct value status;
    rc = value_parse(a, o->status, "status", duplicates, &status, err);
    if (rc == 0) value_set(a, ret, SLICE("status"), &status);
    return rc;
}

static struct slice keep(struct arena *a, const struct buf *b) {
    return b->n ? slice_from(arena_strn(a, buf_view(b)), b->n) : (struct slice){0};
}

static void put_members(struct arena *a, const struct value *v, struct custom_object *o) {
    OWN(buf_done) struct buf rest = {0}, status = {0};
    for (size_t i = 0; i < v->members.n; i++) {
        const struct value_member *m = &v->members.v[i];
        if (slice_is(m->key, "status")) {
            value_encode(&status, &m->value);
            continue;
        }
        if (rest.n) buf_char(&rest, ',');
        buf_json_str(&rest, m->key);
        buf_char(&rest, ':');
        value_encode(&rest, &m->value);
    }
    o->rest = keep(a, &rest);
    o->status = keep(a, &status);
}

static int report(struct arena *a, const struct api_kind *k, const struct api_decode_opts *opts,
                  const struct str_list *findings, struct err *err) {
    if (!findings->n || !opts || opts->unknown == API_UNKNOWN_IGNORE) return 0;
    if (opts->unknown == API_UNKNOWN_WARN) {
        for (size_t i = 0; opts->warnings && i < findings->n; i++)
            *ARENA_PUSH(a, opts->warnings) = findings->v[i];
        return 0;
    }
    OWN(buf_done) struct buf b = {0};
    for (size_t i = 0; i < findings->n; i++) buf_printf(&b, "%s%s", i ? ", " : "", findings->v[i]);
    return err_set(err, ERR_BAD_REQUEST,
                   "%s in version \"%s\" cannot be handled as a %s: strict decoding error: %s",
                   k->kind, k->version, k->kind, b.p);
}

static void complete(struct arena *a, const struct custom_version *c, struct value *v,
                     struct str_list *unknown) {
    if (!c->schema) return;
    schema_prune(a, c->schema, true, v, "", unknown);
    schema_default(a, c->schema, v);
}

int custom_read(struct arena *a, const struct api_kind *k, struct api_object *o,
                const struct api_decode_opts *opts, struct err *err) {
    struct str_list findings = {0};
    struct value v;
    int rc = parse_members(a, object_at(o), &findings, &v, err);
    if (rc < 0) return rc;
    complete(a, k->custom, &v, &findings);
    put_members(a, &v, object_of(o));
    return report(a, k, opts, &findings, err);
}

void custom_reset_status(struct arena *a, const struct api_kind *k, struct api_object *o) {
    const struct schema *s = k->custom->schema;
    const struct schema *status = s ? schema_property(s, SLICE("status")) : NULL;
    object_of(o)->status = (struct slice){0};
    if (!status || !status->default_) return;
    struct value v = value_copy(a, status->default_);
    OWN(buf_done) struct buf b = {0};
    schema_default(a, status, &v);
    value_encode(&b, &v);
    object_of(o)->status = keep(a, &b);
}

/* ---- stored bytes ---- */

static const char head[] = "{\"apiVersion\":\"";

/* The stored bytes begin with this api version. */
static bool is_version(struct slice json, const char *api_version) {
    size_t n = strlen(api_version), skip = sizeof head - 1;
    return json.n > skip + n && !memcmp(json.p, head, skip) &&
           !memcmp(json.p + skip, api_version, n) && json.p[skip + n] == '"';
}

static uint64_t revision_of(struct slice json) {
    static const char key[] = "\"resourceVersion\":\"";
    const char *at = memmem(json.p, json.n, key, sizeof key - 1);
    uint64_t revision = 0;
    if (!at) return 0;
    for (at += sizeof key - 1; at < json.p + json.n && *at >= '0' && *at <= '9'; at++)
        revision = revision * 10 + (uint64_t)(*at - '0');
    return revision;
}

static bool is_complete(const struct custom_version *c, struct slice json) {
    return !c->set->complete_since || revision_of(json) >= c->set->complete_since;
}

bool custom_form_is_stored(const struct api_kind *k, struct slice stored) {
    return is_version(stored, k->api_version) && is_complete(k->custom, stored);
}

struct slice custom_form(struct arena *a, const struct api_kind *k, struct slice stored) {
    struct api_object *o;
    struct value v;
    if (custom_form_is_stored(k, stored)) return stored;
    if (api_object_decode(a, k, stored, &o, NULL) < 0) return stored;
    if (parse_members(a, object_at(o), NULL, &v, NULL) < 0) return stored;
    complete(a, k->custom, &v, NULL);
    put_members(a, &v, object_of(o));
    o->api_version = k->api_version;
    OWN(buf_done) struct buf b = {0};
    api_object_encode(&b, k, o);
    return slice_from(arena_copy(a, b.p, b.n), b.n);
}

/* ---- validation ---- */

int custom_value(struct arena *a, const struct api_kind *k, const struct api_object *o,
                 struct value *ret) {
    OWN(buf_done) struct buf b = {0};
    api_object_encode(&b, k, o);
    return value_parse(a, buf_view(&b), "", NULL, ret, NULL);
}

/* The value at "spec.rules[0].host"; NULL when there is none. */
static const struct value *value_at(const struct value *v, struct slice path) {
    while (v && path.n) {
        if (*path.p == '[') {
            const char *close = memchr(path.p, ']', path.n);
            uint64_t i;
            if (!close) return NULL;
            struct slice key = slice_from(path.p + 1, (size_t)(close - path.p) - 1);
            if (v->kind == VALUE_OBJECT)
                v = value_get(v, key);
            else if (v->kind == VALUE_ARRAY && slice_u64(key, &i) == 0 && i < v->items.n)
                v = &v->items.v[i];
            else
                return NULL;
            path = slice_from(close + 1, path.n - key.n - 2);
            continue;
        }
        if (*path.p == '.') path = slice_from(path.p + 1, path.n - 1);
        size_t n = 0;
        while (n < path.n && path.p[n] != '.' && path.p[n] != '[') n++;
        v = value_get(v, slice_from(path.p, n));
        path = slice_from(path.p + n, path.n - n);
    }
    return v;
}

/* Ratcheting (KEP-4008): what was wrong before and has not been touched is let through. */
static void forgive_unchanged(const struct value *now, const struct value *old,
                              struct api_causes *causes) {
    size_t n = 0;
    for (size_t i = 0; i < causes->n; i++) {
        struct slice path = slice_of(causes->v[i].field);
        bool missing = str_eq(causes->v[i].reason, "FieldValueRequired");
        if (missing) { /* the place that lacks it */
            const char *dot = memrchr(path.p, '.', path.n);
            path.n = dot ? (size_t)(dot - path.p) : 0;
        }
        const struct value *x = value_at(now, path), *y = value_at(old, path);
        bool unchanged = path.n && *path.p != '<' && x && y && value_equal(x, y);
        if (!unchanged) causes->v[n++] = causes->v[i];
    }
    causes->n = n;
}

void custom_validate(const struct api_kind *k, const struct api_object *o,
                     const struct api_object *old, struct api_causes *causes) {
    struct value now, before;
    struct api_causes own = {.a = causes->a};
    if (!k->custom->schema || custom_value(causes->a, k, o, &now) < 0) return;
    schema_validate_kubernetes(k->custom->schema, &now, "", &own);
    schema_validate(k->custom->schema, &now, "", &own);
    if (own.n && old && custom_value(causes->a, k, old, &before) == 0)
        forgive_unchanged(&now, &before, &own);
    for (size_t i = 0; i < own.n; i++) *ARENA_PUSH(causes->a, causes) = own.v[i];
}

bool custom_spec_differs(const struct api_kind *k, const struct api_object *x,
                         const struct api_object *y) {
    const struct custom_object *p = object_at(x), *q = object_at(y);
    if (!slice_eq(p->rest, q->rest)) return true;
    return !(k->flags & API_HAS_STATUS) && !slice_eq(p->status, q->status);
}
