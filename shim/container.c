/* Life of a container: start through the runtime, adopt its process, copy its streams, record its
 * end. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h> /* rename only */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "shim.h"

struct container *containers;

/* A container may end before its runtime's end was seen; then its status waits here. */
enum { ORPHANS_MAX = 32, QUIT_TURN_MS = 20, QUIT_TURNS = 20, STATUS_UNKNOWN = 255 << 8 };
static struct {
    pid_t pid;
    int status;
    int64_t when_ns;
} orphans[ORPHANS_MAX];
static unsigned n_orphans;

struct container *container_find(const char *id) {
    struct container *c = containers;
    while (c && strcmp(c->id, id) != 0) c = c->next;
    return c;
}

/* ---- streams ---- */

static const char *const stream_names[] = {"stdout", "stderr"};

static void stream_log(struct stream *s, const char *p, size_t n, bool final) {
    struct log *l = &s->container->log;
    const char *name = stream_names[s->name];
    while (n || (final && s->n_pending)) {
        if (!s->n_pending) { /* the common case copies nothing */
            size_t used = log_lines(l, name, p, n, final);
            p += used;
            n -= used;
            if (!n) return;
        }
        if (!s->pending && !(s->pending = malloc(SHIM_LINE_BYTES_MAX))) return;
        size_t take = SHIM_LINE_BYTES_MAX - s->n_pending;
        if (take > n) take = n;
        memcpy(s->pending + s->n_pending, p, take);
        s->n_pending += take;
        p += take;
        n -= take;
        size_t used = log_lines(l, name, s->pending, s->n_pending, final && !n);
        memmove(s->pending, s->pending + used, s->n_pending - used);
        s->n_pending -= used;
        if (!used && !n) return;
    }
}

static void stream_end(struct stream *s) {
    source_close(&s->source);
    stream_log(s, NULL, 0, true);
    free(s->pending);
    s->pending = NULL;
    s->n_pending = 0;
}

/* One chunk; returns false when there is nothing (more) to read now. */
static bool stream_read(struct stream *s) {
    static char chunk[SHIM_LINE_BYTES_MAX];
    ssize_t n = read(s->source.fd, chunk, sizeof chunk);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (n <= 0) { /* the terminal's end is EIO */
        stream_end(s);
        return false;
    }
    conn_output(s->container, s->name, chunk, (size_t)n);
    stream_log(s, chunk, (size_t)n, false);
    return true;
}

static void stream_ready(struct source *source, uint32_t events) {
    (void)events;
    stream_read((struct stream *)source);
}

static void stream_open(struct container *c, enum stream_name name, int fd) {
    fcntl(fd, F_SETFL, O_NONBLOCK);
    source_add(&c->streams[name].source, fd, EPOLLIN, stream_ready);
}

/* What was written before the end belongs in the log before the end is told. A descendant may hold
 * the pipe and write on, so the drain is bounded. */
static void streams_drain(struct container *c) {
    for (int i = 0; i < 2; i++)
        for (int chunks = 0; chunks < 256 && c->streams[i].source.fd >= 0; chunks++)
            if (!stream_read(&c->streams[i])) break;
}

/* ---- standard input ---- */

static void input_flush(struct container *c) {
    struct source *source = &c->input;
    while (c->input_queue.n) {
        ssize_t w = write(source->fd, c->input_queue.p, c->input_queue.n);
        if (w < 0 && errno == EINTR) continue;
        if (w < 0 && errno == EAGAIN) break;
        if (w <= 0) { /* nobody reads */
            bytes_free(&c->input_queue);
            c->input_end = true;
            break;
        }
        bytes_drop(&c->input_queue, (size_t)w);
    }
    if (!c->input_queue.n && c->input_end) source_close(source);
    if (source->fd >= 0) source_set(source, c->input_queue.n ? EPOLLOUT : 0);
}

static void input_ready(struct source *source, uint32_t events) {
    (void)events;
    struct container *c = (struct container *)((char *)source - offsetof(struct container, input));
    bool was_full = container_input_full(c);
    input_flush(c);
    if (was_full && !container_input_full(c)) conn_resume_input(c);
}

bool container_input_full(const struct container *c) {
    return c->input_queue.n >= SHIM_STDIN_QUEUE_BYTES;
}

void container_input(struct container *c, const void *p, size_t n) {
    if (c->input.fd < 0 || c->input_end) return;
    bytes_add(&c->input_queue, p, n);
    input_flush(c);
}

void container_input_end(struct container *c) {
    if (c->input.fd < 0) return;
    if (c->flags & SHIM_FLAG_TTY) return; /* a terminal's input ends with its own end */
    c->input_end = true;
    input_flush(c);
}

void container_resize(struct container *c, uint16_t width, uint16_t height) {
    struct winsize size = {.ws_row = height, .ws_col = width};
    if ((c->flags & SHIM_FLAG_TTY) && c->streams[0].source.fd >= 0)
        ioctl(c->streams[0].source.fd, TIOCSWINSZ, &size);
}

/* ---- terminal ---- */

static void console_ready(struct source *source, uint32_t events) {
    (void)events;
    struct container *c =
        (struct container *)((char *)source - offsetof(struct container, console));
    int peer = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC);
    if (peer < 0) return;
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
    ssize_t n = recvmsg(peer, &m, MSG_CMSG_CLOEXEC);
    close(peer);
    struct cmsghdr *h = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
    if (!h || h->cmsg_type != SCM_RIGHTS || h->cmsg_len != CMSG_LEN(sizeof(int))) return;
    int fd;
    memcpy(&fd, CMSG_DATA(h), sizeof fd);
    source_close(source);
    stream_open(c, STREAM_STDOUT, fd);
    int in = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (in >= 0 && (c->flags & SHIM_FLAG_STDIN)) {
        source_add(&c->input, in, 0, input_ready);
    } else if (in >= 0) {
        close(in);
    }
}

static int console_listen(struct container *c, const char *path) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    if (n >= sizeof a.sun_path) return ENAMETOOLONG;
    memcpy(a.sun_path, path, n + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return errno;
    unlink(path);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 1) < 0) {
        int e = errno;
        close(fd);
        return e;
    }
    return source_add(&c->console, fd, EPOLLIN, console_ready);
}

/* ---- start ---- */

struct stdio {
    int child[3], own[3];
};

static void stdio_close(struct stdio *io, bool own) {
    for (int i = 0; i < 3; i++) {
        if (io->child[i] >= 0) close(io->child[i]);
        if (own && io->own[i] >= 0) close(io->own[i]);
    }
}

static int stdio_open(struct stdio *io, uint8_t flags) {
    *io = (struct stdio){{-1, -1, -1}, {-1, -1, -1}};
    for (int i = 0; i < 3; i++) {
        bool pipe_wanted = i ? (i == 2 || !(flags & SHIM_FLAG_TTY))
                             : (flags & (SHIM_FLAG_STDIN | SHIM_FLAG_TTY)) == SHIM_FLAG_STDIN;
        if (!pipe_wanted) {
            io->child[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
        } else {
            int p[2];
            if (pipe2(p, O_CLOEXEC) < 0) return errno;
            io->child[i] = p[i != 0];
            io->own[i] = p[i == 0];
        }
        if (io->child[i] < 0) return errno;
    }
    return 0;
}

static void exec_runtime(const struct stdio *io, char **args) {
    static char *const env[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                NULL};
    int fds[3];
    for (int i = 0; i < 3; i++) { /* first out of the way of 0…2 */
        fds[i] = fcntl(io->child[i], F_DUPFD_CLOEXEC, 10);
        if (fds[i] < 0) _exit(127);
    }
    for (int i = 0; i < 3; i++)
        if (dup2(fds[i], i) < 0) _exit(127);
    umask(022); /* the runtime makes mount points in the container's file system */
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int s = 1; s < 32; s++) signal(s, SIG_DFL);
    execve(args[0], args, env);
    static const char text[] = "cannot execute the container runtime\n";
    ssize_t w = write(2, text, sizeof text - 1);
    _exit(w < 0 ? 126 : 127);
}

static struct container *container_new(struct start *s, struct conn *starter, uint32_t request) {
    struct container *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->id = s->id;
    c->pid_file = s->pid_file;
    c->exit_file = s->exit_file;
    s->id = s->pid_file = s->exit_file = NULL;
    c->flags = s->flags;
    c->starter = starter;
    c->starter_id = request;
    c->log.fd = c->console.fd = c->input.fd = -1;
    for (int i = 0; i < 2; i++) {
        c->streams[i].source.fd = -1;
        c->streams[i].container = c;
        c->streams[i].name = (enum stream_name)i;
    }
    c->next = containers;
    containers = c;
    return c;
}

int container_start(struct start *s, struct conn *starter, uint32_t request) {
    struct container *old = container_find(s->id);
    if (old && old->state != CONTAINER_EXITED) return EEXIST;
    if (old) container_free(old);
    struct container *c = container_new(s, starter, request);
    if (!c) return ENOMEM;
    int r = log_open(&c->log, s->log_path, s->log_bytes, s->log_files);
    s->log_path = NULL;
    if (!r && (c->flags & SHIM_FLAG_TTY)) r = console_listen(c, s->console);
    struct stdio io = {{-1, -1, -1}, {-1, -1, -1}};
    if (!r) r = stdio_open(&io, c->flags);
    if (!r) {
        unlink(c->pid_file);
        c->runtime_pid = fork();
        if (c->runtime_pid == 0) exec_runtime(&io, s->args);
        if (c->runtime_pid < 0) r = errno;
    }
    stdio_close(&io, r != 0);
    if (r) {
        container_free(c);
        return r;
    }
    if (io.own[0] >= 0) {
        fcntl(io.own[0], F_SETFL, O_NONBLOCK);
        source_add(&c->input, io.own[0], 0, input_ready);
    }
    for (int i = 1; i < 3; i++)
        if (io.own[i] >= 0) stream_open(c, (enum stream_name)(i - 1), io.own[i]);
    /* Until the runtime is done its own words must not reach the log. */
    for (int i = 0; i < 2; i++)
        if (c->streams[i].source.fd >= 0) source_set(&c->streams[i].source, 0);
    return 0;
}

static pid_t read_pid(const char *path) {
    char text[16];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t n = read(fd, text, sizeof text);
    close(fd);
    pid_t pid = 0;
    for (ssize_t i = 0; i < n && text[i] >= '0' && text[i] <= '9' && pid < 100000000; i++)
        pid = pid * 10 + (text[i] - '0');
    return pid;
}

static void put_line(struct bytes *b, int64_t v) {
    char text[24];
    size_t n = put_u64(text, v < 0 ? 0 : (uint64_t)v);
    text[n++] = '\n';
    bytes_add(b, text, n);
}

/* Exit status file: exit code, signal, start and end in ns, one number a line; written beside and
 * renamed, so that it is whole or absent. */
static void write_exit_file(const struct container *c) {
    size_t n = strlen(c->exit_file);
    char *beside = malloc(n + 5);
    if (!beside) return;
    memcpy(beside, c->exit_file, n);
    memcpy(beside + n, ".tmp", 5);
    struct bytes b = {0};
    put_line(&b, c->exit_code);
    put_line(&b, c->exit_signal);
    put_line(&b, c->started_ns);
    put_line(&b, c->finished_ns);
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0) {
        bool whole = write(fd, b.p, b.n) == (ssize_t)b.n;
        close(fd);
        if (whole) rename(beside, c->exit_file);
    }
    bytes_free(&b);
    free(beside);
}

static void container_exited(struct container *c, int status, int64_t when_ns) {
    c->state = CONTAINER_EXITED;
    c->exit_signal = WIFSIGNALED(status) ? (uint32_t)WTERMSIG(status) : 0;
    c->exit_code = WIFSIGNALED(status) ? 128 + c->exit_signal : (uint32_t)WEXITSTATUS(status);
    c->finished_ns = when_ns;
    streams_drain(c);
    source_close(&c->input);
    bytes_free(&c->input_queue);
    write_exit_file(c);
    conn_broadcast_exit(c);
}

static void start_failed(struct container *c, int status) {
    char text[1024];
    ssize_t n = c->streams[1].source.fd >= 0 ? read(c->streams[1].source.fd, text, sizeof text) : 0;
    if (n < 0) n = 0;
    struct bytes b = {0};
    bytes_u32(&b, WIFSIGNALED(status) ? 128 + (uint32_t)WTERMSIG(status)
                                      : (uint32_t)WEXITSTATUS(status));
    bytes_str(&b, text, (size_t)n);
    if (c->starter) conn_reply(c->starter, SHIM_START_FAILED, c->starter_id, b.p, b.n);
    c->exit_code = 128;
    conn_broadcast_exit(c);
    bytes_free(&b);
    container_free(c);
}

static void runtime_exited(struct container *c, int status) {
    c->runtime_pid = 0;
    pid_t pid = status == 0 ? read_pid(c->pid_file) : 0;
    if (pid <= 0) {
        start_failed(c, status);
        return;
    }
    if (c->console.fd >= 0) console_ready(&c->console, EPOLLIN);
    source_close(&c->console);
    c->pid = pid;
    c->state = CONTAINER_RUNNING;
    c->started_ns = wall_ns();
    for (int i = 0; i < 2; i++)
        if (c->streams[i].source.fd >= 0) source_set(&c->streams[i].source, EPOLLIN);
    if (c->flags & SHIM_FLAG_TTY) stream_end(&c->streams[STREAM_STDERR]);
    struct bytes b = {0};
    bytes_u32(&b, (uint32_t)pid);
    if (c->starter) conn_reply(c->starter, SHIM_START_OK, c->starter_id, b.p, b.n);
    conn_broadcast_started(c);
    bytes_free(&b);
    c->starter = NULL;
    for (unsigned i = 0; i < n_orphans; i++) {
        if (orphans[i].pid != pid) continue;
        int ended = orphans[i].status;
        int64_t when_ns = orphans[i].when_ns;
        orphans[i] = orphans[--n_orphans];
        if (when_ns < c->started_ns) c->started_ns = when_ns;
        container_exited(c, ended, when_ns);
        return;
    }
    /* A runtime that waited for it itself took its status along. */
    if (kill(pid, 0) < 0 && errno == ESRCH) container_exited(c, STATUS_UNKNOWN, wall_ns());
}

void container_child_exited(pid_t pid, int status) {
    bool starting = false;
    for (struct container *c = containers; c; c = c->next) {
        if (c->state == CONTAINER_STARTING && c->runtime_pid == pid) {
            runtime_exited(c, status);
            return;
        }
        if (c->state == CONTAINER_RUNNING && c->pid == pid) {
            container_exited(c, status, wall_ns());
            return;
        }
        starting |= c->state == CONTAINER_STARTING;
    }
    if (!starting) {
        n_orphans = 0;
        return;
    }
    if (n_orphans == ORPHANS_MAX) {
        n_orphans--;
        memmove(orphans, orphans + 1, n_orphans * sizeof *orphans);
    }
    orphans[n_orphans].pid = pid;
    orphans[n_orphans].status = status;
    orphans[n_orphans++].when_ns = wall_ns();
}

void container_free(struct container *c) {
    for (struct container **p = &containers; *p; p = &(*p)->next) {
        if (*p != c) continue;
        *p = c->next;
        break;
    }
    conn_forget_container(c);
    source_close(&c->console);
    source_close(&c->input);
    for (int i = 0; i < 2; i++) {
        if (c->log.fd >= 0 && c->state != CONTAINER_STARTING) stream_end(&c->streams[i]);
        source_close(&c->streams[i].source);
        free(c->streams[i].pending);
    }
    bytes_free(&c->input_queue);
    log_close(&c->log);
    free(c->id);
    free(c->pid_file);
    free(c->exit_file);
    free(c);
}

/* Waiting for their ends leaves no zombies to whoever is above; what does not end in time (a hung
 * disk) is the broker's to find in the control group. */
void container_kill_all(void) {
    for (struct container *c = containers; c; c = c->next) {
        if (c->state == CONTAINER_RUNNING) kill(c->pid, SIGKILL);
        if (c->state == CONTAINER_STARTING && c->runtime_pid > 0) kill(c->runtime_pid, SIGKILL);
    }
    sigset_t ended;
    sigemptyset(&ended);
    sigaddset(&ended, SIGCHLD);
    static const struct timespec turn = {0, QUIT_TURN_MS * 1000000};
    for (int left = QUIT_TURNS; left > 0;) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);
        if (pid < 0) return;
        if (pid == 0 && sigtimedwait(&ended, NULL, &turn) < 0) left--;
    }
}
