/*
 * audit.k8s.io/v1 Policy: which requests are written down, and how much of them. The first rule
 * that matches decides; no rule: nothing is written.
 */
#pragma once

#include "server/api.h"
#include "server/auth/rules.h"

enum audit_level { AUDIT_NONE, AUDIT_METADATA, AUDIT_REQUEST, AUDIT_REQUEST_RESPONSE };
enum { /* stages, as bits */
       AUDIT_RECEIVED = 1,
       AUDIT_STARTED = 2, /* a long answer begins: watch, log, exec */
       AUDIT_COMPLETE = 4,
       AUDIT_PANIC = 8
};

struct audit_policy;
/* YAML or JSON. ERR_INVALID names the rule. */
int audit_policy_parse(struct slice text, struct audit_policy **ret, struct err *err);
void audit_policy_free(struct audit_policy *p); /* NULL is allowed */
struct audit_decision {
    enum audit_level level;
    unsigned omit; /* stages */
    bool omit_managed_fields;
};
struct audit_decision audit_policy_decide(const struct audit_policy *p, const struct user *u,
                                          const struct attributes *at);
const char *audit_level_name(enum audit_level level);
