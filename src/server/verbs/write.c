#include "server/verbs/write_impl.h"

#include "api/custom/custom.h"
#include "api/table.h"
#include "api/values/names.h"
#include "base/own.h"
#include "server/admission/plugin.h"
#include "server/admission/service_allocation.h"
#include "server/custom/conversion_write.h"
#include "server/custom/rules.h"
#include "server/media/body.h"
#include "server/media/convert.h"

const char write_modified[] = "the object has been modified; please apply your changes to the "
                              "latest version and try again";

/* ---- what both ways share ---- */

static void store_write(struct write *w);

/* Requests wait for the store without on_close: they outlive a client that goes away. */
struct write *write_begin(struct call *c, const struct write *from) {
    struct write *w = ARENA_NEW(c->a, struct write);
    *w = *from;
    w->c = c;
    w->api = c->api;
    if (!w->subresource) w->subresource = "";
    return w;
}

void write_over(struct write *w, bool stored) {
    if (w->admission) admission_settle(w->admission, stored);
    w->admission = NULL;
    write_order_end(w);
    object_unref(w->current);
    w->current = NULL;
}

void write_fail(struct write *w, const struct err *err) {
    struct call *c = w->c;
    write_over(w, false);
    if (err->reason == ERR_CONFLICT)
        reply_conflict(c, w->name, write_modified);
    else if (err->reason == ERR_NOT_FOUND && w->sent)
        reply_not_found(c, w->name);
    else
        reply_error(c, err);
}

void write_answer(struct write *w, struct slice json, bool stored) {
    struct call *c = w->c;
    write_over(w, stored);
    if (w->asked) json = write_asked_form(w, json);
    if (w->answer)
        w->answer(w, json);
    else
        reply_object(c, w->status, convert_json(c->a, c->kind, json));
}

/* True when there are causes: the write is over. */
static bool write_invalid(struct write *w, const struct api_causes *causes) {
    if (!causes->n) return false;
    const struct meta_v1_object_meta *m = &w->object->metadata;
    write_over(w, false);
    reply_invalid(w->c, str_or(m->name, str_or(m->generate_name, "")), causes);
    return true;
}

/* A plugin refused. */
static void write_refused(struct write *w, int answer) {
    struct admission *ad = w->admission;
    write_over(w, false);
    admission_reply(ad, answer);
}

static void apply_defaults(struct write *w) {
    const struct api_kind *k = storage_kind(w->c->kind);
    const struct api_behavior *b = api_kind_behavior(k);
    api_default(w->c->a, k->type, w->object);
    if (b && b->defaults) b->defaults(w->c->a, w->object);
}

static void on_validated(struct admission *ad, int answer) {
    struct write *w = ad->user;
    if (answer != ADMISSION_OK) {
        write_refused(w, answer);
        return;
    }
    struct api_causes causes = {.a = w->c->a};
    if (!*w->subresource) service_allocate(ad, &causes);
    if (!write_invalid(w, &causes)) write_next(w, store_write);
}

/* A form that is not the stored one may be stricter about itself (events.k8s.io). */
static void form_validate(struct write *w, struct api_causes *causes) {
    struct arena *a = w->c->a;
    const struct api_kind *form = w->c->kind, *k = storage_kind(form);
    const struct api_behavior *b = form == k ? NULL : api_kind_behavior(form);
    if (!b || !b->validate) return;
    struct api_object *old = w->old ? api_convert(a, k, form, api_object_copy(a, k, w->old)) : NULL;
    b->validate(api_convert(a, k, form, w->object), old, w->subresource, causes);
}

static void on_mutated(struct admission *ad, int answer) {
    struct write *w = ad->user;
    struct call *c = w->c;
    if (answer != ADMISSION_OK) {
        write_refused(w, answer);
        return;
    }
    struct err err;
    if (!w->view) {
        w->object = ad->object;
    } else if (ad->defaults_again && w->view->take(w, ad->object, &err) < 0) {
        write_fail(w, &err);
        return;
    }
    if (ad->defaults_again) apply_defaults(w);
    if (ad->defaults_again && c->kind->custom) custom_read(c->a, c->kind, w->object, NULL, NULL);
    const struct api_kind *k = storage_kind(c->kind);
    const struct api_behavior *b = api_kind_behavior(k);
    struct api_causes causes = {.a = c->a};
    api_validate_metadata(k, &w->object->metadata, w->old ? &w->old->metadata : NULL, &causes);
    api_validate(k->type, w->object, w->old, "", &causes);
    if (b && b->validate) b->validate(w->object, w->old, w->subresource, &causes);
    form_validate(w, &causes);
    if (c->kind->custom) custom_object_validate(c->kind, w->object, w->old, &causes);
    if (write_invalid(w, &causes)) return;
    if (w->admitted)
        on_validated(ad, ADMISSION_OK);
    else
        admission_validate(ad, on_validated);
}

/* Admission is asked about what the client sees. */
static int show_view(struct write *w, struct admission *ad, struct err *err) {
    struct api_object *now, *old = NULL;
    int rc = w->view->show(w, w->object, &now, err);
    if (rc == 0 && w->old) rc = w->view->show(w, w->old, &old, err);
    ad->object_kind = w->view->kind;
    ad->object = now;
    ad->old = old;
    return rc;
}

static void admit(struct write *w) {
    struct call *c = w->c;
    struct admission *ad = ARENA_NEW(c->a, struct admission);
    *ad = (struct admission){.c = c,
                             .api = c->api,
                             .a = c->a,
                             .operation = w->old ? ADMIT_UPDATE : ADMIT_CREATE,
                             .kind = storage_kind(c->kind),
                             .object = w->object,
                             .old = w->old,
                             .current = w->current,
                             .subresource = w->subresource,
                             .ns = str_or(w->object->metadata.namespace, ""),
                             .name = str_or(w->object->metadata.name, ""),
                             .dry_run = c->dry_run,
                             .user = w};
    w->admission = ad;
    struct err err;
    if (w->view && show_view(w, ad, &err) < 0)
        write_fail(w, &err);
    else if (w->admitted)
        on_mutated(ad, ADMISSION_OK);
    else
        admission_mutate(ad, on_mutated);
}

/* w->object and w->old are there: defaults, admission, validation, store, answer. */
void write_run(struct write *w) {
    apply_defaults(w);
    write_track(w);
    write_next(w, admit);
}

/* ---- the store ---- */

static void on_created(void *user, struct slice json, const struct err *err);

static struct commit commit_of(struct write *w) {
    uint64_t revision = w->current ? w->current->revision : 0;
    return (struct commit){w->op, storage_kind(w->c->kind), w->object, revision};
}

static void send_text(struct write *w) {
    struct commit commit = commit_of(w);
    commit_send(w->api, &commit, &w->text, w->op == STORE_CREATE ? on_created : write_changed, w);
}

static void write_commit(struct write *w) {
    int answer = w->op == STORE_CREATE ? admission_still(w->admission) : ADMISSION_OK;
    if (answer != ADMISSION_OK) {
        write_refused(w, answer);
        return;
    }
    struct commit commit = commit_of(w);
    w->sent = true;
    if (w->op != STORE_CREATE) write_order_begin(w);
    commit_encode(&commit, &w->text);
    write_next(w, send_text);
}

static void on_stored_form(struct write *w, const struct err *err) {
    w->admission->waited = true;
    if (err)
        write_fail(w, err);
    else
        write_commit(w);
}

void write_submit(struct write *w, enum store_op op) {
    w->op = op;
    if (!write_stored_form(w, on_stored_form)) write_next(w, write_commit);
}

/* ---- create ---- */

static void on_created(void *user, struct slice json, const struct err *err) {
    struct write *w = user;
    struct call *c = w->c;
    if (!err) {
        write_answer(w, json, true);
        return;
    }
    if (err->reason != ERR_ALREADY_EXISTS) {
        write_fail(w, err);
        return;
    }
    write_over(w, false);
    if (w->creates && ++w->attempts < WRITE_ATTEMPTS_MAX) { /* somebody else made it meanwhile */
        write_attempt(w);
        return;
    }
    const char *title = resource_title(c->a, c->route.group, c->route.plural);
    reply_failure(
        c, ERR_ALREADY_EXISTS,
        &(struct failure){.message = arena_printf(c->a, "%s \"%s\" already exists", title, w->name),
                          .name = w->name,
                          .group = c->route.group,
                          .kind = c->route.plural});
}

static void store_create(struct write *w) {
    struct call *c = w->c;
    const struct api_kind *k = storage_kind(c->kind);
    managed_stamp(&w->managed, time_now(c));
    w->object->metadata.managed_fields = w->managed.entries;
    if (c->dry_run) {
        OWN(buf_done) struct buf json = {0};
        api_object_encode(&json, k, w->object);
        write_answer(w, buf_view(&json), false);
        return;
    }
    w->name = w->object->metadata.name;
    write_submit(w, STORE_CREATE);
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
    m->generation = c->kind->flags & API_GENERATION ? 1 : 0;
    return 0;
}

/* obj is what the client wants, in the form of its request. */
void write_fresh(struct write *w, struct api_object *obj) {
    struct call *c = w->c;
    if (fresh_metadata(c, obj) < 0) return;
    const struct api_kind *k = storage_kind(c->kind);
    obj = api_convert(c->a, c->kind, k, obj);
    const struct api_behavior *b = api_kind_behavior(k);
    if (b && b->prepare) b->prepare(c->a, obj, NULL);
    if (k->custom && c->kind->flags & API_HAS_STATUS) custom_reset_status(c->a, k, obj);
    if (str_empty(obj->metadata.name)) {
        struct api_causes causes = {.a = c->a};
        cause_required(&causes, "metadata.name", "name or generateName is required");
        reply_invalid(c, "", &causes);
        return;
    }
    w->sent_fields = obj->metadata.managed_fields;
    w->object = obj;
    w->old = NULL;
    write_cut(w);
    write_next(w, write_run);
}

static void write_new(struct call *c, struct api_object *obj) {
    write_fresh(write_begin(c, &(struct write){.status = 201}), obj);
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

static void store_write(struct write *w) {
    if (w->old)
        write_store_change(w);
    else
        store_create(w);
}
