#include "proto/oci.h"

#include <errno.h>
#include <strings.h>

#include "base/own.h"

/* In the order of linux/capability.h. */
static const char *const capability_names[] = {
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
};

/* What a container has by default, as containerd and Docker give it. */
static const char *const capability_defaults[] = {
    "CHOWN",   "DAC_OVERRIDE",     "FSETID",     "FOWNER",      "MKNOD",
    "NET_RAW", "SETGID",           "SETUID",     "SETFCAP",     "SETPCAP",
    "KILL",    "NET_BIND_SERVICE", "SYS_CHROOT", "AUDIT_WRITE",
};

/* Capability number for a name with or without "CAP_", any case; -1 when unknown. */
static int oci_capability(const char *name) {
    if (strncasecmp(name, "CAP_", 4) == 0) name += 4;
    for (size_t i = 0; i < ARRAY_LEN(capability_names); i++)
        if (strcasecmp(capability_names[i] + 4, name) == 0) return (int)i;
    return -1;
}

static int bits_of(const char *const *names, uint32_t n, const char *field, uint64_t *ret,
                   struct err *err) {
    uint64_t bits = 0;
    for (uint32_t i = 0; i < n; i++) {
        int number = oci_capability(names[i]);
        if (strcasecmp(names[i], "ALL") == 0) {
            bits = UINT64_MAX >> (64 - ARRAY_LEN(capability_names));
        } else if (number >= 0) {
            bits |= UINT64_C(1) << number;
        } else {
            return err_field(err, ERR_INVALID, field, "unknown capability \"%.64s\"", names[i]);
        }
    }
    *ret = bits;
    return 0;
}

int oci_capabilities(const struct oci_process *p, uint64_t *ret, struct err *err) {
    static const char *const all[] = {"ALL"};
    uint64_t bits = 0, add = 0, drop = 0;
    int r = p->privileged
                ? bits_of(all, 1, "", &bits, err)
                : bits_of(capability_defaults, ARRAY_LEN(capability_defaults), "", &bits, err);
    if (!r) r = bits_of(p->cap_add, p->n_cap_add, "securityContext.capabilities.add", &add, err);
    if (!r)
        r = bits_of(p->cap_drop, p->n_cap_drop, "securityContext.capabilities.drop", &drop, err);
    if (r) return r;
    /* "drop ALL, add X" keeps X, whatever the order; a single name is dropped even when "ALL" was
     * added. */
    bool all_dropped = drop == UINT64_MAX >> (64 - ARRAY_LEN(capability_names));
    uint64_t max = p->capabilities_max ? p->capabilities_max : UINT64_MAX;
    bool all_added = add == UINT64_MAX >> (64 - ARRAY_LEN(capability_names));
    if (all_added) add &= max;
    bits &= max;
    *ret = p->privileged ? bits : all_dropped ? add : (bits | add) & ~drop;
    return 0;
}

/* ---- JSON ---- */

static void key(struct buf *b, const char *name) {
    if (b->n && b->p[b->n - 1] != '{' && b->p[b->n - 1] != '[') buf_char(b, ',');
    buf_char(b, '"');
    buf_str(b, name);
    buf_str(b, "\":");
}

static void item(struct buf *b) {
    if (b->p[b->n - 1] != '[') buf_char(b, ',');
}

static void string(struct buf *b, const char *name, const char *value) {
    key(b, name);
    buf_json_str(b, slice_of(value));
}

static void number(struct buf *b, const char *name, int64_t value) {
    key(b, name);
    buf_i64(b, value);
}

static void boolean(struct buf *b, const char *name, bool value) {
    key(b, name);
    buf_str(b, value ? "true" : "false");
}

static void strings(struct buf *b, const char *name, const char *const *v, size_t n) {
    key(b, name);
    buf_char(b, '[');
    for (size_t i = 0; i < n; i++) {
        item(b);
        buf_json_str(b, slice_of(v[i]));
    }
    buf_char(b, ']');
}

static void capability_set(struct buf *b, const char *name, uint64_t bits) {
    const char *names[ARRAY_LEN(capability_names)];
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(capability_names); i++)
        if (bits >> i & 1) names[n++] = capability_names[i];
    strings(b, name, names, n);
}

static void user_write(struct buf *b, const struct oci_user *u) {
    key(b, "user");
    buf_char(b, '{');
    number(b, "uid", u->uid);
    number(b, "gid", u->gid);
    key(b, "additionalGids");
    buf_char(b, '[');
    for (uint32_t i = 0; i < u->n_groups; i++) {
        item(b);
        buf_u64(b, u->groups[i]);
    }
    buf_str(b, "]}");
}

int oci_process_write(struct buf *b, const struct oci_process *p, struct err *err) {
    uint64_t bits;
    int r = oci_capabilities(p, &bits, err);
    if (r) return r;
    buf_char(b, '{');
    boolean(b, "terminal", p->terminal);
    user_write(b, &p->user);
    strings(b, "args", p->args, p->n_args);
    strings(b, "env", p->env, p->n_env);
    string(b, "cwd", p->cwd);
    key(b, "capabilities");
    buf_char(b, '{');
    capability_set(b, "bounding", bits);
    capability_set(b, "effective", bits);
    capability_set(b, "permitted", bits);
    buf_char(b, '}');
    if (p->files_limit) {
        key(b, "rlimits");
        buf_str(b, "[{\"type\":\"RLIMIT_NOFILE\"");
        number(b, "hard", (int64_t)p->files_limit);
        number(b, "soft", (int64_t)p->files_limit);
        buf_str(b, "}]");
    }
    boolean(b, "noNewPrivileges", p->no_new_privileges);
    number(b, "oomScoreAdj", p->oom_score_adj == INT64_MIN ? 0 : p->oom_score_adj);
    buf_char(b, '}');
    return 0;
}

static void mount_write(struct buf *b, const struct oci_mount *m) {
    item(b);
    buf_char(b, '{');
    string(b, "destination", m->target);
    string(b, "type", m->type);
    string(b, "source", m->source);
    key(b, "options");
    buf_char(b, '[');
    struct slice rest = slice_of(m->options), option;
    while (slice_cut(&rest, ',', &option)) {
        item(b);
        buf_json_str(b, option);
    }
    buf_str(b, "]}");
}

/* /dev is a fresh tmpfs always: bind-mounting an image's or a host's /dev is how containers got at
 * devices. */
static const struct oci_mount standard_mounts[] = {
    {"/proc", "proc", "proc", "nosuid,noexec,nodev"},
    {"/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"},
    {"/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"},
    {"/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k"},
    {"/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"},
    {"/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"},
    {"/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro"},
};

static bool target_taken(const struct oci_spec *s, const char *target) {
    for (uint32_t i = 0; i < s->n_mounts; i++)
        if (str_eq(s->mounts[i].target, target)) return true;
    return false;
}

static void mounts_write(struct buf *b, const struct oci_spec *s) {
    key(b, "mounts");
    buf_char(b, '[');
    for (size_t i = 0; i < ARRAY_LEN(standard_mounts); i++) {
        struct oci_mount m = standard_mounts[i];
        if (target_taken(s, m.target)) continue;
        if (str_eq(m.type, "cgroup") && !s->cgroup_mount) continue;
        if (str_eq(m.type, "sysfs") && s->sys_writable) m.options = "nosuid,noexec,nodev,rw";
        if (str_eq(m.type, "cgroup") && s->sys_writable)
            m.options = "nosuid,noexec,nodev,relatime,rw";
        mount_write(b, &m);
    }
    for (uint32_t i = 0; i < s->n_mounts; i++) mount_write(b, &s->mounts[i]);
    buf_char(b, ']');
}

static void namespace_write(struct buf *b, const char *type, const char *path) {
    if (!path) return;
    item(b);
    buf_char(b, '{');
    string(b, "type", type);
    if (*path) string(b, "path", path);
    buf_char(b, '}');
}

static void namespaces_write(struct buf *b, const struct oci_spec *s) {
    key(b, "namespaces");
    buf_char(b, '[');
    namespace_write(b, "mount", "");
    namespace_write(b, "pid", s->pidns);
    namespace_write(b, "network", s->netns);
    namespace_write(b, "ipc", s->ipcns);
    namespace_write(b, "uts", s->utsns);
    namespace_write(b, "cgroup", s->new_cgroup_namespace ? "" : NULL);
    buf_char(b, ']');
}

static void resources_write(struct buf *b, const struct oci_spec *s) {
    key(b, "resources");
    buf_char(b, '{');
    key(b, "devices");
    buf_str(b, s->process.privileged ? "[{\"allow\":true,\"access\":\"rwm\"}]"
                                     : "[{\"allow\":false,\"access\":\"rwm\"}]");
    if (s->memory_limit_bytes >= 0) {
        key(b, "memory");
        buf_char(b, '{');
        number(b, "limit", s->memory_limit_bytes);
        if (s->swap_accounted) number(b, "swap", s->memory_limit_bytes); /* both together */
        buf_char(b, '}');
    }
    if (s->cpu_shares >= 0 || s->cpu_quota_us >= 0) {
        key(b, "cpu");
        buf_char(b, '{');
        if (s->cpu_shares >= 0) number(b, "shares", s->cpu_shares);
        if (s->cpu_quota_us >= 0) number(b, "quota", s->cpu_quota_us);
        if (s->cpu_quota_us >= 0) number(b, "period", 100000);
        buf_char(b, '}');
    }
    if (s->pids_limit >= 0) {
        key(b, "pids");
        buf_char(b, '{');
        number(b, "limit", s->pids_limit);
        buf_char(b, '}');
    }
    if (s->oom_group) { /* the container dies as one, as kubelet asks since 1.28 */
        key(b, "unified");
        buf_str(b, "{\"memory.oom.group\":\"1\"}");
    }
    buf_char(b, '}');
}

static void devices_write(struct buf *b, const struct oci_spec *s) {
    if (!s->n_devices) return;
    key(b, "devices");
    buf_char(b, '[');
    for (uint32_t i = 0; i < s->n_devices; i++) {
        const struct oci_device *d = &s->devices[i];
        item(b);
        buf_char(b, '{');
        string(b, "path", d->path);
        string(b, "type", d->type == 'b' ? "b" : "c");
        number(b, "major", d->major);
        number(b, "minor", d->minor);
        number(b, "fileMode", d->mode);
        number(b, "uid", d->uid);
        number(b, "gid", d->gid);
        buf_char(b, '}');
    }
    buf_char(b, ']');
}

static const char *const masked_paths[] = {
    "/proc/asound",      "/proc/acpi",          "/proc/interrupts", "/proc/kcore",
    "/proc/keys",        "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
    "/proc/sched_debug", "/proc/scsi",          "/sys/firmware",    "/sys/devices/virtual/powercap",
};
static const char *const read_only_paths[] = {
    "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
};

int oci_spec_write(struct buf *b, const struct oci_spec *s, struct err *err) {
    uint64_t bits;
    int r = oci_capabilities(&s->process, &bits, err);
    if (r) return r;
    buf_str(b, "{\"ociVersion\":\"1.0.2\"");
    key(b, "process");
    r = oci_process_write(b, &s->process, err);
    if (r) return r;
    key(b, "root");
    buf_char(b, '{');
    string(b, "path", s->rootfs);
    boolean(b, "readonly", s->read_only_rootfs);
    buf_char(b, '}');
    mounts_write(b, s);
    key(b, "linux");
    buf_char(b, '{');
    namespaces_write(b, s);
    string(b, "cgroupsPath", s->cgroups_path);
    resources_write(b, s);
    devices_write(b, s);
    string(b, "rootfsPropagation", "rprivate");
    if (!s->unmasked && !s->process.privileged) {
        strings(b, "maskedPaths", masked_paths, ARRAY_LEN(masked_paths));
        strings(b, "readonlyPaths", read_only_paths, ARRAY_LEN(read_only_paths));
    }
    if (s->seccomp && !s->process.privileged) {
        key(b, "seccomp");
        oci_seccomp_write(b, bits);
    }
    buf_str(b, "}}");
    return 0;
}
