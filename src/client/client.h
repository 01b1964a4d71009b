/*
 * Typed API client for services: HTTP/1.1 keep-alive over the unix socket api.sock (identity by
 * peer credentials). All calls are asynchronous on the loop; a lost connection is retried with
 * back-off by the informers, and reported to single requests as ERR_UNAVAILABLE. Never blocks.
 */
#pragma once

#include "api/registry.h"
#include "proc/loop.h"

struct api_client;

struct api_client *api_client_new(struct loop *l, const char *socket_path);
/* How many requests may be under way at once, each on its own connection: 4 unless told, at most
 * 64. Before the first request. */
void api_client_widen(struct api_client *c, size_t connections);
void api_client_free(struct api_client *c); /* pending calls are dropped without a callback */

/* The answer; obj and body live until the callback returns. err is NULL on success. */
typedef void api_reply_fn(void *user, const struct api_object *obj, struct slice body,
                          const struct err *err);

void api_create(struct api_client *c, const struct api_kind *k, const struct api_object *o,
                api_reply_fn *fn, void *user);
void api_get(struct api_client *c, const struct api_kind *k, const char *ns, const char *name,
             api_reply_fn *fn, void *user);
/* PUT; the object's resourceVersion is the precondition. subresource "" or "status". */
void api_update(struct api_client *c, const struct api_kind *k, const char *subresource,
                const struct api_object *o, api_reply_fn *fn, void *user);
/* content: application/merge-patch+json, application/strategic-merge-patch+json,
 * application/json-patch+json */
void api_patch(struct api_client *c, const struct api_kind *k, const char *ns, const char *name,
               const char *subresource, const char *content, struct slice patch, api_reply_fn *fn,
               void *user);
struct api_delete_opts {
    const char *uid;              /* precondition; NULL = none */
    const char *resource_version; /* precondition; NULL = none */
    const char *propagation;      /* Orphan, Background, Foreground; NULL = the kind's default */
    int64_t grace_period_s;       /* −1 = the object's own */
};
void api_delete(struct api_client *c, const struct api_kind *k, const char *ns, const char *name,
                const struct api_delete_opts *opts, api_reply_fn *fn, void *user);
/* Any other request: body NULL p = none; body of the answer goes to fn. */
void api_request(struct api_client *c, const char *method, const char *path,
                 const char *content_type, struct slice body, api_reply_fn *fn, void *user);

/* ---- Informers: a local, always-current copy of a resource ---- */

struct informer;
enum informer_event {
    INFORMER_ADDED,
    INFORMER_MODIFIED,
    INFORMER_DELETED,
    INFORMER_SYNCED /* first list is complete; objects NULL */
};
/* old is NULL for ADDED; now is the last state for DELETED. Objects are valid during the call;
 * afterwards only through informer_get. */
typedef void informer_fn(void *user, enum informer_event e, const struct api_object *now,
                         const struct api_object *old);

/* field_selector and label_selector may be NULL. Lists, then watches for ever; reconnects, re-lists
 * after 410. */
struct informer *informer_new(struct api_client *c, const struct api_kind *k,
                              const char *field_selector, const char *label_selector,
                              informer_fn *fn, void *user);
void informer_free(struct informer *i);
/* Both before the loop turns. keep: what is decoded at all (api/type.h); the objects of such an
 * informer are for reading only. forget: what has passed it is told once, whole; then only its
 * name, namespace, uid and resourceVersion stay: informer_get gives NULL for it, informer_head
 * these four, later events have old NULL, and a DELETED that was learnt from a list shows them
 * alone. */
void informer_keep(struct informer *i, const struct api_keep *keep);
void informer_forget(struct informer *i, bool (*forget)(const struct api_object *o));
const struct api_object *informer_head(const struct informer *i, const char *ns, const char *name);
bool informer_synced(const struct informer *i);
const struct api_object *informer_get(const struct informer *i, const char *ns, const char *name);
/* Walks all: size_t at = 0; while ((o = informer_next(i, &at))) … */
const struct api_object *informer_next(const struct informer *i, size_t *at);
size_t informer_count(const struct informer *i);
uint64_t
informer_revision(const struct informer *i); /* resourceVersion up to which the copy is current */

/* ---- Events (core/v1 Event), aggregated by (object, reason, message): count and lastTimestamp are
 * patched ---- */
struct event_recorder;
struct event_recorder *event_recorder_new(struct api_client *c, const char *component,
                                          const char *host);
void event_recorder_free(struct event_recorder *r);
void event_record(struct event_recorder *r, const struct api_object *about,
                  const char *type /* Normal, Warning */, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* The same for a part of an object: field_path "spec.containers{name}". */
void event_record_field(struct event_recorder *r, const struct api_object *about,
                        const char *field_path, const char *type, const char *reason,
                        const char *fmt, ...) __attribute__((format(printf, 6, 7)));
