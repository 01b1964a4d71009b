/* Namespaces of a pod. This single thread steps into new ones, sets them up, pins them as bind
 * mounts and steps back; without a way back it must not go on. */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/own.h"
#include "broker/broker_internal.h"
#include "broker/paths.h"

enum { NSFS_MAGIC_NUMBER = 0x6e736673 }; /* linux/magic.h NSFS_MAGIC */

struct kind {
    const char *name;
    int flag;
};
static const struct kind kinds[] = {
    {"net", CLONE_NEWNET},
    {"ipc", CLONE_NEWIPC},
    {"uts", CLONE_NEWUTS},
};

static bool wanted(const struct broker_pod *p, const struct kind *k) {
    return k->flag == CLONE_NEWIPC ? !p->host_ipc : !p->host_network;
}

int namespaces_open(int ns_dir_fd, const char *name) {
    OWN(close_p) int fd = openat(ns_dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct statfs fs;
    if (fd < 0 || fstatfs(fd, &fs) < 0 || fs.f_type != NSFS_MAGIC_NUMBER) return -1;
    return TAKE_FD(fd);
}

static int pin(int ns_dir_fd, const char *name, struct err *err) {
    char from[64], to[64];
    snprintf(from, sizeof from, "/proc/thread-self/ns/%s", name);
    snprintf(to, sizeof to, "/proc/self/fd/%d/%s", ns_dir_fd, name);
    OWN(close_p) int fd = openat(ns_dir_fd, name, O_RDONLY | O_CREAT | O_CLOEXEC, 0400);
    if (fd < 0 || mount(from, to, NULL, MS_BIND, NULL) < 0)
        return err_errno(err, errno, "cannot pin the %s namespace", name);
    return 0;
}

static int loopback_up(struct err *err) {
    OWN(close_p) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
        return err_errno(err, errno, "cannot bring the pod's loopback device up");
    return 0;
}

static int sysctl_set(const char *sysctl, struct err *err) {
    char path[256] = "/proc/sys/";
    const char *equals = strchr(sysctl, '=');
    size_t n = (size_t)(equals - sysctl), at = strlen(path);
    if (at + n >= sizeof path) return err_set(err, ERR_INVALID, "sysctl name too long");
    for (size_t i = 0; i < n; i++) path[at + i] = sysctl[i] == '.' ? '/' : sysctl[i];
    OWN(close_p) int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, equals + 1, strlen(equals + 1)) < 0)
        return err_errno(err, errno, "cannot set sysctl %s", sysctl);
    return 0;
}

/* Inside the new namespaces. */
static int set_up(int ns_dir_fd, int flags, const struct broker_pod *p, struct err *err) {
    int r = 0;
    if (flags & CLONE_NEWNET) {
        r = loopback_up(err);
        /* As containerd does: any user may bind low ports, the pod has the address to itself. */
        struct err ignored;
        sysctl_set("net.ipv4.ip_unprivileged_port_start=0", &ignored);
    }
    if (!r && (flags & CLONE_NEWUTS) && sethostname(p->hostname, strlen(p->hostname)) < 0)
        r = err_errno(err, errno, "cannot set the pod's hostname");
    for (uint32_t i = 0; !r && i < p->n_sysctls; i++) r = sysctl_set(p->sysctls[i], err);
    for (size_t i = 0; !r && i < ARRAY_LEN(kinds); i++)
        if (flags & kinds[i].flag) r = pin(ns_dir_fd, kinds[i].name, err);
    return r;
}

int namespaces_make(int ns_dir_fd, const struct broker_pod *p, struct err *err) {
    int own[ARRAY_LEN(kinds)], flags = 0, r = 0;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        own[i] = -1;
        OWN(close_p) int pinned = namespaces_open(ns_dir_fd, kinds[i].name);
        if (!wanted(p, &kinds[i]) || pinned >= 0) continue;
        char path[64];
        snprintf(path, sizeof path, "/proc/thread-self/ns/%s", kinds[i].name);
        own[i] = open(path, O_RDONLY | O_CLOEXEC);
        if (own[i] < 0) r = err_errno(err, errno, "cannot open %s", path);
        flags |= kinds[i].flag;
    }
    if (!r && flags) {
        r = unshare(flags) < 0 ? err_errno(err, errno, "cannot make the pod's namespaces")
                               : set_up(ns_dir_fd, flags, p, err);
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
            if (own[i] >= 0 && setns(own[i], kinds[i].flag) < 0) abort();
    }
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (own[i] >= 0) close(own[i]);
    return r;
}

/* ---- a process namespace for all containers of a pod ---- */

static void pause_main(const char *shim_program) {
    char *argv[] = {"atoll-shim", "pause", NULL}, *env[] = {NULL};
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3; fd++) dup2(null_fd, fd);
    close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    execve(shim_program, argv, env);
    _exit(127);
}

/* Pins the namespace of the process at ns/pid. */
static int pin_pid(int ns_dir_fd, pid_t pause, struct err *err) {
    char from[64], to[64];
    snprintf(from, sizeof from, "/proc/%d/ns/pid", (int)pause);
    snprintf(to, sizeof to, "/proc/self/fd/%d/pid", ns_dir_fd);
    OWN(close_p) int fd = openat(ns_dir_fd, "pid", O_RDONLY | O_CREAT | O_CLOEXEC, 0400);
    if (fd < 0 || mount(from, to, NULL, MS_BIND, NULL) < 0)
        return err_errno(err, errno, "cannot pin the pid namespace");
    return 0;
}

int namespaces_make_pid(int ns_dir_fd, const char *shim_program, pid_t *ret_pause,
                        struct err *err) {
    OWN(close_p) int pinned = namespaces_open(ns_dir_fd, "pid");
    *ret_pause = 0;
    if (pinned >= 0) return 0;
    if (!shim_program) return err_set(err, ERR_INTERNAL, "atoll-shim is not installed");
    OWN(close_p) int own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    if (own < 0 || unshare(CLONE_NEWPID) < 0)
        return err_errno(err, errno, "cannot make a process namespace");
    pid_t pause = fork();
    if (pause == 0) pause_main(shim_program);
    int e = errno;
    if (setns(own, CLONE_NEWPID) < 0) abort(); /* or all later children would be in there */
    if (pause < 0) return err_errno(err, e, "cannot start the first process of a namespace");
    int r = pin_pid(ns_dir_fd, pause, err);
    if (r < 0)
        kill(pause, SIGKILL);
    else
        *ret_pause = pause;
    return r;
}

int namespaces_socket(struct broker *b, int netns_fd, int domain, int type, int protocol,
                      struct err *err) {
    if (netns_fd >= 0 && setns(netns_fd, CLONE_NEWNET) < 0)
        return err_errno(err, errno, "cannot enter the pod's network namespace");
    int fd = socket(domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
    int e = errno;
    if (netns_fd >= 0 && setns(b->host_netns_fd, CLONE_NEWNET) < 0) abort();
    if (fd < 0) return err_errno(err, e, "cannot make a socket in the pod's network namespace");
    return fd;
}
