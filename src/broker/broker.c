/* The broker service: settings, peers and the table of requests. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/own.h"
#include "broker/broker_internal.h"
#include "broker/paths.h"
#include "broker/reaper.h"
#include "broker/runtime.h"

static struct broker broker;

/* ---- calls ---- */

static void client_unref(struct client *c) {
    if (--c->refs == 0) free(c);
}

void call_reply(struct call *c, uint16_t type, struct slice body, const int *fds, size_t n_fds) {
    if (!c->client) return;
    if (c->client->ipc) ipc_send(c->client->ipc, type, c->id, body, fds, n_fds);
    client_unref(c->client);
    c->client = NULL;
}

void call_done(struct call *c) { call_reply(c, BROKER_DONE, SLICE(""), NULL, 0); }

void call_fail(struct call *c, const struct err *err) {
    if (!c->client) return;
    if (c->client->ipc) ipc_send_error(c->client->ipc, c->id, err);
    client_unref(c->client);
    c->client = NULL;
}

static const struct {
    uint16_t type;
    request_fn *fn;
} requests[] = {
    {BROKER_POD_CREATE, request_pod_create},
    {BROKER_POD_REMOVE, request_pod_remove},
    {BROKER_CONTAINER_START, request_container_start},
    {BROKER_CONTAINER_SIGNAL, request_container_signal},
    {BROKER_CONTAINER_REMOVE, request_container_remove},
    {BROKER_CONTAINER_UPDATE, request_container_update},
    {BROKER_EXEC, request_exec},
    {BROKER_EXEC_RESIZE, request_exec_resize},
    {BROKER_EXEC_KILL, request_exec_kill},
    {BROKER_ATTACH, request_attach},
    {BROKER_VOLUME, request_volume},
    {BROKER_VOLUME_WRITE, request_volume_write},
    {BROKER_NET_SOCKET, request_net_socket},
    {BROKER_LIST, request_list},
    {BROKER_STATS, request_stats},
    {BROKER_LOG_OPEN, request_log_open},
    {BROKER_LOG_REMOVE, request_log_remove},
    {BROKER_LOCAL_REMOVE, request_local_remove},
};

static void on_message(struct ipc *c, struct ipc_msg *m, void *user) {
    (void)c;
    struct client *client = user;
    struct call call = {client, m->id};
    struct err err;
    err_set(&err, ERR_BAD_REQUEST, "unknown request %u", m->type);
    int r = -EINVAL;
    client->refs++;
    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        if (requests[i].type != m->type) continue;
        OWN(arena_free_p) struct arena *a = arena_new();
        r = requests[i].fn(client->broker, &call, m->body, a, &err);
        break;
    }
    if (r < 0) call_fail(&call, &err);
}

static void on_closed(struct ipc *c, void *user) {
    (void)c;
    struct client *client = user;
    struct broker *b = client->broker;
    client->ipc = NULL;
    exec_client_gone(b, client);
    for (size_t i = 0; i < b->clients.n; i++)
        if (b->clients.v[i] == client) {
            vec_swap_remove(&b->clients, i);
            break;
        }
    client_unref(client);
}

static void on_accepted(struct ipc *c, void *user) {
    struct client *client = calloc(1, sizeof *client);
    if (!client) abort();
    *client = (struct client){user, c, 1};
    vec_push(&client->broker->clients, client);
    struct ipc_handler h = {on_message, on_closed, client};
    ipc_set_handler(c, &h);
}

/* ---- life ---- */

static int directory(const char *path, mode_t mode, int *ret, struct err *err) {
    int r = path_make_host_dirs(path, mode);
    *ret = r ? r : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *ret < 0 ? err_errno(err, r ? -r : errno, "cannot make %s", path) : 0;
}

/*
 * ext4: pods' directories are spread over the disk, not put side by side. It does not give out
 * inodes again for five seconds after they were freed and looks at each of them every time, which
 * takes most of the time of a pod's start where many have just ended. Other file systems do not
 * know the flag.
 */
static void spread(int fd) {
    int flags;
    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0) return;
    flags |= FS_TOPDIR_FL;
    ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

static int directories(struct broker *b, struct err *err) {
    b->run_path = service_path(b->ctx, "/run/atoll");
    b->pods_path = service_path(b->ctx, "/run/atoll/pods");
    b->runtime_state_path = service_path(b->ctx, "/run/atoll/runtime");
    b->state_path = service_path(b->ctx, "/var/lib/atoll/pods");
    b->volumes_path = service_path(b->ctx, "/var/lib/atoll/volumes");
    b->layers_path = service_path(b->ctx, "/var/lib/atoll/image/layers");
    b->log_path = service_path(b->ctx, "/var/log/atoll/pods");
    int pods = -1, runtime = -1;
    int r = directory(b->run_path, 0711, &b->run_fd, err);
    if (!r) r = directory(b->pods_path, 0711, &pods, err);
    if (!r) r = directory(b->runtime_state_path, 0700, &runtime, err);
    if (!r) r = directory(b->state_path, 0711, &b->state_fd, err);
    if (!r) r = directory(b->volumes_path, 0711, &b->volumes_fd, err);
    if (!r) r = directory(b->layers_path, 0755, &b->layers_fd, err);
    if (!r) r = directory(b->log_path, 0755, &b->log_fd, err);
    int per_pod[] = {pods, runtime, b->state_fd, b->log_fd};
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(per_pod); i++) spread(per_pod[i]);
    if (pods >= 0) close(pods);
    if (runtime >= 0) close(runtime);
    return r;
}

static int broker_prepare(struct service_ctx *ctx, struct err *err) {
    struct broker *b = &broker;
    b->ctx = ctx;
    b->loop = ctx->loop;
    b->host_netns_fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (b->host_netns_fd < 0) return err_errno(err, errno, "cannot open the network namespace");
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        return err_errno(err, errno, "cannot become a subreaper");
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
        log_warn("no_new_privileges",
                 "text=\"containers cannot gain privileges: the broker itself may not\"");
    int r = directories(b, err);
    if (!r && fchdir(b->run_fd) < 0) r = err_errno(err, errno, "cannot enter %s", b->run_path);
    return r ? r : cgroups_init(&b->cgroups, ctx->settings->instance, err);
}

static void serve(struct broker *b) {
    uid_t allowed[] = {service_uid("node")};
    int fd = service_fd(b->ctx, "listen");
    b->listener = ipc_listen(b->loop, fd, allowed, ARRAY_LEN(allowed), on_accepted, b);
    service_ready(b->ctx);
}

static int broker_start(struct service_ctx *ctx, struct err *err) {
    struct broker *b = &broker;
    (void)err;
    umask(0); /* after the sandbox's 077: every mode is said where a file is made */
    b->loop = ctx->loop;
    b->reaper = reaper_new(b->loop);
    runtime_find(b);
    adopt_all(b, serve);
    return 0;
}

/* Pods go on; their shims notice nothing. */
static bool broker_stop(struct service_ctx *ctx) {
    (void)ctx;
    return false;
}

static const struct service broker_service = {
    .name = "broker",
    .prepare = broker_prepare,
    .start = broker_start,
    .stop = broker_stop,
};
SERVICE(broker_service);
