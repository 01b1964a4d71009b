/*
 * Control groups as text: where the hierarchies are (from /proc/self/mountinfo), which file takes
 * which value on version 1 and 2, and how their statistics read. No I/O.
 * Formats: Linux Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst, proc(5).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum cgroup_controller {
    CGROUP_CPU = 1 << 0,
    CGROUP_CPUACCT = 1 << 1,
    CGROUP_CPUSET = 1 << 2,
    CGROUP_MEMORY = 1 << 3,
    CGROUP_PIDS = 1 << 4,
    CGROUP_DEVICES = 1 << 5,
    CGROUP_FREEZER = 1 << 6,
    CGROUP_OTHER = 1 << 7, /* blkio, hugetlb, net_cls, name=systemd, … */
};

enum { CGROUP_HIERARCHIES_MAX = 24, CGROUP_PATH_MAX = 256, CGROUP_WRITES_MAX = 8 };

struct cgroup_hierarchy {
    char path[CGROUP_PATH_MAX]; /* mount point */
    unsigned controllers;       /* cgroup_controller bits; of the unified hierarchy: all of them */
};

struct cgroup_layout {
    bool unified;                      /* version 2 at /sys/fs/cgroup */
    char hybrid_path[CGROUP_PATH_MAX]; /* version 2 beside version 1, "" when there is none */
    unsigned n;
    struct cgroup_hierarchy v[CGROUP_HIERARCHIES_MAX];
};

/* Reads the text of /proc/self/mountinfo. 0, or -ENOENT when no control group hierarchy is mounted.
 * Later mounts on the same path hide earlier ones. */
int cgroup_layout_parse(struct slice mountinfo, struct cgroup_layout *ret);
/* The hierarchy that has the controller, or NULL. */
const struct cgroup_hierarchy *cgroup_layout_find(const struct cgroup_layout *l,
                                                  enum cgroup_controller controller);

struct cgroup_limits {  /* -1 = leave alone */
    int64_t cpu_shares; /* version 1 scale, 2…262144 */
    int64_t cpu_quota_us, cpu_period_us;
    int64_t memory_limit_bytes;
    int64_t pids_limit;
    bool swap_accounted; /* the memory limit holds for memory and swap together */
};

struct cgroup_write {
    enum cgroup_controller controller; /* says which hierarchy */
    const char *file;
    char text[48];
    bool may_fail; /* version 1 orders limit ≤ memory and swap at every moment: one of two attempts
                      fails */
};

/* The files to write for the limits. Returns their count (≤ CGROUP_WRITES_MAX). */
unsigned cgroup_limit_writes(const struct cgroup_limits *limits, bool unified,
                             struct cgroup_write out[CGROUP_WRITES_MAX]);

/* cpu.weight (1…10000) for shares (2…262144), as the OCI runtimes convert (crun, runc). */
uint64_t cgroup_weight_of_shares(uint64_t shares);

/* Looks a key up in a flat keyed file ("key value\n"…). 0 or -ENOENT. */
int cgroup_value(struct slice text, const char *key, uint64_t *ret);
/* A file with one number; "max" gives UINT64_MAX. 0 or -EINVAL. */
int cgroup_number(struct slice text, uint64_t *ret);
