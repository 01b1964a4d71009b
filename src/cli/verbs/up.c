/* atoll up: checks the settings and becomes init. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "base/times.h"
#include "cli/http_probe.h"
#include "cli/verb.h"
#include "proc/free_range.h"
#include "proc/init.h"
#include "proc/settings.h"

struct up {
    const struct verb *verb;
    struct init_options init;
    bool daemon;
    pid_t child;
    int report_fd; /* daemon: lines for the parent, first byte tells the kind; −1 = none any more */
};

enum { READYZ_MS = 15000, OPTIONS_MAX = 32 };

static bool is_executable(const char *dir, const char *name) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return access(path, X_OK) == 0;
}

static bool have_runtime(void) {
    static const char *const dirs[] = {"/usr/bin", "/usr/sbin", "/usr/local/bin", "/bin", "/sbin"};
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
        if (is_executable(dirs[i], "crun") || is_executable(dirs[i], "runc")) return true;
    return false;
}

static void on_init_event(void *user, enum init_event e, const char *line) {
    struct up *up = user;
    struct err err;
    /* Only settings that worked are kept for the next `up`. */
    if (e == INIT_READY && settings_save(&up->init.settings, &err) < 0)
        log_error("settings_not_saved", "reason=\"%s\"", err.text);
    if (!up->daemon) {
        printf("atoll: %s\n", line);
        fflush(stdout);
        return;
    }
    if (up->report_fd < 0) return;
    dprintf(up->report_fd, "%c%s\n", e == INIT_READY ? 'R' : 'P', line);
    if (e == INIT_READY) {
        close(up->report_fd);
        up->report_fd = -1;
    }
}

/* From the claim of the root to the end of init. Messages go to message_fd. */
static int run_init(struct up *up, int message_fd) {
    struct err err;
    int r = init_claim(up->init.settings.root, &err);
    if (r == 0) r = init_run(&up->init, &err);
    if (r == 0) return 0;
    if (!up->daemon)
        dprintf(message_fd, "atoll up: %s\n", err.text);
    else if (up->report_fd >= 0)
        dprintf(up->report_fd, "F%s\n", err.text);
    return 1;
}

static int daemon_main(struct up *up) {
    setsid();
    OWN(close_p) int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0) return 1;
    for (int fd = 0; fd < 3; fd++)
        if (dup2(null_fd, fd) < 0) return 1;
    return run_init(up, -1);
}

/* The parent of the daemon: waits for the verdict, says it in one line. */
static int await_daemon(struct up *up, int fd, uint64_t started_ms) {
    char line[1300];
    struct err err;
    FILE *f = fdopen(fd, "r");
    if (!f) return cli_fail(up->verb, "fdopen: %s", strerror(errno));
    OWN(fclose_p) FILE *reports = f;
    const struct settings *s = &up->init.settings;
    while (fgets(line, sizeof line, reports)) {
        line[strcspn(line, "\n")] = 0;
        if (line[0] == 'F') {
            waitpid(up->child, NULL, 0); /* the root is free again when this returns */
            return cli_fail(up->verb, "%s", line + 1);
        }
        if (line[0] == 'P') fprintf(stderr, "atoll up: %s\n", line + 1);
        if (line[0] != 'R') continue;
        char path[4200];
        snprintf(path, sizeof path, "%s/run/atoll/api.sock", s->root);
        if (service_find("api") && http_probe_wait(path, "/readyz", READYZ_MS, &err) < 0)
            return cli_fail(up->verb, "the API is not ready: %s; see %s/var/log/atoll/atoll.log",
                            err.text, s->root);
        printf("atoll: ready after %llu ms; export KUBECONFIG=%s/etc/atoll/admin.kubeconfig\n",
               (unsigned long long)(clock_mono_ms() - started_ms), s->root);
        return 0;
    }
    return cli_fail(up->verb, "init died; see %s/var/log/atoll/atoll.log", s->root);
}

static int run_daemon(struct up *up) {
    int p[2];
    uint64_t started_ms = clock_mono_ms();
    if (pipe2(p, O_CLOEXEC) < 0) return cli_fail(up->verb, "pipe: %s", strerror(errno));
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) return cli_fail(up->verb, "fork: %s", strerror(errno));
    if (pid == 0) {
        close(p[0]);
        up->report_fd = fcntl(p[1], F_DUPFD_CLOEXEC, 64);
        close(p[1]);
        _exit(daemon_main(up));
    }
    close(p[1]);
    up->child = pid;
    return await_daemon(up, p[0], started_ms);
}

static int run_foreground(struct up *up) {
    OWN(close_p) int message_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 64);
    return run_init(up, message_fd);
}

static int up_run(const struct verb *v, int argc, char **argv) {
    struct settings_choice choice = {0};
    struct cli_option all[OPTIONS_MAX];
    struct up up = {.verb = v, .report_fd = -1, .init = {.tell = on_init_event}};
    const struct cli_option options[] = {
        {"--listen", "ADDR:PORT", "where the API listens (TLS); default 127.0.0.1:6443",
         &choice.listen, NULL},
        {"--node-name", "NAME", "name of this node; default the host name", &choice.node_name,
         NULL},
        {"--pod-cidr", "CIDR", "addresses of pods; default 10.244.N.0/24, the first that is free",
         &choice.pod_cidr, NULL},
        {"--service-cidr", "CIDR", "addresses of Services; default 10.(96+N).0.0/16",
         &choice.service_cidr, NULL},
        {"--daemon", NULL, "return when the API is ready", NULL, &up.daemon},
        {"--debug-sandbox", NULL, "log forbidden system calls instead of killing", NULL,
         &up.init.report_forbidden},
    };
    struct cli_args args;
    struct err err;
    OWN(arena_free_p) struct arena *a = arena_new();
    size_t n_options = ARRAY_LEN(options);
    memcpy(all, options, sizeof options);
    for (size_t i = 0; i < settings_auth_options_n && n_options < OPTIONS_MAX; i++) {
        const struct settings_option *o = &settings_auth_options[i];
        all[n_options++] = (struct cli_option){o->name, o->argument, o->help,
                                               settings_auth_member(&choice.auth, i), NULL};
    }
    int status = cli_parse(v, argc, argv, all, n_options, 0, &args);
    if (status != CLI_CONTINUE) return status;
    struct settings scratch;
    choice.root = "";
    if (settings_resolve(&choice, a, &scratch, &err) < 0) { /* bad arguments change nothing */
        cli_err(v, &err);
        return 2;
    }
    if (geteuid() != 0) return cli_fail(v, "needs root: run it with sudo");
    if (!have_runtime())
        return cli_fail(v, "crun not found: install the package crun (runc works too)");
    if (settings_root(args.root, true, a, &choice.root, &err) < 0) return cli_err(v, &err);
    int running = init_running(choice.root);
    if (running)
        return cli_fail(v,
                        "already running (pid %d) under %s; stop it with 'atoll down', or give "
                        "another --root",
                        running, str_or(choice.root, "/"));
    int r = settings_load(&choice, init_has_state(choice.root), a, &err);
    if (r == 0) free_ranges_choose(&choice, a);
    if (r == 0) r = settings_resolve(&choice, a, &up.init.settings, &err);
    if (r < 0) return cli_err(v, &err);
    up.init.user = &up;
    return up.daemon ? run_daemon(&up) : run_foreground(&up);
}

static const struct verb up_verb = {
    "up",
    "[--listen ADDR:PORT] [--node-name NAME] [--pod-cidr CIDR] [--service-cidr CIDR] [--daemon]",
    "start Atoll on this machine", up_run};
VERB(up_verb);
