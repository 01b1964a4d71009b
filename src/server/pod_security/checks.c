#include "server/pod_security/checks.h"

#include "base/own.h"
#include "server/pod_security/words.h"

/* ---- baseline ---- */

static bool apparmor(struct subject *s, struct finding *f) {
    struct str_list bad = {0}, values = {0}, annotations = {0}, who = {0};
    const struct core_v1_app_armor_profile *p = s->security ? s->security->app_armor_profile : NULL;
    if (p && !profile_type_allowed(p->type)) {
        words_push(s->a, &who, "pod");
        words_insert(s->a, &values, p->type);
    }
    for (size_t i = 0; i < s->n; i++) {
        p = s->members[i].security ? s->members[i].security->app_armor_profile : NULL;
        if (!p || profile_type_allowed(p->type)) continue;
        words_push(s->a, &bad, s->members[i].name);
        words_insert(s->a, &values, p->type);
    }
    if (bad.n) words_push(s->a, &who, words_containers(s->a, &bad));
    for (size_t i = 0; i < s->meta->annotations.n; i++) {
        const struct str_pair *one = &s->meta->annotations.v[i];
        if (!str_starts(one->key, "container.apparmor.security.beta.kubernetes.io/")) continue;
        if (str_empty(one->value) || str_eq(one->value, "runtime/default") ||
            str_starts(one->value, "localhost/"))
            continue;
        words_insert(s->a, &annotations, arena_printf(s->a, "%s=\"%s\"", one->key, one->value));
    }
    if (annotations.n) words_push(s->a, &who, annotations.n == 1 ? "annotation" : "annotations");
    for (size_t i = 0; i < annotations.n; i++) words_push(s->a, &values, annotations.v[i]);
    if (!who.n) return true;
    f->reason = values.n == 1 ? "forbidden AppArmor profile" : "forbidden AppArmor profiles";
    f->detail = arena_printf(s->a, "%s must not set AppArmor profile type to %s",
                             words_joined(s->a, &who, " and ", ""), words_quoted(s->a, &values));
    return false;
}

static bool capabilities_baseline(struct subject *s, struct finding *f) {
    static const char *const allowed[] = {
        "AUDIT_WRITE",      "CHOWN",   "DAC_OVERRIDE", "FOWNER",  "FSETID", "KILL",      "MKNOD",
        "NET_BIND_SERVICE", "SETFCAP", "SETGID",       "SETPCAP", "SETUID", "SYS_CHROOT"};
    struct str_list bad = {0}, values = {0};
    for (size_t i = 0; i < s->n; i++) {
        const struct core_v1_security_context *sc = s->members[i].security;
        size_t before = bad.n;
        for (size_t j = 0; sc && sc->capabilities && j < sc->capabilities->add.n; j++) {
            const char *cap = sc->capabilities->add.v[j];
            if (words_among(cap, allowed, ARRAY_LEN(allowed))) continue;
            words_insert(s->a, &values, str_or(cap, ""));
            if (bad.n == before) words_push(s->a, &bad, s->members[i].name);
        }
    }
    if (!bad.n) return true;
    f->reason = "non-default capabilities";
    f->detail = arena_printf(s->a, "%s must not include %s in securityContext.capabilities.add",
                             words_containers(s->a, &bad), words_quoted(s->a, &values));
    return false;
}

static bool host_namespaces(struct subject *s, struct finding *f) {
    struct str_list l = {0};
    if (s->spec->host_network) words_push(s->a, &l, "hostNetwork=true");
    if (s->spec->host_pid) words_push(s->a, &l, "hostPID=true");
    if (s->spec->host_ipc) words_push(s->a, &l, "hostIPC=true");
    f->reason = "host namespaces";
    f->detail = words_joined(s->a, &l, ", ", "");
    return l.n == 0;
}

static bool host_path_volumes(struct subject *s, struct finding *f) {
    struct str_list l = {0};
    for (size_t i = 0; i < s->spec->volumes.n; i++)
        if (s->spec->volumes.v[i].host_path) words_push(s->a, &l, s->spec->volumes.v[i].name);
    f->reason = "hostPath volumes";
    f->detail =
        arena_printf(s->a, "%s %s", l.n == 1 ? "volume" : "volumes", words_quoted(s->a, &l));
    return l.n == 0;
}

static bool host_ports(struct subject *s, struct finding *f) {
    struct str_list bad = {0}, ports = {0};
    for (size_t i = 0; i < s->n; i++) {
        size_t before = bad.n;
        for (size_t j = 0; j < s->members[i].ports->n; j++) {
            int32_t port = s->members[i].ports->v[j].host_port;
            if (!port) continue;
            words_insert(s->a, &ports, arena_printf(s->a, "%d", port));
            if (bad.n == before) words_push(s->a, &bad, s->members[i].name);
        }
    }
    f->reason = "hostPort";
    f->detail =
        arena_printf(s->a, "%s %s %s %s", words_containers(s->a, &bad), bad.n == 1 ? "uses" : "use",
                     ports.n == 1 ? "hostPort" : "hostPorts", words_joined(s->a, &ports, ", ", ""));
    return bad.n == 0;
}

static bool privileged(struct subject *s, struct finding *f) {
    struct str_list bad = {0};
    for (size_t i = 0; i < s->n; i++)
        if (s->members[i].security && is_true(s->members[i].security->privileged))
            words_push(s->a, &bad, s->members[i].name);
    f->reason = "privileged";
    f->detail = arena_printf(s->a, "%s must not set securityContext.privileged=true",
                             words_containers(s->a, &bad));
    return bad.n == 0;
}

static bool proc_mount(struct subject *s, struct finding *f) {
    struct str_list bad = {0}, values = {0};
    for (size_t i = 0; i < s->n; i++) {
        const char *mount = s->members[i].security ? s->members[i].security->proc_mount : NULL;
        if (str_empty(mount) || str_eq(mount, "Default")) continue;
        words_push(s->a, &bad, s->members[i].name);
        words_insert(s->a, &values, mount);
    }
    f->reason = "procMount";
    f->detail = arena_printf(s->a, "%s must not set securityContext.procMount to %s",
                             words_containers(s->a, &bad), words_quoted(s->a, &values));
    return bad.n == 0;
}

struct selinux_bad {
    struct str_list types;
    bool user, role;
};

static bool selinux_allowed(struct subject *s, const struct core_v1_se_linux_options *o,
                            struct selinux_bad *bad) {
    static const char *const types[] = {"container_t", "container_init_t", "container_kvm_t",
                                        "container_engine_t" /* since 1.31 */};
    if (!o) return true;
    size_t n = ARRAY_LEN(types) - (s->minor < 31);
    bool type = str_empty(o->type) || words_among(o->type, types, n);
    if (!type) words_insert(s->a, &bad->types, o->type);
    bad->user |= !str_empty(o->user);
    bad->role |= !str_empty(o->role);
    return type && str_empty(o->user) && str_empty(o->role);
}

static bool selinux(struct subject *s, struct finding *f) {
    struct selinux_bad what = {0};
    struct str_list bad = {0}, data = {0};
    bool pod = s->security && !selinux_allowed(s, s->security->se_linux_options, &what);
    for (size_t i = 0; i < s->n; i++)
        if (s->members[i].security &&
            !selinux_allowed(s, s->members[i].security->se_linux_options, &what))
            words_push(s->a, &bad, s->members[i].name);
    const char *who = words_setters(s->a, pod, &bad);
    if (!who) return true;
    if (what.types.n)
        words_push(s->a, &data,
                   arena_printf(s->a, "%s %s", what.types.n == 1 ? "type" : "types",
                                words_quoted(s->a, &what.types)));
    if (what.user) words_push(s->a, &data, "user may not be set");
    if (what.role) words_push(s->a, &data, "role may not be set");
    f->reason = "seLinuxOptions";
    f->detail = arena_printf(s->a, "%s set forbidden securityContext.seLinuxOptions: %s", who,
                             words_joined(s->a, &data, "; ", ""));
    return false;
}

/* Before 1.19 seccomp profiles were annotations. */
static bool seccomp_annotations(struct subject *s, struct finding *f) {
    struct str_list bad = {0};
    for (size_t i = 0; i < s->meta->annotations.n; i++) {
        const struct str_pair *one = &s->meta->annotations.v[i];
        if (!str_eq(one->key, "seccomp.security.alpha.kubernetes.io/pod") &&
            !str_starts(one->key, "container.seccomp.security.alpha.kubernetes.io/"))
            continue;
        if (str_eq(one->value, "runtime/default") || str_eq(one->value, "docker/default") ||
            str_starts(one->value, "localhost/"))
            continue;
        words_insert(s->a, &bad, arena_printf(s->a, "%s=\"%s\"", one->key, str_or(one->value, "")));
    }
    f->reason = "seccompProfile";
    f->detail = arena_printf(s->a, "forbidden %s %s", bad.n == 1 ? "annotation" : "annotations",
                             words_joined(s->a, &bad, ", ", ""));
    return bad.n == 0;
}

static bool seccomp_baseline(struct subject *s, struct finding *f) {
    struct str_list unset = {0};
    return s->minor < 19 ? seccomp_annotations(s, f) : seccomp_values(s, f, &unset);
}

static bool sysctls(struct subject *s, struct finding *f) {
    static const struct {
        const char *name;
        int since;
    } allowed[] = {{"kernel.shm_rmid_forced", 0},
                   {"net.ipv4.ip_local_port_range", 0},
                   {"net.ipv4.tcp_syncookies", 0},
                   {"net.ipv4.ping_group_range", 0},
                   {"net.ipv4.ip_unprivileged_port_start", 0},
                   {"net.ipv4.ip_local_reserved_ports", 27},
                   {"net.ipv4.tcp_keepalive_time", 29},
                   {"net.ipv4.tcp_fin_timeout", 29},
                   {"net.ipv4.tcp_keepalive_intvl", 29},
                   {"net.ipv4.tcp_keepalive_probes", 29},
                   {"net.ipv4.tcp_rmem", 32},
                   {"net.ipv4.tcp_wmem", 32}};
    struct str_list bad = {0};
    for (size_t i = 0; s->security && i < s->security->sysctls.n; i++) {
        const char *name = s->security->sysctls.v[i].name;
        bool ok = false;
        for (size_t j = 0; j < ARRAY_LEN(allowed); j++)
            ok |= str_eq(name, allowed[j].name) && s->minor >= allowed[j].since;
        if (!ok) words_push(s->a, &bad, name);
    }
    f->reason = "forbidden sysctls";
    f->detail = words_joined(s->a, &bad, ", ", "");
    return bad.n == 0;
}

static bool host_process(struct subject *s, struct finding *f) {
    struct str_list bad = {0};
    bool pod = s->security && s->security->windows_options &&
               is_true(s->security->windows_options->host_process);
    for (size_t i = 0; i < s->n; i++) {
        const struct core_v1_security_context *sc = s->members[i].security;
        if (sc && sc->windows_options && is_true(sc->windows_options->host_process))
            words_push(s->a, &bad, s->members[i].name);
    }
    const char *who = words_setters(s->a, pod, &bad);
    f->reason = "hostProcess";
    if (who)
        f->detail = arena_printf(
            s->a, "%s must not set securityContext.windowsOptions.hostProcess=true", who);
    return !who;
}

/* ---- the table, in upstream's order: by level, then by name ---- */

static const struct check {
    const char *id;
    bool restricted;   /* else baseline */
    int since;         /* minor version of the standard */
    int stricter_from; /* baseline only: from then on the restricted level has a control in its
                          place; 0 = never */
    bool (*holds)(struct subject *s, struct finding *f);
} checks[] = {
    {"appArmorProfile", false, 0, 0, apparmor},
    {"capabilities_baseline", false, 0, 22, capabilities_baseline},
    {"hostNamespaces", false, 0, 0, host_namespaces},
    {"hostPathVolumes", false, 0, 1, host_path_volumes},
    {"hostPorts", false, 0, 0, host_ports},
    {"privileged", false, 0, 0, privileged},
    {"procMount", false, 0, 0, proc_mount},
    {"seLinuxOptions", false, 0, 0, selinux},
    {"seccompProfile_baseline", false, 0, 19, seccomp_baseline},
    {"sysctls", false, 0, 0, sysctls},
    {"windowsHostProcess", false, 0, 0, host_process},
    {"allowPrivilegeEscalation", true, 8, 0, restricted_escalation},
    {"capabilities_restricted", true, 22, 0, restricted_capabilities},
    {"restrictedVolumes", true, 0, 0, restricted_volumes},
    {"runAsNonRoot", true, 0, 0, restricted_non_root},
    {"runAsUser", true, 23, 0, restricted_user},
    {"seccompProfile_restricted", true, 19, 0, restricted_seccomp},
};

enum { NEWEST_MINOR = 1000 };

static bool concerns(const struct check *c, enum pod_security_level level, int minor) {
    if (minor < c->since) return false;
    if (c->restricted) return level == POD_SECURITY_RESTRICTED;
    return level == POD_SECURITY_BASELINE || !c->stricter_from || minor < c->stricter_from;
}

const char *pod_security_violations(struct arena *a, struct pod_security p,
                                    const struct meta_v1_object_meta *meta,
                                    const struct core_v1_pod_spec *spec, bool reasons_only) {
    if (p.level == POD_SECURITY_PRIVILEGED) return NULL;
    struct subject s = {.a = a,
                        .meta = meta,
                        .spec = spec,
                        .security = spec->security_context,
                        .minor = p.minor == POD_SECURITY_LATEST ? NEWEST_MINOR : p.minor};
    OWN(buf_done) struct buf b = {0};
    subject_collect(&s);
    for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
        struct finding f = {0};
        if (!concerns(&checks[i], p.level, s.minor) || checks[i].holds(&s, &f)) continue;
        buf_printf(&b, "%s%s", b.n ? ", " : "", f.reason);
        if (!reasons_only) buf_printf(&b, " (%s)", f.detail);
    }
    return b.n ? arena_strn(a, buf_view(&b)) : NULL;
}
