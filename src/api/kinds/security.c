/* Security contexts: settings that contradict each other. */
#include <string.h>

#include "api/kinds/kinds.h"

static void seccomp_validate(const struct core_v1_seccomp_profile *p, const char *path,
                             struct api_causes *causes) {
    if (!p) return;
    const char *at = path_of(causes, "%s.seccompProfile.localhostProfile", path);
    bool local = str_eq(p->type, "Localhost");
    if (local && str_empty(p->localhost_profile))
        cause_required(causes, at, "must be set when seccomp type is Localhost");
    if (!local && !str_empty(p->localhost_profile))
        cause_invalid(causes, at, p->localhost_profile,
                      "can only be set when seccomp type is Localhost");
    if (!local || str_empty(p->localhost_profile)) return;
    if (*p->localhost_profile == '/')
        cause_invalid(causes, at, p->localhost_profile, "must be a relative path");
    steps_validate(causes, at, p->localhost_profile);
}

static void context_validate(const struct core_v1_security_context *s, const char *path,
                             struct api_causes *causes) {
    if (!s) return;
    seccomp_validate(s->seccomp_profile, path, causes);
    if (!s->allow_privilege_escalation || *s->allow_privilege_escalation) return;
    if (s->privileged && *s->privileged)
        cause_invalid_raw(causes, path, "{}",
                          "cannot set `allowPrivilegeEscalation` to false and `privileged` to "
                          "true");
    for (size_t i = 0; s->capabilities && i < s->capabilities->add.n; i++)
        if (str_eq(s->capabilities->add.v[i], "CAP_SYS_ADMIN"))
            cause_invalid_raw(causes, path, "{}",
                              "cannot set `allowPrivilegeEscalation` to false and "
                              "`capabilities.Add` CAP_SYS_ADMIN");
}

/* "kernel.shm_rmid_forced", "net.ipv4.ip_forward": lower case words, dots or slashes. */
static bool sysctl_valid(const char *s) {
    if (str_empty(s) || strlen(s) > LIMIT_NAME_BYTES) return false;
    if (strchr("./-_", s[0]) || strchr("./-_", s[strlen(s) - 1])) return false;
    for (const char *p = s; *p; p++) {
        bool word = (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || strchr("-_./", *p);
        if (!word || (p > s && strchr("./", *p) && strchr("./", p[-1]))) return false;
    }
    return true;
}

void security_validate(const struct core_v1_pod_spec *spec, const char *path,
                       struct api_causes *causes) {
    const struct core_v1_pod_security_context *s = spec->security_context;
    for (size_t i = 0; i < spec->containers.n; i++)
        context_validate(spec->containers.v[i].security_context,
                         path_of(causes, "%s.containers[%zu].securityContext", path, i), causes);
    for (size_t i = 0; i < spec->init_containers.n; i++)
        context_validate(spec->init_containers.v[i].security_context,
                         path_of(causes, "%s.initContainers[%zu].securityContext", path, i),
                         causes);
    if (spec->share_process_namespace && *spec->share_process_namespace && spec->host_pid)
        cause_invalid_raw(causes, path_of(causes, "%s.shareProcessNamespace", path), "true",
                          "ShareProcessNamespace and HostPID cannot both be enabled");
    if (!s) return;
    const char *at = path_of(causes, "%s.securityContext", path);
    seccomp_validate(s->seccomp_profile, at, causes);
    for (size_t i = 0; i < s->supplemental_groups.n; i++)
        if (s->supplemental_groups.v[i] < 0 || s->supplemental_groups.v[i] > INT32_MAX)
            cause_invalid_int(causes, path_of(causes, "%s.supplementalGroups[%zu]", at, i),
                              s->supplemental_groups.v[i],
                              "must be between 0 and 2147483647, inclusive");
    OWN(map_done) struct map sysctls = {0};
    for (size_t i = 0; i < s->sysctls.n; i++) {
        const char *name = str_or(s->sysctls.v[i].name, "");
        if (map_seen(&sysctls, slice_of(name)))
            cause_duplicate(causes, path_of(causes, "%s.sysctls[%zu].name", at, i), name);
        if (*name && !sysctl_valid(name))
            cause_invalid(
                causes, path_of(causes, "%s.sysctls[%zu].name", at, i), name,
                "must have at most 253 characters and match regex "
                "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$");
    }
}
