/*
 * Policy rules of rbac.authorization.k8s.io as values: what one allows, and whether some of them
 * cover others (nobody grants what they do not have). No state, no I/O.
 */
#pragma once

#include "api/registry.h"

struct attributes {
    const char *verb;
    const char *group, *resource, *subresource, *name, *ns; /* "" = none */
    const char *path;                                       /* not NULL: no resource, this path */
    const char *field_selector;                             /* of a list or watch; NULL = none */
    const char *label_selector;                             /* the same */
};

bool rule_allows(const struct rbac_v1_policy_rule *r, const struct attributes *at);

enum rules_covered { RULES_COVERED, RULES_MISSING, RULES_TOO_MANY };
/* Does every action that `wanted` allows belong to some rule of `owned`? *ret_missing gets those
 * that do not, each with one group, resource and name, verbs put together. RULES_TOO_MANY when
 * that takes more than LIMIT_RULE_ACTIONS comparisons. */
enum rules_covered rules_cover(struct arena *a, const struct rbac_v1_policy_rule_list *owned,
                               const struct rbac_v1_policy_rule_list *wanted,
                               struct rbac_v1_policy_rule_list *ret_missing);
/* {APIGroups:["apps"], Resources:["deployments"], Verbs:["get" "list"]} */
const char *rule_text(struct arena *a, const struct rbac_v1_policy_rule *r);
