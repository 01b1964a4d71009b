/*
 * The broker: the one privileged helper of a node. It does what the node service may not: mounts,
 * namespaces, control groups, starting containers. Its caller is not trusted: every request is
 * checked in full before anything is changed (check.h), paths that a tenant can touch are resolved
 * beneath a directory descriptor (paths.h).
 *
 * One loop, nothing waits: the runtime runs as a child of the pod's shim, execs as children of the
 * broker, big removals in a forked child. What must survive the broker is in files below the pod's
 * run directory; at start the pods found there are adopted.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/map.h"
#include "base/vec.h"
#include "broker/cgroups.h"
#include "proc/ipc.h"
#include "proc/loop.h"
#include "proc/service.h"
#include "wire/broker.h"

struct broker;
struct pod;
struct running;
struct removal;

/* A connected peer; lives until its last pending call is answered. */
struct client {
    struct broker *broker;
    struct ipc *ipc; /* NULL: gone */
    unsigned refs;
};

/* A request that waits for its answer. Copy by value; exactly one call_* ends it. */
struct call {
    struct client *client;
    uint32_t id;
};
void call_reply(struct call *c, uint16_t type, struct slice body, const int *fds, size_t n_fds);
void call_done(struct call *c); /* BROKER_DONE */
void call_fail(struct call *c, const struct err *err);

enum container_phase { PHASE_STARTING, PHASE_RUNNING, PHASE_EXITED };
struct box { /* a container */
    struct pod *pod;
    char id[65];
    char *name;
    uint32_t attempt;
    enum container_phase phase;
    uint32_t pid, exit_code, signal;
    bool oom_killed;
    bool removing, adopted;
    int64_t started_ns, finished_ns;
    char *message;       /* termination message, NULL until it exited */
    struct call starter; /* client NULL: nobody waits */
};

struct pod {
    struct broker *broker;
    char *uid, *name, *pod_namespace, *hostname;
    bool host_network, host_ipc, host_pid, share_pids;
    bool removing;
    struct removal *removal; /* while removing */
    int netns_fd;            /* -1 with host_network */
    struct ipc *shim;        /* NULL: not connected */
    VEC(struct box *) boxes;
};

struct broker {
    struct loop *loop;
    struct service_ctx *ctx;
    struct ipc_listener *listener;
    VEC(struct client *) clients;
    struct map pods; /* by uid → struct pod */
    struct cgroups cgroups;
    char *run_path, *pods_path;     /* ROOT/run/atoll, ROOT/run/atoll/pods */
    char *state_path, *layers_path; /* ROOT/var/lib/atoll/pods, …/image/layers */
    char *log_path;                 /* ROOT/var/log/atoll/pods */
    char *volumes_path;             /* ROOT/var/lib/atoll/volumes: persistent ones of this node */
    char *runtime_state_path;       /* ROOT/run/atoll/runtime */
    int run_fd, state_fd, log_fd, layers_fd, volumes_fd;
    int host_netns_fd;
    char *shim_program, *runtime; /* NULL: not found */
    bool runtime_is_crun;
    struct reaper *reaper;
    unsigned cleanup_children;      /* that run */
    VEC(struct running *) cleanups; /* that wait for one to end; cleanup.c */
    uint32_t last_exec_id;
    VEC(struct exec *) execs;
};

/* Handlers: 0 when the call was or will be answered, else a -errno and err says why; the
 * dispatcher answers then. `a` lives until the handler returns. */
typedef int request_fn(struct broker *b, struct call *call, struct slice body, struct arena *a,
                       struct err *err);
request_fn request_pod_create, request_pod_remove, request_container_start,
    request_container_signal, request_container_remove, request_container_update, request_exec,
    request_exec_resize, request_exec_kill, request_attach, request_volume, request_volume_write,
    request_net_socket, request_list, request_stats, request_log_open, request_log_remove,
    request_local_remove;

/* pod.c */
struct pod *pod_find(struct broker *b, const char *uid);
int pod_get(struct broker *b, const char *uid, struct pod **ret, struct err *err); /* NOT_FOUND */
struct box *pod_box(struct pod *p, const char *id);
struct pod *pod_new(struct broker *b, const struct broker_pod *desc);
/* Makes sure the shim runs and is connected. */
int pod_shim(struct pod *p, struct err *err);

/* box.c: state of containers */
struct box *box_new(struct pod *p, const char *id, const char *name, uint32_t attempt);
void box_free(struct box *x);
/* Fills in what an ended container left (OOM, message), and tells the clients. */
void box_exited(struct box *x, uint32_t code, uint32_t signal, int64_t started_ns,
                int64_t finished_ns);
void box_state(const struct box *x, struct broker_container_state *ret);
/* The cgroup below the hierarchies: "/atoll-INSTANCE/podUID[/ID]"; out ≥ 256 bytes. */
void box_cgroup(const struct broker *b, const char *uid, const char *id, char out[256]);

/* namespaces.c: makes net, ipc and uts namespaces and pins them below dir_fd ("ns/net"…). */
/* A process namespace whose first process is `shim_program pause`, pinned as "pid". *ret_pause is
 * that process, or 0 when the namespace was there already. */
int namespaces_make_pid(int ns_dir_fd, const char *shim_program, pid_t *ret_pause, struct err *err);
int namespaces_make(int ns_dir_fd, const struct broker_pod *p, struct err *err);
/* A socket made inside a network namespace. */
int namespaces_socket(struct broker *b, int netns_fd, int domain, int type, int protocol,
                      struct err *err);
int namespaces_open(int ns_dir_fd, const char *name); /* fd or -1 when it is not a pinned one */

/* shim_link.c */
int shim_connect(struct pod *p, struct err *err);
void shim_signal(struct pod *p, const char *id, uint32_t signal, struct call call);
void shim_forget(struct pod *p, const char *id);

/* config.c: OCI configuration of a container. */
struct oci_user;
int config_write(struct broker *b, struct pod *p, const struct broker_container *c, int bundle_fd,
                 const char *merged, struct arena *a, struct err *err);
/* What config_write kept beside the bundle: the request, and who it resolved to. */
int config_load(int bundle_fd, struct arena *a, struct broker_container *ret,
                struct oci_user *ret_user);
/* process.json for an exec: as the container's process with other arguments. */
int config_exec(struct pod *p, const struct broker_exec *e, struct arena *a, struct buf *out,
                struct err *err);

/* mounts.c */
struct oci_mount;
int rootfs_mount(struct broker *b, const char *uid, const struct broker_container *c,
                 const char *dir, struct err *err);
int mounts_resolve(struct broker *b, struct pod *p, const struct broker_container *c, int bundle_fd,
                   const char *bundle, struct arena *a, struct oci_mount *ret, struct err *err);
/* Unmounts all that is mounted at or below prefix in this mount namespace. */
void mounts_undo(const char *prefix);

/* exec.c */
void exec_client_gone(struct broker *b, const struct client *c);

/* adopt.c: at start. Calls done once all shims have said what runs, or had time to. */
void adopt_all(struct broker *b, void (*done)(struct broker *b));
