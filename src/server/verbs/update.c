/* PUT and PATCH: how the wanted object is made from the body and the current one. */
#include <jansson.h>
#include <string.h>

#include "api/patch/patch.h"
#include "api/patch/strategic.h"
#include "base/own.h"
#include "proto/json.h"
#include "server/media/body.h"
#include "server/media/convert.h"
#include "server/verbs/write.h"

/* The version that a client saw of what is gone since is not asked for: it is made anew. */
static int put_new(struct call *c, struct api_object *obj) {
    struct meta_v1_object_meta *m = &obj->metadata;
    if (write_name_new(c, obj) || !write_may_create(c)) return 1;
    m->resource_version = NULL;
    if (str_empty(m->uid)) return 0;
    reply_conflict(
        c, c->route.name,
        arena_printf(c->a,
                     "Precondition failed: UID in precondition: %s, UID in object meta: ", m->uid));
    return 1;
}

static int build_put(struct write *w, struct object *current, const struct api_object *old,
                     struct api_object **ret, struct err *err) {
    struct call *c = w->c;
    struct slice json;
    struct api_object *obj;
    c->warnings = (struct str_list){0};
    int rc = body_json(c, &json, err);
    if (rc == 0) rc = body_object(c, c->kind, json, &obj, err);
    if (rc < 0) return rc;
    if (!old) {
        *ret = obj;
        return put_new(c, obj);
    }
    if (str_empty(obj->metadata.resource_version) && !(c->kind->flags & API_UNCONDITIONAL_UPDATE)) {
        struct api_causes causes = {.a = c->a};
        *ARENA_PUSH(c->a, &causes) =
            (struct api_cause){"FieldValueInvalid", "metadata.resourceVersion",
                               "Invalid value: 0x0: must be specified for an update"};
        reply_invalid(c, c->route.name, &causes);
        return 1;
    }
    w->conditional = !str_empty(obj->metadata.resource_version);
    *ret = api_convert(c->a, c->kind, storage_kind(c->kind), obj);
    return 0;
}

static const char *route_subresource(const struct call *c) {
    return str_or(c->route.subresource, "");
}

void verb_update(struct call *c) {
    struct err err;
    if (body_options(c, &err) < 0) {
        reply_error(c, &err);
        return;
    }
    const char *subresource = route_subresource(c);
    write_existing(
        c, &(struct write){.build = build_put,
                           .status = 200,
                           .creates = c->kind->flags & API_CREATE_ON_UPDATE && !*subresource,
                           .subresource = subresource});
}

/* ---- PATCH ---- */

static int apply(struct slice body, const struct api_type *type, enum patch_kind kind, json_t *doc,
                 json_t **ret, struct err *err) {
    if (kind == PATCH_JSON) return patch_json(doc, body, ret, err);
    if (kind == PATCH_MERGE) return patch_merge(doc, body, ret, err);
    OWN(json_decref_p) json_t *patch = NULL;
    int rc = patch_parse(body, &patch, err);
    return rc < 0 ? rc : patch_strategic(type, doc, patch, ret, err);
}

static struct slice tree_text(struct arena *a, const json_t *v) {
    struct buf b = {0};
    json_write(&b, v);
    arena_finally(a, free, b.p);
    return buf_view(&b);
}

/* A patch with a key twice: the last one counts, unless the client is strict. */
static int without_duplicates(struct call *c, struct slice *body, struct err *err) {
    OWN(json_decref_p) json_t *v = NULL;
    int rc = body_duplicates(c, *body, &v, err);
    if (rc < 0) return rc;
    *body = tree_text(c->a, v);
    return 0;
}

static int patched(struct call *c, const struct api_type *type, enum patch_kind kind, json_t *doc,
                   json_t **ret, struct err *err) {
    struct slice body = c->r->body;
    struct err why = {0};
    int rc = apply(body, type, kind, doc, ret, &why);
    bool duplicates = rc < 0 && strstr(why.text, "duplicate object key");
    if (!duplicates) {
        *err = why;
        return rc;
    }
    rc = without_duplicates(c, &body, err);
    return rc < 0 ? rc : apply(body, type, kind, doc, ret, err);
}

static int before_patch(struct slice before, json_t **ret, struct err *err) {
    struct err why;
    if (json_parse_last(before, ret, &why) == 0) return 0;
    return err_set(err, ERR_INTERNAL, "the stored object is not JSON: %s", why.text);
}

int update_patched(struct call *c, const struct api_type *type, struct slice before,
                   struct slice *ret, struct err *err) {
    enum patch_kind kind = PATCH_JSON;
    OWN(json_decref_p) json_t *doc = NULL, *result = NULL;
    int rc = body_patch_kind(c, &kind, err);
    if (rc == 0) rc = before_patch(before, &doc, err);
    if (rc == 0) rc = patched(c, type, kind, doc, &result, err);
    if (rc == 0) *ret = tree_text(c->a, result);
    return rc;
}

/* What the parts of a patch leave to the next one. */
struct parts {
    enum patch_kind kind;
    json_t *doc, *result;
    struct slice after;
};

static int patch_part(struct write *w, struct parts *p, struct slice before, struct err *err) {
    struct call *c = w->c;
    if (!p->doc) {
        c->warnings = (struct str_list){0};
        int rc = body_patch_kind(c, &p->kind, err);
        return rc < 0 ? rc : before_patch(before, &p->doc, err);
    }
    if (!p->result) return patched(c, c->kind->type, p->kind, p->doc, &p->result, err);
    p->after = tree_text(c->a, p->result);
    return 0;
}

static void parts_clear(struct parts *p) {
    json_decref(p->doc);
    json_decref(p->result);
    *p = (struct parts){0};
}

/* What does not decode is told as the value of the patch, as upstream does. 1: answered. */
static int refuse_result(struct call *c, struct slice json, const struct err *err) {
    struct api_causes causes = {.a = c->a};
    const char *why = strstr(err->text, " cannot be handled as a ");
    why = why ? strstr(why, ": ") : NULL;
    cause_invalid(&causes, "patch", arena_strn(c->a, json), why ? why + 2 : err->text);
    reply_failure(c, ERR_INVALID,
                  &(struct failure){.message = arena_printf(c->a, " \"\" is invalid: patch: %s",
                                                            causes.v[0].message),
                                    .causes = &causes});
    return 1;
}

/* In four parts. */
static int build_patch(struct write *w, struct object *current, const struct api_object *old,
                       struct api_object **ret, struct err *err) {
    struct call *c = w->c;
    struct api_object *obj;
    struct parts *p = w->user;
    if (!p->after.p) {
        int rc = patch_part(w, p, convert_json(c->a, c->kind, object_json(current)), err);
        if (rc == 0) return WRITE_MORE;
        parts_clear(p);
        return str_starts(err->text, "strict decoding error") ? refuse_result(c, c->r->body, err)
                                                              : rc;
    }
    struct slice after = p->after;
    int rc = body_object(c, c->kind, after, &obj, err);
    parts_clear(p);
    if (rc < 0) return err->reason == ERR_BAD_REQUEST ? refuse_result(c, after, err) : rc;
    if (str_empty(obj->metadata.name))
        return err_set(err, ERR_BAD_REQUEST,
                       "the name of the object (%s based on URL) was undeterminable: name must be "
                       "provided",
                       c->route.name);
    /* A version inside the patch is a precondition; else it is the current one's. */
    w->conditional = !str_eq(obj->metadata.resource_version, old->metadata.resource_version);
    *ret = api_convert(c->a, c->kind, storage_kind(c->kind), obj);
    return 0;
}

void verb_patch(struct call *c) {
    struct err err;
    enum patch_kind kind; /* told before the object is looked for */
    if (body_options(c, &err) < 0 || body_patch_kind(c, &kind, &err) < 0) {
        reply_error(c, &err);
        return;
    }
    if (kind == PATCH_APPLY) {
        apply_handle(c);
        return;
    }
    write_existing(c, &(struct write){.build = build_patch,
                                      .status = 200,
                                      .subresource = route_subresource(c),
                                      .user = ARENA_NEW(c->a, struct parts)});
}
