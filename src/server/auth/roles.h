/* The default cluster roles and their bindings, as data. Lists are comma-separated; in groups an
 * empty element is the core group. */
#pragma once

#include <stddef.h>

struct role_rule {
    const char *verbs, *groups, *resources, *names, *paths; /* paths: a non-resource rule */
};
struct role_default {
    const char *name;
    const struct role_rule *rules;
    size_t n_rules;
};
struct binding_default {
    const char *name, *role;
    const char *subject_kind, *subject_name; /* Group or User */
};

extern const struct role_default role_defaults[];
extern const size_t role_defaults_n;
extern const struct binding_default binding_defaults[];
extern const size_t binding_defaults_n;
