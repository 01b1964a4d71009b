/* atoll down: stops the services, with --pods the pods too, with --purge removes all state. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "base/pack.h"
#include "base/times.h"
#include "cli/leftovers.h"
#include "cli/verb.h"
#include "proc/init.h"
#include "proc/ipc.h"
#include "proc/mount_namespace.h"
#include "proc/settings.h"
#include "wire/broker.h"

enum { STOP_WAIT_MS = 30 * 1000, POD_WAIT_MS = 20 * 1000, POLL_MS = 5 };

static int call_init(const char *root, uint16_t type, struct slice body, struct err *err) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(close_p) int fd = -1;
    int r = ipc_connect_blocking(arena_printf(a, "%s/run/atoll/init.sock", root), &fd, err);
    if (r == 0)
        r = ipc_call_blocking(fd, type, body, NULL, 0, STOP_WAIT_MS, NULL, NULL, NULL, 0, NULL,
                              err);
    return r;
}

/* The answer to INIT_STOP is that init is gone. */
static int stop_services(const char *root, struct err *err) {
    uint64_t deadline_ms = clock_mono_ms() + STOP_WAIT_MS;
    int pid = init_running(root);
    call_init(root, INIT_STOP, (struct slice){0}, NULL);
    while (init_running(root)) {
        if (clock_mono_ms() > deadline_ms)
            return err_set(err, ERR_TIMEOUT, "init (pid %d) does not stop", pid);
        poll(NULL, 0, POLL_MS);
    }
    return 0;
}

/* Asks the broker to remove every pod that has a directory. What it leaves, leftovers_kill gets. */
static void remove_pods(const char *root, struct arena *a) {
    OWN(close_p) int fd = -1;
    OWN(closedir_p) DIR *d = opendir(arena_printf(a, "%s/run/atoll/pods", root));
    struct dirent *e;
    if (!d ||
        ipc_connect_blocking(arena_printf(a, "%s/run/atoll/broker.sock", root), &fd, NULL) < 0)
        return;
    while ((e = readdir(d))) {
        struct err err;
        OWN(buf_done) struct buf body = {0};
        if (e->d_name[0] == '.') continue;
        pack_str(&body, e->d_name);
        if (ipc_call_blocking(fd, BROKER_POD_REMOVE, buf_view(&body), NULL, 0, POD_WAIT_MS, NULL,
                              NULL, NULL, 0, NULL, &err) < 0)
            fprintf(stderr, "atoll down: pod %s: %s\n", e->d_name, err.text);
    }
}

/* node would start them anew, so it stops first. */
static void stop_pods(const char *root, struct arena *a) {
    OWN(buf_done) struct buf body = {0};
    struct init_status s;
    if (cli_init_status(root, a, &s, NULL) < 0) return;
    for (uint32_t i = 0; i < s.n_services; i++) {
        if (!str_eq(s.services[i].name, "node")) continue;
        pack_str(&body, "node");
        call_init(root, INIT_HOLD, buf_view(&body), NULL);
    }
    remove_pods(root, a);
}

/* Without pods nobody needs bridge, table, cgroups and mounts; the next `up` makes them anew. */
static void tidy(const char *root, const char *instance, struct arena *a) {
    if (leftovers_pods_running(root, a)) return;
    leftovers_kill(root, instance, NULL);
    leftovers_remove_network(instance);
    mount_namespace_remove(arena_printf(a, "%s/run/atoll/mnt", root));
}

/* Bridge and table are in the network namespace that init lives in, which need not be the caller's.
 */
static void enter_network_of(int init_pid, struct arena *a) {
    OWN(close_p) int fd = open(arena_printf(a, "/proc/%d/ns/net", init_pid), O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
        fprintf(stderr, "atoll down: the network of init (pid %d) cannot be joined\n", init_pid);
}

static int down(const struct verb *v, const char *root, bool pods, bool purge, struct arena *a) {
    struct err err;
    struct settings s;
    struct settings_choice choice = {.root = root};
    bool running = init_running(root) != 0;
    if (settings_load(&choice, false, a, &err) < 0 || settings_resolve(&choice, a, &s, &err) < 0)
        return cli_err(v, &err);
    if (!running && !pods) {
        printf("atoll: not running under %s\n", str_or(root, "/"));
        return 0;
    }
    if (running) enter_network_of(init_running(root), a);
    if (pods && running) stop_pods(root, a);
    if (running && stop_services(root, &err) < 0) return cli_err(v, &err);
    if (pods && leftovers_kill(root, s.instance, &err) < 0) return cli_err(v, &err);
    tidy(root, s.instance, a);
    if (purge && leftovers_remove_state(root, &err) < 0) return cli_err(v, &err);
    printf("atoll: %s\n", purge  ? "everything is stopped and removed"
                          : pods ? "services and pods are stopped"
                                 : "services are stopped; pods go on");
    return 0;
}

static int down_run(const struct verb *v, int argc, char **argv) {
    bool pods = false, purge = false;
    const struct cli_option options[] = {
        {"--pods", NULL, "stop the pods too", NULL, &pods},
        {"--purge", NULL, "stop the pods and remove all state", NULL, &purge},
    };
    struct cli_args args;
    struct err err;
    const char *root;
    OWN(arena_free_p) struct arena *a = arena_new();
    int status = cli_parse(v, argc, argv, options, ARRAY_LEN(options), 0, &args);
    if (status != CLI_CONTINUE) return status;
    if (geteuid() != 0) return cli_fail(v, "needs root: run it with sudo");
    int r = settings_root(args.root, false, a, &root, &err);
    if (r == -ENOENT && purge) {
        printf("atoll: nothing is there\n");
        return 0;
    }
    if (r < 0) return cli_err(v, &err);
    return down(v, root, pods || purge, purge, a);
}

static const struct verb down_verb = {"down", "[--pods] [--purge]", "stop the services; pods go on",
                                      down_run};
VERB(down_verb);
