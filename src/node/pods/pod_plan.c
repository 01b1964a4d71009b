#include "node/pods/pod_plan.h"

#include <assert.h>
#include <string.h>

static void wake_at(struct pod_plan *plan, uint64_t at_ms) {
    if (!plan->wake_ms || at_ms < plan->wake_ms) plan->wake_ms = at_ms;
}

/* Starts container i unless a delay still runs. */
static void start(const struct pod *p, size_t i, uint64_t now_ms, struct pod_plan *plan) {
    const struct container *c = p->containers[i];
    if (c->busy) return;
    if (c->state == CONTAINER_TERMINATED && backoff_waiting(&c->restart, now_ms)) {
        wake_at(plan, c->restart.until_ms);
        return;
    }
    if (c->image_failed && backoff_waiting(&c->image, now_ms)) {
        wake_at(plan, c->image.until_ms);
        return;
    }
    plan->actions[i] = ACTION_START;
}

static bool is_down(const struct container *c) { return !container_alive(c); }

/* Stops sidecars from the last to the first: each when all after it are down. */
static bool stop_sidecars(const struct pod *p, struct pod_plan *plan) {
    for (size_t i = p->n_containers; i-- > 0;) {
        const struct container *c = p->containers[i];
        if (c->kind != CONTAINER_SIDECAR || is_down(c)) continue;
        plan->actions[i] = ACTION_STOP;
        return false;
    }
    return true;
}

static void plan_stop(const struct pod *p, struct pod_plan *plan) {
    bool down = true;
    for (size_t i = 0; i < p->n_containers; i++) {
        const struct container *c = p->containers[i];
        if (c->kind == CONTAINER_SIDECAR || is_down(c)) continue;
        plan->actions[i] = ACTION_STOP;
        down = false;
    }
    if (down) plan->finished = stop_sidecars(p, plan);
}

/* The init sequence. Returns false when an init container failed for good. */
static bool plan_init(const struct pod *p, uint64_t now_ms, struct pod_plan *plan) {
    plan->initialized = p->initialized;
    bool blocked = false;
    for (size_t i = 0; i < p->n_containers && !blocked; i++) {
        const struct container *c = p->containers[i];
        if (c->kind >= CONTAINER_MAIN) break;
        if (c->kind == CONTAINER_SIDECAR) {
            if (is_down(c)) start(p, i, now_ms, plan);
            blocked = !p->initialized && !c->started;
            continue;
        }
        if (p->initialized) continue;
        bool complete = c->state == CONTAINER_TERMINATED && c->now.exit_code == 0;
        if (complete) continue;
        blocked = true;
        if (c->state == CONTAINER_TERMINATED && !container_restarts(c)) return false;
        if (is_down(c)) start(p, i, now_ms, plan);
    }
    if (!blocked) plan->initialized = true;
    return true;
}

/* Returns true when every main container has ended for good. */
static bool plan_main(const struct pod *p, uint64_t now_ms, struct pod_plan *plan) {
    bool ended = true;
    for (size_t i = 0; i < p->n_containers; i++) {
        const struct container *c = p->containers[i];
        if (c->kind != CONTAINER_MAIN) continue;
        if (c->state == CONTAINER_TERMINATED && !container_restarts(c)) continue;
        ended = false;
        if (is_down(c)) start(p, i, now_ms, plan);
    }
    return ended;
}

/* Those that look into the pod start at once and once only; nobody waits for them. */
static void plan_ephemeral(const struct pod *p, uint64_t now_ms, struct pod_plan *plan) {
    for (size_t i = 0; i < p->n_containers; i++) {
        const struct container *c = p->containers[i];
        if (c->kind == CONTAINER_EPHEMERAL && c->state == CONTAINER_WAITING)
            start(p, i, now_ms, plan);
    }
}

void pod_plan(const struct pod *p, uint64_t now_ms, struct pod_plan *ret) {
    assert(p->n_containers <= LIMIT_CONTAINERS_PER_POD);
    memset(ret, 0, sizeof *ret);
    if (p->stopping) {
        ret->initialized = p->initialized;
        plan_stop(p, ret);
        return;
    }
    bool ended = !plan_init(p, now_ms, ret);
    if (!ended && ret->initialized) ended = plan_main(p, now_ms, ret);
    if (!ended) plan_ephemeral(p, now_ms, ret);
    if (!ended) return;
    memset(ret->actions, 0, sizeof ret->actions); /* nothing starts in a pod that has ended */
    plan_stop(p, ret);
}
