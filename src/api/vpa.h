/*
 * What a VerticalPodAutoscaler says about a container: shared by who recommends, who evicts and who
 * admits pods. Pure functions on objects.
 */
#pragma once

#include "api/types.h"
#include "base/arena.h"

typedef struct autoscaling_v1_vertical_pod_autoscaler vpa_object;
typedef struct autoscaling_v1_container_resource_policy vpa_policy;

const char *vpa_mode(const vpa_object *v); /* Auto when it names none */
/* The policy of a container, or that of "*", or NULL. */
const vpa_policy *vpa_policy_of(const vpa_object *v, const char *container);
bool vpa_policy_is_off(const vpa_policy *p); /* NULL is allowed */
bool vpa_controls(const vpa_policy *p, const char *resource);
/* The amount within what the policy allows. */
const char *vpa_within(const vpa_policy *p, const char *resource, const char *amount);
/* NULL: none, or the container's policy is off. */
const struct autoscaling_v1_recommended_container_resources *
vpa_recommendation_of(const vpa_object *v, const char *container);
/* Makes the container ask for what is recommended; limits change in proportion unless the policy
 * says otherwise. Returns which fields changed: "cpu request, memory limit"; NULL: none. */
const char *vpa_apply(struct arena *a, const vpa_object *v, struct core_v1_container *c);
