/* Pods: directories, control group, namespaces, files and shim; and taking them away again. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/netlink.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "broker/broker_internal.h"
#include "broker/check.h"
#include "broker/cleanup.h"
#include "broker/paths.h"
#include "wire/shim.h"

struct pod *pod_find(struct broker *b, const char *uid) {
    return map_gets(&b->pods, uid);
}

int pod_get(struct broker *b, const char *uid, struct pod **ret, struct err *err) {
    int r = check_uid(uid, err);
    if (r) return r;
    struct pod *p = pod_find(b, uid);
    if (!p) return err_set(err, ERR_NOT_FOUND, "pod %s is not on this node", uid);
    if (p->removing) return err_set(err, ERR_CONFLICT, "pod %s is being removed", uid);
    *ret = p;
    return 0;
}

struct box *pod_box(struct pod *p, const char *id) {
    for (size_t i = 0; i < p->boxes.n; i++)
        if (str_eq(p->boxes.v[i]->id, id)) return p->boxes.v[i];
    return NULL;
}

struct pod *pod_new(struct broker *b, const struct broker_pod *desc) {
    struct pod *p = calloc(1, sizeof *p);
    if (!p) abort();
    p->broker = b;
    p->uid = strdup(desc->uid);
    p->name = strdup(desc->name);
    p->pod_namespace = strdup(desc->pod_namespace);
    p->hostname = strdup(desc->hostname);
    p->host_network = desc->host_network;
    p->host_ipc = desc->host_ipc;
    p->host_pid = desc->host_pid;
    p->share_pids = desc->share_process_namespace;
    p->netns_fd = -1;
    map_put(&b->pods, slice_of(desc->uid), p);
    return p;
}

/* forgets; leaves the machine alone */
static void pod_free(struct pod *p) {
    map_del(&p->broker->pods, slice_of(p->uid));
    p->removing = true;
    if (p->shim) ipc_close(p->shim);
    while (p->boxes.n) box_free(p->boxes.v[0]);
    vec_done(&p->boxes);
    if (p->netns_fd >= 0) close(p->netns_fd);
    free(p->uid);
    free(p->name);
    free(p->pod_namespace);
    free(p->hostname);
    free(p);
}

/* ---- create ---- */

static int files_write(int dir, const struct broker_pod *d, struct err *err) {
    OWN(buf_done) struct buf packed = {0}, hostname = {0};
    char own[HOST_NAME_MAX + 1] = "";
    gethostname(own, sizeof own - 1);
    buf_printf(&hostname, "%s\n", d->host_network ? own : d->hostname);
    broker_pod_pack(&packed, d);
    int r = path_write(dir, "resolv.conf", slice_of(d->resolv_conf), 0644);
    if (!r) r = path_write(dir, "hosts", slice_of(d->etc_hosts), 0644);
    if (!r) r = path_write(dir, "hostname", buf_view(&hostname), 0644);
    if (!r) r = path_write(dir, "pod", buf_view(&packed), 0600);
    return r ? err_errno(err, -r, "cannot write the pod's files") : 0;
}

static int directories_make(struct broker *b, const char *uid, int *ret_dir, int *ret_ns,
                            struct err *err) {
    OWN(close_p) int pods = open(b->pods_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    OWN(close_p) int dir = pods < 0 ? -errno : path_open_dir(pods, uid, 0700);
    OWN(close_p) int ns = dir < 0 ? dir : path_open_dir(dir, "ns", 0700);
    OWN(close_p) int boxes = dir < 0 ? dir : path_open_dir(dir, "c", 0700);
    OWN(close_p) int state = path_open_dir(b->state_fd, uid, 0700);
    OWN(close_p) int volumes = state < 0 ? state : path_open_dir(state, "volumes", 0700);
    OWN(close_p) int rootfs = state < 0 ? state : path_open_dir(state, "rootfs", 0700);
    int bad = MIN_OF(MIN_OF(MIN_OF(dir, ns), MIN_OF(boxes, state)), MIN_OF(volumes, rootfs));
    if (bad < 0) return err_errno(err, -bad, "cannot make the pod's directories");
    *ret_dir = TAKE_FD(dir);
    *ret_ns = TAKE_FD(ns);
    return 0;
}

static void limits_of(const struct broker_resources *r, struct cgroup_limits *ret) {
    *ret = (struct cgroup_limits){
        .cpu_shares = r->cpu_shares,
        .cpu_quota_us = r->cpu_quota_us,
        .cpu_period_us = 100000,
        .memory_limit_bytes = r->memory_limit_bytes,
        .pids_limit = r->pids_limit,
    };
}

static int cgroup_make(struct broker *b, const struct broker_pod *d, struct err *err) {
    char path[256];
    struct cgroup_limits limits;
    box_cgroup(b, d->uid, NULL, path);
    limits_of(&d->resources, &limits);
    int r = cgroups_make(&b->cgroups, path, err);
    return r ? r : cgroups_limit(&b->cgroups, path, &limits, err);
}

/* The namespace lives as long as its first process, which waits in a group of its own. */
static int shared_pids_make(struct broker *b, const char *uid, int ns, struct err *err) {
    char path[256], group[300];
    pid_t pause = 0;
    box_cgroup(b, uid, NULL, path);
    snprintf(group, sizeof group, "%s/pause", path);
    int r = namespaces_make_pid(ns, b->shim_program, &pause, err);
    if (r < 0 || !pause) return r;
    r = cgroups_make(&b->cgroups, group, err);
    if (!r) r = cgroups_join(&b->cgroups, group, pause, err);
    if (r < 0) kill(pause, SIGKILL);
    return r;
}

static int pod_make(struct broker *b, const struct broker_pod *d, struct pod **ret,
                    struct err *err) {
    OWN(close_p) int dir = -1;
    OWN(close_p) int ns = -1;
    int r = directories_make(b, d->uid, &dir, &ns, err);
    if (!r) r = cgroup_make(b, d, err);
    if (!r) r = namespaces_make(ns, d, err);
    if (!r && d->share_process_namespace) r = shared_pids_make(b, d->uid, ns, err);
    if (!r) r = files_write(dir, d, err);
    if (r) return r;
    struct pod *p = pod_find(b, d->uid);
    if (!p) p = pod_new(b, d);
    if (!p->host_network && p->netns_fd < 0) p->netns_fd = namespaces_open(ns, "net");
    *ret = p;
    return pod_shim(p, err);
}

static void leave_nothing(struct broker *b, const char *uid,
                          void (*done)(void *, const struct err *), void *user) {
    struct cleanup job = {.done = done, .user = user};
    box_cgroup(b, uid, NULL, job.cgroup);
    OWN(buf_done) struct buf s = {0};
    buf_printf(&s, "%s/%s", b->pods_path, uid);
    job.mounts[0] = buf_steal(&s);
    buf_printf(&s, "%s/%s", b->state_path, uid);
    job.mounts[1] = buf_steal(&s);
    job.dirs[0] = (struct cleanup_dir){strdup(b->pods_path), strdup(uid)};
    job.dirs[1] = (struct cleanup_dir){strdup(b->state_path), strdup(uid)};
    cleanup_start(b, &job);
}

static int pod_answer(struct pod *p, struct call *call, struct err *err) {
    if (p->host_network) {
        call_reply(call, BROKER_POD_OK, SLICE(""), NULL, 0);
        return 0;
    }
    OWN(close_p)
    int route = namespaces_socket(p->broker, p->netns_fd, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE, err);
    if (p->netns_fd < 0)
        return err_set(err, ERR_INTERNAL, "the pod's network namespace is not pinned");
    if (route < 0) return route;
    int fds[] = {p->netns_fd, route};
    call_reply(call, BROKER_POD_OK, SLICE(""), fds, 2);
    return 0;
}

int request_pod_create(struct broker *b, struct call *call, struct slice body, struct arena *a,
                       struct err *err) {
    struct broker_pod d;
    if (broker_pod_unpack(body, a, &d) < 0)
        return err_set(err, ERR_BAD_REQUEST, "malformed pod request");
    int r = check_pod(&d, err);
    if (r) return r;
    struct pod *p = pod_find(b, d.uid);
    if (p && p->removing) return err_set(err, ERR_CONFLICT, "pod %s is being removed", d.uid);
    bool existed = p;
    r = pod_make(b, &d, &p, err);
    if (!r) r = pod_answer(p, call, err);
    if (r && !existed) { /* a half-made pod leaves nothing */
        if ((p = pod_find(b, d.uid))) {
            if (p->shim) ipc_send(p->shim, SHIM_QUIT, 1, SLICE(""), NULL, 0);
            pod_free(p);
        }
        leave_nothing(b, d.uid, NULL, NULL);
    }
    return r;
}

/* ---- remove ---- */

struct removal {
    struct broker *broker;
    char *uid;
    VEC(struct call) calls; /* who asked, one or more */
};

static void removed(void *user, const struct err *err) {
    struct removal *m = user;
    struct pod *p = pod_find(m->broker, m->uid);
    if (p) pod_free(p);
    for (size_t i = 0; i < m->calls.n; i++) {
        if (err)
            call_fail(&m->calls.v[i], err);
        else
            call_done(&m->calls.v[i]);
    }
    vec_done(&m->calls);
    free(m->uid);
    free(m);
}

static void sweep(void *user) {
    struct removal *m = user;
    leave_nothing(m->broker, m->uid, removed, m);
}

/* Later: the connection still has its own end to tell to the pod. */
static void shim_ended(struct ipc *c, struct ipc_msg *msg, void *user) {
    (void)c, (void)msg;
    struct removal *m = user;
    loop_defer(m->broker->loop, sweep, m);
}

int request_pod_remove(struct broker *b, struct call *call, struct slice body, struct arena *a,
                       struct err *err) {
    struct unpack u = unpack_init(body);
    const char *uid = unpack_str(&u, a);
    if (unpack_end(&u)) return err_set(err, ERR_BAD_REQUEST, "malformed pod request");
    int r = check_uid(uid, err);
    if (r) return r;
    struct pod *p = pod_find(b, uid);
    if (p && p->removal) { /* answered together */
        vec_push(&p->removal->calls, *call);
        return 0;
    }
    struct removal *m = calloc(1, sizeof *m);
    if (!m) abort();
    *m = (struct removal){.broker = b, .uid = strdup(uid)};
    vec_push(&m->calls, *call);
    char cgroup[256];
    box_cgroup(b, uid, NULL, cgroup);
    cgroups_signal(&b->cgroups, cgroup, SIGKILL);
    if (p) p->removing = true, p->removal = m;
    struct err ignored;
    if (p && !p->shim) shim_connect(p, &ignored);
    if (p && p->shim) /* it never answers: the call ends with the connection */
        ipc_call(p->shim, SHIM_QUIT, SLICE(""), NULL, 0, shim_ended, m);
    else
        leave_nothing(b, uid, removed, m);
    return 0;
}
