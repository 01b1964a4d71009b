#include "broker/check.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "base/own.h"
#include "base/slice.h"
#include "broker/paths.h"
#include "proto/oci.h"

static bool is_lower_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

static bool label_ok(struct slice s, size_t max) {
    if (!s.n || s.n > max || !is_lower_alnum(s.p[0]) || !is_lower_alnum(s.p[s.n - 1])) return false;
    for (size_t i = 0; i < s.n; i++)
        if (!is_lower_alnum(s.p[i]) && s.p[i] != '-') return false;
    return true;
}

int check_label(const char *field, const char *name, struct err *err) {
    if (label_ok(slice_of(name), LIMIT_LABEL_BYTES)) return 0;
    return err_field(err, ERR_INVALID, field, "must be a lower case RFC 1123 label");
}

int check_subdomain(const char *field, const char *name, struct err *err) {
    struct slice rest = slice_of(name), label;
    bool ok = rest.n > 0 && rest.n <= LIMIT_NAME_BYTES;
    while (ok && slice_cut(&rest, '.', &label)) ok = label_ok(label, LIMIT_NAME_BYTES);
    if (ok) return 0;
    return err_field(err, ERR_INVALID, field, "must be a lower case RFC 1123 subdomain");
}

int check_uid(const char *uid, struct err *err) {
    size_t n = strlen(uid);
    bool ok = n > 0 && n <= 64 && uid[0] != '-';
    for (size_t i = 0; ok && i < n; i++)
        ok = is_lower_alnum(uid[i]) || (uid[i] >= 'A' && uid[i] <= 'Z') || uid[i] == '-';
    if (ok) return 0;
    return err_field(err, ERR_INVALID, "uid", "must be 1 to 64 letters, digits and hyphens");
}

static bool hex_ok(const char *s) {
    for (size_t i = 0; i < 64; i++)
        if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f'))) return false;
    return !s[64];
}

int check_container_id(const char *id, struct err *err) {
    if (hex_ok(id)) return 0;
    return err_field(err, ERR_INVALID, "id", "must be 64 lower case hexadecimal digits");
}

static int range(const char *field, int64_t v, int64_t unset, int64_t min, int64_t max,
                 struct err *err) {
    if (v == unset || (v >= min && v <= max)) return 0;
    return err_field(err, ERR_INVALID, field, "%lld is out of range %lld…%lld", (long long)v,
                     (long long)min, (long long)max);
}

int check_resources(const struct broker_resources *r, struct err *err) {
    int e = range("resources.cpu_shares", r->cpu_shares, -1, 2, 262144, err);
    if (!e) e = range("resources.cpu_quota_us", r->cpu_quota_us, -1, 1000, INT64_C(1) << 40, err);
    if (!e)
        e = range("resources.memory_limit_bytes", r->memory_limit_bytes, -1, 4096, INT64_MAX, err);
    if (!e) e = range("resources.pids_limit", r->pids_limit, -1, 1, 1 << 22, err);
    if (!e) e = range("resources.oom_score_adj", r->oom_score_adj, INT64_MIN, -1000, 1000, err);
    return e;
}

/* The safe set of Kubernetes 1.32 (pod security standards), all of them per namespace. */
static const char *const sysctls_safe[] = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
};

int check_sysctl(const char *sysctl, bool host_network, bool host_ipc, struct err *err) {
    struct slice value = slice_of(sysctl), name;
    slice_cut(&value, '=', &name);
    for (size_t i = 0; value.p && i < ARRAY_LEN(sysctls_safe); i++) {
        if (!slice_is(name, sysctls_safe[i])) continue;
        bool host = slice_starts(name, "net.") ? host_network : host_ipc;
        if (!host && value.n < 256) return 0;
        break;
    }
    return err_field(err, ERR_FORBIDDEN, "sysctls", "sysctl \"%.*s\" is not allowed",
                     (int)MIN_OF(name.n, 100), name.p);
}

int check_pod(const struct broker_pod *p, struct err *err) {
    int r = check_uid(p->uid, err);
    if (!r) r = check_subdomain("name", p->name, err);
    if (!r) r = check_label("namespace", p->pod_namespace, err);
    if (!r && !p->host_network) r = check_label("hostname", p->hostname, err);
    if (!r && p->share_process_namespace && p->host_pid)
        r = err_field(err, ERR_INVALID, "shareProcessNamespace",
                      "a pod in the host's process namespace cannot have one of its own");
    if (!r && (strlen(p->resolv_conf) > 65536 || strlen(p->etc_hosts) > 1024 * 1024))
        r = err_field(err, ERR_TOO_LARGE, "resolv_conf", "resolv.conf or hosts is too long");
    for (uint32_t i = 0; !r && i < p->n_sysctls; i++)
        r = check_sysctl(p->sysctls[i], p->host_network, p->host_ipc, err);
    return r ? r : check_resources(&p->resources, err);
}

static int check_mount(const struct broker_container *c, const struct broker_mount *m,
                       struct err *err) {
    int r = 0;
    if (m->kind == BROKER_MOUNT_VOLUME) {
        r = check_label("mounts.source", m->source, err);
    } else if (m->kind == BROKER_MOUNT_LOCAL) {
        r = check_subdomain("mounts.source", m->source, err);
    } else if (m->kind != BROKER_MOUNT_HOST) {
        r = err_field(err, ERR_INVALID, "mounts.kind", "unknown kind of mount %u", m->kind);
    } else if (!path_is_absolute(m->source)) {
        r = err_field(err, ERR_INVALID, "mounts.source",
                      "a host path must be absolute and must not contain '..'");
    } else if (m->host_type > BROKER_HOST_BLOCK_DEVICE) {
        r = err_field(err, ERR_INVALID, "mounts.host_type", "unknown host path type");
    }
    if (r) return r;
    if (m->sub_path[0] && !path_is_relative(m->sub_path))
        return err_field(err, ERR_INVALID, "mounts.sub_path",
                         "must be a relative path and must not contain '..'");
    if (!path_is_absolute(m->target) || str_eq(m->target, "/"))
        return err_field(err, ERR_INVALID, "mounts.target",
                         "must be an absolute path below / without '..'");
    if (m->propagation > 2)
        return err_field(err, ERR_INVALID, "mounts.propagation", "unknown propagation");
    if (m->propagation == 2 && !c->privileged)
        return err_field(err, ERR_FORBIDDEN, "mounts.propagation",
                         "Bidirectional is for privileged containers only");
    return 0;
}

static int check_strings(const struct broker_container *c, struct err *err) {
    uint64_t bits;
    struct oci_process p = {.n_cap_add = c->n_cap_add,
                            .cap_add = c->cap_add,
                            .n_cap_drop = c->n_cap_drop,
                            .cap_drop = c->cap_drop};
    int r = oci_capabilities(&p, &bits, err);
    if (r) return r;
    if (!c->n_args || !c->args[0][0])
        return err_field(err, ERR_INVALID, "args", "no command specified");
    for (uint32_t i = 0; i < c->n_env; i++)
        if (!strchr(c->env[i], '=') || c->env[i][0] == '=')
            return err_field(err, ERR_INVALID, "env", "entry %u is not NAME=value", i);
    if (c->cwd[0] && !path_is_absolute(c->cwd))
        return err_field(err, ERR_INVALID, "cwd", "must be an absolute path");
    if (c->termination_path[0] && !path_is_absolute(c->termination_path))
        return err_field(err, ERR_INVALID, "terminationMessagePath", "must be an absolute path");
    if (!str_empty(c->seccomp) && !str_eq(c->seccomp, "RuntimeDefault") &&
        !str_eq(c->seccomp, "Unconfined"))
        return err_field(err, ERR_INVALID, "seccompProfile",
                         "\"%.64s\" is not supported: use RuntimeDefault or Unconfined",
                         c->seccomp);
    if (strlen(c->user_spec) > 256)
        return err_field(err, ERR_INVALID, "user_spec", "the image's user is too long");
    return 0;
}

int check_container(const struct broker_container *c, struct err *err) {
    int r = check_uid(c->uid, err);
    if (!r) r = check_container_id(c->id, err);
    if (!r) r = check_label("name", c->name, err);
    if (!r) r = check_label("namespace", c->pod_namespace, err);
    if (!r) r = check_subdomain("pod_name", c->pod_name, err);
    if (!r && !c->n_layers) r = err_field(err, ERR_INVALID, "layers", "the image has no layers");
    for (uint32_t i = 0; !r && i < c->n_layers; i++)
        if (!hex_ok(c->layers[i]))
            r = err_field(err, ERR_INVALID, "layers", "layer %u is no digest", i);
    if (!r) r = check_strings(c, err);
    for (uint32_t i = 0; !r && i < c->n_mounts; i++) r = check_mount(c, &c->mounts[i], err);
    if (!r) r = range("runAsUser", c->run_as_user, -1, 0, INT32_MAX, err);
    if (!r) r = range("runAsGroup", c->run_as_group, -1, 0, INT32_MAX, err);
    for (uint32_t i = 0; !r && i < c->n_groups; i++)
        r = range("supplementalGroups", c->groups[i], 0, 0, INT32_MAX, err);
    return r ? r : check_resources(&c->resources, err);
}

int check_exec(const struct broker_exec *e, struct err *err) {
    int r = check_uid(e->uid, err);
    if (!r) r = check_container_id(e->id, err);
    if (!r && (!e->n_args || !e->args[0][0]))
        r = err_field(err, ERR_BAD_REQUEST, "command", "you must specify at least one command");
    return r;
}

int check_volume(const struct broker_volume *v, struct err *err) {
    int r = check_uid(v->uid, err);
    if (!r) r = check_label("name", v->name, err);
    if (!r) r = range("size_bytes", v->size_bytes, 0, 0, INT64_MAX, err);
    if (!r && v->mode > 01777) r = err_field(err, ERR_INVALID, "mode", "is not a file mode");
    return r ? r : range("group", v->group, -1, 0, INT32_MAX, err);
}

int check_volume_write(const struct broker_volume_write *v, struct err *err) {
    int r = check_uid(v->uid, err);
    if (!r) r = check_label("name", v->name, err);
    if (!r) r = range("group", v->group, -1, 0, INT32_MAX, err);
    for (uint32_t i = 0; !r && i < v->n_files; i++) {
        const struct broker_file *f = &v->files[i];
        if (!path_is_relative(f->path) || str_starts(f->path, ".."))
            r = err_field(err, ERR_INVALID, "files.path",
                          "\"%.100s\" must be relative and must not start with '..'", f->path);
        if (!r && f->mode > 0777) r = err_field(err, ERR_INVALID, "files.mode", "is not a mode");
        if (!r) r = range("files.owner", f->owner, -1, 0, INT32_MAX, err);
    }
    return r;
}
