#include "broker/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/own.h"

static int open_resolved(int dir, const char *path, int flags, mode_t mode, uint64_t resolve) {
    struct open_how how = {.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC), .resolve = resolve};
    if (flags & O_CREAT) how.mode = mode;
    for (int tries = 0;; tries++) {
        long fd = syscall(SYS_openat2, dir, path, &how, sizeof how);
        if (fd >= 0) return (int)fd;
        if (errno != EAGAIN || tries == 16) return -errno; /* a rename raced with ".." */
    }
}

int path_open_beneath(int dir, const char *path, int flags, mode_t mode) {
    return open_resolved(dir, path, flags, mode, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
}

int path_open_in_root(int dir, const char *path, int flags) {
    return open_resolved(dir, path, flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

int path_open_child(int dir, const char *name, int flags, mode_t mode) {
    return open_resolved(dir, name, flags | O_NOFOLLOW, mode,
                         RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

int path_open_dir(int dir, const char *name, mode_t mode) {
    if (mkdirat(dir, name, mode) < 0 && errno != EEXIST) return -errno;
    return path_open_child(dir, name, O_RDONLY | O_DIRECTORY, 0);
}

int path_make_dirs(int dir, const char *path, mode_t mode) {
    OWN(close_p) int at = fcntl(dir, F_DUPFD_CLOEXEC, 3);
    struct slice rest = slice_of(path), name;
    while (slice_cut(&rest, '/', &name)) {
        if (!name.n || slice_is(name, ".")) continue;
        char component[NAME_MAX + 1];
        if (name.n > NAME_MAX) return -ENAMETOOLONG;
        memcpy(component, name.p, name.n);
        component[name.n] = 0;
        int next = path_open_dir(at, component, mode);
        if (next < 0) return next;
        close(at);
        at = next;
    }
    return TAKE_FD(at);
}

int path_make_host_dirs(const char *path, mode_t mode) {
    char copy[PATH_MAX];
    size_t n = strlen(path);
    if (n >= sizeof copy) return -ENAMETOOLONG;
    memcpy(copy, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (copy[i] != '/' && copy[i]) continue;
        char was = copy[i];
        copy[i] = 0;
        if (mkdir(copy, mode) < 0 && errno != EEXIST) return -errno;
        copy[i] = was;
    }
    return 0;
}

static int write_all(int fd, struct slice data) {
    while (data.n) {
        ssize_t w = write(fd, data.p, data.n);
        if (w < 0 && errno == EINTR) continue;
        if (w < 0) return -errno;
        data.p += w;
        data.n -= (size_t)w;
    }
    return 0;
}

int path_write(int dir, const char *name, struct slice data, mode_t mode) {
    char beside[NAME_MAX + 1];
    if (snprintf(beside, sizeof beside, ".%s.tmp", name) >= (int)sizeof beside)
        return -ENAMETOOLONG;
    unlinkat(dir, beside, 0);
    OWN(close_p) int fd = openat(dir, beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0) return -errno;
    int r = fchmod(fd, mode) < 0 ? -errno : write_all(fd, data);
    if (!r && renameat(dir, beside, dir, name) < 0) r = -errno;
    if (r) unlinkat(dir, beside, 0);
    return r;
}

int path_read(int fd, size_t max, char **ret, size_t *ret_n) {
    struct stat st;
    if (fstat(fd, &st) < 0) return -errno;
    if (!S_ISREG(st.st_mode)) return -EINVAL;
    OWN(free_p) char *p = NULL;
    size_t n = 0, cap = 0;
    for (;;) { /* files of /proc have no size */
        if (n == cap) {
            cap = cap ? cap * 2 : 4096;
            char *grown = realloc(p, cap + 1);
            if (!grown) abort();
            p = grown;
        }
        ssize_t r = read(fd, p + n, cap - n);
        if (r < 0 && errno == EINTR) continue;
        if (r < 0) return -errno;
        if (r == 0) break;
        n += (size_t)r;
        if (n > max) return -EFBIG;
    }
    p[n] = 0;
    *ret_n = n;
    *ret = TAKE(p);
    return 0;
}

/* ---- removal ---- */

enum { REMOVE_DEPTH = 64 };

struct removal {
    int top; /* a directory that is being removed: what lies too deep moves here */
    size_t *budget;
    unsigned moved;
};

static int remove_dir(struct removal *m, int dir, const char *name, int depth);

static int remove_entry(struct removal *m, int dir, const char *name, unsigned char type,
                        int depth) {
    if (!*m->budget) return -EAGAIN;
    --*m->budget;
    if (type != DT_DIR) {
        if (unlinkat(dir, name, 0) == 0 || errno == ENOENT) return 0;
        if (errno != EISDIR) return -errno;
    }
    if (unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT) return 0;
    if (errno != ENOTEMPTY && errno != EEXIST) return -errno;
    if (depth < REMOVE_DEPTH) return remove_dir(m, dir, name, depth + 1);
    char flat[48];
    snprintf(flat, sizeof flat, ".deep-%u-%d", m->moved++, (int)getpid());
    return renameat(dir, name, m->top, flat) < 0 ? -errno : -EAGAIN; /* the walk starts again */
}

static int remove_dir(struct removal *m, int dir, const char *name, int depth) {
    int fd = open_resolved(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0,
                           RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
    if (fd == -ENOENT) return 0;
    if (fd < 0) return fd == -EXDEV ? -EBUSY : fd;
    OWN(closedir_p) DIR *d = fdopendir(fd);
    if (!d) {
        close(fd);
        return -ENOMEM;
    }
    if (depth == 0) m->top = dirfd(d);
    struct dirent *e;
    int r = 0;
    while (!r && (e = readdir(d)))
        if (!str_eq(e->d_name, ".") && !str_eq(e->d_name, ".."))
            r = remove_entry(m, dirfd(d), e->d_name, e->d_type, depth);
    if (r) return r;
    if (unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT) return -errno;
    return 0;
}

int path_remove(int dir, const char *name, size_t *budget) {
    struct removal m = {-1, budget, 0};
    int r;
    do r = remove_dir(&m, dir, name, 0);
    while (r == -EAGAIN && *budget && --*budget);
    if (r == -ENOTDIR || r == -ELOOP) return unlinkat(dir, name, 0) < 0 ? -errno : 0;
    return r;
}

bool path_is_relative(const char *path) {
    size_t n = strlen(path);
    if (!n || n >= PATH_MAX) return false;
    struct slice rest = slice_of(path), name;
    while (slice_cut(&rest, '/', &name))
        if (!name.n || name.n > NAME_MAX || slice_is(name, ".") || slice_is(name, ".."))
            return false;
    return true;
}

bool path_is_absolute(const char *path) {
    size_t n = strlen(path);
    if (path[0] != '/' || n >= PATH_MAX) return false;
    struct slice rest = slice_of(path), name;
    while (slice_cut(&rest, '/', &name))
        if (name.n > NAME_MAX || slice_is(name, "..")) return false;
    return true;
}
