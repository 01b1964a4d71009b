/*
 * The scheduler without its service: what is known, what waits, and the decisions. It is told what
 * happens and what time it is, and says what to do through `acts`. No I/O, no clock.
 */
#pragma once

#include "scheduler/core/preempt.h"
#include "scheduler/core/queue.h"

struct sched_acts {
    /* The pod that waits, or NULL when there is none of that name; valid during core_run. */
    const struct core_v1_pod *(*pod)(void *user, const char *ns, const char *name);
    void (*bind)(void *user, const struct core_v1_pod *pod, const char *node);
    /* No node now. nominated: where room is made for it, or NULL. */
    void (*refuse)(void *user, const struct core_v1_pod *pod, const char *message,
                   const char *nominated);
    void (*evict)(void *user, const struct sched_pod *victim, const struct core_v1_pod *by);
    /* The room that was made for it is somebody else's now. */
    void (*unnominate)(void *user, const struct nominated *m);
    void (*gang_late)(void *user, const struct gang *g, const char *message);
    /* Marks a node to be switched off, or on again (power.h). NULL: never asked. */
    void (*power)(void *user, const struct sched_node *n, bool down);
    /* The volume of that claim is wanted for that node. NULL: nobody is told. */
    void (*select_node)(void *user, const struct core_v1_persistent_volume_claim *claim,
                        const char *node);
};

struct sched_core {
    const struct sched_acts *acts;
    void *user;
    struct snapshot snapshot;
    struct queue queue;
    struct budgets budgets;
    uint64_t now_ms;
};

void core_done(struct sched_core *c);

/* ---- what happens ---- */

/* A pod is new or has changed. renewed: its spec, so that it may be tried at once. */
void core_put_pod(struct sched_core *c, const struct core_v1_pod *pod, bool renewed,
                  uint64_t now_ms);
void core_remove_pod(struct sched_core *c, const char *uid, uint64_t now_ms);
void core_put_node(struct sched_core *c, const struct core_v1_node *node, uint64_t now_ms);
void core_remove_node(struct sched_core *c, const char *name);
void core_put_quota(struct sched_core *c, const struct scheduling_v1alpha1_elastic_quota *q,
                    uint64_t now_ms);
void core_remove_quota(struct sched_core *c, const char *ns, const char *name, uint64_t now_ms);
void core_put_group(struct sched_core *c, const struct scheduling_v1alpha1_pod_group *g,
                    uint64_t now_ms);
/* Something else that any waiting pod may have waited for. */
void core_wake_all(struct sched_core *c, uint64_t now_ms);
/* The binding did not come about; pod NULL: it is gone, or bound by somebody else. */
void core_bind_failed(struct sched_core *c, const char *uid, const struct core_v1_pod *pod,
                      uint64_t now_ms);
void core_evict_failed(struct sched_core *c, const char *uid);

/* ---- decisions ---- */

/* Tries pods until none is ready, or `most` have been tried. Returns the time until one may be
 * ready again: 0 there are more, UINT64_MAX nothing waits. */
uint64_t core_run(struct sched_core *c, uint64_t now_ms, size_t most);
/* Waits for a node, and this scheduler is to give it one. */
bool core_wants_node(const struct sched_core *c, const struct core_v1_pod *p);
bool core_is_over(const struct core_v1_pod *p);

/* ---- core.c, for core_gang.c ---- */
enum {
    CORE_QUOTA = 1 << 8,
    CORE_GANG = 1 << 9
}; /* of queue_hint.refused, beside 1 << SCHED_READS_… */
/* core_claims.c: false when all its claims are bound; else it has been refused for now. */
bool core_waits_for_claims(struct sched_core *c, struct arena *a, struct queued *p,
                           const struct core_v1_pod *pod, const char *node);
struct queue_hint core_hint(const struct place_class *class, unsigned refused);
void core_assume(struct sched_core *c, const struct core_v1_pod *pod, const char *node);
void core_carry_out(struct sched_core *c, struct arena *a, const struct core_v1_pod *pod,
                    const struct preempt_result *r);
/* A node for the pod alone, or why not. */
struct sched_result core_place(struct sched_core *c, struct arena *a,
                               const struct core_v1_pod *pod);
void core_try_gang(struct sched_core *c, struct arena *a, struct gang *g);
