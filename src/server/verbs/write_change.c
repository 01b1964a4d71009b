/* Writes to objects that exist: PUT, PATCH, subresources, and what is made when there is none. */
#include "server/verbs/write_impl.h"

#include "api/custom/custom.h"
#include "api/rules/deletion.h"
#include "api/table.h"
#include "base/own.h"
#include "server/auth/authz.h"
#include "server/custom/conversion_write.h"
#include "server/media/body.h"
#include "server/media/convert.h"

void write_changed(void *user, struct slice json, const struct err *err) {
    struct write *w = user;
    if (!err) {
        write_answer(w, json, true);
        return;
    }
    if (err->reason == ERR_CONFLICT && !w->conditional && ++w->attempts < WRITE_ATTEMPTS_MAX) {
        write_over(w, false);
        write_attempt(w);
        return;
    }
    write_fail(w, err);
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
        bad = arena_printf(c->a,
                           "the namespace of the object (%s) does not match the namespace on the "
                           "request (%s)",
                           m->namespace, c->route.ns);
    if (!str_empty(m->uid) && !str_eq(m->uid, was->uid))
        conflict = arena_printf(
            c->a, "Precondition failed: UID in precondition: %s, UID in object meta: %s", m->uid,
            was->uid);
    else if (revision && revision != current->revision)
        conflict = write_modified;
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
        if (!k->custom) { /* of custom resources not even the metadata */
            full->metadata.labels = m->labels;
            full->metadata.annotations = m->annotations;
        }
        memcpy(obj, full, k->type->size);
    } else if (w->c->kind->flags & API_HAS_STATUS && !*w->subresource) {
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

void write_store_change(struct write *w) {
    struct call *c = w->c;
    const struct api_kind *k = storage_kind(c->kind);
    struct object *current = w->current;
    struct api_object *obj = w->object;
    OWN(buf_done) struct buf json = {0};
    buf_reserve(&json, object_json(current).n);
    object_encode_at(&json, k, obj, current->revision);
    bool differs = k->custom ? custom_spec_differs(c->kind, obj, w->old)
                             : object_spec_differs(buf_view(&json), object_json(current));
    if (k->flags & API_GENERATION && differs) {
        obj->metadata.generation++;
        buf_clear(&json);
        object_encode_at(&json, k, obj, current->revision);
    }
    bool gone = deletion_is_complete(w->c->kind, obj);
    bool same = !gone && slice_eq(buf_view(&json), object_json(current));
    if (!same) managed_stamp(&w->managed, time_now(c));
    obj->metadata.managed_fields = w->managed.entries;
    if (c->dry_run || same) {
        buf_clear(&json);
        object_encode_at(&json, k, obj, current->revision);
        write_answer(w, buf_view(&json), false);
        return;
    }
    write_submit(w, gone ? STORE_DELETE : STORE_UPDATE);
}

/* ---- what is made when there is none ---- */

bool write_may_create(struct call *c) {
    struct attributes at = {.verb = "create",
                            .group = c->route.group,
                            .resource = c->route.plural,
                            .subresource = "",
                            .name = c->route.name,
                            .ns = c->route.ns};
    if (authz_allows(c->api->authz, &c->user, &at)) return true;
    reply_failure(c, ERR_FORBIDDEN,
                  &(struct failure){.message = authz_refusal(c->a, &c->user, &at),
                                    .name = c->route.name,
                                    .group = c->route.group,
                                    .kind = c->route.plural});
    return false;
}

int write_name_new(struct call *c, struct api_object *obj) {
    struct meta_v1_object_meta *m = &obj->metadata;
    if (str_empty(m->name)) m->name = c->route.name;
    if (str_eq(m->name, c->route.name)) return 0;
    reply_failure(
        c, ERR_BAD_REQUEST,
        &(struct failure){.message = arena_printf(c->a,
                                                  "the name of the object (%s) does not match the "
                                                  "name on the URL (%s)",
                                                  m->name, c->route.name)});
    return 1;
}

/* There is no such object: the write makes it. */
static void attempt_create(struct write *w) {
    struct err err = {0};
    struct api_object *obj = NULL;
    int rc = w->build(w, NULL, NULL, &obj, &err);
    w->status = 201;
    if (rc == 0) write_fresh(w, obj);
    if (rc < 0) reply_error(w->c, &err);
}

static void attempt_change(struct write *w);

static void on_current_form(struct write *w, const struct err *err) {
    if (err)
        write_fail(w, err);
    else
        attempt_change(w);
}

void write_attempt(struct write *w) {
    struct call *c = w->c;
    if (write_waits(w)) return;
    struct object *current = resource_get(c->resource, c->route.ns, c->route.name);
    w->asked = NULL;
    w->cut = false;
    if (!current) {
        if (w->creates)
            attempt_create(w);
        else
            reply_not_found(c, c->route.name);
        return;
    }
    w->current = object_ref(current);
    write_cut(w);
    if (!write_current_form(w, on_current_form)) attempt_change(w);
}

static void build_wanted(struct write *w) {
    struct call *c = w->c;
    const struct api_kind *k = storage_kind(c->kind);
    const struct api_object *old = w->old;
    struct err err = {0};
    struct api_object *obj = NULL;
    int rc = w->build(w, w->current, old, &obj, &err);
    if (rc == WRITE_MORE) {
        write_next(w, build_wanted);
        return;
    }
    if (rc == 0 && check_identity(w, w->current, old, obj)) rc = 1;
    if (rc != 0) {
        write_over(w, false);
        if (rc < 0) reply_error(c, &err);
        return;
    }
    w->sent_fields = obj->metadata.managed_fields;
    keep_old_parts(w, obj, old);
    const struct api_behavior *b = api_kind_behavior(k);
    if (b && b->prepare && !*w->subresource) b->prepare(c->a, obj, old);
    if (b && b->prepare_subresource && *w->subresource)
        b->prepare_subresource(c->a, obj, old, w->subresource);
    w->object = obj;
    write_next(w, write_run);
}

static void decode_current(struct write *w) {
    struct call *c = w->c;
    struct err err;
    struct api_object *old;
    if (api_object_decode(c->a, storage_kind(c->kind), object_json(w->current), &old, &err) < 0) {
        write_fail(w, &err);
        return;
    }
    w->old = old;
    write_next(w, build_wanted);
}

/* w->current is in the version of the request, or in the stored one of a kind that needs no
 * webhook.
 */
static void attempt_change(struct write *w) { write_next(w, decode_current); }

void write_existing(struct call *c, const struct write *from) {
    struct write *w = write_begin(c, from);
    w->name = c->route.name;
    w->attempts = 0;
    write_attempt(w);
}
