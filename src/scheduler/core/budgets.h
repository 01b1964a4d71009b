/*
 * PodDisruptionBudgets as preemption sees them: which pods each covers, and how many of them may
 * still go. What has been pushed out counts at once, before the budget's status tells. Pure.
 */
#pragma once

#include "scheduler/snapshot/snapshot.h"

struct budget {
    char *key; /* namespace/name */
    struct arena *arena;
    const char *namespace;
    const struct meta_v1_label_selector *labels;
    struct selector *selector; /* of labels; NULL: covers nothing */
    int32_t allowed;
    struct map disrupted; /* pods, by name, that count as gone already */
};

struct budgets {
    struct map by_key;
    VEC(struct budget *) v;
    uint64_t members;    /* changes of what they cover */
    uint64_t allowances; /* of what they allow */
};

void budgets_done(struct budgets *b);
void budgets_put(struct budgets *b, const struct policy_v1_pod_disruption_budget *o);
void budgets_remove(struct budgets *b, const char *namespace, const char *name);
bool budgets_cover(const struct budgets *b, const struct pod_labels *l, const char *pod);
/* The pod was pushed out. */
void budgets_charge(struct budgets *b, const struct pod_labels *l, const char *pod);

/* One question about pods that would go together: how many violate a budget. */
struct budget_trial {
    const struct budgets *budgets;
    int32_t *left; /* by budget */
};
void budget_trial_init(struct budget_trial *t, struct arena *a, const struct budgets *b);
/* One more goes: does that violate? */
bool budget_trial_take(struct budget_trial *t, const struct pod_labels *l, const char *pod);
