/*
 * What a snapshot is made of besides pods and nodes: kinds whose objects it is told, with what of
 * them is read. One line per kind in sources.c; the service watches them, `atoll why` lists them.
 */
#pragma once

#include "scheduler/snapshot/snapshot.h"

struct sched_source {
    const char *group, *version, *kind;
    const struct api_keep *keep; /* NULL: whole */
    /* A new or changed object. False: no pod that waits fits somewhere for that. */
    bool (*put)(struct snapshot *s, const struct api_object *o);
    void (*remove)(struct snapshot *s, const char *namespace, const char *name);
    bool gone_helps; /* a pod that waits may fit when one of them goes */
    bool by_core;    /* the core has to be told, not only the snapshot: it sees to these itself */
};
/* NULL-terminated by kind. */
extern const struct sched_source sched_sources[];
