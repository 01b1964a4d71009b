/*
 * System call filters: everything not listed for a service's profiles kills it. A few calls that
 * libraries merely try (clone3, open without a file profile, …) fail instead of killing.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "proc/sandbox.h"

#define C(name) SCMP_SYS(name)

static const int base_calls[] = {
    C(read),
    C(readv),
    C(write),
    C(writev),
    C(pread64),
    C(preadv),
    C(pwrite64),
    C(pwritev),
    C(close),
    C(close_range),
    C(lseek),
    C(fstat),
    C(dup),
    C(dup2),
    C(dup3),
    C(fcntl),
    C(pipe),
    C(pipe2),
    C(munmap),
    C(mremap),
    C(madvise),
    C(brk),
    C(rt_sigaction),
    C(rt_sigprocmask),
    C(rt_sigreturn),
    C(rt_sigsuspend),
    C(rt_sigtimedwait),
    C(sigaltstack),
    C(epoll_create1),
    C(epoll_ctl),
    C(epoll_wait),
    C(epoll_pwait),
    C(epoll_pwait2),
    C(eventfd2),
    C(timerfd_create),
    C(timerfd_settime),
    C(timerfd_gettime),
    C(signalfd4),
    C(poll),
    C(ppoll),
    C(select),
    C(pselect6),
    C(clock_gettime),
    C(clock_getres),
    C(clock_nanosleep),
    C(nanosleep),
    C(gettimeofday),
    C(time),
    C(getpid),
    C(gettid),
    C(getppid),
    C(getuid),
    C(geteuid),
    C(getgid),
    C(getegid),
    C(getresuid),
    C(getresgid),
    C(getgroups),
    C(getrandom),
    C(futex),
    C(futex_waitv),
    C(sched_yield),
    C(sched_getaffinity),
    C(getcpu),
    C(exit),
    C(exit_group),
    C(restart_syscall),
    C(rseq),
    C(set_robust_list),
    C(set_tid_address),
    C(membarrier),
    C(sendmsg),
    C(sendmmsg),
    C(recvmsg),
    C(recvmmsg),
    C(sendto),
    C(recvfrom),
    C(accept),
    C(accept4),
    C(shutdown),
    C(getsockopt),
    C(setsockopt),
    C(getsockname),
    C(getpeername),
    C(socketpair),
    C(uname),
    C(sysinfo),
    C(getrlimit),
    C(tgkill),
    C(memfd_create),
    C(getrusage),
    C(fadvise64),
    C(splice),
    C(tee),
    C(sendfile),
    C(ftruncate),
    C(mlock),
    C(mlock2),
    C(munlock),
    C(times),
    C(getcwd),
    C(umask),
};

static const int connect_calls[] = {C(connect), C(bind)};

static const int read_calls[] = {
    C(open),
    C(openat),
    C(openat2),
    C(stat),
    C(lstat),
    C(statx),
    C(access),
    C(faccessat),
    C(faccessat2),
    C(readlink),
    C(readlinkat),
    C(getdents),
    C(getdents64),
    C(statfs),
    C(fstatfs),
    C(chdir),
    C(fchdir),
    C(getxattr),
    C(lgetxattr),
    C(fgetxattr),
    C(flock),
    C(inotify_init1),
    C(inotify_add_watch),
    C(inotify_rm_watch),
};

static const int write_calls[] = {
    C(creat),           C(truncate),     C(fsync),      C(fdatasync),  C(sync_file_range),
    C(syncfs),          C(rename),       C(renameat),   C(renameat2),  C(unlink),
    C(unlinkat),        C(mkdir),        C(mkdirat),    C(rmdir),      C(link),
    C(linkat),          C(symlink),      C(symlinkat),  C(fallocate),  C(chmod),
    C(fchmod),          C(fchmodat),     C(fchown),     C(chown),      C(lchown),
    C(fchownat),        C(utime),        C(utimes),     C(utimensat),  C(futimesat),
    C(copy_file_range), C(msync),        C(mincore),    C(setxattr),   C(lsetxattr),
    C(fsetxattr),       C(listxattr),    C(llistxattr), C(flistxattr), C(removexattr),
    C(lremovexattr),    C(fremovexattr),
};

static const int inet_calls[] = {C(connect), C(bind), C(listen)};
static const int netlink_calls[] = {C(bind), C(connect)};
static const int thread_calls[] = {C(mmap), C(mprotect), C(sched_setaffinity), C(sched_getparam),
                                   C(sched_getscheduler)};

/* What a child that unpacks an archive in namespaces of its own needs: it inherits this filter. */
static const int spawn_calls[] = {
    C(clone),
    C(fork),
    C(vfork),
    C(execve),
    C(execveat),
    C(wait4),
    C(waitid),
    C(kill),
    C(pidfd_open),
    C(pidfd_send_signal),
    C(unshare),
    C(setpgid),
    C(setsid),
    C(setuid),
    C(setgid),
    C(setresuid),
    C(setresgid),
    C(setgroups),
    C(capget),
    C(capset),
    C(seccomp),
    C(landlock_create_ruleset),
    C(landlock_add_rule),
    C(landlock_restrict_self),
    C(prctl),
    C(chroot),
    C(mknod),
    C(mknodat),
    C(arch_prctl),
    C(mmap),
    C(mprotect),
    C(setrlimit),
    C(prlimit64),
    C(getpgrp),
    C(getpgid),
    C(ioctl),
    C(setfsuid),
    C(setfsgid),
};

static const int unpack_calls[] = {C(mknod), C(mknodat)};

static const struct {
    unsigned profile; /* any of these bits */
    const int *calls;
    size_t n;
} groups[] = {
    {~0u, base_calls, ARRAY_LEN(base_calls)},
    {CALLS_CONNECT, connect_calls, ARRAY_LEN(connect_calls)},
    {CALLS_FILES_READ | CALLS_FILES_WRITE, read_calls, ARRAY_LEN(read_calls)},
    {CALLS_FILES_WRITE, write_calls, ARRAY_LEN(write_calls)},
    {CALLS_INET, inet_calls, ARRAY_LEN(inet_calls)},
    {CALLS_NETLINK, netlink_calls, ARRAY_LEN(netlink_calls)},
    {CALLS_THREADS, thread_calls, ARRAY_LEN(thread_calls)},
    {CALLS_SPAWN, spawn_calls, ARRAY_LEN(spawn_calls)},
    {CALLS_UNPACK, unpack_calls, ARRAY_LEN(unpack_calls)},
};

/* Tried by libraries that live well without; they fail with an error unless a profile has them. */
static const struct {
    int call, error;
} refused[] = {
    {C(clone3), ENOSYS},     {C(openat), EACCES},
    {C(open), EACCES},       {C(openat2), EACCES},
    {C(access), EACCES},     {C(faccessat), EACCES},
    {C(faccessat2), EACCES}, {C(stat), EACCES},
    {C(lstat), EACCES},      {C(statx), ENOSYS},
    {C(readlink), EACCES},   {C(readlinkat), EACCES},
    {C(statfs), EACCES},     {C(sched_setaffinity), EPERM},
    {C(setpriority), EPERM}, {C(getpriority), EPERM},
};

static const struct {
    unsigned profile;
    int family;
} families[] = {
    {CALLS_CONNECT, AF_UNIX},
    {CALLS_INET, AF_INET},
    {CALLS_INET, AF_INET6},
    {CALLS_NETLINK, AF_NETLINK},
};

static int allow(scmp_filter_ctx f, int call) {
    return seccomp_rule_add(f, SCMP_ACT_ALLOW, call, 0);
}

/* Calls that are allowed only with certain arguments. */
static int add_conditional(scmp_filter_ctx f, unsigned calls) {
    static const unsigned long controls[] = {FIONREAD, FIONBIO, FIOCLEX,
                                             FIONCLEX, TCGETS,  TIOCGWINSZ};
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(controls) && !(calls & CALLS_SPAWN); i++)
        r = seccomp_rule_add(f, SCMP_ACT_ALLOW, C(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, controls[i]));
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(families); i++)
        if (calls & families[i].profile)
            r = seccomp_rule_add(f, SCMP_ACT_ALLOW, C(socket), 1,
                                 SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i].family));
    if (r == 0 && !(calls & (CALLS_THREADS | CALLS_SPAWN))) { /* never map code */
        r = seccomp_rule_add(f, SCMP_ACT_ALLOW, C(mmap), 1,
                             SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
        if (r == 0)
            r = seccomp_rule_add(f, SCMP_ACT_ALLOW, C(mprotect), 1,
                                 SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    }
    if (r == 0 && (calls & CALLS_THREADS) && !(calls & CALLS_SPAWN))
        r = seccomp_rule_add(f, SCMP_ACT_ALLOW, C(clone), 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    if (r == 0 && !(calls & CALLS_SPAWN)) {
        r = seccomp_rule_add(f, SCMP_ACT_ALLOW, C(prctl), 1, SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
        if (r == 0) /* reading one's own limits, never changing them */
            r = seccomp_rule_add(f, SCMP_ACT_ALLOW, C(prlimit64), 2, SCMP_A0(SCMP_CMP_EQ, 0),
                                 SCMP_A2(SCMP_CMP_EQ, 0));
    }
    if (r == 0 && (calls & (CALLS_FILES_READ | CALLS_FILES_WRITE))) return allow(f, C(newfstatat));
    if (r == 0) /* glibc's fstat */
        r = seccomp_rule_add(f, SCMP_ACT_ALLOW, C(newfstatat), 1,
                             SCMP_A3(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH));
    return r;
}

static bool has_call(unsigned calls, int call) {
    for (size_t g = 0; g < ARRAY_LEN(groups); g++)
        for (size_t i = 0; (groups[g].profile & calls) && i < groups[g].n; i++)
            if (groups[g].calls[i] == call) return true;
    return false;
}

static int filter_fill(scmp_filter_ctx f, unsigned calls) {
    for (size_t g = 0; g < ARRAY_LEN(groups); g++)
        for (size_t i = 0; (groups[g].profile & calls) && i < groups[g].n; i++) {
            int r = allow(f, groups[g].calls[i]);
            if (r < 0 && r != -EEXIST) return r;
        }
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        if (has_call(calls, refused[i].call)) continue;
        int r = seccomp_rule_add(f, SCMP_ACT_ERRNO((uint16_t)refused[i].error), refused[i].call, 0);
        if (r < 0 && r != -EEXIST) return r;
    }
    return add_conditional(f, calls);
}

/* Debugging: name the call, let it fail with EPERM. */
static void on_forbidden(int signum, siginfo_t *info, void *context) {
    char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, info->si_syscall);
    log_error("forbidden_call", "call=%s number=%d", name ? name : "?", info->si_syscall);
    free(name);
#ifdef __x86_64__
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = -EPERM;
#else
    (void)context;
    _exit(1);
#endif
}

static void filter_free(scmp_filter_ctx *f) {
    if (*f) seccomp_release(*f);
}

int seccomp_apply(unsigned calls, bool report_forbidden, struct err *err) {
    OWN(filter_free)
    scmp_filter_ctx f = seccomp_init(report_forbidden ? SCMP_ACT_TRAP : SCMP_ACT_KILL_PROCESS);
    if (!f) return err_set(err, ERR_INTERNAL, "seccomp: no filter");
    if (report_forbidden) {
        struct sigaction sa = {.sa_sigaction = on_forbidden, .sa_flags = SA_SIGINFO | SA_NODEFER};
        sigaction(SIGSYS, &sa, NULL);
    }
    seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree: ~8 steps per call */
    int r = filter_fill(f, calls);
    if (r == 0) r = seccomp_load(f);
    if (r < 0) return err_errno(err, -r, "seccomp filter");
    return 0;
}
