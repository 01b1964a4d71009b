/* The RuntimeDefault seccomp profile: what containers have no business with is refused with EPERM,
 * unless a capability they were given is about it; the rest is allowed. The set follows what
 * Docker's and containerd's default profiles leave out. clone3 gets ENOSYS, because its flags
 * cannot be looked at and C libraries fall back to clone. */
#include "base/own.h"
#include "proto/oci.h"

#define CAP(n) (UINT64_C(1) << (n))
enum { CAP_NUMBER_SYS_ADMIN = 21 }; /* the others appear as numbers with their names beside them */

static const struct rule {
    uint64_t unless;   /* any of these capabilities lifts the rule */
    const char *names; /* comma separated */
} rules[] = {
    {0,
     "_sysctl,add_key,create_module,get_kernel_syms,keyctl,nfsservctl,query_module,request_key,"
     "sysfs,"
     "uselib,userfaultfd,ustat,vm86,vm86old,io_uring_setup,io_uring_enter,io_uring_register,"
     "kexec_file_load,kexec_load,vserver,afs_syscall,epoll_ctl_old,epoll_wait_old,getpmsg,putpmsg,"
     "security,tuxcall"},
    {CAP(CAP_NUMBER_SYS_ADMIN),
     "fsconfig,fsmount,fsopen,fspick,lookup_dcookie,mount,mount_setattr,move_mount,open_tree,"
     "pivot_root,quotactl,quotactl_fd,setdomainname,sethostname,setns,swapoff,swapon,umount,"
     "umount2,"
     "unshare,fanotify_init"},
    {CAP(CAP_NUMBER_SYS_ADMIN) | CAP(39) /* BPF */, "bpf"},
    {CAP(CAP_NUMBER_SYS_ADMIN) | CAP(38) /* PERFMON */, "perf_event_open"},
    {CAP(2) /* DAC_READ_SEARCH */, "open_by_handle_at"},
    {CAP(16) /* SYS_MODULE */, "delete_module,finit_module,init_module"},
    {CAP(17) /* SYS_RAWIO */, "ioperm,iopl"},
    {CAP(19) /* SYS_PTRACE */,
     "kcmp,pidfd_getfd,process_madvise,process_vm_readv,process_vm_writev"},
    {CAP(20) /* SYS_PACCT */, "acct"},
    {CAP(22) /* SYS_BOOT */, "reboot"},
    {CAP(23) /* SYS_NICE */,
     "get_mempolicy,mbind,set_mempolicy,set_mempolicy_home_node,migrate_pages,"
     "move_pages"},
    {CAP(25) /* SYS_TIME */,
     "clock_adjtime,clock_adjtime64,clock_settime,clock_settime64,settimeofday,"
     "stime"},
    {CAP(26) /* SYS_TTY_CONFIG */, "vhangup"},
    {CAP(34) /* SYSLOG */ | CAP(CAP_NUMBER_SYS_ADMIN), "syslog"},
};

static void names_write(struct buf *b, const char *list) {
    struct slice rest = slice_of(list), name;
    buf_str(b, "\"names\":[");
    for (bool first = true; slice_cut(&rest, ',', &name); first = false) {
        if (!first) buf_char(b, ',');
        buf_json_str(b, name);
    }
    buf_char(b, ']');
}

static const char *const architectures =
#if defined(__x86_64__)
    "[\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\",\"SCMP_ARCH_X32\"]";
#elif defined(__aarch64__)
    "[\"SCMP_ARCH_AARCH64\",\"SCMP_ARCH_ARM\"]";
#else
    "[]";
#endif

/* clone flags that make namespaces (linux/sched.h): cgroup, mount, UTS, IPC, user, PID, net. */
static const unsigned clone_namespace_flags[] = {
    0x02000000, 0x00020000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000,
};

void oci_seccomp_write(struct buf *b, uint64_t capabilities) {
    buf_printf(b, "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":%s,\"syscalls\":[",
               architectures);
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        if (rules[i].unless & capabilities) continue;
        buf_str(b, i ? ",{" : "{");
        names_write(b, rules[i].names);
        buf_str(b, ",\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":1}");
    }
    /* AF_VSOCK (40) reaches the hypervisor, whatever the network namespace. */
    buf_str(b, ",{\"names\":[\"socket\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":1,\"args\":[{"
               "\"index\":0,\"value\":40,\"op\":\"SCMP_CMP_EQ\"}]}");
    if (!(capabilities & CAP(CAP_NUMBER_SYS_ADMIN))) {
        for (size_t i = 0; i < ARRAY_LEN(clone_namespace_flags); i++)
            buf_printf(b,
                       ",{\"names\":[\"clone\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":1,"
                       "\"args\":[{\"index\":0,\"value\":%u,\"valueTwo\":%u,\"op\":"
                       "\"SCMP_CMP_MASKED_EQ\"}]}",
                       clone_namespace_flags[i], clone_namespace_flags[i]);
        buf_str(b, ",{\"names\":[\"clone3\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":38}");
    }
    buf_str(b, "]}");
}
