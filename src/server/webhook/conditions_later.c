/* Stands in for conditions.c until CEL is part of the build: a webhook with conditions cannot be
 * used, and says so. */
#include "server/webhook/hooks.h"

struct webhook_conditions *
webhook_conditions_new(struct arena *a,
                       const struct admissionregistration_v1_match_condition_list *list,
                       const char **ret_problem) {
    *ret_problem = "matchConditions are not supported in this build";
    return NULL;
}

int webhook_conditions_hold(const struct webhook_conditions *w, struct admission *ad,
                            struct slice request, struct slice object, struct slice old,
                            const char **ret_problem) {
    *ret_problem = "matchConditions are not supported in this build";
    return -1;
}
