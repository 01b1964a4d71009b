/*
 * What autoscaling/v1 has no field for, as Kubernetes writes it into annotations: metrics and their
 * figures in the form that v2beta1 had, conditions as they are, behavior with the first letters of
 * its keys in upper case. Pure; the JSON is that of autoscaling/v2.
 */
#pragma once

#include <jansson.h>

#define HPA_METRICS "autoscaling.alpha.kubernetes.io/metrics"
#define HPA_BEHAVIOR "autoscaling.alpha.kubernetes.io/behavior"
#define HPA_CONDITIONS "autoscaling.alpha.kubernetes.io/conditions"
#define HPA_CURRENT "autoscaling.alpha.kubernetes.io/current-metrics"

/* The value of the annotation `key` for this part, and back; new references. Parts that make no
 * sense are left out. NULL: nothing is left. */
json_t *hpa_annotation_from(const char *key, const json_t *part);
json_t *hpa_annotation_to(const char *key, const json_t *value);
