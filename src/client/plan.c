#include "client/plan.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/vec.h"
#include "client/projection.h"

struct plan {
    struct arena *a;
    struct {
        struct plan_step *v;
        size_t n;
    } steps;
    struct {
        struct want {
            const char *path;
            uint64_t period_ms;
        } * v;
        size_t n;
    } wants;
    bool requeue;
    uint64_t requeue_ms;
    const char *last_failure;
};

struct plan *plan_new(void) {
    struct plan *p = calloc(1, sizeof *p);
    if (!p) abort();
    p->a = arena_new();
    return p;
}

void plan_free(struct plan *p) {
    if (!p) return;
    arena_free(p->a);
    free(p);
}

void plan_free_p(struct plan **p) { plan_free(*p); }
struct arena *plan_arena(struct plan *p) {
    return p->a;
}

static struct plan_step *step(struct plan *p, enum plan_op op, const struct api_object *o) {
    struct plan_step *s = ARENA_PUSH(p->a, &p->steps);
    *s = (struct plan_step){
        .op = op, .object = o, .ns = "", .name = "", .subresource = "", .grace_period_s = -1};
    if (!o) return s;
    s->kind = api_kind_by_api_version(o->api_version, o->kind);
    s->ns = str_or(o->metadata.namespace, "");
    s->name = str_or(o->metadata.name, "");
    return s;
}

void plan_create(struct plan *p, const struct api_object *o) { step(p, PLAN_CREATE, o); }

/* What a reconciler sees of a projected kind is not the object: writing that back would cut it. */
static struct plan_step *whole_step(struct plan *p, enum plan_op op, const struct api_object *o) {
    struct plan_step *s = step(p, op, o);
    if (projection_of(s->kind)) {
        fprintf(stderr, "plan: %s is seen through a projection: patch it\n", s->kind->kind);
        abort();
    }
    return s;
}

void plan_update(struct plan *p, const struct api_object *o) { whole_step(p, PLAN_UPDATE, o); }

void plan_update_status(struct plan *p, const struct api_object *o) {
    whole_step(p, PLAN_UPDATE_STATUS, o)->subresource = "status";
}

void plan_delete_grace(struct plan *p, const struct api_object *o, const char *propagation,
                       int64_t grace_period_s) {
    struct plan_step *s = step(p, PLAN_DELETE, o);
    s->propagation = arena_str(p->a, propagation);
    s->grace_period_s = grace_period_s;
}

void plan_delete(struct plan *p, const struct api_object *o, const char *propagation) {
    plan_delete_grace(p, o, propagation, -1);
}

void plan_patch(struct plan *p, const struct api_object *o, const char *subresource,
                const char *content_type, struct slice patch) {
    struct plan_step *s = step(p, PLAN_PATCH, o);
    s->subresource = arena_str(p->a, str_or(subresource, ""));
    s->content_type = arena_str(p->a, content_type);
    s->body = slice_from(arena_strn(p->a, patch), patch.n);
}

void plan_evict(struct plan *p, const struct api_object *pod) { step(p, PLAN_EVICT, pod); }

void plan_request(struct plan *p, const char *method, const char *path, const char *content_type,
                  struct slice body) {
    struct plan_step *s = step(p, PLAN_REQUEST, NULL);
    s->method = arena_str(p->a, method);
    s->path = arena_str(p->a, path);
    s->content_type = arena_str(p->a, content_type);
    if (body.p) s->body = slice_from(arena_strn(p->a, body), body.n);
}

void plan_event(struct plan *p, const struct api_object *about, const char *type,
                const char *reason, const char *fmt, ...) {
    struct plan_step *s = step(p, PLAN_EVENT, about);
    s->event_type = arena_str(p->a, type);
    s->reason = arena_str(p->a, reason);
    va_list ap;
    va_start(ap, fmt);
    s->message = arena_vprintf(p->a, fmt, ap);
    va_end(ap);
}

void plan_report(struct plan *p, const struct api_object *about, const char *done_reason,
                 const char *failed_reason) {
    assert(p->steps.n > 0);
    struct plan_step *s = &p->steps.v[p->steps.n - 1];
    assert(s->op == PLAN_CREATE || s->op == PLAN_DELETE || s->op == PLAN_PATCH ||
           s->op == PLAN_EVICT);
    s->report_about = about;
    s->report_done = arena_str(p->a, done_reason);
    s->report_failed = arena_str(p->a, failed_reason);
}

void plan_report_as(struct plan *p, const struct api_object *about, const char *done_reason,
                    const char *done_text, const char *failed_reason, const char *failed_text) {
    plan_report(p, about, done_reason, failed_reason);
    struct plan_step *s = &p->steps.v[p->steps.n - 1];
    s->report_done_text = arena_str(p->a, done_text);
    s->report_failed_text = arena_str(p->a, failed_text);
}

const char *plan_last_failure(const struct plan *p) { return p->last_failure; }

void plan_set_last_failure(struct plan *p, const char *text) {
    p->last_failure = text ? arena_str(p->a, text) : NULL;
}

void plan_requeue(struct plan *p, uint64_t after_ms) {
    if (!p->requeue || after_ms < p->requeue_ms) p->requeue_ms = after_ms;
    p->requeue = true;
}

bool plan_requeue_ms(const struct plan *p, uint64_t *ret_after_ms) {
    if (p->requeue) *ret_after_ms = p->requeue_ms;
    return p->requeue;
}

void plan_want(struct plan *p, const char *path, uint64_t period_ms) {
    for (size_t i = 0; i < p->wants.n; i++)
        if (str_eq(p->wants.v[i].path, path)) return;
    *ARENA_PUSH(p->a, &p->wants) = (struct want){arena_str(p->a, path), period_ms};
}

const char *plan_want_at(const struct plan *p, size_t i, uint64_t *ret_period_ms) {
    if (i >= p->wants.n) return NULL;
    *ret_period_ms = p->wants.v[i].period_ms;
    return p->wants.v[i].path;
}

void plan_note(struct plan *p, const char *name, struct slice body) {
    struct plan_step *s = step(p, PLAN_NOTE, NULL);
    s->name = arena_str(p->a, name);
    s->body = slice_from(arena_strn(p->a, body), body.n);
}

/* Kind and metadata: all that deletes, patches and events need. */
static const struct api_object *head_copy(struct arena *a, const struct api_object *o) {
    struct api_object *copy = ARENA_NEW(a, struct api_object);
    const struct meta_v1_object_meta *m = api_copy(a, &meta_v1_object_meta_type, &o->metadata);
    *copy = (struct api_object){arena_str(a, o->api_version), arena_str(a, o->kind), *m};
    return copy;
}

void plan_detach(struct plan *p) {
    const struct api_object *about = NULL, *about_copy = NULL;
    for (size_t i = 0; i < p->steps.n; i++) {
        struct plan_step *s = &p->steps.v[i];
        if (!s->object) continue;
        bool whole = s->op == PLAN_CREATE || s->op == PLAN_UPDATE || s->op == PLAN_UPDATE_STATUS;
        s->object = whole && s->kind ? api_object_copy(p->a, s->kind, s->object)
                                     : head_copy(p->a, s->object);
        s->ns = str_or(s->object->metadata.namespace, "");
        s->name = str_or(s->object->metadata.name, "");
        if (!s->report_about) continue;
        if (s->report_about != about) about_copy = head_copy(p->a, about = s->report_about);
        s->report_about = about_copy;
    }
}

size_t plan_count(const struct plan *p) { return p->steps.n; }

const struct plan_step *plan_at(const struct plan *p, size_t i) {
    return i < p->steps.n ? &p->steps.v[i] : NULL;
}

const struct plan_step *plan_find(const struct plan *p, enum plan_op op, const char *kind,
                                  size_t nth) {
    for (size_t i = 0; i < p->steps.n; i++) {
        const struct plan_step *s = &p->steps.v[i];
        if (s->op != op || (kind && (!s->object || !str_eq(s->object->kind, kind)))) continue;
        if (nth-- == 0) return s;
    }
    return NULL;
}

size_t plan_count_of(const struct plan *p, enum plan_op op, const char *kind) {
    size_t n = 0;
    while (plan_find(p, op, kind, n)) n++;
    return n;
}

void plan_describe(const struct plan *p, struct buf *b) {
    static const char *const names[] = {[PLAN_CREATE] = "create",
                                        [PLAN_UPDATE] = "update",
                                        [PLAN_UPDATE_STATUS] = "update status",
                                        [PLAN_PATCH] = "patch",
                                        [PLAN_DELETE] = "delete",
                                        [PLAN_EVENT] = "event",
                                        [PLAN_REQUEST] = "request",
                                        [PLAN_NOTE] = "note",
                                        [PLAN_EVICT] = "evict"};
    for (size_t i = 0; i < p->steps.n; i++) {
        const struct plan_step *s = &p->steps.v[i];
        buf_str(b, names[s->op]);
        if (s->op == PLAN_REQUEST) {
            buf_printf(b, " %s %s\n", s->method, s->path);
            continue;
        }
        if (s->op == PLAN_NOTE) {
            buf_printf(b, " %s %.*s\n", s->name, (int)s->body.n, s->body.p);
            continue;
        }
        const char *name = *s->name ? s->name : str_or(s->object->metadata.generate_name, "");
        buf_printf(b, " %s %s%s%s", s->object->kind, s->ns, *s->ns ? "/" : "", name);
        if (s->op == PLAN_EVENT) buf_printf(b, " %s: %s", s->reason, s->message);
        if (s->op == PLAN_PATCH) buf_printf(b, " %.*s", (int)s->body.n, s->body.p);
        buf_char(b, '\n');
    }
}
