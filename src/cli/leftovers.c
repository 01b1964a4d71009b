#include "cli/leftovers.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "base/slice.h"
#include "base/times.h"
#include "cli/host_network.h"
#include "cli/verb.h"
#include "proc/init.h"
#include "proc/mount_namespace.h"

enum { KILL_WAIT_MS = 10 * 1000, KILL_INTERVAL_MS = 20, CGROUP_DEPTH_MAX = 8 };

static void found(struct leftovers *l, const char *kind, const char *name, const char *uid) {
    bool running = false;
    for (size_t i = 0; i < l->running.n; i++) running = running || str_eq(l->running.v[i], uid);
    *ARENA_PUSH(l->arena, &l->list) =
        (struct leftover){kind, arena_str(l->arena, name), arena_str(l->arena, uid), running};
}

/* ---- shims: processes named atoll-shim that stand in ROOT/run/atoll/pods/UID ---- */

typedef void shim_fn(void *user, pid_t pid, const char *uid);

static void shims_walk(const char *root, struct arena *a, shim_fn *fn, void *user) {
    OWN(closedir_p) DIR *d = opendir("/proc");
    const char *prefix = arena_printf(a, "%s/run/atoll/pods/", root);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        uint64_t pid;
        char cwd[4200];
        if (slice_u64(slice_of(e->d_name), &pid) < 0) continue;
        const char *comm = cli_read_file(a, arena_printf(a, "/proc/%s/comm", e->d_name));
        if (!comm || !str_eq(comm, "atoll-shim\n")) continue;
        ssize_t n = readlink(arena_printf(a, "/proc/%s/cwd", e->d_name), cwd, sizeof cwd - 1);
        if (n <= 0) continue;
        cwd[n] = 0;
        if (!str_starts(cwd, prefix)) continue;
        char *uid = arena_str(a, cwd + strlen(prefix));
        uid[strcspn(uid, "/ ")] = 0;
        fn(user, (pid_t)pid, uid);
    }
}

static void shim_note(void *user, pid_t pid, const char *uid) {
    struct leftovers *l = user;
    *ARENA_PUSH(l->arena, &l->running) = uid;
}

static void shim_count(void *user, pid_t pid, const char *uid) { ++*(size_t *)user; }

size_t leftovers_pods_running(const char *root, struct arena *a) {
    size_t n = 0;
    shims_walk(root, a, shim_count, &n);
    return n;
}

static void shim_kill(void *user, pid_t pid, const char *uid) {
    size_t *alive = user;
    (*alive)++;
    kill(pid, SIGKILL);
}

/* ---- cgroups: …/atoll-INSTANCE/podUID[/…] in every hierarchy ---- */

typedef void cgroup_fn(void *user, const char *path, unsigned depth);

/* Children first. */
static void tree_walk(const char *path, unsigned depth, struct arena *a, cgroup_fn *fn,
                      void *user) {
    OWN(closedir_p) DIR *d = opendir(path);
    struct dirent *e;
    while (d && depth < CGROUP_DEPTH_MAX && (e = readdir(d)))
        if (e->d_type == DT_DIR && e->d_name[0] != '.')
            tree_walk(arena_printf(a, "%s/%s", path, e->d_name), depth + 1, a, fn, user);
    fn(user, path, depth);
}

static void cgroups_walk(const char *instance, struct arena *a, cgroup_fn *fn, void *user) {
    static const char base[] = "/sys/fs/cgroup";
    const char *own = arena_printf(a, "%s/atoll-%s", base, instance);
    if (access(own, F_OK) == 0) tree_walk(own, 0, a, fn, user);
    OWN(closedir_p) DIR *d = opendir(base);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        if (e->d_name[0] == '.' || e->d_type != DT_DIR) continue;
        own = arena_printf(a, "%s/%s/atoll-%s", base, e->d_name, instance);
        if (access(own, F_OK) == 0) tree_walk(own, 0, a, fn, user);
    }
}

/* The pod's uid in a cgroup path, or "". */
static const char *uid_of_cgroup(struct arena *a, const char *path) {
    const char *pod = strstr(path, "/pod");
    if (!pod) return "";
    return arena_strn(a, slice_from(pod + 4, strcspn(pod + 4, "/")));
}

typedef void pid_fn(void *user, pid_t pid, const char *uid);

static void procs_walk(const char *path, struct arena *a, pid_fn *fn, void *user) {
    const char *text = cli_read_file(a, arena_printf(a, "%s/cgroup.procs", path));
    struct slice rest = slice_of(text), line;
    const char *uid = uid_of_cgroup(a, path);
    uint64_t pid;
    while (slice_cut(&rest, '\n', &line))
        if (slice_u64(line, &pid) == 0 && pid > 1) fn(user, (pid_t)pid, uid);
}

static void process_note(void *user, pid_t pid, const char *uid) {
    struct leftovers *l = user;
    const char *comm = cli_read_file(l->arena, arena_printf(l->arena, "/proc/%d/comm", (int)pid));
    const char *name = arena_printf(l->arena, "%d (%.*s)", (int)pid,
                                    comm ? (int)strcspn(comm, "\n") : 1, comm ? comm : "?");
    for (size_t i = 0; i < l->list.n; i++) /* one process is in several hierarchies */
        if (str_eq(l->list.v[i].kind, "process") && str_eq(l->list.v[i].name, name)) return;
    found(l, "process", name, uid);
}

static void cgroup_note(void *user, const char *path, unsigned depth) {
    struct leftovers *l = user;
    if (depth == 0) return;
    procs_walk(path, l->arena, process_note, l);
    found(l, "cgroup", path, uid_of_cgroup(l->arena, path));
}

/* ---- mounts ---- */

static void mounts_note(struct leftovers *l) {
    const char *text = cli_read_file(l->arena, "/proc/self/mountinfo");
    struct slice rest = slice_of(text), line;
    const char *const prefixes[] = {arena_printf(l->arena, "%s/run/atoll/pods/", l->root),
                                    arena_printf(l->arena, "%s/var/lib/atoll/pods/", l->root)};
    while (slice_cut(&rest, '\n', &line)) {
        struct slice word = {0}, fields = line;
        for (int i = 0; i < 5; i++) slice_cut(&fields, ' ', &word); /* the fifth: mount point */
        bool is_namespace = memmem(line.p, line.n, " - nsfs ", 8) != NULL;
        for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
            if (!slice_starts(word, prefixes[i])) continue;
            const char *path = arena_strn(l->arena, word);
            const char *uid = path + strlen(prefixes[i]);
            found(l, is_namespace && str_ends(path, "/net") ? "netns" : "mount", path,
                  arena_strn(l->arena, slice_from(uid, strcspn(uid, "/"))));
        }
    }
}

void leftovers_scan(struct leftovers *l, struct arena *a, const char *root, const char *instance) {
    *l = (struct leftovers){.root = root, .instance = instance, .arena = a};
    shims_walk(root, a, shim_note, l);
    cgroups_walk(instance, a, cgroup_note, l);
    if (!init_running(root) && l->running.n == 0) {
        if (host_bridge_exists(instance)) found(l, "bridge", arena_printf(a, "at%s", instance), "");
        if (host_table_exists(instance))
            found(l, "table", arena_printf(a, "ip atoll_%s", instance), "");
    }
    const char *mnt = arena_printf(a, "%s/run/atoll/mnt", root);
    if (mount_namespace_exists(mnt))
        mount_namespace_enter(arena_printf(a, "%s/namespace", mnt), NULL);
    mounts_note(l);
}

/* ---- removal ---- */

static void pid_kill(void *user, pid_t pid, const char *uid) {
    size_t *alive = user;
    (*alive)++;
    kill(pid, SIGKILL);
}

struct reaping {
    struct arena *arena;
    size_t alive;
};

static void cgroup_kill(void *user, const char *path, unsigned depth) {
    struct reaping *r = user;
    procs_walk(path, r->arena, pid_kill, &r->alive);
    rmdir(path); /* fails while something lives in it */
}

int leftovers_kill(const char *root, const char *instance, struct err *err) {
    uint64_t deadline_ms = clock_mono_ms() + KILL_WAIT_MS;
    for (;;) {
        OWN(arena_free_p) struct arena *a = arena_new();
        struct reaping r = {a, 0};
        shims_walk(root, a, shim_kill, &r.alive);
        cgroups_walk(instance, a, cgroup_kill, &r);
        if (r.alive == 0) return 0;
        if (clock_mono_ms() > deadline_ms)
            return err_set(err, ERR_TIMEOUT, "%zu processes of pods do not die", r.alive);
        poll(NULL, 0, KILL_INTERVAL_MS);
    }
}

void leftovers_remove_network(const char *instance) {
    host_table_remove(instance);
    host_bridge_remove(instance);
}

/* Takes fd. Never follows links, never crosses to another file system. */
static int remove_below(int fd, dev_t device, unsigned depth) {
    DIR *d = fdopendir(fd);
    if (!d) {
        close(fd);
        return -errno;
    }
    OWN(closedir_p) DIR *dir = d;
    struct dirent *e;
    int r = 0;
    while ((e = readdir(dir))) {
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) continue;
        if (!S_ISDIR(st.st_mode)) {
            if (unlinkat(dirfd(dir), e->d_name, 0) < 0 && r == 0) r = -errno;
            continue;
        }
        if (st.st_dev != device || depth >= 1024) {
            r = -EBUSY;
            continue;
        }
        int child = openat(dirfd(dir), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int below = child < 0 ? -errno : remove_below(child, device, depth + 1);
        if (below < 0 && r == 0) r = below;
        if (unlinkat(dirfd(dir), e->d_name, AT_REMOVEDIR) < 0 && r == 0) r = -errno;
    }
    return r;
}

int leftovers_remove_state(const char *root, struct err *err) {
    static const char *const own[] = {"run/atoll", "var/lib/atoll", "var/log/atoll", "etc/atoll"};
    static const char *const parents[] = {"run", "var/lib", "var/log", "var", "etc"};
    OWN(arena_free_p) struct arena *a = arena_new();
    mount_namespace_remove(arena_printf(a, "%s/run/atoll/mnt", root));
    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        const char *path = arena_printf(a, "%s/%s", root, own[i]);
        struct stat st;
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT) continue;
        if (fd < 0 || fstat(fd, &st) < 0) return err_errno(err, errno, "%s", path);
        int r = remove_below(fd, st.st_dev, 0);
        if (r == 0 && rmdir(path) < 0) r = -errno;
        if (r < 0) return err_errno(err, -r, "cannot remove all of %s", path);
    }
    /* Directories made on the way under a root of our own go when they are empty. */
    for (size_t i = 0; *root && i < ARRAY_LEN(parents); i++)
        rmdir(arena_printf(a, "%s/%s", root, parents[i]));
    return 0;
}
