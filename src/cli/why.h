/* What `atoll why` found out about a pod, and how it says so. */
#pragma once

#include "scheduler/place/explain.h"

struct why {
    struct arena *a;
    const char *root;
    const struct core_v1_pod *pod;
    struct snapshot snapshot; /* without the pod itself */
    struct budgets budgets;
    struct explanation explanation;
    bool other_scheduler;       /* no profile has its schedulerName */
    int32_t tries;              /* FailedScheduling events */
    const char *last_try;       /* time of the last one; NULL: none */
    const char *profiles_error; /* what is wrong with the configuration; NULL: nothing */
    bool all;                   /* print every node */
};

void why_print_text(const struct why *w);
void why_print_json(const struct why *w);
