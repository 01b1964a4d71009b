/*
 * The protocol of `broker` (broker.sock): the one privileged helper of a node. Caller: node. Fixed
 * typed requests; the broker validates every field again (names, paths below its directories,
 * counts) before it changes anything.
 *
 * Per pod directory ROOT/run/atoll/pods/<uid>/: ns/{net,ipc,uts} (bind-mounted namespaces),
 * shim.sock, shim.pid, c/<container id>/ (bundle, exit status file).
 * ROOT/var/lib/atoll/pods/<uid>/: volumes/<name>/ (emptyDir, config, secret…: made by the broker,
 * files written by node through BROKER_VOLUME_WRITE), rootfs/<container id>/{upper,work,merged},
 * logs/. Logs: ROOT/var/log/atoll/pods/<ns>_<pod>_<uid>/<container>/<attempt>.log in CRI format,
 * written by the shim.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/pack.h"

enum broker_msg {
    BROKER_POD_CREATE = 1, /* broker_pod → BROKER_POD_OK + 2 fds (netns, rtnetlink socket inside it;
                              none with host_network). Idempotent. Starts the shim. */
    BROKER_POD_OK = 2,
    BROKER_POD_REMOVE = 3, /* str uid → BROKER_DONE: kills what is left, unmounts, removes
                              directories and cgroups. Idempotent */
    BROKER_DONE = 4,
    BROKER_CONTAINER_START = 5, /* broker_container → BROKER_CONTAINER_OK: created and started */
    BROKER_CONTAINER_OK = 6,    /* u32 pid */
    BROKER_CONTAINER_SIGNAL = 7, /* str uid, str container id, u32 signal, bool all → BROKER_DONE */
    BROKER_CONTAINER_REMOVE =
        8, /* str uid, str container id → BROKER_DONE: rootfs and bundle go, logs stay */
    BROKER_EXEC = 9, /* broker_exec → BROKER_EXEC_OK + fds: stdin?, stdout, stderr? (pty: one fd);
                        events BROKER_EXEC_EXIT follow */
    BROKER_EXEC_OK = 10,     /* u32 exec id */
    BROKER_EXEC_EXIT = 11,   /* id 0: u32 exec id, u32 exit code (128+n for signal n) */
    BROKER_EXEC_RESIZE = 12, /* u32 exec id, u16 width, u16 height (characters) → BROKER_DONE */
    BROKER_EXEC_KILL = 13,   /* u32 exec id → BROKER_DONE */
    BROKER_ATTACH = 14, /* str uid, str container id → BROKER_ATTACH_OK + 1 fd: stream socket to the
                           shim (shim/protocol.h framing) */
    BROKER_ATTACH_OK = 15,
    BROKER_VOLUME = 16,       /* broker_volume → BROKER_DONE: create (directory or tmpfs) */
    BROKER_VOLUME_WRITE = 17, /* broker_volume_write → BROKER_DONE: replaces the whole content
                                 atomically (..data symlink swap, as upstream's AtomicWriter) */
    BROKER_NET_SOCKET = 18,   /* str uid, str "tcp" → BROKER_DONE + 1 fd: a fresh non-blocking TCP
                                 socket inside the pod's network namespace (port-forward) */
    BROKER_CONTAINER_EVENT =
        19, /* id 0, from the broker: str uid, str container id, u32 exit code, u32 signal, bool
               oom_killed, i64 started_ns, i64 finished_ns, str termination message */
    BROKER_LIST = 20, /* → BROKER_LIST_OK: what runs or has exited, for adoption after a restart */
    BROKER_LIST_OK = 21, /* u32 count, broker_container_state… */
    BROKER_STATS = 22,   /* str uid, str container id ("" = the pod) → BROKER_STATS_OK: u64
                            cpu_usage_ns, u64 memory_bytes, u64 memory_working_set_bytes, u32 pids,
                            u64 memory_rss_bytes, u64 memory_cache_bytes */
    BROKER_STATS_OK = 23,
    BROKER_LOG_OPEN = 24, /* str uid, str ns, str pod, str container, u32 attempt → BROKER_DONE + 1
                             fd read-only */
    BROKER_CONTAINER_UPDATE = 25, /* str uid, str container id ("" = the pod), broker_resources →
                                     BROKER_DONE: in-place resize */
    BROKER_LOG_REMOVE = 26, /* str uid, str ns, str pod → BROKER_DONE: the pod's log directory */
    BROKER_LOCAL_REMOVE = 27, /* str name → BROKER_DONE: the directory of a local volume with all
                                 that is in it. Idempotent */
};

struct broker_resources { /* -1 = not set */
    int64_t cpu_shares;   /* relative weight, 2…262144 (cgroup v1 scale) */
    int64_t cpu_quota_us; /* per period of 100,000 µs */
    int64_t memory_limit_bytes;
    int64_t pids_limit;
    int64_t oom_score_adj; /* valid range −1000…1000; INT64_MIN = not set */
};

struct broker_pod {
    const char *uid, *name, *pod_namespace,
        *hostname; /* hostname ≤ 63 bytes, "" with host_network */
    bool host_network, host_ipc, host_pid, share_process_namespace;
    const char *resolv_conf, *etc_hosts; /* whole files, written into the pod directory and mounted
                                            into each container */
    uint32_t n_sysctls;
    const char **sysctls;              /* name=value */
    struct broker_resources resources; /* the pod's cgroup */
};

enum broker_mount_kind {
    BROKER_MOUNT_VOLUME = 1,
    BROKER_MOUNT_HOST = 2,
    BROKER_MOUNT_LOCAL = 3, /* of the node's own persistent volumes; made when it is absent */
};
enum broker_host_path { /* hostPath types; 0 = no check */
                        BROKER_HOST_ANY,
                        BROKER_HOST_DIRECTORY_OR_CREATE,
                        BROKER_HOST_DIRECTORY,
                        BROKER_HOST_FILE_OR_CREATE,
                        BROKER_HOST_FILE,
                        BROKER_HOST_SOCKET,
                        BROKER_HOST_CHAR_DEVICE,
                        BROKER_HOST_BLOCK_DEVICE
};
struct broker_mount {
    uint8_t kind;
    const char *source;   /* volume name, absolute host path, or local volume's name */
    uint8_t host_type;    /* broker_host_path */
    const char *sub_path; /* relative, resolved beneath the source; "" = none */
    const char *target;   /* absolute path in the container */
    bool read_only;
    uint8_t propagation; /* 0 private, 1 host-to-container, 2 bidirectional */
};

struct broker_container {
    const char *uid;  /* of the pod */
    const char *id;   /* container id: 64 hex digits, chosen by node */
    const char *name; /* container name */
    const char *pod_namespace, *pod_name;
    uint32_t attempt; /* restart count, names the log file */
    uint32_t n_layers;
    const char **layers; /* lowest first, as image_info.layers */
    uint32_t n_args, n_env, n_mounts;
    const char **args; /* argv, ≥ 1 */
    const char **env;  /* NAME=value */
    struct broker_mount *mounts;
    const char *cwd;
    const char *user_spec; /* image's user ("", "1000", "name", "name:group"): resolved inside the
                              rootfs when run_as_user < 0 */
    int64_t run_as_user, run_as_group; /* −1 = not set */
    uint32_t n_groups;
    int64_t *groups; /* supplemental, with fsGroup */
    bool privileged, allow_privilege_escalation, read_only_rootfs, run_as_non_root, tty, stdin_open,
        stdin_once;
    uint32_t n_cap_add, n_cap_drop;
    const char **cap_add, **cap_drop; /* without CAP_; "ALL" */
    const char *seccomp;              /* "RuntimeDefault", "Unconfined" */
    bool proc_mount_unmasked;
    struct broker_resources resources;
    const char *termination_path; /* terminationMessagePath */
};

struct broker_container_state {
    const char *uid, *id, *name, *pod_namespace, *pod_name;
    uint32_t attempt;
    bool running;
    uint32_t pid, exit_code, signal;
    bool oom_killed;
    int64_t started_ns, finished_ns; /* wall clock */
    const char *message;             /* termination message */
};

struct broker_exec {
    const char *uid, *id;
    uint32_t n_args;
    const char **args;
    bool tty, want_stdin, want_stdout, want_stderr;
};

struct broker_volume {
    const char *uid, *name;
    bool memory;        /* tmpfs */
    int64_t size_bytes; /* tmpfs size, 0 = default */
    uint32_t mode;      /* 0777 for emptyDir, 0755 else */
    int64_t group;      /* fsGroup, −1 none: setgid directory owned by the group */
};

struct broker_file {
    const char *path; /* relative, no .. */
    struct slice data;
    uint32_t mode;
    int64_t owner; /* −1 = root */
};
struct broker_volume_write {
    const char *uid, *name;
    int64_t group;
    uint32_t n_files;
    struct broker_file *files;
};

void broker_pod_pack(struct buf *b, const struct broker_pod *p);
int broker_pod_unpack(struct slice s, struct arena *a, struct broker_pod *ret);
void broker_container_pack(struct buf *b, const struct broker_container *c);
int broker_container_unpack(struct slice s, struct arena *a, struct broker_container *ret);
void broker_container_state_pack(struct buf *b, const struct broker_container_state *c);
int broker_container_state_unpack(struct unpack *u, struct arena *a,
                                  struct broker_container_state *ret);
void broker_exec_pack(struct buf *b, const struct broker_exec *e);
int broker_exec_unpack(struct slice s, struct arena *a, struct broker_exec *ret);
void broker_volume_pack(struct buf *b, const struct broker_volume *v);
int broker_volume_unpack(struct slice s, struct arena *a, struct broker_volume *ret);
void broker_volume_write_pack(struct buf *b, const struct broker_volume_write *v);
int broker_volume_write_unpack(struct slice s, struct arena *a, struct broker_volume_write *ret);
void broker_resources_pack(struct buf *b, const struct broker_resources *r);
void broker_resources_unpack(struct unpack *u, struct broker_resources *ret);
