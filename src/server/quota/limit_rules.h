/* The rules of a LimitRange. Pure. */
#pragma once

#include "api/types.h"

/* Gives containers the defaults they lack and notes it in an annotation. */
void limit_defaults(struct arena *a, const struct core_v1_limit_range_spec *limits,
                    struct core_v1_pod *pod);
/* NULL: within all bounds. Else why not, as upstream says it. */
const char *limit_refuses_pod(struct arena *a, const struct core_v1_limit_range_spec *limits,
                              const struct core_v1_pod_spec *pod);
const char *limit_refuses_claim(struct arena *a, const struct core_v1_limit_range_spec *limits,
                                const struct core_v1_persistent_volume_claim_spec *claim);
