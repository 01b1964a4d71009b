/* The OCI configuration of a container from its checked request, and of execs in it. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/own.h"
#include "broker/broker_internal.h"
#include "broker/paths.h"
#include "broker/user.h"
#include "proto/oci.h"

enum { CONTAINER_FILE_BYTES_MAX = 16 * 1024 * 1024 };

/* A file of the image: links end inside it, and a device or FIFO in its place is not opened. */
static void image_file(int root_fd, const char *path, char **ret, size_t *ret_n) {
    *ret = NULL;
    *ret_n = 0;
    OWN(close_p) int at = path_open_in_root(root_fd, path, O_PATH);
    struct stat st;
    if (at < 0 || fstat(at, &st) < 0 || !S_ISREG(st.st_mode)) return;
    char self[48];
    snprintf(self, sizeof self, "/proc/self/fd/%d", at);
    OWN(close_p) int fd = open(self, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd >= 0 && path_read(fd, LIMIT_PASSWD_BYTES, ret, ret_n) < 0) *ret = NULL;
    if (!*ret) *ret_n = 0;
}

static int user_of(const struct broker_container *c, const char *merged, struct arena *a,
                   struct oci_user *ret, struct err *err) {
    OWN(close_p) int root_fd = open(merged, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0) return err_errno(err, errno, "cannot open the container's file system");
    OWN(free_p) char *passwd = NULL;
    OWN(free_p) char *group = NULL;
    size_t n_passwd = 0, n_group = 0;
    image_file(root_fd, "etc/passwd", &passwd, &n_passwd);
    image_file(root_fd, "etc/group", &group, &n_group);
    return user_resolve(c, slice_from(passwd, n_passwd), slice_from(group, n_group), a, ret, err);
}

static bool env_has(const struct broker_container *c, const char *name_equals) {
    for (uint32_t i = 0; i < c->n_env; i++)
        if (str_starts(c->env[i], name_equals)) return true;
    return false;
}

/* The image's and the pod's variables win over what the runtime adds. */
static void env_fill(const struct broker_container *c, const char *hostname, bool tty,
                     struct arena *a, struct oci_process *p) {
    const char **v = ARENA_ARRAY(a, const char *, (size_t)c->n_env + 3);
    uint32_t n = 0;
    if (!env_has(c, "PATH="))
        v[n++] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    if (!env_has(c, "HOSTNAME=")) v[n++] = arena_printf(a, "HOSTNAME=%s", hostname);
    if (tty && !env_has(c, "TERM=")) v[n++] = "TERM=xterm";
    for (uint32_t i = 0; i < c->n_env; i++) v[n++] = c->env[i];
    p->env = v;
    p->n_env = n;
}

static const char *hostname_of(const struct pod *p, struct arena *a) {
    char own[HOST_NAME_MAX + 1] = "";
    if (!p->host_network) return p->hostname;
    gethostname(own, sizeof own - 1);
    return arena_str(a, own);
}

/* A service manager or a container around this machine may have dropped some. */
static uint64_t capabilities_max(void) {
    uint64_t bits = 0;
    for (unsigned i = 0; i < 64; i++)
        if (prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1) bits |= UINT64_C(1) << i;
    return bits;
}

/* Only CAP_SYS_RESOURCE goes below one's own score; a machine without it runs the container all the
 * same, less protected. */
static int64_t oom_score(int64_t wanted, uint64_t capabilities) {
    long own = 0;
    if (capabilities & UINT64_C(1) << CAP_SYS_RESOURCE) return wanted;
    OWN(fclose_p) FILE *f = fopen("/proc/self/oom_score_adj", "re");
    if (!f || fscanf(f, "%ld", &own) != 1) own = 0;
    return wanted != INT64_MIN && wanted < own ? own : wanted;
}

static void process_fill(struct pod *p, const struct broker_container *c,
                         const struct oci_user *user, struct arena *a, struct oci_process *ret) {
    uint64_t capabilities = capabilities_max();
    *ret = (struct oci_process){
        .user = *user,
        .n_args = c->n_args,
        .args = c->args,
        .cwd = str_or(c->cwd, "/"),
        .terminal = c->tty,
        .no_new_privileges = !c->allow_privilege_escalation && !c->privileged,
        .privileged = c->privileged,
        .capabilities_max = capabilities,
        .n_cap_add = c->n_cap_add,
        .cap_add = c->cap_add,
        .n_cap_drop = c->n_cap_drop,
        .cap_drop = c->cap_drop,
        .oom_score_adj = oom_score(c->resources.oom_score_adj, capabilities),
    };
    env_fill(c, hostname_of(p, a), c->tty, a, ret);
}

/* ---- devices of privileged containers ---- */

static void device_add(int dir, const char *prefix, const char *name, struct arena *a,
                       struct oci_device *v, uint32_t *n) {
    struct stat st;
    if (*n == LIMIT_PRIVILEGED_DEVICES || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return;
    if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode)) return;
    v[(*n)++] = (struct oci_device){
        .path = arena_printf(a, "%s/%s", prefix, name),
        .type = S_ISBLK(st.st_mode) ? 'b' : 'c',
        .major = major(st.st_rdev),
        .minor = minor(st.st_rdev),
        .mode = st.st_mode & 0777,
        .uid = st.st_uid,
        .gid = st.st_gid,
    };
}

static void devices_of(const char *path, int depth, struct arena *a, struct oci_device *v,
                       uint32_t *n) {
    static const char *const own[] = {"null", "zero", "full", "tty",    "random", "urandom",
                                      "pts",  "ptmx", "shm",  "mqueue", "console"};
    OWN(closedir_p) DIR *d = opendir(path);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        bool skip = e->d_name[0] == '.';
        for (size_t i = 0; i < ARRAY_LEN(own); i++) skip |= str_eq(e->d_name, own[i]);
        if (skip) continue;
        if (e->d_type == DT_DIR && depth < 4)
            devices_of(arena_printf(a, "%s/%s", path, e->d_name), depth + 1, a, v, n);
        else
            device_add(dirfd(d), path, e->d_name, a, v, n);
    }
}

/* ---- the whole ---- */

static bool target_used(const struct oci_mount *v, uint32_t n, const char *target) {
    for (uint32_t i = 0; i < n; i++)
        if (str_eq(v[i].target, target)) return true;
    return false;
}

/* hosts, hostname, resolv.conf and the termination message; a volume on the same path wins. */
static uint32_t own_mounts(struct pod *p, const struct broker_container *c, struct arena *a,
                           struct oci_mount *v, uint32_t n) {
    const struct {
        const char *target, *source;
        bool follows_rootfs;
    } files[] = {
        {"/etc/hosts", arena_printf(a, "%s/%s/hosts", p->broker->pods_path, p->uid), true},
        {"/etc/hostname", arena_printf(a, "%s/%s/hostname", p->broker->pods_path, p->uid), true},
        {"/etc/resolv.conf", arena_printf(a, "%s/%s/resolv.conf", p->broker->pods_path, p->uid),
         true},
        {c->termination_path,
         arena_printf(a, "%s/%s/c/%s/termination", p->broker->pods_path, p->uid, c->id), false},
    };
    uint32_t n_volumes = n;
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        if (str_empty(files[i].target) || target_used(v, n_volumes, files[i].target)) continue;
        v[n++] = (struct oci_mount){
            .target = files[i].target,
            .type = "bind",
            .source = files[i].source,
            .options = files[i].follows_rootfs && c->read_only_rootfs ? "rbind,rprivate,ro"
                                                                      : "rbind,rprivate,rw",
        };
    }
    return n;
}

static void resources_fill(const struct broker_container *c, struct oci_spec *s) {
    s->cpu_shares = c->resources.cpu_shares;
    s->cpu_quota_us = c->resources.cpu_quota_us;
    s->memory_limit_bytes = c->resources.memory_limit_bytes;
    s->pids_limit = c->resources.pids_limit;
}

/* Kept beside the bundle for execs and for adoption: who it runs as, and the request. */
static int container_save(int bundle_fd, const struct broker_container *c,
                          const struct oci_user *u) {
    OWN(buf_done) struct buf b = {0}, request = {0};
    pack_u32(&b, u->uid);
    pack_u32(&b, u->gid);
    pack_u32(&b, u->n_groups);
    for (uint32_t i = 0; i < u->n_groups; i++) pack_u32(&b, u->groups[i]);
    broker_container_pack(&request, c);
    pack_slice(&b, buf_view(&request));
    return path_write(bundle_fd, "container", buf_view(&b), 0600);
}

int config_load(int bundle_fd, struct arena *a, struct broker_container *ret,
                struct oci_user *ret_user) {
    OWN(close_p) int fd = path_open_child(bundle_fd, "container", O_RDONLY, 0);
    OWN(free_p) char *text = NULL;
    size_t n = 0;
    int r = fd < 0 ? fd : path_read(fd, CONTAINER_FILE_BYTES_MAX, &text, &n);
    if (r) return r;
    struct unpack u = unpack_init(slice_from(text, n));
    ret_user->uid = unpack_u32(&u);
    ret_user->gid = unpack_u32(&u);
    ret_user->n_groups = unpack_u32(&u);
    if (u.bad || ret_user->n_groups > u.left.n / 4) return -EBADMSG;
    uint32_t *groups = ARENA_ARRAY(a, uint32_t, (size_t)ret_user->n_groups + 1);
    for (uint32_t i = 0; i < ret_user->n_groups; i++) groups[i] = unpack_u32(&u);
    ret_user->groups = groups;
    struct slice request = unpack_slice(&u);
    r = unpack_end(&u);
    return r ? r : broker_container_unpack(request, a, ret);
}

int config_write(struct broker *b, struct pod *p, const struct broker_container *c, int bundle_fd,
                 const char *merged, struct arena *a, struct err *err) {
    struct oci_spec s = {
        .rootfs = merged,
        .read_only_rootfs = c->read_only_rootfs,
        .pidns = p->host_pid ? NULL : "",
        .unmasked = c->proc_mount_unmasked,
        .seccomp = str_eq(c->seccomp, "RuntimeDefault"),
        .sys_writable = c->privileged,
        .cgroup_mount = true,
        .new_cgroup_namespace = b->cgroups.layout.unified && !c->privileged,
        .swap_accounted = b->cgroups.swap_accounted,
        .oom_group = b->cgroups.oom_group,
    };
    const char *ns = arena_printf(a, "%s/%s/ns", b->pods_path, p->uid);
    if (!p->host_network) s.netns = arena_printf(a, "%s/net", ns);
    if (!p->host_network) s.utsns = arena_printf(a, "%s/uts", ns);
    if (p->share_pids) s.pidns = arena_printf(a, "%s/pid", ns);
    if (!p->host_ipc) s.ipcns = arena_printf(a, "%s/ipc", ns);
    struct oci_user user;
    int r = user_of(c, merged, a, &user, err);
    if (r) return r;
    process_fill(p, c, &user, a, &s.process);
    struct oci_mount *mounts = ARENA_ARRAY(a, struct oci_mount, (size_t)c->n_mounts + 4);
    const char *bundle = arena_printf(a, "%s/%s/c/%s", b->pods_path, p->uid, c->id);
    r = mounts_resolve(b, p, c, bundle_fd, bundle, a, mounts, err);
    if (r) return r;
    s.n_mounts = own_mounts(p, c, a, mounts, c->n_mounts);
    s.mounts = mounts;
    struct oci_device *devices = NULL;
    if (c->privileged) {
        devices = ARENA_ARRAY(a, struct oci_device, LIMIT_PRIVILEGED_DEVICES);
        devices_of("/dev", 0, a, devices, &s.n_devices);
    }
    s.devices = devices;
    resources_fill(c, &s);
    char cgroup[256];
    box_cgroup(b, p->uid, c->id, cgroup);
    s.cgroups_path = cgroup;
    OWN(buf_done) struct buf json = {0};
    r = oci_spec_write(&json, &s, err);
    if (r) return r;
    r = path_write(bundle_fd, "config.json", buf_view(&json), 0600);
    if (!r) r = container_save(bundle_fd, c, &user);
    return r ? err_errno(err, -r, "cannot write the container's configuration") : 0;
}

int config_exec(struct pod *p, const struct broker_exec *e, struct arena *a, struct buf *out,
                struct err *err) {
    char *bundle = arena_printf(a, "%s/%s/c/%s", p->broker->pods_path, p->uid, e->id);
    OWN(close_p) int fd = open(bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct broker_container c;
    struct oci_user user;
    int r = fd < 0 ? -errno : config_load(fd, a, &c, &user);
    if (r) return err_errno(err, -r, "cannot read the container's saved configuration");
    c.tty = e->tty;
    c.n_args = e->n_args;
    c.args = e->args;
    struct oci_process process;
    process_fill(p, &c, &user, a, &process);
    return oci_process_write(out, &process, err);
}
