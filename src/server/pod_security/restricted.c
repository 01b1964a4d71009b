/* Pod Security: the controls that only the restricted level has. */
#include "api/table.h"
#include "base/own.h"
#include "server/pod_security/words.h"

bool restricted_escalation(struct subject *s, struct finding *f) {
    struct str_list bad = {0};
    if (subject_is_windows(s)) return true;
    for (size_t i = 0; i < s->n; i++) {
        const struct core_v1_security_context *sc = s->members[i].security;
        if (!sc || !is_false(sc->allow_privilege_escalation))
            words_push(s->a, &bad, s->members[i].name);
    }
    f->reason = "allowPrivilegeEscalation != false";
    f->detail = arena_printf(s->a, "%s must set securityContext.allowPrivilegeEscalation=false",
                             words_containers(s->a, &bad));
    return bad.n == 0;
}

bool restricted_capabilities(struct subject *s, struct finding *f) {
    struct str_list keep = {0}, add = {0}, values = {0}, details = {0};
    static const char *const all[] = {"ALL"};
    if (subject_is_windows(s)) return true;
    for (size_t i = 0; i < s->n; i++) {
        const struct core_v1_security_context *sc = s->members[i].security;
        const struct core_v1_capabilities *c = sc ? sc->capabilities : NULL;
        bool dropped = false, added = false;
        for (size_t j = 0; c && j < c->drop.n; j++) dropped |= words_among(c->drop.v[j], all, 1);
        for (size_t j = 0; c && j < c->add.n; j++) {
            if (str_eq(c->add.v[j], "NET_BIND_SERVICE")) continue;
            words_insert(s->a, &values, str_or(c->add.v[j], ""));
            added = true;
        }
        if (!dropped) words_push(s->a, &keep, s->members[i].name);
        if (added) words_push(s->a, &add, s->members[i].name);
    }
    if (keep.n)
        words_push(s->a, &details,
                   arena_printf(s->a, "%s must set securityContext.capabilities.drop=[\"ALL\"]",
                                words_containers(s->a, &keep)));
    if (add.n)
        words_push(s->a, &details,
                   arena_printf(s->a, "%s must not include %s in securityContext.capabilities.add",
                                words_containers(s->a, &add), words_quoted(s->a, &values)));
    f->reason = "unrestricted capabilities";
    f->detail = words_joined(s->a, &details, "; ", "");
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

bool restricted_volumes(struct subject *s, struct finding *f) {
    static const char *const allowed[] = {"configMap", "csi",       "downwardAPI",
                                          "emptyDir",  "ephemeral", "persistentVolumeClaim",
                                          "projected", "secret"};
    struct str_list bad = {0}, types = {0};
    for (size_t i = 0; i < s->spec->volumes.n; i++) {
        const char *source = volume_source(&s->spec->volumes.v[i]);
        if (words_among(source, allowed, ARRAY_LEN(allowed))) continue;
        words_push(s->a, &bad, s->spec->volumes.v[i].name);
        words_insert(s->a, &types, source);
    }
    f->reason = "restricted volume types";
    f->detail =
        arena_printf(s->a, "%s %s %s restricted volume %s %s", bad.n == 1 ? "volume" : "volumes",
                     words_quoted(s->a, &bad), bad.n == 1 ? "uses" : "use",
                     types.n == 1 ? "type" : "types", words_quoted(s->a, &types));
    return bad.n == 0;
}

bool restricted_non_root(struct subject *s, struct finding *f) {
    struct str_list bad = {0}, unset = {0};
    const bool *pod = s->security ? s->security->run_as_non_root : NULL;
    for (size_t i = 0; i < s->n; i++) {
        const struct core_v1_security_context *sc = s->members[i].security;
        const bool *own = sc ? sc->run_as_non_root : NULL;
        if (is_false(own))
            words_push(s->a, &bad, s->members[i].name);
        else if (!own && !is_true(pod))
            words_push(s->a, &unset, s->members[i].name);
    }
    f->reason = "runAsNonRoot != true";
    const char *who = words_setters(s->a, is_false(pod), &bad);
    if (who)
        f->detail = arena_printf(s->a, "%s must not set securityContext.runAsNonRoot=false", who);
    else
        f->detail = arena_printf(s->a, "pod or %s must set securityContext.runAsNonRoot=true",
                                 words_containers(s->a, &unset));
    return !who && !unset.n;
}

bool restricted_user(struct subject *s, struct finding *f) {
    struct str_list bad = {0};
    const int64_t *pod = s->security ? s->security->run_as_user : NULL;
    for (size_t i = 0; i < s->n; i++) {
        const struct core_v1_security_context *sc = s->members[i].security;
        if (sc && sc->run_as_user && *sc->run_as_user == 0)
            words_push(s->a, &bad, s->members[i].name);
    }
    const char *who = words_setters(s->a, pod && *pod == 0, &bad);
    f->reason = "runAsUser=0";
    if (who) f->detail = arena_printf(s->a, "%s must not set runAsUser=0", who);
    return !who;
}

bool restricted_seccomp(struct subject *s, struct finding *f) {
    struct str_list unset = {0};
    if (subject_is_windows(s)) return true;
    if (!seccomp_values(s, f, &unset)) return false;
    if ((s->security && s->security->seccomp_profile) || !unset.n) return true;
    f->reason = "seccompProfile";
    f->detail = arena_printf(s->a,
                             "pod or %s must set securityContext.seccompProfile.type to "
                             "\"RuntimeDefault\" or \"Localhost\"",
                             words_containers(s->a, &unset));
    return false;
}
