#include "server/admission/pod_security_checks.h"

#include "api/table.h"
#include "base/own.h"

/* ---- a pod as the controls see it ---- */

struct member {
    const char *name;
    const struct core_v1_security_context *security; /* may be NULL */
    const struct core_v1_container_port_list *ports;
};

struct subject {
    struct arena *a;
    const struct meta_v1_object_meta *meta;
    const struct core_v1_pod_spec *spec;
    const struct core_v1_pod_security_context *security; /* may be NULL */
    struct member *members; /* init containers, containers, ephemeral containers */
    size_t n;
    int minor;
};

struct finding {
    const char *reason, *detail;
};

static void collect(struct subject *s) {
    const struct core_v1_pod_spec *p = s->spec;
    size_t n = p->init_containers.n + p->containers.n + p->ephemeral_containers.n;
    s->members = ARENA_ARRAY(s->a, struct member, n ? n : 1);
    for (size_t i = 0; i < p->init_containers.n; i++) {
        const struct core_v1_container *c = &p->init_containers.v[i];
        s->members[s->n++] = (struct member){c->name, c->security_context, &c->ports};
    }
    for (size_t i = 0; i < p->containers.n; i++) {
        const struct core_v1_container *c = &p->containers.v[i];
        s->members[s->n++] = (struct member){c->name, c->security_context, &c->ports};
    }
    for (size_t i = 0; i < p->ephemeral_containers.n; i++) {
        const struct core_v1_ephemeral_container *c = &p->ephemeral_containers.v[i];
        s->members[s->n++] = (struct member){c->name, c->security_context, &c->ports};
    }
}

static bool windows(const struct subject *s) {
    return s->minor >= 25 && s->spec->os && str_eq(s->spec->os->name, "windows");
}

/* ---- words ---- */

static void push(struct arena *a, struct str_list *l, const char *text) {
    *ARENA_PUSH(a, l) = text;
}

/* Keeps the list sorted and without doubles. */
static void insert(struct arena *a, struct str_list *l, const char *text) {
    size_t at = 0;
    while (at < l->n && strcmp(l->v[at], text) < 0) at++;
    if (at < l->n && str_eq(l->v[at], text)) return;
    push(a, l, text);
    memmove(l->v + at + 1, l->v + at, (l->n - 1 - at) * sizeof *l->v);
    l->v[at] = text;
}

static const char *joined(struct arena *a, const struct str_list *l, const char *between,
                          const char *quote) {
    OWN(buf_done) struct buf b = {0};
    for (size_t i = 0; i < l->n; i++)
        buf_printf(&b, "%s%s%s%s", i ? between : "", quote, str_or(l->v[i], ""), quote);
    return l->n ? arena_strn(a, buf_view(&b)) : "";
}

static const char *quoted(struct arena *a, const struct str_list *l) {
    return joined(a, l, ", ", "\"");
}

/* `container "a"`, `containers "a", "b"` */
static const char *containers(struct arena *a, const struct str_list *l) {
    return arena_printf(a, "%s %s", l->n == 1 ? "container" : "containers", quoted(a, l));
}

/* Who set a bad value: the pod, containers, or both. NULL: nobody. */
static const char *setters(struct arena *a, bool pod, const struct str_list *l) {
    if (!l->n) return pod ? "pod" : NULL;
    return pod ? arena_printf(a, "pod and %s", containers(a, l)) : containers(a, l);
}

static bool is_true(const bool *b) { return b && *b; }
static bool is_false(const bool *b) { return b && !*b; }

static bool among(const char *text, const char *const *set, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (str_eq(text, set[i])) return true;
    return false;
}

/* ---- baseline ---- */

static bool profile_type_allowed(const char *type) {
    return str_eq(type, "RuntimeDefault") || str_eq(type, "Localhost");
}

static bool apparmor(struct subject *s, struct finding *f) {
    struct str_list bad = {0}, values = {0}, annotations = {0}, who = {0};
    const struct core_v1_app_armor_profile *p = s->security ? s->security->app_armor_profile : NULL;
    if (p && !profile_type_allowed(p->type)) {
        push(s->a, &who, "pod");
        insert(s->a, &values, p->type);
    }
    for (size_t i = 0; i < s->n; i++) {
        p = s->members[i].security ? s->members[i].security->app_armor_profile : NULL;
        if (!p || profile_type_allowed(p->type)) continue;
        push(s->a, &bad, s->members[i].name);
        insert(s->a, &values, p->type);
    }
    if (bad.n) push(s->a, &who, containers(s->a, &bad));
    for (size_t i = 0; i < s->meta->annotations.n; i++) {
        const struct str_pair *one = &s->meta->annotations.v[i];
        if (!str_starts(one->key, "container.apparmor.security.beta.kubernetes.io/")) continue;
        if (str_empty(one->value) || str_eq(one->value, "runtime/default") ||
            str_starts(one->value, "localhost/"))
            continue;
        insert(s->a, &annotations, arena_printf(s->a, "%s=\"%s\"", one->key, one->value));
    }
    if (annotations.n) push(s->a, &who, annotations.n == 1 ? "annotation" : "annotations");
    for (size_t i = 0; i < annotations.n; i++) push(s->a, &values, annotations.v[i]);
    if (!who.n) return true;
    f->reason = values.n == 1 ? "forbidden AppArmor profile" : "forbidden AppArmor profiles";
    f->detail = arena_printf(s->a, "%s must not set AppArmor profile type to %s",
                             joined(s->a, &who, " and ", ""), quoted(s->a, &values));
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
            if (among(cap, allowed, ARRAY_LEN(allowed))) continue;
            insert(s->a, &values, str_or(cap, ""));
            if (bad.n == before) push(s->a, &bad, s->members[i].name);
        }
    }
    if (!bad.n) return true;
    f->reason = "non-default capabilities";
    f->detail = arena_printf(s->a, "%s must not include %s in securityContext.capabilities.add",
                             containers(s->a, &bad), quoted(s->a, &values));
    return false;
}

static bool host_namespaces(struct subject *s, struct finding *f) {
    struct str_list l = {0};
    if (s->spec->host_network) push(s->a, &l, "hostNetwork=true");
    if (s->spec->host_pid) push(s->a, &l, "hostPID=true");
    if (s->spec->host_ipc) push(s->a, &l, "hostIPC=true");
    f->reason = "host namespaces";
    f->detail = joined(s->a, &l, ", ", "");
    return l.n == 0;
}

static bool host_path_volumes(struct subject *s, struct finding *f) {
    struct str_list l = {0};
    for (size_t i = 0; i < s->spec->volumes.n; i++)
        if (s->spec->volumes.v[i].host_path) push(s->a, &l, s->spec->volumes.v[i].name);
    f->reason = "hostPath volumes";
    f->detail = arena_printf(s->a, "%s %s", l.n == 1 ? "volume" : "volumes", quoted(s->a, &l));
    return l.n == 0;
}

static bool host_ports(struct subject *s, struct finding *f) {
    struct str_list bad = {0}, ports = {0};
    for (size_t i = 0; i < s->n; i++) {
        size_t before = bad.n;
        for (size_t j = 0; j < s->members[i].ports->n; j++) {
            int32_t port = s->members[i].ports->v[j].host_port;
            if (!port) continue;
            insert(s->a, &ports, arena_printf(s->a, "%d", port));
            if (bad.n == before) push(s->a, &bad, s->members[i].name);
        }
    }
    f->reason = "hostPort";
    f->detail =
        arena_printf(s->a, "%s %s %s %s", containers(s->a, &bad), bad.n == 1 ? "uses" : "use",
                     ports.n == 1 ? "hostPort" : "hostPorts", joined(s->a, &ports, ", ", ""));
    return bad.n == 0;
}

static bool privileged(struct subject *s, struct finding *f) {
    struct str_list bad = {0};
    for (size_t i = 0; i < s->n; i++)
        if (s->members[i].security && is_true(s->members[i].security->privileged))
            push(s->a, &bad, s->members[i].name);
    f->reason = "privileged";
    f->detail = arena_printf(s->a, "%s must not set securityContext.privileged=true",
                             containers(s->a, &bad));
    return bad.n == 0;
}

static bool proc_mount(struct subject *s, struct finding *f) {
    struct str_list bad = {0}, values = {0};
    for (size_t i = 0; i < s->n; i++) {
        const char *mount = s->members[i].security ? s->members[i].security->proc_mount : NULL;
        if (str_empty(mount) || str_eq(mount, "Default")) continue;
        push(s->a, &bad, s->members[i].name);
        insert(s->a, &values, mount);
    }
    f->reason = "procMount";
    f->detail = arena_printf(s->a, "%s must not set securityContext.procMount to %s",
                             containers(s->a, &bad), quoted(s->a, &values));
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
    bool type = str_empty(o->type) || among(o->type, types, n);
    if (!type) insert(s->a, &bad->types, o->type);
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
            push(s->a, &bad, s->members[i].name);
    const char *who = setters(s->a, pod, &bad);
    if (!who) return true;
    if (what.types.n)
        push(s->a, &data,
             arena_printf(s->a, "%s %s", what.types.n == 1 ? "type" : "types",
                          quoted(s->a, &what.types)));
    if (what.user) push(s->a, &data, "user may not be set");
    if (what.role) push(s->a, &data, "role may not be set");
    f->reason = "seLinuxOptions";
    f->detail = arena_printf(s->a, "%s set forbidden securityContext.seLinuxOptions: %s", who,
                             joined(s->a, &data, "; ", ""));
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
        insert(s->a, &bad, arena_printf(s->a, "%s=\"%s\"", one->key, str_or(one->value, "")));
    }
    f->reason = "seccompProfile";
    f->detail = arena_printf(s->a, "forbidden %s %s", bad.n == 1 ? "annotation" : "annotations",
                             joined(s->a, &bad, ", ", ""));
    return bad.n == 0;
}

/* *unset gets the containers that rely on the pod's profile. */
static bool seccomp_values(struct subject *s, struct finding *f, struct str_list *unset) {
    struct str_list bad = {0}, values = {0};
    const struct core_v1_seccomp_profile *p = s->security ? s->security->seccomp_profile : NULL;
    bool pod = p && !profile_type_allowed(p->type);
    if (pod) insert(s->a, &values, p->type);
    for (size_t i = 0; i < s->n; i++) {
        p = s->members[i].security ? s->members[i].security->seccomp_profile : NULL;
        if (!p) {
            push(s->a, unset, s->members[i].name);
        } else if (!profile_type_allowed(p->type)) {
            push(s->a, &bad, s->members[i].name);
            insert(s->a, &values, p->type);
        }
    }
    const char *who = setters(s->a, pod, &bad);
    if (!who) return true;
    f->reason = "seccompProfile";
    f->detail = arena_printf(s->a, "%s must not set securityContext.seccompProfile.type to %s", who,
                             quoted(s->a, &values));
    return false;
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
        if (!ok) push(s->a, &bad, name);
    }
    f->reason = "forbidden sysctls";
    f->detail = joined(s->a, &bad, ", ", "");
    return bad.n == 0;
}

static bool host_process(struct subject *s, struct finding *f) {
    struct str_list bad = {0};
    bool pod = s->security && s->security->windows_options &&
               is_true(s->security->windows_options->host_process);
    for (size_t i = 0; i < s->n; i++) {
        const struct core_v1_security_context *sc = s->members[i].security;
        if (sc && sc->windows_options && is_true(sc->windows_options->host_process))
            push(s->a, &bad, s->members[i].name);
    }
    const char *who = setters(s->a, pod, &bad);
    f->reason = "hostProcess";
    if (who)
        f->detail = arena_printf(
            s->a, "%s must not set securityContext.windowsOptions.hostProcess=true", who);
    return !who;
}

/* ---- restricted ---- */

static bool escalation(struct subject *s, struct finding *f) {
    struct str_list bad = {0};
    if (windows(s)) return true;
    for (size_t i = 0; i < s->n; i++) {
        const struct core_v1_security_context *sc = s->members[i].security;
        if (!sc || !is_false(sc->allow_privilege_escalation)) push(s->a, &bad, s->members[i].name);
    }
    f->reason = "allowPrivilegeEscalation != false";
    f->detail = arena_printf(s->a, "%s must set securityContext.allowPrivilegeEscalation=false",
                             containers(s->a, &bad));
    return bad.n == 0;
}

static bool capabilities_restricted(struct subject *s, struct finding *f) {
    struct str_list keep = {0}, add = {0}, values = {0}, details = {0};
    static const char *const all[] = {"ALL"};
    if (windows(s)) return true;
    for (size_t i = 0; i < s->n; i++) {
        const struct core_v1_security_context *sc = s->members[i].security;
        const struct core_v1_capabilities *c = sc ? sc->capabilities : NULL;
        bool dropped = false, added = false;
        for (size_t j = 0; c && j < c->drop.n; j++) dropped |= among(c->drop.v[j], all, 1);
        for (size_t j = 0; c && j < c->add.n; j++) {
            if (str_eq(c->add.v[j], "NET_BIND_SERVICE")) continue;
            insert(s->a, &values, str_or(c->add.v[j], ""));
            added = true;
        }
        if (!dropped) push(s->a, &keep, s->members[i].name);
        if (added) push(s->a, &add, s->members[i].name);
    }
    if (keep.n)
        push(s->a, &details,
             arena_printf(s->a, "%s must set securityContext.capabilities.drop=[\"ALL\"]",
                          containers(s->a, &keep)));
    if (add.n)
        push(s->a, &details,
             arena_printf(s->a, "%s must not include %s in securityContext.capabilities.add",
                          containers(s->a, &add), quoted(s->a, &values)));
    f->reason = "unrestricted capabilities";
    f->detail = joined(s->a, &details, "; ", "");
    return details.n == 0;
}

static const char *volume_source(const struct core_v1_volume *v) {
    const struct api_type *t = &core_v1_volume_type;
    for (unsigned i = 0; i < t->n_fields; i++) {
        const struct api_field *f = &t->fields[i];
        if (f->form == API_OBJECT && *(void *const *)api_at_const(v, f)) return f->name;
    }
    return "unknown";
}

static bool restricted_volumes(struct subject *s, struct finding *f) {
    static const char *const allowed[] = {"configMap", "csi",       "downwardAPI",
                                          "emptyDir",  "ephemeral", "persistentVolumeClaim",
                                          "projected", "secret"};
    struct str_list bad = {0}, types = {0};
    for (size_t i = 0; i < s->spec->volumes.n; i++) {
        const char *source = volume_source(&s->spec->volumes.v[i]);
        if (among(source, allowed, ARRAY_LEN(allowed))) continue;
        push(s->a, &bad, s->spec->volumes.v[i].name);
        insert(s->a, &types, source);
    }
    f->reason = "restricted volume types";
    f->detail =
        arena_printf(s->a, "%s %s %s restricted volume %s %s", bad.n == 1 ? "volume" : "volumes",
                     quoted(s->a, &bad), bad.n == 1 ? "uses" : "use",
                     types.n == 1 ? "type" : "types", quoted(s->a, &types));
    return bad.n == 0;
}

static bool run_as_non_root(struct subject *s, struct finding *f) {
    struct str_list bad = {0}, unset = {0};
    const bool *pod = s->security ? s->security->run_as_non_root : NULL;
    for (size_t i = 0; i < s->n; i++) {
        const struct core_v1_security_context *sc = s->members[i].security;
        const bool *own = sc ? sc->run_as_non_root : NULL;
        if (is_false(own))
            push(s->a, &bad, s->members[i].name);
        else if (!own && !is_true(pod))
            push(s->a, &unset, s->members[i].name);
    }
    f->reason = "runAsNonRoot != true";
    const char *who = setters(s->a, is_false(pod), &bad);
    if (who)
        f->detail = arena_printf(s->a, "%s must not set securityContext.runAsNonRoot=false", who);
    else
        f->detail = arena_printf(s->a, "pod or %s must set securityContext.runAsNonRoot=true",
                                 containers(s->a, &unset));
    return !who && !unset.n;
}

static bool run_as_user(struct subject *s, struct finding *f) {
    struct str_list bad = {0};
    const int64_t *pod = s->security ? s->security->run_as_user : NULL;
    for (size_t i = 0; i < s->n; i++) {
        const struct core_v1_security_context *sc = s->members[i].security;
        if (sc && sc->run_as_user && *sc->run_as_user == 0) push(s->a, &bad, s->members[i].name);
    }
    const char *who = setters(s->a, pod && *pod == 0, &bad);
    f->reason = "runAsUser=0";
    if (who) f->detail = arena_printf(s->a, "%s must not set runAsUser=0", who);
    return !who;
}

static bool seccomp_restricted(struct subject *s, struct finding *f) {
    struct str_list unset = {0};
    if (windows(s)) return true;
    if (!seccomp_values(s, f, &unset)) return false;
    if ((s->security && s->security->seccomp_profile) || !unset.n) return true;
    f->reason = "seccompProfile";
    f->detail = arena_printf(s->a,
                             "pod or %s must set securityContext.seccompProfile.type to "
                             "\"RuntimeDefault\" or \"Localhost\"",
                             containers(s->a, &unset));
    return false;
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
    {"allowPrivilegeEscalation", true, 8, 0, escalation},
    {"capabilities_restricted", true, 22, 0, capabilities_restricted},
    {"restrictedVolumes", true, 0, 0, restricted_volumes},
    {"runAsNonRoot", true, 0, 0, run_as_non_root},
    {"runAsUser", true, 23, 0, run_as_user},
    {"seccompProfile_restricted", true, 19, 0, seccomp_restricted},
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
    collect(&s);
    for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
        struct finding f = {0};
        if (!concerns(&checks[i], p.level, s.minor) || checks[i].holds(&s, &f)) continue;
        buf_printf(&b, "%s%s", b.n ? ", " : "", f.reason);
        if (!reasons_only) buf_printf(&b, " (%s)", f.detail);
    }
    return b.n ? arena_strn(a, buf_view(&b)) : NULL;
}
