#include "server/auth/audit_policy.h"

#include "base/own.h"
#include "base/test.h"

#define HEAD "apiVersion: audit.k8s.io/v1\nkind: Policy\n"

static struct audit_decision decide(const struct audit_policy *p, const char *user,
                                    const char *verb, const char *resource, const char *sub,
                                    const char *ns) {
    const char *group = "system:authenticated";
    struct user u = {.name = user, .groups = {&group, 1}};
    struct attributes at = {
        .verb = verb, .group = "", .resource = resource, .subresource = sub, .name = "", .ns = ns};
    if (*resource == '/') at.path = resource;
    return audit_policy_decide(p, &u, &at);
}

TEST(the_first_rule_that_matches_decides) {
    struct audit_policy *p;
    struct err err;
    assert_int_equal(
        audit_policy_parse(SLICE(HEAD "omitStages: [RequestReceived]\nrules:\n"
                                      "- level: None\n  users: [quiet]\n"
                                      "- level: Metadata\n  resources: [{group: \"\", resources: "
                                      "[secrets, pods/*]}]\n"
                                      "- level: Request\n  verbs: [create]\n  namespaces: [a]\n"
                                      "- level: None\n  nonResourceURLs: [/health*]\n"
                                      "- level: RequestResponse\n  userGroups: "
                                      "[system:authenticated]\n  omitStages: [ResponseStarted]\n"),
                           &p, &err),
        0);
    assert_int_equal(decide(p, "quiet", "get", "secrets", "", "a").level, AUDIT_NONE);
    assert_int_equal(decide(p, "u", "get", "secrets", "", "a").level, AUDIT_METADATA);
    assert_int_equal(decide(p, "u", "get", "pods", "log", "a").level, AUDIT_METADATA);
    assert_int_equal(decide(p, "u", "create", "pods", "", "a").level, AUDIT_REQUEST);
    assert_int_equal(decide(p, "u", "create", "pods", "", "b").level, AUDIT_REQUEST_RESPONSE);
    assert_int_equal(decide(p, "u", "get", "/healthz", "", "").level, AUDIT_NONE);
    struct audit_decision d = decide(p, "u", "get", "/api", "", "");
    assert_int_equal(d.level, AUDIT_REQUEST_RESPONSE);
    assert_int_equal(d.omit, AUDIT_RECEIVED | AUDIT_STARTED);
    audit_policy_free(p);
}

TEST(a_bad_policy_is_refused_by_name) {
    struct audit_policy *p;
    struct err err;
    assert_true(audit_policy_parse(SLICE(HEAD "rules: [{level: Loud}]"), &p, &err) < 0);
    assert_string_equal(err.field, "rules[0]");
    assert_true(audit_policy_parse(SLICE(HEAD "rules: []"), &p, &err) < 0);
    assert_true(audit_policy_parse(SLICE("kind: Policy\nrules: [{level: None}]"), &p, &err) < 0);
    assert_true(audit_policy_parse(SLICE(HEAD "rules: [{level: None, omitStages: [Never]}]"), &p,
                                   &err) < 0);
}
