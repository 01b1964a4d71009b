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
/* Makes the container ask for what is recommended (of vpa_for_pod); limits change in proportion
 * unless the policy says otherwise. Returns which fields changed: "cpu request, memory limit";
 * NULL: none. */
const char *vpa_apply(struct arena *a, const vpa_object *v,
                      const struct autoscaling_v1_recommended_container_resources *r,
                      struct core_v1_container *c);

/* ---- vpa_bounds.c ---- */

/* What the LimitRanges of a namespace allow, all of them together. */
struct vpa_bounds {
    struct str_map min, max, limit; /* of containers; limit: of those that name none */
    struct str_map pod_min, pod_max;
};
void vpa_bounds_add(struct arena *a, struct vpa_bounds *b,
                    const struct core_v1_limit_range_spec *s);
/* What is recommended for these containers of one pod, in their order, within the bounds and then
 * the policies: what LimitRanger would refuse is not asked for. Of a container without a
 * recommendation all amounts are empty. */
struct autoscaling_v1_recommended_container_resources *
vpa_for_pod(struct arena *a, const vpa_object *v, const struct vpa_bounds *b,
            const struct core_v1_container_list *l);
/* A multiple, in whole thousandths of a core or bytes. */
const char *vpa_scaled(struct arena *a, const char *resource, const char *amount, double factor);
