/*
 * How the scheduler scores use, as far as the descheduler predicts it: the strategy of
 * NodeResourcesFit in the profile default-scheduler, from the ConfigMap that configures the
 * scheduler. Pure.
 */
#pragma once

#include "client/engine.h"

/* How use makes a node better or worse for the scheduler. */
enum score_kind { SCORE_EMPTY, SCORE_FULL, SCORE_SHAPE, SCORE_NONE };
struct score_rule {
    enum score_kind kind;
    struct kubescheduler_v1_utilization_shape_point_list shape;
    struct kubescheduler_v1_resource_spec_list resources; /* empty: cpu and memory alike */
};

#define SCHEDULER_CONFIGURATION_PATH "/api/v1/namespaces/kube-system/configmaps/atoll-scheduler"

/* Wants to know how the scheduler is configured; false: that is not known yet. */
bool score_rule_read(const struct world *w, struct plan *p, struct score_rule *ret);
/* From the text of a KubeSchedulerConfiguration; the default rule when it cannot be read. */
struct score_rule score_rule_parse(struct arena *a, struct slice text);
/* Both in thousandths; the higher the better. */
int64_t score_of_share(const struct score_rule *r, int64_t share);
int64_t score_weight(const struct score_rule *r, const char *resource);
