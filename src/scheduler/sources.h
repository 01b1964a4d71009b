/*
 * What a snapshot is made of besides pods and nodes: kinds whose objects it is told, with what of
 * them is read. One line per kind in sources.c; the service watches them, `atoll why` lists them.
 */
#pragma once

#include "scheduler/snapshot.h"

struct sched_source {
    const char *group, *version, *kind;
    const struct api_keep *keep; /* NULL: whole */
    /* A new or changed object. False: nothing that a decision reads has changed. */
    bool (*put)(struct snapshot *s, const struct api_object *o);
    void (*remove)(struct snapshot *s, const char *namespace, const char *name);
};
/* NULL-terminated by kind. */
extern const struct sched_source sched_sources[];
