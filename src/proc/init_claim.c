/* The ground init stands on: directories with their owners, and the lock of the root. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "base/slice.h"
#include "proc/authority.h"
#include "proc/init.h"

enum { PATH_BYTES = 4200 };

static int make_dir(const char *root, const char *below, unsigned mode, uid_t owner,
                    struct err *err) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", root, below);
    if (mkdir(path, mode) < 0 && errno != EEXIST) return err_errno(err, errno, "%s", path);
    OWN(close_p) int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return err_errno(err, errno, "%s", path);
    if (fchown(fd, owner, owner) < 0 || fchmod(fd, mode) < 0)
        return err_errno(err, errno, "%s", path);
    return 0;
}

/* Directories shared with the rest of a system (root "/") keep their owner and mode. */
static int make_parent(const char *root, const char *below, struct err *err) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", root, below);
    if (mkdir(path, 0755) < 0 && errno != EEXIST) return err_errno(err, errno, "%s", path);
    return 0;
}

static int make_dirs(const char *root, struct err *err) {
    static const char *const parents[] = {"run", "var", "var/lib", "var/log", "etc"};
    static const struct {
        const char *below;
        unsigned mode;
    } own[] = {{"run/atoll", 0711},     {"run/atoll/mnt", 0700}, {"run/atoll/pods", 0711},
               {"var/lib/atoll", 0711}, {"var/log/atoll", 0711}, {"var/log/atoll/pods", 0711},
               {"etc/atoll", 0755}};
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(parents); i++)
        r = make_parent(root, parents[i], err);
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(own); i++)
        r = make_dir(root, own[i].below, own[i].mode, 0, err);
    for (size_t i = 0; r == 0 && i < authority_count; i++) {
        const struct authority *row = &authority_table[i];
        char below[64];
        if (!row->state_dir) continue;
        snprintf(below, sizeof below, "var/lib/atoll/%s", row->state_dir);
        r = make_dir(root, below, row->state_mode, row->state_of_root ? 0 : row->uid, err);
    }
    /* Read by broker and node too, so it exists before the Landlock rules are made. */
    if (r == 0) r = make_dir(root, "var/lib/atoll/image/layers", 0755, service_uid("image"), err);
    return r;
}

bool init_has_state(const char *root) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/var/lib/atoll/store", root);
    return access(path, F_OK) == 0;
}

/* The lock is held as long as the process lives; the file tells the pid. Never closed. */
static int lock_file(const char *root, int *ret_fd) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/run/atoll/init.pid", root);
    OWN(close_p) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) return -errno;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int init_running(const char *root) {
    char path[PATH_BYTES], text[32] = "";
    uint64_t pid = 0;
    snprintf(path, sizeof path, "%s/run/atoll/init.pid", root);
    OWN(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK) return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    if (n <= 0 || slice_u64(slice_trim(slice_from(text, (size_t)n)), &pid) < 0) return -1;
    return (int)pid;
}

static int claim(const char *root, struct err *err) {
    int fd, r = make_dirs(root, err);
    if (r < 0) return r;
    r = lock_file(root, &fd);
    if (r == -EWOULDBLOCK)
        return err_set(err, ERR_CONFLICT, "already running (pid %d) under %s", init_running(root),
                       *root ? root : "/");
    if (r < 0) return err_errno(err, -r, "%s/run/atoll/init.pid", root);
    if (ftruncate(fd, 0) < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
        return err_errno(err, errno, "%s/run/atoll/init.pid", root);
    return 0;
}

int init_claim(const char *root, struct err *err) {
    int r = claim(root, err);
    if (r == -ENOSPC || r == -EROFS || r == -EDQUOT) {
        char cause[1024];
        snprintf(cause, sizeof cause, "%s", err ? err->text : "");
        err_set(err, ERR_INTERNAL, "%.900s: free some space there, or choose another --root",
                cause);
    }
    return r;
}
