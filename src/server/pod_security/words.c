#include "server/pod_security/words.h"

#include "base/own.h"

void subject_collect(struct subject *s) {
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

bool subject_is_windows(const struct subject *s) {
    return s->minor >= 25 && s->spec->os && str_eq(s->spec->os->name, "windows");
}

/* ---- words ---- */

void words_push(struct arena *a, struct str_list *l, const char *text) { *ARENA_PUSH(a, l) = text; }

void words_insert(struct arena *a, struct str_list *l, const char *text) {
    size_t at = 0;
    while (at < l->n && strcmp(l->v[at], text) < 0) at++;
    if (at < l->n && str_eq(l->v[at], text)) return;
    words_push(a, l, text);
    memmove(l->v + at + 1, l->v + at, (l->n - 1 - at) * sizeof *l->v);
    l->v[at] = text;
}

const char *words_joined(struct arena *a, const struct str_list *l, const char *between,
                         const char *quote) {
    OWN(buf_done) struct buf b = {0};
    for (size_t i = 0; i < l->n; i++)
        buf_printf(&b, "%s%s%s%s", i ? between : "", quote, str_or(l->v[i], ""), quote);
    return l->n ? arena_strn(a, buf_view(&b)) : "";
}

const char *words_quoted(struct arena *a, const struct str_list *l) {
    return words_joined(a, l, ", ", "\"");
}

const char *words_containers(struct arena *a, const struct str_list *l) {
    return arena_printf(a, "%s %s", l->n == 1 ? "container" : "containers", words_quoted(a, l));
}

const char *words_setters(struct arena *a, bool pod, const struct str_list *l) {
    if (!l->n) return pod ? "pod" : NULL;
    return pod ? arena_printf(a, "pod and %s", words_containers(a, l)) : words_containers(a, l);
}

bool words_among(const char *text, const char *const *set, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (str_eq(text, set[i])) return true;
    return false;
}

bool profile_type_allowed(const char *type) {
    return str_eq(type, "RuntimeDefault") || str_eq(type, "Localhost");
}

bool seccomp_values(struct subject *s, struct finding *f, struct str_list *unset) {
    struct str_list bad = {0}, values = {0};
    const struct core_v1_seccomp_profile *p = s->security ? s->security->seccomp_profile : NULL;
    bool pod = p && !profile_type_allowed(p->type);
    if (pod) words_insert(s->a, &values, p->type);
    for (size_t i = 0; i < s->n; i++) {
        p = s->members[i].security ? s->members[i].security->seccomp_profile : NULL;
        if (!p) {
            words_push(s->a, unset, s->members[i].name);
        } else if (!profile_type_allowed(p->type)) {
            words_push(s->a, &bad, s->members[i].name);
            words_insert(s->a, &values, p->type);
        }
    }
    const char *who = words_setters(s->a, pod, &bad);
    if (!who) return true;
    f->reason = "seccompProfile";
    f->detail = arena_printf(s->a, "%s must not set securityContext.seccompProfile.type to %s", who,
                             words_quoted(s->a, &values));
    return false;
}
