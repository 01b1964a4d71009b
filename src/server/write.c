#include "server/write.h"

#include "api/names.h"
#include "api/table.h"
#include "base/log.h"
#include "base/own.h"
#include "server/admission/admission.h"
#include "server/body.h"
#include "server/convert.h"
#include "server/raw.h"

enum { ATTEMPTS_MAX = 8 };

static const char modified[] = "the object has been modified; please apply your changes to the "
                               "latest version and try again";

/* ---- what both ways share ---- */

int write_prepare(struct call *c, struct api_object *obj, const struct api_object *old,
                  const char *subresource) {
    const struct api_kind *k = storage_kind(c->kind);
    const struct api_behavior *b = api_kind_behavior(k);
    struct err err = {0};
    api_default(c->a, k->type, obj);
    if (b && b->defaults) b->defaults(c->a, obj);
    struct admission ad = {.c = c,
                           .api = c->api,
                           .a = c->a,
                           .kind = k,
                           .object = obj,
                           .old = old,
                           .subresource = subresource,
                           .err = &err};
    if (admission_run(&ad) < 0) {
        reply_error(c, &err);
        return -1;
    }
    struct api_causes causes = {.a = c->a};
    api_validate_metadata(k, &obj->metadata, old ? &old->metadata : NULL, &causes);
    api_validate(k->type, obj, old, "", &causes);
    if (b && b->validate) b->validate(obj, old, subresource, &causes);
    if (!causes.n && !*subresource) admission_allocate(&ad, &causes);
    if (causes.n) {
        reply_invalid(c, str_or(obj->metadata.name, str_or(obj->metadata.generate_name, "")),
                      &causes);
        return -1;
    }
    return 0;
}

static void client_gone(struct request *r) {
    struct write *w = r->handler_data;
    w->c = NULL;
}

static struct write *write_copy(struct call *c, const struct write *from) {
    struct write *w = malloc(sizeof *w);
    if (!w) abort();
    *w = *from;
    w->c = c;
    w->api = c->api;
    c->r->handler_data = w;
    c->r->on_close = client_gone;
    return w;
}

static struct call *write_free(struct write *w) {
    struct call *c = w->c;
    if (c) c->r->on_close = NULL;
    free(w);
    return c;
}

static void write_answer(struct write *w, struct slice json) {
    if (w->c && w->answer) {
        struct write copy = *w;
        write_free(w);
        copy.answer(&copy, json);
        return;
    }
    int status = w->status;
    struct call *c = write_free(w);
    if (c) reply_object(c, status, convert_json(c->a, c->kind, json));
}

static void write_fail(struct write *w, const char *name, const struct err *err) {
    struct call *c = write_free(w);
    if (!c) return;
    if (err->reason == ERR_CONFLICT)
        reply_conflict(c, name, modified);
    else if (err->reason == ERR_NOT_FOUND)
        reply_not_found(c, name);
    else
        reply_error(c, err);
}

/* ---- create ---- */

static void on_created(void *user, struct slice json, const struct err *err) {
    struct write *w = user;
    if (!err) {
        write_answer(w, json);
        return;
    }
    const char *name = w->user;
    struct call *c = w->c;
    if (!c || err->reason != ERR_ALREADY_EXISTS) {
        write_fail(w, name, err);
        return;
    }
    write_free(w);
    const char *title = resource_title(c->a, c->route.group, c->route.plural);
    reply_failure(
        c, ERR_ALREADY_EXISTS,
        &(struct failure){.message = arena_printf(c->a, "%s \"%s\" already exists", title, name),
                          .name = name,
                          .group = c->route.group,
                          .kind = c->route.plural});
}

static int fresh_metadata(struct call *c, struct api_object *obj) {
    struct meta_v1_object_meta *m = &obj->metadata;
    const char *message = NULL;
    if (!str_empty(m->resource_version))
        message = "resourceVersion should not be set on objects to be created";
    else if (c->kind->flags & API_NAMESPACED && !str_empty(m->namespace) &&
             !str_eq(m->namespace, c->route.ns))
        message =
            arena_printf(c->a, "the namespace of the provided object does not match the namespace "
                               "sent on the request");
    else if (c->kind->flags & API_NAMESPACED && !*c->route.ns)
        message = "an empty namespace may not be set during creation";
    else if (!(c->kind->flags & API_NAMESPACED) && !str_empty(m->namespace))
        message = "namespace: Forbidden: not allowed on this type";
    if (message) {
        reply_failure(c, ERR_BAD_REQUEST, &(struct failure){.message = message});
        return -1;
    }
    if (c->kind->flags & API_NAMESPACED) m->namespace = c->route.ns;
    if (str_empty(m->name) && !str_empty(m->generate_name))
        m->name = body_generate_name(c, m->generate_name);
    m->uid = uuid_new(c->a);
    m->creation_timestamp = time_now(c);
    m->deletion_timestamp = NULL;
    m->deletion_grace_period_seconds = NULL;
    m->self_link = NULL;
    m->managed_fields = (struct meta_v1_managed_fields_entry_list){0};
    m->generation = c->kind->flags & API_GENERATION ? 1 : 0;
    return 0;
}

void write_new(struct call *c, struct api_object *obj) {
    if (fresh_metadata(c, obj) < 0) return;
    const struct api_kind *k = storage_kind(c->kind);
    obj = api_convert(c->a, c->kind, k, obj);
    const struct api_behavior *b = api_kind_behavior(k);
    if (b && b->prepare) b->prepare(c->a, obj, NULL);
    if (str_empty(obj->metadata.name)) {
        struct api_causes causes = {.a = c->a};
        cause_required(&causes, "metadata.name", "name or generateName is required");
        reply_invalid(c, "", &causes);
        return;
    }
    if (write_prepare(c, obj, NULL, "") < 0) return;
    if (c->dry_run) {
        OWN(buf_done) struct buf json = {0};
        api_object_encode(&json, k, obj);
        reply_object(c, 201, convert_json(c->a, c->kind, buf_view(&json)));
        return;
    }
    struct write *w = write_copy(c, &(struct write){.status = 201});
    w->user = arena_str(c->a, obj->metadata.name);
    commit_submit(c->api, &(struct commit){STORE_CREATE, k, obj, 0}, on_created, w);
}

void verb_create(struct call *c) {
    struct err err;
    struct slice json;
    struct api_object *obj;
    if (body_options(c, &err) < 0 || body_json(c, &json, &err) < 0 ||
        body_object(c, c->kind, json, &obj, &err) < 0) {
        reply_error(c, &err);
        return;
    }
    if (c->kind->flags & API_VIRTUAL)
        review_create(c, obj);
    else
        write_new(c, obj);
}

/* ---- change ---- */

static void attempt(struct write *w);

static void on_changed(void *user, struct slice json, const struct err *err) {
    struct write *w = user;
    if (!err) {
        write_answer(w, json);
        return;
    }
    if (!w->c) {
        write_free(w);
        return;
    }
    if (err->reason == ERR_CONFLICT && !w->conditional && ++w->attempts < ATTEMPTS_MAX) {
        attempt(w);
        return;
    }
    write_fail(w, w->c->route.name, err);
}

/* Identity and version of the sent object against the current one. 1: answered. */
static int check_identity(struct write *w, struct object *current, const struct api_object *old,
                          struct api_object *obj) {
    struct call *c = w->c;
    struct meta_v1_object_meta *m = &obj->metadata;
    const struct meta_v1_object_meta *was = &old->metadata;
    const char *bad = NULL, *conflict = NULL;
    uint64_t revision = 0;
    if (!str_empty(m->resource_version) && slice_u64(slice_of(m->resource_version), &revision) < 0)
        bad = arena_printf(c->a, "metadata.resourceVersion: Invalid value: \"%s\"",
                           m->resource_version);
    if (str_empty(m->name)) m->name = was->name;
    if (!str_eq(m->name, c->route.name))
        bad = arena_printf(c->a,
                           "the name of the object (%s) does not match the name on the URL (%s)",
                           m->name, c->route.name);
    if (c->kind->flags & API_NAMESPACED && !str_empty(m->namespace) &&
        !str_eq(m->namespace, c->route.ns))
        bad = "the namespace of the object does not match the namespace on the request";
    if (!str_empty(m->uid) && !str_eq(m->uid, was->uid))
        conflict = arena_printf(
            c->a, "Precondition failed: UID in precondition: %s, UID in object meta: %s", m->uid,
            was->uid);
    else if (revision && revision != current->revision)
        conflict = modified;
    if (!bad && !conflict) return 0;
    if (bad)
        reply_failure(c, ERR_BAD_REQUEST, &(struct failure){.message = bad});
    else
        reply_conflict(c, c->route.name, conflict);
    return 1;
}

/* What a client can never change, and the part that this path does not write. */
static void keep_old_parts(struct write *w, struct api_object *obj, const struct api_object *old) {
    struct meta_v1_object_meta *m = &obj->metadata;
    const struct meta_v1_object_meta *was = &old->metadata;
    const struct api_kind *k = storage_kind(w->c->kind);
    if (str_eq(w->subresource, "status")) {
        struct api_object *full = api_object_copy(w->c->a, k, old);
        object_copy_field(k, full, obj, "status");
        full->metadata.labels = m->labels;
        full->metadata.annotations = m->annotations;
        memcpy(obj, full, k->type->size);
    } else if (k->flags & API_HAS_STATUS && !*w->subresource) {
        object_copy_field(k, obj, old, "status");
    }
    m->namespace = was->namespace;
    m->uid = was->uid;
    m->self_link = NULL;
    m->generate_name = was->generate_name;
    m->creation_timestamp = was->creation_timestamp;
    m->deletion_timestamp = was->deletion_timestamp;
    m->deletion_grace_period_seconds = was->deletion_grace_period_seconds;
    m->generation = was->generation;
    m->managed_fields = was->managed_fields;
}

/* A deletion that waited only for its finalizers is complete with this write. */
static bool deletion_complete(const struct write *w, const struct api_object *obj) {
    const struct meta_v1_object_meta *m = &obj->metadata;
    if (str_empty(m->deletion_timestamp) || m->finalizers.n) return false;
    if (m->deletion_grace_period_seconds && *m->deletion_grace_period_seconds > 0) return false;
    if (!str_eq(w->c->kind->plural, "namespaces") || *w->c->kind->group) return true;
    return ((const struct core_v1_namespace *)(const void *)obj)->spec.finalizers.n == 0;
}

static void store_change(struct write *w, struct object *current, struct api_object *obj) {
    struct call *c = w->c;
    const struct api_kind *k = storage_kind(c->kind);
    OWN(buf_done) struct buf json = {0};
    object_encode_at(&json, k, obj, current->revision);
    if (k->flags & API_GENERATION && object_spec_differs(buf_view(&json), object_json(current))) {
        obj->metadata.generation++;
        buf_clear(&json);
        object_encode_at(&json, k, obj, current->revision);
    }
    bool gone = deletion_complete(w, obj);
    if (c->dry_run || (!gone && slice_eq(buf_view(&json), object_json(current)))) {
        write_answer(w, buf_view(&json));
        return;
    }
    enum store_op op = gone ? STORE_DELETE : STORE_UPDATE;
    commit_submit(c->api, &(struct commit){op, k, obj, current->revision}, on_changed, w);
}

static void attempt(struct write *w) {
    struct call *c = w->c;
    const struct api_kind *k = storage_kind(c->kind);
    struct object *current = resource_get(c->resource, c->route.ns, c->route.name);
    if (!current) {
        write_free(w);
        reply_not_found(c, c->route.name);
        return;
    }
    struct err err = {0};
    struct api_object *old, *obj = NULL;
    int rc = api_object_decode(c->a, k, object_json(current), &old, &err);
    if (rc == 0) rc = w->build(w, current, old, &obj, &err);
    if (rc != 0) {
        write_free(w);
        if (rc < 0) reply_error(c, &err);
        return;
    }
    if (check_identity(w, current, old, obj)) {
        write_free(w);
        return;
    }
    keep_old_parts(w, obj, old);
    const struct api_behavior *b = api_kind_behavior(k);
    if (b && b->prepare && !*w->subresource) b->prepare(c->a, obj, old);
    if (write_prepare(c, obj, old, w->subresource) < 0) {
        write_free(w);
        return;
    }
    store_change(w, current, obj);
}

void write_existing(struct call *c, const struct write *w) {
    struct write *copy = write_copy(c, w);
    copy->attempts = 0;
    if (!copy->subresource) copy->subresource = "";
    attempt(copy);
}
