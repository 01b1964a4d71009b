/*
 * OCI runtime configuration (opencontainers/runtime-spec 1.0: config.json and its process object).
 * The caller has resolved and checked everything that depends on the machine: users, paths, mounts.
 * Bytes out, no I/O. No annotation is ever written: runtimes give some of them meaning.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct oci_user {
    uint32_t uid, gid;
    uint32_t n_groups;
    const uint32_t *groups;
};

struct oci_process {
    struct oci_user user;
    uint32_t n_args, n_env;
    const char *const *args;
    const char *const *env;
    const char *cwd;
    bool terminal;
    bool no_new_privileges;
    bool privileged;           /* all capabilities */
    uint64_t capabilities_max; /* what this machine can give; 0 = everything. Limits defaults, "ALL"
                                  and privileged, not what is named: that must fail loudly */
    uint32_t n_cap_add, n_cap_drop;
    const char *const *cap_add; /* "NET_ADMIN", with or without CAP_, "ALL" */
    const char *const *cap_drop;
    int64_t oom_score_adj; /* INT64_MIN = 0 */
    uint64_t files_limit;  /* RLIMIT_NOFILE, 0 = inherited */
};

struct oci_mount {
    const char *target, *type, *source;
    const char *options; /* comma separated */
};

struct oci_device {
    const char *path; /* in the container */
    char type;        /* 'c' or 'b' */
    uint32_t major, minor, mode, uid, gid;
};

struct oci_spec {
    struct oci_process process;
    const char *rootfs; /* absolute */
    bool read_only_rootfs;
    /* Namespaces by path; NULL = the host's. PID: "" = a new one. Mount is always new. */
    const char *netns, *ipcns, *utsns, *pidns;
    bool new_cgroup_namespace;
    bool unmasked; /* no masked and read-only paths (procMount Unmasked) */
    bool seccomp;  /* the default profile */
    bool sys_writable, cgroup_mount;
    bool swap_accounted;      /* no swap beyond the memory limit */
    bool oom_group;           /* version 2: out of memory ends the container as one */
    const char *cgroups_path; /* absolute below the hierarchies */
    int64_t cpu_shares, cpu_quota_us, memory_limit_bytes, pids_limit; /* -1 = not set */
    uint32_t n_mounts, n_devices;
    const struct oci_mount *mounts; /* after the standard ones; one with the target of a standard
                                       mount takes its place */
    const struct oci_device *devices;
};

/* The process object (also what an exec needs). -EINVAL with a field for an unknown capability. */
int oci_process_write(struct buf *b, const struct oci_process *p, struct err *err);
/* The whole config.json. */
int oci_spec_write(struct buf *b, const struct oci_spec *s, struct err *err);
/* The seccomp object of the default profile for a process with these capability bits. */
void oci_seccomp_write(struct buf *b, uint64_t capabilities);

/* The bits that p's process has. -EINVAL for an unknown name. */
int oci_capabilities(const struct oci_process *p, uint64_t *ret, struct err *err);
