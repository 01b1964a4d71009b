#include "node/pods/resize.h"

#include <stdlib.h>

#include "base/own.h"
#include "node/agent.h"
#include "node/pods/admission.h"
#include "node/pods/resources.h"

enum { LOOK_AGAIN_MS = 5000, GRACE_S = 30 };
/* The kernel has no smaller word for "no limit" that may be written at any time. */
static const int64_t no_memory_limit = INT64_MAX & ~INT64_C(4095), no_quota_us = INT64_C(1) << 36;

struct resize_op {
    struct pod *pod;
    struct container *c; /* NULL: the pod's own group */
    char id[CONTAINER_ID_BYTES];
    struct container_amounts wanted;
};

void resize_started(struct container *c, const struct broker_resources *r) {
    c->applied = resize_amounts(r);
    c->applied_known = true;
    c->refused_known = c->resize_busy = c->resized = false;
}

static void on_updated(void *user, struct ipc_msg *m, const struct err *err) {
    struct resize_op *op = user;
    struct container *c = op->c;
    (void)m;
    if (c && str_eq(c->id, op->id)) {
        c->resize_busy = false;
        c->applied = err ? c->applied : op->wanted;
        c->applied_known |= !err;
        c->resized |= !err;
        c->refused = op->wanted;
        c->refused_known = err != NULL;
    }
    if (err)
        pod_event(op->pod, "Warning", "ResizeError", "Cannot resize %s: %s", c ? c->name : "pod",
                  err->text);
    pod_kick(op->pod);
    pod_unref(op->pod);
    free(op);
}

static void send(struct pod *p, struct container *c, const struct container_amounts *wanted) {
    struct broker_resources r = {
        .cpu_shares = wanted->cpu_shares,
        .cpu_quota_us = wanted->cpu_quota_us > 0 ? wanted->cpu_quota_us : no_quota_us,
        .memory_limit_bytes = wanted->memory_bytes > 0 ? wanted->memory_bytes : no_memory_limit,
        .pids_limit = -1,
        .oom_score_adj = INT64_MIN};
    OWN(buf_done) struct buf b = {0};
    struct resize_op *op = calloc(1, sizeof *op);
    if (!op) abort();
    *op = (struct resize_op){.pod = p, .c = c, .wanted = *wanted};
    if (c) memcpy(op->id, c->id, sizeof op->id);
    pod_ref(p);
    pack_str(&b, p->uid);
    pack_str(&b, op->id);
    broker_resources_pack(&b, &r);
    link_call(p->agent->broker, BROKER_CONTAINER_UPDATE, buf_view(&b), NULL, 0, on_updated, op);
}

/* Says why not. */
static const char *has_no_room(struct pod *p, struct err *err) {
    const char *reason;
    struct resources_sum want;
    if (admit(p, &reason, err) == 0) return NULL;
    resources_request(p->object, &want);
    bool never = want.cpu_milli > p->agent->host.cpu_milli ||
                 want.memory_bytes > p->agent->host.memory_bytes;
    return never ? "Infeasible" : "Deferred";
}

static void pending_set(struct pod *p, const char *pending, const char *message) {
    if (str_eq(p->resize_pending, pending)) return;
    p->resize_pending = pending;
    p->resize_since_ns = loop_wall_ns(p->agent->loop);
    free(p->resize_message);
    p->resize_message = pending ? strdup(message) : NULL;
}

/* Both limits of the pod's group hold its containers before and after: the larger one first. */
static void send_pod(struct pod *p, bool before) {
    struct container_amounts pod, sum = {0};
    struct broker_resources r;
    resources_pod(p->object, &r);
    pod = resize_amounts(&r);
    for (size_t i = 0; before && i < p->n_containers; i++) {
        const struct container *c = p->containers[i];
        if (!container_alive(c) || !c->applied_known) continue;
        sum.cpu_quota_us += c->applied.cpu_quota_us > 0 ? c->applied.cpu_quota_us : no_quota_us;
        sum.memory_bytes += c->applied.memory_bytes > 0 ? c->applied.memory_bytes : 1ll << 50;
    }
    if (pod.cpu_quota_us > 0) pod.cpu_quota_us = MAX_OF(pod.cpu_quota_us, sum.cpu_quota_us);
    if (pod.memory_bytes > 0) pod.memory_bytes = MAX_OF(pod.memory_bytes, sum.memory_bytes);
    if (pod.cpu_quota_us > no_quota_us) pod.cpu_quota_us = -1;
    send(p, NULL, &pod);
}

static void restart(struct pod *p, struct container *c) {
    const int64_t *s = p->object->spec.termination_grace_period_seconds;
    OWN(buf_done) struct buf why = {0};
    buf_printf(&why, "Container %s resize requires restart", c->name);
    container_stop(c, (s && *s >= 0 ? (uint64_t)*s : GRACE_S) * 1000, why.p);
}

uint64_t resize_step(struct pod *p, uint64_t now_ms) {
    int64_t memory = p->agent->host.memory_bytes;
    bool any = false, known = false;
    struct err err = {0};
    for (size_t i = 0; i < p->n_containers; i++) {
        const struct container *c = p->containers[i];
        if (c->resize_busy || !resize_differs(c, memory)) continue;
        any = true;
        known |= c->applied_known;
    }
    /* What ran before the agent came has its place already. */
    const char *pending = any && known ? has_no_room(p, &err) : NULL;
    pending_set(p, pending, err.text);
    if (pending) return now_ms + LOOK_AGAIN_MS;
    if (!any) return 0;
    send_pod(p, true);
    for (size_t i = 0; i < p->n_containers; i++) {
        struct container *c = p->containers[i];
        if (c->resize_busy || !resize_differs(c, memory)) continue;
        struct container_amounts want = resize_wanted(c, memory);
        if (resize_restarts(c, &want)) {
            restart(p, c);
            continue;
        }
        c->resize_busy = true;
        send(p, c, &want);
    }
    send_pod(p, false);
    return 0;
}
