#include "proc/mount_namespace.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/own.h"
#include "base/slice.h"

#ifndef NSFS_MAGIC
#define NSFS_MAGIC 0x6e736673
#endif

static const char hierarchies[] = "/sys/fs/cgroup";
static const char unified[] = "/sys/fs/cgroup/unified";

bool mount_namespace_exists(const char *dir) {
    char file[4200];
    struct statfs fs;
    snprintf(file, sizeof file, "%s/namespace", dir);
    return statfs(file, &fs) == 0 && fs.f_type == NSFS_MAGIC;
}

/* ---- cgroup hierarchies: `ip netns exec` and container hosts give a /sys without them ---- */

/* Whether any hierarchy is mounted below /sys/fs/cgroup. */
static bool cgroups_mounted(void) {
    char line[4096], point[512], type[32];
    OWN(fclose_p) FILE *f = fopen("/proc/self/mountinfo", "re");
    while (f && fgets(line, sizeof line, f)) {
        const char *dash = strstr(line, " - ");
        if (!dash || sscanf(line, "%*s %*s %*s %*s %511s", point) != 1 ||
            sscanf(dash, " - %31s", type) != 1)
            continue;
        if (str_starts(point, hierarchies) && str_starts(type, "cgroup")) return true;
    }
    return false;
}

/* One v1 hierarchy, as a line "3:cpu,cpuacct:/…" of /proc/self/cgroup names it. */
static int hierarchy_mount(const char *controllers) {
    char path[256], options[256];
    const char *name = strchr(controllers, '=');
    snprintf(path, sizeof path, "%s/%s", hierarchies, name ? name + 1 : controllers);
    snprintf(options, sizeof options, "%s%s", name ? "none," : "", controllers);
    if (mkdir(path, 0755) < 0 && errno != EEXIST) return -errno;
    return mount("cgroup", path, "cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) < 0 ? -errno
                                                                                          : 0;
}

/* Mounts the machine's hierarchies again, in this namespace only. */
static int cgroups_mount(void) {
    char line[4096], controllers[128];
    int r = 0, v1 = 0;
    OWN(fclose_p) FILE *f = fopen("/proc/self/cgroup", "re");
    while (f && r == 0 && fgets(line, sizeof line, f)) {
        if (sscanf(line, "%*u:%127[^:]:", controllers) != 1) continue;
        if (v1++ == 0 &&
            mount("tmpfs", hierarchies, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755") < 0)
            return -errno;
        r = hierarchy_mount(controllers);
    }
    if (v1) return r;
    return mount("cgroup2", hierarchies, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0
               ? -errno
               : 0;
}

/* In the new namespace: cut propagation outwards, have cgroups, hide the v2 tree of hybrid hosts.
 */
static int namespace_fill(void) {
    struct statfs fs;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        return -errno;
    int r = cgroups_mounted() ? 0 : cgroups_mount();
    if (r < 0) return r;
    bool hybrid = statfs(unified, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC &&
                  statfs(hierarchies, &fs) == 0 && fs.f_type != CGROUP2_SUPER_MAGIC;
    if (hybrid &&
        mount("tmpfs", unified, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755") < 0)
        return -errno;
    return 0;
}

/* The child lives until the parent has pinned its namespace. cpu ≥ 0: makes it there. */
static void child_main(int report, int hold, int cpu) {
    cpu_set_t only;
    CPU_ZERO(&only);
    if (cpu >= 0) CPU_SET(cpu, &only);
    int r = cpu >= 0 && sched_setaffinity(0, sizeof only, &only) < 0 ? -errno : namespace_fill();
    char c;
    if (write(report, &r, sizeof r) != sizeof r) _exit(1);
    while (read(hold, &c, 1) < 0 && errno == EINTR) continue;
    _exit(0);
}

/* Returns −EINVAL when the kernel takes the child's namespace for an older one than ours. */
static int pin(const char *file, pid_t child, int report, struct err *err) {
    int r;
    if (read(report, &r, sizeof r) != sizeof r)
        return err_set(err, ERR_INTERNAL, "namespace child died");
    if (r < 0) return err_errno(err, -r, "cannot make a mount namespace");
    char source[64];
    snprintf(source, sizeof source, "/proc/%d/ns/mnt", (int)child);
    if (mount(source, file, NULL, MS_BIND, NULL) < 0)
        return err_errno(err, errno, "cannot pin the mount namespace at %s", file);
    return 0;
}

static int make_and_pin(const char *file, int cpu, struct err *err) {
    int report[2], hold[2];
    if (pipe2(report, O_CLOEXEC) < 0) return err_errno(err, errno, "pipe");
    if (pipe2(hold, O_CLOEXEC) < 0) {
        close(report[0]);
        close(report[1]);
        return err_errno(err, errno, "pipe");
    }
    pid_t child = fork();
    if (child == 0) {
        close(hold[1]);
        child_main(report[1], hold[0], cpu);
    }
    close(report[1]);
    close(hold[0]);
    int r = child < 0 ? err_errno(err, errno, "fork") : pin(file, child, report[0], err);
    close(report[0]);
    close(hold[1]);
    if (child > 0) waitpid(child, NULL, 0);
    return r;
}

/*
 * The pin is seen from the mount namespace that made it only, and `ip netns exec` gives every
 * command one of its own; an older namespace cannot be pinned again. But shims stand in it: the
 * descriptor of the namespace of one that runs below dir/../pods, or −1.
 */
static int shim_namespace(const char *dir) {
    char text[4200], pods[PATH_MAX], cwd[PATH_MAX];
    struct dirent *e;
    snprintf(text, sizeof text, "%s/../pods", dir);
    if (!realpath(text, pods)) return -1;
    size_t pods_n = strlen(pods);
    OWN(closedir_p) DIR *d = opendir("/proc");
    while (d && (e = readdir(d))) {
        if (e->d_name[0] < '1' || e->d_name[0] > '9') continue;
        snprintf(text, sizeof text, "/proc/%s/cwd", e->d_name);
        ssize_t n = readlink(text, cwd, sizeof cwd - 1);
        cwd[n > 0 ? n : 0] = 0;
        if (strncmp(cwd, pods, pods_n) != 0 || cwd[pods_n] != '/') continue;
        char comm[32] = "";
        snprintf(text, sizeof text, "/proc/%s/comm", e->d_name);
        OWN(fclose_p) FILE *f = fopen(text, "re");
        if (!f || !fgets(comm, sizeof comm, f) || strcmp(comm, "atoll-shim\n") != 0) continue;
        snprintf(text, sizeof text, "/proc/%s/ns/mnt", e->d_name);
        return open(text, O_RDONLY | O_CLOEXEC);
    }
    return -1;
}

int mount_namespace_ensure(const char *dir, struct err *err) {
    if (mount_namespace_exists(dir)) return 0;
    mount_namespace_remove(dir);
    char file[4200];
    snprintf(file, sizeof file, "%s/namespace", dir);
    if (mkdir(dir, 0700) < 0 && errno != EEXIST) return err_errno(err, errno, "%s", dir);
    OWN(close_p) int held = shim_namespace(dir);
    if (held >= 0) return 0; /* mount_namespace_enter finds it again */
    /* The pin must not propagate into the namespace it pins: its mount point is private. */
    if (mount(dir, dir, NULL, MS_BIND, NULL) < 0 || mount(NULL, dir, NULL, MS_PRIVATE, NULL) < 0)
        return err_errno(err, errno, "cannot bind %s", dir);
    OWN(close_p) int made = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (made < 0) return err_errno(err, errno, "%s", file);
    int r = make_and_pin(file, -1, err);
    /* A namespace may only pin a younger one, and Linux 6.18 numbers them in batches per CPU: one
     * made on the CPU where ours was made is always younger. */
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    if (r == -EINVAL) sched_getaffinity(0, sizeof cpus, &cpus);
    for (int cpu = 0; cpu < CPU_SETSIZE && r == -EINVAL; cpu++)
        if (CPU_ISSET(cpu, &cpus)) r = make_and_pin(file, cpu, err);
    return r;
}

int mount_namespace_enter(const char *file, struct err *err) {
    char dir[4200];
    struct statfs fs;
    OWN(close_p) int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstatfs(fd, &fs) < 0 || fs.f_type != NSFS_MAGIC) {
        int missing = fd < 0 ? errno : EINVAL;
        const char *slash = strrchr(file, '/');
        snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - file) : 1, slash ? file : ".");
        if (fd >= 0) close(TAKE_FD(fd));
        fd = shim_namespace(dir);
        /* The last pod has ended since init started: nothing is lost with a fresh one. */
        if (fd < 0 && mount_namespace_ensure(dir, err) == 0) fd = open(file, O_RDONLY | O_CLOEXEC);
        if (fd < 0) return err_errno(err, missing, "%s", file);
    }
    if (setns(fd, CLONE_NEWNS) < 0) return err_errno(err, errno, "cannot join %s", file);
    return 0;
}

void mount_namespace_remove(const char *dir) {
    char file[4200];
    snprintf(file, sizeof file, "%s/namespace", dir);
    while (umount2(file, MNT_DETACH | UMOUNT_NOFOLLOW) == 0) continue;
    while (umount2(dir, MNT_DETACH | UMOUNT_NOFOLLOW) == 0) continue;
    unlink(file);
}
