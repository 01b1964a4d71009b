/* Volumes: directories and tmpfs of a pod, and the atomic replacement of their content. The content
 * may be mounted into containers while it is replaced, so every step works by descriptor and
 * follows no link. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/own.h"
#include "broker/broker_internal.h"
#include "broker/check.h"
#include "broker/paths.h"

enum { REMOVE_BUDGET = 20000 };

static int volumes_open(struct broker *b, const char *uid, struct err *err) {
    struct pod *p;
    int r = pod_get(b, uid, &p, err);
    if (r) return r;
    OWN(close_p) int pod = path_open_child(b->state_fd, uid, O_RDONLY | O_DIRECTORY, 0);
    int fd = pod < 0 ? pod : path_open_child(pod, "volumes", O_RDONLY | O_DIRECTORY, 0);
    return fd < 0 ? err_errno(err, -fd, "cannot open the pod's volumes") : fd;
}

static bool is_tmpfs(int fd) {
    struct statfs fs;
    struct stat own, parent;
    return fstatfs(fd, &fs) == 0 && fs.f_type == 0x01021994 /* TMPFS_MAGIC */ &&
           fstat(fd, &own) == 0 && fstatat(fd, "..", &parent, 0) == 0 &&
           own.st_dev != parent.st_dev;
}

static int memory_mount(const char *path, const struct broker_volume *v, struct err *err) {
    char options[64] = "mode=0755";
    if (v->size_bytes > 0)
        snprintf(options, sizeof options, "mode=0755,size=%lld", (long long)v->size_bytes);
    if (mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
        return err_errno(err, errno, "cannot mount a tmpfs for volume \"%s\"", v->name);
    return 0;
}

int request_volume(struct broker *b, struct call *call, struct slice body, struct arena *a,
                   struct err *err) {
    struct broker_volume v;
    if (broker_volume_unpack(body, a, &v) < 0)
        return err_set(err, ERR_BAD_REQUEST, "malformed volume request");
    int r = check_volume(&v, err);
    if (r) return r;
    OWN(close_p) int volumes = volumes_open(b, v.uid, err);
    if (volumes < 0) return volumes;
    OWN(close_p) int fd = path_open_dir(volumes, v.name, 0755);
    if (fd < 0) return err_errno(err, -fd, "cannot make volume \"%s\"", v.name);
    if (v.memory && !is_tmpfs(fd)) {
        r = memory_mount(arena_printf(a, "%s/%s/volumes/%s", b->state_path, v.uid, v.name), &v,
                         err);
        if (r) return r;
        close(fd);
        fd = path_open_child(volumes, v.name, O_RDONLY | O_DIRECTORY, 0);
        if (fd < 0) return err_errno(err, -fd, "cannot open volume \"%s\"", v.name);
    }
    mode_t mode = v.mode | (v.group >= 0 ? S_ISGID | 0770 : 0);
    if (fchown(fd, (uid_t)-1, v.group >= 0 ? (gid_t)v.group : (gid_t)-1) < 0 ||
        fchmod(fd, mode) < 0)
        return err_errno(err, errno, "cannot set the mode of volume \"%s\"", v.name);
    call_done(call);
    return 0;
}

/* ---- content ----
 * As upstream's AtomicWriter lays it out, since programs watch it that way:
 *   ..<time>/ the files, ..data → ..<time>, <first component> → ..data/<first component> */

static int file_write(int dir, const struct broker_file *f, int64_t group, struct err *err) {
    const char *name = strrchr(f->path, '/');
    OWN(close_p) int at = fcntl(dir, F_DUPFD_CLOEXEC, 3);
    if (name) {
        char parents[PATH_MAX];
        snprintf(parents, sizeof parents, "%.*s", (int)(name - f->path), f->path);
        close(at);
        at = path_make_dirs(dir, parents, 0755);
        name++;
    } else {
        name = f->path;
    }
    int fd = at < 0 ? at : path_open_child(at, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd < 0) return err_errno(err, -fd, "cannot write \"%s\"", f->path);
    OWN(close_p) int owned = fd;
    for (size_t done = 0; done < f->data.n;) {
        ssize_t w = write(owned, f->data.p + done, f->data.n - done);
        if (w < 0) return err_errno(err, errno, "cannot write \"%s\"", f->path);
        done += (size_t)w;
    }
    mode_t mode = f->mode | (group >= 0 ? 0440 : 0);
    if (fchown(owned, f->owner >= 0 ? (uid_t)f->owner : 0, group >= 0 ? (gid_t)group : 0) < 0 ||
        fchmod(owned, mode) < 0)
        return err_errno(err, errno, "cannot set the mode of \"%s\"", f->path);
    return 0;
}

static void first_component(const char *path, char out[NAME_MAX + 1]) {
    size_t n = strcspn(path, "/");
    memcpy(out, path, n);
    out[n] = 0;
}

static bool wanted(const struct broker_volume_write *v, const char *name) {
    for (uint32_t i = 0; i < v->n_files; i++) {
        char first[NAME_MAX + 1];
        first_component(v->files[i].path, first);
        if (str_eq(first, name)) return true;
    }
    return false;
}

static int links_make(int volume, const struct broker_volume_write *v, struct err *err) {
    for (uint32_t i = 0; i < v->n_files; i++) {
        char name[NAME_MAX + 1], to[NAME_MAX + 16];
        first_component(v->files[i].path, name);
        snprintf(to, sizeof to, "..data/%s", name);
        if (symlinkat(to, volume, name) < 0 && errno != EEXIST)
            return err_errno(err, errno, "cannot link \"%s\"", name);
    }
    return 0;
}

/* What is not in the new content: links to old names, and old ..<time> directories. */
static void stale_remove(int volume, const struct broker_volume_write *v, const char *current) {
    int again = openat(volume, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    OWN(closedir_p) DIR *d = again >= 0 ? fdopendir(again) : NULL;
    struct dirent *e;
    while (d && (e = readdir(d))) {
        if (str_eq(e->d_name, ".") || str_eq(e->d_name, "..") || str_eq(e->d_name, "..data") ||
            str_eq(e->d_name, current))
            continue;
        bool old_dir = str_starts(e->d_name, "..") && e->d_type == DT_DIR;
        char to[NAME_MAX + 16];
        ssize_t n = readlinkat(volume, e->d_name, to, sizeof to - 1);
        bool old_link = n > 7 && memcmp(to, "..data/", 7) == 0 && !wanted(v, e->d_name);
        size_t budget = REMOVE_BUDGET;
        if (old_dir || old_link) path_remove(volume, e->d_name, &budget);
    }
}

static int swap_in(int volume, const char *name, struct err *err) {
    unlinkat(volume, "..data_tmp", 0);
    if (symlinkat(name, volume, "..data_tmp") < 0 ||
        renameat(volume, "..data_tmp", volume, "..data") < 0)
        return err_errno(err, errno, "cannot put the new content in place");
    return 0;
}

static int content_write(int volume, const struct broker_volume_write *v, struct err *err) {
    struct timespec t;
    struct tm tm;
    char name[80], day[40];
    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &tm);
    strftime(day, sizeof day, "..%Y_%m_%d_%H_%M_%S", &tm);
    snprintf(name, sizeof name, "%s.%09ld", day, t.tv_nsec);
    OWN(close_p) int dir = path_open_dir(volume, name, 0755);
    if (dir < 0) return err_errno(err, -dir, "cannot make \"%s\"", name);
    int r = fchmod(dir, 0755) < 0 ? -errno : 0;
    for (uint32_t i = 0; !r && i < v->n_files; i++)
        r = file_write(dir, &v->files[i], v->group, err);
    if (!r) r = swap_in(volume, name, err);
    if (!r) {
        r = links_make(volume, v, err);
    } else { /* the old content stays */
        size_t budget = REMOVE_BUDGET;
        path_remove(volume, name, &budget);
        return r;
    }
    stale_remove(volume, v, name);
    return r;
}

int request_volume_write(struct broker *b, struct call *call, struct slice body, struct arena *a,
                         struct err *err) {
    struct broker_volume_write v;
    if (broker_volume_write_unpack(body, a, &v) < 0)
        return err_set(err, ERR_BAD_REQUEST, "malformed volume request");
    int r = check_volume_write(&v, err);
    if (r) return r;
    OWN(close_p) int volumes = volumes_open(b, v.uid, err);
    if (volumes < 0) return volumes;
    OWN(close_p) int volume = path_open_child(volumes, v.name, O_RDONLY | O_DIRECTORY, 0);
    if (volume < 0) return err_errno(err, -volume, "volume \"%s\" does not exist", v.name);
    r = content_write(volume, &v, err);
    if (!r) call_done(call);
    return r;
}
