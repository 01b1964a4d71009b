/*
 * The life of one pod on this machine: one row per state, each row a function that looks at the
 * model, starts what is missing and returns when to look again. Nothing waits on a timer on the way
 * up: every finished operation kicks the worker.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/own.h"
#include "node/agent.h"
#include "node/checks/probes.h"
#include "node/pods/admission.h"
#include "node/pods/pod_plan.h"
#include "node/pods/resize.h"
#include "node/pods/sandbox.h"
#include "node/status/status.h"
#include "node/volumes/claims.h"
#include "node/volumes/objects.h"

enum { VOLUME_RETRY_FIRST_MS = 500, VOLUME_RETRY_MAX_MS = 10 * 1000, MIN_SIDECAR_MS = 2000 };

static void earliest(uint64_t *wake, uint64_t at) {
    if (at && (!*wake || at < *wake)) *wake = at;
}

static void wake_retry(const struct pod *p, uint64_t *wake) { earliest(wake, p->retry.until_ms); }

/* ---- one function per state ---- */

typedef void step_fn(struct pod *p, uint64_t now_ms, uint64_t *wake);
static void enter(struct pod *p, enum pod_state next);

static bool is_finished(const struct pod *p) {
    const char *phase = p->object->status.phase;
    return str_eq(phase, "Succeeded") || str_eq(phase, "Failed");
}

static bool anything_alive(const struct pod *p) {
    for (size_t i = 0; i < p->n_containers; i++)
        if (container_alive(p->containers[i])) return true;
    return false;
}

static void step_new(struct pod *p, uint64_t now_ms, uint64_t *wake) {
    if (is_finished(p)) {
        p->stopping = true;
        enter(p, anything_alive(p) ? POD_STOP : POD_TEARDOWN);
    } else if (p->stopping) {
        enter(p, anything_alive(p) ? POD_STOP : POD_TEARDOWN);
    } else {
        enter(p, POD_SANDBOX);
    }
}

static bool waits(struct pod *p, uint64_t now_ms, uint64_t *wake) {
    if (p->busy) return true;
    if (!backoff_waiting(&p->retry, now_ms)) return false;
    wake_retry(p, wake);
    return true;
}

static void step_sandbox(struct pod *p, uint64_t now_ms, uint64_t *wake) {
    if (p->sandbox_ready)
        enter(p, p->host_network ? POD_VOLUMES : POD_NETWORK);
    else if (p->stopping && !p->busy)
        enter(p, POD_STOP);
    else if (!waits(p, now_ms, wake))
        sandbox_create(p);
}

static void step_network(struct pod *p, uint64_t now_ms, uint64_t *wake) {
    if (p->linked)
        enter(p, POD_VOLUMES);
    else if (p->stopping && !p->busy)
        enter(p, POD_STOP);
    else if (!waits(p, now_ms, wake))
        sandbox_link(p);
}

static int refresh_volumes(struct pod *p, uint64_t now_ms, uint64_t *wake) {
    struct err err = {0};
    int rc = pod_volumes_step(p, &err);
    if (rc == 0) backoff_reset(&p->retry);
    if (rc < 0 && rc != -EAGAIN) {
        pod_event(p, "Warning", "FailedMount", "%s", err.text);
        backoff_grow(&p->retry, now_ms, VOLUME_RETRY_FIRST_MS, VOLUME_RETRY_MAX_MS);
        earliest(wake, p->retry.until_ms);
    }
    return rc;
}

static void step_volumes(struct pod *p, uint64_t now_ms, uint64_t *wake) {
    if (p->stopping) {
        enter(p, POD_STOP);
        return;
    }
    earliest(wake, pod_tokens_refresh(p, now_ms)); /* one that failed is asked for again */
    earliest(wake, pod_claims_refresh(p, now_ms));
    if (!p->volumes_stale && waits(p, now_ms, wake)) return;
    if (refresh_volumes(p, now_ms, wake) == 0) enter(p, POD_RUN);
}

static uint64_t stop_grace(const struct pod *p, const struct container *c, uint64_t now_ms) {
    uint64_t left = p->grace_deadline_ms > now_ms ? p->grace_deadline_ms - now_ms : 0;
    if (!p->stopping) { /* sidecars of a pod that has ended */
        const int64_t *s = p->object->spec.termination_grace_period_seconds;
        return s && *s >= 0 ? (uint64_t)*s * 1000 : 30 * 1000;
    }
    if (c->kind == CONTAINER_SIDECAR && p->grace_wanted) left = MAX_OF(left, MIN_SIDECAR_MS);
    return left;
}

static void apply(struct pod *p, const struct pod_plan *plan, uint64_t now_ms, uint64_t *wake) {
    for (size_t i = 0; i < p->n_containers; i++) {
        struct container *c = p->containers[i];
        if (c->adopt_probes && c->state == CONTAINER_RUNNING) {
            c->adopt_probes = false;
            probes_start(c);
        }
        if (plan->actions[i] == ACTION_START && p->agent->broker_synced) container_start(c);
        if (plan->actions[i] == ACTION_STOP) {
            OWN(buf_done) struct buf why = {0};
            buf_printf(&why, "Stopping container %s", c->name);
            container_stop(c, stop_grace(p, c, now_ms), why.p);
        }
        earliest(wake, container_stop_step(c, now_ms));
        earliest(wake, container_image_step(c, now_ms));
    }
    earliest(wake, plan->wake_ms);
}

/* Ends the pod from this side. */
static void pod_fail(struct pod *p, const char *reason, const char *message) {
    if (p->fail_reason || p->state >= POD_TEARDOWN) return;
    p->fail_reason = strdup(reason);
    p->fail_message = strdup(message);
    p->stopping = true;
    const int64_t *s = p->object->spec.termination_grace_period_seconds;
    p->grace_deadline_ms =
        loop_now_ms(p->agent->loop) + (s && *s >= 0 ? (uint64_t)*s * 1000 : 30 * 1000);
    p->grace_wanted = true;
    pod_event(p, "Warning", reason, "%s", message);
    pod_kick(p);
}

static void check_deadline(struct pod *p, uint64_t now_ms, uint64_t *wake) {
    const int64_t *s = p->object->spec.active_deadline_seconds;
    if (!s || *s <= 0 || p->stopping) return;
    int64_t age_ms = (loop_wall_ns(p->agent->loop) - p->start_ns) / 1000000;
    if (age_ms >= *s * 1000)
        pod_fail(p, "DeadlineExceeded",
                 "Pod was active on the node longer than the specified deadline");
    else
        earliest(wake, now_ms + (uint64_t)(*s * 1000 - age_ms));
}

static void step_run(struct pod *p, uint64_t now_ms, uint64_t *wake) {
    struct pod_plan plan;
    check_deadline(p, now_ms, wake);
    if (p->stopping) {
        enter(p, POD_STOP);
        return;
    }
    earliest(wake, pod_tokens_refresh(p, now_ms));
    earliest(wake, pod_claims_refresh(p, now_ms));
    if (p->volumes_stale && !backoff_waiting(&p->retry, now_ms)) refresh_volumes(p, now_ms, wake);
    pod_plan(p, now_ms, &plan);
    if (plan.initialized) p->initialized = true;
    apply(p, &plan, now_ms, wake);
    earliest(wake, resize_step(p, now_ms));
    if (plan.finished) enter(p, POD_TEARDOWN);
}

static void step_stop(struct pod *p, uint64_t now_ms, uint64_t *wake) {
    struct pod_plan plan;
    pod_plan(p, now_ms, &plan);
    apply(p, &plan, now_ms, wake);
    if (plan.finished) enter(p, POD_TEARDOWN);
}

static void step_teardown(struct pod *p, uint64_t now_ms, uint64_t *wake) {
    if (p->torn_down)
        enter(p, p->deleted ? POD_DELETE : POD_DONE);
    else if (!waits(p, now_ms, wake))
        sandbox_remove(p);
}

static void step_done(struct pod *p, uint64_t now_ms, uint64_t *wake) {
    if (p->deleted) enter(p, POD_DELETE);
}

static void step_delete(struct pod *p, uint64_t now_ms, uint64_t *wake) {
    if (!p->vanished) status_write(p);
    if (p->status_busy || waits(p, now_ms, wake)) return;
    if (p->removed)
        enter(p, POD_GONE);
    else
        sandbox_forget(p);
}

static void step_gone(struct pod *p, uint64_t now_ms, uint64_t *wake) {}

static const struct {
    const char *name;
    step_fn *step;
    unsigned next; /* bits of the states that may follow */
} rows[] = {
#define TO(s) (1u << (s))
    [POD_NEW] = {"new", step_new, TO(POD_SANDBOX) | TO(POD_STOP) | TO(POD_TEARDOWN) | TO(POD_DONE)},
    [POD_SANDBOX] = {"sandbox", step_sandbox, TO(POD_NETWORK) | TO(POD_VOLUMES) | TO(POD_STOP)},
    [POD_NETWORK] = {"network", step_network, TO(POD_VOLUMES) | TO(POD_STOP)},
    [POD_VOLUMES] = {"volumes", step_volumes, TO(POD_RUN) | TO(POD_STOP)},
    [POD_RUN] = {"run", step_run, TO(POD_STOP) | TO(POD_TEARDOWN)},
    [POD_STOP] = {"stop", step_stop, TO(POD_TEARDOWN)},
    [POD_TEARDOWN] = {"teardown", step_teardown, TO(POD_DONE) | TO(POD_DELETE)},
    [POD_DONE] = {"done", step_done, TO(POD_DELETE)},
    [POD_DELETE] = {"delete", step_delete, TO(POD_GONE)},
    [POD_GONE] = {"gone", step_gone, 0},
#undef TO
};

static void enter(struct pod *p, enum pod_state next) {
    assert(rows[p->state].next & (1u << next));
    log_debug("pod_state", "pod=%s/%s from=%s to=%s", p->ns, p->name, rows[p->state].name,
              rows[next].name);
    p->state = next;
    p->busy = false;
    backoff_reset(&p->retry);
    pod_kick(p);
}

static void step(void *user) {
    struct pod *p = user;
    uint64_t now_ms = loop_now_ms(p->agent->loop), wake = 0;
    p->kicked = false;
    if (p->state != POD_GONE && p->agent->started) {
        rows[p->state].step(p, now_ms, &wake);
        if (p->state < POD_DELETE) status_write(p);
        if (backoff_waiting(&p->status_retry, now_ms)) earliest(&wake, p->status_retry.until_ms);
    }
    if (p->state == POD_GONE || !wake)
        timer_stop(p->wake);
    else
        timer_start(p->wake, wake > now_ms ? wake - now_ms : 0, 0);
    if (p->state == POD_GONE && p->vanished) pod_worker_gone(p);
    pod_unref(p);
}

void pod_kick(struct pod *p) {
    if (p->kicked) return;
    p->kicked = true;
    pod_ref(p);
    loop_defer(p->agent->loop, step, p);
}

static void on_wake(void *user) { pod_kick(user); }

/* ---- what the API says ---- */

static void note_deletion(struct pod *p) {
    const struct meta_v1_object_meta *m = &p->object->metadata;
    if (!m->deletion_timestamp && !p->vanished) return;
    int64_t grace_s = m->deletion_grace_period_seconds ? *m->deletion_grace_period_seconds : 0;
    if (p->vanished || grace_s < 0) grace_s = 0;
    uint64_t deadline = loop_now_ms(p->agent->loop) + (uint64_t)grace_s * 1000;
    if (!p->deleted || deadline < p->grace_deadline_ms) p->grace_deadline_ms = deadline;
    p->grace_wanted = grace_s > 0;
    p->deleted = p->stopping = true;
}

void pod_configuration_changed(struct pod *p) {
    p->volumes_stale = true;
    for (size_t i = 0; i < p->n_containers; i++)
        if (str_eq(p->containers[i]->wait_reason, "CreateContainerConfigError"))
            backoff_reset(&p->containers[i]->image);
    pod_kick(p);
}

void pod_worker_update(struct pod *p, const struct core_v1_pod *object) {
    pod_set_object(p, object);
    note_deletion(p);
    pod_configuration_changed(p); /* labels and annotations may stand in files and variables */
}

void pod_worker_vanished(struct pod *p) {
    p->vanished = true;
    note_deletion(p);
    pod_kick(p);
}

struct pod *pod_worker_start(struct agent *g, const struct core_v1_pod *object,
                             const struct broker_container_state *running, size_t n_running) {
    struct pod *p = pod_model_new(object);
    p->agent = g;
    p->wake = timer_new(g->loop, on_wake, p);
    if (object->status.start_time) {
        status_adopt(p, &object->status);
        sandbox_adopt(p, running, n_running);
    }
    p->frozen = is_finished(p) && !anything_alive(p);
    if (!p->start_ns) p->start_ns = loop_wall_ns(g->loop);
    map_put(&g->workers, slice_of(p->uid), p);
    note_deletion(p);
    struct err err = {0};
    const char *reason = NULL;
    if (!p->adopted && !p->stopping && !is_finished(p) && admit(p, &reason, &err) < 0) {
        p->fail_reason = strdup(reason);
        p->fail_message = strdup(err.text);
        p->stopping = p->rejected = true;
        pod_event(p, "Warning", reason, "%s", err.text);
        enter(p, POD_DONE);
    }
    pod_kick(p);
    return p;
}
