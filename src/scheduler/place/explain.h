/*
 * A decision taken apart: what each filter says of each node, and what each score. The same code
 * decides as in sched_place, on the snapshot that it is given; it keeps nothing. Pure, but for the
 * looks at what would be without pods of lower priority, which it undoes.
 */
#pragma once

#include "scheduler/core/preempt.h"

struct explain_score {
    const char *plugin;
    int weight;
    int64_t score; /* 0…SCHED_SCORE_MAX, before the weight */
};
struct explain_node {
    const char *name;
    bool fits;
    struct sched_why *why;        /* when it does not fit */
    int64_t total;                /* when it fits: the weighted sum */
    struct explain_score *scores; /* of explanation.n_scores, in its order */
    /* When it does not fit: how many pods of lower priority would have to go; 0: that would not
     * help, or is not allowed. */
    size_t victims;
};
struct explanation {
    const struct sched_profile *profile;
    struct explain_node *nodes; /* in the order of the snapshot */
    size_t n, n_fit, n_scores;
    const char *held;    /* why it gets none of the nodes that fit: its quota, its group; or NULL */
    int32_t together;    /* so many pods of its group get nodes together or not at all; 0: alone */
    const char *chosen;  /* the node it would get, but for that; NULL: none */
    const char *message; /* then: as in FailedScheduling */
    const char *barred;  /* why it pushes out nobody now; NULL: it may */
    /* When no node fits and it may: whom it would push out where. */
    const char *preempts_on; /* NULL: nowhere */
    const char **victims;    /* names of the pods */
    size_t n_victims;
};

/* The pod must not be counted in s itself, but may wait there for a node with its group. What
 * budgets forbid is done last. */
struct explanation sched_explain(struct arena *a, struct snapshot *s, const struct budgets *budgets,
                                 const struct core_v1_pod *pod);
