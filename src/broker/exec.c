/* Execs: another process in a running container. The runtime starts it detached; it becomes a child
 * of the broker (a subreaper), which tells its end. Execs do not outlive the broker's knowledge of
 * them: after a restart they run on, but nobody hears their exit code. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/own.h"
#include "broker/broker_internal.h"
#include "broker/check.h"
#include "broker/paths.h"
#include "broker/reaper.h"
#include "broker/runtime.h"

enum { MESSAGE_BYTES_MAX = 16 * 1024, EXECS_MAX = 1024 };

struct exec {
    struct broker *broker;
    uint32_t id;
    char *directory; /* ROOT/run/atoll/pods/<uid>/e<id>: its files */
    char *parent, *name;
    pid_t runtime_pid, pid;
    uint64_t mark; /* before both */
    bool tty;
    int own[3];   /* stdin write end, stdout and stderr read ends; -1 = not wanted */
    int console;  /* listening for the terminal */
    int terminal; /* kept for resizing */
    struct call call;
    struct client *client; /* who hears the end; NULL: gone */
};

static void exec_free(struct exec *e) {
    struct broker *b = e->broker;
    for (size_t i = 0; i < b->execs.n; i++)
        if (b->execs.v[i] == e) {
            vec_swap_remove(&b->execs, i);
            break;
        }
    for (int i = 0; i < 3; i++)
        if (e->own[i] >= 0) close(e->own[i]);
    if (e->console >= 0) close(e->console);
    if (e->terminal >= 0) close(e->terminal);
    OWN(close_p) int parent = open(e->parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    size_t budget = 64;
    if (parent >= 0) path_remove(parent, e->name, &budget);
    free(e->directory);
    free(e->parent);
    free(e->name);
    free(e);
}

void exec_client_gone(struct broker *b, const struct client *c) {
    for (size_t i = 0; i < b->execs.n; i++)
        if (b->execs.v[i]->client == c) b->execs.v[i]->client = NULL;
}

static struct exec *exec_find(struct broker *b, uint32_t id) {
    for (size_t i = 0; i < b->execs.n; i++)
        if (b->execs.v[i]->id == id) return b->execs.v[i];
    return NULL;
}

/* ---- the end ---- */

static void ended(void *user, pid_t pid, int status) {
    (void)pid;
    struct exec *e = user;
    uint32_t code =
        WIFSIGNALED(status) ? 128 + (uint32_t)WTERMSIG(status) : (uint32_t)WEXITSTATUS(status);
    if (e->client && e->client->ipc) {
        OWN(buf_done) struct buf b = {0};
        pack_u32(&b, e->id);
        pack_u32(&b, code);
        ipc_send(e->client->ipc, BROKER_EXEC_EXIT, 0, buf_view(&b), NULL, 0);
    }
    exec_free(e);
}

/* ---- the start ---- */

static void read_file(const struct exec *e, const char *name, char **ret, size_t *ret_n) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", e->directory, name);
    OWN(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || path_read(fd, MESSAGE_BYTES_MAX, ret, ret_n) < 0) *ret_n = 0;
}

static pid_t pid_of(const struct exec *e) {
    OWN(free_p) char *text = NULL;
    size_t n = 0;
    uint64_t pid = 0;
    read_file(e, "pid", &text, &n);
    return slice_u64(slice_trim(slice_from(text, n)), &pid) == 0 && pid < INT_MAX ? (pid_t)pid : 0;
}

static int terminal_receive(struct exec *e) {
    OWN(close_p) int peer = accept4(e->console, NULL, NULL, SOCK_CLOEXEC);
    if (peer < 0) return -errno;
    char data[64];
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {data, sizeof data};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof control};
    ssize_t n = recvmsg(peer, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    struct cmsghdr *h = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
    if (!h || h->cmsg_type != SCM_RIGHTS || h->cmsg_len != CMSG_LEN(sizeof(int))) return -EPROTO;
    memcpy(&e->terminal, CMSG_DATA(h), sizeof(int));
    fcntl(e->terminal, F_SETFL, O_NONBLOCK);
    return 0;
}

static void start_failed(struct exec *e) {
    OWN(free_p) char *text = NULL;
    size_t n = 0;
    char words[512];
    struct err err;
    read_file(e, "log", &text, &n);
    runtime_message(slice_from(text, n), words);
    err_set(&err, ERR_INTERNAL, "failed to exec in container: %s",
            words[0] ? words : "the container runtime gave no reason");
    call_fail(&e->call, &err);
    exec_free(e);
}

static void started(void *user, pid_t runtime_pid, int status) {
    (void)runtime_pid;
    struct exec *e = user;
    e->runtime_pid = 0;
    e->pid = status == 0 ? pid_of(e) : 0;
    if (e->pid <= 0 || (e->tty && terminal_receive(e) < 0)) {
        start_failed(e);
        return;
    }
    int fds[3];
    size_t n = 0;
    if (e->tty) fds[n++] = e->terminal;
    for (int i = 0; !e->tty && i < 3; i++)
        if (e->own[i] >= 0) fds[n++] = e->own[i];
    OWN(buf_done) struct buf b = {0};
    pack_u32(&b, e->id);
    call_reply(&e->call, BROKER_EXEC_OK, buf_view(&b), fds, n);
    for (int i = 0; i < 3; i++) { /* the peer has them now */
        if (e->own[i] >= 0) close(e->own[i]);
        e->own[i] = -1;
    }
    reaper_watch(e->broker->reaper, e->pid, e->mark, ended, e);
}

static void exec_runtime(const struct runtime_args *args, const int child[3]) {
    char *const env[] = {
        (char[]){"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, NULL};
    int fds[3];
    for (int i = 0; i < 3; i++)
        if ((fds[i] = fcntl(child[i], F_DUPFD, 10)) < 0) _exit(126);
    for (int i = 0; i < 3; i++)
        if (dup2(fds[i], i) < 0) _exit(126);
    close_range(3, ~0U, 0);
    umask(022);
    execve(args->v[0], (char *const *)(uintptr_t)args->v, env);
    _exit(127);
}

static int pipes_open(struct exec *e, const struct broker_exec *q, int child[3], struct err *err) {
    const bool wanted[] = {q->want_stdin && !q->tty, q->want_stdout && !q->tty,
                           q->want_stderr && !q->tty};
    for (int i = 0; i < 3; i++) {
        if (!wanted[i]) {
            child[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
        } else {
            int p[2];
            if (pipe2(p, O_CLOEXEC) < 0) return err_errno(err, errno, "cannot make a pipe");
            child[i] = p[i != 0];
            e->own[i] = p[i == 0];
            fcntl(e->own[i], F_SETFL, O_NONBLOCK);
        }
        if (child[i] < 0) return err_errno(err, errno, "cannot open /dev/null");
    }
    return 0;
}

/* Returns the path that both sides can name, or NULL. */
static const char *console_open(struct exec *e, struct arena *a, struct err *err) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = arena_printf(a, "%s/tty", e->directory);
    if (strlen(path) >= sizeof address.sun_path) /* the working directory is the run directory */
        path = arena_printf(a, "/proc/%d/cwd/%s/tty", (int)getpid(),
                            e->directory + strlen(e->broker->run_path) + 1);
    if (strlen(path) >= sizeof address.sun_path) {
        err_set(err, ERR_INVALID, "the path of the console socket is too long");
        return NULL;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    e->console = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (e->console < 0 || bind(e->console, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(e->console, 1) < 0) {
        err_errno(err, errno, "cannot listen for the terminal");
        return NULL;
    }
    return path;
}

static int process_write(struct exec *e, struct pod *p, const struct broker_exec *q,
                         struct arena *a, struct err *err) {
    OWN(buf_done) struct buf json = {0};
    int r = config_exec(p, q, a, &json, err);
    if (r) return r;
    if (mkdir(e->directory, 0700) < 0) return err_errno(err, errno, "cannot make %s", e->directory);
    OWN(close_p) int dir = open(e->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    r = dir < 0 ? -errno : path_write(dir, "process.json", buf_view(&json), 0600);
    return r ? err_errno(err, -r, "cannot write process.json") : 0;
}

static int spawn(struct exec *e, const struct broker_exec *q, struct arena *a, struct err *err) {
    const char *console = NULL;
    if (q->tty && !(console = console_open(e, a, err))) return -EINVAL;
    int child[3] = {-1, -1, -1};
    int r = pipes_open(e, q, child, err);
    if (!r) {
        struct runtime_args args;
        runtime_exec(e->broker, q->id, arena_printf(a, "%s/process.json", e->directory),
                     arena_printf(a, "%s/pid", e->directory),
                     arena_printf(a, "%s/log", e->directory), console, a, &args);
        e->mark = reaper_mark(e->broker->reaper);
        e->runtime_pid = reaper_fork();
        if (e->runtime_pid == 0) exec_runtime(&args, child);
        if (e->runtime_pid < 0) r = err_errno(err, errno, "cannot start the container runtime");
    }
    for (int i = 0; i < 3; i++)
        if (child[i] >= 0) close(child[i]);
    return r;
}

int request_exec(struct broker *b, struct call *call, struct slice body, struct arena *a,
                 struct err *err) {
    struct broker_exec q;
    if (broker_exec_unpack(body, a, &q) < 0)
        return err_set(err, ERR_BAD_REQUEST, "malformed exec request");
    struct pod *p = NULL;
    int r = check_exec(&q, err);
    if (!r) r = pod_get(b, q.uid, &p, err);
    if (r) return r;
    struct box *x = pod_box(p, q.id);
    if (!x || x->phase != PHASE_RUNNING)
        return err_set(err, ERR_BAD_REQUEST, "container %s is not running", q.id);
    if (!b->runtime) return err_set(err, ERR_UNAVAILABLE, "no container runtime: install crun");
    if (b->execs.n >= EXECS_MAX) return err_set(err, ERR_TOO_MANY_REQUESTS, "too many execs");
    struct exec *e = calloc(1, sizeof *e);
    if (!e) abort();
    OWN(buf_done) struct buf s = {0};
    e->broker = b;
    e->id = ++b->last_exec_id ? b->last_exec_id : ++b->last_exec_id;
    e->tty = q.tty;
    e->own[0] = e->own[1] = e->own[2] = e->console = e->terminal = -1;
    buf_printf(&s, "%s/%s", b->pods_path, p->uid);
    e->parent = strdup(s.p);
    buf_printf(&s, "/e%u", e->id);
    e->directory = buf_steal(&s);
    e->name = strdup(strrchr(e->directory, '/') + 1);
    vec_push(&b->execs, e);
    r = process_write(e, p, &q, a, err);
    if (!r) r = spawn(e, &q, a, err);
    if (r) {
        exec_free(e);
        return r;
    }
    e->call = *call;
    e->client = call->client;
    reaper_watch(b->reaper, e->runtime_pid, e->mark, started, e);
    return 0;
}

int request_exec_resize(struct broker *b, struct call *call, struct slice body, struct arena *a,
                        struct err *err) {
    (void)a;
    struct unpack u = unpack_init(body);
    uint32_t id = unpack_u32(&u);
    struct winsize size = {0};
    size.ws_col = unpack_u16(&u);
    size.ws_row = unpack_u16(&u);
    if (unpack_end(&u)) return err_set(err, ERR_BAD_REQUEST, "malformed resize request");
    struct exec *e = exec_find(b, id);
    if (!e || e->terminal < 0) return err_set(err, ERR_NOT_FOUND, "no such exec with a terminal");
    if (ioctl(e->terminal, TIOCSWINSZ, &size) < 0)
        return err_errno(err, errno, "cannot resize the terminal");
    call_done(call);
    return 0;
}

int request_exec_kill(struct broker *b, struct call *call, struct slice body, struct arena *a,
                      struct err *err) {
    (void)a;
    struct unpack u = unpack_init(body);
    uint32_t id = unpack_u32(&u);
    if (unpack_end(&u)) return err_set(err, ERR_BAD_REQUEST, "malformed exec request");
    struct exec *e = exec_find(b, id);
    if (!e) return err_set(err, ERR_NOT_FOUND, "no such exec");
    if (e->pid > 0) kill(e->pid, SIGKILL); /* our child, not waited for: the number is still its */
    call_done(call);
    return 0;
}
