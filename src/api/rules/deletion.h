/*
 * What a deletion makes of an object: finalizers by its propagation policy, the grace period of a
 * pod, the deadline, and when it is over. Pure; whoever serves the API deletes by these rules.
 */
#pragma once

#include "api/registry.h"

enum propagation {
    PROPAGATE_DEFAULT, /* as the object's finalizers say */
    PROPAGATE_BACKGROUND,
    PROPAGATE_FOREGROUND,
    PROPAGATE_ORPHAN
};

struct deletion {
    int64_t grace_s; /* −1: the object's own */
    enum propagation policy;
    const char *finalizer; /* one more that the object waits for (borrowed); NULL: none */
};
enum deletion_outcome {
    DELETION_NOW,    /* nothing is waited for: the object goes */
    DELETION_LATER,  /* the object has changed and is to be written */
    DELETION_NOTHING /* it is being deleted already, and no sooner by this */
};
/* Changes o into its next state. */
enum deletion_outcome deletion_apply(struct arena *a, const struct api_kind *k,
                                     struct api_object *o, const struct deletion *d,
                                     int64_t now_ns);
/* The deletion waited only for what the object does not have any more. */
bool deletion_is_complete(const struct api_kind *k, const struct api_object *o);
/* Kinds whose DELETE answers with the object even when it is gone at once. */
bool deletion_answers_object(const struct api_kind *k);

/* A pod that is not ready goes although its budget allows no disruption now. */
bool eviction_is_free(const struct core_v1_pod *pod,
                      const struct policy_v1_pod_disruption_budget *b);
