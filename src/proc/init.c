#include "proc/init.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/own.h"
#include "base/pack.h"
#include "proc/authority.h"
#include "proc/init_sockets.h"
#include "proc/init_spawn.h"
#include "proc/ipc.h"
#include "proc/loop.h"
#include "proc/mount_namespace.h"
#include "proc/settings.h"

enum {
    ROWS_MAX = 16,
    LAST_STAGE = 2,
    HEALTHY_MS = 10 * 1000, /* alive that long: the back-off starts anew */
    USEFUL_MS = 2000,       /* ready and alive that long: the back-off is halved */
    BACKOFF_FIRST_MS = 100, /* the second death in a row; the first restarts at once */
    BACKOFF_MAX_MS = 10 * 1000,
    STOP_GRACE_MS = 5000,
    STARTUP_DEATHS_MAX = 5, /* of one service before the API was ever ready */
    STARTUP_MS = 20 * 1000,
    LOG_CHECK_MS = 60 * 1000
};

struct init;

struct child {
    struct init *init;
    const struct authority *row;
    struct handover_fd fds[HANDOVER_FDS_MAX];
    size_t n_fds;
    pid_t pid; /* 0 = not running */
    int ready_fd;
    struct fd_watch *ready_watch;
    struct timer *restart;
    bool ready, held;
    unsigned deaths_in_a_row, restarts;
    uint64_t started_ms;
    char failure[512];
    struct ipc *hold_caller; /* waits for the answer to INIT_HOLD */
    uint32_t hold_id;
};

struct init {
    const struct init_options *o;
    struct loop *loop;
    struct child children[ROWS_MAX];
    size_t n_children;
    struct ipc_listener *listener;
    int log_fd;
    char log_path[4200];
    uint64_t started_ms, ready_after_ms;
    bool later_stages_started, stopping;
    int stop_stage; /* being stopped now */
    struct timer *kill_timer, *startup_timer, *log_timer;
    struct err failure; /* why init gives up */
};

static void tell(struct init *n, enum init_event e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void child_start(struct child *c);
static void stop_begin(struct init *n);

static void tell(struct init *n, enum init_event e, const char *fmt, ...) {
    char line[1200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    n->o->tell(n->o->user, e, line);
}

/* ---- readiness ---- */

static bool stage_ready(const struct init *n, unsigned last_stage) {
    for (size_t i = 0; i < n->n_children; i++)
        if (n->children[i].row->stage <= last_stage && !n->children[i].ready) return false;
    return true;
}

static void start_stage(struct init *n, unsigned first, unsigned last) {
    for (size_t i = 0; i < n->n_children; i++) {
        struct child *c = &n->children[i];
        if (c->row->stage >= first && c->row->stage <= last && !c->pid) child_start(c);
    }
}

static void start_later_stages(struct init *n) {
    if (n->later_stages_started || n->stopping) return;
    n->later_stages_started = true;
    start_stage(n, 2, LAST_STAGE);
}

static void give_up(struct init *n, const char *why) {
    if (n->failure.reason == ERR_NONE) err_set(&n->failure, ERR_INTERNAL, "%s", why);
    stop_begin(n);
}

static void on_api_stage_ready(struct init *n) {
    if (n->ready_after_ms) return;
    n->ready_after_ms = loop_now_ms(n->loop) - n->started_ms;
    if (!n->ready_after_ms) n->ready_after_ms = 1;
    timer_stop(n->startup_timer);
    tell(n, INIT_READY, "API ready at https://%s after %llu ms", n->o->settings.listen,
         (unsigned long long)n->ready_after_ms);
    start_later_stages(n);
}

static void child_ready(struct child *c) {
    struct init *n = c->init;
    c->ready = true;
    uint64_t took = loop_now_ms(n->loop) - c->started_ms;
    log_info("service_ready", "name=%s pid=%d took_ms=%llu", c->row->name, (int)c->pid,
             (unsigned long long)took);
    if (stage_ready(n, 1)) on_api_stage_ready(n);
    if (stage_ready(n, LAST_STAGE) && c->restarts == 0)
        tell(n, INIT_PROGRESS, "all %zu services ready after %llu ms", n->n_children,
             (unsigned long long)(loop_now_ms(n->loop) - n->started_ms));
}

static void ready_fd_close(struct child *c) {
    fd_watch_free(c->ready_watch);
    c->ready_watch = NULL;
    if (c->ready_fd >= 0) close(c->ready_fd);
    c->ready_fd = -1;
}

static void on_ready_fd(void *user, unsigned events) {
    struct child *c = user;
    char text[512];
    ssize_t got = read(c->ready_fd, text, sizeof text - 1);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got > 0 && text[0] == '\n') child_ready(c);
    if (got > 0 && text[0] == '!') {
        text[got] = 0;
        text[strcspn(text, "\n")] = 0;
        snprintf(c->failure, sizeof c->failure, "%s", text + 1);
        if (!c->init->stopping && !c->init->ready_after_ms && c->row->stage < 2) {
            char why[600];
            snprintf(why, sizeof why, "%s: %s", c->row->name, c->failure);
            ready_fd_close(c);
            give_up(c->init, why);
            return;
        }
        if (!c->init->stopping)
            tell(c->init, INIT_PROGRESS, "%s could not start: %s", c->row->name, c->failure);
    }
    ready_fd_close(c);
}

/* ---- starting and restarting ---- */

static void on_restart(void *user) { child_start(user); }

static void restart_later(struct child *c) {
    uint64_t delay = 0;
    if (c->deaths_in_a_row > 1) {
        unsigned shift = MIN_OF(c->deaths_in_a_row - 2, 7u);
        delay = MIN_OF((uint64_t)BACKOFF_FIRST_MS << shift, (uint64_t)BACKOFF_MAX_MS);
    }
    timer_start(c->restart, delay, 0);
}

static void child_start(struct child *c) {
    struct init *n = c->init;
    struct err err;
    struct handover h = {.settings = n->o->settings,
                         .n_fds = c->n_fds,
                         .init_pid = getpid(),
                         .report_forbidden = n->o->report_forbidden};
    memcpy(h.fds, c->fds, sizeof h.fds);
    if (n->stopping || c->held || c->pid) return;
    c->ready = false;
    c->started_ms = loop_now_ms(n->loop);
    if (spawn_service(c->row->name, &h, n->log_fd, &c->pid, &c->ready_fd, &err) < 0) {
        c->pid = 0;
        log_error("spawn_failed", "name=%s reason=\"%s\"", c->row->name, err.text);
        c->deaths_in_a_row++;
        restart_later(c);
        return;
    }
    c->ready_watch = fd_watch_new(n->loop, c->ready_fd, FD_READ, on_ready_fd, c);
}

static void hold_answer(struct child *c) {
    if (!c->hold_caller) return;
    ipc_send(c->hold_caller, INIT_HOLD_OK, c->hold_id, (struct slice){0}, NULL, 0);
    c->hold_caller = NULL;
}

static void death_describe(int status, char out[64]) {
    if (WIFSIGNALED(status))
        snprintf(out, 64, "killed by signal %d (%s)%s", WTERMSIG(status),
                 sigabbrev_np(WTERMSIG(status)),
                 WTERMSIG(status) == SIGSYS ? ": forbidden system call" : "");
    else
        snprintf(out, 64, "exited with status %d", WEXITSTATUS(status));
}

static void stop_continue(struct init *n);

static void child_died(struct child *c, int status) {
    struct init *n = c->init;
    char how[64];
    uint64_t lived = loop_now_ms(n->loop) - c->started_ms;
    if (c->ready_watch) on_ready_fd(c, FD_READ); /* its last words may lie in the pipe */
    ready_fd_close(c);
    if (lived >= HEALTHY_MS)
        c->deaths_in_a_row = 0;
    else if (lived >= USEFUL_MS && c->ready)
        c->deaths_in_a_row /= 2;
    c->pid = 0;
    c->ready = false;
    if (n->stopping) {
        stop_continue(n);
        return;
    }
    if (c->held) {
        hold_answer(c);
        return;
    }
    death_describe(status, how);
    c->deaths_in_a_row++;
    c->restarts++;
    log_warn("service_died", "name=%s how=\"%s\" lived_ms=%llu deaths_in_a_row=%u", c->row->name,
             how, (unsigned long long)lived, c->deaths_in_a_row);
    tell(n, INIT_PROGRESS, "%s %s; restarting", c->row->name, how);
    if (!n->ready_after_ms && c->row->stage < 2 && c->deaths_in_a_row >= STARTUP_DEATHS_MAX) {
        char why[sizeof n->log_path + 200];
        snprintf(why, sizeof why, "%s does not start (%s); see %s", c->row->name, how, n->log_path);
        give_up(n, why);
        return;
    }
    restart_later(c);
}

static void on_sigchld(void *user, int signum) {
    struct init *n = user;
    for (size_t i = 0; i < n->n_children; i++) {
        int status;
        struct child *c = &n->children[i];
        if (c->pid && waitpid(c->pid, &status, WNOHANG) == c->pid) child_died(c, status);
    }
}

/* ---- stopping: the last stage first ---- */

static void signal_stage(struct init *n, int stage, int signum) {
    for (size_t i = 0; i < n->n_children; i++) {
        struct child *c = &n->children[i];
        if (c->pid && (int)c->row->stage == stage) kill(c->pid, signum);
    }
}

static bool stage_running(const struct init *n, int stage) {
    for (size_t i = 0; i < n->n_children; i++)
        if (n->children[i].pid && (int)n->children[i].row->stage == stage) return true;
    return false;
}

static void stop_continue(struct init *n) {
    while (n->stop_stage >= 0 && !stage_running(n, n->stop_stage)) {
        n->stop_stage--;
        signal_stage(n, n->stop_stage, SIGTERM);
        timer_start(n->kill_timer, STOP_GRACE_MS, 0);
    }
    if (n->stop_stage < 0) loop_stop(n->loop);
}

static void on_kill_timer(void *user) {
    struct init *n = user;
    log_warn("stop_forced", "stage=%d", n->stop_stage);
    signal_stage(n, n->stop_stage, SIGKILL);
}

static void stop_begin(struct init *n) {
    if (n->stopping) return;
    n->stopping = true;
    n->stop_stage = LAST_STAGE + 1;
    for (size_t i = 0; i < n->n_children; i++) timer_stop(n->children[i].restart);
    stop_continue(n);
}

static void on_terminate(void *user, int signum) { stop_begin(user); }

static void on_startup_timer(void *user) {
    struct init *n = user;
    char why[sizeof n->log_path + 100];
    snprintf(why, sizeof why, "the API is not ready after %d s; see %s", STARTUP_MS / 1000,
             n->log_path);
    give_up(n, why);
}

/* ---- init.sock ---- */

static void answer_status(struct init *n, struct ipc *c, uint32_t id) {
    OWN(buf_done) struct buf b = {0};
    struct init_service_status services[ROWS_MAX];
    uint64_t now = loop_now_ms(n->loop);
    for (size_t i = 0; i < n->n_children; i++) {
        const struct child *k = &n->children[i];
        services[i] = (struct init_service_status){.name = k->row->name,
                                                   .pid = (uint32_t)k->pid,
                                                   .restarts = k->restarts,
                                                   .uptime_ms = k->pid ? now - k->started_ms : 0,
                                                   .ready = k->ready,
                                                   .failure = k->failure};
    }
    struct init_status s = {.pid = (uint32_t)getpid(),
                            .uptime_ms = now - n->started_ms,
                            .ready_ms = n->ready_after_ms,
                            .settings = n->o->settings,
                            .n_services = (uint32_t)n->n_children,
                            .services = services};
    init_status_pack(&b, &s);
    ipc_send(c, INIT_STATUS_OK, id, buf_view(&b), NULL, 0);
}

static void answer_hold(struct init *n, struct ipc *c, const struct ipc_msg *m) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct unpack u = unpack_init(m->body);
    const char *name = unpack_str(&u, a);
    struct err err;
    for (size_t i = 0; unpack_end(&u) == 0 && i < n->n_children; i++) {
        struct child *k = &n->children[i];
        if (!str_eq(k->row->name, name)) continue;
        k->held = true;
        k->hold_caller = c;
        k->hold_id = m->id;
        timer_stop(k->restart);
        if (k->pid)
            kill(k->pid, SIGTERM);
        else
            hold_answer(k);
        return;
    }
    err_set(&err, ERR_NOT_FOUND, "no service of that name runs here");
    ipc_send_error(c, m->id, &err);
}

static void on_control(struct ipc *c, struct ipc_msg *m, void *user) {
    struct init *n = user;
    struct err err;
    switch (m->type) {
    case INIT_STATUS: answer_status(n, c, m->id); break;
    case INIT_STOP: stop_begin(n); break;
    case INIT_HOLD: answer_hold(n, c, m); break;
    default: err_set(&err, ERR_BAD_REQUEST, "unknown message"); ipc_send_error(c, m->id, &err);
    }
}

static void on_control_closed(struct ipc *c, void *user) {
    struct init *n = user;
    for (size_t i = 0; i < n->n_children; i++)
        if (n->children[i].hold_caller == c) n->children[i].hold_caller = NULL;
}

static void on_control_accepted(struct ipc *c, void *user) {
    ipc_set_handler(c, &(struct ipc_handler){on_control, on_control_closed, user});
}

/* ---- log file ---- */

/* Services hold the log open, so the old text is copied away and the file cut in place. */
static void log_rotate(struct init *n) {
    struct stat st;
    char old[sizeof n->log_path + 8];
    if (fstat(n->log_fd, &st) < 0 || st.st_size < LIMIT_LOG_FILE_BYTES) return;
    snprintf(old, sizeof old, "%s.1", n->log_path);
    OWN(close_p) int in = open(n->log_path, O_RDONLY | O_CLOEXEC);
    OWN(close_p) int out = open(old, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    while (in >= 0 && out >= 0 && sendfile(out, in, NULL, 1 << 20) > 0) continue;
    if (ftruncate(n->log_fd, 0) < 0) log_warn("log_rotate_failed", "errno=%d", errno);
}

static void on_log_timer(void *user) {
    log_rotate(user);
    malloc_trim(0);
}

static int log_open(struct init *n, struct err *err) {
    snprintf(n->log_path, sizeof n->log_path, "%s/var/log/atoll/atoll.log", n->o->settings.root);
    int fd = open(n->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return err_errno(err, errno, "%s", n->log_path);
    n->log_fd = fcntl(fd, F_DUPFD_CLOEXEC, 64);
    close(fd);
    if (n->log_fd < 0 || dup3(n->log_fd, STDERR_FILENO, 0) < 0)
        return err_errno(err, errno, "%s", n->log_path);
    log_rotate(n);
    return 0;
}

/* ---- life ---- */

static int children_make(struct init *n, struct err *err) {
    for (size_t i = 0; i < authority_count; i++) {
        const struct authority *row = &authority_table[i];
        if (str_eq(row->name, "init")) continue;
        if (!service_find(row->name)) {
            log_warn("service_absent", "name=%s", row->name);
            continue;
        }
        assert(n->n_children < ROWS_MAX);
        struct child *c = &n->children[n->n_children++];
        *c = (struct child){.init = n, .row = row, .ready_fd = -1};
        c->restart = timer_new(n->loop, on_restart, c);
        int r = init_sockets_open(row, &n->o->settings, c->fds, &c->n_fds, err);
        if (r < 0) return r;
    }
    if (n->n_children == 0) return err_set(err, ERR_INTERNAL, "this executable has no services");
    return 0;
}

static int init_setup(struct init *n, struct err *err) {
    char run[4200];
    snprintf(run, sizeof run, "%s/run/atoll", n->o->settings.root);
    if (chdir(run) < 0) return err_errno(err, errno, "%s", run);
    int r = log_open(n, err);
    if (r == 0) r = children_make(n, err);
    struct handover_fd own[HANDOVER_FDS_MAX];
    size_t n_own = 0;
    if (r == 0) r = init_sockets_open(authority_find("init"), &n->o->settings, own, &n_own, err);
    /* Last, so that a port in use leaves no mount behind. */
    if (r == 0) r = mount_namespace_ensure("mnt", err);
    if (r < 0) return r;
    n->listener = ipc_listen(n->loop, own[0].fd, NULL, 0, on_control_accepted, n);
    loop_on_signal(n->loop, SIGCHLD, on_sigchld, n);
    loop_on_signal(n->loop, SIGTERM, on_terminate, n);
    loop_on_signal(n->loop, SIGINT, on_terminate, n);
    n->kill_timer = timer_new(n->loop, on_kill_timer, n);
    n->startup_timer = timer_new(n->loop, on_startup_timer, n);
    n->log_timer = timer_new(n->loop, on_log_timer, n);
    timer_start(n->log_timer, LOG_CHECK_MS, LOG_CHECK_MS);
    timer_start(n->startup_timer, STARTUP_MS, 0);
    return 0;
}

static void sockets_remove(const struct init *n) {
    for (size_t i = 0; i < authority_count; i++)
        if (authority_table[i].socket) unlink(authority_table[i].socket);
}

int init_run(const struct init_options *o, struct err *err) {
    struct init *n = calloc(1, sizeof *n);
    if (!n) abort();
    n->o = o;
    n->loop = loop_new(NULL);
    n->started_ms = loop_now_ms(n->loop);
    mallopt(M_ARENA_MAX, 1);
    log_setup("init", LOG_LEVEL_INFO);
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_NAME, "atoll-init");
    int r = init_setup(n, err);
    if (r < 0) {
        sockets_remove(n);
        return r;
    }
    log_info("starting", "version=%s root=%s instance=%s", ATOLL_VERSION,
             *o->settings.root ? o->settings.root : "/", o->settings.instance);
    start_stage(n, 0, 1);
    if (stage_ready(n, 1)) on_api_stage_ready(n); /* nothing of these stages is linked in */
    loop_run(n->loop);
    sockets_remove(n);
    log_info("stopped", "root=%s", *o->settings.root ? o->settings.root : "/");
    if (n->failure.reason != ERR_NONE) {
        if (err) *err = n->failure;
        return err_code(n->failure.reason);
    }
    tell(n, INIT_STOPPED, "stopped");
    return 0;
}
