/*
 * Role-based access control (rbac.authorization.k8s.io/v1) over the cached roles and bindings,
 * compiled into one table by subject that is made anew after a change of any of them. Members of
 * system:masters may do everything; nodes may also do what node_authz.h says.
 */
#pragma once

#include "server/api.h"
#include "server/auth/rules.h"

struct authz *authz_new(struct api *api);
void authz_free(struct authz *z);
bool authz_is_master(const struct user *u);
bool authz_allows(struct authz *z, const struct user *u, const struct attributes *at);
/* Why the last question was allowed, for the audit log and reviews; "" when no binding was needed.
 */
const char *authz_reason(struct authz *z, struct arena *a, const struct user *u);

/* The one object that a list or watch is limited to by its field selector; "" = none. */
const char *authz_selected_name(struct arena *a, const char *selector);

/* Every rule that applies to the user in the namespace (cluster-wide ones too). */
typedef void authz_rule_fn(void *user, const struct rbac_v1_policy_rule *rule);
void authz_rules(struct authz *z, const struct user *u, const char *ns, authz_rule_fn *fn,
                 void *user);
/* The standard sentence of a 403. */
const char *authz_refusal(struct arena *a, const struct user *u, const struct attributes *at);
