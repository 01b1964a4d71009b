#include "image/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/own.h"
#include "image/archive_dl.h"
#include "image/digest.h"
#include "proc/child.h"
#include "proc/sandbox.h"

struct unpacker {
    const struct archive_library *lib;
    struct archive *outer, *tar; /* outer: decompression only; tar reads from it */
    struct digest *digest;
    enum unpack_mode mode;
    int root;
    uint64_t bytes, files;
    struct err *err;
    char block[65536];
};

/* ---- paths ---- */

static int open_beneath(int dir, const char *path, uint64_t flags) {
    /* IN_ROOT: links of the layer are followed, but never out of it. */
    struct open_how how = {.flags = flags | O_CLOEXEC,
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    return (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
}

/* Splits "a/b/c" into the directory (opened, made when missing) and the last name. Refuses "..",
 * depth and length beyond the limits. */
static int open_parent(struct unpacker *u, const char *path, int *ret_dir, char name[256]) {
    char parent[LIMIT_IMAGE_PATH_BYTES] = "";
    size_t used = 0, depth = 0;
    struct slice rest = slice_of(path), part, last = {0};
    if (rest.n >= sizeof parent)
        return err_set(u->err, ERR_INVALID, "a path is longer than %d bytes",
                       LIMIT_IMAGE_PATH_BYTES);
    OWN(close_p) int dir = dup(u->root);
    while (slice_cut(&rest, '/', &part)) {
        if (!part.n || slice_is(part, ".")) continue;
        if (slice_is(part, "..") || part.n > 255 || ++depth > LIMIT_IMAGE_DEPTH)
            return err_set(u->err, ERR_INVALID, "the path \"%.200s\" is not allowed in an archive",
                           path);
        if (last.n) {
            used += (size_t)snprintf(parent + used, sizeof parent - used, "%s%.*s", used ? "/" : "",
                                     (int)last.n, last.p);
            int next = open_beneath(u->root, parent, O_PATH | O_DIRECTORY);
            if (next < 0 && errno == ENOENT) {
                char one[256];
                snprintf(one, sizeof one, "%.*s", (int)last.n, last.p);
                if (mkdirat(dir, one, 0755) == 0)
                    next = open_beneath(u->root, parent, O_PATH | O_DIRECTORY);
            }
            if (next < 0) return err_errno(u->err, errno, "\"%.200s\"", parent);
            close(dir);
            dir = next;
        }
        last = part;
    }
    snprintf(name, 256, "%.*s", (int)last.n, last.p);
    *ret_dir = TAKE_FD(dir);
    return 0;
}

/* ---- one entry ---- */

static int write_file(struct unpacker *u, int dir, const char *name) {
    OWN(close_p)
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) return err_errno(u->err, errno, "making \"%s\"", name);
    for (;;) {
        la_ssize_t n = u->lib->archive_read_data_p(u->tar, u->block, sizeof u->block);
        if (n == 0) return 0;
        if (n < 0)
            return err_set(u->err, ERR_INVALID, "the archive is damaged: %s",
                           str_or(u->lib->archive_error_string_p(u->tar), "?"));
        u->bytes += (uint64_t)n;
        if (u->bytes > LIMIT_IMAGE_UNPACKED_BYTES)
            return err_set(u->err, ERR_TOO_LARGE, "the archive unpacks to more than 16 GiB");
        for (la_ssize_t done = 0; done < n;) {
            ssize_t w = write(fd, u->block + done, (size_t)(n - done));
            if (w < 0) return err_errno(u->err, errno, "writing \"%s\"", name);
            done += w;
        }
    }
}

static int hard_link(struct unpacker *u, struct archive_entry *e, int dir, const char *name) {
    const char *target = u->lib->archive_entry_hardlink_p(e);
    char target_name[256];
    OWN(close_p) int target_dir = -1;
    int r = open_parent(u, target, &target_dir, target_name);
    if (r < 0) return r;
    struct stat st;
    if (fstatat(target_dir, target_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISDIR(st.st_mode))
        return err_set(u->err, ERR_INVALID,
                       "a hard link points to \"%.200s\", which is not in the layer", target);
    if (linkat(target_dir, target_name, dir, name, 0) < 0)
        return err_errno(u->err, errno, "linking \"%s\"", name);
    return 0;
}

static int set_attributes(struct unpacker *u, struct archive_entry *e, int dir, const char *name,
                          mode_t type) {
    const struct archive_library *l = u->lib;
    struct timespec times[2] = {
        {.tv_sec = l->archive_entry_mtime_p(e), .tv_nsec = l->archive_entry_mtime_nsec_p(e)}};
    times[1] = times[0];
    if (fchownat(dir, name, (uid_t)l->archive_entry_uid_p(e), (gid_t)l->archive_entry_gid_p(e),
                 AT_SYMLINK_NOFOLLOW) < 0)
        return err_errno(u->err, errno, "owner of \"%s\"", name);
    /* After the owner, which clears set-uid bits. */
    if (type != AE_IFLNK && fchmodat(dir, name, l->archive_entry_perm_p(e), 0) < 0)
        return err_errno(u->err, errno, "mode of \"%s\"", name);
    const char *key;
    const void *value;
    size_t n;
    l->archive_entry_xattr_reset_p(e);
    while (type == AE_IFREG && l->archive_entry_xattr_next_p(e, &key, &value, &n) == ARCHIVE_OK) {
        if (!str_eq(key, "security.capability") &&
            !(str_starts(key, "user.") && !str_starts(key, "user.overlay.")))
            continue;
        OWN(close_p) int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0 || fsetxattr(fd, key, value, n, 0) < 0)
            return err_errno(u->err, errno, "attribute %.60s of \"%s\"", key, name);
    }
    utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW);
    return 0;
}

/* OCI layers mark removals with .wh. files; overlayfs with a character device 0/0 and an attribute.
 * Returns 1 when it was one. */
static int whiteout(struct unpacker *u, int dir, const char *name) {
    if (!str_starts(name, ".wh.")) return 0;
    if (strcmp(name, ".wh..wh..opq") == 0) {
        OWN(close_p) int fd = open_beneath(dir, ".", O_RDONLY | O_DIRECTORY);
        if (fd < 0 || fsetxattr(fd, "user.overlay.opaque", "y", 1, 0) < 0)
            return err_errno(u->err, errno, "opaque directory");
        return 1;
    }
    const char *gone = name + 4;
    if (!*gone || strcmp(gone, ".") == 0 || strcmp(gone, "..") == 0)
        return err_set(u->err, ERR_INVALID, "a whiteout has no name");
    if (mknodat(dir, gone, S_IFCHR, makedev(0, 0)) < 0 && errno != EEXIST)
        return err_errno(u->err, errno, "whiteout of \"%s\"", gone);
    return 1;
}

/* A later entry of the same name replaces the earlier one; directories stay. */
static int make_room(struct unpacker *u, int dir, const char *name, mode_t type) {
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return 0;
    if (S_ISDIR(st.st_mode) && type == AE_IFDIR) return 0;
    if (unlinkat(dir, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) < 0)
        return err_errno(u->err, errno, "replacing \"%s\"", name);
    return 0;
}

static int make_node(struct unpacker *u, struct archive_entry *e, int dir, const char *name,
                     mode_t type) {
    switch (type) {
    case AE_IFREG: return write_file(u, dir, name);
    case AE_IFDIR:
        return mkdirat(dir, name, 0755) < 0 && errno != EEXIST
                   ? err_errno(u->err, errno, "making \"%s\"", name)
                   : 0;
    case AE_IFLNK:
        return symlinkat(u->lib->archive_entry_symlink_p(e), dir, name) < 0
                   ? err_errno(u->err, errno, "linking \"%s\"", name)
                   : 0;
    case AE_IFIFO:
        return mknodat(dir, name, S_IFIFO | 0600, 0) < 0
                   ? err_errno(u->err, errno, "making \"%s\"", name)
                   : 0;
    default: return 1; /* devices and sockets are left out */
    }
}

static int one_entry(struct unpacker *u, struct archive_entry *e) {
    const char *path = u->lib->archive_entry_pathname_p(e);
    mode_t type = u->lib->archive_entry_filetype_p(e);
    bool link = u->lib->archive_entry_hardlink_p(e);
    char name[256];
    OWN(close_p) int dir = -1;
    if (++u->files > LIMIT_IMAGE_FILES)
        return err_set(u->err, ERR_TOO_LARGE, "the archive holds more than %d files",
                       LIMIT_IMAGE_FILES);
    if (!path) return err_set(u->err, ERR_INVALID, "the archive holds an entry without a name");
    if (u->mode == UNPACK_PLAIN && (link || (type != AE_IFREG && type != AE_IFDIR))) return 0;
    int r = open_parent(u, path, &dir, name);
    if (r < 0) return r;
    if (!*name) { /* the top directory itself */
        return u->mode == UNPACK_LAYER && fchmod(u->root, u->lib->archive_entry_perm_p(e)) < 0
                   ? err_errno(u->err, errno, "mode of /")
                   : 0;
    }
    if (u->mode == UNPACK_LAYER) r = whiteout(u, dir, name);
    if (r != 0) return r < 0 ? r : 0;
    r = make_room(u, dir, name, link ? AE_IFREG : type);
    if (r < 0) return r;
    if (link) return hard_link(u, e, dir, name);
    r = make_node(u, e, dir, name, type);
    if (r != 0) return r < 0 ? r : 0;
    return u->mode == UNPACK_LAYER ? set_attributes(u, e, dir, name, type) : 0;
}

/* ---- the archive ---- */

static la_ssize_t read_block(struct archive *a, void *user, const void **ret) {
    static char block[65536];
    struct unpacker *u = user;
    (void)a;
    la_ssize_t n = u->lib->archive_read_data_p(u->outer, block, sizeof block);
    if (n > 0) digest_add(u->digest, slice_from(block, (size_t)n));
    *ret = block;
    return n < 0 ? ARCHIVE_FATAL : n;
}

static int damaged(struct unpacker *u, struct archive *a) {
    return err_set(u->err, ERR_INVALID, "the archive is damaged: %.200s",
                   str_or(u->lib->archive_error_string_p(a), "unknown format"));
}

static int open_archives(struct unpacker *u, int fd) {
    const struct archive_library *l = u->lib;
    struct archive_entry *e;
    u->outer = l->archive_read_new_p();
    u->tar = l->archive_read_new_p();
    if (!u->outer || !u->tar) abort();
    l->archive_read_support_filter_all_p(u->outer);
    l->archive_read_support_format_raw_p(u->outer);
    l->archive_read_support_format_empty_p(u->outer);
    l->archive_read_support_format_tar_p(u->tar);
    l->archive_read_support_format_empty_p(u->tar);
    if (l->archive_read_open_fd_p(u->outer, fd, 65536) != ARCHIVE_OK) return damaged(u, u->outer);
    int r = l->archive_read_next_header_p(u->outer, &e);
    if (r != ARCHIVE_OK && r != ARCHIVE_EOF) return damaged(u, u->outer);
    if (l->archive_read_open_p(u->tar, u, NULL, read_block, NULL) != ARCHIVE_OK)
        return damaged(u, u->tar);
    return 0;
}

static int unpack_all(struct unpacker *u, int fd, struct unpack_result *ret) {
    struct archive_entry *e;
    u->digest = digest_new();
    int r = open_archives(u, fd), got;
    while (r == 0 && (got = u->lib->archive_read_next_header_p(u->tar, &e)) != ARCHIVE_EOF) {
        if (got != ARCHIVE_OK && got != ARCHIVE_WARN)
            r = damaged(u, u->tar);
        else
            r = one_entry(u, e);
    }
    const void *rest;
    la_ssize_t n;
    /* What follows the end mark belongs to the digest too. */
    while (r == 0 && (n = read_block(u->tar, u, &rest)) != 0)
        if (n < 0) r = damaged(u, u->outer);
    digest_end(u->digest, ret->diff_id);
    ret->bytes = u->bytes;
    return r;
}

/* ---- the child ---- */

struct verdict { /* over the pipe; both ends are this program */
    int result;
    struct unpack_result ok;
    struct err err;
};

static int confine(const char *root, const char *dir, struct err *err) {
    const struct authority row = {.name = "unpack",
                                  .paths = {{dir, PATH_READ | PATH_WRITE | PATH_WHITEOUT}}};
    int r = landlock_apply(&row, &(struct sandbox_options){.root = root}, err);
    if (r < 0) return r;
    return seccomp_apply(CALLS_BASE | CALLS_FILES_WRITE | CALLS_UNPACK, false, err);
}

static void child(const char *root, const char *dir, int fd, enum unpack_mode mode, int out) {
    static struct unpacker u;
    struct verdict v = {0};
    u.err = &v.err;
    u.mode = mode;
    v.result = archive_library_load(&u.lib, &v.err);
    if (v.result == 0) {
        u.root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (u.root < 0 || lseek(fd, 0, SEEK_SET) < 0)
            v.result = err_errno(&v.err, errno, "opening %s", dir);
    }
    if (v.result == 0) v.result = confine(root, dir, &v.err);
    umask(0);
    if (v.result == 0) v.result = unpack_all(&u, fd, &v.ok);
    ssize_t n = write(out, &v, sizeof v);
    _exit(n == (ssize_t)sizeof v ? 0 : 1);
}

int unpack_run(const char *root, const char *dir, int archive_fd, enum unpack_mode mode,
               struct unpack_result *ret, struct err *err) {
    int pipe_fds[2], status = 0;
    struct verdict v;
    if (pipe2(pipe_fds, O_CLOEXEC) < 0) return err_errno(err, errno, "pipe");
    pid_t pid = child_fork();
    if (pid == 0) child(root, dir, archive_fd, mode, pipe_fds[1]);
    close(pipe_fds[1]);
    OWN(close_p) int in = pipe_fds[0];
    if (pid < 0) return err_errno(err, errno, "starting an unpacker");
    ssize_t n = read(in, &v, sizeof v);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (n != (ssize_t)sizeof v)
        return err_set(err, ERR_INVALID,
                       "the unpacker died (%s %d): the archive is not trustworthy",
                       WIFSIGNALED(status) ? "signal" : "exit",
                       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    if (v.result < 0) {
        v.err.text[sizeof v.err.text - 1] = v.err.field[sizeof v.err.field - 1] = 0;
        if (v.err.reason >= ERR_REASON_COUNT) v.err.reason = ERR_INTERNAL;
        if (err) *err = v.err;
        return v.result;
    }
    *ret = v.ok;
    ret->diff_id[sizeof ret->diff_id - 1] = 0;
    return 0;
}
