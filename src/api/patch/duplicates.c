#include "api/patch/duplicates.h"

#include "base/map.h"
#include "base/own.h"
#include "proto/json.h"

enum { FINDINGS_MAX = 100 };

struct finder {
    struct json_reader r;
    struct arena *a;
    struct buf path;
    struct str_list *findings;
};

static int look(struct finder *f);

static void found(struct finder *f) {
    const char *text = arena_printf(f->a, "duplicate field \"%s\"", f->path.p);
    if (f->findings->n >= FINDINGS_MAX) return;
    for (size_t i = 0; i < f->findings->n; i++)
        if (str_eq(f->findings->v[i], text)) return;
    *ARENA_PUSH(f->a, f->findings) = text;
}

static int look_object(struct finder *f) {
    static char present;
    OWN(map_done) struct map seen = {0};
    struct slice key;
    size_t n = f->path.n;
    int rc = json_object_begin(&f->r);
    while (rc == 0 && (rc = json_object_next(&f->r, f->a, &key)) > 0) {
        buf_str(&f->path, n ? "." : "");
        buf_slice(&f->path, key);
        if (map_put(&seen, key, &present)) found(f);
        rc = look(f);
        f->path.n = n;
    }
    return rc;
}

static int look_array(struct finder *f) {
    size_t n = f->path.n, index = 0;
    int rc = json_array_begin(&f->r);
    while (rc == 0 && (rc = json_array_next(&f->r)) > 0) {
        buf_printf(&f->path, "[%zu]", index++);
        rc = look(f);
        f->path.n = n;
    }
    return rc;
}

static int look(struct finder *f) {
    switch (json_peek(&f->r)) {
    case JSON_KIND_OBJECT: return look_object(f);
    case JSON_KIND_ARRAY: return look_array(f);
    default: return json_skip(&f->r);
    }
}

int json_parse_lenient(struct arena *a, struct slice text, json_t **ret, struct str_list *findings,
                       struct err *err) {
    struct finder f = {.a = a, .findings = findings};
    json_reader_init(&f.r, text);
    int rc = look(&f);
    buf_done(&f.path);
    if (rc < 0 || json_end(&f.r) < 0) return json_reader_error(&f.r, err);
    return json_parse_last(text, ret, err);
}
