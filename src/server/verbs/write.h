/*
 * The write pipeline shared by create, update, patch, status, scale and binding: prepare → default
 * → mutating admission → validation → validating admission → allocate → store → answer. It may wait
 * between any two of them (webhooks), so it is a chain of callbacks.
 */
#pragma once

#include "api/managed/managed.h"
#include "server/commit.h"

struct write;

enum { WRITE_MORE = 2 }; /* of build(): there is another part to do */

/* What admission is shown instead of the object itself (a Scale of a Deployment). */
struct write_view {
    const struct api_kind *kind;
    int (*show)(struct write *w, const struct api_object *o, struct api_object **ret,
                struct err *err);
    /* What a webhook made of it, into w->object. */
    int (*take)(struct write *w, const struct api_object *shown, struct err *err);
};

struct write {
    struct call *c;
    struct api *api;
    /* Builds the wanted object from the current one; < 0 with err, 1 when it answered itself, or
     * WRITE_MORE to be called once more for the next part. Called again after a conflict with a
     * write of somebody else. */
    int (*build)(struct write *w, struct object *current, const struct api_object *old,
                 struct api_object **ret, struct err *err);
    /* Replaces the usual answer; NULL = the object. */
    void (*answer)(struct write *w, struct slice json);
    const char *subresource; /* "", "status", "finalize", … */
    void *user;
    bool conditional;              /* the client named the version it saw: no second attempt */
    const struct write_view *view; /* NULL = admission sees the object */
    bool admitted;                 /* admission has been asked already, about something else */
    bool untracked;                /* what it changes gets no manager */
    bool creates; /* makes the object when there is none: build() gets NULL, then */
    int status;   /* of a success */
    /* The rest is write.c's; all of it lives in the arena of the request. */
    unsigned attempts;
    bool sent; /* the store has been asked */
    bool cut;  /* a large object: in steps, see write_steps.c */
    const char *name;
    struct object *current;       /* with a reference; NULL on create */
    const struct api_object *old; /* current, decoded */
    struct api_object *object;    /* what is to be stored */
    struct api_object *asked;     /* the same in the version of the request, when a webhook has
                                     made the stored one from it; else NULL */
    enum store_op op;             /* of the commit that waits for the webhook */
    struct commit_text text;      /* of the commit, between its two parts */
    struct admission *admission;
    managed_list sent_fields; /* managedFields that the client sent */
    struct managed managed;   /* managedFields to be */
    bool applied;             /* build() has made them */
    struct write *next_waiting;
    struct order *order;   /* in which it waits */
    struct order *ordered; /* in which it is under way, for which others wait */
};

/* For an object that exists: PUT, PATCH and subresources of c->route.name. */
void write_existing(struct call *c, const struct write *w);
/* For build() without a current object: may this user make one? Else he has been told so. */
bool write_may_create(struct call *c);
/* The name of a new object is that of the path. 1: answered. */
int write_name_new(struct call *c, struct api_object *obj);
/* managed.c: w->object gets its managedFields; w->managed is stamped before it is stored. */
void write_track(struct write *w);
struct managed_write write_manager(struct write *w);
/* apply.c: PATCH with application/apply-patch+yaml. */
void apply_handle(struct call *c);
/* scale.c: an object as its Scale. */
extern const struct write_view scale_view;
void apply_scale(struct call *c, void (*answer)(struct write *w, struct slice json));
/* The request's patch applied to a document of this type; the result is in the call's arena. */
int update_patched(struct call *c, const struct api_type *type, struct slice before,
                   struct slice *ret, struct err *err);
