/* A pod as the controls of the Pod Security Standards see it, and the words of their answers. */
#pragma once

#include "server/pod_security/checks.h"

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

/* What is said about a control that does not hold. */
struct finding {
    const char *reason, *detail;
};

void subject_collect(struct subject *s); /* fills members */
bool subject_is_windows(const struct subject *s);

void words_push(struct arena *a, struct str_list *l, const char *text);
/* Keeps the list sorted and without doubles. */
void words_insert(struct arena *a, struct str_list *l, const char *text);
const char *words_joined(struct arena *a, const struct str_list *l, const char *between,
                         const char *quote);
const char *words_quoted(struct arena *a, const struct str_list *l);
/* `container "a"`, `containers "a", "b"` */
const char *words_containers(struct arena *a, const struct str_list *l);
/* Who set a bad value: the pod, containers, or both. NULL: nobody. */
const char *words_setters(struct arena *a, bool pod, const struct str_list *l);
bool words_among(const char *text, const char *const *set, size_t n);

static inline bool is_true(const bool *b) { return b && *b; }
static inline bool is_false(const bool *b) { return b && !*b; }

/* RuntimeDefault and Localhost, of seccomp and AppArmor. */
bool profile_type_allowed(const char *type);
/* Explicit bad seccomp profiles. *unset gets the containers that rely on the pod's. */
bool seccomp_values(struct subject *s, struct finding *f, struct str_list *unset);

/* The controls of the restricted level. */
typedef bool control_fn(struct subject *s, struct finding *f);
control_fn restricted_escalation, restricted_capabilities, restricted_volumes, restricted_non_root,
    restricted_user, restricted_seccomp;
