#include "server/custom/conversion_watch.h"

#include <stdlib.h>

struct watch_conversion {
    conversion_watch_fn *fn; /* NULL: whoever asked is gone meanwhile */
    void *user;
    struct arena *a;
    bool running;
    struct object *from[CONVERTED_TOGETHER], *to[CONVERTED_TOGETHER]; /* references */
    size_t n;
};

struct watch_conversion *conversion_watch_new(void) {
    struct watch_conversion *v = calloc(1, sizeof *v);
    if (!v) abort();
    v->a = arena_new();
    return v;
}

void conversion_watch_free(struct watch_conversion *v) {
    if (!v) return;
    if (v->running) {
        v->fn = NULL;
        return;
    }
    for (size_t i = 0; i < v->n; i++) {
        object_unref(v->from[i]);
        object_unref(v->to[i]);
    }
    arena_free(v->a);
    free(v);
}

bool conversion_watch_is_full(const struct watch_conversion *v) {
    return v->n == CONVERTED_TOGETHER;
}

bool conversion_watch_add(struct watch_conversion *v, struct object *o) {
    if (conversion_watch_is_full(v)) return false;
    v->from[v->n++] = object_ref(o);
    return true;
}

static void on_converted(void *user, const struct slice *json, const struct err *err) {
    struct watch_conversion *v = user;
    v->running = false;
    if (!v->fn) {
        conversion_watch_free(v);
        return;
    }
    for (size_t i = 0; !err && i < v->n; i++)
        v->to[i] = object_new(slice_from(v->from[i]->key, v->from[i]->key_n), v->from[i]->revision,
                              json[i]);
    v->fn(v->user, err);
}

void conversion_watch_run(struct watch_conversion *v, struct api *api, const struct api_kind *to,
                          conversion_watch_fn *fn, void *user) {
    struct slice json[CONVERTED_TOGETHER];
    v->fn = fn;
    v->user = user;
    v->running = true;
    for (size_t i = 0; i < v->n; i++) json[i] = object_json(v->from[i]);
    conversion_run(api, v->a, to, json, v->n, on_converted, v);
}

bool conversion_watch_is_running(const struct watch_conversion *v) { return v && v->running; }

/* What a deletion shows is made anew each time. */
static bool is_same(const struct object *x, const struct object *y) {
    return x == y || (x->revision == y->revision &&
                      slice_eq(slice_from(x->key, x->key_n), slice_from(y->key, y->key_n)));
}

struct object *conversion_watch_form(const struct watch_conversion *v, const struct api_kind *k,
                                     struct object *o) {
    if (!k->custom || !conversion_needed(k, object_json(o))) return o;
    for (size_t i = 0; v && !v->running && i < v->n; i++)
        if (is_same(v->from[i], o)) return v->to[i];
    return NULL;
}
