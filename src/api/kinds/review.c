/* Access reviews: what is asked must be one thing. */
#include "api/kinds/kinds.h"

static void exactly_one(const void *resource, const void *non_resource, struct api_causes *causes) {
    if (resource && non_resource)
        cause_invalid_raw(causes, "spec.nonResourceAttributes", "{}",
                          "cannot be specified in combination with resourceAttributes");
    if (!resource && !non_resource)
        cause_invalid_raw(causes, "spec.resourceAttributes", "null",
                          "exactly one of nonResourceAttributes or resourceAttributes must be "
                          "specified");
}

static void spec_validate(const struct authorization_v1_subject_access_review_spec *s,
                          struct api_causes *causes) {
    exactly_one(s->resource_attributes, s->non_resource_attributes, causes);
    if (str_empty(s->user) && s->groups.n == 0)
        cause_invalid(causes, "spec.user", "", "at least one of user or group must be specified");
}

static void subject_validate(const void *obj, const void *old, const char *subresource,
                             struct api_causes *causes) {
    const struct authorization_v1_subject_access_review *r = obj;
    spec_validate(&r->spec, causes);
}

static void local_validate(const void *obj, const void *old, const char *subresource,
                           struct api_causes *causes) {
    const struct authorization_v1_local_subject_access_review *r = obj;
    spec_validate(&r->spec, causes);
    if (r->spec.resource_attributes &&
        !str_eq(r->spec.resource_attributes->namespace, r->metadata.namespace))
        cause_invalid(causes, "spec.resourceAttributes.namespace",
                      str_or(r->spec.resource_attributes->namespace, ""),
                      "must match metadata.namespace");
    if (r->spec.non_resource_attributes)
        cause_invalid_raw(causes, "spec.nonResourceAttributes", "{}",
                          "disallowed on this kind of request");
}

static void self_validate(const void *obj, const void *old, const char *subresource,
                          struct api_causes *causes) {
    const struct authorization_v1_self_subject_access_review *r = obj;
    exactly_one(r->spec.resource_attributes, r->spec.non_resource_attributes, causes);
}

static const struct api_behavior subject_review_behavior = {
    .group = "authorization.k8s.io", .kind = "SubjectAccessReview", .validate = subject_validate};
API_BEHAVIOR(subject_review_behavior);

static const struct api_behavior local_review_behavior = {.group = "authorization.k8s.io",
                                                          .kind = "LocalSubjectAccessReview",
                                                          .validate = local_validate};
API_BEHAVIOR(local_review_behavior);

static const struct api_behavior self_review_behavior = {
    .group = "authorization.k8s.io", .kind = "SelfSubjectAccessReview", .validate = self_validate};
API_BEHAVIOR(self_review_behavior);
