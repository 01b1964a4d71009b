/*
 * Admission: what the cluster adds to an object, or refuses. Each plugin is one file that registers
 * a struct admission_plugin; names and order follow upstream's default plugins.
 *
 * Way of a write: defaults → mutate of every plugin, in order → defaults again, when a webhook
 * changed the object → validation → validate of every plugin, in order → the store → settled.
 * Deletions and connections (exec, attach, port-forward, proxy) go through the same two passes. A
 * plugin may answer later (webhooks): the request waits, the loop does not.
 */
#pragma once

#include "server/api.h"

enum admission_operation {
    ADMIT_CREATE = 1,
    ADMIT_UPDATE = 2,
    ADMIT_DELETE = 4,  /* object NULL, old is what goes */
    ADMIT_CONNECT = 8, /* object NULL; old is the pod, service or node connected to */
};

/* Answers of a plugin; < 0 = refused, err says why. */
enum admission_answer {
    ADMISSION_OK = 0,
    ADMISSION_ANSWERED = 1, /* refused, and the plugin has answered the request itself */
    ADMISSION_LATER = 2,    /* admission_resume() will be called, from the loop */
};

struct admission;
typedef void admission_settled_fn(struct admission *ad, bool stored, void *user);

struct admission {
    struct call *c;
    struct api *api;
    struct arena *a;
    enum admission_operation operation;
    const struct api_kind *kind; /* storage kind */
    struct api_object *object;   /* of that kind; a plugin of the mutating pass may replace it */
    /* Of object where it is another one: Eviction, TokenRequest, … (created on a subresource; old
     * is then the object it is about) or Scale (old is one, too). NULL: as kind. */
    const struct api_kind *object_kind;
    const struct api_object *old; /* NULL on create */
    struct object *current;       /* old as stored, with a reference; NULL on create */
    const char *subresource;      /* "", "status", … */
    const char *ns, *name;        /* name "" when it is not known yet */
    bool dry_run;
    bool waited;         /* somebody answered later: other requests came in between */
    bool defaults_again; /* set by a plugin that put in fields the defaults should see */
    struct err err;
    struct slice refusal; /* a whole Status for the client that stands for err; empty: none */
    int refusal_code;
    struct webhook_run *webhooks; /* the mutating webhooks' own */
    /* The rest is admission.c's. */
    bool validating;
    size_t next;
    void (*done)(struct admission *ad, int answer);
    void (*after)(struct admission *ad, int answer);
    struct admission_settled *settled;
    void *user;
};

/* Upstream's order of the plugins that are on by default. */
enum admission_order {
    ORDER_NAMESPACE_LIFECYCLE,
    ORDER_LIMIT_RANGER,
    ORDER_SERVICE_ACCOUNT,
    ORDER_NODE_RESTRICTION,
    ORDER_TAINT_NODES_BY_CONDITION,
    ORDER_POD_SECURITY,
    ORDER_PRIORITY,
    ORDER_DEFAULT_TOLERATION_SECONDS,
    ORDER_DEFAULT_STORAGE_CLASS,
    ORDER_STORAGE_OBJECT_IN_USE_PROTECTION,
    ORDER_PERSISTENT_VOLUME_CLAIM_RESIZE,
    ORDER_RUNTIME_CLASS,
    ORDER_CERTIFICATE_APPROVAL,
    ORDER_CERTIFICATE_SIGNING,
    ORDER_CERTIFICATE_SUBJECT_RESTRICTION,
    ORDER_DEFAULT_INGRESS_CLASS,
    ORDER_ESCALATION, /* RBAC: nobody gives what they do not have */
    ORDER_VERTICAL_AUTOSCALER,
    ORDER_TOPOLOGY,
    ORDER_MUTATING_WEBHOOK,
    ORDER_VALIDATING_POLICY,
    ORDER_VALIDATING_WEBHOOK,
    ORDER_RESOURCE_QUOTA,
};

struct admission_plugin {
    const char *name;
    enum admission_order order;
    unsigned operations;                 /* of enum admission_operation */
    const char *group, *plural;          /* NULL = every kind */
    bool subresources;                   /* asked about status, scale, … too */
    int (*mutate)(struct admission *ad); /* either may be NULL */
    int (*validate)(struct admission *ad);
    /* Asked once more right before the store, of creations for which somebody answered later: what
     * mutate saw may be over. Never ADMISSION_LATER. May be NULL. */
    int (*still)(struct admission *ad);
    void (*start)(struct api *api); /* once, when the cache holds everything; may be NULL */
};

#define ADMISSION_PLUGIN(sym)                                                                      \
    __attribute__((used, retain, section("atoll_admission"))) static const struct admission_plugin \
        *const admission_plugin_p_##sym = &sym

/* When the cache holds everything, before the first request. */
void admission_start(struct api *api);
/* One pass. done is called exactly once, perhaps before this returns, with ADMISSION_OK,
 * ADMISSION_ANSWERED or < 0 and ad->err. */
void admission_mutate(struct admission *ad, void (*done)(struct admission *ad, int answer));
void admission_validate(struct admission *ad, void (*done)(struct admission *ad, int answer));
/* Right before the store; ADMISSION_OK at once when nobody has answered later. */
int admission_still(struct admission *ad);
/* Both, for what is no write of an object: deletions, evictions, connections, tokens. */
void admission_ask(struct admission *ad, void (*done)(struct admission *ad, int answer));
/* For the object that c's route names, in c's arena; takes its own reference to current. */
struct admission *admission_new(struct call *c, enum admission_operation operation,
                                struct object *current, const struct api_object *old);
/* The end of one that came from admission_new. */
void admission_over(struct admission *ad, bool stored);
/* Tells the client why; nothing when a plugin has (answer ADMISSION_ANSWERED). */
void admission_reply(struct admission *ad, int answer);
/* Also answers the request, unless a plugin has (answer ADMISSION_ANSWERED). */
void admission_refused(struct admission *ad, int answer);
/* By a plugin that said ADMISSION_LATER. */
void admission_resume(struct admission *ad, int answer);

/* fn is called once when it is known whether the write was stored: for plugins that reserve. */
void admission_on_settled(struct admission *ad, admission_settled_fn *fn, void *user);
void admission_settle(struct admission *ad, bool stored); /* by the write pipeline */

/* For plugins: the named object of another kind from the cache, borrowed until the loop runs;
 * version NULL = any. NULL: none such, or no such kind. */
struct object *admission_find(struct admission *ad, const char *group, const char *plural,
                              const char *ns, const char *name);
/* `pods "x" is forbidden: why`: sets ad->err to ERR_FORBIDDEN and returns < 0. */
int admission_forbid(struct admission *ad, const char *why);
