/*
 * The webhooks of MutatingWebhookConfigurations and ValidatingWebhookConfigurations, made ready for
 * use: rules, selectors, trust and conditions are worked out once per change of a configuration,
 * not per request. Order: configurations by name, webhooks as listed.
 */
#pragma once

#include "server/admission/match.h"
#include "server/egress/target.h"

struct webhook_conditions; /* conditions.c */

struct webhook {
    const char *name, *configuration;
    bool mutating, fail_open, equivalent, reinvoke;
    uint32_t timeout_s;
    const char *version; /* v1 or v1beta1 of admission.k8s.io; NULL: it knows neither */
    struct match_rule *rules;
    size_t n_rules;
    struct selector *namespaces, *objects;
    const char *url, *ca_pem; /* url NULL: the Service */
    const char *service_ns, *service_name, *service_path;
    int32_t service_port;
    struct webhook_conditions *conditions; /* NULL: none */
    const char *broken;                    /* why it cannot be used; NULL: it can */
};

/* Shared by the requests that use it, so that a change meanwhile does not matter to them. */
struct webhooks {
    unsigned refs;
    struct arena *a;
    uint64_t revision;
    struct {
        struct webhook *v;
        size_t n;
    } list;
};

/* Those of the cache, a new reference; NULL when there are none. */
struct webhooks *webhooks_get(struct api *api, bool mutating);
void webhooks_unref(struct webhooks *w); /* NULL is allowed */

/* ---- conditions.c ---- */
/* The webhook's matchConditions, compiled; *ret_problem says why they cannot be. */
struct webhook_conditions *
webhook_conditions_new(struct arena *a,
                       const struct admissionregistration_v1_match_condition_list *list,
                       const char **ret_problem);
/* 1: it matters, 0: it does not, < 0: nobody knows, *ret_problem says why. request is the
 * AdmissionRequest without its objects; object and old may be empty. */
int webhook_conditions_hold(const struct webhook_conditions *w, struct admission *ad,
                            struct slice request, struct slice object, struct slice old,
                            const char **ret_problem);
