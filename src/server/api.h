/*
 * What the handlers of the api service share: the service's state, one request on its way, and the
 * answers. Order of a request: route → authentication → authorisation → verb (its own file).
 */
#pragma once

#include "proc/ipc.h"
#include "proc/service.h"
#include "server/route.h"
#include "server/storage/cache.h"
#include "server/storage/seal.h"
#include "server/storage/store_link.h"
#include "server/transport/request.h"
#include "wire/keys.h"

struct authz;
struct allocator;
struct audit_record;
struct watch;

struct api {
    struct loop *loop;
    const struct settings *settings;
    struct cache cache;
    struct store_link *store;
    struct server *server;
    struct server_tls *tls;
    struct arena *arena; /* of the process: keys' public parts */
    struct keys_public keys;
    struct ipc *keys_ipc; /* for tokens; NULL while reconnecting */
    int keys_fd;          /* for blocking TLS signatures; -1 */
    struct seal seal;     /* for secrets at rest */
    void *token_key;      /* EVP_PKEY, verifies tokens */
    struct authz *authz;
    struct flow *flow; /* who may ask now, and who waits */
    struct allocator *addresses, *ports;
    bool bootstrapped, stopping;
    int64_t started_ns;
    uint64_t requests, watches; /* counters for /metrics */
    size_t watchers;
    struct watch *first_watch;
    struct buf piece; /* where lists and watches put together what they send next; kept, since
                         fresh pages cost more than the copying */
    VEC(struct watch *) dirty_watches; /* have events to send; NULL: gone meanwhile */
};

struct user {
    const char *name, *uid;
    struct str_list groups;
    struct str_list_map extra;
};

enum answer_form { ANSWER_OBJECT, ANSWER_TABLE, ANSWER_PARTIAL };
enum answer_media { MEDIA_UNDECIDED, MEDIA_JSON, MEDIA_YAML, MEDIA_PROTOBUF };

struct call {
    struct api *api;
    struct request *r;
    struct arena *a; /* r->arena */
    struct route route;
    struct user user;
    struct user *impersonator; /* who acts as user; NULL = the user himself */
    struct audit_record *audit;
    const struct api_kind *kind; /* of the resource; NULL for others */
    struct resource *resource;   /* NULL for virtual kinds */
    enum answer_form form;
    enum answer_media media;    /* by reply_negotiate, or at the first answer */
    bool pretty;                /* indented JSON; decided with media */
    const char *form_version;   /* v1 or v1beta1 of meta.k8s.io for tables and partial objects */
    const char *include_object; /* of a table: None, Metadata, Object */
    bool dry_run;
    enum api_unknown unknown; /* fieldValidation */
    struct str_list warnings; /* become Warning headers */
};

/* server.c: the handler of every request. */
request_fn api_handle;

/* ---- reply.c ---- */
/* Chooses the form by the Accept header; ERR_NOT_ACCEPTABLE. */
int reply_negotiate(struct call *c, struct err *err);
/* An object with apiVersion and kind, as protobuf where that is wanted and possible. */
void reply_json(struct call *c, int status, struct slice body);
void reply_text(struct call *c, int status, const char *text);
/* Any object, as its client wants it (table, partial). Warnings become headers. */
void reply_object(struct call *c, int status, struct slice json);
void reply_error(struct call *c, const struct err *err);
/* kind may be NULL; causes may be NULL; retry_after_s 0 = none. */
struct failure {
    const char *message;
    const char *name;
    const char *group, *kind; /* details */
    const char *uid;
    const struct api_causes *causes;
    int retry_after_s;
    const char *next; /* continue token that goes on at the newest revision; NULL = none */
};
void reply_failure(struct call *c, enum err_reason reason, const struct failure *f);
/* The Status JSON of a failure, for ERROR events. */
void failure_encode(struct buf *b, enum err_reason reason, const struct failure *f);
void reply_not_found(struct call *c, const char *name);
/* The object that the path names; NULL after it has answered that there is none. */
struct object *named_object(struct call *c);
/* The same for subresources that are only created: NULL also after it has refused other verbs. */
struct object *named_object_to_create(struct call *c);
void reply_page_not_found(struct call *c);
void reply_method_not_allowed(struct call *c);
void reply_conflict(struct call *c, const char *name, const char *why);
void reply_invalid(struct call *c, const char *name, const struct api_causes *causes);
/* Success as Status, e.g. for deletions. details may be NULL. */
void reply_success(struct call *c, int status, const char *name, const char *uid);
const char *content_type(const struct call *c); /* with the parameters of the form */
struct http_headers reply_warnings(struct call *c);
/* "pods" or "deployments.apps" */
const char *resource_title(struct arena *a, const char *group, const char *plural);

/* ---- verbs ---- */
void verb_get(struct call *c);
void verb_list(struct call *c);
void verb_watch(struct call *c);
void watches_end(struct api *api); /* cleanly, with everything that has happened */
void verb_create(struct call *c);
void verb_update(struct call *c);
void verb_patch(struct call *c);
void verb_delete(struct call *c);
void verb_deletecollection(struct call *c);
/* sub.c: log, exec, binding, scale, token, eviction…; false when the kind has no such subresource.
 */
bool subresource_handle(struct call *c);
/* discovery.c, health.c: paths that are no resources; false when there is no such path. */
bool discovery_handle(struct call *c);
bool health_handle(struct call *c);
bool openapi_handle(struct call *c);
bool issuer_handle(struct call *c);
/* binding.c: POST pods/NAME/binding and POST bindings. */
void binding_subresource(struct call *c);
void binding_create(struct call *c, struct api_object *obj);
/* component_status.c: GET of componentstatuses. */
void component_status_handle(struct call *c);
/* health.c: the i-th check of /readyz; false when there is none. */
bool health_check(struct api *api, size_t i, const char **ret_name, bool *ret_ok);
bool health_check_lives(size_t i); /* it is one of /livez, too */
/* eviction.c: POST pods/NAME/eviction. */
void eviction_create(struct call *c);
/* scale.c: GET, PUT, PATCH of /scale. */
void scale_handle(struct call *c);
/* review.c: POST of a virtual kind; obj is decoded and defaulted. */
void review_create(struct call *c, struct api_object *obj);
/* token.c: POST serviceaccounts/NAME/token. */
void token_create(struct call *c);
