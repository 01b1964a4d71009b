/*
 * What pods of one Atoll leave in the kernel: processes, cgroups, mounts, network namespaces, the
 * bridge and the nftables table. Found by looking at the kernel, not by asking any service, so
 * that it works when no service is left.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"

struct leftover {
    const char *kind; /* process, cgroup, mount, netns, table, bridge */
    const char *name;
    const char *pod_uid; /* "" = of no pod */
    bool pod_running;    /* the pod's shim is alive */
};

struct leftovers {
    const char *root, *instance;
    struct arena *arena;
    struct {
        struct leftover *v;
        size_t n;
    } list;
    struct {
        const char **v;
        size_t n;
    } running; /* uids of pods whose shim is alive */
};

/* Moves the calling process into the pods' mount namespace to read its mounts, if there is one. */
void leftovers_scan(struct leftovers *l, struct arena *a, const char *root, const char *instance);

/* How many pods of this Atoll have a living shim. */
size_t leftovers_pods_running(const char *root, struct arena *a);

/* Kills every process of every pod and removes their cgroups; waits at most 10 s. */
int leftovers_kill(const char *root, const char *instance, struct err *err);
/* Removes table and bridge. Idempotent. */
void leftovers_remove_network(const char *instance);
/* rm -r of everything Atoll made below the root, never across mount points. Idempotent. */
int leftovers_remove_state(const char *root, struct err *err);
