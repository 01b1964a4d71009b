/* Control groups of this Atoll: everything lies below /atoll-<instance> in each hierarchy; nothing
 * else is ever written or removed. Paths given here start with that directory. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "proto/cgroup.h"

struct cgroups {
    struct cgroup_layout layout;
    bool swap_accounted; /* swap can be limited */
    bool oom_group;      /* version 2 with the memory controller */
    bool covered;        /* the cover of a version 2 hierarchy must be swept too */
    char base[64];       /* "/atoll-<instance>" */
};

struct cgroup_stats {
    uint64_t cpu_usage_ns, memory_bytes, memory_working_set_bytes, pids;
    uint64_t memory_rss_bytes, memory_cache_bytes;
};

/* Reads the layout. On version 1 with a version 2 hierarchy beside it, covers the latter with a
 * tmpfs, because the runtime refuses such hosts; only in a mount namespace of our own (made here
 * when this process still shares the first one). */
int cgroups_init(struct cgroups *c, const char *instance, struct err *err);
int cgroups_make(const struct cgroups *c, const char *path, struct err *err);
int cgroups_limit(const struct cgroups *c, const char *path, const struct cgroup_limits *limits,
                  struct err *err);
/* Puts a process into the group, which cgroups_make made. */
int cgroups_join(const struct cgroups *c, const char *path, pid_t pid, struct err *err);
/* Signals every process in the group and below; returns how many it found. */
unsigned cgroups_signal(const struct cgroups *c, const char *path, int signum);
/* Removes the group and all below in every hierarchy. -EBUSY while processes are left; 0 when
 * absent. */
int cgroups_remove(const struct cgroups *c, const char *path);
bool cgroups_oom_killed(const struct cgroups *c, const char *path);
int cgroups_stats(const struct cgroups *c, const char *path, struct cgroup_stats *ret,
                  struct err *err);
