/* Create and update: the same steps in the same order as src/server/verbs/write.c. */
#include <stdio.h>

#include "api/table.h"
#include "api/values/names.h"
#include "base/limits.h"
#include "base/own.h"
#include "base/times.h"
#include "sim/api.h"

const char *api_now(struct sim *s, struct arena *a) {
    char text[TIME_TEXT_MAX];
    time_format(text, sim_wall_ns(s));
    return arena_str(a, text);
}

static const char *uid_new(struct sim *s, struct arena *a) {
    uint64_t x = random_next(&s->random), y = random_next(&s->random);
    return arena_printf(a, "%08x-%04x-4%03x-8%03x-%012llx", (unsigned)(x >> 32),
                        (unsigned)(x >> 16) & 0xffff, (unsigned)x & 0xfff,
                        (unsigned)(y >> 52) & 0xfff, (unsigned long long)(y & 0xffffffffffff));
}

static const char *name_new(struct sim *s, struct arena *a, const char *base) {
    static const char letters[] = "bcdfghjklmnpqrstvwxz2456789";
    char tail[6] = {0};
    uint64_t r = random_next(&s->random);
    for (int i = 0; i < 5; i++, r /= sizeof letters - 1)
        tail[i] = letters[r % (sizeof letters - 1)];
    return arena_printf(a, "%.*s%s", LIMIT_LABEL_BYTES - 5, base, tail);
}

static void defaults(struct arena *a, const struct api_kind *k, struct api_object *o) {
    const struct api_behavior *b = api_kind_behavior(k);
    api_default(a, k->type, o);
    if (b && b->defaults) b->defaults(a, o);
}

static int validate(struct arena *a, const struct api_kind *k, const struct api_object *o,
                    const struct api_object *old, const char *subresource, struct err *err) {
    const struct api_behavior *b = api_kind_behavior(k);
    struct api_causes causes = {.a = a};
    api_validate_metadata(k, &o->metadata, old ? &old->metadata : NULL, &causes);
    api_validate(k->type, o, old, "", &causes);
    if (b && b->validate) b->validate(o, old, subresource, &causes);
    if (!causes.n) return 0;
    return err_field(err, ERR_INVALID, causes.v[0].field, "%s \"%s\" is invalid: %s: %s", k->kind,
                     str_or(o->metadata.name, ""), str_or(causes.v[0].field, ""),
                     causes.v[0].message);
}

static int admit_and_check(struct sim *s, struct arena *a, const struct api_kind *k,
                           struct api_object *o, const struct api_object *old,
                           const char *subresource, struct err *err) {
    struct sim_admission ad = {s, a, k, o, old, subresource};
    defaults(a, k, o);
    int r = admit_mutate(&ad, err);
    if (r == 0) r = validate(a, k, o, old, subresource, err);
    return r < 0 ? r : admit_validate(&ad, err);
}

int write_create(struct sim *s, struct arena *a, const struct api_kind *k, struct api_object *o,
                 struct sim_object **ret, struct err *err) {
    struct meta_v1_object_meta *m = &o->metadata;
    const struct api_behavior *b = api_kind_behavior(k);
    if (!str_empty(m->resource_version))
        return err_set(err, ERR_BAD_REQUEST,
                       "resourceVersion should not be set on objects to be created");
    if (str_empty(m->name) && !str_empty(m->generate_name))
        m->name = name_new(s, a, m->generate_name);
    if (!(k->flags & API_NAMESPACED)) m->namespace = NULL;
    m->uid = uid_new(s, a);
    m->creation_timestamp = api_now(s, a);
    m->deletion_timestamp = NULL;
    m->deletion_grace_period_seconds = NULL;
    m->generation = k->flags & API_GENERATION ? 1 : 0;
    if (b && b->prepare) b->prepare(a, o, NULL);
    int r = admit_and_check(s, a, k, o, NULL, "", err);
    if (r < 0) return r;
    if (store_get(store_resource(s, k), m->namespace, m->name))
        return err_set(err, ERR_ALREADY_EXISTS, "%s \"%s\" already exists", k->plural, m->name);
    *ret = store_put(s, k, o);
    return 0;
}

/* ---- update ---- */

static void copy_status(const struct api_kind *k, struct api_object *to,
                        const struct api_object *from) {
    const struct api_field *f = api_field_find(k->type, SLICE("status"), NULL);
    if (f) api_field_assign(to, from, f);
}

static bool spec_differs(struct arena *a, const struct api_kind *k, const struct api_object *x,
                         const struct api_object *y) {
    struct api_object *copy = arena_copy(a, y, k->type->size);
    copy->metadata = x->metadata;
    copy_status(k, copy, x);
    return !api_equal(k->type, x, copy);
}

static int check_identity(const struct api_kind *k, const struct api_object *old,
                          const struct api_object *o, struct err *err) {
    const struct meta_v1_object_meta *m = &o->metadata, *was = &old->metadata;
    if (!str_empty(m->uid) && !str_eq(m->uid, was->uid))
        return err_set(err, ERR_CONFLICT,
                       "Precondition failed: UID in precondition: %s, UID in object meta: %s",
                       m->uid, was->uid);
    if (!str_empty(m->resource_version) && !str_eq(m->resource_version, was->resource_version))
        return err_set(err, ERR_CONFLICT,
                       "Operation cannot be fulfilled on %s \"%s\": the object has been modified; "
                       "please apply your changes to the latest version and try again",
                       k->plural, was->name);
    return 0;
}

static void keep_old_parts(struct arena *a, const struct api_kind *k, struct api_object *o,
                           const struct api_object *old, const char *subresource) {
    struct meta_v1_object_meta *m = &o->metadata;
    const struct meta_v1_object_meta *was = &old->metadata;
    if (str_eq(subresource, "status")) {
        struct api_object *full = api_object_copy(a, k, old);
        copy_status(k, full, o);
        full->metadata.labels = m->labels;
        full->metadata.annotations = m->annotations;
        memcpy(o, full, k->type->size);
    } else if (k->flags & API_HAS_STATUS && str_empty(subresource)) {
        copy_status(k, o, old);
    }
    m->name = was->name;
    m->namespace = was->namespace;
    m->uid = was->uid;
    m->generate_name = was->generate_name;
    m->creation_timestamp = was->creation_timestamp;
    m->deletion_timestamp = was->deletion_timestamp;
    m->deletion_grace_period_seconds = was->deletion_grace_period_seconds;
    m->generation = was->generation;
}

int write_update(struct sim *s, struct arena *a, const struct api_kind *k,
                 const struct sim_object *current, struct api_object *o, const char *subresource,
                 struct sim_object **ret, struct err *err) {
    const struct api_object *old = store_decode(a, current);
    const struct api_behavior *b = api_kind_behavior(k);
    int r = check_identity(k, old, o, err);
    if (r < 0) return r;
    keep_old_parts(a, k, o, old, subresource);
    if (b && b->prepare && str_empty(subresource)) b->prepare(a, o, old);
    if (b && b->prepare_subresource && !str_empty(subresource))
        b->prepare_subresource(a, o, old, subresource);
    r = admit_and_check(s, a, k, o, old, subresource, err);
    if (r < 0) return r;
    if (k->flags & API_GENERATION && spec_differs(a, k, o, old)) o->metadata.generation++;
    o->metadata.resource_version = old->metadata.resource_version;
    *ret = (struct sim_object *)(uintptr_t)current;
    if (deletion_is_complete(k, o)) {
        store_remove(s, k, o);
        *ret = NULL;
    } else if (!api_equal(k->type, o, old)) {
        *ret = store_put(s, k, o);
    }
    return 0;
}

/* ---- for what is simulated inside ---- */

struct sim_object *api_put_new(struct sim *s, struct arena *a, struct api_object *o,
                               struct err *err) {
    const struct api_kind *k = api_kind_by_api_version(o->api_version, o->kind);
    struct sim_object *ret = NULL;
    return write_create(s, a, k, o, &ret, err) < 0 ? NULL : ret;
}

struct sim_object *api_put_new_json(struct sim *s, const char *json, struct err *err) {
    OWN(arena_free_p) struct arena *a = arena_new();
    size_t n;
    struct api_object *head, *o;
    if (api_object_decode(a, api_kinds(&n)[0], slice_of(json), &head, err) < 0) return NULL;
    const struct api_kind *k = api_kind_by_api_version(head->api_version, head->kind);
    if (!k) {
        err_set(err, ERR_BAD_REQUEST, "%s %s is no kind", str_or(head->api_version, ""),
                str_or(head->kind, ""));
        return NULL;
    }
    if (api_object_decode(a, k, slice_of(json), &o, err) < 0) return NULL;
    return api_put_new(s, a, o, err);
}

int api_edit(struct sim *s, const struct api_kind *k, const char *ns, const char *name,
             const char *subresource, api_edit_fn *fn, void *user, struct err *err) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const struct sim_object *current = store_get(store_resource(s, k), ns, name);
    struct sim_object *ret;
    if (!current)
        return err_set(err, ERR_NOT_FOUND, "%s \"%s\" not found", k->plural, str_or(name, ""));
    struct api_object *o = store_decode(a, current);
    if (!fn(s, a, o, user)) return 0;
    return write_update(s, a, k, current, o, subresource, &ret, err);
}
