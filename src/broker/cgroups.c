#include "broker/cgroups.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "broker/paths.h"

/* Where version 2 lies beside version 1. */
static const char cover[] = "/sys/fs/cgroup/unified";

enum { DEPTH_MAX = 32, FILE_BYTES_MAX = 1024 * 1024 };

static int read_path(const char *path, char **ret, size_t *ret_n) {
    OWN(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : path_read(fd, FILE_BYTES_MAX, ret, ret_n);
}

static int read_at(const char *dir, const char *path, const char *file, char **ret, size_t *n) {
    char full[PATH_MAX];
    if (snprintf(full, sizeof full, "%s%s/%s", dir, path, file) >= (int)sizeof full)
        return -ENAMETOOLONG;
    return read_path(full, ret, n);
}

static int write_at(const char *dir, const char *path, const char *file, const char *text) {
    char full[PATH_MAX];
    if (snprintf(full, sizeof full, "%s%s/%s", dir, path, file) >= (int)sizeof full)
        return -ENAMETOOLONG;
    OWN(close_p) int fd = open(full, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return -errno;
    return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static int layout_read(struct cgroup_layout *l, struct err *err) {
    OWN(free_p) char *text = NULL;
    size_t n = 0;
    OWN(close_p) int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    int r = fd < 0 ? -errno : path_read(fd, 64 << 20, &text, &n);
    if (r) return err_errno(err, -r, "cannot read /proc/self/mountinfo");
    if (cgroup_layout_parse(slice_from(text, n), l) < 0)
        return err_set(
            err, ERR_INTERNAL,
            "no control group hierarchy is mounted at /sys/fs/cgroup: mount cgroup2 there");
    return 0;
}

/* init starts the broker in the mount namespace that it keeps for it. Still being in the parent's
 * own means that this did not happen. */
static int own_mount_namespace(struct err *err) {
    char path[64];
    struct stat mine, parents;
    snprintf(path, sizeof path, "/proc/%d/ns/mnt", (int)getppid());
    if (stat("/proc/self/ns/mnt", &mine) < 0 || stat(path, &parents) < 0)
        return err_errno(err, errno, "cannot look at mount namespaces");
    if (mine.st_ino != parents.st_ino) return 0;
    log_warn("broker_mount_namespace", "text=\"shares its parent's mounts; made its own\"");
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        return err_errno(err, errno, "cannot make a mount namespace");
    return 0;
}

int cgroups_init(struct cgroups *c, const char *instance, struct err *err) {
    int r = own_mount_namespace(err);
    if (!r) r = layout_read(&c->layout, err);
    if (r) return r;
    snprintf(c->base, sizeof c->base, "/atoll-%s", instance);
    if (!c->layout.unified && c->layout.hybrid_path[0]) {
        if (mount("tmpfs", c->layout.hybrid_path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
                  "size=4m,mode=755") < 0)
            return err_errno(err, errno, "cannot cover %s", c->layout.hybrid_path);
        c->layout.hybrid_path[0] = 0;
    }
    struct statfs fs;
    c->covered = !c->layout.unified && statfs(cover, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
    OWN(free_p) char *controllers = NULL;
    size_t n = 0;
    if (c->layout.unified &&
        read_at("/sys/fs/cgroup", "", "cgroup.controllers", &controllers, &n) == 0)
        c->oom_group = strstr(controllers, "memory") != NULL;
    r = cgroups_make(c, c->base, err);
    const struct cgroup_hierarchy *memory = cgroup_layout_find(&c->layout, CGROUP_MEMORY);
    char file[PATH_MAX];
    if (!r && memory) {
        snprintf(file, sizeof file, "%s%s/%s", memory->path, c->base,
                 c->layout.unified ? "memory.swap.max" : "memory.memsw.limit_in_bytes");
        c->swap_accounted = access(file, F_OK) == 0;
    }
    return r;
}

/* A version 1 cpuset takes processes only after its CPUs and memory nodes are set. */
static void cpuset_inherit(const char *dir, const char *path) {
    static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
    char parent[CGROUP_PATH_MAX];
    snprintf(parent, sizeof parent, "%s", path);
    *strrchr(parent, '/') = 0;
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        OWN(free_p) char *text = NULL;
        size_t n = 0;
        if (read_at(dir, parent, files[i], &text, &n) == 0) write_at(dir, path, files[i], text);
    }
}

/* Children of version 2 groups get the controllers that are written here. */
static void controllers_enable(const char *dir, const char *path) {
    static const char *const names[] = {"+cpu", "+cpuset", "+memory", "+pids", "+io"};
    char parent[CGROUP_PATH_MAX];
    snprintf(parent, sizeof parent, "%s", path);
    *strrchr(parent, '/') = 0;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        write_at(dir, parent, "cgroup.subtree_control", names[i]);
}

int cgroups_make(const struct cgroups *c, const char *path, struct err *err) {
    for (unsigned i = 0; i < c->layout.n; i++) {
        const struct cgroup_hierarchy *h = &c->layout.v[i];
        char full[PATH_MAX];
        snprintf(full, sizeof full, "%s%s", h->path, path);
        if (c->layout.unified) controllers_enable(h->path, path);
        if (mkdir(full, 0755) < 0 && errno != EEXIST)
            return err_errno(err, errno, "cannot make the control group %s", full);
        if (!c->layout.unified && (h->controllers & CGROUP_CPUSET)) cpuset_inherit(h->path, path);
    }
    return 0;
}

int cgroups_limit(const struct cgroups *c, const char *path, const struct cgroup_limits *limits,
                  struct err *err) {
    struct cgroup_write writes[CGROUP_WRITES_MAX];
    struct cgroup_limits all = *limits;
    all.swap_accounted = c->swap_accounted;
    unsigned n = cgroup_limit_writes(&all, c->layout.unified, writes);
    for (unsigned i = 0; i < n; i++) {
        const struct cgroup_hierarchy *h = cgroup_layout_find(&c->layout, writes[i].controller);
        int r = h ? write_at(h->path, path, writes[i].file, writes[i].text) : -ENOENT;
        if (r && !writes[i].may_fail)
            return err_errno(err, -r, "cannot set %s to %s", writes[i].file, writes[i].text);
    }
    return 0;
}

/* ---- walks ---- */

static unsigned signal_tree(int dir, int signum, int depth) {
    OWN(close_p) int procs = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    OWN(free_p) char *text = NULL;
    size_t size = 0;
    unsigned n = 0;
    if (procs >= 0 && path_read(procs, FILE_BYTES_MAX, &text, &size) == 0) {
        struct slice rest = slice_from(text, size), line;
        uint64_t pid;
        while (slice_cut(&rest, '\n', &line))
            if (slice_u64(line, &pid) == 0 && pid > 1 && pid < INT_MAX) {
                kill((pid_t)pid, signum);
                n++;
            }
    }
    int again = depth < DEPTH_MAX ? openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    OWN(closedir_p) DIR *d = again >= 0 ? fdopendir(again) : NULL;
    struct dirent *e;
    while (d && (e = readdir(d))) {
        if (e->d_type != DT_DIR || e->d_name[0] == '.') continue;
        OWN(close_p) int child = openat(dir, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (child >= 0) n += signal_tree(child, signum, depth + 1);
    }
    return n;
}

int cgroups_join(const struct cgroups *c, const char *path, pid_t pid, struct err *err) {
    char text[16];
    snprintf(text, sizeof text, "%d", (int)pid);
    for (unsigned i = 0; i < c->layout.n; i++) {
        int r = write_at(c->layout.v[i].path, path, "cgroup.procs", text);
        if (r < 0) return err_errno(err, -r, "cannot put a process into control group %s", path);
    }
    return 0;
}

unsigned cgroups_signal(const struct cgroups *c, const char *path, int signum) {
    const struct cgroup_hierarchy *h = cgroup_layout_find(&c->layout, CGROUP_PIDS);
    if (!h) h = &c->layout.v[0];
    char full[PATH_MAX];
    snprintf(full, sizeof full, "%s%s", h->path, path);
    OWN(close_p) int dir = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir < 0 ? 0 : signal_tree(dir, signum, 0);
}

static int remove_tree(int dir, const char *name, int depth) {
    if (unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT) return 0;
    if (depth == DEPTH_MAX) return -ELOOP;
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    OWN(closedir_p) DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *e;
    while (d && (e = readdir(d)))
        if (e->d_type == DT_DIR && e->d_name[0] != '.') remove_tree(fd, e->d_name, depth + 1);
    return unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

/* The runtime takes the cover for a hierarchy and leaves plain files there. */
static void cover_remove(const char *path) {
    OWN(close_p) int dir = open(cover, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char parent[CGROUP_PATH_MAX];
    snprintf(parent, sizeof parent, "%s", path + 1);
    char *name = strrchr(parent, '/');
    if (dir < 0 || !name) return;
    *name++ = 0;
    OWN(close_p) int at = path_open_child(dir, parent, O_RDONLY | O_DIRECTORY, 0);
    size_t budget = 4096;
    if (at >= 0) path_remove(at, name, &budget);
}

int cgroups_remove(const struct cgroups *c, const char *path) {
    int r = 0;
    if (c->covered) cover_remove(path);
    for (unsigned i = 0; i < c->layout.n; i++) {
        char full[PATH_MAX];
        snprintf(full, sizeof full, "%s%s", c->layout.v[i].path, path);
        int one = remove_tree(AT_FDCWD, full, 0);
        if (one) r = one;
    }
    return r;
}

/* ---- numbers ---- */

static bool number_of(const struct cgroups *c, enum cgroup_controller controller, const char *path,
                      const char *file, const char *key, uint64_t *ret) {
    const struct cgroup_hierarchy *h = cgroup_layout_find(&c->layout, controller);
    OWN(free_p) char *text = NULL;
    size_t n = 0;
    if (!h || read_at(h->path, path, file, &text, &n) < 0) return false;
    struct slice s = slice_from(text, n);
    return (key ? cgroup_value(s, key, ret) : cgroup_number(s, ret)) == 0;
}

bool cgroups_oom_killed(const struct cgroups *c, const char *path) {
    uint64_t n = 0;
    const char *file = c->layout.unified ? "memory.events" : "memory.oom_control";
    return number_of(c, CGROUP_MEMORY, path, file, "oom_kill", &n) && n > 0;
}

int cgroups_stats(const struct cgroups *c, const char *path, struct cgroup_stats *ret,
                  struct err *err) {
    bool v2 = c->layout.unified;
    struct cgroup_stats s = {0};
    uint64_t inactive = 0;
    bool ok = v2 ? number_of(c, CGROUP_CPU, path, "cpu.stat", "usage_usec", &s.cpu_usage_ns)
                 : number_of(c, CGROUP_CPUACCT, path, "cpuacct.usage", NULL, &s.cpu_usage_ns);
    if (!ok) return err_set(err, ERR_NOT_FOUND, "the container has no control group");
    if (v2) s.cpu_usage_ns *= 1000;
    number_of(c, CGROUP_MEMORY, path, v2 ? "memory.current" : "memory.usage_in_bytes", NULL,
              &s.memory_bytes);
    number_of(c, CGROUP_MEMORY, path, "memory.stat", v2 ? "inactive_file" : "total_inactive_file",
              &inactive);
    number_of(c, CGROUP_MEMORY, path, "memory.stat", v2 ? "anon" : "total_rss",
              &s.memory_rss_bytes);
    number_of(c, CGROUP_MEMORY, path, "memory.stat", v2 ? "file" : "total_cache",
              &s.memory_cache_bytes);
    number_of(c, CGROUP_PIDS, path, "pids.current", NULL, &s.pids);
    s.memory_working_set_bytes = s.memory_bytes > inactive ? s.memory_bytes - inactive : 0;
    *ret = s;
    return 0;
}
