/*
 * Which requests a webhook or an admission policy is about: rules, match policy, selectors. The
 * wording of the API: RuleWithOperations and MatchResources of admissionregistration.k8s.io/v1.
 */
#pragma once

#include "api/values/selector.h"
#include "server/admission/plugin.h"

/* One rule. The lists are borrowed; "*" in one of them means all. */
struct match_rule {
    struct str_list operations, groups, versions;
    struct str_list resources; /* pods, pods/status, pods/…, *, and * with a subresource */
    struct str_list names;     /* empty: all */
    const char *scope;         /* Cluster, Namespaced, * */
};

/* CREATE, UPDATE, DELETE, CONNECT */
const char *match_operation_name(enum admission_operation operation);
/* The request's kind k (perhaps another form of the one that was asked for) meets the rule. */
bool match_rule(const struct match_rule *rule, const struct admission *ad,
                const struct api_kind *k);
/* The form of the resource by which the first of the rules meets the request: that of the request,
 * else, when `equivalent`, another group or version of the same resource; NULL: none does. */
const struct api_kind *match_rules(const struct match_rule *rules, size_t n,
                                   const struct admission *ad, bool equivalent);
/* The object's namespace has these labels. Objects without one always match; a Namespace is
 * matched by its own labels. */
bool match_namespace(struct admission *ad, const struct selector *s);
/* What the object was before; NULL: nothing (also where old is what a new Eviction is about). */
const struct api_object *match_old(const struct admission *ad);
/* The new or the old object has these labels. */
bool match_object(const struct admission *ad, const struct selector *s);
/* Webhook configurations and policies themselves: nothing may lock them. */
bool match_exempt(const struct admission *ad);
