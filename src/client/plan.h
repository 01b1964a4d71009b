/*
 * What a reconciler wants done: an ordered list of writes, in an arena that lives until they are
 * applied. Making a plan does nothing. The engine applies it through the API: runs of creates and
 * runs of deletes may go in parallel, everything else in order; after the first failure the rest is
 * dropped and the key is reconciled again with back-off (at once after a conflict, when the newer
 * object has been seen). Reconcile must be idempotent: a second run on the resulting world gives an
 * empty plan.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/registry.h"

struct plan;

enum plan_op {
    PLAN_CREATE,
    PLAN_UPDATE,
    PLAN_UPDATE_STATUS,
    PLAN_PATCH,
    PLAN_DELETE,
    PLAN_EVENT,
    PLAN_REQUEST,
    PLAN_NOTE,
    PLAN_EVICT,
};

struct plan_step {
    enum plan_op op;
    const struct api_kind *kind;     /* of the object; PLAN_EVENT: of the one it is about */
    const struct api_object *object; /* create, update, update_status, delete, event; NULL else */
    const char *ns, *name;           /* "" when none; name: also of a note */
    const char *subresource;         /* patch */
    const char *content_type;        /* patch, request */
    struct slice body;               /* patch, request, note */
    const char *propagation;         /* delete; NULL = the kind's default */
    int64_t grace_period_s;          /* delete; −1 = the object's own */
    const char *method, *path;       /* request */
    const char *event_type, *reason, *message; /* event */
    /* plan_report on a create or delete: NULL when none */
    const struct api_object *report_about;
    const char *report_done, *report_failed;
    const char *report_done_text, *report_failed_text; /* NULL: the usual messages */
};

struct plan *plan_new(void);
void plan_free(struct plan *p);
void plan_free_p(struct plan **p); /* for OWN */
struct arena *plan_arena(struct plan *p);

/* The kind comes from the object's apiVersion and kind:
 * both must be set (api_object_new and api_object_copy do). Objects are not copied: they must live
 * in plan_arena or in the world. */
void plan_create(struct plan *p, const struct api_object *o);
/* PUT with o's resourceVersion as precondition. */
void plan_update(struct plan *p, const struct api_object *o);
void plan_update_status(struct plan *p, const struct api_object *o);
/* o's uid is the precondition. propagation NULL, "Orphan", "Background", "Foreground". */
void plan_delete(struct plan *p, const struct api_object *o, const char *propagation);
void plan_delete_grace(struct plan *p, const struct api_object *o, const char *propagation,
                       int64_t grace_period_s);
/* Patches the object that o names. subresource "", "status", "scale", …; content_type as for
 * api_patch. */
void plan_patch(struct plan *p, const struct api_object *o, const char *subresource,
                const char *content_type, struct slice patch);
/* Asks for the eviction of a pod (pods/NAME/eviction), its uid the precondition. That a disruption
 * budget forbids it, or that the pod has gone, is no failure; plan_report_as tells which. */
void plan_evict(struct plan *p, const struct api_object *pod);
/* Any other request, e.g. PUT …/namespaces/x/finalize. */
void plan_request(struct plan *p, const char *method, const char *path, const char *content_type,
                  struct slice body);
/* An Event about o; never fails the plan. type "Normal" or "Warning". */
void plan_event(struct plan *p, const struct api_object *about, const char *type,
                const char *reason, const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* Makes the last step, a create or delete, tell its outcome by an Event about `about`: done_reason
 * "Created pod: NAME" / "Deleted pod: NAME", or the Warning failed_reason "Error creating: …" /
 * "Error deleting: …". The name may come from generateName. */
void plan_report(struct plan *p, const struct api_object *about, const char *done_reason,
                 const char *failed_reason);
/* The same, of a patch too, with messages of its own: done_text, and failed_text followed by
 * " error: …". */
void plan_report_as(struct plan *p, const struct api_object *about, const char *done_reason,
                    const char *done_text, const char *failed_reason, const char *failed_text);
/* What the server answered to a reported write that failed when this key was last
 * reconciled; NULL: none failed. For status conditions, which must stand before those writes in the
 * plan: after the next failure the rest is dropped again. */
const char *plan_last_failure(const struct plan *p);
void plan_set_last_failure(struct plan *p, const char *text); /* the engine, tests; copies */
/* Reconcile this key again after that time (the smallest of several counts), changes or not. */
void plan_requeue(struct plan *p, uint64_t after_ms);

/* Wants the answer to GET of this path as a fact of the world, anew every period after the answer
 * before; each answer, also a failure, runs this key again. Holds until a run of this key that
 * succeeds does not want it any more. Failures are asked again less and less often, up to every
 * 4 s. Nobody asks for what nobody wants. */
void plan_want(struct plan *p, const char *path, uint64_t period_ms);
/* Writes a fact down in the world, in its turn between the other steps: a memory of what led to
 * decisions, not stored, gone with the process. Names begin with the reconciler's, then the key. An
 * empty body removes it. */
void plan_note(struct plan *p, const char *name, struct slice body);

/* Copies everything that the steps still borrow from the world: must be called before the world may
 * change (the engine does, when reconcile has returned). */
void plan_detach(struct plan *p);

/* Reading a plan: the engine, tests. */
size_t plan_count(const struct plan *p);
const struct plan_step *plan_at(const struct plan *p, size_t i);
/* Steps of one operation on one kind (kind NULL: any). */
size_t plan_count_of(const struct plan *p, enum plan_op op, const char *kind);
const struct plan_step *plan_find(const struct plan *p, enum plan_op op, const char *kind,
                                  size_t nth);
bool plan_requeue_ms(const struct plan *p, uint64_t *ret_after_ms); /* false: not asked for */
/* The i-th path that is wanted; NULL at the end. */
const char *plan_want_at(const struct plan *p, size_t i, uint64_t *ret_period_ms);
/* One line per step ("create Pod default/web-"), for test messages and logs. */
void plan_describe(const struct plan *p, struct buf *b);
