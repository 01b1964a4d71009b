/*
 * Deletion of one object by its key, for DELETE, deletecollection and eviction: grace periods of
 * pods, finalizers, propagation policies, preconditions. Retries after conflicts with other writes.
 */
#pragma once

#include "api/rules/deletion.h"
#include "server/commit.h"

struct remove_options {
    int64_t grace_s;                    /* −1 = the object's own */
    const char *uid, *resource_version; /* preconditions; NULL = none */
    enum propagation policy;
    bool dry_run;
    bool once;          /* a conflict with another write is told, not tried again */
    struct call *asker; /* admission plugins are asked about his deletion; NULL: nobody's */
};

/* done exactly once: err, or the object in its last state; gone: it does not exist any more (else
 * it waits for its grace period or finalizers). json is borrowed. ERR_CONFLICT text is the reason
 * only ("Precondition failed: …"). ERR_NONE: an admission plugin has answered the request; the
 * asker is gone. */
typedef void remove_fn(void *user, struct slice json, bool gone, const struct err *err);
/* Returns true while a plugin thinks about it: the asker must not ask for more until done. */
bool remove_object(struct api *api, const struct api_kind *storage, const char *ns,
                   const char *name, const struct remove_options *o, remove_fn *done, void *user);

/* Of a gracePeriodSeconds as sent: less than nothing is a second, as upstream takes it. */
int64_t remove_grace_s(int64_t asked_s);
/* Of DeleteOptions: nothing but All may be asked for. */
int remove_dry_run(const struct str_list *asked, bool *ret, struct err *err);
/* DeleteOptions from the body and the query. */
int remove_options_parse(struct call *c, struct remove_options *ret, struct err *err);
