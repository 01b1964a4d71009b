#include "server/commit.h"

#include <assert.h>

#include "api/table.h"
#include "base/limits.h"
#include "base/own.h"
#include "server/storage/raw.h"

static const char placeholder[] = "0"; /* the encoder leaves out empty strings */
static const char member_rv[] = "\"resourceVersion\":\"0\"";

void object_encode_gap(struct buf *b, const struct api_kind *k, struct api_object *o,
                       uint32_t *ret_rv_offset) {
    size_t start = b->n;
    const char *before = o->metadata.resource_version;
    o->metadata.resource_version = placeholder;
    api_object_encode(b, k, o);
    o->metadata.resource_version = before;
    /* Before it there are only strings, in which the quotes are escaped, and no map. */
    const char *member = memmem(b->p + start, b->n - start, member_rv, sizeof member_rv - 1);
    assert(member);
    size_t at = (size_t)(member - b->p) + sizeof member_rv - 3;
    memmove(b->p + at, b->p + at + 1, b->n - at); /* with the NUL */
    b->n--;
    *ret_rv_offset = (uint32_t)(at - start);
}

void object_encode_at(struct buf *b, const struct api_kind *k, struct api_object *o,
                      uint64_t revision) {
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)revision);
    const char *before = o->metadata.resource_version;
    o->metadata.resource_version = text;
    api_object_encode(b, k, o);
    o->metadata.resource_version = before;
}

void commit_encode(const struct commit *w, struct commit_text *ret) {
    ret->value = buf_take();
    object_encode_gap(&ret->value, w->kind, w->object, &ret->rv_offset);
}

void commit_send(struct api *api, const struct commit *w, struct commit_text *text, commit_fn *fn,
                 void *user) {
    OWN(buf_give) struct buf value = text->value;
    text->value = (struct buf){0};
    if (value.n > LIMIT_OBJECT_BYTES) {
        struct err err;
        err_set(&err, ERR_TOO_LARGE,
                "the object has %zu bytes, more than the %d that can be stored", value.n,
                LIMIT_OBJECT_BYTES);
        fn(user, SLICE(""), &err);
        return;
    }
    const struct meta_v1_object_meta *m = &w->object->metadata;
    OWN(buf_give) struct buf key = buf_take();
    buf_str(&key, w->kind->store_prefix);
    if (w->kind->flags & API_NAMESPACED) buf_str(&key, m->namespace);
    buf_char(&key, '/');
    buf_str(&key, m->name);
    struct store_write write = {.op = (uint8_t)w->op,
                                .key = buf_view(&key),
                                .expected_revision = w->expected_revision,
                                .rv_offset = text->rv_offset,
                                .value = buf_view(&value)};
    store_link_write(api->store, &write, fn, user);
}

void commit_submit(struct api *api, const struct commit *w, commit_fn *fn, void *user) {
    struct commit_text text;
    commit_encode(w, &text);
    commit_send(api, w, &text, fn, user);
}

void object_copy_field(const struct api_kind *k, struct api_object *to,
                       const struct api_object *from, const char *field) {
    const struct api_field *f = api_field_find(k->type, slice_of(field), NULL);
    if (f) api_field_assign(to, from, f);
}

static bool is_spec(struct slice key) {
    return !slice_is(key, "metadata") && !slice_is(key, "status") && !slice_is(key, "kind") &&
           !slice_is(key, "apiVersion");
}

static bool next_spec(struct raw_iter *s, struct slice *key, struct slice *value) {
    while (raw_member(s, key, value))
        if (is_spec(*key)) return true;
    return false;
}

bool object_spec_differs(struct slice x, struct slice y) {
    struct raw_iter sx = raw_object(x), sy = raw_object(y);
    for (;;) {
        struct slice kx = {0}, vx = {0}, ky = {0}, vy = {0};
        bool more_x = next_spec(&sx, &kx, &vx), more_y = next_spec(&sy, &ky, &vy);
        if (more_x != more_y) return true;
        if (!more_x) return false;
        if (!slice_eq(kx, ky) || !slice_eq(vx, vy)) return true;
    }
}
