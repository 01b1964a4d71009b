/* The default cluster roles and their bindings, as data. Lists are comma-separated; in groups an
 * empty element is the core group. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct attributes;

struct role_rule {
    const char *verbs, *groups, *resources, *names, *paths; /* paths: a non-resource rule */
};
struct role_default {
    const char *name;
    const struct role_rule *rules; /* NULL: collected from the roles with label aggregate-to-NAME */
    size_t n_rules;
    const char *aggregate_to; /* "view": carries the label that makes it a part; NULL = of none */
};
struct binding_default {
    const char *name, *role;
    const char *subject_kind, *subject_name; /* Group or User; NULL: nobody, the role is a table
                                                that an authoriser of its own reads */
};

extern const struct role_default role_defaults[];
extern const size_t role_defaults_n;
extern const struct binding_default binding_defaults[];
extern const size_t binding_defaults_n;

/* Whether a rule of that default role, as it is here and not as it is stored, allows it. */
bool role_default_allows(const char *name, const struct attributes *at);
