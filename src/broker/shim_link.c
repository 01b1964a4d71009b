/* The broker's side of shim/protocol.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/own.h"
#include "broker/broker_internal.h"
#include "broker/paths.h"
#include "broker/reaper.h"
#include "wire/shim.h"

/* Sockets have short names only: relative to the run directory, which is the working directory. */
static int socket_address(const struct pod *p, struct sockaddr_un *ret) {
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    int n = snprintf(ret->sun_path, sizeof ret->sun_path, "pods/%s/shim.sock", p->uid);
    return n >= (int)sizeof ret->sun_path ? -ENAMETOOLONG : 0;
}

static void exec_shim(const struct pod *p, int listener) {
    char dir[96];
    snprintf(dir, sizeof dir, "pods/%s", p->uid);
    int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (score >= 0 && write(score, "-998", 4) < 0) close(score); /* containers set their own */
    int null = open("/dev/null", O_RDWR);
    if (chdir(dir) < 0 || null < 0 || setsid() < 0) _exit(126);
    for (int i = 0; i < 3; i++) dup2(null, i);
    if (dup2(listener, 3) < 0) _exit(126);
    if (listener == 3) fcntl(3, F_SETFD, 0);
    close_range(4, ~0U, 0);
    char *const argv[] = {(char[]){"atoll-shim"}, NULL};
    char *const envp[] = {NULL};
    execve(p->broker->shim_program, argv, envp);
    _exit(127);
}

static int shim_spawn(struct pod *p, struct err *err) {
    struct sockaddr_un address;
    if (!p->broker->shim_program)
        return err_set(err, ERR_UNAVAILABLE, "atoll-shim is not installed beside atoll");
    if (socket_address(p, &address) < 0) return err_set(err, ERR_INVALID, "pod uid too long");
    OWN(close_p) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unlink(address.sun_path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        chmod(address.sun_path, 0600) < 0 || listen(fd, 64) < 0)
        return err_errno(err, errno, "cannot listen on %s", address.sun_path);
    pid_t pid = reaper_fork();
    if (pid < 0) return err_errno(err, errno, "cannot start the pod's shim");
    if (pid == 0) exec_shim(p, fd);
    return 0;
}

/* ---- what the shim says ---- */

static void on_exited(struct pod *p, struct unpack *u, struct arena *a) {
    const char *id = unpack_str(u, a);
    uint32_t code = unpack_u32(u), signal = unpack_u32(u);
    int64_t started_ns = unpack_i64(u), finished_ns = unpack_i64(u);
    struct box *x = pod_box(p, id);
    if (unpack_end(u) || !x || x->phase == PHASE_EXITED) return;
    box_exited(x, code, signal, started_ns, finished_ns);
}

static void on_started(struct pod *p, struct unpack *u, struct arena *a) {
    const char *id = unpack_str(u, a);
    uint32_t pid = unpack_u32(u);
    struct box *x = pod_box(p, id);
    if (unpack_end(u) || !x || x->phase != PHASE_STARTING) return;
    x->phase = PHASE_RUNNING;
    x->pid = pid;
    x->started_ns = loop_wall_ns(p->broker->loop);
}

static void on_message(struct ipc *c, struct ipc_msg *m, void *user) {
    (void)c;
    OWN(arena_free_p) struct arena *a = arena_new();
    struct unpack u = unpack_init(m->body);
    if (m->type == SHIM_EXITED) on_exited(user, &u, a);
    if (m->type == SHIM_STARTED) on_started(user, &u, a);
}

/* Without its shim a container cannot be waited for: it must not go on unseen. */
static void on_closed(struct ipc *c, void *user) {
    (void)c;
    struct pod *p = user;
    p->shim = NULL;
    if (p->removing) return;
    /* A dying process may close this connection before its listener: nobody may reach that
     * again. */
    struct sockaddr_un address;
    if (socket_address(p, &address) == 0) unlink(address.sun_path);
    log_warn("shim_lost", "uid=%s pod=%s/%s", p->uid, p->pod_namespace, p->name);
    for (size_t i = 0; i < p->boxes.n; i++) {
        struct box *x = p->boxes.v[i];
        if (x->phase == PHASE_EXITED) continue;
        char cgroup[256];
        box_cgroup(p->broker, p->uid, x->id, cgroup);
        cgroups_signal(&p->broker->cgroups, cgroup, SIGKILL);
        box_exited(x, 137, SIGKILL, x->started_ns, loop_wall_ns(p->broker->loop));
    }
}

int shim_connect(struct pod *p, struct err *err) {
    struct sockaddr_un address;
    if (socket_address(p, &address) < 0) return err_set(err, ERR_INVALID, "pod uid too long");
    struct ipc_handler h = {on_message, on_closed, p};
    return ipc_connect(p->broker->loop, address.sun_path, &h, &p->shim, err);
}

int pod_shim(struct pod *p, struct err *err) {
    if (p->shim) return 0;
    struct err ignored;
    if (shim_connect(p, &ignored) == 0) return 0;
    int r = shim_spawn(p, err);
    return r ? r : shim_connect(p, err);
}

/* ---- requests ---- */

struct signal_call {
    struct call call;
};

static void signalled(struct ipc *c, struct ipc_msg *m, void *user) {
    (void)c;
    struct signal_call *s = user;
    struct err err;
    uint32_t e = 0;
    if (m && m->type == SHIM_FAILED) {
        struct unpack u = unpack_init(m->body);
        e = unpack_u32(&u);
    }
    if (!m) {
        err_set(&err, ERR_UNAVAILABLE, "the pod's shim is gone");
        call_fail(&s->call, &err);
    } else if (e && e != ESRCH) { /* already gone is what was wanted */
        err_errno(&err, (int)e, "cannot signal the container");
        call_fail(&s->call, &err);
    } else {
        call_done(&s->call);
    }
    free(s);
}

void shim_signal(struct pod *p, const char *id, uint32_t signal, struct call call) {
    struct signal_call *s = malloc(sizeof *s);
    if (!s) abort();
    s->call = call;
    OWN(buf_done) struct buf b = {0};
    pack_str(&b, id);
    pack_u32(&b, signal);
    ipc_call(p->shim, SHIM_SIGNAL, buf_view(&b), NULL, 0, signalled, s);
}

static void forgotten(struct ipc *c, struct ipc_msg *m, void *user) {
    (void)c, (void)m, (void)user;
}

void shim_forget(struct pod *p, const char *id) {
    if (!p->shim) return;
    OWN(buf_done) struct buf b = {0};
    pack_str(&b, id);
    ipc_call(p->shim, SHIM_REMOVE, buf_view(&b), NULL, 0, forgotten, NULL);
}
