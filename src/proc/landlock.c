/* Landlock: the paths of the authority table become a rule set that the kernel enforces. */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "base/slice.h"
#include "proc/sandbox.h"

/* The kernel's interface, spelled out: headers of the build machine may be older than the kernel
 * (Documentation/userspace-api/landlock.rst). */
struct ruleset {
    uint64_t fs, net, scoped;
};
struct net_rule {
    uint64_t access, port;
};
enum {
    FS_EXECUTE = 1 << 0,
    FS_WRITE_FILE = 1 << 1,
    FS_READ_FILE = 1 << 2,
    FS_READ_DIR = 1 << 3,
    FS_TRUNCATE = 1 << 14,
    FS_FILE_RIGHTS = FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE,
    FS_MAKE_CHAR = 1 << 6,
    FS_MAKE_BLOCK = 1 << 11,
    NET_BIND_TCP = 1 << 0,
    NET_CONNECT_TCP = 1 << 1,
    SCOPE_ALL = 3
};

/* All file rights that an ABI version knows. */
static uint64_t fs_rights(long abi) {
    if (abi >= 5) return (1u << 16) - 1; /* device ioctls */
    if (abi >= 3) return (1u << 15) - 1; /* truncate */
    if (abi >= 2) return (1u << 14) - 1; /* refer: links and renames between directories */
    return (1u << 13) - 1;
}

static uint64_t path_rights(unsigned access) {
    uint64_t rights = 0;
    if (access & PATH_READ) rights |= FS_READ_FILE | FS_READ_DIR;
    if (access & PATH_EXECUTE) rights |= FS_EXECUTE;
    if (access & PATH_WRITE)
        rights |= ((1u << 15) - 1) & ~(uint64_t)(FS_EXECUTE | FS_READ_FILE | FS_READ_DIR |
                                                 FS_MAKE_CHAR | FS_MAKE_BLOCK);
    if (access & PATH_WHITEOUT) rights |= FS_MAKE_CHAR;
    return rights;
}

static int add_path(int ruleset, const struct authority_path *p, const struct sandbox_options *o,
                    uint64_t handled, struct err *err) {
    char path[4200];
    if (str_eq(p->path, "%config"))
        snprintf(path, sizeof path, "%s", str_or(o->config, "/nonexistent"));
    else if (p->path[0] == '@')
        snprintf(path, sizeof path, "%s%s", o->root, p->path + 1);
    else
        snprintf(path, sizeof path, "%s", str_eq(p->path, "%exe") ? "/proc/self/exe" : p->path);
    OWN(close_p) int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0) return 0; /* what does not exist needs no right */
    struct stat st;
    if (fstat(fd, &st) < 0) return err_errno(err, errno, "%s", path);
    uint64_t rights = path_rights(p->access) & handled;
    if (!S_ISDIR(st.st_mode)) rights &= FS_FILE_RIGHTS;
    struct landlock_path_beneath_attr rule = {.allowed_access = rights, .parent_fd = fd};
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
        return err_errno(err, errno, "Landlock rule for %s", path);
    return 0;
}

int landlock_apply(const struct authority *row, const struct sandbox_options *o, struct err *err) {
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 0) { /* user, capabilities and seccomp still hold */
        log_warn("landlock_absent", "errno=%d", errno);
        return 0;
    }
    struct ruleset r = {.fs = fs_rights(abi)};
    size_t size = sizeof r.fs;
    if (abi >= 4) {
        size = offsetof(struct ruleset, scoped);
        r.net = (row->tcp & TCP_BIND ? 0 : NET_BIND_TCP) |
                (row->tcp & TCP_CONNECT ? 0 : NET_CONNECT_TCP);
    }
    if (abi >= 6) {
        size = sizeof r;
        r.scoped = SCOPE_ALL; /* no abstract sockets, no signals out of the sandbox */
    }
    OWN(close_p) int ruleset = (int)syscall(SYS_landlock_create_ruleset, &r, size, 0);
    if (ruleset < 0) return err_errno(err, errno, "Landlock ruleset");
    for (size_t i = 0; i < AUTHORITY_LIST_MAX && row->paths[i].path; i++) {
        int e = add_path(ruleset, &row->paths[i], o, r.fs, err);
        if (e < 0) return e;
    }
    /* Needed by Landlock without CAP_SYS_ADMIN; the service gets it in any case. */
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return err_errno(err, errno, "no_new_privs");
    if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        return err_errno(err, errno, "Landlock");
    return 0;
}
