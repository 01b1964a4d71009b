#include "proc/service.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/own.h"
#include "proc/authority.h"
#include "proc/crash.h"
#include "proc/handover.h"
#include "proc/mount_namespace.h"
#include "proc/sandbox.h"

/* One service per process: what init handed over. */
static struct handover handed;
static int ready_fd = -1;
static struct { /* of service_alone */
    bool on;
    void (*ready)(void *user);
    void *user;
} alone;

extern const struct service *const __start_atoll_services[] __attribute__((weak));
extern const struct service *const __stop_atoll_services[] __attribute__((weak));

enum { TRIM_INTERVAL_MS = 60 * 1000, TRIM_FIRST_MS = 1500 };
enum { SLICE_NS = 100 * 1000 }; /* the shortest that there are */

const struct service *service_find(const char *name) {
    for (const struct service *const *s = __start_atoll_services; s < __stop_atoll_services; s++)
        if (str_eq((*s)->name, name)) return *s;
    return NULL;
}

int service_fd(const struct service_ctx *ctx, const char *name) {
    for (size_t i = 0; i < handed.n_fds; i++)
        if (str_eq(handed.fds[i].name, name)) return handed.fds[i].fd;
    return -1;
}

char *service_path(const struct service_ctx *ctx, const char *below_root) {
    char *path;
    if (asprintf(&path, "%s%s", ctx->settings->root, below_root) < 0) abort();
    return path;
}

size_t service_peers(const struct service_ctx *ctx, uid_t ret[12]) {
    _Static_assert(AUTHORITY_LIST_MAX == 12, "the header promises 12");
    return authority_peers(ctx->service->name, ret);
}

void service_ready(struct service_ctx *ctx) {
    if (alone.ready) alone.ready(alone.user);
    alone.ready = NULL;
    if (ready_fd < 0) return;
    if (write(ready_fd, "\n", 1) < 0) log_warn("ready_unheard", "errno=%d", errno);
    close(ready_fd);
    ready_fd = -1;
}

/* Small processes: one arena, and what is freed goes back to the system. */
static void memory_setup(void) {
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_TRIM_THRESHOLD, 64 * 1024);
    mallopt(M_TOP_PAD, 16 * 1024);
    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
}

static void on_trim(void *user) { malloc_trim(0); }

/* Services work for microseconds and wait for each other and for the disk. Whoever asks for short
 * slices gets no more of the processor, but gets it when it wakes, not when the slice of somebody
 * who computes is over: milliseconds at every step on a busy machine. What is started by a service
 * has the usual slices; older kernels know no others. Who only follows what the api tells takes the
 * processor from nobody when it wakes: a hundred wake-ups of the controllers between two creates
 * would each be a wait of the api. The kernel lets who wakes interrupt at once only those whose
 * slices are longer than his; others are interrupted at its next tick. So the slices of whom
 * clients wait for are the shortest, and those of who follows the longest. */
static uint64_t slice_ns(const struct authority *row) {
    return row->awaited ? SLICE_NS : row->follows ? 4 * SLICE_NS : 2 * SLICE_NS;
}

static void short_slices(const struct authority *row) {
    enum { RESET_ON_FORK = 1 };
    struct { /* struct sched_attr of the kernel, whose header does not go with that of libc */
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime_ns, deadline_ns, period_ns;
    } attr = {.size = sizeof attr, .flags = RESET_ON_FORK, .runtime_ns = slice_ns(row)};
    attr.policy = row->follows ? SCHED_BATCH : SCHED_OTHER;
    attr.nice = getpriority(PRIO_PROCESS, 0);
    syscall(SYS_sched_setattr, 0, &attr, 0);
}

static void on_sigterm(void *user, int signum) {
    struct service_ctx *ctx = user;
    if (!ctx->service->stop || !ctx->service->stop(ctx)) loop_stop(ctx->loop);
}

/* Tells init in one line why there will be no service, and the log too. */
static int give_up(const struct err *err) {
    log_error("service_failed", "reason=\"%s\"", err->text);
    if (ready_fd >= 0) dprintf(ready_fd, "!%s\n", err->text);
    return 1;
}

static int enter(const struct authority *row, struct err *err) {
    if (row->mount_namespace) {
        int r = mount_namespace_enter("mnt/namespace", err);
        if (r < 0) return r;
        OWN(free_p) char *run = NULL; /* joining moved the working directory to "/" */
        if (asprintf(&run, "%s/run/atoll", handed.settings.root) < 0) abort();
        if (chdir(run) < 0) return err_errno(err, errno, "%s", run);
    }
    return 0;
}

static int run(struct service_ctx *ctx, const struct authority *row, struct err *err) {
    struct timer *trim = timer_new(ctx->loop, on_trim, NULL);
    struct sandbox_options options = {.root = handed.settings.root,
                                      .parent = handed.init_pid,
                                      .config = handed.settings.sp_config,
                                      .keep_user = alone.on && geteuid() != 0,
                                      .report_forbidden = handed.report_forbidden};
    short_slices(row);
    int r = enter(row, err);
    if (r == 0 && ctx->service->prepare) r = ctx->service->prepare(ctx, err);
    if (r == 0) r = sandbox_apply(row, &options, err);
    if (r < 0) return r;
    loop_on_signal(ctx->loop, SIGTERM, on_sigterm, ctx);
    if (alone.on) loop_on_signal(ctx->loop, SIGINT, on_sigterm, ctx);
    timer_start(trim, TRIM_FIRST_MS, TRIM_INTERVAL_MS);
    r = ctx->service->start(ctx, err);
    if (r < 0) return r;
    loop_run(ctx->loop);
    return 0;
}

/* `service NAME --probe forbidden-syscall|forbidden-open ROOT`: enters the sandbox and tries it.
 * Exit status 0 would mean that the sandbox let it through; 3 that it was refused. */
static int probe(const struct authority *row, const char *what, const char *root) {
    struct err err;
    if (sandbox_apply(row, &(struct sandbox_options){.root = root}, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    if (str_eq(what, "forbidden-syscall")) return ptrace(PTRACE_TRACEME, 0, 0, 0) < 0 ? 3 : 0;
    if (str_eq(what, "forbidden-open")) return open("/tmp", O_RDONLY | O_CLOEXEC) < 0 ? 3 : 0;
    return 2;
}

int service_main(int argc, char **argv) {
    struct err err = {0};
    const char *name = argc > 2 ? argv[2] : "";
    const struct authority *row = authority_find(name);
    const struct service *service = service_find(name);
    if (!row || !service) {
        fprintf(stderr, "atoll: no service '%s'\n", name);
        return 2;
    }
    log_setup(row->name, LOG_LEVEL_INFO);
    if (argc == 6 && str_eq(argv[3], "--probe")) return probe(row, argv[4], argv[5]);
    memory_setup();
    umask(077);
    prctl(PR_SET_NAME, row->name);
    signal(SIGPIPE, SIG_IGN);
    crash_setup();
    struct arena *a = arena_new(); /* settings live as long as the process */
    if (handover_read(HANDOVER_FD, a, &handed, &err) < 0) {
        fprintf(stderr, "atoll: %s\n", err.text);
        return 2;
    }
    close(HANDOVER_FD);
    ready_fd = HANDOVER_READY_FD;
    for (int fd = HANDOVER_READY_FD; fd < HANDOVER_FIRST_FD + (int)handed.n_fds; fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    close_range(HANDOVER_FIRST_FD + (unsigned)handed.n_fds, ~0u, 0);
    struct service_ctx ctx = {service, &handed.settings, loop_new(NULL)};
    if (run(&ctx, row, &err) < 0) return give_up(&err);
    return 0;
}

int service_alone(const char *name, const struct settings *s, void (*ready)(void *user),
                  void *user) {
    struct err err = {0};
    const struct authority *row = authority_find(name);
    const struct service *service = service_find(name);
    if (!row || !service) {
        fprintf(stderr, "atoll: no service '%s'\n", name);
        return 2;
    }
    alone.on = true;
    alone.ready = ready;
    alone.user = user;
    handed.settings = *s;
    log_setup(row->name, LOG_LEVEL_INFO);
    memory_setup();
    signal(SIGPIPE, SIG_IGN);
    crash_setup();
    struct service_ctx ctx = {service, &handed.settings, loop_new(NULL)};
    return run(&ctx, row, &err) < 0 ? give_up(&err) : 0;
}
