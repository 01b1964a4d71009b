/* Adoption: after a restart the broker takes over the pods that it finds below its run directory.
 * Truth is, in this order: the shim's list, the exit status file, nothing (then what is left of the
 * container is killed and it counts as lost, code 137). */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "broker/broker_internal.h"
#include "broker/check.h"
#include "broker/paths.h"
#include "proto/oci.h"
#include "wire/shim.h"

enum { POD_FILE_BYTES_MAX = 4 * 1024 * 1024, ANSWER_MS = 3000 };

struct adoption {
    struct broker *broker;
    void (*done)(struct broker *b);
    struct timer *deadline;
    unsigned waiting;
    bool finished;
};

static void adoption_end(struct adoption *a) {
    if (!a->finished) {
        a->finished = true;
        timer_free(a->deadline);
        a->done(a->broker);
    }
    if (!a->waiting) free(a);
}

static void deadline(void *user) {
    struct adoption *a = user;
    log_warn("adoption_slow", "shims=%u text=\"some shims did not answer yet\"", a->waiting);
    a->deadline = NULL;
    a->finished = true;
    a->done(a->broker);
}

/* code, signal, started, finished: one number a line (shim/container.c). */
static bool exit_file_read(const struct box *x, int64_t v[4]) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s/c/%s/exit", x->pod->broker->pods_path, x->pod->uid, x->id);
    OWN(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
    OWN(free_p) char *text = NULL;
    size_t n = 0;
    if (fd < 0 || path_read(fd, 256, &text, &n) < 0) return false;
    struct slice rest = slice_from(text, n), line;
    for (int i = 0; i < 4; i++) {
        uint64_t number;
        if (!slice_cut(&rest, '\n', &line) || slice_u64(line, &number) < 0 || number > INT64_MAX)
            return false;
        v[i] = (int64_t)number;
    }
    return true;
}

static void box_lost(struct box *x) {
    int64_t v[4];
    if (exit_file_read(x, v)) {
        box_exited(x, (uint32_t)v[0], (uint32_t)v[1], v[2], v[3]);
        return;
    }
    char cgroup[256];
    box_cgroup(x->pod->broker, x->pod->uid, x->id, cgroup);
    cgroups_signal(&x->pod->broker->cgroups, cgroup, SIGKILL);
    log_warn("container_lost", "uid=%s container=%s", x->pod->uid, x->id);
    int64_t now_ns = loop_wall_ns(x->pod->broker->loop);
    box_exited(x, 137, SIGKILL, x->started_ns ? x->started_ns : now_ns, now_ns);
}

static void listed(struct pod *p, struct unpack *u, struct arena *a) {
    uint32_t n = unpack_u32(u);
    for (uint32_t i = 0; i < n && !u->bad; i++) {
        const char *id = unpack_str(u, a);
        bool running = unpack_bool(u);
        uint32_t pid = unpack_u32(u), code = unpack_u32(u), signal = unpack_u32(u);
        int64_t started_ns = unpack_i64(u), finished_ns = unpack_i64(u);
        struct box *x = pod_box(p, id);
        if (u->bad || !x || x->phase == PHASE_EXITED) continue;
        x->pid = pid;
        x->started_ns = started_ns;
        x->phase = pid ? PHASE_RUNNING : PHASE_STARTING;
        x->adopted = true;
        if (!running) box_exited(x, code, signal, started_ns, finished_ns);
    }
}

struct pod_adoption {
    struct adoption *all;
    char *uid;
};

static void on_list(struct ipc *c, struct ipc_msg *m, void *user) {
    (void)c;
    struct pod_adoption *one = user;
    struct pod *p = pod_find(one->all->broker, one->uid);
    OWN(arena_free_p) struct arena *a = arena_new();
    if (p && m && m->type == SHIM_LIST_OK) {
        struct unpack u = unpack_init(m->body);
        listed(p, &u, a);
    }
    for (size_t i = 0; p && i < p->boxes.n; i++) {
        struct box *x = p->boxes.v[i];
        if (!x->adopted && x->phase != PHASE_EXITED && !x->starter.client) box_lost(x);
    }
    one->all->waiting--;
    if (!one->all->waiting) adoption_end(one->all);
    free(one->uid);
    free(one);
}

/* ---- reading what is on disk ---- */

static void box_read(struct pod *p, int boxes_fd, const char *id) {
    struct err err;
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(close_p) int dir = path_open_child(boxes_fd, id, O_RDONLY | O_DIRECTORY, 0);
    struct broker_container c;
    struct oci_user user;
    if (check_container_id(id, &err) < 0 || dir < 0) return;
    bool whole = config_load(dir, a, &c, &user) == 0 && str_eq(c.id, id);
    /* Without its file it was never started; it is listed as lost, so that node removes it. */
    box_new(p, id, whole ? c.name : "unknown", whole ? c.attempt : 0);
}

static struct pod *pod_read(struct broker *b, int pods_fd, const char *uid) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(close_p) int dir = path_open_child(pods_fd, uid, O_RDONLY | O_DIRECTORY, 0);
    OWN(close_p) int file = dir < 0 ? dir : path_open_child(dir, "pod", O_RDONLY, 0);
    OWN(close_p) int ns = dir < 0 ? dir : path_open_child(dir, "ns", O_RDONLY | O_DIRECTORY, 0);
    int boxes = dir < 0 ? dir : path_open_child(dir, "c", O_RDONLY | O_DIRECTORY, 0);
    OWN(closedir_p) DIR *d = boxes >= 0 ? fdopendir(boxes) : NULL;
    OWN(free_p) char *text = NULL;
    size_t n = 0;
    struct broker_pod desc;
    if (file < 0 || !d || path_read(file, POD_FILE_BYTES_MAX, &text, &n) < 0 ||
        broker_pod_unpack(slice_from(text, n), a, &desc) < 0 || !str_eq(desc.uid, uid)) {
        log_warn("pod_unreadable", "uid=%s text=\"made only in part; node makes or removes it\"",
                 uid);
        return NULL;
    }
    struct pod *p = pod_new(b, &desc);
    if (!p->host_network && ns >= 0) p->netns_fd = namespaces_open(ns, "net");
    struct dirent *e;
    while ((e = readdir(d)))
        if (e->d_name[0] != '.') box_read(p, boxes, e->d_name);
    return p;
}

static void pod_adopt(struct adoption *all, int pods_fd, const char *uid) {
    struct err err;
    if (check_uid(uid, &err) < 0) return;
    struct pod *p = pod_read(all->broker, pods_fd, uid);
    if (!p) return;
    if (shim_connect(p, &err) < 0) {
        for (size_t i = 0; i < p->boxes.n; i++) box_lost(p->boxes.v[i]);
        return;
    }
    struct pod_adoption *one = calloc(1, sizeof *one);
    if (!one) abort();
    *one = (struct pod_adoption){all, strdup(uid)};
    all->waiting++;
    ipc_call(p->shim, SHIM_LIST, SLICE(""), NULL, 0, on_list, one);
}

void adopt_all(struct broker *b, void (*done)(struct broker *b)) {
    struct adoption *all = calloc(1, sizeof *all);
    if (!all) abort();
    *all = (struct adoption){.broker = b, .done = done};
    int fd = open(b->pods_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    OWN(closedir_p) DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *e;
    unsigned pods = 0;
    while (d && (e = readdir(d))) {
        if (e->d_name[0] == '.') continue;
        pod_adopt(all, fd, e->d_name);
        pods++;
    }
    if (pods) log_info("pods_adopted", "pods=%u", pods);
    if (!all->waiting) {
        all->deadline = NULL;
        adoption_end(all);
        return;
    }
    all->deadline = timer_new(b->loop, deadline, all);
    timer_start(all->deadline, ANSWER_MS, 0);
}
