/*
 * The descheduler's picture of the cluster: nodes with what their pods request, pods with what
 * holds them where they are, budgets with what is left of them. A pass changes the picture as it
 * goes, so that each decision sees the ones before. Pure; all memory is in the plan's arena.
 *
 * descheduler_view.c makes it, descheduler_match.c asks where a pod fits, descheduler_strategies.c
 * looks for pods, descheduler.c decides about each and keeps the limits.
 */
#pragma once

#include "controllers/disruption/descheduler_score.h"
#include "controllers/nodes/node_lifecycle.h"

enum { DESCHEDULER_RESOURCES_MAX = 16 };

typedef struct descheduling_v1alpha1_descheduler_policy descheduler_policy;

struct place { /* a node */
    const node *object;
    size_t index;
    bool open;    /* may get pods: schedulable and ready */
    bool watched; /* may lose pods */
    int64_t offers[DESCHEDULER_RESOURCES_MAX], used[DESCHEDULER_RESOURCES_MAX];
    int32_t evicted; /* in this pass */
};

struct resident { /* a pod that has a node and has not ended */
    const struct core_v1_pod *pod;
    struct place *place; /* a move in the picture changes it */
    const char *owner;   /* uid of its controller; NULL: none */
    int64_t asks[DESCHEDULER_RESOURCES_MAX];
    int32_t priority;
    bool movable;
};

struct topology {
    const char *key;
    uint32_t *of_place; /* domain by index of the place; NO_DOMAIN: lacks the label */
    size_t n;
};
#define NO_DOMAIN UINT32_MAX

struct pod_term { /* of affinity */
    struct topology *topology;
    struct selector *labels, *namespaces; /* namespaces NULL: the list only */
    struct str_list namespace_list;
};

struct keeper { /* a pod that keeps others away */
    struct resident *resident;
    struct pod_term *terms;
    size_t n;
};

struct budget_left {
    const struct policy_v1_pod_disruption_budget *object;
    struct selector *selector;
    int32_t left;
};

struct view {
    const struct world *w;
    struct score_rule rule;
    struct arena *a;
    const descheduler_policy *policy;
    struct {
        struct place *v;
        size_t n;
    } places;
    struct {
        struct resident *v;
        size_t n;
    } residents; /* by (namespace, name) */
    struct {
        const char *v[DESCHEDULER_RESOURCES_MAX]; /* cpu in thousandths; the first is "pods" */
        size_t n;
    } resources;
    struct {
        struct keeper *v;
        size_t n;
    } keepers;
    struct {
        struct budget_left *v;
        size_t n;
    } budgets;
    struct {
        struct topology **v;
        size_t n;
    } topologies;
};

struct view *view_new(const struct world *w, struct arena *a, const descheduler_policy *policy);
struct topology *view_topology(struct view *v, const char *key);
/* Moves the pod in the picture. */
void view_move(struct view *v, struct resident *r, struct place *to);
/* Requests in per cent of what the node offers, of the i-th resource; 0 when it offers none. With
 * more than what is used now. */
int64_t place_percent(const struct place *p, size_t resource, int64_t more);

/* ---- where a pod fits ---- */

enum misfit {
    MISFIT_TAINT = 1,
    MISFIT_NODE_AFFINITY = 2,
    MISFIT_ANTI_AFFINITY = 4,
    MISFIT_AFFINITY = 8,
    MISFIT_SPREAD = 16,
    MISFIT_ROOM = 32, /* requests, host ports */
    MISFIT_VOLUME = 64,
    MISFIT_CLOSED = 128
};

/* A pod as a question: what the others mean for it, counted once. */
struct fit;
struct fit *fit_new(struct view *v, const struct resident *r);
/* What stands against the pod on this place, as if it were on none now. */
unsigned fit_ask(const struct fit *q, const struct place *p);
/* Where the scheduler would put the pod now, by its score of use: the best place that fits, its own
 * among equals; NULL: none fits. */
struct place *fit_place(const struct fit *q);

/* As an affinity term of this pod. */
struct pod_term pod_term_make(struct view *v, const struct core_v1_pod *pod,
                              const struct core_v1_pod_affinity_term *t);

/* ---- strategies ---- */

/* Whether a place is better for what the strategy wants. */
typedef bool improves_fn(struct view *v, const struct resident *r, const struct place *to,
                         const void *user);
struct candidate {
    struct resident *resident;
    const char *strategy, *why;
    struct fit *fit;       /* NULL: to be made */
    improves_fn *improves; /* NULL: any */
    const void *user;
};
struct pass;
/* Decides; true when the pod is evicted (and moved in the picture). */
bool pass_consider(struct pass *pass, const struct candidate *c);
/* Runs all strategies that are on. */
void strategies_run(struct view *v, struct pass *pass);
