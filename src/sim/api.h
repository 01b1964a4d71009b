/*
 * The API of the simulated cluster: what src/server makes of requests, on the same tables and
 * behaviours of kinds, without HTTP and without waiting. Each call is one moment: read, defaults,
 * admission, validation, commit.
 */
#pragma once

#include "api/rules/deletion.h"
#include "sim/store.h"

struct sim_request {
    const char *method, *target; /* path?query */
    struct slice body;
    const char *content_type;
    const char *asker; /* the process: for what is said */
};

struct sim_reply {
    int status;
    struct buf body;
};

/* Everything but watches. */
void api_serve(struct sim *s, const struct sim_request *q, struct sim_reply *ret);
bool api_is_watch(const struct sim_request *q);
/* What a list or watch is limited to; "" = not. */
struct sim_filter {
    char ns[64], name[256];
};
bool filter_passes(const struct sim_filter *f, const struct sim_object *o);
/* The resource of a path, where a watch begins and what it shows. NULL: no such resource. */
struct sim_resource *api_watched(struct sim *s, const struct sim_request *q, uint64_t *ret_revision,
                                 struct sim_filter *ret_filter);
void api_status_text(struct buf *b, enum err_reason reason, const char *message);

/* ---- For what is simulated inside: users, kubelets ---- */

/* o as a client would send it: kind and apiVersion set. Returns what is stored, NULL with err. */
struct sim_object *api_put_new(struct sim *s, struct arena *a, struct api_object *o,
                               struct err *err);
struct sim_object *api_put_new_json(struct sim *s, const char *json, struct err *err);
/* Reads, changes and writes back; fn false: leave it. subresource "" or "status". */
typedef bool api_edit_fn(struct sim *s, struct arena *a, struct api_object *o, void *user);
int api_edit(struct sim *s, const struct api_kind *k, const char *ns, const char *name,
             const char *subresource, api_edit_fn *fn, void *user, struct err *err);
int api_patch_json(struct sim *s, const struct api_kind *k, const char *ns, const char *name,
                   const char *subresource, const char *merge_patch, struct err *err);

struct sim_delete {
    int64_t grace_s; /* −1: the object's own */
    const char *uid; /* precondition; NULL: none */
    const char *resource_version;
    enum propagation policy;
};
/* *ret (may be NULL): what is left of it, NULL when it is gone. */
int api_remove(struct sim *s, const struct api_kind *k, const char *ns, const char *name,
               const struct sim_delete *d, struct sim_object **ret, struct err *err);
int api_evict(struct sim *s, const char *ns, const char *name, const struct sim_delete *d,
              struct err *err);
/* metrics.c: pods use so many thousandths of a core as this annotation of theirs says. */
#define SIM_USES_MILLI "sim.atoll/uses-milli"
void api_metrics_of_pods(struct sim *s, struct buf *out);
const char *api_now(struct sim *s, struct arena *a);

/* ---- admit.c ---- */

struct sim_admission {
    struct sim *s;
    struct arena *a;
    const struct api_kind *kind;
    struct api_object *object;
    const struct api_object *old; /* NULL: a create */
    const char *subresource;
};
/* What admission changes, before validation. */
int admit_mutate(struct sim_admission *ad, struct err *err);
/* What it forbids, after. */
int admit_validate(struct sim_admission *ad, struct err *err);

/* ---- write.c: the two ways of a write ---- */

int write_create(struct sim *s, struct arena *a, const struct api_kind *k, struct api_object *o,
                 struct sim_object **ret, struct err *err);
/* o replaces old; precondition by o's resourceVersion and uid where they are set. */
int write_update(struct sim *s, struct arena *a, const struct api_kind *k,
                 const struct sim_object *current, struct api_object *o, const char *subresource,
                 struct sim_object **ret, struct err *err);
