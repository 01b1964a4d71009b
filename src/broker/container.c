/* Requests about containers: start, signal, resize, remove. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/own.h"
#include "broker/broker_internal.h"
#include "broker/check.h"
#include "broker/cleanup.h"
#include "broker/logs.h"
#include "broker/paths.h"
#include "broker/runtime.h"
#include "wire/shim.h"

enum { RUNTIME_LOG_BYTES_MAX = 64 * 1024, CONSOLE_PATH_MAX = 107 };

static void leave_nothing(struct box *x, void (*done)(void *, const struct err *), void *user) {
    struct pod *p = x->pod;
    struct broker *b = p->broker;
    struct cleanup job = {.done = done, .user = user};
    box_cgroup(b, p->uid, x->id, job.cgroup);
    OWN(buf_done) struct buf s = {0};
    buf_printf(&s, "%s/%s/rootfs/%s", b->state_path, p->uid, x->id);
    job.mounts[0] = buf_steal(&s);
    buf_printf(&s, "%s/%s/c/%s", b->pods_path, p->uid, x->id);
    job.mounts[1] = buf_steal(&s);
    buf_printf(&s, "%s/%s/rootfs", b->state_path, p->uid);
    job.dirs[0] = (struct cleanup_dir){buf_steal(&s), strdup(x->id)};
    buf_printf(&s, "%s/%s/c", b->pods_path, p->uid);
    job.dirs[1] = (struct cleanup_dir){buf_steal(&s), strdup(x->id)};
    runtime_forget(b, x->id);
    cleanup_start(b, &job);
}

/* ---- start ---- */

static int directories_make(struct broker *b, const struct broker_container *c, int *ret_bundle,
                            struct arena *a, struct err *err) {
    const char *bundle = arena_printf(a, "%s/%s/c/%s", b->pods_path, c->uid, c->id);
    const char *rootfs = arena_printf(a, "%s/%s/rootfs/%s", b->state_path, c->uid, c->id);
    if (mkdir(bundle, 0700) < 0 || mkdir(rootfs, 0700) < 0)
        return err_errno(err, errno, "cannot make the container's directories");
    OWN(close_p) int fd = open(bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return err_errno(err, errno, "cannot open %s", bundle);
    int r = path_write(fd, "termination", SLICE(""), 0666);
    if (r) return err_errno(err, -r, "cannot make the termination message file");
    *ret_bundle = TAKE_FD(fd);
    return 0;
}

static void start_send(struct box *x, const struct broker_container *c, const char *log,
                       struct arena *a);

static int start(struct pod *p, struct box *x, const struct broker_container *c, struct arena *a,
                 struct err *err) {
    struct broker *b = p->broker;
    OWN(close_p) int bundle = -1;
    const char *rootfs = arena_printf(a, "%s/%s/rootfs/%s", b->state_path, c->uid, c->id);
    const char *log = NULL;
    int r = directories_make(b, c, &bundle, a, err);
    if (!r) r = rootfs_mount(b, c->uid, c, rootfs, err);
    if (!r) r = config_write(b, p, c, bundle, arena_printf(a, "%s/merged", rootfs), a, err);
    if (!r) r = logs_prepare(b, c, a, &log, err);
    if (!r) r = pod_shim(p, err);
    if (r) return r;
    start_send(x, c, log, a);
    return 0;
}

/* The runtime's own words: the last line it logged, else what it wrote on standard error. */
static void start_error(struct box *x, struct slice written, struct err *err) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s/c/%s/runtime.log", x->pod->broker->pods_path, x->pod->uid,
             x->id);
    OWN(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
    OWN(free_p) char *text = NULL;
    size_t n = 0;
    if (fd >= 0 && path_read(fd, RUNTIME_LOG_BYTES_MAX, &text, &n) == 0 && n)
        written = slice_from(text, n);
    char words[512];
    runtime_message(written, words);
    err_set(err, ERR_INTERNAL, "failed to start container: %s",
            words[0] ? words : "the container runtime gave no reason");
}

static void start_failed(struct box *x, const struct err *err) {
    struct call call = x->starter;
    x->starter.client = NULL;
    x->removing = true;
    leave_nothing(x, NULL, NULL);
    box_free(x);
    if (call.client) call_fail(&call, err);
}

static void started(struct ipc *c, struct ipc_msg *m, void *user) {
    (void)c;
    struct box *x = user;
    struct err err;
    struct unpack u = unpack_init(m ? m->body : SLICE(""));
    if (m && m->type == SHIM_START_OK) {
        uint32_t pid = unpack_u32(&u);
        struct call call = x->starter;
        x->starter.client = NULL;
        x->phase = PHASE_RUNNING;
        x->pid = pid;
        x->started_ns = loop_wall_ns(x->pod->broker->loop);
        OWN(buf_done) struct buf b = {0};
        pack_u32(&b, pid);
        call_reply(&call, BROKER_CONTAINER_OK, buf_view(&b), NULL, 0);
        return;
    }
    if (x->pod->removing && !m) return; /* the pod's end frees it */
    if (m && m->type == SHIM_START_FAILED) {
        unpack_u32(&u);
        start_error(x, unpack_slice(&u), &err);
    } else if (m && m->type == SHIM_FAILED) {
        err_errno(&err, (int)unpack_u32(&u), "the pod's shim cannot start the container");
    } else {
        err_set(&err, ERR_UNAVAILABLE, "the pod's shim ended while it started the container");
    }
    start_failed(x, &err);
}

static void start_send(struct box *x, const struct broker_container *c, const char *log,
                       struct arena *a) {
    struct pod *p = x->pod;
    OWN(buf_done) struct buf b = {0};
    const char *console = arena_printf(a, "%s/%s/c/%s/tty", p->broker->pods_path, p->uid, x->id);
    if (strlen(console) > CONSOLE_PATH_MAX) console = "tty"; /* runtimes enter the bundle first */
    struct runtime_args args;
    runtime_run(p->broker, arena_printf(a, "%s/%s/c/%s", p->broker->pods_path, p->uid, x->id),
                x->id, c->tty ? console : NULL, a, &args);
    unsigned flags = (c->tty ? SHIM_FLAG_TTY : 0) | (c->stdin_open ? SHIM_FLAG_STDIN : 0) |
                     (c->stdin_once ? SHIM_FLAG_STDIN_ONCE : 0);
    pack_str(&b, x->id);
    pack_u8(&b, (uint8_t)flags);
    pack_str(&b, log);
    pack_u64(&b, LIMIT_LOG_FILE_BYTES);
    pack_u32(&b, LIMIT_LOG_FILES);
    pack_str(&b, arena_printf(a, "c/%s/pid", x->id));
    pack_str(&b, arena_printf(a, "c/%s/exit", x->id));
    pack_str(&b, c->tty ? arena_printf(a, "c/%s/tty", x->id) : "");
    pack_u32(&b, args.n);
    for (uint32_t i = 0; i < args.n; i++) pack_str(&b, args.v[i]);
    ipc_call(p->shim, SHIM_START, buf_view(&b), NULL, 0, started, x);
}

int request_container_start(struct broker *b, struct call *call, struct slice body, struct arena *a,
                            struct err *err) {
    struct broker_container c;
    if (broker_container_unpack(body, a, &c) < 0)
        return err_set(err, ERR_BAD_REQUEST, "malformed container request");
    struct pod *p;
    int r = check_container(&c, err);
    if (!r) r = pod_get(b, c.uid, &p, err);
    if (r) return r;
    if (!b->runtime)
        return err_set(err, ERR_UNAVAILABLE,
                       "no container runtime: install crun (or runc), or name one in "
                       "etc/atoll/runtime");
    struct box *x = pod_box(p, c.id);
    if (x && x->phase == PHASE_RUNNING && !x->removing) { /* asked again */
        OWN(buf_done) struct buf ok = {0};
        pack_u32(&ok, x->pid);
        call_reply(call, BROKER_CONTAINER_OK, buf_view(&ok), NULL, 0);
        return 0;
    }
    if (x) return err_set(err, ERR_ALREADY_EXISTS, "container %s exists", c.id);
    if (p->boxes.n >= (size_t)2 * LIMIT_CONTAINERS_PER_POD)
        return err_set(err, ERR_TOO_MANY_REQUESTS, "the pod has too many containers");
    x = box_new(p, c.id, c.name, c.attempt);
    r = start(p, x, &c, a, err);
    if (r)
        start_failed(x, err);
    else
        x->starter = *call;
    return r;
}

/* ---- the others ---- */

static int box_get(struct broker *b, const char *uid, const char *id, struct box **ret,
                   struct err *err) {
    struct pod *p = NULL;
    int r = check_container_id(id, err);
    if (!r) r = pod_get(b, uid, &p, err);
    if (r) return r;
    struct box *x = pod_box(p, id);
    if (!x || x->removing) return err_set(err, ERR_NOT_FOUND, "container %s does not exist", id);
    *ret = x;
    return 0;
}

int request_container_signal(struct broker *b, struct call *call, struct slice body,
                             struct arena *a, struct err *err) {
    struct unpack u = unpack_init(body);
    const char *uid = unpack_str(&u, a), *id = unpack_str(&u, a);
    uint32_t signal = unpack_u32(&u);
    bool all = unpack_bool(&u);
    if (unpack_end(&u) || !signal || signal > 64)
        return err_set(err, ERR_BAD_REQUEST, "malformed signal request");
    struct box *x;
    int r = box_get(b, uid, id, &x, err);
    if (r) return r;
    if (x->phase == PHASE_EXITED || (all && x->phase == PHASE_RUNNING) || !x->pod->shim) {
        char cgroup[256];
        box_cgroup(b, uid, id, cgroup);
        if (all || !x->pod->shim) cgroups_signal(&b->cgroups, cgroup, (int)signal);
        call_done(call);
        return 0;
    }
    shim_signal(x->pod, id, signal, *call);
    return 0;
}

struct removal {
    struct broker *broker;
    char *uid;
    char id[65];
    struct call call;
};

static void removed(void *user, const struct err *err) {
    struct removal *m = user;
    struct pod *p = pod_find(m->broker, m->uid);
    struct box *x = p ? pod_box(p, m->id) : NULL;
    if (x) {
        if (p && !p->removing) shim_forget(p, m->id);
        box_free(x);
    }
    if (err)
        call_fail(&m->call, err);
    else
        call_done(&m->call);
    free(m->uid);
    free(m);
}

int request_container_remove(struct broker *b, struct call *call, struct slice body,
                             struct arena *a, struct err *err) {
    struct unpack u = unpack_init(body);
    const char *uid = unpack_str(&u, a), *id = unpack_str(&u, a);
    if (unpack_end(&u)) return err_set(err, ERR_BAD_REQUEST, "malformed container request");
    struct box *x;
    int r = check_uid(uid, err);
    if (!r) r = check_container_id(id, err);
    if (r) return r;
    struct err ignored;
    if (box_get(b, uid, id, &x, &ignored) < 0) { /* idempotent */
        call_done(call);
        return 0;
    }
    if (x->phase != PHASE_EXITED) return err_set(err, ERR_CONFLICT, "container %s is running", id);
    struct removal *m = calloc(1, sizeof *m);
    if (!m) abort();
    *m = (struct removal){.broker = b, .uid = strdup(uid), .call = *call};
    snprintf(m->id, sizeof m->id, "%s", id);
    x->removing = true;
    leave_nothing(x, removed, m);
    return 0;
}

int request_container_update(struct broker *b, struct call *call, struct slice body,
                             struct arena *a, struct err *err) {
    struct unpack u = unpack_init(body);
    const char *uid = unpack_str(&u, a), *id = unpack_str(&u, a);
    struct broker_resources resources;
    broker_resources_unpack(&u, &resources);
    if (unpack_end(&u)) return err_set(err, ERR_BAD_REQUEST, "malformed update request");
    struct box *x;
    struct pod *p;
    const char *member = *id ? id : NULL;
    int r = check_resources(&resources, err);
    if (!r) r = member ? box_get(b, uid, member, &x, err) : pod_get(b, uid, &p, err);
    if (r) return r;
    char cgroup[256];
    box_cgroup(b, uid, member, cgroup);
    struct cgroup_limits limits = {
        .cpu_shares = resources.cpu_shares,
        .cpu_quota_us = resources.cpu_quota_us,
        .cpu_period_us = 100000,
        .memory_limit_bytes = resources.memory_limit_bytes,
        .pids_limit = resources.pids_limit,
    };
    r = cgroups_limit(&b->cgroups, cgroup, &limits, err);
    if (!r) call_done(call);
    return r;
}

int request_stats(struct broker *b, struct call *call, struct slice body, struct arena *a,
                  struct err *err) {
    struct unpack u = unpack_init(body);
    const char *uid = unpack_str(&u, a), *id = unpack_str(&u, a);
    if (unpack_end(&u)) return err_set(err, ERR_BAD_REQUEST, "malformed stats request");
    struct box *x;
    struct cgroup_stats s;
    const char *member = *id ? id : NULL;
    struct pod *p;
    int r = member ? box_get(b, uid, member, &x, err) : pod_get(b, uid, &p, err);
    if (r) return r;
    char cgroup[256];
    box_cgroup(b, uid, member, cgroup);
    r = cgroups_stats(&b->cgroups, cgroup, &s, err);
    if (r) return r;
    OWN(buf_done) struct buf out = {0};
    pack_u64(&out, s.cpu_usage_ns);
    pack_u64(&out, s.memory_bytes);
    pack_u64(&out, s.memory_working_set_bytes);
    pack_u32(&out, (uint32_t)s.pids);
    pack_u64(&out, s.memory_rss_bytes);
    pack_u64(&out, s.memory_cache_bytes);
    call_reply(call, BROKER_STATS_OK, buf_view(&out), NULL, 0);
    return 0;
}
