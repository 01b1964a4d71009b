/* Mounts of containers: the root file system, and where each volume's bytes come from. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/own.h"
#include "broker/broker_internal.h"
#include "broker/local_volume.h"
#include "broker/paths.h"
#include "proto/oci.h"

/* ---- root file system ---- */

static int overlay_new(struct broker *b, const struct broker_container *c, int fs,
                       const char *upper, const char *work) {
    int r = 0;
    for (uint32_t i = c->n_layers; i-- > 0 && r >= 0;) { /* highest first */
        char lower[PATH_MAX];
        snprintf(lower, sizeof lower, "%s/%s", b->layers_path, c->layers[i]);
        r = fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir+", lower, 0);
    }
    if (r >= 0) r = fsconfig(fs, FSCONFIG_SET_STRING, "upperdir", upper, 0);
    if (r >= 0) r = fsconfig(fs, FSCONFIG_SET_STRING, "workdir", work, 0);
    /* No sync at the end: what a dead container wrote outside its volumes is nobody's. */
    if (r >= 0) r = fsconfig(fs, FSCONFIG_SET_FLAG, "volatile", NULL, 0);
    /* The image service unpacks without CAP_SYS_ADMIN: opaque directories are marked in user.*. */
    if (r >= 0) r = fsconfig(fs, FSCONFIG_SET_FLAG, "userxattr", NULL, 0);
    return r >= 0 ? fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) : r;
}

/* Kernels before 6.8 have no lowerdir+: one option string of at most a page, with names relative to
 * the layers' directory. */
static int overlay_old(struct broker *b, const struct broker_container *c, const char *upper,
                       const char *work, const char *merged, struct err *err) {
    OWN(buf_done) struct buf o = {0};
    buf_str(&o, "volatile,userxattr,lowerdir=");
    for (uint32_t i = c->n_layers; i-- > 0;) buf_printf(&o, "%s%s", c->layers[i], i ? ":" : "");
    buf_printf(&o, ",upperdir=%s,workdir=%s", upper, work);
    if (o.n >= 4096)
        return err_set(err, ERR_INVALID, "the image has too many layers (%u) for this kernel",
                       c->n_layers);
    OWN(close_p) int was = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (was < 0 || fchdir(b->layers_fd) < 0) return err_errno(err, errno, "cannot enter layers");
    int r = mount("overlay", merged, "overlay", 0, o.p) < 0 ? errno : 0;
    if (fchdir(was) < 0) return err_errno(err, errno, "cannot go back to the run directory");
    return r ? err_errno(err, r, "cannot mount the container's file system") : 0;
}

int rootfs_mount(struct broker *b, const char *uid, const struct broker_container *c,
                 const char *dir, struct err *err) {
    char upper[PATH_MAX], work[PATH_MAX], merged[PATH_MAX];
    snprintf(upper, sizeof upper, "%s/upper", dir);
    snprintf(work, sizeof work, "%s/work", dir);
    snprintf(merged, sizeof merged, "%s/merged", dir);
    for (uint32_t i = 0; i < c->n_layers; i++)
        if (faccessat(b->layers_fd, c->layers[i], F_OK, 0) < 0)
            return err_set(err, ERR_NOT_FOUND, "layer %s of the image is not on this node",
                           c->layers[i]);
    if (mkdir(upper, 0755) < 0 || mkdir(work, 0700) < 0 || mkdir(merged, 0755) < 0)
        return err_errno(err, errno, "cannot make the container's file system in %s", dir);
    OWN(close_p) int fs = fsopen("overlay", FSOPEN_CLOEXEC);
    if (fs < 0 || overlay_new(b, c, fs, upper, work) < 0)
        return overlay_old(b, c, upper, work, merged, err);
    OWN(close_p) int mnt = fsmount(fs, FSMOUNT_CLOEXEC, 0);
    if (mnt < 0 || move_mount(mnt, "", AT_FDCWD, merged, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return err_errno(err, errno, "cannot mount the container's file system of pod %s", uid);
    return 0;
}

/* ---- volumes ---- */

struct resolving {
    struct broker *broker;
    const struct broker_container *container;
    int bundle_fd;
    const char *bundle;
    struct arena *arena;
    uint32_t pins;
};

static int host_check(const struct broker_mount *m, struct err *err) {
    static const struct {
        const char *text;
        mode_t type;
    } checks[] = {
        [BROKER_HOST_DIRECTORY_OR_CREATE] = {"a directory", S_IFDIR},
        [BROKER_HOST_DIRECTORY] = {"a directory", S_IFDIR},
        [BROKER_HOST_FILE_OR_CREATE] = {"a file", S_IFREG},
        [BROKER_HOST_FILE] = {"a file", S_IFREG},
        [BROKER_HOST_SOCKET] = {"a socket file", S_IFSOCK},
        [BROKER_HOST_CHAR_DEVICE] = {"a character device", S_IFCHR},
        [BROKER_HOST_BLOCK_DEVICE] = {"a block device", S_IFBLK},
    };
    struct stat st;
    bool exists = stat(m->source, &st) == 0;
    bool makes_dir = m->host_type == BROKER_HOST_DIRECTORY_OR_CREATE ||
                     m->host_type == BROKER_HOST_ANY; /* as containerd does */
    if (!exists && makes_dir) {
        int r = path_make_host_dirs(m->source, 0755);
        return r ? err_errno(err, -r, "cannot make the host path %s", m->source) : 0;
    }
    if (!exists && m->host_type == BROKER_HOST_FILE_OR_CREATE) {
        OWN(close_p) int fd = open(m->source, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        return fd < 0 ? err_errno(err, errno, "cannot make the host path %s", m->source) : 0;
    }
    if (m->host_type == BROKER_HOST_ANY) return 0;
    if (!exists || (st.st_mode & S_IFMT) != checks[m->host_type].type)
        return err_set(err, ERR_INVALID, "hostPath type check failed: %s is not %s", m->source,
                       checks[m->host_type].text);
    return 0;
}

/* Binds what the descriptor refers to at a private place, whose path the runtime may resolve. */
static int pin_source(struct resolving *x, int fd, const char **ret, struct err *err) {
    struct stat st;
    if (fstat(fd, &st) < 0) return err_errno(err, errno, "cannot look at a subPath");
    OWN(close_p) int dir = path_open_dir(x->bundle_fd, "m", 0700);
    if (dir < 0) return err_errno(err, -dir, "cannot make the bundle's mount directory");
    char name[16], from[48];
    snprintf(name, sizeof name, "%u", x->pins++);
    if (S_ISDIR(st.st_mode)) {
        if (mkdirat(dir, name, 0700) < 0) return err_errno(err, errno, "cannot make m/%s", name);
    } else {
        OWN(close_p) int file = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (file < 0) return err_errno(err, errno, "cannot make m/%s", name);
    }
    snprintf(from, sizeof from, "/proc/self/fd/%d", fd);
    char *to = arena_printf(x->arena, "%s/m/%s", x->bundle, name);
    if (mount(from, to, NULL, MS_BIND | MS_REC, NULL) < 0)
        return err_errno(err, errno, "cannot bind a subPath");
    *ret = to;
    return 0;
}

static int sub_path(struct resolving *x, const struct broker_mount *m, const char *base,
                    const char **ret, struct err *err) {
    OWN(close_p) int dir = open(base, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) return err_errno(err, errno, "cannot open volume \"%s\"", m->source);
    OWN(close_p) int fd = path_open_beneath(dir, m->sub_path, O_PATH, 0);
    if (fd == -ENOENT) fd = path_make_dirs(dir, m->sub_path, 0750);
    if (fd < 0)
        return err_errno(err, -fd, "failed to prepare subPath \"%s\" for volumeMount of \"%s\"",
                         m->sub_path, m->source);
    return pin_source(x, fd, ret, err);
}

static int resolve_one(struct resolving *x, const struct broker_mount *m, struct oci_mount *ret,
                       struct err *err) {
    static const char *const propagation[] = {"rprivate", "rslave", "rshared"};
    const char *source = m->source;
    int r = 0;
    if (m->kind == BROKER_MOUNT_VOLUME) {
        source = arena_printf(x->arena, "%s/%s/volumes/%s", x->broker->state_path,
                              x->container->uid, m->source);
        if (access(source, F_OK) < 0)
            return err_set(err, ERR_NOT_FOUND, "volume \"%s\" does not exist", m->source);
    } else if (m->kind == BROKER_MOUNT_LOCAL) {
        r = local_volume_make(x->broker, m->source, err);
        source = arena_printf(x->arena, "%s/%s", x->broker->volumes_path, m->source);
    } else {
        r = host_check(m, err);
    }
    if (!r && m->sub_path[0]) r = sub_path(x, m, source, &source, err);
    if (r) return r;
    *ret = (struct oci_mount){
        .target = m->target,
        .type = "bind",
        .source = source,
        .options = arena_printf(x->arena, "rbind,%s,%s", propagation[m->propagation],
                                m->read_only ? "ro" : "rw"),
    };
    return 0;
}

static unsigned depth_of(const char *path) {
    unsigned n = 0;
    for (; *path; path++) n += path[0] == '/' && path[1] && path[1] != '/';
    return n;
}

int mounts_resolve(struct broker *b, struct pod *p, const struct broker_container *c, int bundle_fd,
                   const char *bundle, struct arena *a, struct oci_mount *ret, struct err *err) {
    struct resolving x = {b, c, bundle_fd, bundle, a, 0};
    for (uint32_t i = 0; i < c->n_mounts; i++) {
        int r = resolve_one(&x, &c->mounts[i], &ret[i], err);
        if (r) return r;
    }
    for (uint32_t i = 1; i < c->n_mounts; i++) { /* parents before what lies in them; stable */
        struct oci_mount m = ret[i];
        uint32_t at = i;
        for (; at > 0 && depth_of(ret[at - 1].target) > depth_of(m.target); at--)
            ret[at] = ret[at - 1];
        ret[at] = m;
    }
    return 0;
}

/* ---- undoing ---- */

/* mountinfo writes space, tab, newline and backslash as \ooo. */
static size_t unescape(char *s, size_t n) {
    size_t out = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '\\' && i + 3 < n) {
            s[out++] = (char)((s[i + 1] - '0') * 64 + (s[i + 2] - '0') * 8 + (s[i + 3] - '0'));
            i += 3;
        } else {
            s[out++] = s[i];
        }
    }
    s[out] = 0;
    return out;
}

void mounts_undo(const char *prefix) {
    OWN(free_p) char *text = NULL;
    size_t n = 0, n_prefix = strlen(prefix);
    OWN(close_p) int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || path_read(fd, 256 << 20, &text, &n) < 0) return;
    VEC(char *) points = {0};
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        char *word = line;
        for (int i = 0; i < 4 && word; i++) {
            word = strchr(word, ' ');
            if (word) word++;
        }
        char *stop = word ? strchr(word, ' ') : NULL;
        if (!stop) continue;
        unescape(word, (size_t)(stop - word));
        if (strncmp(word, prefix, n_prefix) == 0 && (word[n_prefix] == '/' || !word[n_prefix]))
            vec_push(&points, word);
    }
    while (points.n) { /* the latest first */
        const char *point = points.v[--points.n];
        if (umount2(point, UMOUNT_NOFOLLOW) < 0 && errno == EBUSY)
            umount2(point, UMOUNT_NOFOLLOW | MNT_DETACH);
    }
    vec_done(&points);
}
