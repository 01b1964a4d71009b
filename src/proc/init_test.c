/* init with services of this test program: it re-executes itself as `service NAME`. */
#include "proc/init.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "base/test.h"
#include "base/times.h"
#include "proc/authority.h"
#include "proc/ipc.h"
#include "proc/mount_namespace.h"
#include "proc/service.h"
#include "proc/settings.h"

/* ---- two services: `store` serves, and does not start when a file says so; `controllers` only
 * is there ---- */

enum { ASK_UID = 1, ASK_UID_OK = 2 };

static void on_ask(struct ipc *c, struct ipc_msg *m, void *user) {
    OWN(buf_done) struct buf b = {0};
    buf_u64(&b, getuid());
    ipc_send(c, ASK_UID_OK, m->id, buf_view(&b), NULL, 0);
}

static void on_accepted(struct ipc *c, void *user) {
    ipc_set_handler(c, &(struct ipc_handler){.message = on_ask});
}

static int store_prepare(struct service_ctx *ctx, struct err *err) {
    OWN(free_p) char *path = service_path(ctx, "/fail");
    if (access(path, F_OK) == 0) return err_set(err, ERR_INTERNAL, "told to fail");
    return 0;
}

static int store_start(struct service_ctx *ctx, struct err *err) {
    uid_t peers[12];
    ipc_listen(ctx->loop, service_fd(ctx, "listen"), peers, service_peers(ctx, peers), on_accepted,
               NULL);
    service_ready(ctx);
    return 0;
}

static const struct service store_service = {
    .name = "store", .prepare = store_prepare, .start = store_start};
SERVICE(store_service);

static int controllers_start(struct service_ctx *ctx, struct err *err) {
    service_ready(ctx);
    return 0;
}

static const struct service controllers_service = {.name = "controllers",
                                                   .start = controllers_start};
SERVICE(controllers_service);

/* The C library passes the arguments to constructors: this is the re-executed service. */
__attribute__((constructor)) static void become_service(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "service") == 0) exit(service_main(argc, argv));
}

/* ---- a place to run it ---- */

struct place {
    char root[64], mnt[128];
    struct arena *a;
    struct settings settings;
    pid_t init;
    int report; /* lines of init_options.tell, then "E…" with the error */
};

static int report_fd;

static void on_tell(void *user, enum init_event e, const char *line) {
    dprintf(report_fd, "%c%s\n", e == INIT_READY ? 'R' : e == INIT_STOPPED ? 'S' : 'P', line);
}

static void place_make(struct place *p) {
    if (geteuid() != 0 || TEST_SANITIZED) skip();
    *p = (struct place){.a = arena_new()};
    snprintf(p->root, sizeof p->root, "/tmp/proc-init-XXXXXX");
    assert_non_null(mkdtemp(p->root));
    chmod(p->root, 0755);
    snprintf(p->mnt, sizeof p->mnt, "%s/run/atoll/mnt", p->root);
    struct settings_choice choice = {.root = p->root, .node_name = "n"};
    assert_int_equal(settings_resolve(&choice, p->a, &p->settings, NULL), 0);
}

static void place_start(struct place *p) {
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    p->init = fork();
    if (p->init == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failing test leaves nothing running */
        struct err err = {0};
        struct init_options o = {.settings = p->settings, .tell = on_tell};
        report_fd = fcntl(fds[1], F_DUPFD_CLOEXEC, 100);
        int r = init_claim(p->root, &err);
        if (r == 0) r = init_run(&o, &err);
        if (r < 0) dprintf(report_fd, "E%s\n", err.text);
        _exit(r < 0);
    }
    close(fds[1]);
    p->report = fds[0];
}

/* Reads lines until one of that kind; fails at the end of the pipe. */
static void await_line(struct place *p, char kind, char *line, size_t size) {
    size_t n = 0;
    while (read(p->report, &line[n], 1) == 1) {
        if (line[n] != '\n') {
            if (n + 2 < size) n++;
            continue;
        }
        line[n] = 0;
        if (line[0] == kind) return;
        n = 0;
    }
    fail_msg("init ended without a line of kind %c", kind);
}

static int place_end(struct place *p, int signum) {
    int status;
    if (signum) kill(p->init, signum);
    assert_int_equal(waitpid(p->init, &status, 0), p->init);
    close(p->report);
    return status;
}

static void place_remove(struct place *p) {
    mount_namespace_remove(p->mnt);
    pid_t child = fork();
    if (child == 0) {
        execl("/bin/rm", "rm", "-r", "--one-file-system", p->root, (char *)NULL);
        _exit(127);
    }
    waitpid(child, NULL, 0);
    arena_free(p->a);
}

static int status_of(struct place *p, struct init_status *s) {
    OWN(close_p) int fd = -1;
    OWN(buf_done) struct buf body = {0};
    const char *path = arena_printf(p->a, "%s/run/atoll/init.sock", p->root);
    if (ipc_connect_blocking(path, &fd, NULL) < 0 ||
        ipc_call_blocking(fd, INIT_STATUS, (struct slice){0}, NULL, 0, 2000, NULL, &body, NULL, 0,
                          NULL, NULL) < 0)
        return -1;
    return init_status_unpack(buf_view(&body), p->a, s, NULL);
}

/* Init runs, and its first service is ready. */
static void place_up(struct place *p, struct init_status *s) {
    char line[600];
    place_start(p);
    await_line(p, 'R', line, sizeof line);
    assert_int_equal(status_of(p, s), 0);
}

static uint64_t ask_uid(struct place *p) {
    OWN(close_p) int fd = -1;
    OWN(buf_done) struct buf body = {0};
    uint64_t uid = 0;
    const char *path = arena_printf(p->a, "%s/run/atoll/store.sock", p->root);
    if (ipc_connect_blocking(path, &fd, NULL) == 0 &&
        ipc_call_blocking(fd, ASK_UID, (struct slice){0}, NULL, 0, 2000, NULL, &body, NULL, 0, NULL,
                          NULL) == 0)
        slice_u64(buf_view(&body), &uid);
    return uid;
}

TEST(init_runs_a_service_as_its_user_and_stops_it_in_order) {
    struct place p;
    struct init_status s;
    place_make(&p);
    place_up(&p, &s);
    assert_int_equal(ask_uid(&p), service_uid("store"));
    assert_int_equal(s.n_services, 2);
    assert_int_equal(s.pid, p.init);
    assert_string_equal(s.services[0].name, "store");
    assert_true(s.services[0].ready);
    assert_int_equal(init_running(p.root), p.init);
    pid_t service = (pid_t)s.services[0].pid;
    assert_int_equal(place_end(&p, SIGTERM), 0);
    assert_int_equal(kill(service, 0), -1);
    assert_int_equal(init_running(p.root), 0);
    place_remove(&p);
}

/* 0: the kernel is older than slices of one's own (6.12). */
static uint64_t slice_ns(pid_t pid) {
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime_ns, deadline_ns, period_ns;
    } attr = {0};
    assert_int_equal(syscall(SYS_sched_getattr, pid, &attr, sizeof attr, 0), 0);
    return attr.runtime_ns;
}

TEST(who_only_follows_takes_the_processor_from_nobody_when_it_wakes) {
    struct place p;
    struct init_status s;
    place_make(&p);
    place_up(&p, &s);
    while (s.n_services < 2 || !s.services[1].ready) /* it comes later */
        assert_int_equal(status_of(&p, &s), 0);
    uint64_t slices[2] = {0};
    for (size_t i = 0; i < s.n_services; i++) {
        bool follows = authority_find(s.services[i].name)->follows;
        slices[follows] = slice_ns((pid_t)s.services[i].pid);
        int policy = sched_getscheduler((pid_t)s.services[i].pid);
        assert_true(policy & SCHED_RESET_ON_FORK); /* what it starts is like all others */
        assert_int_equal(policy & ~SCHED_RESET_ON_FORK, follows ? SCHED_BATCH : SCHED_OTHER);
        assert_int_equal(follows, strcmp(s.services[i].name, "controllers") == 0);
    }
    assert_true(!slices[0] || slices[0] < slices[1]);
    assert_true(authority_find("api")->awaited && !authority_find("store")->awaited);
    assert_int_equal(place_end(&p, SIGTERM), 0);
    place_remove(&p);
}

TEST(a_killed_service_is_back_on_the_same_socket) {
    struct place p;
    char line[600];
    struct init_status s;
    place_make(&p);
    place_up(&p, &s);
    kill((pid_t)s.services[0].pid, SIGKILL);
    do await_line(&p, 'P', line, sizeof line);
    while (!strstr(line, "killed by signal 9"));
    assert_int_equal(ask_uid(&p), service_uid("store")); /* waits in the backlog till then */
    assert_int_equal(status_of(&p, &s), 0);
    assert_int_equal(s.services[0].restarts, 1);
    assert_int_equal(place_end(&p, SIGTERM), 0);
    place_remove(&p);
}

TEST(services_die_with_init_and_the_next_init_takes_over) {
    struct place p;
    struct init_status s;
    place_make(&p);
    place_up(&p, &s);
    assert_true(WIFSIGNALED(place_end(&p, SIGKILL)));
    char stat_text[200];
    const char *path = arena_printf(p.a, "/proc/%u/stat", s.services[0].pid);
    for (int i = 0; i < 1000; i++) { /* gone, or a zombie of whoever reaps here */
        OWN(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? 0 : read(fd, stat_text, sizeof stat_text - 1);
        stat_text[n > 0 ? n : 0] = 0;
        if (n <= 0 || strstr(stat_text, ") Z")) break;
        usleep(1000);
        assert_true(i < 999);
    }
    place_up(&p, &s);
    assert_int_equal(ask_uid(&p), service_uid("store"));
    assert_int_equal(place_end(&p, SIGTERM), 0);
    place_remove(&p);
}

TEST(a_service_that_cannot_start_says_why_through_init) {
    struct place p;
    char line[600];
    place_make(&p);
    int fd = open(arena_printf(p.a, "%s/fail", p.root), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    close(fd);
    place_start(&p);
    await_line(&p, 'E', line, sizeof line);
    assert_string_equal(line, "Estore: told to fail");
    assert_int_equal(WEXITSTATUS(place_end(&p, 0)), 1);
    place_remove(&p);
}

TEST(one_root_has_one_init) {
    struct place p;
    struct init_status s;
    struct err err;
    place_make(&p);
    place_up(&p, &s);
    pid_t child = fork();
    if (child == 0) {
        char want[100];
        snprintf(want, sizeof want, "already running (pid %d)", (int)p.init);
        _exit(init_claim(p.root, &err) < 0 && strstr(err.text, want) ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(place_end(&p, SIGTERM), 0);
    place_remove(&p);
}
