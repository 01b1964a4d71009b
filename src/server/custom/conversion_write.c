#include "server/custom/conversion_write.h"

#include "base/own.h"
#include "server/custom/conversion.h"
#include "server/media/convert.h"
#include "server/storage/raw.h"

struct form {
    struct write *w;
    write_form_fn *fn;
};

static struct form *form_of(struct write *w, write_form_fn *fn) {
    struct form *f = ARENA_NEW(w->c->a, struct form);
    *f = (struct form){w, fn};
    return f;
}

static void on_current(void *user, const struct slice *converted, const struct err *err) {
    struct form *f = user;
    struct write *w = f->w;
    struct object *stored = w->current;
    if (converted) {
        w->current =
            object_new(slice_from(stored->key, stored->key_n), stored->revision, converted[0]);
        object_unref(stored);
    }
    f->fn(w, converted ? NULL : err);
}

bool write_current_form(struct write *w, write_form_fn *fn) {
    struct call *c = w->c;
    struct slice json = object_json(w->current);
    if (!c->kind->custom || !conversion_needed(c->kind, json)) return false;
    conversion_run(c->api, c->a, c->kind, &json, 1, on_current, form_of(w, fn));
    return true;
}

static void on_stored(void *user, const struct slice *converted, const struct err *err) {
    struct form *f = user;
    struct write *w = f->w;
    struct err own;
    struct api_object *o;
    if (converted &&
        api_object_decode(w->c->a, storage_kind(w->c->kind), converted[0], &o, &own) < 0) {
        converted = NULL;
        err = &own;
    }
    if (converted) {
        w->asked = w->object;
        w->object = o;
    }
    f->fn(w, converted ? NULL : err);
}

bool write_stored_form(struct write *w, write_form_fn *fn) {
    struct call *c = w->c;
    OWN(buf_done) struct buf json = {0};
    if (!c->kind->custom || !c->kind->custom->set->webhook) return false;
    api_object_encode(&json, c->kind, w->object);
    struct slice one = buf_view(&json);
    conversion_run(c->api, c->a, storage_kind(c->kind), &one, 1, on_stored, form_of(w, fn));
    return true;
}

struct slice write_asked_form(struct write *w, struct slice stored) {
    struct arena *a = w->c->a;
    OWN(buf_done) struct buf b = {0};
    w->asked->metadata.resource_version = raw_path_string(a, stored, "metadata.resourceVersion");
    api_object_encode(&b, w->c->kind, w->asked);
    return slice_from(arena_copy(a, b.p, b.n), b.n);
}
