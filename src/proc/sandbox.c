#include "proc/sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"

static int limit_set(int resource, rlim_t value, struct err *err) {
    struct rlimit now;
    if (getrlimit(resource, &now) < 0) return err_errno(err, errno, "getrlimit");
    if (now.rlim_max != RLIM_INFINITY && value > now.rlim_max) value = now.rlim_max;
    if (setrlimit(resource, &(struct rlimit){value, value}) < 0)
        return err_errno(err, errno, "setrlimit %d", resource);
    return 0;
}

static int limits_apply(const struct authority *row, struct err *err) {
    int r = limit_set(RLIMIT_CORE, 0, err);
    if (r == 0 && row->open_files) r = limit_set(RLIMIT_NOFILE, row->open_files, err);
    if (r == 0 && !row->keeps_root) r = limit_set(RLIMIT_NPROC, row->processes, err);
    if (r == 0 && row->data_mib && !row->keeps_root)
        r = limit_set(RLIMIT_DATA, (rlim_t)row->data_mib << 20, err);
    return r;
}

/* Changes the user and leaves only the row's capabilities; the bounding set is emptied. */
static int identity_apply(const struct authority *row, struct err *err) {
    capng_clear(CAPNG_SELECT_BOTH);
    for (unsigned cap = 0; cap < 64; cap++)
        if (row->capabilities >> cap & 1)
            capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, cap);
    int r =
        capng_change_id((int)row->uid, (int)row->uid, CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING);
    if (r < 0) return err_set(err, ERR_INTERNAL, "cannot become uid %u (%d)", row->uid, r);
    uid_t real, effective, saved;
    if (getresuid(&real, &effective, &saved) < 0 || real != row->uid || effective != row->uid ||
        saved != row->uid)
        return err_set(err, ERR_INTERNAL, "uid did not change to %u", row->uid);
    return 0;
}

int sandbox_apply(const struct authority *row, const struct sandbox_options *o, struct err *err) {
    umask(077);
    int r = limits_apply(row, err);
    if (r < 0) return r;
    if (!row->keeps_root) {
        r = landlock_apply(row, o, err);
        if (r == 0 && !o->keep_user) r = identity_apply(row, err);
        if (r < 0) return r;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
            return err_errno(err, errno, "no_new_privs");
    }
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) return err_errno(err, errno, "dumpable");
    if (o->parent) { /* a change of user clears this, so it comes late; init may be gone by now */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
            return err_errno(err, errno, "parent death signal");
        if (getppid() != o->parent) return err_set(err, ERR_UNAVAILABLE, "init is gone");
    }
    if (row->calls & CALLS_UNRESTRICTED) return 0;
    return seccomp_apply(row->calls, o->report_forbidden, err);
}
